"""Pretrained generative models for medical image synthesis.

>>> from medmint import Generators
>>> Generators().list_models()[0]
'00001_DCGAN_MMG_CALC_ROI'
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medmint.generators import Generators
    from medmint.samples import GenerationResult
    from medmint.settings import Settings
    from medmint.version import __version__

__all__ = ["Generators", "GenerationResult", "Settings", "__version__"]

# Loaded when first asked for, so that importing the package costs next to nothing.
_HOMES = {
    "Generators": "medmint.generators",
    "GenerationResult": "medmint.samples",
    "Settings": "medmint.settings",
    "__version__": "medmint.version",
}

logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
