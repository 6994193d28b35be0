"""Features kept on disk, found again by the content of the images and the extractor."""

from __future__ import annotations

import hashlib
import json
import tempfile
import zipfile
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medmint.errors import MetricError, WriterError
from medmint.metrics.extractors import FeatureExtractor
from medmint.metrics.feature_sets import Floats
from medmint.metrics.wrapped import FunctionFeatures, checked_features
from medmint.version import __version__


class FeatureCache:
    """A folder of features. A set is computed once for each extractor, preset and weights.

    The key is a digest of the pixels and of all that decides the features: name, preset and
    weights of the extractor, and the version of medmint. Files appear whole or not at all, so
    that processes may share a folder; a damaged file is computed anew. Functions have no
    identity that outlives a change of their code: they are called each time. The code of a
    network is not looked at either: when its ``forward`` changes, take another folder.

    Parameters
    ----------
    folder : path
        Made with the first set.

    Examples
    --------
    >>> import tempfile
    >>> from medmint.metrics import find_extractor
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     cache = FeatureCache(folder)
    ...     features = cache.features(find_extractor("descriptors"), np.zeros((2, 32, 32)))
    ...     len(list(cache.folder.iterdir()))
    1
    """

    def __init__(self, folder: str | PathLike[str]) -> None:
        self.folder = Path(folder)

    def features(self, extractor: FeatureExtractor, images: ArrayLike) -> Floats:
        """Return the features of images, from the folder where they are.

        Parameters
        ----------
        extractor : FeatureExtractor
        images : array_like
            As the extractor takes them.

        Returns
        -------
        ndarray of float64, shape (n, d)

        Raises
        ------
        MetricError
            If the images are none, or what the extractor returns are no features.
        WriterError
            If the folder cannot be written to.
        """
        if isinstance(extractor, FunctionFeatures):
            return extractor(images)
        array = np.asarray(images)
        if array.dtype.hasobject or not array.ndim:
            raise MetricError("images", f"an array of {array.dtype}", "one array of equal images")
        path = self.folder / f"{_key(extractor, array)}.npz"
        known = _read(path)
        if known is not None and len(known) == len(array):
            return known
        features = checked_features(extractor.name, extractor(array), len(array))
        _write(path, features)
        return features


def _key(extractor: FeatureExtractor, images: NDArray[Any]) -> str:
    identity = {
        "name": extractor.name,
        "preset": dict(extractor.preset),
        "weights_sha256": extractor.weights_sha256,
        "medmint": __version__,
        "type": images.dtype.str,
        "shape": images.shape,
    }
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode())
    for image in images:
        digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


def _read(path: Path) -> Floats | None:
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            features: Floats = arrays["features"]
    # The archive has checksums: whatever is wrong with it shows as one of these.
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return features


def _write(path: Path, features: Floats) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
            part = Path(file.name)
            try:
                np.savez(file, features=features)
            except BaseException:
                file.close()
                part.unlink(missing_ok=True)
                raise
        part.replace(path)
    except OSError as error:
        hint = "Name another folder for the cache."
        raise WriterError(path, error.strerror or str(error), hint) from error
