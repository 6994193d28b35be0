"""Small files, folders and locks of medmint's home."""

from __future__ import annotations

import json
import logging
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from medmint.packages.download.partials import disk_trouble

logger = logging.getLogger(__name__)

#: Beyond this, whoever holds a lock is taken for stuck, and the work is done twice.
_LONGEST_WAIT = 3600.0


def make_folder(path: Path) -> Path:
    """Create a folder of medmint's home, saying what to do where that is not possible."""
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


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a small file of our own so that it is there whole or not at all."""
    partial = make_folder(path.parent) / f".{path.name}.{uuid.uuid4().hex}"
    with disk_trouble(path):
        try:
            with partial.open("w", encoding="utf-8") as file:
                json.dump(content, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
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
