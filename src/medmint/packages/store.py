"""Packages on this machine: brought here once, complete or absent, known by their content.

::

    <home>/packages/<first 16 hex digits of the zip's sha256>/files/...    what was in the zip
                                                             /installed.json   written last
    <home>/receipts/<model_id>.json     which package a model was installed from
    <home>/downloads/, <home>/locks/    partial downloads, locks that save bandwidth

A folder under ``packages`` appears by one rename and is never written again, so that no crash and
no second process can make half a package look whole. Locks only spare work: where they do not
work, every step is still checked after it was taken.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from medmint.catalogue.records import ModelRecord
from medmint.errors import (
    ArgumentError,
    ContractError,
    IntegrityError,
    PackageError,
)
from medmint.home import disk_trouble, lock, make_folder, new_folder, read_json, write_json
from medmint.packages.download.partials import leftovers
from medmint.packages.origin import local_zip, own_folder, source_of
from medmint.packages.package import (
    Package,
    describe,
    find_root,
    find_weights,
    hash_file,
    walk,
)
from medmint.packages.unfinished import clear_abandoned, unfinished_folder
from medmint.progress import Progress
from medmint.settings import Settings

if TYPE_CHECKING:
    from medmint.transport import Patience

logger = logging.getLogger(__name__)

_MARKER = "installed.json"


class PackageStore:
    """Finds, installs, checks and removes packages.

    Parameters
    ----------
    settings : Settings
    progress : Progress, optional
        Told how a download goes on.
    patience : Patience, optional
        How long and how often a download is tried.
    """

    def __init__(
        self,
        settings: Settings,
        progress: Progress | None = None,
        *,
        patience: Patience | None = None,
    ) -> None:
        self._settings = settings
        self._progress = progress
        self._patience = patience

    def locate(
        self, record: ModelRecord, *, package: Path | None = None, weights: Path | None = None
    ) -> Package:
        """Return the package of a model, installing it where it is not here yet.

        Parameters
        ----------
        record : ModelRecord
        package : Path, optional
            Run this folder instead of the installed package.
        weights : Path, optional
            Run the package with these weights instead of its own.

        Raises
        ------
        PackageError
            If the package cannot be had, is damaged, or is not what its record says.
        """
        if package is not None and not package.is_dir():
            raise ArgumentError("package", str(package), "an existing folder with __init__.py")
        if weights is not None and not weights.is_file():
            raise ArgumentError("weights", str(weights), "an existing file")
        own = own_folder(record, package)
        while True:
            folder, sha256 = own or self._installed(record)
            try:
                found = describe(record, folder, sha256, weights)
            except (ContractError, IntegrityError):
                # Another process may have removed it since: then it is brought here again.
                if own or self._is_whole(sha256):
                    raise
            else:
                modified = package is not None or weights is not None
                return replace(found, modified=modified)

    def install(self, record: ModelRecord) -> Package:
        """Bring the package of a model here; nothing happens where it is already."""
        return self.locate(record)

    def is_installed(self, record: ModelRecord) -> bool:
        """Tell whether the package can be used without a download."""
        return own_folder(record, None) is not None or self._receipt(record) is not None

    def remove(self, record: ModelRecord) -> bool:
        """Remove the installed package; False where there was none."""
        file = self._receipt_file(record)
        receipt = _read_receipt(file)
        if file.exists():
            with disk_trouble(file):
                file.unlink(missing_ok=True)
        if receipt is None or not self._is_whole(receipt["sha256"]):
            return False
        with lock(self._settings.home, "packages"):
            # A damaged package is of no use to the other models either: they bring it anew.
            is_damaged = any(self._differences(receipt["sha256"]))
            self._discard([self._folder(receipt["sha256"])], even_if_used=is_damaged)
        return True

    def verify(self, record: ModelRecord) -> str:
        """Read every file of the package again and return the package's hash.

        Raises
        ------
        IntegrityError
            If a file is not as it was when the package was installed.
        PackageError
            If the package is not installed.
        """
        own = own_folder(record, None)
        if own is not None:
            return own[1]
        receipt = self._receipt(record)
        differences = [] if receipt is None else list(self._differences(receipt["sha256"]))
        # Asked for again: another process may have removed it while it was read.
        if receipt is None or (differences and self._receipt(record) is None):
            raise PackageError(
                f"The package of {record.model_id} is not installed. "
                f"Run: medmint install {record.model_id}"
            )
        files = self._folder(receipt["sha256"]) / "files"
        for name, expected, found in differences:
            hint = f"Run: medmint remove {record.model_id} && medmint install {record.model_id}"
            raise IntegrityError(files / name, expected, found, hint)
        return receipt["sha256"]

    def copy(self, record: ModelRecord, folder: Path) -> Path:
        """Copy the package into a new folder for editing; run it with ``package=folder``.

        Raises
        ------
        OutputError
            If the folder exists and is not empty.
        WriterError
            If it cannot be written; what was copied is removed again.
        """
        with new_folder(folder) as copied:
            found = self.locate(record)
            # Weights may lie beside the folder of the code.
            is_all = found.weights is None or found.weights.is_relative_to(found.root)
            source = found.root if is_all else found.root.parent
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, copied, dirs_exist_ok=True, ignore=ignored)
        return folder

    def folders(self) -> list[tuple[Path, list[str]]]:
        """Return each installed package folder with the ids of the models that use it."""
        users = self._users()
        return [
            (folder, users.get(folder.name, []))
            for folder in sorted(self._packages.glob("[0-9a-f]*"))
        ]

    def partial_downloads(self) -> list[Path]:
        """Return what interrupted downloads have left to go on with."""
        return sorted(path for path in self._downloads.rglob("*") if path.is_file())

    def clean(self) -> None:
        """Remove partial downloads, packages that no model uses and leftovers of crashes.

        What running processes are at work on is let alone.
        """
        unused = [folder for folder, model_ids in self.folders() if not model_ids]
        if unused:
            with lock(self._settings.home, "packages"):
                self._discard(unused)
        clear_abandoned(self._packages)
        for file in leftovers(self._downloads):
            with disk_trouble(file):
                file.unlink(missing_ok=True)

    def _installed(self, record: ModelRecord) -> tuple[Path, str]:
        receipt = self._receipt(record) or self._install_once(record)
        return self._folder(receipt["sha256"]) / "files", receipt["sha256"]

    def _install_once(self, record: ModelRecord) -> dict[str, str]:
        with lock(self._settings.home, record.model_id):
            return self._receipt(record) or self._install(record)

    def _install(self, record: ModelRecord) -> dict[str, str]:
        before = _read_receipt(self._receipt_file(record))
        is_same = before is not None and before["source"] == source_of(record)
        pinned = record.execution.sha256 or (before["sha256"] if before and is_same else None)
        with unfinished_folder(self._packages) as aside:
            archive = local_zip(record) or self._download(record, pinned, aside)
            sha256 = hash_file(archive)
            if pinned not in {None, sha256}:
                hint = "This is not the package that the record describes: check its link."
                raise IntegrityError(archive, f"sha256 {pinned}", f"sha256 {sha256}", hint)
            receipt = {"source": source_of(record), "sha256": sha256}
            while not self._is_whole(sha256) or not self._issue(record, receipt, aside):
                self._publish(record, archive, sha256, aside / "package")
        return receipt

    def _download(self, record: ModelRecord, pinned: str | None, aside: Path) -> Path:
        """Bring the zip into a folder of this process."""
        from medmint.packages.download.sources import Expected
        from medmint.packages.download.transfer import fetch_with
        from medmint.transport import PATIENCE, Client

        expected = Expected(pinned, None, record.execution.size_bytes)
        link, target = record.execution.package_link, aside / f"{record.model_id}.zip"
        partials = make_folder(self._downloads)
        with Client(self._settings, patience=self._patience or PATIENCE) as client:
            return fetch_with(
                client, link, target, expected, self._progress, partials=partials
            ).path

    def _publish(self, record: ModelRecord, archive: Path, sha256: str, aside: Path) -> None:
        """Make a package folder appear whole: filled aside, checked, marked, then renamed."""
        from medmint.packages.archive.unpacking import unpack

        aside.mkdir()
        files = aside / "files"
        unpack(archive, files)
        find_weights(record, files, find_root(record, files))
        hashes = {name: hash_file(path) for name, path in walk(files)}
        write_json(aside / _MARKER, {"sha256": sha256, "files": hashes})
        folder = self._folder(sha256)
        if not self._is_whole(sha256):
            # What is there without a marker was damaged; it cannot be told what it was.
            with suppress(OSError):
                folder.rename(aside.with_name("damaged"))
        try:
            aside.rename(folder)
        except OSError:
            # Another process was first; what it published has the same content.
            if not self._is_whole(sha256):
                raise
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def _issue(self, record: ModelRecord, receipt: dict[str, str], aside: Path) -> bool:
        """Write the receipt of a package that is there; False if it was removed meanwhile."""
        files = self._folder(receipt["sha256"]) / "files"
        with lock(self._settings.home, "packages"):
            try:
                find_weights(record, files, find_root(record, files))
            except ContractError:
                if self._is_whole(receipt["sha256"]):
                    raise
            write_json(self._receipt_file(record), receipt, aside=aside)
            return self._is_whole(receipt["sha256"])

    def _discard(self, folders: list[Path], *, even_if_used: bool = False) -> None:
        """Remove package folders, except those that a model uses."""

        def is_kept(folder: Path) -> bool:
            return not even_if_used and folder.name in self._users()

        with unfinished_folder(self._packages) as aside:
            for folder in folders:
                if is_kept(folder):
                    continue
                gone = aside / folder.name
                # Renamed first: a crash in between must not leave half of it looking whole.
                with suppress(FileNotFoundError):
                    folder.rename(gone)
                if gone.exists() and is_kept(folder):
                    # A model came to use it just now, and may have brought it again already.
                    with suppress(OSError):
                        gone.rename(folder)

    def _differences(self, sha256: str) -> Iterator[tuple[str, str, str]]:
        """Yield name, expected and found hash of each file that is not as it was installed."""
        folder = self._folder(sha256)
        expected = (read_json(folder / _MARKER) or {}).get("files", {})
        found = {}
        for name, path in walk(folder / "files"):
            # Another process may be removing the package while it is read.
            with suppress(IntegrityError):
                found[name] = hash_file(path)
        for name in sorted(expected.keys() | found.keys()):
            if expected.get(name) != found.get(name):
                hashes = (files.get(name) for files in (expected, found))
                before, now = (f"sha256 {one}" if one else "no readable file" for one in hashes)
                yield name, before, now

    @property
    def _packages(self) -> Path:
        return self._settings.home / "packages"

    @property
    def _downloads(self) -> Path:
        return self._settings.home / "downloads"

    @property
    def _receipts(self) -> Path:
        return self._settings.home / "receipts"

    def _folder(self, sha256: str) -> Path:
        return self._packages / sha256[:16]

    def _is_whole(self, sha256: str) -> bool:
        return (read_json(self._folder(sha256) / _MARKER) or {}).get("sha256") == sha256

    def _users(self) -> dict[str, list[str]]:
        """Return the ids of the models that use a package, by the name of its folder."""
        users: dict[str, list[str]] = {}
        for file in sorted(self._receipts.glob("*.json")):
            if receipt := _read_receipt(file):
                users.setdefault(receipt["sha256"][:16], []).append(file.stem)
        return users

    def _receipt_file(self, record: ModelRecord) -> Path:
        return self._receipts / f"{record.model_id}.json"

    def _receipt(self, record: ModelRecord) -> dict[str, str] | None:
        """Return the receipt if it is of what the record says and its package is there."""
        receipt = _read_receipt(self._receipt_file(record))
        if receipt is None or receipt["source"] != source_of(record):
            return None
        if record.execution.sha256 not in {None, receipt["sha256"]}:
            return None
        return receipt if self._is_whole(receipt["sha256"]) else None


def _read_receipt(path: Path) -> dict[str, str] | None:
    receipt = read_json(path) or {}
    are_there = all(isinstance(receipt.get(name), str) for name in ("source", "sha256"))
    return receipt if are_there else None
