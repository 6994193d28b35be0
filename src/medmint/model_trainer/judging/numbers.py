"""What was measured of a model, kept section by section in ``numbers.json``."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Any, TypeAlias, TypeVar

import numpy as np

from medmint.errors import TrainingError
from medmint.home import write_json
from medmint.metrics.comparison import LEVEL

NUMBERS = "numbers.json"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Measured:
    """A number and, where there is one, its 95 % interval."""

    value: float
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return _digits(self.value)
        return f"{_digits(self.value)} ({_digits(self.low)} to {_digits(self.high)})"


Cell: TypeAlias = str | float | int | Measured | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of a section; the first cell of each says what the row is of."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """Something that a model should reach, and whether it does.

    Attributes
    ----------
    text : str
        The goal with its bound, in words.
    measured : Measured
    is_met : bool
    """

    text: str
    measured: Measured
    is_met: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One part of what is measured.

    Attributes
    ----------
    title : str
    about : str
        How it was measured: what is compared, N, seeds, what the intervals are over.
    tables : tuple of Table
    goals : tuple of Goal
    notes : tuple of str
        What the numbers allow to say, and what they do not.
    seconds : float or None
        How long it took.
    """

    title: str
    about: str
    tables: tuple[Table, ...]
    goals: tuple[Goal, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float | None = None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Section:
        """Read what `dataclasses.asdict` made of a section.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it is something else. `Numbers.load` says of which file.
        """
        seconds = data["seconds"]
        return cls(
            title=_one(data["title"], str),
            about=_one(data["about"], str),
            tables=tuple(map(_table, _all(data["tables"], dict))),
            goals=tuple(map(_goal, _all(data["goals"], dict))),
            notes=_all(data["notes"], str),
            seconds=None if seconds is None else _number(seconds),
        )


@dataclass(slots=True, kw_only=True)
class Numbers:
    """All sections of one model on one split.

    Attributes
    ----------
    subject : mapping
        What they are of: ``model_id``, ``weights_sha256``, ``split``, ``options`` of the model, and
        the number of images of each split. Numbers of another subject are never mixed with these.
    sections : dict of str to Section
        In the order in which they were measured.
    """

    subject: Mapping[str, Any]
    sections: dict[str, Section] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Write ``numbers.json``, whole or not at all."""
        sections = {name: dataclasses.asdict(part) for name, part in self.sections.items()}
        write_json(folder / NUMBERS, {"subject": dict(self.subject), "sections": sections})

    @classmethod
    def load(cls, folder: Path) -> Numbers | None:
        """Read ``numbers.json``; None where there is none.

        Raises
        ------
        TrainingError
            If it is no such file.
        """
        path = folder / NUMBERS
        if not path.exists():
            return None
        try:
            text = path.read_text(encoding="utf-8")
            data = _one(json.loads(text, parse_constant=_refuse_constant), dict)
            parts = _one(data["sections"], dict).items()
            sections = {name: Section.from_dict(_one(part, dict)) for name, part in parts}
            return cls(subject=_one(data["subject"], dict), sections=sections)
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise TrainingError(
                path, f"it cannot be read ({error})", "Remove it and measure again."
            ) from error


def mean_interval(
    values: Iterable[float], *, bounds: tuple[float, float] = (-math.inf, math.inf)
) -> Measured:
    """Return the mean over draws with its 95 % interval by Student's t.

    Parameters
    ----------
    values : iterable of float
        One of each draw; of a single one there is no interval.
    bounds : tuple of two float
        Values that the mean cannot leave.

    Examples
    --------
    >>> mean_interval([1.0, 2.0, 3.0])
    Measured(value=2.0, low=-0.48413771175033027, high=4.48413771175033)
    >>> mean_interval([2.0])
    Measured(value=2.0, low=None, high=None)
    """
    from scipy import stats

    array = np.array(list(values), dtype=np.float64)
    mean = float(array.mean())
    if len(array) < 2:
        return Measured(mean)
    reach = float(stats.t.ppf((1 + LEVEL) / 2, len(array) - 1) * stats.sem(array))
    return Measured(mean, max(mean - reach, bounds[0]), min(mean + reach, bounds[1]))


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """Lay a table out in Markdown.

    Examples
    --------
    >>> print(markdown_table(["", "share"], [["model", Measured(0.5, 0.4, 0.6)], ["real", None]]))
    | | share |
    |---|---|
    | model | 0.500 (0.400 to 0.600) |
    | real | - |
    """
    lines = ["| " + " | ".join(columns).strip() + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(map(cell_text, row)) + " |" for row in rows]
    return "\n".join(lines)


def cell_text(cell: Cell) -> str:
    """Return a cell as a reader sees it.

    Examples
    --------
    >>> [cell_text(cell) for cell in (1950, 118.512, 0.0123, None)]
    ['1,950', '118.5', '0.0123', '-']
    """
    if cell is None:
        return "-"
    if isinstance(cell, float):
        return _digits(cell)
    if isinstance(cell, int):
        return f"{cell:,}"
    return str(cell)


def _digits(value: float) -> str:
    """Return three or four digits."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) < 0.1:
        return f"{value:.3g}"
    places = 1 if abs(value) >= 100 else 2 if abs(value) >= 10 else 3
    return f"{value:.{places}f}"


def _table(data: Mapping[str, Any]) -> Table:
    return Table(
        columns=_all(data["columns"], str),
        rows=tuple(tuple(map(_cell, row)) for row in _all(data["rows"], list)),
        caption=_one(data["caption"], str),
    )


def _goal(data: Mapping[str, Any]) -> Goal:
    return Goal(
        text=_one(data["text"], str),
        measured=_measured(_one(data["measured"], dict)),
        is_met=_one(data["is_met"], bool),
    )


def _cell(data: Any) -> Cell:
    if data is None or isinstance(data, str):
        return data
    return _measured(data) if isinstance(data, dict) else _number(data)


def _measured(data: Mapping[str, Any]) -> Measured:
    found = Measured(**data)
    _number(found.value)
    for bound in (found.low, found.high):
        if bound is not None:
            _number(bound)
    return found


def _number(value: Any) -> float:
    number: float = _one(value, int | float)
    if not math.isfinite(number):
        raise ValueError(f"{number} is no number")
    return number


def _all(values: Any, kind: type[T]) -> tuple[T, ...]:
    return tuple(_one(value, kind) for value in _one(values, list))


def _one(value: Any, kind: type[T] | UnionType) -> T:
    """Return a value of the type that is written there, and of no other."""
    if not isinstance(value, kind):
        wanted = getattr(kind, "__name__", kind)
        raise TypeError(f"expected {wanted}, found {type(value).__name__} {value!r:.40}")
    return value


def _refuse_constant(name: str) -> float:
    """Refuse what JSON does not know and Python writes into it all the same."""
    raise ValueError(f"{name} is no number")
