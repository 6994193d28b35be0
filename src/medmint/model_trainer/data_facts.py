"""What a training folder is and says of itself: the hash of its images, and ``data.toml``."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from medmint.errors import TrainingError

DATA_FACTS = "data.toml"


def hash_arrays(*arrays: NDArray[Any] | None) -> str:
    """Return one sha256 of arrays and their shapes; None counts as an array of its own.

    Examples
    --------
    >>> import numpy as np
    >>> hash_arrays(np.zeros(2, np.uint8)) == hash_arrays(np.zeros((2, 1), np.uint8))
    False
    """
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(repr(None if array is None else (array.shape, array.dtype.str)).encode())
        digest.update(b"" if array is None else array.tobytes())
    return digest.hexdigest()


def read_data_facts(folder: Path) -> dict[str, str]:
    """Read ``data.toml`` of a training folder; nothing where there is none.

    Raises
    ------
    TrainingError
        If it cannot be read.
    """
    return {key: str(value) for key, value in read_toml(folder / DATA_FACTS).items()}


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; nothing where there is none.

    Raises
    ------
    TrainingError
        If it cannot be read.
    """
    if not path.exists():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainingError(path, f"it cannot be read as TOML ({error})") from error
