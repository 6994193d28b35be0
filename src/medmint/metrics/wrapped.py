"""Feature extractors made of a network or a function of the user's."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from medmint.errors import IntegrityError, MetricError
from medmint.metrics.feature_sets import Floats
from medmint.metrics.presets import Preset

if TYPE_CHECKING:
    import torch
    from torch import nn


class NetworkFeatures:
    """Features of a torch network, in eval mode, on whatever device it is.

    Parameters
    ----------
    network : torch.nn.Module
        Takes (n, 3, height, width) float32, returns (n, d).
    preset : Preset
        How images are made ready.
    name : str, optional
        Default: the name of the class.
    weights_sha256 : str, optional
        Digest of the file that the weights come from. Default: a digest of the network's
        state, taken anew each time, so that training it further gives it another identity.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from medmint.metrics.presets import PRESETS
    >>> network = torch.nn.Sequential(torch.nn.AvgPool2d(8), torch.nn.Flatten())
    >>> NetworkFeatures(network, PRESETS["unit"])(np.ones((2, 8, 8))).tolist()
    [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """

    chunk = 32

    def __init__(
        self,
        network: nn.Module,
        preset: Preset,
        *,
        name: str | None = None,
        weights_sha256: str | None = None,
    ) -> None:
        self._network = network
        self._preset = preset
        self._digest = weights_sha256
        self.name = name or type(network).__name__

    @property
    def preset(self) -> Mapping[str, Any]:
        """How images are made ready, and a digest of the network's layers."""
        layers = hashlib.sha256(repr(self._network).encode()).hexdigest()[:16]
        return self._preset.record() | {"layers": layers}

    @property
    def weights_sha256(self) -> str | None:
        """Digest of the weights."""
        return self._digest or state_digest(self._network)

    def __call__(self, images: ArrayLike) -> Floats:
        """Return one vector per image, or per volume the mean over its slices.

        Parameters
        ----------
        images : array_like
            As `image_stack` takes them.

        Returns
        -------
        ndarray of float64, shape (n, d)

        Raises
        ------
        MetricError
            If the images are none, or the network fails on them or returns something else than
            finite features of shape (n, d).
        """
        modes = [(module, module.training) for module in self._network.modules()]
        self._network.eval()
        try:
            return self._preset.features(images, self._batch, chunk=self.chunk)
        finally:
            for module, mode in modes:
                module.training = mode

    def _batch(self, pixels: torch.Tensor) -> Floats:
        import torch

        first = next(self._network.parameters(), None)
        try:
            with torch.inference_mode():
                output = self._network(pixels if first is None else pixels.to(first.device))
        except RuntimeError as error:
            raise MetricError(
                f"extractor {self.name}",
                f"an error on images of shape {tuple(pixels.shape)} ({error})",
                "a network that takes them; a preset resizes them first",
            ) from error
        return checked_features(self.name, output, len(pixels))


class FunctionFeatures:
    """Features from any function of the user's. It gets the images as they are.

    Parameters
    ----------
    function : callable
        Takes the array of images, returns (n, d).

    Examples
    --------
    >>> import numpy as np
    >>> FunctionFeatures(lambda images: images.mean(axis=(1, 2))[:, None])(np.ones((2, 8, 8)))
    array([[1.],
           [1.]])
    """

    weights_sha256 = None

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function
        name = getattr(function, "__name__", type(function).__name__)
        self.name = "function" if name == "<lambda>" else name

    @property
    def preset(self) -> Mapping[str, Any]:
        """That the images are handed over as they are."""
        return {"name": "as_given"}

    def __call__(self, images: ArrayLike) -> Floats:
        """Return what the function makes of the images, as float64 of shape (n, d).

        Raises
        ------
        MetricError
            If it returns anything but finite features, one row per image.
        """
        array = np.asarray(images)
        return checked_features(self.name, self._function(array), len(array))


def checked_features(name: str, output: Any, count: int) -> Floats:
    """Return features as float64 of shape (count, d), or say what an extractor did wrong.

    Raises
    ------
    MetricError
        If they are no such array or not finite.
    """
    if hasattr(output, "detach"):
        output = output.detach().cpu()
    try:
        features = np.asarray(output, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        given = f"{type(output).__name__}"
        raise MetricError(f"extractor {name}", given, "an array of features") from error
    if features.ndim != 2 or len(features) != count or not features.shape[1]:
        given = f"features of shape {features.shape} for {count} images"
        raise MetricError(f"extractor {name}", given, f"shape ({count}, d)")
    if not np.isfinite(features).all():
        row = int(np.flatnonzero(~np.isfinite(features).all(axis=1))[0])
        raise MetricError(f"extractor {name}", f"NaN or infinity for image {row}", "finite values")
    return features


def state_digest(network: nn.Module) -> str:
    """Return a SHA-256 over names, types, shapes and values of a network's state."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        flat = tensor.detach().cpu().contiguous().flatten()
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def read_weights(path: Path, *, digest_start: str = "") -> tuple[dict[str, torch.Tensor], str]:
    """Read a state dict from a file of torch or safetensors, without running code from it.

    Parameters
    ----------
    path : Path
    digest_start : str
        What the SHA-256 of the file has to begin with.

    Returns
    -------
    state : dict of str to tensor
    sha256 : str

    Raises
    ------
    IntegrityError
        If it is another file, or none that can be read as tensors. The digest is shown.
    MetricError
        If there is no such file.
    """
    import safetensors.torch
    import torch
    from safetensors import SafetensorError

    if not path.is_file():
        raise MetricError("weights", str(path), "a file with weights")
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if not sha256.startswith(digest_start):
        hint = "Name the file with the published weights."
        raise IntegrityError(path, f"SHA-256 {digest_start}...", f"SHA-256 {sha256}", hint)
    try:
        if path.suffix == ".safetensors":
            state = safetensors.torch.load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (
        OSError,
        RuntimeError,
        ValueError,
        EOFError,
        KeyError,
        AttributeError,
        IndexError,
        pickle.UnpicklingError,
        SafetensorError,
    ) as error:
        found = f"a file of SHA-256 {sha256} that cannot be read ({type(error).__name__})"
        raise IntegrityError(path, "a state dict of tensors alone", found) from error
    if not isinstance(state, dict) or not all(hasattr(v, "shape") for v in state.values()):
        found = f"a file of SHA-256 {sha256} that holds something else"
        raise IntegrityError(path, "a state dict of tensors alone", found)
    return state, sha256
