"""The file that a training goes on from after it was cut off, and the folder it is in."""

from __future__ import annotations

import json
import logging
import math
import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from medmint.errors import TrainingError, WriterError

logger = logging.getLogger(__name__)

_ANEW = "Name another --out, or remove the checkpoint to start anew."
_BROKEN = "it is no whole checkpoint"
#: What zipfile and torch say of bytes that are not theirs.
UNREADABLE = (
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
#: Adam keeps two numbers for each weight, from the first step on.
_GROWTH = 2


class Stateful(Protocol):
    """A network or an optimiser."""

    def state_dict(self) -> Mapping[str, Any]:
        """Return all that it needs to go on."""

    def load_state_dict(self, state: Any, /) -> Any:
        """Go on from a state."""


Parts = Mapping[str, Stateful]


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep other trainings out of a folder; the lock of a process ends with it, however it ends.

    Raises
    ------
    TrainingError
        If another training writes there.
    """
    from filelock import FileLock, Timeout

    held = FileLock(folder / ".lock")
    try:
        held.acquire(blocking=False)
    except Timeout as error:
        raise TrainingError(
            folder, "another training writes there", "Wait for it, or name another --out."
        ) from error
    except (OSError, NotImplementedError) as error:
        logger.debug("going on without the lock %s: %s", held.lock_file, error)
    try:
        yield
    finally:
        held.release()


def save_checkpoint(path: Path, facts: Mapping[str, Any], parts: Parts) -> None:
    """Write a checkpoint so that it is there whole or not at all.

    Parameters
    ----------
    path : Path
    facts : mapping
        Plain values.
    parts : mapping of str to Stateful

    Raises
    ------
    TrainingError
        If a weight is not a number; what was there before stays.
    WriterError
        If the file cannot be written; what was there before stays.
    """
    states = {name: part.state_dict() for name, part in parts.items()}
    for name, state in states.items():
        if lost := [key for key, value in state.items() if _is_lost(value)]:
            raise TrainingError(
                path, f"{name} has values that are not numbers in {lost[0]}", "Lower the rate."
            )
    _write(path, {**facts, "parts": states})


def reserve(path: Path, facts: Mapping[str, Any], parts: Parts) -> None:
    """Write the first checkpoint, with room for all that later ones have and this one has not.

    A disk that is too small is better known now than in an hour. It has to hold two at once.

    Raises
    ------
    WriterError
        If there is no such room.
    """
    states = {name: part.state_dict() for name, part in parts.items()}
    size = sum(v.nbytes for s in states.values() for v in s.values() if isinstance(v, Tensor))
    room = torch.zeros(size * _GROWTH, dtype=torch.uint8)
    for _ in range(2):
        _write(path, {**facts, "parts": states, "room": room})


def _is_lost(value: object) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point() and bool(value.isnan().any())


def _write(path: Path, state: Mapping[str, Any]) -> None:
    partial = path.with_suffix(".partial")
    try:
        with partial.open("wb") as file:
            torch.save(dict(state), file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except (OSError, RuntimeError) as error:
        # torch makes a RuntimeError of a full disk.
        cause = error.__context__ if isinstance(error.__context__, OSError) else error
        reason = getattr(cause, "strerror", None) or first_lines(cause)
        raise WriterError(path, reason, "Make room there, or name another --out.") from error
    finally:
        partial.unlink(missing_ok=True)


def load_checkpoint(path: Path, settings: Mapping[str, Any], parts: Parts) -> dict[str, Any]:
    """Bring networks and optimisers to where they were, and return the other facts.

    Raises
    ------
    TrainingError
        If the file is no checkpoint, or one of another model or of other settings.
    """
    state = _read(path)
    _refuse_changes(path, state["settings"], plain(settings))
    saved = state.pop("parts")
    if saved.keys() != parts.keys():
        there, asked = (", ".join(sorted(names)) for names in (saved, parts))
        raise TrainingError(path, f"it is of another model: it has {there}, not {asked}", _ANEW)
    for name, part in parts.items():
        try:
            part.load_state_dict(saved[name])
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
            reason = f"{name} is of another architecture ({first_lines(error)})"
            raise TrainingError(path, reason, _ANEW) from error
    return state


def read_step(path: Path, settings: Mapping[str, Any]) -> int:
    """Return the step that a checkpoint is of; settings that are not given are not compared.

    Raises
    ------
    TrainingError
        If the file is no checkpoint, or one of other settings.
    """
    state = _read(path)
    before = state["settings"]
    _refuse_changes(path, {key: before.get(key) for key in settings}, plain(settings))
    return int(state["step"])


def _refuse_changes(path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    if changed := sorted(key for key in {**now, **before} if now.get(key) != before.get(key)):
        told = ", ".join(f"{key} {before.get(key)!r} then, {now.get(key)!r} now" for key in changed)
        raise TrainingError(path, f"it was made with other settings ({told})", _ANEW)


def _read(path: Path) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(path) as archive:
            # torch reads damaged numbers as if they were good ones.
            is_whole = archive.testzip() is None
        state = torch.load(path, map_location="cpu", weights_only=True) if is_whole else {}
        if _is_checkpoint(state):
            return {**state, "settings": plain(state["settings"])}
    except UNREADABLE as error:
        raise TrainingError(path, _BROKEN, _ANEW) from error
    raise TrainingError(path, _BROKEN, _ANEW)


def _is_checkpoint(state: Any) -> bool:
    """Tell whether these are the facts and parts of a training, each of its type."""
    if not _has_names(state) or not {"settings", "step", "best", "rows", "parts"} <= state.keys():
        return False
    # A bool is an int to isinstance, and nothing is less than what is not a number.
    is_step = type(state["step"]) is int and state["step"] >= 0
    is_best = type(state["best"]) in {int, float} and not math.isnan(state["best"])
    return (
        is_step
        and is_best
        and _has_names(state["settings"])
        and isinstance(state["rows"], list)
        and all(map(_is_row, state["rows"]))
        and _has_names(state["parts"])
        and all(map(_has_names, state["parts"].values()))
    )


def _is_row(row: Any) -> bool:
    """Tell whether this is a row of the log: numbers by name, the step among them."""
    return (
        _has_names(row)
        and "step" in row
        and all(isinstance(value, int | float) for value in row.values())
    )


def _has_names(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(name, str) for name in value)


def plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as they come back from a file: tuples as lists, paths as text.

    Examples
    --------
    >>> plain({"widths": (32, 64), "data": Path("data")})
    {'widths': [32, 64], 'data': 'data'}
    """
    made: dict[str, Any] = json.loads(json.dumps(dict(settings), default=str))
    return made


def first_lines(error: BaseException) -> str:
    """Return the first two lines of a message, which torch makes long."""
    lines = str(error).split("\n")
    return " ".join(line.strip() for line in lines[:2])[:300]
