"""Read a folder of training images, and say what is wrong with it before anything is trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medmint.errors import ArgumentError, TrainingError
from medmint.model_trainer.data_facts import read_data_facts
from medmint.model_trainer.labels import PATIENT, Labels, condition_indices, read_labels
from medmint.model_trainer.splits import SPLITS, split_names

Bytes = NDArray[np.uint8]

_MODES = {1: "L", 3: "RGB"}


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
    ArgumentError
        If there is no such split, size or number of channels.
    TrainingError
        If something is missing, unreadable, of mixed sizes or too little, or one file or patient
        is in two splits.
    """
    if split not in SPLITS:
        raise ArgumentError("split", split, f"one of {', '.join(SPLITS)}")
    if channels not in _MODES:
        raise ArgumentError("channels", channels, "1 for grey or 3 for RGB")
    if size < 1:
        raise ArgumentError("size", size, "a positive whole number")
    labels = read_labels(folder)
    names = split_names(folder, split, labels)
    known = condition_indices(folder, names, labels, conditions or {})
    read_data_facts(folder)
    images, side = _read_all([folder / "images" / name for name in names], _MODES[channels], size)
    _refuse_sameness(folder / "images", images)
    return TrainingImages(
        names=tuple(names),
        images=images,
        masks=_read_masks(folder / "masks", names, size, side) if with_masks else None,
        conditions=known,
        patients=_patients(names, labels),
    )


def _refuse_sameness(folder: Path, images: Bytes) -> None:
    if (images == images[:1]).all() or (images == images[:, :1, :1]).all():
        raise TrainingError(
            folder,
            f"{len(images)} images are all the same, or each has one grey value alone",
            "Look at them: there is nothing to learn.",
        )


def _read_masks(folder: Path, names: Sequence[str], size: int, side: int) -> Bytes:
    if not folder.is_dir():
        raise TrainingError(
            folder, "it is not there, and the model draws masks", "Give one for each image."
        )
    grey, own_side = _read_all([folder / name for name in names], "L", size)
    if own_side != side:
        raise TrainingError(
            folder,
            f"masks of {own_side} pixels for images of {side}",
            "Bring masks to the size of their images, without smoothing.",
        )
    if grey.max() < 128:
        raise TrainingError(
            folder,
            f"none of {len(names)} masks has anything on it, the largest value is {grey.max()}",
            "Write masks as 0 and 255.",
        )
    return (grey[..., 0] >= 128) * np.uint8(255)


def _read_all(paths: Sequence[Path], mode: str, size: int) -> tuple[Bytes, int]:
    """Return all images in one mode and size, and the side that they have on disk."""
    folder = paths[0].parent
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise TrainingError(
            missing[0],
            f"{len(missing)} of {len(paths)} {folder.name} are not there",
            "Add them, or take their names out of the split files.",
        )
    sizes: Counter[tuple[int, int]] = Counter()
    stack = np.empty((len(paths), size, size, len(mode)), dtype=np.uint8)
    for place, path in zip(stack, paths, strict=True):
        place[...], own_size = _read_image(path, mode, size)
        sizes[own_size] += 1
    if len(sizes) > 1:
        listed = ", ".join(f"{n} of {w} x {h}" for (w, h), n in sizes.most_common(3))
        raise TrainingError(
            folder, f"{folder.name} of mixed sizes ({listed})", "Bring all to one square size."
        )
    ((width, height),) = sizes
    if width != height or width < size:
        raise TrainingError(
            folder,
            f"images of {width} x {height} pixels, expected squares of {size} or more",
            "Cut or pad them, or ask for a smaller size.",
        )
    return stack, width


def _read_image(path: Path, mode: str, size: int) -> tuple[Bytes, tuple[int, int]]:
    from PIL import Image

    try:
        with Image.open(path) as image:
            if image.mode.startswith(("I", "F")):
                raise TrainingError(
                    path,
                    f"it has more than 8 bits a pixel (mode {image.mode})",
                    "Choose a window of grey values and write it with 8 bits.",
                )
            pixels = image.convert(mode).resize((size, size), Image.Resampling.BOX)
            return np.asarray(pixels).reshape(size, size, -1), image.size
    except TrainingError:
        raise
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise TrainingError(
            path, f"it cannot be read as an image ({error})", "Replace it or take it out."
        ) from error


def _patients(names: Sequence[str], labels: Labels) -> NDArray[Any] | None:
    known = [labels.get(name, {}).get(PATIENT, "") for name in names]
    return np.array(known) if all(known) else None
