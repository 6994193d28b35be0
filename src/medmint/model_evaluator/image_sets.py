"""Sets of images: read from a folder, a list of files or arrays, and checked."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medmint.errors import MetricError
from medmint.metrics.images import image_stack
from medmint.model_evaluator.image_files import SUFFIXES, is_image_file, read_image_file
from medmint.model_evaluator.patients import (
    Groups,
    Patients,
    patients_from_names,
    patients_given,
    read_table,
)
from medmint.samples import MANIFEST_NAME

Array = NDArray[Any]
TABLE = "labels.csv"
_SOME = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageSet:
    """Images of one size and type, with what is known about them.

    Attributes
    ----------
    images : ndarray, shape (n, height, width[, 3]) or (n, height, width, depth)
    names : tuple of str
        File names, or numbers.
    source : str
        Where they are from.
    patients : Patients or None
        Whose they are, where that is known.
    masks : ndarray of uint8, shape (n, height, width), or None
    labels : tuple of str or None
        Class of each image.
    warnings : tuple of str
        What a reader of numbers should know about the images.
    """

    images: Array
    names: tuple[str, ...]
    source: str
    patients: Patients | None = None
    masks: Array | None = None
    labels: tuple[str, ...] | None = None
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    @property
    def groups(self) -> Array | None:
        """Patient of each image as an array."""
        return None if self.patients is None else np.array(self.patients.names)

    @property
    def unit(self) -> str:
        """What one entry is counted as."""
        if self.patients is not None:
            return self.patients.unit
        return "volume" if image_stack(self.images[:1]).ndim == 5 else "image"

    @property
    def digests(self) -> tuple[str, ...]:
        """SHA-256 of the pixels of each image."""
        return tuple(hashlib.sha256(np.ascontiguousarray(i).data).hexdigest() for i in self.images)

    @property
    def sha256(self) -> str:
        """SHA-256 over all images."""
        return hashlib.sha256("".join(self.digests).encode()).hexdigest()

    def chosen(self, rows: Array) -> ImageSet:
        """Return some of the images."""
        patients = self.patients
        if patients is not None:
            patients = replace(patients, names=tuple(patients.names[row] for row in rows))
        return replace(
            self,
            images=self.images[rows],
            names=tuple(self.names[row] for row in rows),
            patients=patients,
            masks=None if self.masks is None else self.masks[rows],
            labels=None if self.labels is None else tuple(self.labels[row] for row in rows),
        )

    def facts(self) -> dict[str, Any]:
        """Return what a report writes down about the set."""
        return {
            "source": self.source,
            "n": len(self),
            "shape": list(self.images.shape[1:]),
            "dtype": str(self.images.dtype),
            "sha256": self.sha256,
            "unit": self.unit,
            "groups": None if self.patients is None else self.patients.count,
            "groups_from": None if self.patients is None else self.patients.source,
        }


def read_image_set(source: Any, *, name: str = "real", groups: Groups | None = None) -> ImageSet:
    """Read images and check that they can be compared with each other.

    Parameters
    ----------
    source : path, ndarray or sequence of ndarray, or ImageSet
        A folder of image files (or with a subfolder ``images``, and ``masks`` of the same names),
        an output folder of ``generate``, a ``.txt`` file with a file name a line, a ``.npy`` file,
        an array of shape (n, height, width[, channels or depth]), or a list of arrays.
    name : str
        What errors call the set.
    groups : sequence, mapping, callable or path of a CSV table, optional
        Patient of each image. Without it, patients are read from DICOM headers, from ``labels.csv``
        beside the images, or from file names such as ``00001280_004.png`` and ``sub-07_t1.nii.gz``;
        data that name patients are always split by patient.

    Returns
    -------
    ImageSet

    Raises
    ------
    MetricError
        If there are fewer than two images, they differ in size, channels or type, or one cannot be
        read or has pixels that are not finite.
    """
    if isinstance(source, ImageSet):
        found = replace(source, warnings=())
    elif isinstance(source, str | os.PathLike):
        found = _from_path(Path(source).expanduser(), name)
    else:
        found = _from_arrays(source, name)
    if len(found) < 2:
        raise MetricError(name, f"{len(found)} image in {found.source}", "at least 2 images")
    if groups is not None:
        found = replace(found, patients=patients_given(groups, found.names))
    return replace(found, warnings=(*found.warnings, *_remarks(found, name)))


def same_images(one: ImageSet, other: ImageSet) -> int:
    """Count the images of one set that are in another as well, byte for byte."""
    known = set(other.digests)
    return sum(digest in known for digest in one.digests)


def _from_path(path: Path, name: str) -> ImageSet:
    if path.suffix == ".npy" and path.is_file():
        return replace(_from_arrays(read_image_file_stack(path), name), source=str(path))
    if path.suffix == ".txt" and path.is_file():
        return _from_files(_listed(path, name), path, name)
    if not path.is_dir():
        fault = "a file of another kind" if path.exists() else "which is not there"
        raise MetricError(name, f"{path}, {fault}", "a folder of images, a .txt or a .npy file")
    if (path / MANIFEST_NAME).is_file():
        return _from_run(path, name)
    files = sorted(file for file in path.iterdir() if is_image_file(file))
    if not files and (path / "images").is_dir():
        files = sorted(file for file in (path / "images").iterdir() if is_image_file(file))
    if not files:
        kinds = ", ".join(SUFFIXES)
        raise MetricError(name, f"{path}, a folder without images", f"files of the kinds {kinds}")
    return _from_files(files, path, name)


def read_image_file_stack(path: Path) -> Array:
    """Read a NPY file that holds a stack of images."""
    try:
        return np.asarray(np.load(path, allow_pickle=False))
    except (OSError, ValueError, EOFError) as error:
        raise MetricError(str(path), f"a file that cannot be read ({error})", "an array") from error


def _listed(path: Path, name: str) -> list[Path]:
    """Return the files that a text file lists, beside it or in its folder ``images``."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise MetricError(name, f"{path} ({error})", "a list of file names") from error
    files = []
    for line in filter(None, map(str.strip, lines)):
        places = [path.parent / line, path.parent / "images" / line]
        file = next((place for place in places if place.is_file()), None)
        if file is None:
            raise MetricError(name, f"{path} with {line}, which is not there", "existing files")
        files.append(file)
    return files


