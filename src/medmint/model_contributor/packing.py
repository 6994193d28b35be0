"""A folder becomes a zip: the same files give the same bytes, and only what may be published."""

from __future__ import annotations

import json
import os
import uuid
import zipfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from medmint.errors import ArgumentError, ContractError
from medmint.home import disk_trouble, make_folder
from medmint.model_contributor.sensitive import suspicion
from medmint.packages.archive.names import Names, name_fault
from medmint.packages.archive.unpacking import inspect
from medmint.packages.package import hash_file, walk

#: Weights of published models have up to 1.2 GB; larger files are mostly data by mistake.
LARGEST_FILE = 2 << 30
#: The earliest moment that a zip can hold stands for all: when a file was saved does not matter.
_MOMENT = (1980, 1, 1, 0, 0, 0)
_MODE = 0o100644 << 16
_UNIX = 3
_BLOCK = 1 << 20
_LEFT_OUT_FOLDERS = {"__pycache__", "CVS", "node_modules"}
_LEFT_OUT_ENDINGS = (".pyc", ".pyo", ".swp", "~", ".egg-info")
_LEFT_OUT_FILES = {"Thumbs.db", "desktop.ini"}


@dataclass(frozen=True, slots=True)
class Selection:
    """What of a folder is packed, and what is left out.

    Attributes
    ----------
    files : mapping of str to Path
        By name inside the zip, sorted.
    left_out : tuple of str
        Caches, folders of version control and hidden files, by name.
    """

    files: Mapping[str, Path]
    left_out: tuple[str, ...]


def check_readable(folder: Path) -> None:
    """Raise `ContractError` with the names of all files of a package that cannot be read."""
    try:
        closed = [name for name, path in walk(folder) if not os.access(path, os.R_OK)]
    except OSError as error:
        closed = [str(error)]
    if closed:
        raise ContractError(
            folder.name, "files that can be read", f"some closed: {', '.join(closed)}"
        )


def select_files(folder: Path, *, allow: Collection[str] = (), weights: str = "") -> Selection:
    """Decide which files of a package are published.

    Parameters
    ----------
    folder : Path
        The package.
    allow : collection of str
        Names relative to the folder that are packed whatever they look like.
    weights : str
        Name of the weights file: the only one that may be an archive.

    Raises
    ------
    ContractError
        If a file looks like a secret or like that of a patient, is a link, is too large, or has a
        name that not every system can store. All of them are named.
    ArgumentError
        If ``allow`` names what is not there.
    """
    files: dict[str, Path] = {}
    left_out: list[str] = []
    faults: list[str] = []
    names = Names()
    unseen = set(allow)
    for name, path in _walk(folder, left_out, faults):
        unseen.discard(name)
        reason = "" if name in allow else _fault(path, is_weights=name == weights)
        reason = reason or name_fault(name) or ("" if _is_hidden(name) else names.add(name))
        if reason:
            faults.append(f"{name} {reason}")
        elif name in allow or not _is_hidden(name):
            files[name] = path
        else:
            left_out.append(name)
    if unseen:
        raise ArgumentError("allow", sorted(unseen)[0], f"the name of a file in {folder}")
    if faults:
        raise ContractError(
            folder.name,
            "files that may be published",
            "some that may not: " + "; ".join(sorted(faults)),
            "Move them out of the folder, or name them in allow (--allow NAME) if they are to be "
            "published as they are.",
        )
    return Selection(dict(sorted(files.items())), tuple(sorted(left_out)))


def write_zip(selection: Selection, target: Path, *, extra: Mapping[str, bytes]) -> str:
    """Write the zip of a package and return its sha256.

    Members are sorted, stored without compression (that of one zlib differs from another's, and
    weights hardly shrink) and carry neither times nor owners. Notebooks lose their outputs.

    Parameters
    ----------
    selection : Selection
    target : Path
        The zip; it appears whole or not at all.
    extra : mapping of str to bytes
        Further members; they replace files of the same name.

    Raises
    ------
    ContractError
        If a notebook cannot be read.
    WriterError
        If the zip cannot be written.
    UnsafeArchiveError
        If it breaks a rule that all packages have to keep when they are installed.
    """
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    make_folder(target.parent)
    with disk_trouble(target):
        try:
            with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
                for name in sorted(selection.files.keys() | extra.keys()):
                    _add(archive, name, extra.get(name) or selection.files[name])
            inspect(partial)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    return hash_file(target)


def _walk(folder: Path, left_out: list[str], faults: list[str]) -> Iterator[tuple[str, Path]]:
    """Yield all files but those of caches and version control; note links among the folders."""

    def refuse(error: OSError) -> None:
        raise ContractError(folder.name, "files that can be read", str(error)) from error

    for root, folders, files in os.walk(folder, onerror=refuse):
        place = Path(root)
        kept = []
        for name in sorted(folders):
            relative = (place / name).relative_to(folder).as_posix()
            if name in _LEFT_OUT_FOLDERS or name.startswith(".") or name.endswith(".egg-info"):
                left_out.append(f"{relative}/")
            elif (place / name).is_symlink():
                faults.append(f"{relative} is a link to a folder elsewhere")
            else:
                kept.append(name)
        folders[:] = kept
        for name in sorted(files):
            yield (place / name).relative_to(folder).as_posix(), place / name


def _is_hidden(name: str) -> bool:
    last = name.rpartition("/")[2]
    return last.startswith(".") or last in _LEFT_OUT_FILES or last.endswith(_LEFT_OUT_ENDINGS)


def _fault(path: Path, *, is_weights: bool) -> str:
    """Return why a file is not published, or nothing."""
    if path.is_symlink():
        return "is a link to a file elsewhere"
    if not path.is_file():
        return "is no file but a pipe, a socket or a device"
    size = path.stat().st_size
    if size > LARGEST_FILE:
        return f"has {size:,} bytes, more than {LARGEST_FILE:,}"
    try:
        return suspicion(path, is_weights=is_weights)
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"


def _add(archive: zipfile.ZipFile, name: str, source: Path | bytes) -> None:
    info = zipfile.ZipInfo(name, _MOMENT)
    info.create_system, info.external_attr = _UNIX, _MODE
    if isinstance(source, Path) and source.suffix == ".ipynb":
        source = _without_outputs(name, source)
    if isinstance(source, bytes):
        archive.writestr(info, source)
        return
    info.file_size = source.stat().st_size
    with source.open("rb") as file, archive.open(info, "w") as member:
        _copy(file, member)


def _copy(source: IO[bytes], target: IO[bytes]) -> None:
    while block := source.read(_BLOCK):
        target.write(block)


def _without_outputs(name: str, path: Path) -> bytes:
    """Return a notebook as it was before it was run: outputs can show patients, paths and keys."""
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        for cell in notebook["cells"]:
            cell.get("metadata", {}).pop("execution", None)
            if cell["cell_type"] == "code":
                cell["outputs"], cell["execution_count"] = [], None
        notebook.get("metadata", {}).pop("widgets", None)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ContractError(name, "a notebook that can be read", str(error)) from error
    return (json.dumps(notebook, indent=1, ensure_ascii=False) + "\n").encode()
