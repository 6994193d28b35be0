"""Files that are still growing, beside the one they will become or in a folder of their own.

No lock is needed for correctness: a partial file has one owner, whose name for it is unique, and
it becomes the target by one atomic rename after its hashes were checked. What an interrupted
process left behind is taken over by renaming it, which succeeds for exactly one claimant.

Names: ``.TARGET.IDENTITY.UNIQUE.part`` is free, ``.TARGET.IDENTITY.UNIQUE.MACHINE-PID.part`` has an
owner. IDENTITY stands for the content, so that two versions of a file are never joined.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import IO, Self

from medmint.errors import IntegrityError, WriterError
from medmint.home import disk_trouble
from medmint.processes import is_running, machine

SUFFIX = ".part"
BLOCK = 1 << 20
#: Room that is left on a disk: a file system that is full to the last block breaks other programs.
_SPARE = 16 << 20
#: A partial file of an owner who cannot be asked counts as left behind after this long.
_ABANDONED_AFTER = 3600.0
_NAME = re.compile(
    r"\.(?P<target>.+)\.(?P<identity>[0-9a-f]*)\.[0-9a-f]{12}"
    r"(?:\.(?P<machine>[0-9a-f]{8})-(?P<pid>\d+))?\.part"
)


class Partial:
    """A growing file that this process owns, with the hashes of what is in it.

    As a context manager it is given up at the end unless it was published: what is worth resuming
    is left for the next claimant.

    Parameters
    ----------
    target : Path
        The file that it becomes.
    identity : str
        Stands for the expected content; with ``""`` nothing is kept or taken over.
    folder : Path, optional
        Where it grows and is found again, on the disk of the target. Default: beside the target.

    Attributes
    ----------
    size : int
        Bytes so far.
    """

    def __init__(self, target: Path, identity: str, folder: Path | None = None) -> None:
        self.target = target
        self.size = 0
        self._place = (folder or target.parent) / target.name
        self._identity = identity
        self._path, self._file = self._claimed() or self._fresh()
        self._read_what_is_there()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._file.closed:
            return
        # A full disk is not to stay full, and wrong bytes are not to be resumed.
        if kind is not None and issubclass(kind, WriterError | IntegrityError):
            self._discard()
        else:
            self._release()

    def write(self, chunk: bytes) -> None:
        """Append bytes."""
        with disk_trouble(self.target):
            rest = memoryview(chunk)
            while rest:  # an unbuffered file may take less than it is given
                rest = rest[self._file.write(rest) :]
        self._account(chunk)

    def restart(self) -> None:
        """Begin again with an empty file."""
        self._discard()
        self.size = 0
        self._path, self._file = self._fresh()
        self._read_what_is_there()

    def sha256(self) -> str:
        """Return the digest of all bytes so far, in hex."""
        return self._sha256.hexdigest()

    def md5(self) -> str:
        """Return the digest of all bytes so far, in hex."""
        return self._md5.hexdigest()

    def beginning(self, size: int) -> bytes:
        """Return the first ``size`` bytes."""
        self._file.seek(0)
        start = self._file.read(size)
        self._file.seek(0, os.SEEK_END)
        return start

    def publish(self) -> None:
        """Become the target, all at once, and clear away what others left behind of it.

        Raises
        ------
        WriterError
            Because of a FileNotFoundError where somebody took or deleted the file meanwhile.
        """
        with disk_trouble(self.target):
            os.fsync(self._file.fileno())
            self._file.close()
            self._path.replace(self.target)
            _sync_folder(self.target.parent)
        for path in _left_behind(self._place):
            with suppress(OSError):
                path.unlink()

    def _release(self) -> None:
        if not (self._identity and self.size):
            self._discard()
            return
        self._file.close()
        # Somebody may have cleared the folder: then there is nothing to leave.
        with suppress(OSError):
            self._path.rename(self._name(owner=""))

    def _discard(self) -> None:
        self._file.close()
        with suppress(OSError):
            self._path.unlink()

    def _name(self, *, owner: str) -> Path:
        unique = uuid.uuid4().hex[:12]
        name = f".{self._place.name}.{self._identity}.{unique}{owner}{SUFFIX}"
        return self._place.with_name(name)

    def _fresh(self) -> tuple[Path, IO[bytes]]:
        path = self._name(owner=_owner())
        with disk_trouble(self.target):
            path.parent.mkdir(parents=True, exist_ok=True)
            return path, path.open("x+b", buffering=0)

    def _claimed(self) -> tuple[Path, IO[bytes]] | None:
        if not self._identity:
            return None
        for old in _left_behind(self._place, self._identity):
            mine = self._name(owner=_owner())
            try:
                old.rename(mine)
            except OSError:
                continue  # somebody else was faster, or still has it open on Windows
            if _is_surely_free(old):
                return mine, mine.open("r+b", buffering=0)
            return self._copied(mine)
        return None

    def _copied(self, doubtful: Path) -> tuple[Path, IO[bytes]]:
        """Take the bytes, not the file: a far-away owner may yet wake up and write into it."""
        path, file = self._fresh()
        try:
            with disk_trouble(self.target), doubtful.open("rb") as source:
                shutil.copyfileobj(source, file, BLOCK)
        except WriterError:
            file.truncate(0)
        doubtful.unlink(missing_ok=True)
        return path, file

    def _read_what_is_there(self) -> None:
        self._sha256 = hashlib.sha256()
        # Zenodo's own checksum; what medmint relies on is sha256.
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._file.seek(0)
        while chunk := self._file.read(BLOCK):
            self._account(chunk)

    def _account(self, chunk: bytes) -> None:
        self._sha256.update(chunk)
        self._md5.update(chunk)
        self.size += len(chunk)


def leftovers(folder: Path) -> list[Path]:
    """Return the partial files in a folder that no running process owns.

    Examples
    --------
    >>> leftovers(Path("no such folder"))
    []
    """
    found = [path for path in folder.glob(f".*{SUFFIX}") if _NAME.fullmatch(path.name)]
    return [path for path in found if _is_free(path)]


def check_space(folder: Path, size: int) -> None:
    """Raise `WriterError` unless ``size`` bytes more fit on the disk of a folder.

    Examples
    --------
    >>> check_space(Path(), 0)
    """
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if size and size + _SPARE > free:
        raise WriterError(
            folder,
            f"{size / 1e6:,.1f} MB are needed and {free / 1e6:,.1f} MB are free",
            "Make room (medmint cache clean), or set MEDMINT_HOME to a folder on a larger disk.",
        )


def _left_behind(place: Path, identity: str | None = None) -> list[Path]:
    """Return free partial files of a name in a folder, the largest first."""
    found = []
    for path in place.parent.glob(f".*{SUFFIX}"):
        name = _NAME.fullmatch(path.name)
        if name is None or name["target"] != place.name or not _is_free(path):
            continue
        if identity in {None, name["identity"]}:
            with suppress(OSError):
                found.append((path.stat().st_size, path))
    return [path for _, path in sorted(found, reverse=True)]


def _is_free(path: Path) -> bool:
    try:
        return _is_surely_free(path) or time.time() - path.stat().st_mtime > _ABANDONED_AFTER
    except OSError:
        return False


def _is_surely_free(path: Path) -> bool:
    name = _NAME.fullmatch(path.name)
    if name is None:
        return False
    # On Windows a file that its owner has open cannot be renamed anyway.
    if name["pid"] is None or os.name == "nt":
        return True
    return name["machine"] == machine() and not is_running(int(name["pid"]))


def _owner() -> str:
    return f".{machine()}-{os.getpid()}"


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":
        return  # folders cannot be opened there, and a rename is journalled
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
