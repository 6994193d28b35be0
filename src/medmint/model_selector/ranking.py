"""Metrics of records: their names, which direction is better, and models in order of them."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from medmint.errors import InvalidRecordError, SelectionError

Order = Literal["asc", "desc"]

#: Lower is better.
_LOWER = "FID FID_RADIMAGENET FRD KID MSE NMSE NSME RMSE MAE LPIPS MMD Dice_loss"
#: Higher is better.
_HIGHER = (
    "SSIM MS_SSIM PSNR IS rFID rFID_RADIMAGENET Dice Dice_tumor Dice_cochlea IoU F1 AUROC AUPRC "
    "FROC_AUC accuracy balanced_accuracy precision recall sensitivity specificity density coverage "
    "CLF_delta SEG_delta DET_delta"
)
DIRECTIONS: Mapping[str, Order] = {
    **dict.fromkeys(_LOWER.split(), "asc"),
    **dict.fromkeys(_HIGHER.split(), "desc"),
}
#: Other spellings, in lower case. The area under a FROC curve is no AUROC and has no alias.
ALIASES = {
    "auc": "AUROC",
    "roc_auc": "AUROC",
    "dsc": "Dice",
    "dice_score": "Dice",
    "f1_score": "F1",
    "f_score": "F1",
    "jaccard": "IoU",
    "aucpr": "AUPRC",
    "fid_rs": "FID",
    "fid_ratio": "rFID",
    "fid_radimagenet_ratio": "rFID_RADIMAGENET",
}
#: Ratios are computed from these, never taken from a record.
_RATIOS = {
    "rfid": ("FID_rr", "FID"),
    "rfid_radimagenet": ("FID_RADIMAGENET_rr", "FID_RADIMAGENET"),
}
_CANONICAL = {name.lower(): name for name in DIRECTIONS} | ALIASES
_OUTER = ("selection", "performance", "downstream_task")


class Ranking(list[dict[str, Any]]):
    """Models in order of a metric: a list of ``{"model_id": ..., metric: value}``, best first.

    Attributes
    ----------
    metric : str
        The metric as it was asked for.
    order : str
        ``asc`` or ``desc``.
    unranked : list of str
        Ids of the models that have no value for the metric.
    """

    def __init__(
        self, ranked: Iterable[dict[str, Any]], *, metric: str, order: Order, unranked: list[str]
    ) -> None:
        super().__init__(ranked)
        self.metric = metric
        self.order = order
        self.unranked = unranked

    def best(self) -> str:
        """Return the id of the first model.

        Raises
        ------
        SelectionError
            If there is none; the models without the metric are named.
        """
        if self:
            return str(self[0]["model_id"])
        if not self.unranked:
            raise SelectionError("No model matches. Use fewer or other values.")
        raise SelectionError(
            f"None of the models found has a value of {self.metric}: {', '.join(self.unranked)}. "
            "Choose one and call generate(), or rank by another metric."
        )


def canonical(metric: str) -> str:
    """Return the one spelling of a metric or a dotted path to one.

    Examples
    --------
    >>> canonical("selection.performance.clf.trained_on_fake.auc"), canonical("fid_ratio")
    ('clf.trained_on_fake.AUROC', 'rFID')
    """
    parts = metric.split(".")
    while len(parts) > 1 and parts[0].lower() in _OUTER:
        del parts[0]
    return ".".join(_CANONICAL.get(part.lower(), part) for part in parts)


def better(metric: str, order: str | None) -> Order:
    """Return the order that is asked for, by default the one that puts the best model first.

    Raises
    ------
    SelectionError
        If the order is neither ``asc`` nor ``desc``, or is needed because the direction of the
        metric is not known.
    """
    if order is None:
        path, _, leaf = canonical(metric).rpartition(".")
        # Readers who cannot tell real from synthetic score a half: neither more nor less is better.
        if leaf not in DIRECTIONS or path.lower() == "turing_test":
            raise SelectionError(
                f"metric: whether more or less of {metric!r} is better is not known. "
                "Say order='asc' for lowest first or order='desc' for highest first."
            )
        return DIRECTIONS[leaf]
    if isinstance(order, str) and order.lower() in ("asc", "desc"):
        return "asc" if order.lower() == "asc" else "desc"
    raise SelectionError(f"order: got {order!r}, expected 'asc', 'desc' or None (best first).")


def metric_value(model_id: str, record: Mapping[str, Any], path: str, order: Order) -> float | None:
    """Return the value of a metric in a record, or None if it has no number there.

    Parameters
    ----------
    model_id : str
        For the message if the value is not finite.
    record : mapping
        The record as JSON.
    path : str
        Canonical name or dotted path.
    order : str
        Of a list of values the best counts: the lowest for ``asc``, the highest for ``desc``.

    Raises
    ------
    InvalidRecordError
        If the value is NaN or infinite.
    """
    performance = record["selection"].get("performance")
    if path.lower() in _RATIOS:
        real, synthetic = (_lookup(performance, name) for name in _RATIOS[path.lower()])
        pair = _number(model_id, path, real), _number(model_id, path, synthetic)
        return pair[0] / pair[1] if pair[0] is not None and pair[1] else None
    found = _lookup(performance, path)
    if isinstance(found, list):
        numbers = [_number(model_id, path, item) for item in found]
        known = [number for number in numbers if number is not None]
        return (min if order == "asc" else max)(known, default=None)
    return _number(model_id, path, found)


def metric_names(records: Iterable[Mapping[str, Any]]) -> list[str]:
    """List the metrics that have a number in any record, as paths, computed ones included."""
    names: dict[str, None] = {}
    for record in records:
        performance = record["selection"].get("performance")
        names.update(dict.fromkeys(map(canonical, _numbers_in(performance))))
        for ratio, parts in _RATIOS.items():
            if all(_lookup(performance, part) for part in parts):
                names[_CANONICAL[ratio]] = None
    return list(names)


def resolve_metric(metric: str, names: Iterable[str]) -> str:
    """Return the path of a metric among those that exist.

    A name without a path, such as ``Dice``, is found inside the tables if only one table has it.

    Raises
    ------
    SelectionError
        If no model has the metric, it names a table, or more than one table has it.
    """
    wanted = canonical(metric)
    known = {name.lower(): name for name in names}
    if wanted.lower() in known:
        return known[wanted.lower()]
    inner = [known[name] for name in known if name.endswith(f".{wanted.lower()}")]
    if len(inner) == 1:
        return inner[0]
    if inner:
        raise SelectionError(f"metric: {metric!r} is ambiguous. Name one of: {', '.join(inner)}.")
    below = [known[name] for name in known if name.startswith(f"{wanted.lower()}.")]
    if below:
        raise SelectionError(
            f"metric: {metric!r} is a table, not a number. Name one of: {', '.join(below)}."
        )
    near = difflib.get_close_matches(wanted.lower(), known, n=3)
    hint = f" Did you mean {', '.join(known[name] for name in near)}?" if near else ""
    listed = ", ".join(sorted(known.values())) or "none"
    raise SelectionError(f"metric: no model has {metric!r}.{hint} Metrics that exist: {listed}.")


def find_metric(metric: str, records: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the path of a metric that some record has; see :func:`resolve_metric`."""
    path = canonical(metric)
    # The common case, without a look at every metric of every model.
    for model_id, record in records.items():
        if metric_value(model_id, record, path, "asc") is not None:
            return path
    return resolve_metric(metric, metric_names(records.values()))


