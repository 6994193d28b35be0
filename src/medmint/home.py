"""Small files, folders and locks of medmint's own, and what is said when a disk refuses."""

from __future__ import annotations

import errno
import json
import logging
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from medmint.errors import MedmintError, WriterError

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
            hint = "Make room (medmint cache clean), or set MEDMINT_HOME to a larger disk."
        raise WriterError(path, error.strerror or str(error), hint) from error


def make_folder(path: Path) -> Path:
    """Create a folder, saying what to do where that is not possible."""
    with disk_trouble(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


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
        A link is followed: replacing it would leave its target, which others read, as it was.
    content : object
        Made of what JSON knows.
    aside : Path, optional
        Folder on the same disk in which it grows, cleared after a crash. Default: beside the file.

    Raises
    ------
    WriterError
        If the file cannot be written; what was there before stays.
    """
    path = path.resolve()
    partial = make_folder(aside or path.parent) / f".{path.name}.{uuid.uuid4().hex}"
    with disk_trouble(path):
        try:
            with partial.open("w", encoding="utf-8", newline="\n") as file:
                json.dump(content, file, indent=2, allow_nan=False)
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
            make_folder(path.parent)
            partial.replace(path)
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
