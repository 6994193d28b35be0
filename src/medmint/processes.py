"""Which process made a file, and whether it still runs."""

from __future__ import annotations

import os
import platform
import zlib
from functools import cache
from pathlib import Path


@cache
def machine() -> str:
    """Return a short name for the space in which a process number means one process."""
    namespace = Path("/proc/self/ns/pid")
    # Containers may share a host name and a disk, and count their processes each for themselves.
    space = namespace.stat().st_ino if namespace.exists() else 0
    return f"{zlib.crc32(f'{platform.node()}:{space}'.encode()):08x}"


def is_running(process: int) -> bool:
    """Tell whether a process of this machine runs; True where that cannot be asked.

    Examples
    --------
    >>> is_running(os.getpid())
    True
    """
    if os.name == "nt":
        # Signal 0 would end the process there.
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
