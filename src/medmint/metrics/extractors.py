"""What turns images into feature vectors: found by name, or wrapped around one's own network."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from numpy.typing import ArrayLike

from medmint.errors import MetricError
from medmint.metrics.descriptors import Descriptors
from medmint.metrics.feature_sets import Floats
from medmint.metrics.features import SeededConvolution
from medmint.metrics.images import Normalisation
from medmint.metrics.presets import Preset, find_preset
from medmint.metrics.wrapped import FunctionFeatures, NetworkFeatures, read_weights
from medmint.settings import Settings

#: What the SHA-256 of the Inception weights of 2015-12-05 begins with.
FID_DIGEST = "6726825d"
#: Under which names those weights are published, by pytorch-fid and by torch-fidelity.
FID_FILES = (
    "pt_inception-2015-12-05-6726825d.pth",
    "weights-inception-2015-12-05-6726825d.pth",
)
RADIMAGENET_FILES = ("radimagenet_inception_v3.pt", "radimagenet_inception_v3.safetensors")
#: Extractors by name. The first two need no weights.
EXTRACTORS = ("seeded_convolution", "descriptors", "inception", "radimagenet")


@runtime_checkable
class FeatureExtractor(Protocol):
    """Anything that returns one feature vector per image.

    Attributes
    ----------
    name : str
        What results call it.
    preset : mapping of str to plain values
        How images are made ready, and whatever else decides the numbers.
    weights_sha256 : str or None
        Digest of the weights; None where there are none.
    """

    @property
    def name(self) -> str:
        """What results call it."""

    @property
    def preset(self) -> Mapping[str, Any]:
        """How images are made ready."""

    @property
    def weights_sha256(self) -> str | None:
        """Digest of the weights, if there are any."""

    def __call__(self, images: ArrayLike, /) -> Floats:
        """Return float64 features of shape (n, d) of n images or volumes."""


def find_extractor(
    extractor: Any = "seeded_convolution",
    *,
    weights: str | PathLike[str] | None = None,
    sha256: str | None = None,
    preset: str | Preset | None = None,
    normalisation: Normalisation | None = None,
    window: tuple[float, float] | None = None,
) -> FeatureExtractor:
    """Return a feature extractor by its name, or around a network or function.

    Parameters
    ----------
    extractor : str, torch.nn.Module, callable or FeatureExtractor
        ``"seeded_convolution"`` and ``"descriptors"`` need no weights. ``"inception"`` is the
        network of the FID, ``"radimagenet"`` the InceptionV3 trained on radiological images. A
        network takes (n, 3, height, width) and returns (n, d); a function takes the images as
        they are. A FeatureExtractor is returned as it is.
    weights : path, optional
        File of the weights, for ``"inception"`` and ``"radimagenet"``. Default: a file of the
        published name in ``<home>/weights`` or in torch's own cache.
    sha256 : str, optional
        What the file's SHA-256 has to begin with. Default for ``"inception"``: ``6726825d``.
    preset : str or Preset, optional
        How images are made ready, for networks: a name in `medmint.metrics.presets.PRESETS`.
        Default: ``"torch_fidelity"`` for ``"inception"``, ``"medigan"`` for ``"radimagenet"``,
        ``"unit"`` (values from 0 to 1, size as it is) for a network of one's own.
    normalisation : {"none", "minmax", "percentile"}, optional
        Per image or volume.
    window : (float, float), optional
        Values that are black and white, for int16 and wide floats.

    Returns
    -------
    FeatureExtractor

    Raises
    ------
    MetricError
        If there is no such extractor, or an option is none of its own.
    IntegrityError
        If the file with the weights is another one; its digest is shown.

    Examples
    --------
    >>> find_extractor("descriptors", normalisation="minmax").preset["normalisation"]
    'minmax'
    """
    loading = {"weights": weights, "sha256": sha256}
    pixels = {"normalisation": normalisation, "window": window}
    if isinstance(extractor, str):
        if extractor not in EXTRACTORS:
            raise MetricError(
                "extractor", repr(extractor), f"one of {', '.join(EXTRACTORS)}, or a network"
            )
        if extractor in ("inception", "radimagenet"):
            return _inception(extractor, weights, sha256, _preset(extractor, preset, pixels))
        _refuse(extractor, loading | {"preset": preset})
        kind = SeededConvolution if extractor == "seeded_convolution" else Descriptors
        return kind(normalisation=normalisation or "none", window=window)
    if _is_network(extractor):
        _refuse("a network of one's own", loading)
        return NetworkFeatures(extractor, _preset("", preset, pixels))
    _refuse("a function", loading | {"preset": preset} | pixels)
    if isinstance(extractor, FeatureExtractor):
        return extractor
    if not callable(extractor):
        raise MetricError("extractor", type(extractor).__name__, "a name, a network or a function")
    return FunctionFeatures(extractor)


def metric_name(metric: str, extractor: FeatureExtractor) -> str:
    """Return what a metric of features may be called.

    "FID" and "KID" are said of the Inception weights of 2015-12-05 alone: numbers from other
    features are others, however they are computed.

    Parameters
    ----------
    metric : str
        Such as ``"frechet_distance"``, ``"kid"`` or ``"precision"``.
    extractor : FeatureExtractor

    Returns
    -------
    str

    Examples
    --------
    >>> metric_name("frechet_distance", find_extractor("descriptors"))
    'frechet_distance[descriptors]'
    """
    is_fid = extractor.name == "inception" and (extractor.weights_sha256 or "").startswith(
        FID_DIGEST
    )
    if is_fid and metric in ("frechet_distance", "kid"):
        return {"frechet_distance": "FID", "kid": "KID"}[metric]
    return f"{metric}[{extractor.name}]"


def _inception(
    name: str, weights: str | PathLike[str] | None, sha256: str | None, preset: Preset
) -> NetworkFeatures:
    from medmint.metrics.inception import load_network

    fid = name == "inception"
    path = _cached_file(name) if weights is None else Path(weights).expanduser()
    start = (FID_DIGEST if fid else "") if sha256 is None else sha256
    state, digest = read_weights(path, digest_start=start)
    network = load_network(state, fid=fid, source=f"{path} (SHA-256 {digest})")
    return NetworkFeatures(network, preset, name=name, weights_sha256=digest)


def _cached_file(name: str) -> Path:
    import torch

    files = FID_FILES if name == "inception" else RADIMAGENET_FILES
    own = Settings.from_environment().home / "weights"
    folders = (own, Path(torch.hub.get_dir()) / "checkpoints")
    for path in (folder / file for folder in folders for file in files):
        if path.is_file():
            return path
    raise MetricError(
        "weights",
        f"none for {name!r}",
        f"weights=FILE, or the file as {own / files[0]}; other extractors need none",
    )


def _preset(name: str, preset: str | Preset | None, pixels: Mapping[str, Any]) -> Preset:
    default = {"inception": "torch_fidelity", "radimagenet": "medigan"}.get(name, "unit")
    return find_preset(default if preset is None else preset).adapted(**pixels)


def _refuse(subject: str, options: Mapping[str, Any]) -> None:
    for option, value in options.items():
        if value is not None:
            raise MetricError(option, repr(value), f"no such option: {subject} takes none")


def _is_network(extractor: Any) -> bool:
    torch = sys.modules.get("torch")
    # Without torch loaded nobody can hold a network.
    return torch is not None and isinstance(extractor, torch.nn.Module)
