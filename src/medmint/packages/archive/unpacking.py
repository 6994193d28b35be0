"""Zip archives from strangers: looked at as a whole, then unpacked if every rule is kept.

`inspect` reads the list of members and the header in front of each one, and writes nothing.
`unpack` does the same and then writes into a folder aside, which takes its name at the end. Bytes
are counted as they come out: what an archive says of its sizes is never believed.
"""

from __future__ import annotations

import os
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from medmint.errors import OutputError
from medmint.home import disk_trouble
from medmint.packages.archive.members import Entry, content
from medmint.packages.archive.rules import Inspection
from medmint.packages.download.partials import check_space

_NATIVE = (".so", ".pyd", ".dll", ".dylib")
_BYTE_CODE = (".pyc", ".pyo")
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".whl")


@dataclass(frozen=True, slots=True)
class Member:
    """One file of an archive.

    Attributes
    ----------
    name : str
        Path inside the archive, with forward slashes.
    size : int, bytes
    """

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class ArchiveReport:
    """What is in an archive that breaks no rule.

    Attributes
    ----------
    files : tuple of Member
    size : int, bytes
        Of all files together, unpacked.
    native, byte_code, archives : tuple of str
        Members that hold machine code, compiled Python, and archives, which stay as they are.
    """

    files: tuple[Member, ...]
    size: int
    native: tuple[str, ...]
    byte_code: tuple[str, ...]
    archives: tuple[str, ...]


def inspect(archive: Path, *, size_limit: int | None = None) -> ArchiveReport:
    """Look at an archive without unpacking any of it.

    Parameters
    ----------
    archive : Path
    size_limit : int, bytes, optional
        Declared size of all files together; default 20 GiB, and 4 GiB for one file.

    Returns
    -------
    ArchiveReport

    Raises
    ------
    UnsafeArchiveError
        If a member breaks a rule.
    IntegrityError
        If it is no zip archive, or a damaged one.
    """
    with archive.open("rb") as file:
        return _report(Inspection(archive, file, size_limit).entries())


def unpack(archive: Path, folder: Path, *, size_limit: int | None = None) -> ArchiveReport:
    """Unpack an archive that breaks no rule into a new folder.

    Parameters
    ----------
    archive : Path
    folder : Path
        Must not exist; it appears complete or not at all.
    size_limit : int, bytes, optional
        As for `inspect`.

    Returns
    -------
    ArchiveReport

    Raises
    ------
    UnsafeArchiveError, IntegrityError
        As `inspect`, and if the bytes are not what the archive says of them.
    OutputError
        If the folder exists.
    WriterError
        If the files cannot be written.
    """
    if os.path.lexists(folder):
        raise OutputError(folder, "it exists", "Name a new folder.")
    with archive.open("rb") as file:
        entries = Inspection(archive, file, size_limit).entries()
        report = _report(entries)
        check_space(folder.parent, report.size)
        aside = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:12]}.tmp")
        try:
            with disk_trouble(folder):
                aside.mkdir(parents=True)
                for entry in entries:
                    _write(entry, archive, file, aside)
                aside.rename(folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    return report


def _report(entries: list[Entry]) -> ArchiveReport:
    files = [entry for entry in entries if not entry.is_folder]

    def ending(suffixes: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(entry.name for entry in files if entry.name.lower().endswith(suffixes))

    return ArchiveReport(
        files=tuple(Member(entry.name, entry.size) for entry in files),
        size=sum(entry.size for entry in files),
        native=ending(_NATIVE),
        byte_code=ending(_BYTE_CODE),
        archives=ending(_ARCHIVES),
    )


def _write(entry: Entry, archive: Path, file: IO[bytes], folder: Path) -> None:
    path = folder.joinpath(*entry.name.split("/"))
    if entry.is_folder:
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as target:
        for block in content(entry, archive, file):
            target.write(block)
        target.flush()
        os.fsync(target.fileno())