def rank(
    models: Mapping[str, Mapping[str, Any]], *, metric: str, path: str, order: Order
) -> Ranking:
    """Put records in order of a metric; ties stay in the order in which the records come."""
    values = {key: metric_value(key, record, path, order) for key, record in models.items()}
    ranked = [(value, key) for key, value in values.items() if value is not None]
    ranked.sort(key=lambda pair: pair[0], reverse=order == "desc")
    return Ranking(
        ({"model_id": model_id, metric: value} for value, model_id in ranked),
        metric=metric,
        order=order,
        unranked=[model_id for model_id, value in values.items() if value is None],
    )


def _lookup(table: Any, path: str) -> Any:
    """Follow a canonical path through tables whose keys may be spelt otherwise."""
    for part in path.split("."):
        table = _child(table, part)
        if table is None:
            return None
    return table


def _child(table: Any, part: str) -> Any:
    if not isinstance(table, dict):
        return None
    if part in table:
        return table[part]
    wanted = part.lower()
    for key, value in table.items():
        if isinstance(key, str) and _CANONICAL.get(key.lower(), key).lower() == wanted:
            return value
    return _child(table.get("downstream_task"), part)


def _number(model_id: str, path: str, value: Any) -> float | None:
    number = _as_number(value)
    if number is not None and not math.isfinite(number):
        fault = f"/{model_id}/selection/performance/{path.replace('.', '/')}"
        raise InvalidRecordError(
            f"Record {model_id}", [f"{fault}: expected a finite number, got {value!r:.40}"]
        )
    return number


def _as_number(value: Any) -> float | None:
    """Return a number, also one that an older record holds as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf
    except ValueError:
        return None


def _numbers_in(performance: Any) -> Iterator[str]:
    pending: list[tuple[str, Any]] = [("", performance if isinstance(performance, dict) else {})]
    for path, node in pending:
        if isinstance(node, dict):
            inside = [(f"{path}.{key}" if path else str(key), node[key]) for key in node]
            pending += inside
        elif isinstance(node, list):
            if any(_as_number(item) is not None for item in node):
                yield path
        elif _as_number(node) is not None:
            yield path
