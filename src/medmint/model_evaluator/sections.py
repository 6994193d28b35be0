"""What metrics of a report share: the sets that are compared, and what each of them finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medmint import metrics
from medmint.model_evaluator.rows import Picture, Row

if TYPE_CHECKING:
    from medmint.metrics import FeatureExtractor
    from medmint.metrics.training_plan import TrainingPlan
    from medmint.model_evaluator.image_sets import ImageSet

Floats = NDArray[np.float64]
#: Features without a scale of their own: they are put on that of the real set.
UNSCALED = ("seeded_convolution", "descriptors")


@dataclass(slots=True)
class Section:
    """What one metric found."""

    rows: list[Row] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    pictures: list[Picture] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Comparison:
    """Sets that are ready to be compared: equal numbers, one size, one range of values.

    ``whole`` has all images of all sets, ``train`` and ``holdout`` among them where they are known:
    training needs no equal numbers.
    """

    real: ImageSet
    synthetic: ImageSet
    extractors: tuple[FeatureExtractor, ...]
    seed: int
    whole: Mapping[str, ImageSet]
    plan: TrainingPlan | None = None
    cache: metrics.FeatureCache | None = None
    _features: dict[str, tuple[Floats, Floats]] = field(default_factory=dict)

    @property
    def train(self) -> ImageSet | None:
        """Images that the model was trained on."""
        return self.whole.get("train")

    @property
    def holdout(self) -> ImageSet | None:
        """Real images that it was not trained on."""
        return self.whole.get("holdout")

    def features(self, extractor: FeatureExtractor) -> tuple[Floats, Floats]:
        """Return the features of both sets, computed once."""
        if extractor.name not in self._features:
            if self.cache is None:
                real = extractor(self.real.images)
            else:
                real = self.cache.features(extractor, self.real.images)
            made = extractor(self.synthetic.images)
            if extractor.name in UNSCALED:
                real, made = metrics.standardise(real, made)
            self._features[extractor.name] = (real, made)
        return self._features[extractor.name]

    def with_extractor(self, extractor: FeatureExtractor) -> Comparison:
        """Return the same comparison with one of its extractors alone."""
        return replace(self, extractors=(extractor,))
