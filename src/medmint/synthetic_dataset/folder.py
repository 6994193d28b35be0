"""Samples that are kept on disk: generated once, then read by any number of processes."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from filelock import FileLock

from medmint.catalogue.records import ModelRecord, OutputSpec
from medmint.errors import ArgumentError, IntegrityError
from medmint.generation_request import GenerationRequest
from medmint.samples import MANIFEST_NAME, Array, GenerationResult

logger = logging.getLogger(__name__)


class FolderSource:
    """The samples of a run that ``generate`` wrote as NPY files.

    Parameters
    ----------
    result : GenerationResult
        The run.
    record : ModelRecord
        Its model.

    Attributes
    ----------
    model_id, seed, outputs
        As the run and the record say.
    """

    def __init__(self, result: GenerationResult, record: ModelRecord) -> None:
        self.model_id = record.model_id
        self.seed = result.seed
        self.outputs: Mapping[str, OutputSpec] = record.execution.output
        self._folder = result.folder.absolute()
        #: Where each sample's line of the manifest begins: eight bytes a sample are all that is
        #: held in memory.
        self._lines = _line_starts(self._folder / MANIFEST_NAME)

    def samples_at(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """Read the arrays, and the label if any, of each sample.

        Raises
        ------
        IntegrityError
            If a file is gone or damaged.
        """
        with (self._folder / MANIFEST_NAME).open("rb") as manifest:
            return [self._read(manifest, index) for index in indices]

    def prefetch(self, indices: Sequence[int]) -> None:
        """Do nothing: reading is fast."""

    def _read(self, manifest: Any, index: int) -> dict[str, Any]:
        manifest.seek(self._lines[index])
        line = json.loads(manifest.readline())
        files = {name: line[name] for name in line if f"{name}_sha256" in line}
        row: dict[str, Any] = {
            name: _read_array(self._folder / file) for name, file in files.items()
        }
        if "label" in line:
            row["label"] = line["label"]
        return row


def kept_samples(
    generate: Callable[[GenerationRequest], GenerationResult | list[Any]],
    request: GenerationRequest,
    *,
    folder: str | os.PathLike[str],
    record: ModelRecord,
) -> FolderSource:
    """Return samples from a folder, after what it lacks of them was generated.

    Files that are there are checked against the manifest. Other processes of this machine that
    want the same folder wait until it is filled.

    Parameters
    ----------
    generate : callable
        Carries out a request.
    request : GenerationRequest
        What is wanted; with ``overwrite``, another run in the folder is replaced.
    folder : path
        A run of the same model with the same seed and options, with more or fewer samples, or a
        new or empty folder.
    record : ModelRecord
        The model.

    Raises
    ------
    ArgumentError
        If ``folder`` is not the path of one.
    OutputError
        If it holds another run, or something else.
    WriterError
        If it cannot be written.
    """
    if not isinstance(folder, str | os.PathLike) or not os.fspath(folder):
        raise ArgumentError("cache_dir", folder, "the path of a folder")
    wanted = request.changed(output_path=folder, output_format="npy", save_images=True)
    place = Path(folder).expanduser()
    with _lock(place):
        there = 0 if request.overwrite else _count(place / MANIFEST_NAME)
        result = generate(wanted.changed(num_samples=max(request.num_samples, there)))
    return FolderSource(cast(GenerationResult, result), record)


def _lock(folder: Path) -> FileLock:
    user = os.getuid() if hasattr(os, "getuid") else 0
    place = hashlib.sha256(f"{user} {folder.resolve()}".encode()).hexdigest()[:16]
    return FileLock(Path(tempfile.gettempdir()) / f"medmint-cache-{place}.lock")


def _count(manifest: Path) -> int:
    try:
        return len(_line_starts(manifest))
    except (OSError, ValueError):
        # What is there instead is for the run itself to say.
        return 0


def _line_starts(manifest: Path) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the offset of the line of each sample."""
    starts, offset = [], 0
    with manifest.open("rb") as lines:
        for line in lines:
            if "index" in json.loads(line):
                starts.append(offset)
            offset += len(line)
    return np.array(starts, dtype=np.int64)


def _read_array(path: Path) -> Array:
    try:
        loaded: Array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        hint = "Make the dataset again with the same cache_dir: what is missing is made anew."
        raise IntegrityError(path, "an array", str(error), hint) from error
    return loaded
