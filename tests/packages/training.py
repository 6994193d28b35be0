"""What tests of datasets need in loader processes too: a source of samples, and functions."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from medmint.catalogue.records import OutputSpec


class CountingSource:
    """Samples that say which they are, and a note of what was asked for."""

    model_id = "90300_COUNTING"
    seed = 7

    def __init__(self, **specs: OutputSpec) -> None:
        self.outputs = specs
        self.asked: list[list[int]] = []
        self.prefetched: list[list[int]] = []

    def samples_at(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        self.asked.append(list(indices))
        return [
            {
                "image": np.full((4, 6, 3), index, np.uint8),
                "mask": np.full((4, 6), 255 * (index % 2), np.uint8),
                "label": f"class {index % 3}",
            }
            for index in indices
        ]

    def prefetch(self, indices: Sequence[int]) -> None:
        self.prefetched.append(list(indices))


def plus_one(image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Change an image in a way that shows how often that was done."""
    return image + 1, mask


def as_pair(item: dict[str, Any]) -> tuple[Any, Any]:
    """Bring a synthetic item into the form of most segmentation datasets."""
    return item["sample"], item["mask"]
