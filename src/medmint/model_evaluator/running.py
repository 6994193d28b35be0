"""Compute metrics one by one: one that fails leaves the others standing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType

from medmint.errors import ArgumentError, MedmintError
from medmint.model_evaluator.feature_metrics import (
    density_coverage,
    frechet,
    kernel,
    precision_recall,
)
from medmint.model_evaluator.image_metrics import closeness_to_training, diversity
from medmint.model_evaluator.sections import Comparison, Section
from medmint.model_evaluator.training_metrics import downstream
from medmint.progress import Progress

logger = logging.getLogger(__name__)

SECTIONS: Mapping[str, Callable[[Comparison], Section]] = MappingProxyType(
    {
        "frechet_distance": frechet,
        "kid": kernel,
        "precision_recall": precision_recall,
        "density_coverage": density_coverage,
        "diversity": diversity,
        "privacy": closeness_to_training,
        "usefulness": downstream,
    }
)
#: Metrics of features, each computed for one extractor after the other.
PER_EXTRACTOR = frozenset(("frechet_distance", "kid", "precision_recall", "density_coverage"))
#: Everything but what trains networks.
USUAL = tuple(name for name in SECTIONS if name != "usefulness")


def checked_metrics(given: Iterable[str] | None) -> tuple[str, ...]:
    """Return the names of metrics, the usual ones by default.

    Raises
    ------
    ArgumentError
        If one of them does not exist.

    Examples
    --------
    >>> checked_metrics(["kid"])
    ('kid',)
    """
    if given is None:
        return USUAL
    names = (given,) if isinstance(given, str) else tuple(dict.fromkeys(given))
    for name in names:
        if name not in SECTIONS:
            raise ArgumentError("metrics", name, f"some of {', '.join(SECTIONS)}")
    if not names:
        raise ArgumentError("metrics", given, f"some of {', '.join(SECTIONS)}")
    return names


def run_sections(
    comparison: Comparison, wanted: Iterable[str], progress: Progress
) -> tuple[dict[str, Section], dict[str, str]]:
    """Compute metrics one by one.

    Returns
    -------
    tuple of two dicts
        What was found by metric, and why a metric failed.
    """
    todo = [one for name in wanted for one in _parts(name, comparison)]
    done: dict[str, Section] = {}
    failures: dict[str, str] = {}
    for number, (name, label, part) in enumerate(todo):
        progress(number, len(todo), label)
        try:
            done[label] = SECTIONS[name](part)
        # Feature extractors are foreign code: whatever they raise must not cost the other metrics.
        except Exception as error:
            logger.debug("%s failed", label, exc_info=True)
            is_ours = isinstance(error, MedmintError)
            failures[label] = str(error) if is_ours else f"{type(error).__name__}: {error}"
    progress(len(todo), len(todo), "done")
    return done, failures


def _parts(name: str, comparison: Comparison) -> Iterator[tuple[str, str, Comparison]]:
    """Yield a metric as (name, label, comparison), once for each extractor if it needs one."""
    if name not in PER_EXTRACTOR or len(comparison.extractors) == 1:
        yield name, name, comparison
    else:
        for extractor in comparison.extractors:
            yield name, f"{name}[{extractor.name}]", comparison.with_extractor(extractor)
