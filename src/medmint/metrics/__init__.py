"""Measures of how close synthetic images come to real ones.

Pure functions on arrays. The first argument is always real, the second synthetic.

>>> import numpy as np
>>> from medmint import metrics
>>> x = np.random.default_rng(0).normal(size=(20, 3))
>>> round(metrics.frechet_distance(x, x + 1), 6)
3.0
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medmint.metrics.distances import (
        Extrapolation,
        frechet_distance,
        frechet_distance_extrapolated,
        frechet_distance_from_statistics,
        rfid,
    )
    from medmint.metrics.extractors import FeatureExtractor, find_extractor, metric_name
    from medmint.metrics.feature_cache import FeatureCache
    from medmint.metrics.features import standardise
    from medmint.metrics.kernels import kid, kid_subsets
    from medmint.metrics.neighbours import density_coverage, precision_recall
    from medmint.metrics.predictions import inception_score
    from medmint.metrics.similarity import (
        ms_ssim,
        ms_ssim_scales,
        mse,
        pairwise_ms_ssim,
        psnr,
        ssim,
    )

__all__ = [
    "frechet_distance",
    "frechet_distance_from_statistics",
    "frechet_distance_extrapolated",
    "Extrapolation",
    "rfid",
    "kid",
    "kid_subsets",
    "precision_recall",
    "density_coverage",
    "inception_score",
    "mse",
    "psnr",
    "ssim",
    "ms_ssim",
    "ms_ssim_scales",
    "pairwise_ms_ssim",
    "FeatureExtractor",
    "find_extractor",
    "metric_name",
    "FeatureCache",
    "standardise",
]

_MODULES = {
    "distances": (
        "frechet_distance frechet_distance_from_statistics frechet_distance_extrapolated "
        "Extrapolation rfid"
    ),
    "kernels": "kid kid_subsets",
    "neighbours": "precision_recall density_coverage",
    "predictions": "inception_score",
    "similarity": "mse psnr ssim ms_ssim ms_ssim_scales pairwise_ms_ssim",
    "extractors": "FeatureExtractor find_extractor metric_name",
    "feature_cache": "FeatureCache",
    "features": "standardise",
}
# Loaded when first asked for: some need scipy or torch.
_HOMES = {name: module for module, names in _MODULES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
