"""Read training volumes, and change them a little each time they are seen."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from network import LABELS
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from medmint.errors import TrainingError
from medmint.model_trainer.splits import SPLITS

ARRAYS = ("images", "labels", "ids")
FILE = "volumes.npz"
#: Fewer volumes than this teach a network nothing but themselves.
FEWEST_VOLUMES = 8
#: What numpy says of bytes that are no arrays, or none that there is memory for.
_UNREADABLE = (
    AttributeError,
    EOFError,
    MemoryError,
    NotImplementedError,
    OSError,
    TypeError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Volumes:
    """One split of a training folder.

    Attributes
    ----------
    ids : tuple of str
    images : ndarray of uint8, shape (n, x, y, z)
        0 outside the box that holds data.
    labels : ndarray of uint8, shape (n, x, y, z)
        0, 1 and 2.
    boxes : ndarray of int64, shape (n, 3, 2)
        First voxel of the box along each axis and the first one after it.
    """

    ids: tuple[str, ...]
    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    boxes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)


def read_volumes(folder: Path, split: str) -> Volumes:
    """Read one split of ``volumes.npz``, as ``split_train.txt`` and its like name it.

    Raises
    ------
    TrainingError
        If something is missing or not as `prepare_data.py` writes it.
    """
    path = folder / FILE
    arrays = _read_arrays(path)
    ids = _ids(path, arrays["ids"])
    _check(path, arrays, ids)
    chosen = _split(folder, split, ids)
    places = [ids.index(name) for name in chosen]
    images, labels = arrays["images"][places], arrays["labels"][places].astype(np.uint8)
    return Volumes(ids=tuple(chosen), images=images, labels=labels, boxes=find_boxes(images))


def _read_arrays(path: Path) -> dict[str, NDArray[np.generic]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [name for name in ARRAYS if name not in file.files]
            if missing:
                raise TrainingError(
                    path,
                    f"it holds {', '.join(file.files) or 'nothing'}, not {', '.join(missing)}",
                    "Make it with prepare_data.py.",
                )
            return {name: file[name] for name in ARRAYS}
    except FileNotFoundError as error:
        raise TrainingError(path, "it is not there", "Make it with prepare_data.py.") from error
    except TrainingError:
        raise
    except _UNREADABLE as error:
        raise TrainingError(path, f"it cannot be read as an npz file ({error})") from error


def _ids(path: Path, array: NDArray[np.generic]) -> list[str]:
    # Kinds of numpy: text, bytes, whole numbers.
    if array.ndim != 1 or array.dtype.kind not in "USiu":
        raise TrainingError(path, f"ids are {array.dtype} of shape {array.shape}, expected text")
    try:
        ids: list[str] = array.astype(str).tolist()
    except ValueError as error:
        raise TrainingError(
            path, f"ids are no text ({error})", "Write them as text, not as bytes."
        ) from error
    return ids


def _check(path: Path, arrays: dict[str, NDArray[np.generic]], ids: list[str]) -> None:
    images, labels = arrays["images"], arrays["labels"]
    if images.dtype != np.uint8 or images.ndim != 4:
        raise TrainingError(
            path,
            f"images are {images.dtype} of shape {images.shape}, expected uint8 (n, x, y, z)",
        )
    if labels.shape != images.shape or len(ids) != len(images):
        raise TrainingError(
            path,
            f"{images.shape} images, {labels.shape} labels and {len(ids)} ids do not go together",
        )
    if any(side % 16 or side < 32 for side in images.shape[1:]):
        raise TrainingError(
            path,
            f"volumes of {images.shape[1:]} voxels, each side must be a multiple of 16 from 32",
            "Pad them with zeros.",
        )
    if labels.dtype.kind not in "buif":
        raise TrainingError(path, f"labels are {labels.dtype}, expected uint8")
    found = np.unique(labels)
    if not np.isin(found, np.arange(LABELS)).all():
        raise TrainingError(path, f"labels hold the values {found[:9].tolist()}, expected 0, 1, 2")
    if len(set(ids)) < len(ids):
        raise TrainingError(path, "an id is there twice")


def _split(folder: Path, split: str, ids: list[str]) -> list[str]:
    path = folder / f"split_{split}.txt"
    if not path.is_file():
        raise TrainingError(path, "it is not there", "It holds an id a line.")
    chosen = _words(path)
    for other in (folder / f"split_{name}.txt" for name in SPLITS if name != split):
        taken = set(_words(other)) if other.is_file() else set()
        if shared := sorted(taken & set(chosen)):
            raise TrainingError(path, f"{shared[0]} is in {other.name}, too", "Name it once.")
    if len(set(chosen)) < len(chosen):
        twice = next(name for name in chosen if chosen.count(name) > 1)
        raise TrainingError(path, f"it names {twice} twice", "Name it once.")
    unknown = sorted(set(chosen) - set(ids))
    if unknown:
        raise TrainingError(
            path, f"{len(unknown)} of its {len(chosen)} ids are not in {FILE}, {unknown[0]} first"
        )
    if len(chosen) < FEWEST_VOLUMES:
        raise TrainingError(
            path, f"it names {len(chosen)} volumes, at least {FEWEST_VOLUMES} are needed"
        )
    return chosen


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").split()
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingError(
            path, f"it cannot be read ({error})", "Write an id a line, in UTF-8."
        ) from error


def planes(images: NDArray[np.uint8], shares: Sequence[float]) -> Iterator[NDArray[np.uint8]]:
    """Yield planes across each axis of volumes (n, x, y, z), at shares of its length."""
    for axis in (1, 2, 3):
        for share in shares:
            yield images.take(round(share * images.shape[axis]), axis=axis)


def find_boxes(images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the smallest box around what is not 0 in each volume, shape (n, 3, 2).

    Examples
    --------
    >>> images = np.zeros((1, 4, 4, 4), np.uint8)
    >>> images[0, 1:3, :, 2:] = 9
    >>> find_boxes(images).tolist()
    [[[1, 3], [0, 4], [2, 4]]]
    """
    boxes = np.zeros((len(images), 3, 2), dtype=np.int64)
    for axis in range(3):
        others = tuple(a for a in (1, 2, 3) if a != axis + 1)
        filled = (images != 0).any(axis=others)
        boxes[:, axis, 0] = filled.argmax(axis=1)
        boxes[:, axis, 1] = filled.shape[1] - filled[:, ::-1].argmax(axis=1)
        # An empty volume has no box.
        boxes[~filled.any(axis=1), axis] = 0
    return boxes


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """How much volumes are changed.

    Attributes
    ----------
    turn : float
        Largest rotation about each axis, in radians.
    zoom : float
        Largest change of size along each axis, as a share.
    move : int
        Largest shift along each axis, in voxels, within the padding.
    crop : int
        Voxels that may be missing at each face of the box.
    gamma : float
        Largest change of brightness, as the logarithm of an exponent.
    """

    turn: float
    zoom: float
    move: int
    crop: int
    gamma: float


