"""Filters on single fields: ``modality="mammography"``, ``height=128``, ``fid__lt=100``."""

from __future__ import annotations

import difflib
import math
import operator
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

from medmint.errors import ArgumentError, SelectionError
from medmint.model_selector.matching import text_matches, words
from medmint.model_selector.postings import mask_of
from medmint.model_selector.ranking import canonical, metric_names, metric_value

_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
}
LOOKUPS = ("eq", "ne", "in", *_COMPARE)
#: Fields outside ``selection``, and where they stand.
_ELSEWHERE = {
    "title": ("description", "title"),
    "weights_license": ("description", "weights_license"),
    "version": ("description", "version"),
    "contract": ("execution", "contract"),
    "dependencies": ("execution", "dependencies"),
    "requires_pickle": ("execution", "requires_pickle"),
    "extension": ("execution", "extension"),
}
#: Fields that are worked out from a record.
_DERIVED = ("generates_mask",)
#: Values of a field with the positions of the models that have them; lists count by element.
Column = Mapping[Any, list[int]]


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition: ``field`` in lower case, ``lookup`` of :data:`LOOKUPS`, ``wanted`` value."""

    argument: str
    field: str
    lookup: str
    wanted: Any

    @classmethod
    def parse(cls, argument: str, wanted: Any) -> Filter:
        """Take a keyword argument apart.

        Examples
        --------
        >>> condition = Filter.parse("SEG__trained_on_fake__Dice__gt", 0.7)
        >>> condition.field, condition.lookup
        ('seg.trained_on_fake.dice', 'gt')
        """
        parts = argument.split("__")
        lookup = parts.pop().lower() if len(parts) > 1 and parts[-1].lower() in LOOKUPS else "eq"
        return cls(argument, ".".join(parts).lower(), lookup, wanted)


class Fields:
    """The fields of a catalogue, as columns that are made when they are first asked for.

    Parameters
    ----------
    entries : mapping of str to dict
        The records by id.
    """

    def __init__(self, entries: Mapping[str, dict[str, Any]]) -> None:
        self._entries = entries
        self._columns: dict[str, Column] = {}
        self._names: dict[str, None] | None = None

    def mask(self, condition: Filter) -> int:
        """Return the mask of the models that meet a condition.

        Raises
        ------
        SelectionError
            If there is no such field, or it holds nothing that can be compared like this.
        ArgumentError
            If the wanted value has another type than the field.
        """
        column = self._column(condition.field)
        every = (value for value in column if value is not None)
        kinds = {type(value) if isinstance(value, bool | str) else float for value in every}
        _check_types(condition, kinds)
        count = len(self._entries)
        positions = (column[value] for value in _meeting(column, condition))
        met = mask_of(chain.from_iterable(positions), count)
        # A list differs from a value if none of its elements is the value.
        return met ^ mask_of(range(count), count) if condition.lookup == "ne" else met

    def held(self, condition: Filter, model_id: str) -> tuple[str, Any]:
        """Return the path of a filtered field and what a model holds there."""
        name = self._resolve(condition.field)
        record = self._entries[model_id]
        if name in _ELSEWHERE:
            section, key = _ELSEWHERE[name]
            return f"{section}.{key}", record[section].get(key)
        if name in record["selection"]:
            return f"selection.{name}", record["selection"][name]
        path = name if name in _DERIVED else f"selection.performance.{name}"
        return path, _values(name, model_id, record)[0]

    @cached_property
    def names(self) -> list[str]:
        """Names of all fields, metrics included."""
        return [*self._first_level.values(), *metric_names(self._entries.values())]

    @cached_property
    def _first_level(self) -> dict[str, str]:
        keys = chain.from_iterable(record["selection"] for record in self._entries.values())
        names = dict.fromkeys([*keys, *_ELSEWHERE, *_DERIVED])
        names.pop("performance", None)
        return {name.lower(): name for name in names}

    def _column(self, field: str) -> Column:
        if field not in self._columns:
            self._columns[field] = self._collect(field)
        return self._columns[field]

    def _collect(self, field: str) -> Column:
        name = self._resolve(field)
        column: defaultdict[Any, list[int]] = defaultdict(list)
        for position, (model_id, record) in enumerate(self._entries.items()):
            for value in _values(name, model_id, record):
                column[value].append(position)
        return dict(column)

    def _resolve(self, field: str) -> str:
        if field in self._first_level:
            return self._first_level[field]
        path = canonical(field)
        for model_id, record in self._entries.items():
            if metric_value(model_id, record, path, "asc") is not None:
                return path
        near = difflib.get_close_matches(field, map(str.lower, self.names), n=3)
        hint = f" Did you mean {', '.join(near)}?" if near else ""
        raise SelectionError(f"There is no field {field!r}.{hint} Fields: {', '.join(self.names)}.")


def _values(name: str, model_id: str, record: Mapping[str, Any]) -> list[Any]:
    if name == "generates_mask":
        return [generates_mask(record)]
    if name in _ELSEWHERE:
        section, key = _ELSEWHERE[name]
        found = record[section].get(key)
        if key == "contract":
            found = found or "generate"
    elif name in record["selection"]:
        found = record["selection"][name]
    else:
        found = metric_value(model_id, record, name, "asc")
    listed = found if isinstance(found, list) else [found]
    return [item for item in listed if isinstance(item, str | int | float | None)] or [None]


def generates_mask(record: Mapping[str, Any]) -> bool:
    """Tell whether a model gives a mask with each image: by its output, else by its keywords."""
    output = record["execution"].get("output")
    if isinstance(output, dict) and output:
        return "mask" in output
    keywords = record["selection"].get("generates")
    texts = keywords if isinstance(keywords, list) else [keywords]
    return any("mask" in words(text) for text in texts if isinstance(text, str))


def _check_types(condition: Filter, kinds: set[type]) -> None:
    wanted = condition.wanted
    if condition.lookup == "in":
        if isinstance(wanted, str) or not isinstance(wanted, list | tuple | set | frozenset):
            raise ArgumentError(condition.argument, wanted, "a list of values")
        for item in wanted:
            _check_types(Filter(condition.argument, condition.field, "eq", item), kinds)
        return
    if condition.lookup in _COMPARE and kinds and float not in kinds:
        raise SelectionError(
            f"{condition.argument}: {condition.field} holds no numbers, "
            f"so only {condition.field}, __ne and __in can be asked for."
        )
    if wanted is None and condition.lookup not in _COMPARE:
        return
    is_number = isinstance(wanted, int | float) and not isinstance(wanted, bool)
    if is_number and not math.isfinite(wanted):
        raise ArgumentError(condition.argument, wanted, "a finite number")
    if condition.lookup in _COMPARE or kinds == {float}:
        if not is_number:
            raise ArgumentError(condition.argument, wanted, "a number")
    elif kinds == {bool}:
        if not isinstance(wanted, bool):
            raise ArgumentError(condition.argument, wanted, "True, False or None")
    elif not isinstance(wanted, str | int | float) or isinstance(wanted, bool):
        raise ArgumentError(condition.argument, wanted, "text")


def _meeting(column: Column, condition: Filter) -> list[Any]:
    """Return the values of a column that meet a condition."""
    if condition.lookup in _COMPARE:
        compare = _COMPARE[condition.lookup]
        numbers = [value for value in column if isinstance(value, int | float)]
        return [value for value in numbers if compare(value, condition.wanted)]
    wanted = condition.wanted if condition.lookup == "in" else [condition.wanted]
    return [value for each in wanted for value in _equal_to(column, each)]


def _equal_to(column: Column, wanted: Any) -> list[Any]:
    """Return the values of a column that are equal to what is wanted, for text if need be by words.

    ``public`` is not ``non-public`` where both occur, but ``mammo`` is ``mammography``.
    """
    if wanted is None:
        return [value for value in column if value is None]
    texts = [value for value in column if isinstance(value, str)]
    sought = str(wanted).lower()
    numbers = [value for value in column if value == wanted and not isinstance(value, str)]
    whole = [value for value in texts if value.lower() == sought]
    return numbers + (whole or [value for value in texts if text_matches(sought, value)])
