"""Small files, folders and locks of medmint's own, and what is said when a disk refuses."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from medmint.errors import ArgumentError, MedmintError, OutputError, WriterError

logger = logging.getLogger(__name__)

#: Beyond this, whoever holds a lock is taken for stuck, and the work is done twice.
_LONGEST_WAIT = 3600.0


@contextmanager
def disk_trouble(path: Path) -> Iterator[None]:
    """Turn what an operating system says about writing into a `WriterError` with advice."""
    try:
        yield
    except MedmintError:
        raise
    except OSError as error:
        hint = "Name a folder that can be written to; MEDMINT_HOME is where medmint keeps its own."
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            hint = "Make room there (in MEDMINT_HOME: medmint cache clean), or name another disk."
        raise WriterError(path, _reason(error), hint) from error


def _reason(error: OSError) -> str:
    if isinstance(error, shutil.Error) and isinstance(error.args[0], list):
        # One for each file: source, target and what was wrong.
        return str(error.args[0][0][2])
    return error.strerror or str(error)


def user_path(argument: str, given: object, what: str) -> Path:
    """Return a path that a user has named, with ``~`` replaced by a home.

    Parameters
    ----------
    argument : str
        What the user knows it as.
    given : str or os.PathLike
    what : str
        What the path is of, such as ``"a folder"``.

    Raises
    ------
    ArgumentError
        If no file or folder can be called so, or links go round in a circle.

    Examples
    --------
    >>> user_path("folder", "runs", "a folder").name
    'runs'
    """
    reason = ""
    if isinstance(given, str | os.PathLike) and os.fspath(given) not in {"", b""}:
        try:
            path = Path(given).expanduser()
            path.resolve()
        except (TypeError, ValueError, RuntimeError, OSError) as error:
            reason = f" ({error})"
        else:
            return path
    raise ArgumentError(argument, given, f"the path of {what}{reason}")


def make_folder(path: Path) -> Path:
    """Create a folder, saying what to do where that is not possible."""
    with disk_trouble(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Give a folder to fill; what is in it at the end comes to its place, after an error nothing.

    Parameters
    ----------
    folder : Path
        The place; it may be an empty folder.

    Raises
    ------
    OutputError
        If it exists and is not empty.
    WriterError
        If it cannot be written.
    """
    with disk_trouble(folder):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise OutputError(folder, "it exists and is not empty", "Name a new folder.")
        place, is_there = folder.resolve(), folder.exists()
        aside = make_folder(place.parent) / f".{place.name[:40]}.{uuid.uuid4().hex}"
        try:
            aside.mkdir()
            yield aside
            if is_there:
                # Someone may stand in it, so it is filled, not replaced.
                for path in aside.iterdir():
                    path.replace(place / path.name)
            else:
                aside.replace(place)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a small file of our own; None where it is absent or torn."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def write_json(path: Path, content: object, *, aside: Path | None = None) -> None:
    """Write a file so that it is there whole or not at all.

    Parameters
    ----------
    path : Path
        See `write_file`; missing folders are made.
    content : object
        Made of what JSON knows.
    aside : Path, optional
        Folder on the same disk in which it grows, cleared after a crash. Default: beside the file.

    Raises
    ------
    WriterError
        If the file cannot be written; what was there before stays.
    """
    text = json.dumps(content, indent=2, allow_nan=False)
    make_folder(path.resolve().parent)
    write_file(path, f"{text}\n".encode(), aside=aside)


def write_file(path: Path, content: bytes, *, aside: Path | None = None) -> None:
    """Write a file so that it is there whole or not at all.

    Parameters
    ----------
    path : Path
        In a folder that exists. A link is followed: replacing it would leave its target, which
        others read, as it was.
    content : bytes
    aside : Path, optional
        Folder on the same disk in which it grows, cleared after a crash. Default: beside the file.

    Raises
    ------
    WriterError
        If the file cannot be written; what was there before stays.
    """
    target = path.resolve()
    partial = (
        make_folder(aside) if aside else target.parent
    ) / f".{target.name[:40]}.{uuid.uuid4().hex}"
    with disk_trouble(path):
        try:
            with partial.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def lock(home: Path, name: str) -> Iterator[None]:
    """Wait for others who do the same work, where the file system has locks.

    They spare work; nothing may depend on them.
    """
    from filelock import FileLock

    held = FileLock(make_folder(home / "locks") / f"{name}.lock")
    try:
        held.acquire(timeout=_LONGEST_WAIT)
    except (OSError, NotImplementedError) as error:
        logger.debug("going on without the lock %s: %s", held.lock_file, error)
    try:
        yield
    finally:
        held.release()
