"""The id of a new model: its form, and a number that nobody has."""

from __future__ import annotations

import re
from collections.abc import Iterable

from medmint.errors import ArgumentError

SHORTEST, LONGEST = 13, 64
_CONVENTION = re.compile(r"[0-9]{5}_[A-Za-z0-9_-]+")
_HIGHEST = 99_999


def check_model_id(model_id: object, taken: Iterable[str]) -> str:
    """Return the id of a new model if it keeps the convention and its number is free.

    Parameters
    ----------
    model_id : str
        Five digits, an underscore and a name of at least seven characters, by convention the kind
        of model, the modality and what is seen: ``10006_FASTGAN_MRI_BRAIN``.
    taken : iterable of str
        The ids that are in use.

    Raises
    ------
    ArgumentError
        With a free id where it is only the number that is wrong.

    Examples
    --------
    >>> check_model_id("00024_DCGAN_MMG_CALC", ["00023_OTHER_MODEL"])
    '00024_DCGAN_MMG_CALC'
    """
    taken = list(taken)
    form = f"five digits, an underscore and a name, {SHORTEST} to {LONGEST} characters together"
    if not isinstance(model_id, str) or not _CONVENTION.fullmatch(model_id):
        near = f", such as {proposed_id(str(model_id), taken)}"
        raise ArgumentError("model_id", model_id, form + near)
    if not SHORTEST <= len(model_id) <= LONGEST:
        example = "such as 10006_FASTGAN_MRI_BRAIN"
        raise ArgumentError("model_id", model_id, f"{form} (these are {len(model_id)}), {example}")
    owner = next((one for one in taken if one[:5] == model_id[:5]), None)
    if owner is not None:
        free = f"{free_number(taken)}{model_id[5:]}"
        raise ArgumentError(
            "model_id", model_id, f"a number that is free: {owner} has this one. {free} is free"
        )
    return model_id


def free_number(taken: Iterable[str]) -> str:
    """Return the number behind the highest one in use, else the lowest that is free.

    Examples
    --------
    >>> free_number(["00001_ONE", "00007_SEVEN"]), free_number(["99999_LAST"])
    ('00008', '00001')
    """
    used = {int(model_id[:5]) for model_id in taken}
    following = max(used, default=0) + 1
    if following > _HIGHEST:
        following = next(number for number in range(1, _HIGHEST + 1) if number not in used)
    return f"{following:05d}"


def proposed_id(name: str, taken: Iterable[str]) -> str:
    """Make a free id that keeps the convention out of any name.

    Examples
    --------
    >>> proposed_id("my polyps", ["00023_OTHER_MODEL"])
    '00024_MY_POLYPS'
    >>> proposed_id("x", [])
    '00001_X_MODEL'
    """
    words = re.sub(r"[^A-Z0-9-]+", "_", name.upper()).strip("_-") or "NEW"
    words = re.sub(r"^[0-9]{1,5}_", "", words)
    model_id = f"{free_number(taken)}_{words}"[:LONGEST].rstrip("_-")
    return model_id if len(model_id) >= SHORTEST else f"{model_id}_MODEL"
