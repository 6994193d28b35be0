"""How many samples go through a network at once, where the user leaves that open."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

LARGEST = 32
#: Float32 values that a network keeps at a time for each pixel or voxel that it gives: measured as
#: about 200 for reference model 10002; published generators have similar widths.
_VALUES_PER_PIXEL = 256
_BYTES = 4
#: The rest is for the weights, for the process that writes, and for other programs.
_SHARE = 0.5
_MEMORY_FACTS = Path("/proc/meminfo")
_GROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
_GROUP_USE = Path("/sys/fs/cgroup/memory.current")


def default_batch_size(image_size: Sequence[int], free: int | None) -> int:
    """Return the largest power of two, at most 32, whose batch should fit into memory.

    Parameters
    ----------
    image_size : sequence of int
        Sides of a sample, in pixels or voxels.
    free : int or None, bytes
        What there is; None where that is not known.

    Returns
    -------
    int
        At least 1: a batch that does not fit after all is halved when memory runs out.

    Examples
    --------
    >>> default_batch_size((128, 128), 8 << 30), default_batch_size((512, 512), 8 << 30)
    (32, 16)
    """
    if free is None:
        return LARGEST
    needed = max(1, math.prod(image_size)) * _VALUES_PER_PIXEL * _BYTES
    fitting = max(1, int(free * _SHARE / needed))
    return min(LARGEST, 1 << (fitting.bit_length() - 1))


def free_memory() -> int | None:
    """Return the bytes of memory that this process could still take; None where Linux is not."""
    try:
        facts = _MEMORY_FACTS.read_text(encoding="ascii")
        available = next(line for line in facts.splitlines() if line.startswith("MemAvailable:"))
        free = int(available.split()[1]) << 10
    except (OSError, ValueError, IndexError, StopIteration):
        return None
    try:
        # Containers and jobs of a cluster have a limit of their own.
        limit = int(_GROUP_LIMIT.read_text()) - int(_GROUP_USE.read_text())
    except (OSError, ValueError):
        return free
    return max(0, min(free, limit))
