"""What is worked out about one state of a catalogue, for searching it."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from medmint.errors import ArgumentError, SelectionError
from medmint.model_selector.field_filters import Fields, Filter
from medmint.model_selector.match_candidate import MatchedEntry, matched_entries
from medmint.model_selector.postings import mask_of
from medmint.model_selector.query import Query
from medmint.model_selector.search_index import SearchIndex


class Snapshot:
    """The index and the fields of a catalogue, each made when it is first needed.

    Parameters
    ----------
    entries : mapping of str to dict
        The records by id.
    revision : int
        The state of the catalogue that they are from.
    """

    def __init__(self, entries: Mapping[str, dict[str, Any]], revision: int) -> None:
        self.entries = entries
        self.revision = revision
        self.ids = list(entries)

    @property
    def everything(self) -> int:
        """The mask of all models."""
        return mask_of(range(len(self.ids)), len(self.ids))

    @cached_property
    def index(self) -> SearchIndex:
        """The index over all values and words."""
        return SearchIndex(self.entries)

    @cached_property
    def fields(self) -> Fields:
        """The fields that can be filtered on."""
        return Fields(self.entries)

    def explain(
        self, model_id: str, query: Query, conditions: Sequence[Filter]
    ) -> list[MatchedEntry]:
        """Return what in a record met a query and its conditions."""
        record = self.entries[model_id]
        entries: list[MatchedEntry] = []
        for target in query.targets:
            entries += matched_entries(
                model_id,
                record,
                target,
                readings=query.readings(self.index, target),
                are_keys_also_matched=query.are_keys_also_matched,
            )
        for condition in conditions:
            path, held = self.fields.held(condition, model_id)
            target = f"{condition.argument}={condition.wanted!r}"
            entries.append(
                MatchedEntry(path.rpartition(".")[2], held, held, target, path, "filter")
            )
        return entries


def held_at(selections: Mapping[str, dict[str, Any]], key: str) -> list[tuple[str, Any]]:
    """Return what models hold at a dotted path below ``selection``, with their ids.

    Parameters
    ----------
    selections : mapping of str to dict
        The ``selection`` of each model.
    key : str
        Key or dotted path, in any case.

    Raises
    ------
    ArgumentError
        If the key is no text.
    SelectionError
        If no model has the key, or it is a table.

    Examples
    --------
    >>> held_at({"00001_A": {"performance": {"FID": 7.5}}}, "performance.fid")
    [('00001_A', 7.5)]
    """
    if not isinstance(key, str):
        raise ArgumentError("key", key, "a key of selection")
    parts = key.removeprefix("selection.").split(".")
    found = [(each, held) for each, tree in selections.items() for held in _below(tree, parts)]
    plain = [(each, held) for each, held in found if not isinstance(held, dict)]
    if plain:
        return plain
    if found:
        keys = dict.fromkeys(inner for _, held in found for inner in held)
        raise SelectionError(f"key: {key!r} is a table. Go on with one of: {', '.join(keys)}.")
    known = list(dict.fromkeys(each for tree in selections.values() for each in tree))
    near = difflib.get_close_matches(parts[0].lower(), known, n=3)
    hint = f" Did you mean {' or '.join(near)}?" if near and parts[0] not in known else ""
    raise SelectionError(f"key: no model has {key!r}.{hint} Keys: {', '.join(known)}.")


def _below(tree: Any, parts: list[str]) -> Iterator[Any]:
    """Yield what stands at a path, whatever the case of its keys."""
    if not parts:
        yield tree
    elif isinstance(tree, dict):
        for key, value in tree.items():
            if str(key).lower() == parts[0].lower():
                yield from _below(value, parts[1:])
