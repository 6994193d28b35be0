"""A query for models, carried out on an index."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from itertools import compress
from operator import and_, or_
from typing import Any, Literal

from medmint.errors import ArgumentError, SelectionError
from medmint.model_selector.search_index import Reading, SearchIndex, ValueMasks

Match = Literal["words", "whole"]
OPERATORS = ("AND", "OR", "XOR")
#: Up to three marks per value have to fit into the byte that a model has.
MOST_VALUES = 80
_ONE = bytes(int(byte == 1) for byte in range(256))


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for, and how; :meth:`parse` makes one from what a user gives."""

    targets: tuple[str, ...]
    operator: str = "AND"
    are_keys_also_matched: bool = False
    is_case_sensitive: bool = False
    match: Match = "words"

    @classmethod
    def parse(cls, values: Any, operator: str, *, keys: bool, case: bool, match: Match) -> Query:
        """Check the arguments of a search.

        Raises
        ------
        SelectionError
            If the operator is unknown or there are too many values.
        ArgumentError
            If a value cannot be searched for.

        Examples
        --------
        >>> Query.parse(["CT", [128]], "or", keys=False, case=False, match="words").targets
        ('CT', '128')
        """
        targets = tuple(dict.fromkeys(_texts([] if values is None else values)))
        if len(targets) > MOST_VALUES:
            raise SelectionError(
                f"values: got {len(targets)} of them, expected at most {MOST_VALUES}."
            )
        if not isinstance(operator, str) or operator.upper() not in OPERATORS:
            raise SelectionError(f"operator: got {operator!r}, expected AND, OR or XOR.")
        if match not in ("words", "whole"):
            raise ArgumentError("match", match, "'words' or 'whole'")
        return cls(targets, operator.upper(), bool(keys), bool(case), match)

    def readings(self, index: SearchIndex, target: str) -> list[Reading] | None:
        """Return what words may stand for a value; None if it is to be compared with its case."""
        if self.is_case_sensitive:
            return None
        if self.match == "whole" or (self.operator == "XOR" and index.matches(target).whole):
            return []
        return index.readings(target)


def search(index: SearchIndex, query: Query) -> tuple[int, int]:
    """Carry out a query that has targets.

    Returns
    -------
    found : int
        Mask of the models that match.
    marks : int
        For each model, in the byte that it has in a mask, how well it matches.
    """
    matches = [_masks(index, query, target) for target in query.targets]
    marks = sum(each.loose + each.named + each.whole for each in matches)
    if query.operator == "AND":
        return reduce(and_, (each.loose for each in matches)), marks
    if query.operator == "OR":
        return reduce(or_, (each.loose for each in matches)), marks
    # A value that stands whole in some record means just that; only others go by their words.
    count = sum(each.whole or each.loose for each in matches)
    exactly_one = count.to_bytes(len(index.ids), "little").translate(_ONE)
    return int.from_bytes(exactly_one, "little"), marks


def by_relevance(count: int, found: int, marks: int) -> list[int]:
    """Return the positions of the models found: most marks first, else in catalogue order."""
    scores = ((marks & (found * 255)) + found).to_bytes(count, "little")
    ordered: list[int] = []
    for score in range(max(scores, default=0), 0, -1):
        if score in scores:
            only = bytes(int(byte == score) for byte in range(256))
            ordered += compress(range(count), scores.translate(only))
    return ordered


def _masks(index: SearchIndex, query: Query, target: str) -> ValueMasks:
    if query.is_case_sensitive or query.match == "whole":
        whole = index.whole(target, is_case_sensitive=query.is_case_sensitive)
        masks = ValueMasks(whole, whole, whole)
    else:
        masks = index.matches(target)
    if not query.are_keys_also_matched:
        return masks
    keys = index.keys(target, is_case_sensitive=query.is_case_sensitive)
    return ValueMasks(masks.loose | keys, masks.named | keys, masks.whole | keys)


def _texts(values: Any) -> Iterator[str]:
    """Yield values as text, those of nested lists one by one."""
    if isinstance(values, list | tuple | set | frozenset):
        for value in values:
            yield from _texts(value)
    elif isinstance(values, str) and not values.strip():
        raise ArgumentError("values", values, "text with at least one letter or digit")
    elif values is None or isinstance(values, str | int | float):
        yield str(values)
    else:
        raise ArgumentError("values", values, "text, numbers, or (nested) lists of them")
