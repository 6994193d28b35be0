"""Folders in which one process makes something, or takes it apart, before anyone sees it.

``<root>/.unfinished/<machine>-<pid>-<random>/`` is removed by its process, or after a crash by
`clear_abandoned`.
"""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from medmint.home import disk_trouble
from medmint.processes import is_running, machine

_NAME = ".unfinished"
#: A folder of a process that cannot be asked counts as abandoned after this long.
_DAY = 24 * 3600.0


@contextmanager
def unfinished_folder(root: Path) -> Iterator[Path]:
    """Give a new folder on the disk of ``root``, removed at the end with what is left in it.

    Raises
    ------
    WriterError
        If it cannot be made, or in place of an OSError while it is used.
    """
    folder = root / _NAME / f"{machine()}-{os.getpid()}-{uuid.uuid4().hex[:12]}"
    with disk_trouble(root):
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def clear_abandoned(root: Path) -> None:
    """Remove what processes that no longer run have left behind."""
    for folder in (root / _NAME).glob("*"):
        if _is_abandoned(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _is_abandoned(folder: Path) -> bool:
    try:
        if time.time() - folder.stat().st_mtime > _DAY:
            return True
    except OSError:
        return False
    host, process, _ = (*folder.name.split("-"), "", "")[:3]
    return host == machine() and process.isdecimal() and not is_running(int(process))
