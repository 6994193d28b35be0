"""An output folder: files, a manifest that grows with them, and going on where a run stopped.

``manifest.jsonl`` has a header line (what the samples depend on) and a line per sample. A line is
written after the files it names, so what it lists is there. Nothing in it depends on when, where
or how fast it was made: a run that was killed and resumed ends byte for byte like one that was not.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import logging
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from medmint.errors import MedmintError, OutputError, WriterError
from medmint.samples import MANIFEST_NAME, Batch
from medmint.writers.manifest import (
    difference,
    entries,
    first_line,
    is_torn,
    last_boundary,
    listed_files,
    read_header,
)
from medmint.writers.sample_writer import EncodedFile, Sample, SampleWriter

logger = logging.getLogger(__name__)

#: Folder of each output; others go to a folder of their own name, several in one file to this.
FOLDERS = {"image": "images", "mask": "masks"}
SHARED_FOLDER = "samples"
TABLE_NAME = "table.csv"
#: The files of samples, whatever format they were in.
_NUMBERED = re.compile(r"(\d{6,})\.(png|npy|npz|tif|dcm|nii\.gz)")


class RunFolder:
    """The output folder of one run.

    Parameters
    ----------
    folder : Path
        Created when the run begins, removed again where its first batch cannot be written.
    writer : SampleWriter
        Makes the files of a sample.

    Attributes
    ----------
    batch_size : int
        Size of the batches from here on, known after :meth:`begin`.
    """

    def __init__(self, folder: Path, writer: SampleWriter) -> None:
        self.folder = folder
        self._writer = writer
        self._manifest = folder / MANIFEST_NAME
        self._header: dict[str, Any] = {}
        self._made: list[Path] = []
        self._is_empty = False
        self.batch_size = 0

    @contextlib.contextmanager
    def only_writer(self) -> Iterator[None]:
        """Keep other processes of this machine from writing to the folder meanwhile.

        Raises
        ------
        OutputError
            If another one is writing to it.
        """
        user = os.getuid() if hasattr(os, "getuid") else 0
        place = hashlib.sha256(f"{user} {self.folder.resolve()}".encode()).hexdigest()[:16]
        lock = FileLock(Path(tempfile.gettempdir()) / f"medmint-{place}.lock", timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            hint = "Wait for it to end, or name another folder."
            raise OutputError(self.folder, "another process is writing to it", hint) from error
        except (OSError, NotImplementedError):
            # No locks here: the manifest still tells what is whole.
            logger.debug("No lock for %s", self.folder, exc_info=True)
        try:
            yield
        finally:
            lock.release()

    def header(self) -> dict[str, Any] | None:
        """Return the header of the run that the folder holds, None where it holds none.

        Raises
        ------
        OutputError
            If there is something else at this place.
        """
        try:
            first = first_line(self._manifest)
            header = read_header(first)
            names = [] if header else [path.name for path in self.folder.iterdir()]
        except FileNotFoundError:
            return None
        except NotADirectoryError as error:
            raise OutputError(self.folder, "it is a file", "Name a folder.") from error
        except OSError as error:
            reason = f"it cannot be read ({_reason(error)})"
            raise OutputError(self.folder, reason, "Name another folder.") from error
        if is_torn(first):
            names.remove(MANIFEST_NAME)
        if others := sorted(name for name in names if name[0] != "."):
            first_three = ", ".join(others[:3]) + ("..." if len(others) > 3 else "")
            reason = f"it holds files of something else ({first_three})"
            raise OutputError(self.folder, reason, "Name a new or empty folder.")
        return header

    def begin(self, header: Mapping[str, Any], num_samples: int, *, overwrite: bool) -> int:
        """Start or go on with a run; return the index of the first sample that is to be made.

        Parameters
        ----------
        header : mapping
            What the samples depend on; ``"medmint_manifest"`` comes first.
        num_samples : int
            How many samples the folder shall hold in the end.
        overwrite : bool
            Remove a different run that is there.

        Raises
        ------
        OutputError
            If another run is there, or more samples than asked for.
        WriterError
            If the folder cannot be written.
        """
        header = json.loads(json.dumps({**header, **self._writer.header()}))
        self.batch_size = int(header["batch_size"])
        present = self.header()
        if present is not None:
            count = sum("index" in entry for entry in entries(self._manifest))
            obstacle = self._obstacle(difference(present, header), count, num_samples)
            if obstacle is None:
                self._header = present
                self._is_empty = count == 0
                return self._rewind(present, num_samples)
            # A run that got no further than its header is no one's work.
            if count and not overwrite:
                raise obstacle
            self._clear(count)
        self._start(header)
        return 0

    def write(self, batch: Batch) -> None:
        """Write the files of a batch, then its manifest lines.

        Raises
        ------
        WriterError
            If a file cannot be written; batches that were written before are kept.
        ArgumentError, MissingExtraError
            If the format cannot hold an array, or not with what is installed.
        """
        try:
            self._append("".join(f"{json.dumps(line)}\n" for line in self._write_files(batch)))
        except (MedmintError, OSError, ValueError):
            if self._is_empty:
                self._abandon()
            raise
        self._is_empty = False

    def halve(self, start: int, batch_size: int) -> None:
        """Note that batches are of another size from a sample on, because memory ran out."""
        self.batch_size = batch_size
        self._append(json.dumps({"from_index": start, "batch_size": batch_size}) + "\n")

    def finish(self) -> None:
        """Write the table of measurements, where the model gives any."""
        measured = (entry for entry in entries(self._manifest) if "table" in entry)
        rows = ({"index": entry["index"], **entry["table"]} for entry in measured)
        first = next(rows, None)
        if first is None:
            return
        path = self.folder / TABLE_NAME
        try:
            with path.open("w", newline="", encoding="utf-8") as file:
                table = csv.DictWriter(file, list(first))
                table.writeheader()
                table.writerow(first)
                table.writerows(rows)
        except OSError as error:
            raise _cannot_write(path, error) from error

    def _write_files(self, batch: Batch) -> Iterator[dict[str, Any]]:
        """Write the files of each sample, then yield its manifest line."""
        rows = batch.rows() if batch.table else None
        run = {**self._header, "batch_size": self.batch_size}
        for position in range(len(batch)):
            index = batch.start + position
            label = None if batch.labels is None else batch.labels[position]
            arrays = {name: array[position] for name, array in batch.arrays.items()}
            line: dict[str, Any] = {"index": index}
            hashes = {}
            for file in self._writer.encode(
                Sample(index=index, arrays=arrays, label=label, run=run)
            ):
                relative, digest = self._write_file(index, file)
                for name in file.outputs:
                    line[name] = relative
                    hashes[f"{name}_sha256"] = digest
            if batch.labels is not None:
                line["label"] = label
            if rows is not None:
                line["table"] = rows[position]
            yield line | hashes

    def _write_file(self, index: int, file: EncodedFile) -> tuple[str, str]:
        first, *others = file.outputs
        folder = SHARED_FOLDER if others else FOLDERS.get(first, first)
        relative = f"{folder}/{index:06d}{file.suffix}"
        path = self.folder / relative
        try:
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(file.content)
        except OSError as error:
            with contextlib.suppress(OSError):
                path.unlink()
            raise _cannot_write(path, error) from error
        return relative, hashlib.sha256(file.content).hexdigest()

    def _start(self, header: Mapping[str, Any]) -> None:
        self._header = dict(header)
        self._is_empty = True
        try:
            self._made = [path for path in (self.folder, *self.folder.parents) if not path.exists()]
            self.folder.mkdir(parents=True, exist_ok=True)
            self._manifest.write_text(json.dumps(header) + "\n", encoding="utf-8", newline="\n")
        except OSError as error:
            self._abandon()
            raise _cannot_write(self._manifest, error) from error

    def _append(self, text: str) -> None:
        """Add whole lines to the manifest or, where that fails, nothing."""
        size = self._manifest.stat().st_size
        try:
            with self._manifest.open("a", encoding="utf-8", newline="\n") as file:
                file.write(text)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.truncate(self._manifest, size)
            raise _cannot_write(self._manifest, error) from error

    def _obstacle(self, change: str, count: int, num_samples: int) -> OutputError | None:
        """Return why a run cannot go on here, None where it can."""
        if change:
            return OutputError(
                self.folder,
                f"it holds another run ({change})",
                "Name another folder, or pass overwrite=True to replace it.",
            )
        if count > num_samples:
            return OutputError(
                self.folder,
                f"it holds {count} samples already, {num_samples} were asked for",
                f"Ask for at least {count}, name another folder, or pass overwrite=True.",
            )
        return None

    def _rewind(self, header: Mapping[str, Any], num_samples: int) -> int:
        """Cut the manifest back to the last batch boundary; return the next sample's index."""
        found = last_boundary(self._manifest, int(header["batch_size"]), num_samples)
        start, self.batch_size = found.start, found.batch_size
        folders = self._folders()
        try:
            os.truncate(self._manifest, found.length)
            if start < num_samples:
                self._remove_files(range(num_samples, start + self.batch_size), folders)
        except OSError as error:
            raise _cannot_write(self._manifest, error) from error
        return start

    def _folders(self) -> set[Path]:
        """Return the folders that this run writes to, as far as the manifest knows them."""
        files = (listed_files(entry) for entry in entries(self._manifest))
        listed = next((names for names in files if names), {})
        names = (*FOLDERS.values(), SHARED_FOLDER, *(str(Path(name).parent) for name in listed))
        return {self.folder / name for name in names}

    def _remove_files(self, indices: range, folders: set[Path]) -> None:
        """Remove files of samples that a batch left when it was cut off: no line names them."""
        for folder in filter(Path.is_dir, folders):
            for path in list(folder.iterdir()):
                numbered = _NUMBERED.fullmatch(path.name)
                if numbered and int(numbered[1]) in indices:
                    path.unlink()

    def _clear(self, count: int) -> None:
        """Remove the run that is here, and nothing that the user may have put beside it."""
        try:
            folders = self._folders()
            for entry in entries(self._manifest):
                for name in listed_files(entry):
                    (self.folder / name).unlink(missing_ok=True)
            cut_off = next(entries(self._manifest), {}).get("batch_size", 0)
            self._remove_files(range(count, count + cut_off), folders)
            for folder in folders:
                with contextlib.suppress(OSError):
                    folder.rmdir()
            (self.folder / TABLE_NAME).unlink(missing_ok=True)
            self._manifest.unlink()
        except OSError as error:
            raise _cannot_write(self.folder, error) from error

    def _abandon(self) -> None:
        """Leave no trace of a run whose first batch could not be written."""
        with contextlib.suppress(OSError):
            self._clear(0)
        with contextlib.suppress(OSError):
            for folder in self._made:
                folder.rmdir()


def new_run_folder(parent: Path) -> Path:
    """Create and return the next free ``run-NNN`` in a folder; two processes never get the same."""
    number = 1
    while True:
        folder = parent / f"run-{number:03d}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
        except OSError as error:
            raise _cannot_write(folder, error) from error
        else:
            return folder


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _cannot_write(path: Path, error: OSError) -> WriterError:
    hint = "What was finished is kept; once this is mended, the same call goes on from there."
    return WriterError(path, _reason(error), hint)
