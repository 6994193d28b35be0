"""Model ids as people write them."""

from __future__ import annotations

import difflib
import itertools
import operator
from collections.abc import Iterable
from typing import SupportsIndex

#: Beyond this many ids, near matches are looked for among those that begin alike.
_POOL = 2_000


def five_digits(model_id: object) -> str | None:
    """Return the digits that an id starts with for what is meant as a number, else None.

    Examples
    --------
    >>> five_digits(10), five_digits("010"), five_digits("polyp"), five_digits(True)
    ('00010', '00010', None, None)
    """
    if isinstance(model_id, str):
        digits = model_id
    elif isinstance(model_id, SupportsIndex) and not isinstance(model_id, bool):
        # Integers of numpy are as good as those of Python; its arrays only look like integers.
        try:
            digits = str(operator.index(model_id))
        except TypeError:
            return None
    else:
        return None
    is_number = digits.isascii() and digits.isdigit() and len(digits) <= 5
    return digits.zfill(5) if is_number else None


def near_matches(wanted: str, model_ids: Iterable[str], *, most: int = 3) -> list[str]:
    """Return ids that look like what was asked for, the closest first.

    Examples
    --------
    >>> near_matches("fastgan_polyps", ["00001_DCGAN_MASS", "00010_FASTGAN_POLYP"])
    ['00010_FASTGAN_POLYP']
    """
    wanted = wanted.lower()
    ids = list(model_ids)
    if len(ids) > _POOL:
        head = wanted[:4]
        alike = (each for each in ids if head in (each[:4], each[6:10].lower()))
        ids = list(itertools.islice(alike, _POOL))
    if wanted.isdigit():
        by_number = {each[:5]: each for each in ids}
        return [by_number[near] for near in difflib.get_close_matches(wanted, by_number, n=most)]
    names = {name: each for each in ids for name in (each.lower(), each[6:].lower())}
    near = [names[name] for name in names if len(wanted) > 2 and wanted in name]
    near += [names[name] for name in difflib.get_close_matches(wanted, names, most, cutoff=0.5)]
    return list(dict.fromkeys(near))[:most]
