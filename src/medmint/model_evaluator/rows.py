"""The lines and pictures of a report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from medmint.metrics.comparison import Interval

Better = Literal["lower", "higher", "neither"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One number.

    Attributes
    ----------
    metric : str
        Its name, with the feature extractor in brackets.
    value : float
    n : int
        Images in each of the sets that were compared.
    better : {"lower", "higher", "neither"}
        Which direction is better.
    interval : Interval or None
        Confidence interval, which says what it was taken over.
    real_real : float or None
        The same measure between real images, at half the size.
    at_half : float or None
        The measure at that half size: the one to compare with ``real_real``.
    note : str
        What else to know about it.
    """

    metric: str
    value: float
    n: int
    better: Better
    interval: Interval | None = None
    real_real: float | None = None
    at_half: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A plot or a grid of images, as PNG."""

    name: str
    caption: str
    png: bytes = field(repr=False)


def table_rows(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Lay rows out as a person reads them.

    Examples
    --------
    >>> table_rows([Row(metric="recall", value=0.5, n=100, better="higher")])[0]["value"]
    '0.5'
    """
    return [
        {
            "metric": row.metric,
            "value": _short(row.value),
            "95 % interval": "" if row.interval is None else str(row.interval),
            "over": "" if row.interval is None else f"{row.interval.units} {row.interval.unit}s",
            "N": row.n,
            "real-real (N/2)": _short(row.real_real),
            "value (N/2)": _short(row.at_half),
            "better": row.better,
            "note": row.note,
        }
        for row in rows
    ]


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as a Markdown table.

    Examples
    --------
    >>> print(markdown([{"a": 1, "b": "x"}]))
    | a | b |
    |---|---|
    | 1 | x |
    """
    columns = list(rows[0]) if rows else []
    lines = [columns, *([str(row[name]) for name in columns] for row in rows)]
    drawn = [f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines]
    return "\n".join([drawn[0], "|" + "---|" * len(columns), *drawn[1:]])


def _short(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if math.isfinite(value) else "undefined"