UNCHANGED = Amounts(turn=0, zoom=0, move=0, crop=0, gamma=0)
#: For the autoencoder, which is to draw any volume.
WIDELY = Amounts(turn=0.12, zoom=0.08, move=2, crop=2, gamma=0.3)
#: For the maps that the denoiser learns, which are to be distributed as the volumes are.
NARROWLY = Amounts(turn=0.04, zoom=0.02, move=0, crop=0, gamma=0.05)


class Batch:
    """Volumes as the networks take them.

    Attributes
    ----------
    image : Tensor, shape (n, 1, x, y, z)
        Values in [-1, 1], 0 outside the box.
    box : Tensor, shape (n, 1, x, y, z)
        1 where there are data.
    label : Tensor of int64, shape (n, x, y, z)
    """

    def __init__(self, image: Tensor, box: Tensor, label: Tensor, device: torch.device) -> None:
        self.image, self.box, self.label = image.to(device), box.to(device), label.to(device)


def take(
    volumes: Volumes,
    rows: list[int],
    device: torch.device,
    *,
    amounts: Amounts = UNCHANGED,
    random: torch.Generator | None = None,
) -> Batch:
    """Return some volumes, changed by chance where random numbers are given."""
    images = torch.from_numpy(volumes.images[rows]).float().div(127.5).sub(1)[:, None]
    labels = torch.from_numpy(volumes.labels[rows]).long()
    boxes = torch.from_numpy(volumes.boxes[rows])
    if random is not None:
        images, labels, boxes = _changed(images, labels, boxes, amounts, random)
    inside = torch.zeros_like(images)
    for i, box in enumerate(boxes.tolist()):
        inside[i, 0][tuple(slice(low, high) for low, high in box)] = 1
    return Batch(images * inside, inside, labels * inside[:, 0].long(), device)


