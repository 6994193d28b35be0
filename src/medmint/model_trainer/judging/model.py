"""A package's sampler, and the samples that it is judged by."""

from __future__ import annotations

import copy
import hashlib
import importlib.util
import io
import json
import sys
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError

from medmint.errors import ArgumentError, ContractError, TrainingError
from medmint.home import make_folder, write_file
from medmint.packages.contract import checked_options, load_job, read_batch
from medmint.packages.package import describe, hash_file, package_record
from medmint.packages.workers.worker import Frame
from medmint.samples import latent_vectors

Bytes = NDArray[np.uint8]
Whole = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Images, drawn or real, in the form in which they are compared.

    Attributes
    ----------
    images : ndarray of uint8, shape (n, height, width[, 3 or depth])
    masks : ndarray of uint8, shape (n, height, width[, depth]), or None
    conditions : ndarray of int64, shape (n, columns)
        What each image is, or was asked to be: the place of a value among those of its column.
    """

    images: Bytes
    masks: Bytes | None
    conditions: Whole

    def __len__(self) -> int:
        return len(self.images)

    def chosen(self, rows: Any) -> Samples:
        """Return some of the samples."""
        return Samples(
            images=self.images[rows],
            masks=None if self.masks is None else self.masks[rows],
            conditions=self.conditions[rows],
        )


def joined(parts: Sequence[Samples]) -> Samples:
    """Put sets of samples of the same kind in a row."""
    masks = [part.masks for part in parts if part.masks is not None]
    return Samples(
        images=np.concatenate([part.images for part in parts]),
        masks=np.concatenate(masks) if masks else None,
        conditions=np.concatenate([part.conditions for part in parts]),
    )


class Model:
    """A package with weights, ready to be sampled in this process.

    Parameters
    ----------
    folder : Path
        Package of the sampler contract with its ``metadata.json``.
    weights : Path, optional
        Default: those of the package.
    conditions : mapping of str to sequence of str
        Columns that the model is conditioned on, with their values, where its sampler has no
        ``conditions`` that say so. Class numbers count through all combinations, the last column
        fastest.
    options : mapping, optional
        Options of the model, such as its number of steps.
    device : str
        ``cpu`` or ``cuda``.
    kept : Path, optional
        Folder in which samples are kept, so that a run that was cut off does not draw them anew.

    Raises
    ------
    ContractError
        If the package has no record, another contract, other classes, or images of another type.
    TrainingError
        If the weights are of another architecture.
    """

    #: Samples that are made at once.
    batch = 32

    def __init__(
        self,
        folder: Path,
        weights: Path | None = None,
        *,
        conditions: Mapping[str, Sequence[str]] | None = None,
        options: Mapping[str, Any] | None = None,
        device: str = "cpu",
        kept: Path | None = None,
    ) -> None:
        record = package_record(folder)
        if record is None or record.execution.contract != "sampler":
            found = "no metadata.json" if record is None else "the contract generate"
            raise ContractError(folder.name, "a package of the sampler contract", found)
        self.record, self.folder = record, folder
        self.options = checked_options(record, options or {})
        self._package = describe(record, folder, "", weights)
        shipped = folder / record.execution.weights_name
        #: Whether the weights are those that the record speaks of.
        self.is_original = weights is None or (
            shipped.is_file() and hash_file(shipped) == self._package.weights_sha256
        )
        #: What ``load`` of the package returned.
        self.device, self.sampler = device, self._load(device)
        #: Those that the weights were trained with, where these say so.
        self.conditions: Mapping[str, Sequence[str]] = getattr(
            self.sampler, "conditions", conditions or {}
        )
        self._sizes = tuple(map(len, self.conditions.values()))
        self._check_record()
        self._kept = kept

    @property
    def weights(self) -> Path | None:
        """The file of the weights."""
        return self._package.weights

    @property
    def weights_sha256(self) -> str | None:
        """Hash of the weights."""
        return self._package.weights_sha256

    def draw(self, count: int, seed: int, wanted: Whole | None = None) -> Samples:
        """Return the first samples of a seed, as ``medmint generate --seed`` has them.

        Parameters
        ----------
        count, seed : int
        wanted : ndarray of int64, shape (count, columns), optional
            Place of the wanted value of each column; of a model with conditions it is needed.
        """
        if wanted is None:
            wanted = np.zeros((count, 0), dtype=np.int64)
        if wanted.shape != (count, len(self._sizes)):
            expected = f"an array of shape {(count, len(self._sizes))}"
            raise ArgumentError("wanted", wanted.shape, expected)
        path = self._path(count, seed, wanted)
        arrays = None if path is None else _read(path)
        if arrays is None:
            arrays = self.sample(count, seed, wanted)
            if path is not None:
                _write(path, arrays)
        return Samples(images=arrays["image"], masks=arrays.get("mask"), conditions=wanted)

    def with_options(self, options: Mapping[str, Any]) -> Model:
        """Return the same model with other options.

        Raises
        ------
        ArgumentError
            If it has no such option.
        """
        other = copy.copy(self)
        other.options = checked_options(self.record, {**self.options, **options})
        return other

    def on(self, device: str) -> Model:
        """Return the same model on a device."""
        if device == self.device:
            return self
        other = copy.copy(self)
        other.device, other.sampler = device, self._load(device)
        return other

    def sample(self, count: int, seed: int, wanted: Whole | None = None) -> dict[str, Bytes]:
        """Return ``image`` and, where there is one, ``mask``, made anew."""
        recorded = self.record.execution.generate_method.input_latent_vector_size or 0
        # What a user trained in another size may take latent vectors of another length.
        size = getattr(self.sampler, "latent_size", recorded)
        latents = latent_vectors(seed, 0, count, size)
        classes = None
        if self._sizes and wanted is not None:
            classes = np.ravel_multi_index(tuple(wanted.T), self._sizes)
        parts = []
        for start in range(0, count, self.batch):
            stop = min(start + self.batch, count)
            asked = None if classes is None else classes[start:stop].astype(np.int64)
            made = self.sampler.sample(latents[start:stop], condition=asked, **self.options)
            arrays = {name: made[name] for name in ("image", "mask") if name in made}
            frame = Frame({"values": {}}, arrays)
            parts.append(read_batch(self.record, frame, start, stop - start).arrays)
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def one(self) -> dict[str, Bytes]:
        """Return one sample, of the first class, which shows in which size the model draws."""
        return self.sample(1, 0, np.zeros((1, len(self._sizes)), dtype=np.int64))

    def _check_record(self) -> None:
        execution = self.record.execution
        classes = int(np.prod(self._sizes)) if self._sizes else 0
        # What a user trained may have other classes than the record speaks of.
        if self.is_original and len(execution.conditions or ()) != classes:
            found = f"{len(execution.conditions or ())} in its record"
            raise ContractError(self.record.model_id, f"{classes} conditions", found)
        spec = execution.output.get("image")
        if spec is None or spec.dtype != "uint8":
            found = "no type" if spec is None else spec.dtype
            raise ContractError(self.record.model_id, "images of uint8 to be judged", found)

    def _load(self, device: str) -> Any:
        job = load_job(self.record, self._package, device)
        file = self._package.root / "__init__.py"
        spec = importlib.util.spec_from_file_location(
            job["alias"], file, submodule_search_locations=[job["root"]]
        )
        if spec is None or spec.loader is None:
            raise ContractError(self.record.model_id, "a file __init__.py", f"none at {file}")
        module = importlib.util.module_from_spec(spec)
        sys.modules[job["alias"]] = module
        spec.loader.exec_module(module)
        try:
            return module.load(job["weights"], device)
        except (RuntimeError, KeyError, ValueError, OSError, SafetensorError) as error:
            reason = f"the package cannot load it ({str(error).splitlines()[0]})"
            hint = "Give weights of the same architecture as the package."
            raise TrainingError(self.weights or self.folder, reason, hint) from error

    def _code_sha256(self) -> str:
        """Return a hash of the modules of the package that draw: who edits them draws anew."""
        alias = load_job(self.record, self._package, self.device)["alias"]
        files = {
            str(module.__file__)
            for name, module in sys.modules.items()
            if name == alias or name.startswith(f"{alias}.")
        }
        return hashlib.sha256(
            "".join(map(hash_file, map(Path, sorted(files)))).encode()
        ).hexdigest()

    def _path(self, count: int, seed: int, wanted: Whole) -> Path | None:
        if self._kept is None:
            return None
        drawn_by = [self.weights_sha256, self._code_sha256()]
        facts = [*drawn_by, count, seed, wanted.tolist(), self.options]
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        return self._kept / f"{self.record.execution.package_name}_{digest[:24]}.npz"


def _read(path: Path) -> dict[str, Bytes] | None:
    """Return what is kept; nothing where that is not there or torn."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        return None


def _write(path: Path, arrays: Mapping[str, Bytes]) -> None:
    file = io.BytesIO()
    np.savez_compressed(file, **dict(arrays))  # type: ignore[arg-type]
    make_folder(path.parent)
    write_file(path, file.getvalue())