def _from_files(files: Sequence[Path], source: Path, name: str) -> ImageSet:
    read = [read_image_file(file) for file in files]
    names = tuple(file.name for file in files)
    images = _stacked([one.array for one in read], names, name)
    headers = tuple(one.patient or "" for one in read)
    patients = Patients(headers, "DICOM headers") if headers and all(headers) else None
    labels = None
    folder = files[0].parent if files else source
    for place in (folder / TABLE, folder.parent / TABLE):
        table = read_table(place, names) if place.is_file() else None
        if table is not None:
            patients, labels = patients or table.patients, table.labels
            break
    patients = patients or patients_from_names(names)
    masks = [folder.parent / "masks" / file.name for file in files]
    return ImageSet(
        images=images,
        names=names,
        source=str(source),
        patients=patients,
        masks=_masks(masks, name) if all(mask.is_file() for mask in masks) else None,
        labels=labels,
    )


def _masks(files: Sequence[Path], name: str) -> Array:
    arrays = [read_image_file(file).array for file in files]
    grey = [array if array.ndim == 2 else array.max(axis=-1) for array in arrays]
    return _stacked(grey, [file.name for file in files], f"masks of {name}")


def _from_run(folder: Path, name: str) -> ImageSet:
    """Read what ``generate`` wrote: values of shifted PNG files are put back."""
    try:
        text = (folder / MANIFEST_NAME).read_text(encoding="utf-8")
        lines = [json.loads(line) for line in text.split("\n") if line]
    except (OSError, ValueError) as error:
        raise MetricError(name, f"{folder / MANIFEST_NAME} ({error})", "a manifest") from error
    offset = next((line.get("offsets", {}).get("image", 0) for line in lines[:1]), 0)
    entries = [line for line in lines if "image" in line and "index" in line]
    files = [folder / line["image"] for line in entries]
    found = _from_files(files, folder, name)
    images = found.images if not offset else (found.images.astype(np.int32) + offset)
    labels = tuple(str(line["label"]) for line in entries if "label" in line)
    return replace(
        found,
        images=images if not offset else images.astype(np.int16),
        labels=labels if len(labels) == len(files) and labels else None,
    )


def _from_arrays(source: Any, name: str) -> ImageSet:
    try:
        # Samples of generate() are tuples where the model gives more than an image.
        rows = list(source)
        images = [np.asarray(row[0] if isinstance(row, tuple) else row) for row in rows]
        masks = [np.asarray(row[1]) for row in rows if isinstance(row, tuple) and len(row) > 1]
    except TypeError as error:
        allowed = "a folder, an array or a list of arrays"
        raise MetricError(name, type(source).__name__, allowed) from error
    names = tuple(str(number) for number in range(len(images)))
    stack = _stacked(images, names, name)
    is_mask = len(masks) == len(images) and all(m.shape == stack.shape[1:3] for m in masks)
    return ImageSet(
        images=stack, names=names, source="arrays", masks=np.stack(masks) if is_mask else None
    )


def _stacked(arrays: Sequence[Array], names: Sequence[str], name: str) -> Array:
    """Return one array of equal images, or say which differ."""
    if not arrays:
        raise MetricError(name, "no images", "at least 2 images")
    kinds = Counter((array.shape, str(array.dtype)) for array in arrays)
    if len(kinds) > 1:
        examples = []
        for (shape, dtype), count in kinds.most_common(_SOME):
            first = next(
                n
                for n, a in zip(names, arrays, strict=True)
                if (a.shape, str(a.dtype)) == (shape, dtype)
            )
            examples.append(f"{count} of shape {shape} and type {dtype} (such as {first})")
        allowed = "images of one size, channel count and type: convert or resize them first"
        raise MetricError(name, f"a mixture: {'; '.join(examples)}", allowed)
    stack = np.stack(list(arrays))
    if stack.dtype == np.bool_:
        stack = stack.astype(np.uint8) * 255
    image_stack(stack)
    return stack


def _remarks(found: ImageSet, name: str) -> list[str]:
    """Return what is odd about images that can be read all the same."""
    axes = tuple(range(1, found.images.ndim))
    flat = np.flatnonzero(found.images.max(axis=axes) == found.images.min(axis=axes))
    remarks = []
    if len(flat):
        some = ", ".join(found.names[row] for row in flat[:_SOME])
        remarks.append(f"{name}: {len(flat)} of {len(found)} images have one value only ({some})")
    repeated = len(found) - len(set(found.digests))
    if repeated:
        remarks.append(f"{name}: {repeated} of {len(found)} images repeat another one exactly")
    return remarks
