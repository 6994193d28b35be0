"""A model that a search found, and what in its record matched."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, overload

from medmint.errors import SelectionError
from medmint.model_selector.matching import words
from medmint.model_selector.postings import MENTIONING, NAMING
from medmint.model_selector.search_index import Reading

#: A whole value of ``selection``, words of any text, a key of ``selection``, or a field filter.
Kind = Literal["whole", "words", "key", "filter"]


@dataclass(frozen=True, slots=True)
class MatchedEntry:
    """One place of a record that a value of the query matched.

    Attributes
    ----------
    key : str
        The key in the record, such as ``organ``.
    value : object
        What the record holds there, a list as a whole.
    matching_element : object
        The element of it that matched.
    target : str
        The value of the query.
    path : str
        Dotted path of the key, such as ``selection.organ``.
    kind : str
        ``whole``, ``words``, ``key`` or ``filter``.
    """

    key: str
    value: Any
    matching_element: Any = None
    target: str = ""
    path: str = ""
    kind: Kind = "whole"


class ModelMatchCandidate:
    """A model and the entries of its record that a search matched.

    Parameters
    ----------
    model_id : str
        The full id.
    target_values : list
        The values of the query.
    target_values_operator : str
        ``AND``, ``OR`` or ``XOR``.
    is_case_sensitive, are_keys_also_matched : bool
        As the search was asked.
    is_match : bool
        Whether the model meets the query.
    explain : callable, optional
        Returns the matched entries; called when they are first looked at.
    """

    def __init__(  # noqa: PLR0913 - names and order are kept from medigan
        self,
        model_id: str,
        target_values: Sequence[Any],
        target_values_operator: str = "AND",
        is_case_sensitive: bool = False,
        are_keys_also_matched: bool = False,
        is_match: bool = False,
        *,
        explain: Callable[[], list[MatchedEntry]] = list,
    ) -> None:
        self.model_id = model_id
        self.target_values = list(target_values)
        self.target_values_operator = target_values_operator
        self.is_case_sensitive = is_case_sensitive
        self.are_keys_also_matched = are_keys_also_matched
        self.is_match = is_match
        self._explain = explain
        self._entries: list[MatchedEntry] | None = None

    @property
    def matched_entries(self) -> list[MatchedEntry]:
        """What matched, whole values before words."""
        if self._entries is None:
            self._entries = self._explain()
        return self._entries

    def add_matched_entry(self, matched_entry: MatchedEntry) -> None:
        """Add an entry to those that matched."""
        self.matched_entries.append(matched_entry)

    def get_all_matching_elements(self) -> list[Any]:
        """Return the elements of the record that matched, each once."""
        found: list[Any] = []
        for entry in self.matched_entries:
            if entry.matching_element not in found:
                found.append(entry.matching_element)
        return found

    def check_if_is_match(self) -> bool:
        """Tell whether the model meets the query."""
        return self.is_match

    def __getstate__(self) -> dict[str, Any]:
        # What the entries would be looked up in stays here.
        return {**vars(self), "_entries": self.matched_entries, "_explain": list}

    def __len__(self) -> int:
        return len(self.matched_entries)

    def __bool__(self) -> bool:
        return True

    def __getitem__(self, index: int) -> MatchedEntry:
        return self.matched_entries[index]

    def __str__(self) -> str:
        entries = [asdict(entry) for entry in self.matched_entries]
        return json.dumps({"model_id": self.model_id, "matched_entries": entries}, default=str)

    def __repr__(self) -> str:
        return f"ModelMatchCandidate({self.model_id!r})"


#: Candidates that an error names.
_SHOWN = 10


class Matches(Sequence[ModelMatchCandidate]):
    """The models that a search found, the most relevant first.

    Candidates are made when they are looked at, so that a search costs the same whether it finds
    ten models or a hundred thousand.
    """

    def __init__(
        self,
        ids: Sequence[str],
        positions: Sequence[int],
        make: Callable[[str], ModelMatchCandidate],
    ) -> None:
        self._ids = ids
        self._positions = positions
        self._make = make

    @property
    def model_ids(self) -> list[str]:
        """The ids of all models found."""
        return [self._ids[position] for position in self._positions]

    def only(self) -> str:
        """Return the id of the one model that was found.

        Raises
        ------
        SelectionError
            If there is none, or more than one: the candidates are named.
        """
        found = self.model_ids
        if len(found) == 1:
            return found[0]
        shown = ", ".join(found[:_SHOWN]) + (" and others" if len(found) > _SHOWN else "")
        raise SelectionError(
            f"Exactly one model has to match, found {len(found)}{': ' if found else ''}{shown}. "
            "Use other values, or choose one and call generate()."
        )

    def __reduce__(self) -> tuple[type[list[Any]], tuple[list[ModelMatchCandidate]]]:
        # Elsewhere there is no index to make candidates from: they travel as what they are.
        return list, (list(self),)

    def __len__(self) -> int:
        return len(self._positions)

    @overload
    def __getitem__(self, index: int) -> ModelMatchCandidate: ...

    @overload
    def __getitem__(self, index: slice) -> Matches: ...

    def __getitem__(self, index: int | slice) -> ModelMatchCandidate | Matches:
        if isinstance(index, slice):
            return Matches(self._ids, self._positions[index], self._make)
        return self._make(self._ids[self._positions[index]])

    def __repr__(self) -> str:
        shown = ", ".join(self[:5].model_ids)
        return f"Matches({len(self)}: {shown}{', ...' if len(self) > 5 else ''})"


def matched_entries(
    model_id: str,
    record: Mapping[str, Any],
    target: str,
    *,
    readings: Sequence[Reading] | None,
    are_keys_also_matched: bool = False,
) -> list[MatchedEntry]:
    """Find the places of a record that a value matches, whole values first.

    Parameters
    ----------
    model_id : str
        The full id, which is searched as well.
    record : mapping
        The record as JSON.
    target : str
        The value.
    readings : sequence of Reading or None
        What its words may stand for; None compares whole values alone, case included.
    are_keys_also_matched : bool
        Look at the keys of ``selection`` too.
    """
    same = str if readings is None else str.lower
    wanted = same(target)
    whole, partial = [], []
    for path, held, element in _leaves(record["selection"], "selection"):
        key = path.rpartition(".")[2]
        if same(str(element)) == wanted:
            whole.append(MatchedEntry(key, held, element, target, path, "whole"))
        elif readings and isinstance(element, str) and _has_any(readings, element):
            partial.append(MatchedEntry(key, held, element, target, path, "words"))
        if are_keys_also_matched and same(key) == wanted:
            whole.append(MatchedEntry(key, held, key, target, path, "key"))
    for path, text in _texts(model_id, record["description"]):
        if readings and _has_any(readings, text):
            key = path.rpartition(".")[2]
            partial.append(MatchedEntry(key, text, text, target, path, "words"))
    return whole + partial


def _has_any(readings: Sequence[Reading], text: str) -> bool:
    have = words(text)
    return any(reading.is_met_by(have) for reading in readings)


def _leaves(tree: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield the path, what is held there and each plain value in it."""
    pending: list[tuple[str, Any, Any]] = [(f"{path}.{key}", tree[key], tree[key]) for key in tree]
    for where, held, node in pending:
        if isinstance(node, dict):
            pending += [(f"{where}.{key}", node[key], node[key]) for key in node]
        elif isinstance(node, list):
            pending += [(where, held, item) for item in node]
        else:
            yield where, held, node


def _texts(model_id: str, description: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "model_id", model_id
    for field in (*NAMING, *MENTIONING):
        found = description.get(field)
        for text in found if isinstance(found, list) else [found]:
            if isinstance(text, str):
                yield f"description.{field}", text
