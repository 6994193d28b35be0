"""Where values and words of a catalogue occur: the raw material of its search index."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import reduce
from itertools import chain
from operator import or_
from typing import Any

from medmint.model_selector.matching import tokens

#: Parts of the description that say what a model is, and parts that only mention things.
NAMING = ("title",)
MENTIONING = ("comment", "publication", "doi")
#: The models of a value are kept as a mask if they are more than one in 16: it is smaller then.
_DENSE = 16
#: Positions of models; a single one is kept bare, which spares a list for each rare word.
Models = int | list[int]
Entries = Mapping[str, dict[str, Any]]


def mask_of(positions: Iterable[int], count: int) -> int:
    """Return an integer with one byte for each of ``count`` models, 1 at these positions.

    Examples
    --------
    >>> hex(mask_of([0, 2], 4))
    '0x10001'
    """
    flags = bytearray(count)
    for position in positions:
        flags[position] = 1
    return int.from_bytes(flags, "little")


class Postings:
    """The models in which each of many keys occurs, frequent ones as masks.

    Parameters
    ----------
    table : dict of str to int or list of int
        Positions of models by key; it is emptied of frequent keys.
    count : int
        Number of models.
    """

    def __init__(self, table: dict[str, Models], count: int) -> None:
        self._count = count
        self._rare = table
        self._frequent: dict[str, int] = {}
        for key, models in table.items():
            if len(_as_list(models)) * _DENSE > count:
                self._frequent[key] = mask_of(_as_list(models), count)
        for key in self._frequent:
            del table[key]

    def __iter__(self) -> Iterator[str]:
        return chain(self._rare, self._frequent)

    def union(self, keys: Collection[str]) -> int:
        """Return the mask of the models in which any of the keys occurs."""
        frequent = (self._frequent[key] for key in keys if key in self._frequent)
        rare = [_as_list(self._rare[key]) for key in keys if key in self._rare]
        found = reduce(or_, frequent, 0)
        return found | mask_of(chain.from_iterable(rare), self._count) if rare else found


def collect_values(
    entries: Entries,
) -> tuple[dict[str, Models], dict[type, dict[Any, list[int]]]]:
    """Return the positions of the models by text value of ``selection``, and by other values."""
    texts: defaultdict[str, list[int]] = defaultdict(list)
    others: dict[type, dict[Any, list[int]]]
    others = {kind: defaultdict(list) for kind in (int, float, bool, type(None))}
    for number, record in enumerate(entries.values()):
        pending: list[Any] = [record["selection"]]
        # The list grows while it is walked: nesting of any depth, and no recursion.
        for node in pending:
            for value in node.values() if type(node) is dict else node:
                kind = type(value)
                if kind is str:
                    texts[value].append(number)
                elif kind is list or kind is dict:
                    pending.append(value)
                elif kind in others:
                    others[kind][value].append(number)
    return dict(texts), others


def collect_tokens(entries: Entries) -> tuple[dict[str, Models], dict[str, Models]]:
    """Return the models of the tokens in names, and of those in what is only mentioned."""
    names: dict[str, Models] = {}
    mentions: dict[str, Models] = {}
    for number, (model_id, record) in enumerate(entries.items()):
        _add(names, model_id[6:], number)
        for text in _texts_in(record["description"], NAMING):
            _add(names, text, number)
        for text in _texts_in(record["description"], MENTIONING):
            _add(mentions, text, number)
    # Many models share a text: each text is taken apart once.
    return _by_token(names), _by_token(mentions)


def collect_keys(entries: Entries) -> dict[str, list[int]]:
    """Return the positions of the models by key of ``selection``, of any level."""
    keys: defaultdict[str, list[int]] = defaultdict(list)
    for number, record in enumerate(entries.values()):
        pending: list[Any] = [record["selection"]]
        for node in pending:
            if type(node) is dict:
                for key in node:
                    keys[key].append(number)
            inner = node.values() if type(node) is dict else node
            pending += [value for value in inner if type(value) in (dict, list)]
    return dict(keys)


def _add(table: dict[str, Models], key: str, number: int) -> None:
    known = table.setdefault(key, number)
    if isinstance(known, list):
        known.append(number)
    elif known != number:
        table[key] = [known, number]


def _by_token(models_of_text: Mapping[str, Models]) -> dict[str, Models]:
    table: dict[str, Models] = {}
    for text, models in models_of_text.items():
        for token in set(tokens(text)):
            known = table.get(token)
            if known is None:
                table[token] = models if isinstance(models, int) else models.copy()
            elif isinstance(known, int):
                table[token] = [known, *_as_list(models)]
            elif isinstance(models, int):
                known.append(models)
            else:
                known += models
    return table


def _as_list(models: Models) -> list[int]:
    return [models] if isinstance(models, int) else models


def _texts_in(description: Mapping[str, Any], fields: Iterable[str]) -> Iterator[str]:
    for field in fields:
        found = description.get(field)
        if isinstance(found, str):
            yield found
        elif isinstance(found, list):
            yield from (part for part in found if isinstance(part, str))
