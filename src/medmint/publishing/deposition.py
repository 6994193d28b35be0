"""A package on its way to Zenodo, and what Zenodo says of where it is."""

from __future__ import annotations

import hashlib
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from medmint.errors import ArgumentError
from medmint.progress import Progress

_BLOCK = 1 << 20


def marker(model_id: str, sha256: str) -> str:
    """Return the words by which a draft or an issue of this very package is found again.

    Examples
    --------
    >>> marker("90001_MY_MODEL", "9f86...")
    'medmint-model-id: 90001_MY_MODEL sha256: 9f86...'
    """
    return f"medmint-model-id: {model_id} sha256: {sha256}"


@dataclass(frozen=True, slots=True)
class Archive:
    """The zip of a package, measured once.

    Attributes
    ----------
    path : Path
    size_bytes : int
    sha256 : str
        Digest in hex, for the catalogue.
    md5 : str
        Digest in hex, the only one that Zenodo knows.
    """

    path: Path
    size_bytes: int
    sha256: str
    md5: str

    @classmethod
    def of(cls, path: Path) -> Self:
        """Read a file once for its digests.

        Raises
        ------
        ArgumentError
            If there is no such file, or nothing in it.
        """
        md5, sha256, size = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0
        try:
            with path.open("rb") as file:
                while block := file.read(_BLOCK):
                    md5.update(block)
                    sha256.update(block)
                    size += len(block)
        except OSError as error:
            raise ArgumentError("archive", str(path), "a file that can be read") from error
        if not size:
            raise ArgumentError("archive", str(path), "a file with something in it")
        return cls(path, size, sha256.hexdigest(), md5.hexdigest())

    @property
    def name(self) -> str:
        """What the file is called, here and there."""
        return self.path.name


class ReportingFile(io.BufferedReader):
    """An archive that is sent as it is read, and says how far that is."""

    def __init__(self, archive: Archive, progress: Progress) -> None:
        super().__init__(io.FileIO(archive.path))
        self._total, self._progress = archive.size_bytes, progress
        self._label = f"uploading {archive.name}"

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as any file does."""
        data = super().read(size)
        self._progress(self.tell(), self._total, self._label)
        return data


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file as Zenodo has it."""

    name: str
    size_bytes: int
    md5: str

    def is_copy_of(self, archive: Archive) -> bool:
        """Tell whether it is the archive, by name, size and checksum."""
        known = (archive.name, archive.size_bytes, archive.md5)
        return (self.name, self.size_bytes, self.md5) == known

    @classmethod
    def from_json(cls, answer: Any) -> Self:
        """Read a file of a deposition, or the answer to an upload: they use other names.

        Raises
        ------
        ValueError
            If it is neither.
        """
        if not isinstance(answer, dict):
            raise ValueError("no file")
        name = answer.get("key", answer.get("filename"))
        size = answer.get("size", answer.get("filesize"))
        checksum = str(answer.get("checksum", "")).removeprefix("md5:")
        if not isinstance(name, str) or not isinstance(size, int | float):
            raise ValueError("no name or size")
        return cls(name, int(size), checksum)


@dataclass(frozen=True, slots=True)
class Deposition:
    """A draft on Zenodo, or the record it became.

    Attributes
    ----------
    number : int
        Its id, also that of the record.
    is_published : bool
    doi : str
        Reserved for a draft, valid once it is published.
    bucket : str
        Address that files are sent to; empty where none is told.
    files : tuple of StoredFile
    notes : str
        Holds the `marker` of the package.
    latest_draft : int or None
        The draft of a newer version.
    """

    number: int
    is_published: bool
    doi: str
    bucket: str
    files: tuple[StoredFile, ...]
    notes: str
    latest_draft: int | None

    @classmethod
    def from_json(cls, answer: Any) -> Self:
        """Read what the deposit API says.

        Raises
        ------
        ValueError
            If it is no deposition.
        """
        if not isinstance(answer, dict) or type(answer.get("id")) is not int:
            raise ValueError("no deposition")
        metadata, links = _table(answer, "metadata"), _table(answer, "links")
        files = answer.get("files")
        draft = re.search(r"/depositions/(\d+)$", str(links.get("latest_draft", "")))
        doi = answer.get("doi") or _table(metadata, "prereserve_doi").get("doi")
        return cls(
            number=answer["id"],
            is_published=answer.get("submitted") is True,
            doi=str(doi or ""),
            bucket=str(links.get("bucket", "")),
            files=tuple(map(StoredFile.from_json, files if isinstance(files, list) else [])),
            notes=str(metadata.get("notes", "")),
            latest_draft=int(draft[1]) if draft else None,
        )

    def holds(self, archive: Archive) -> bool:
        """Tell whether the archive is among its files, complete."""
        return any(file.is_copy_of(archive) for file in self.files)

    def other_archives(self, archive: Archive) -> list[str]:
        """Return the names of other zip files, such as that of the version before.

        What else a user put there, by the form on the web, is none of our business.
        """
        names = [file.name for file in self.files if file.name != archive.name]
        return [name for name in names if name.lower().endswith(".zip")]


def _table(answer: dict[str, Any], name: str) -> dict[str, Any]:
    value = answer.get(name)
    return value if isinstance(value, dict) else {}
