"""The bytes of one member of a zip archive, counted as they come out."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from medmint.errors import IntegrityError, UnsafeArchiveError

_PACKED_BLOCK = 1 << 16
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """A member as the archive's directory has it, and where its header and bytes are.

    Attributes
    ----------
    name : str
        With a slash at the end for a folder.
    size, compressed : int, bytes
    crc : int
    method : int
    header, start : int, bytes from the beginning of the archive
    """

    name: str
    size: int
    compressed: int
    crc: int
    method: int
    header: int
    start: int

    @property
    def is_folder(self) -> bool:
        """Whether this is a folder."""
        return self.name.endswith("/")


def content(entry: Entry, archive: Path, file: IO[bytes]) -> Iterator[bytes]:
    """Yield a member's bytes, never more of them than its directory entry says.

    Raises
    ------
    UnsafeArchiveError
        If there are more or fewer.
    IntegrityError
        If they are damaged.
    """
    count, checksum = 0, 0
    try:
        for block in _blocks(entry, file):
            count += len(block)
            if count > entry.size:
                raise UnsafeArchiveError(archive, entry.name, "is larger than it says")
            checksum = zlib.crc32(block, checksum)
            yield block
    except zlib.error as error:
        found = f"{entry.name} damaged ({error})"
        raise IntegrityError(archive, f"{entry.name} whole", found, "Download it again.") from error
    if count != entry.size:
        raise UnsafeArchiveError(archive, entry.name, "is smaller than it says")
    if checksum != entry.crc:
        found = f"checksum {checksum:08x}"
        raise IntegrityError(archive, f"{entry.name} with {entry.crc:08x}", found)


def _blocks(entry: Entry, file: IO[bytes]) -> Iterator[bytes]:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    place, left = entry.start, entry.compressed
    while left:
        file.seek(place)
        packed = file.read(min(_PACKED_BLOCK, left))
        if not packed:
            return
        place, left = place + len(packed), left - len(packed)
        if entry.method == zipfile.ZIP_STORED:
            yield packed
            continue
        while packed:
            yield inflater.decompress(packed, _BLOCK)
            packed = inflater.unconsumed_tail
        if inflater.eof and (left or inflater.unused_data):
            raise zlib.error("there are bytes behind its end")
    if entry.method != zipfile.ZIP_STORED:
        yield inflater.flush()
