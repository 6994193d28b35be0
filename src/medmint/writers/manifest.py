"""A manifest as it is found: it may be torn, cut off or not ours at all."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Header entries that a resumed run takes over: the samples do not depend on them.
_TAKEN_OVER = ("medmint_version", "license", "citation")
_HEADER_START = b'{"medmint_manifest"'
#: The form of the names that a run writes. A manifest may come from anywhere: nothing of another
#: form that it lists is ever removed.
_OWN_FILE = re.compile(r"[A-Za-z_]\w*/\d{6,}(\.\w+){1,2}")


@dataclass(frozen=True, slots=True)
class Boundary:
    """The end of the last whole batch of a run, from which it goes on.

    Attributes
    ----------
    start : int
        Index of the next sample.
    length : int, bytes
        How much of the manifest is kept.
    batch_size : int
        Size of the batches from there on.
    """

    start: int
    length: int
    batch_size: int


def first_line(path: Path) -> bytes | None:
    """Return the first line of a file, None where there is no file."""
    try:
        with path.open("rb") as lines:
            return lines.readline()
    except FileNotFoundError:
        return None


def read_header(first: bytes | None) -> dict[str, Any] | None:
    """Return the header that a manifest's first line is, None where it is none of ours."""
    if first is None or not first.startswith(_HEADER_START):
        return None
    header = read_entry(first) or {}
    least = {"batch_size": 1, "threads": 1, "seed": 0}
    numbers = {name: header.get(name, low) for name, low in least.items()}
    is_ours = all(type(number) is int and number >= least[name] for name, number in numbers.items())
    return header if header and is_ours else None


def is_torn(first: bytes | None) -> bool:
    """Tell whether a manifest got no further than a part of its header.

    Examples
    --------
    >>> is_torn(b'{"medmint_mani'), is_torn(b"notes of someone else")
    (True, False)
    """
    if first is None or first.endswith(b"\n"):
        return False
    return first.startswith(_HEADER_START) or _HEADER_START.startswith(first)


def read_entry(line: bytes) -> dict[str, Any] | None:
    """Return a manifest line as a dict, None where it is torn."""
    if not line.endswith(b"\n"):
        return None
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None


def entries(manifest: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a manifest up to the first one that is torn."""
    with manifest.open("rb") as lines:
        for line in lines:
            if (entry := read_entry(line)) is None:
                return
            yield entry


def last_boundary(manifest: Path, batch_size: int, num_samples: int) -> Boundary:
    """Find the end of the last batch whose files are all as they were written.

    Parameters
    ----------
    manifest : Path
        In the folder of the files that it lists.
    batch_size : int
        That of its header; lines may say that it was halved.
    num_samples : int
        How many samples the run shall have in the end.
    """
    size, origin, done = batch_size, 0, 0
    keep = length = 0
    with manifest.open("rb") as lines:
        for number, line in enumerate(lines):
            entry = read_entry(line)
            if entry is None or entry.get("index", done) != done:
                break
            if not _is_whole(manifest.parent, entry):
                break
            keep += len(line)
            if "from_index" in entry and number:
                size, origin = int(entry["batch_size"]), int(entry["from_index"])
            done += "index" in entry
            if (done - origin) % size == 0 or done == num_samples:
                length = keep
    start = done if done == num_samples else origin + (done - origin) // size * size
    return Boundary(start, length, size)


def listed_files(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the files that a manifest line lists, with the sha256 that it gives of each."""
    listed = {
        value: entry[f"{key}_sha256"] for key, value in entry.items() if _has_hash(key, entry)
    }
    return {name: sha256 for name, sha256 in listed.items() if _OWN_FILE.fullmatch(name)}


def _has_hash(key: str, entry: Mapping[str, Any]) -> bool:
    return f"{key}_sha256" in entry and isinstance(entry[key], str)


def _is_whole(folder: Path, entry: Mapping[str, Any]) -> bool:
    """Tell whether the files of a line are there as they were written."""
    for name, promised in listed_files(entry).items():
        try:
            with (folder / name).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            return False
        if found != promised:
            return False
    return True


def difference(present: Mapping[str, Any], header: Mapping[str, Any]) -> str:
    """Say in what a run differs from the one that is there; nothing where it can go on.

    Examples
    --------
    >>> difference({"seed": 7, "medmint_version": "1"}, {"seed": 8, "medmint_version": "2"})
    'seed: 7 there, 8 asked'
    """
    names = [name for name in {**header, **present} if name not in _TAKEN_OVER]
    different = [name for name in names if present.get(name) != header.get(name)]
    return "; ".join(
        f"{name}: {_short(present.get(name))} there, {_short(header.get(name))} asked"
        for name in different[:3]
    )


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
