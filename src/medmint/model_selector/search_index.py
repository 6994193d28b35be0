"""Which models hold a value or a word: collected in one pass, answered by integer arithmetic.

A set of models is a *mask*: an integer with one byte per model, 1 where the model belongs to the
set. Unions, intersections and sums over 100,000 models are then single operations on integers.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import reduce
from itertools import chain, compress
from operator import and_

from medmint.model_selector.matching import (
    canonical_of_prefix,
    forms,
    is_prefix,
    near_spellings,
    phrases,
    terms,
    words,
)
from medmint.model_selector.postings import (
    Entries,
    Postings,
    collect_keys,
    collect_tokens,
    collect_values,
    mask_of,
)

_CACHED_VALUES = 256


@dataclass(frozen=True, slots=True)
class Reading:
    """One word that a query asks for, as the words of the catalogue that it may stand for.

    Attributes
    ----------
    term : str
        The word itself, in normal form.
    words : set of str
        Words any of which will do.
    phrases : list of list of str
        Synonyms of several words, all of which are needed.
    """

    term: str
    words: set[str]
    phrases: list[list[str]]

    def is_met_by(self, have: set[str]) -> bool:
        """Tell whether a text with these words has what is asked for."""
        return not self.words.isdisjoint(have) or any(map(have.issuperset, self.phrases))


@dataclass(frozen=True, slots=True)
class ValueMasks:
    """The models that match one value of a query, ever more strictly.

    Attributes
    ----------
    loose : int
        Mask of the models that have the words of the value, their synonyms, words that begin like
        them or, failing all these, near spellings in any text that is searched.
    named : int
        Mask of those that have the words or their synonyms in ``selection``, title or id.
    whole : int
        Mask of those that have the value as a whole value of ``selection``.
    """

    loose: int
    named: int
    whole: int


class SearchIndex:
    """An index over all records of a catalogue.

    Parameters
    ----------
    entries : mapping of str to dict
        The records by id. They must not change while the index is in use.

    Examples
    --------
    >>> record = {"selection": {"organ": ["breast"]}, "description": {"title": "Masses"}}
    >>> index = SearchIndex({"00001_A": record, "00002_B": {"selection": {}, "description": {}}})
    >>> [index.ids[number] for number in index.numbers(index.matches("breasts").loose)]
    ['00001_A']
    """

    def __init__(self, entries: Entries) -> None:
        self.ids = list(entries)
        self._entries = entries
        texts, self._others = collect_values(entries)
        self._spellings = _grouped((value.lower(), value) for value in texts)
        self._values_with = _grouped((word, value) for value in texts for word in words(value))
        names, mentions = collect_tokens(entries)
        # Most tokens are their own normal form and need no entry.
        self._tokens_for = _grouped(
            (form, token)
            for token in {**names, **mentions}
            if not token.isdigit()
            for form in forms(token)
            if form != token
        )
        self._vocabulary = {*self._values_with, *names, *mentions, *self._tokens_for}
        self._alphabet = sorted(self._vocabulary)
        self._numbers = {key[:5] for key in self.ids}
        names |= {key[:5]: position for position, key in enumerate(self.ids)}
        self._values = Postings(texts, len(self.ids))
        self._names = Postings(names, len(self.ids))
        self._mentions = Postings(mentions, len(self.ids))
        self._keys: dict[str, list[int]] | None = None
        self._matches: dict[str, ValueMasks] = {}

    @property
    def everything(self) -> int:
        """The mask of all models."""
        return int.from_bytes(b"\x01" * len(self.ids), "little")

    def numbers(self, mask: int) -> Iterator[int]:
        """Return the positions of the models in a mask, in order."""
        return compress(range(len(self.ids)), mask.to_bytes(len(self.ids), "little"))

    def _mask(self, positions: Iterable[int]) -> int:
        return mask_of(positions, len(self.ids))

    def whole(self, value: str, *, is_case_sensitive: bool = False) -> int:
        """Return the mask of models that have exactly this value somewhere in ``selection``."""
        same = [value] if is_case_sensitive else self._spellings.get(value.lower(), [])
        return self._values.union(same) | self._mask(self._others_like(value, is_case_sensitive))

    def keys(self, value: str, *, is_case_sensitive: bool = False) -> int:
        """Return the mask of models that have this value as a key in ``selection``."""
        if self._keys is None:
            self._keys = collect_keys(self._entries)
        fold = str if is_case_sensitive else str.lower
        found = (models for key, models in self._keys.items() if fold(key) == fold(value))
        return self._mask(chain.from_iterable(found))

    def matches(self, value: str) -> ValueMasks:
        """Return the models that match a value in any of the ways of :class:`ValueMasks`."""
        if value not in self._matches:
            if len(self._matches) >= _CACHED_VALUES:
                self._matches.clear()
            self._matches[value] = self._match(value)
        return self._matches[value]

    def readings(self, value: str) -> list[Reading]:
        """Return what a value asks for, word by word."""
        return [self._read(term) for term in terms(value, self._vocabulary)]

    def _match(self, value: str) -> ValueMasks:
        whole = self.whole(value)
        readings = self.readings(value)
        named = loose = self.everything if readings else 0
        for reading in readings:
            naming = self._naming({reading.term})
            also = self._mentioning(reading.words)
            for phrase in reading.phrases:
                naming |= reduce(and_, (self._naming({word}) for word in phrase))
                also |= reduce(and_, (self._mentioning({word}) for word in phrase))
            named &= naming
            loose &= naming | self._naming(reading.words) | also
        return ValueMasks(loose | named | whole, named | whole, whole)

    def _naming(self, found: Collection[str]) -> int:
        """Return the models that have any of these words in ``selection``, title or id."""
        values = {value for word in found for value in self._values_with.get(word, ())}
        return self._values.union(values) | self._names.union(self._tokens(found))

    def _mentioning(self, found: Collection[str]) -> int:
        return self._mentions.union(self._tokens(found))

    def _tokens(self, found: Collection[str]) -> set[str]:
        return {token for word in found for token in (word, *self._tokens_for.get(word, ()))}

    def _read(self, term: str) -> Reading:
        found = {term} if term in self._vocabulary or term in self._numbers else set()
        if is_prefix(term):
            start = bisect_left(self._alphabet, term)
            end = bisect_left(self._alphabet, term + "\U0010ffff")
            found.update(self._alphabet[start:end], canonical_of_prefix(term) & self._vocabulary)
        return Reading(term, found or near_spellings(term, self._vocabulary), phrases(term))

    def _others_like(self, value: str, is_case_sensitive: bool) -> list[int]:
        """Find numbers, true, false and null by what Python calls them."""
        fold = str if is_case_sensitive else str.lower
        found: list[int] = []
        for candidate in _not_text(value):
            if fold(str(candidate)) == fold(value):
                found += self._others.get(type(candidate), {}).get(candidate, [])
        return found


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for key, value in pairs:
        groups[key].append(value)
    return dict(groups)


def _not_text(value: str) -> list[object]:
    """Return what else than text a value may be written for."""
    found: list[object] = [{"none": None, "true": True, "false": False}.get(value.lower(), "")]
    for kind in (int, float):
        try:
            found.append(kind(value))
        except ValueError:
            continue
    return found
