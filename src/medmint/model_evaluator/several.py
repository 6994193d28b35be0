"""Several models beside the same real images: one table, one plot, and which metric tells use."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medmint.errors import ArgumentError, MedmintError, MetricError
from medmint.home import make_folder, user_path
from medmint.model_evaluator import figures
from medmint.model_evaluator.page import figure, page, table
from medmint.model_evaluator.report import Report, written
from medmint.model_evaluator.rows import Picture
from medmint.tables import format_table

_PERMUTATIONS = 10_000
#: All orders are tried up to this many models.
_EXACT = 7
_FEWEST = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelComparison:
    """Reports of several models; printed, it is one table.

    Attributes
    ----------
    reports : mapping of str to Report
        By model id.
    failures : mapping of str to str
        Models that could not be judged, and why.
    pictures : tuple of Picture
        For each feature extractor the real-real against the real-synthetic distances.
    """

    reports: Mapping[str, Report]
    failures: Mapping[str, str] = field(default_factory=dict)
    pictures: tuple[Picture, ...] = field(default=(), repr=False)

    def rows(self) -> list[dict[str, Any]]:
        """Return a line per model with all numbers, None where a model has no such number."""
        names = dict.fromkeys(row.metric for r in self.reports.values() for row in r.rows)
        return [
            {"model_id": model_id, **{name: report.numbers.get(name) for name in names}}
            for model_id, report in self.reports.items()
        ]

    def __str__(self) -> str:
        failed = [f"- {name}: {reason}" for name, reason in self.failures.items()]
        rows = [{k: _shown(v) for k, v in row.items()} for row in self.transposed()]
        return "\n".join([format_table(rows), *(["", "Failed", *failed] if failed else [])])

    def transposed(self) -> list[dict[str, Any]]:
        """Return a line per metric and a column per model, which is easier to read."""
        lines = self.rows()
        names = [name for name in (lines[0] if lines else {}) if name != "model_id"]
        return [
            {"metric": name, **{line["model_id"]: line[name] for line in lines}} for name in names
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the pictures as plain values."""
        reports = {model_id: report.to_dict() for model_id, report in self.reports.items()}
        return {"table": self.rows(), "failures": dict(self.failures), "reports": reports}

    def save(self, folder: str | PathLike[str]) -> Path:
        """Write ``comparison.html`` and a folder with the report of each model.

        Raises
        ------
        WriterError
            If something cannot be written.
        """
        place = make_folder(user_path("folder", folder, "a folder"))
        for model_id, report in self.reports.items():
            report.save(place / model_id)
        title = "medmint evaluation of several models"
        rows = [{k: _shown(v) for k, v in row.items()} for row in self.transposed()]
        failed = [{"model": name, "reason": reason} for name, reason in self.failures.items()]
        body = [f"<h1>{title}</h1>", table(rows), *map(figure, self.pictures)]
        body += ["<h2>Failed</h2>", table(failed)] if failed else []
        return written(place / "comparison.html", page(title, body))


@dataclass(frozen=True, slots=True, kw_only=True)
class Correlation:
    """Whether a metric tells which model is useful.

    Attributes
    ----------
    metric, score : str
    spearman : float
        Rank correlation over the models.
    p_value : float
        Two-sided, by permutations: exact up to seven models.
    models : int
    """

    metric: str
    score: str
    spearman: float
    p_value: float
    models: int


def compare_models(model_ids: Sequence[str], evaluate: Callable[[str], Report]) -> ModelComparison:
    """Evaluate models one after another; one that fails leaves the others standing.

    Raises
    ------
    ArgumentError
        If there are none.
    """
    if not model_ids:
        raise ArgumentError("model_ids", list(model_ids), "at least one model")
    reports: dict[str, Report] = {}
    failures: dict[str, str] = {}
    for model_id in dict.fromkeys(model_ids):
        try:
            reports[model_id] = evaluate(model_id)
        except (ArgumentError, MetricError) as error:
            # What is wrong with the real images is wrong for all.
            if not reports and not failures:
                raise
            failures[model_id] = str(error)
        except MedmintError as error:
            failures[model_id] = str(error)
    return ModelComparison(reports=reports, failures=failures, pictures=tuple(_scatters(reports)))


def correlations(
    metrics: Mapping[str, Mapping[str, float]], scores: Mapping[str, float], *, score: str
) -> list[Correlation]:
    """Correlate metrics of several models with how useful their images were.

    Parameters
    ----------
    metrics : mapping of model id to mapping of metric to value
        Such as ``{id: report.numbers}``. Metrics that a model lacks are left out.
    scores : mapping of model id to float
        Downstream score of each model, such as the Dice of training on its images.
    score : str
        What the scores are.

    Returns
    -------
    list of Correlation
        The strongest first.

    Raises
    ------
    MetricError
        If there are fewer than four models: three have six orders, so no p-value below 0.33.

    References
    ----------
    Spearman, American Journal of Psychology 15(1), 1904.

    Examples
    --------
    >>> values = {str(i): {"recall": i / 5} for i in range(5)}
    >>> found = correlations(values, {str(i): float(i) for i in range(5)}, score="Dice")
    >>> round(found[0].spearman, 3), round(found[0].p_value, 4)
    (1.0, 0.0167)
    """
    models = [model for model in metrics if model in scores]
    if len(models) < _FEWEST:
        raise MetricError("models", f"{len(models)} with a score", f"at least {_FEWEST}")
    names = set.intersection(*(set(metrics[model]) for model in models))
    truth = np.array([scores[model] for model in models])
    found = [
        _correlation(name, score, np.array([metrics[m][name] for m in models]), truth)
        for name in sorted(names)
    ]
    return sorted(found, key=lambda one: -abs(one.spearman))


def _correlation(
    metric: str, score: str, values: NDArray[np.float64], truth: NDArray[np.float64]
) -> Correlation:
    ranks, others = _centred_ranks(values), _centred_ranks(truth)
    length = float(np.sqrt((ranks @ ranks) * (others @ others)))
    strength = float(ranks @ others) / length if length > 0 else 0.0
    if len(ranks) <= _EXACT:
        orders = np.array(list(permutations(ranks)))
    else:
        drawn = np.tile(ranks, (_PERMUTATIONS, 1))
        # The order that was found counts as one of those that are possible.
        orders = np.vstack([ranks, np.random.default_rng(0).permuted(drawn, axis=1)])
    as_extreme = np.abs(orders @ others) >= abs(strength) * length - 1e-9
    return Correlation(
        metric=metric,
        score=score,
        spearman=strength,
        p_value=float(as_extreme.mean()),
        models=len(truth),
    )


def _centred_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.stats import rankdata

    ranks = rankdata(values)
    return np.asarray(ranks - ranks.mean())


def _scatters(reports: Mapping[str, Report]) -> list[Picture]:
    """Plot the distances of all models for each metric that has both."""
    points: dict[str, dict[str, tuple[float, float]]] = {}
    for model_id, report in reports.items():
        for row in report.rows:
            if row.metric.startswith(("FID", "frechet")) and row.real_real is not None:
                pair = (row.real_real, row.at_half or 0.0)
                points.setdefault(row.metric, {})[model_id] = pair
    return [figures.models(pairs, metric) for metric, pairs in points.items()]


def _shown(value: Any) -> Any:
    return f"{value:.4g}" if isinstance(value, float) else ("" if value is None else value)
