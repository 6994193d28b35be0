"""What is trained on, and how: the same for every network that is compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from medmint.errors import MetricError

Array = NDArray[Any]
Task = Literal["segmentation", "classification"]

REAL = "real"
AUGMENTED = "real + augmentation"
SYNTHETIC = "synthetic"
BOTH = "real + synthetic"
ALL = "real + synthetic + augmentation"
ARMS = (REAL, AUGMENTED, SYNTHETIC, BOTH, ALL)
_FEWEST_SEEDS = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Examples:
    """Images and what is to be learnt about them.

    Attributes
    ----------
    images : ndarray of uint8, shape (n, height, width[, 3])
    targets : ndarray, shape (n, height, width) or (n,)
        Masks, everything that is not 0 belongs to them, or class numbers from 0.
    groups : array of str or int, shape (n,), optional
        Patient of each image.
    """

    images: Array
    targets: Array
    groups: Array | None = None

    def __post_init__(self) -> None:
        if self.images.dtype != np.uint8 or self.images.ndim not in (3, 4):
            given = f"{self.images.dtype} with shape {self.images.shape}"
            raise MetricError("images", given, "uint8 with shape (n, height, width[, channels])")
        masks = self.targets.shape == self.images.shape[:3]
        if not masks and self.targets.shape != (len(self.images),):
            expected = f"masks {self.images.shape[:3]} or classes ({len(self.images)},)"
            raise MetricError("targets", f"shape {self.targets.shape}", expected)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def task(self) -> Task:
        """What can be learnt from the targets."""
        return "segmentation" if self.targets.ndim == 3 else "classification"

    def chosen(self, rows: Array) -> Examples:
        """Return some of the examples."""
        groups = None if self.groups is None else np.asarray(self.groups)[rows]
        return Examples(images=self.images[rows], targets=self.targets[rows], groups=groups)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPlan:
    """What is the same for every network that is trained.

    Attributes
    ----------
    steps, batch_size : int
        Gradient steps of each training, whatever the number of images, and images in each.
    every : int
        Steps between two looks at the validation images; the best weights there are kept.
    side : int
        Images are brought to this size, a multiple of 8.
    width : int
        Width of the networks, a multiple of 8.
    learning_rate : float
        Of Adam, falling to 0 by a cosine.
    fractions : tuple of float
        Shares of the real training images.
    seeds : tuple of int
        At least three.
    arms : tuple of str
        Some of ``ARMS``.
    """

    steps: int = 300
    batch_size: int = 16
    every: int = 50
    side: int = 64
    width: int = 16
    learning_rate: float = 2e-3
    fractions: tuple[float, ...] = (0.1, 0.25, 1.0)
    seeds: tuple[int, ...] = (0, 1, 2)
    arms: tuple[str, ...] = ARMS

    def __post_init__(self) -> None:
        if len(set(self.seeds)) < _FEWEST_SEEDS:
            raise MetricError("seeds", str(self.seeds), "at least three different seeds")
        if unknown := set(self.arms) - set(ARMS):
            raise MetricError("arms", ", ".join(sorted(unknown)), f"some of {', '.join(ARMS)}")
        if not self.fractions or not all(0 < share <= 1 for share in self.fractions):
            raise MetricError("fractions", str(self.fractions), "shares above 0, 1 at most")
        if self.side % 8 or self.width % 8 or min(self.side, self.width) < 8:
            raise MetricError("side, width", f"{self.side}, {self.width}", "multiples of 8")
        if min(self.steps, self.batch_size, self.every) < 1:
            raise MetricError("steps, batch_size, every", "a number below 1", "1 or more")
