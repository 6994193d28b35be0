"""Samples of a model as torch datasets and loaders, alone or mixed with real data.

Importing this loads torch; ``import medmint`` does not.
"""

from medmint.synthetic_dataset.dataset import SyntheticDataset, SyntheticStream
from medmint.synthetic_dataset.loader import SyntheticLoader
from medmint.synthetic_dataset.mixing import MixedDataset, balancing_classes

__all__ = [
    "SyntheticDataset",
    "SyntheticStream",
    "SyntheticLoader",
    "MixedDataset",
    "balancing_classes",
]
