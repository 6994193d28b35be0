"""What the parts of an evaluation share: real images, samples, features, how much is asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medmint.errors import ArgumentError
from medmint.metrics.features import SeededConvolution
from medmint.model_trainer.folder import TrainingImages, read_images
from medmint.model_trainer.judging.model import Bytes, Model, Samples, Whole, joined
from medmint.model_trainer.labels import UNKNOWN

if TYPE_CHECKING:
    from medmint.model_trainer.judging.numbers import Section

Reader = Callable[[Path, str], TrainingImages]
SectionMaker = Callable[["Evidence"], "Section"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much is drawn and trained.

    Attributes
    ----------
    draws : int
        Sets of samples for each distance, of seeds 0, 1, ...
    copies : int
        Samples that are looked at for copies.
    pairs : int
        Samples, with masks or conditions, that a network is trained on.
    steps : int
        Gradient steps of each such network.
    side : int
        Size in pixels at which they work.
    """

    draws: int = 10
    copies: int = 1000
    pairs: int = 10_000
    steps: int = 300
    side: int = 64

    def __post_init__(self) -> None:
        for number in dataclasses.fields(self):
            if (value := getattr(self, number.name)) < 1:
                raise ArgumentError(f"--{number.name}", value, "a positive whole number")
        if self.side % 8:
            raise ArgumentError("--side", self.side, "a multiple of 8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a package is and what is to be measured of it: the whole of its ``evaluate.py``.

    Attributes
    ----------
    folder : Path
        The package.
    size, channels : int
        Side of the images in pixels; 1 or 3 channels.
    with_masks : bool
    conditions : mapping of str to sequence of str
        Columns of labels.csv that the model is conditioned on, with their values; its class
        numbers count through all combinations, the last column fastest.
    predicted : str, optional
        The column that a classifier trained on samples is to tell; the other columns are what
        it is judged within.
    read : callable, optional
        ``read(folder, split)`` in place of `read_images`, such as of volumes.
    extractor : SeededConvolution, optional
        What turns images into features, where other slices of volumes than all of the last axis
        are to be looked at.
    sheet : callable, optional
        ``sheet(samples) -> picture``, uint8 RGB, in place of a contact sheet.
    most_seconds : float or None
        How long one image may take on one core; None where no goal is set.
    effort : Effort
        How much is drawn and trained where the command line says nothing else.
    sections : mapping of str to callable
        Parts of its own, ``function(evidence) -> Section``, after those that all have.
    """

    folder: Path
    size: int
    channels: int = 1
    with_masks: bool = False
    conditions: Mapping[str, Sequence[str]] = field(default_factory=dict)
    predicted: str | None = None
    read: Reader | None = None
    extractor: SeededConvolution | None = None
    sheet: Callable[[Samples], Bytes] | None = None
    most_seconds: float | None = 1.0
    effort: Effort = Effort()
    sections: Mapping[str, SectionMaker] = field(default_factory=dict)


class Evidence:
    """A model, the real images of each split, and samples drawn as they are asked for.

    Parameters
    ----------
    subject : Subject
    model : Model
    data : Path
        Training folder.
    split : {"val", "test"}
        What the model is compared with.
    effort : Effort, optional
        Default: that of the subject.
    """

    def __init__(
        self,
        subject: Subject,
        model: Model,
        data: Path,
        split: str,
        *,
        effort: Effort | None = None,
    ) -> None:
        self.subject, self.model, self.split = subject, model, split
        self.effort = effort or subject.effort
        self.data = data
        self._real: dict[str, TrainingImages] = {}

    def read(self, split: str) -> TrainingImages:
        """Return the images of a split as the folder has them, with patients."""
        if split not in self._real:
            subject = self.subject
            self._real[split] = (
                subject.read(self.data, split)
                if subject.read is not None
                else read_images(
                    self.data,
                    split,
                    size=subject.size,
                    channels=subject.channels,
                    with_masks=subject.with_masks,
                    conditions=subject.conditions,
                )
            )
        return self._real[split]

    def real(self, split: str | None = None) -> Samples:
        """Return the real images of a split, by default of that which is compared with."""
        given = self.read(split or self.split)
        images = given.images[..., 0] if given.images.shape[-1] == 1 else given.images
        return Samples(images=images, masks=given.masks, conditions=given.conditions)

    @cached_property
    def count(self) -> int:
        """Images in each set that is compared: as many as the split has."""
        return min(len(self.real()), len(self.real("train")))

    @cached_property
    def extractor(self) -> SeededConvolution:
        """What turns images into features."""
        return self.subject.extractor or SeededConvolution()

    @cached_property
    def real_features(self) -> NDArray[np.float64]:
        """Features of the split, as many as are compared."""
        return self.extractor(self.real().images[: self.count])

    def wanted(self, count: int, seed: int) -> Whole | None:
        """Return conditions as the training images have them, drawn with replacement.

        Drawn evenly, they would put samples at a distance by their mixture alone.
        """
        if not self.subject.conditions:
            return None
        known = self.real("train").conditions
        known = known[(known != UNKNOWN).all(axis=1)]
        rows = np.random.default_rng(seed).integers(len(known), size=count)
        return np.asarray(known[rows])

    def draw(self, seed: int, model: Model | None = None, count: int | None = None) -> Samples:
        """Return samples of a seed, by default as many as the split has images."""
        count = count or self.count
        return (model or self.model).draw(count, seed, self.wanted(count, seed))

    def pool(self, count: int) -> Samples:
        """Return ``count`` samples of the seeds 0, 1, ..., as the distances take them, in a row."""
        seeds = range(-(-count // self.count))
        return joined([self.draw(seed) for seed in seeds]).chosen(slice(count))

    def training_images(self, seed: int) -> Bytes:
        """Return different training images, as many as the split has."""
        train = self.real("train").images
        rows = np.random.default_rng(seed).choice(len(train), self.count, replace=False)
        return np.asarray(train[rows])
