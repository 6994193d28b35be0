"""Read a folder of training images, and say what is wrong with it before anything is trained."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medmint.errors import TrainingError

Bytes = NDArray[np.uint8]

SPLITS = ("train", "val", "test")
#: Shares of val and test where a folder has no split files.
VAL_SHARE, TEST_SHARE = 0.15, 0.15
#: Fewer images than this teach a network nothing but themselves.
FEWEST_IMAGES = 32
#: Index of a value that is not known.
UNKNOWN = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingImages:
    """One split of a training folder.

    Attributes
    ----------
    names : tuple of str
        File names.
    images : ndarray of uint8, shape (n, size, size, channels)
    masks : ndarray of uint8, shape (n, size, size), or None
        0 and 255.
    conditions : ndarray of int64, shape (n, columns)
        Place of each value among those of its column, -1 where it is not known.
    patients : ndarray of str, shape (n,), or None
    """

    names: tuple[str, ...]
    images: Bytes
    masks: Bytes | None
    conditions: NDArray[np.int64]
    patients: NDArray[Any] | None


def read_images(
    folder: Path,
    split: str,
    *,
    size: int,
    channels: int,
    with_masks: bool = False,
    conditions: Mapping[str, Sequence[str]] | None = None,
) -> TrainingImages:
    """Read one split of ``images/NAME``, ``masks/NAME`` and ``labels.csv``.

    ``split_train.txt``, ``split_val.txt`` and ``split_test.txt`` hold a file name a line. Without
    them 70 % of the images are for training, 15 % for val and 15 % for test, by a hash of the
    patient (column ``patient_id`` of labels.csv) or else of the file name.

    Parameters
    ----------
    folder : Path
    split : {"train", "val", "test"}
    size : int
        Side in pixels that images are brought to; they must be square and all of one size.
    channels : {1, 3}
        Grey or RGB.
    with_masks : bool
        Whether masks are asked for.
    conditions : mapping of str to sequence of str, optional
        Columns of labels.csv that the model is conditioned on, with their values.

    Raises
    ------
    TrainingError
        If something is missing, unreadable, of mixed sizes or too little.
    """
    rows = _read_labels(folder)
    names = _names(folder, split, rows)
    if len(names) < FEWEST_IMAGES and split == "train":
        raise TrainingError(
            folder, f"split {split} has {len(names)} images, at least {FEWEST_IMAGES} are needed"
        )
    if not names:
        raise TrainingError(folder, f"split {split} has no images")
    mode = {1: "L", 3: "RGB"}[channels]
    images = _read_all([folder / "images" / name for name in names], mode, size)
    masks = None
    if with_masks:
        paths = [folder / "masks" / name for name in names]
        masks = (_read_all(paths, "L", size)[..., 0] >= 128) * np.uint8(255)
    return TrainingImages(
        names=tuple(names),
        images=images,
        masks=masks,
        conditions=_indices(folder, names, rows, conditions or {}),
        patients=_patients(names, rows),
    )


def condition_values(folder: Path, columns: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the values of columns of labels.csv, sorted; empty cells are unknown.

    Raises
    ------
    TrainingError
        If there is no labels.csv, it lacks a column, or a column has fewer than two values.
    """
    rows = _read_labels(folder)
    found = {}
    for column in columns:
        if not rows or column not in next(iter(rows.values())):
            raise TrainingError(
                folder / "labels.csv",
                f"no column {column!r}, which the model is conditioned on",
                f"It needs the columns file, {', '.join(columns)}.",
            )
        values = sorted({row[column] for row in rows.values()} - {""})
        if len(values) < 2:
            raise TrainingError(
                folder / "labels.csv", f"column {column!r} has the values {values}, two are needed"
            )
        found[column] = tuple(values)
    return found


def _read_labels(folder: Path) -> dict[str, dict[str, str]]:
    """Return the row of each file; nothing where there is no labels.csv."""
    path = folder / "labels.csv"
    if not path.exists():
        return {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return {row["file"]: {key: value or "" for key, value in row.items()} for row in rows}
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, AttributeError) as error:
        raise TrainingError(
            path, f"it cannot be read as a table with the column 'file' ({error})"
        ) from error


def _names(folder: Path, split: str, rows: Mapping[str, Mapping[str, str]]) -> list[str]:
    if not (folder / "images").is_dir():
        raise TrainingError(
            folder, "there is no folder images in it", "Make the folder with prepare_data.py."
        )
    lists = {name: folder / f"split_{name}.txt" for name in SPLITS}
    if lists["train"].exists():
        if not lists[split].exists():
            raise TrainingError(lists[split], "it is not there, though split_train.txt is")
        return lists[split].read_text(encoding="utf-8").split()
    names = sorted(path.name for path in (folder / "images").iterdir() if path.is_file())
    return [name for name in names if _side(rows.get(name, {}).get("patient_id") or name) == split]


def _side(unit: str) -> str:
    """Return the split of a patient or file, the same at every call."""
    place = int.from_bytes(hashlib.sha256(unit.encode()).digest()[:8]) / 2**64
    if place < TEST_SHARE:
        return "test"
    return "val" if place < TEST_SHARE + VAL_SHARE else "train"


def _read_all(paths: Sequence[Path], mode: str, size: int) -> Bytes:
    from PIL import Image, UnidentifiedImageError

    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise TrainingError(
            missing[0], f"{len(missing)} of {len(paths)} {missing[0].parent.name} are not there"
        )
    sizes: Counter[tuple[int, int]] = Counter()
    stack = []
    for path in paths:
        try:
            with Image.open(path) as image:
                sizes[image.size] += 1
                pixels = image.convert(mode).resize((size, size), Image.Resampling.BOX)
        except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
            raise TrainingError(path, f"it cannot be read as an image ({error})") from error
        stack.append(np.asarray(pixels).reshape(size, size, -1))
    if len(sizes) > 1:
        listed = ", ".join(f"{n} of {w} x {h}" for (w, h), n in sizes.most_common(3))
        raise TrainingError(
            paths[0].parent, f"images of mixed sizes ({listed})", "Bring all to one square size."
        )
    ((width, height),) = sizes
    if width != height or width < size:
        raise TrainingError(
            paths[0].parent,
            f"images of {width} x {height} pixels, expected squares of {size} or more",
        )
    return np.stack(stack)


def _indices(
    folder: Path,
    names: Sequence[str],
    rows: Mapping[str, Mapping[str, str]],
    conditions: Mapping[str, Sequence[str]],
) -> NDArray[np.int64]:
    table = np.full((len(names), len(conditions)), UNKNOWN, dtype=np.int64)
    for column, (key, values) in enumerate(conditions.items()):
        for row, name in enumerate(names):
            value = rows.get(name, {}).get(key, "")
            if value and value not in values:
                raise TrainingError(
                    folder / "labels.csv",
                    f"{name} has the {key} {value!r}, expected one of {', '.join(values)}",
                )
            if value:
                table[row, column] = list(values).index(value)
    return table


def _patients(names: Sequence[str], rows: Mapping[str, Mapping[str, str]]) -> NDArray[Any] | None:
    known = [rows.get(name, {}).get("patient_id", "") for name in names]
    return np.array(known) if all(known) else None