def _changed(
    images: Tensor, labels: Tensor, boxes: Tensor, amounts: Amounts, random: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Turn, zoom, move and crop; what lies outside the box is what its border has."""
    count, shape = len(images), torch.tensor(images.shape[2:])
    matrices = _matrices(count, amounts, random)
    room = torch.minimum(boxes[..., 0], shape - boxes[..., 1])
    reach = room.clamp(max=amounts.move)
    moves = (torch.rand(count, 3, generator=random) * (2 * reach + 1)).long() - reach
    middle = boxes.float().mean(dim=2) - 0.5
    grid = torch.stack(
        torch.meshgrid(*(torch.arange(float(side)) for side in shape.tolist()), indexing="ij"), -1
    ).reshape(-1, 3)
    offsets = grid[None] - (middle + moves)[:, None]
    points = offsets @ matrices.transpose(1, 2) + middle[:, None]
    points = points.clamp(min=boxes[:, None, :, 0], max=boxes[:, None, :, 1] - 1)
    # The sampler wants values in [-1, 1], the last axis first.
    points = (points / (shape - 1) * 2 - 1).flip(-1).reshape(count, *shape.tolist(), 3)
    stacked = torch.cat([images, _one_hot(labels)], dim=1)
    moved = functional.grid_sample(stacked, points, align_corners=True, padding_mode="border")
    crops = (torch.rand(count, 3, 2, generator=random) * (amounts.crop + 1)).long()
    boxes = boxes + moves[..., None] + crops * torch.tensor([1, -1])
    exponents = (torch.rand(count, 1, 1, 1, 1, generator=random) * 2 - 1) * amounts.gamma
    levels = (moved[:, :1] + 1).div(2).clamp(1e-4, 1)
    return levels.pow(exponents.exp()) * 2 - 1, moved[:, 1:].argmax(dim=1), boxes


def _one_hot(labels: Tensor) -> Tensor:
    return functional.one_hot(labels, LABELS).movedim(-1, 1).float()


def _matrices(count: int, amounts: Amounts, random: torch.Generator) -> Tensor:
    """Return rotations about three axes times a zoom, shape (count, 3, 3)."""
    angles = (torch.rand(count, 3, generator=random) * 2 - 1) * amounts.turn
    sizes = 1 + (torch.rand(count, 3, generator=random) * 2 - 1) * amounts.zoom
    matrices = torch.diag_embed(1 / sizes)
    for axis, (one, two) in enumerate(((1, 2), (0, 2), (0, 1))):
        turn = torch.eye(3).repeat(count, 1, 1)
        turn[:, one, one] = turn[:, two, two] = angles[:, axis].cos()
        turn[:, one, two] = -angles[:, axis].sin()
        turn[:, two, one] = angles[:, axis].sin()
        matrices = turn @ matrices
    return matrices
