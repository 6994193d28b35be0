"""A package on disk: where its code and weights are, and what identifies it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

from medmint.catalogue.records import ModelRecord, read_catalogue
from medmint.errors import ContractError, IntegrityError, InvalidRecordError

#: The record that a package brings.
METADATA_NAME = "metadata.json"


@dataclass(frozen=True, slots=True)
class Package:
    """A package that is ready to be run.

    Attributes
    ----------
    root : Path
        Folder with the package's ``__init__.py``.
    sha256 : str
        Hash of its zip, or of its files where it is a plain folder.
    weights : Path or None
        The weights file, None for a model without weights.
    weights_sha256 : str or None
        Hash of the weights.
    modified : bool
        True where the user runs a folder or weights of their own.
    """

    root: Path
    sha256: str
    weights: Path | None
    weights_sha256: str | None
    modified: bool = False


def package_record(folder: Path) -> ModelRecord | None:
    """Return the record that a package folder brings in its ``metadata.json``, if any.

    Raises
    ------
    InvalidRecordError
        If the file is there and is not one record.
    """
    file = folder / METADATA_NAME
    if not file.is_file():
        return None
    entries = read_catalogue(file)
    if len(entries) != 1:
        raise InvalidRecordError(file, [f"holds {len(entries)} records instead of 1"])
    return ModelRecord.from_dict(*next(iter(entries.items())))


def describe(
    record: ModelRecord, folder: Path, sha256: str, weights: Path | None = None
) -> Package:
    """Find code and weights in a folder, or take other weights, and check that they can be run."""
    root = find_root(record, folder)
    chosen = weights.resolve() if weights else find_weights(record, folder, root)
    if chosen is not None:
        check_weights(chosen)
    weights_sha256 = None if chosen is None else hash_file(chosen)
    return Package(root=root, sha256=sha256, weights=chosen, weights_sha256=weights_sha256)


def find_root(record: ModelRecord, folder: Path) -> Path:
    """Return the folder that holds ``__init__.py``: this one, the named one, or the only one."""
    present = _entries(folder)
    name = record.execution.package_name
    named = [folder / name] if _stays_inside(name) else []
    for candidate in [folder, *named, *(path for path in present if path.is_dir())]:
        if (candidate / "__init__.py").is_file():
            return candidate
    raise ContractError(
        record.model_id,
        "a file __init__.py in it or in its top folder",
        _listed(present),
        "Is the link, or the folder, that of the package?",
    )


def find_weights(record: ModelRecord, folder: Path, root: Path) -> Path | None:
    """Return the weights file named in the record, wherever in the package it is."""
    name = record.execution.weights_name
    if not name:
        return None
    if _stays_inside(name):
        if (root / name).is_file():
            return root / name
        wanted = Path(name).name
        matches = sorted(path for path in folder.rglob("*") if path.name == wanted)
        for path in matches:
            if path.is_file():
                return path
    raise ContractError(
        record.model_id,
        f"weights {name}",
        f"only {_listed(_entries(root))}",
        _where_weights_are(record),
    )


def _where_weights_are(record: ModelRecord) -> str:
    """Say what to do where a package has come without its weights."""
    link, licence = record.execution.package_link, record.description.get("weights_license")
    if not link.startswith("bundled:"):
        return "Is the package complete, and the name in its record right?"
    return (
        f"Weights whose licence ({licence}) is not that of the wheel stay in medmint's repository: "
        f"take templates/{link.removeprefix('bundled:')}/{record.execution.weights_name} from "
        "there and name the file, as in weights=PATH or --weights PATH."
    )


def check_weights(path: Path) -> None:
    """Refuse safetensors whose length is not what their header says, before anything loads them."""
    if path.suffix != ".safetensors":
        return
    size = path.stat().st_size
    with path.open("rb") as file:
        header_size = int.from_bytes(file.read(8), "little")
        header = file.read(header_size) if header_size <= size else b""
    hint = "The file is damaged: reinstall the package or copy the weights again."
    try:
        tensors = json.loads(header)
        ends = [tensors[name]["data_offsets"][1] for name in tensors if name != "__metadata__"]
        expected = 8 + header_size + max(ends, default=0)
    except (ValueError, TypeError, KeyError, IndexError, RecursionError) as error:
        raise IntegrityError(
            path, "a readable safetensors header", f"{size} bytes of something else", hint
        ) from error
    if size != expected:
        raise IntegrityError(path, f"{expected} bytes", f"{size} bytes", hint)


def hash_file(path: Path) -> str:
    """Return the sha256 of a file as 64 hex digits.

    Raises
    ------
    IntegrityError
        If it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise IntegrityError(path, "a readable file", error.strerror or str(error)) from error


def hash_tree(folder: Path) -> str:
    """Return one sha256 over the names and contents of a folder's files."""
    digest = hashlib.sha256()
    for name, path in walk(folder):
        digest.update(f"{name}\0{hash_file(path)}\n".encode())
    return digest.hexdigest()


def walk(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the relative name and path of each file, sorted, without byte code and hidden files."""
    # os.walk passes over a folder that another process removes meanwhile.
    found = (Path(root, name) for root, _, names in os.walk(folder) for name in names)
    for path in sorted(found):
        relative = path.relative_to(folder)
        hidden = any(part.startswith(".") or part == "__pycache__" for part in relative.parts)
        if path.is_file() and not hidden:
            yield relative.as_posix(), path


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _listed(paths: list[Path]) -> str:
    return ", ".join(path.name for path in paths) or "nothing"


def _stays_inside(name: str) -> bool:
    """Tell whether a name from a record is that of something inside the package."""
    path = PurePath(name)
    return bool(name) and not path.is_absolute() and not path.drive and ".." not in path.parts
