"""How images are made ready for a network: part of every number that comes out of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medmint.errors import MetricError
from medmint.metrics.feature_sets import Floats
from medmint.metrics.images import Normalisation, check_normalisation, image_stack, signed_unit

if TYPE_CHECKING:
    import torch

Resize = Literal["bilinear", "bilinear-antialias", "bilinear-tf1"]
Scale = Literal["x/127.5-1", "(x-128)/128", "x/255", "imagenet"]
#: Mean and deviation of the channels of ImageNet, for values from 0 to 1.
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True, slots=True)
class Preset:
    """What is done to images before a network sees them, in this order.

    Attributes
    ----------
    name : str
        What results call it.
    normalisation : {"none", "minmax", "percentile"}
        Per image or volume, before the resize (`signed_unit`).
    window : (float, float) or None
        Values that are black and white, in place of a normalisation.
    side : int or None, pixels
        Images are resized to ``side`` x ``side``; None leaves them as they are.
    resize : {"bilinear", "bilinear-antialias", "bilinear-tf1"}
        Bilinear with half-pixel centres; the same with antialiasing; as TensorFlow 1 did it,
        with corners as centres.
    channels : {"rgb", "bgr"}
        Order of the three channels. Grey images are repeated over them.
    scale : {"x/127.5-1", "(x-128)/128", "x/255", "imagenet"}
        How grey levels x from 0 to 255 reach the network.

    Examples
    --------
    >>> PRESETS["medigan"].channels
    'bgr'
    """

    name: str
    side: int | None = None
    resize: Resize = "bilinear-antialias"
    scale: Scale = "x/127.5-1"
    channels: Literal["rgb", "bgr"] = "rgb"
    normalisation: Normalisation = "none"
    window: tuple[float, float] | None = None

    def record(self) -> dict[str, Any]:
        """Return all of it as a plain dict, as results write it down."""
        return asdict(self)

    def adapted(
        self, normalisation: Normalisation | None, window: tuple[float, float] | None
    ) -> Preset:
        """Return the preset with another normalisation or window.

        Raises
        ------
        MetricError
            If either is not one that images can be mapped by.
        """
        adapted = replace(
            self,
            normalisation=self.normalisation if normalisation is None else normalisation,
            window=self.window if window is None else (float(window[0]), float(window[-1])),
        )
        check_normalisation(adapted.normalisation, adapted.window)
        return adapted

    def prepare(self, stack: NDArray[Any]) -> torch.Tensor:
        """Return images as a network takes them.

        Parameters
        ----------
        stack : ndarray, shape (n, height, width, 1 or 3)

        Returns
        -------
        tensor of float32, shape (n, 3, side, side)
        """
        return self._scaled(signed_unit(stack, self.normalisation, self.window))

    def _scaled(self, pixels: NDArray[np.float32]) -> torch.Tensor:
        import torch

        tensor = torch.from_numpy(pixels).permute(0, 3, 1, 2)
        tensor = tensor.expand(-1, 3, -1, -1)
        if self.channels == "bgr":
            tensor = tensor.flip(1)
        if self.side is not None and tuple(tensor.shape[-2:]) != (self.side, self.side):
            tensor = _resized(tensor, self.side, self.resize)
        if self.scale == "x/127.5-1":
            return tensor
        if self.scale == "(x-128)/128":
            return (tensor * 127.5 - 0.5) / 128
        unit = (tensor + 1) / 2
        if self.scale == "x/255":
            return unit
        mean, deviation = (torch.tensor(values).view(1, 3, 1, 1) for values in _IMAGENET)
        return (unit - mean) / deviation

    def features(
        self,
        images: ArrayLike,
        batch_features: Callable[[torch.Tensor], Floats],
        *,
        chunk: int,
    ) -> Floats:
        """Return one feature vector per image or volume.

        Volumes go through slice by slice along their last axis, and the mean over the slices
        stands for the volume: the volume is the unit, not the slice.

        Parameters
        ----------
        images : array_like
            As `image_stack` takes them.
        batch_features : callable
            Turns a tensor (n, 3, height, width) into features (n, d).
        chunk : int
            Most images at a time.

        Returns
        -------
        ndarray of float64, shape (n, d)

        Raises
        ------
        MetricError
            If the images are none.
        """
        stack = image_stack(images)
        if stack.ndim == 4:
            parts = (self.prepare(stack[i : i + chunk]) for i in range(0, len(stack), chunk))
            return np.concatenate([batch_features(part) for part in parts])
        return np.stack([self._volume_mean(volume, batch_features, chunk) for volume in stack])

    def _volume_mean(
        self,
        volume: NDArray[Any],
        batch_features: Callable[[torch.Tensor], Floats],
        chunk: int,
    ) -> Floats:
        # Normalised as a whole, so that an empty slice stays dark beside a full one.
        unit = signed_unit(volume[None], self.normalisation, self.window)[0]
        slices = np.ascontiguousarray(np.moveaxis(unit, 2, 0))
        parts = (self._scaled(slices[i : i + chunk]) for i in range(0, len(slices), chunk))
        return np.asarray(np.concatenate([batch_features(part) for part in parts]).mean(axis=0))


def _resized(pixels: torch.Tensor, side: int, resize: Resize) -> torch.Tensor:
    from torch.nn import functional

    if resize == "bilinear-tf1":
        return _tf1_axis(_tf1_axis(pixels, side, 2), side, 3)
    return functional.interpolate(
        pixels, size=(side, side), mode="bilinear", antialias=resize == "bilinear-antialias"
    )


def _tf1_axis(pixels: torch.Tensor, side: int, axis: int) -> torch.Tensor:
    """Interpolate along one axis with source positions ``i * length / side``, corners fixed."""
    import torch

    length = pixels.shape[axis]
    places = torch.arange(side, dtype=torch.float32) * (length / side)
    before = places.long()
    after = (before + 1).clamp(max=length - 1)
    share = (places - before).view([-1 if i == axis else 1 for i in range(4)])
    left, right = pixels.index_select(axis, before), pixels.index_select(axis, after)
    return left + (right - left) * share


#: The ways in which common tools prepare images, by the tool's name.
PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset("torch_fidelity", 299, "bilinear-tf1", "(x-128)/128"),
        Preset("pytorch_fid", 299, "bilinear", "x/127.5-1"),
        Preset("torchmetrics", 299, "bilinear-antialias", "(x-128)/128"),
        Preset("medigan", 299, "bilinear", "x/127.5-1", "bgr"),
        Preset("imagenet_224", 224, "bilinear-antialias", "imagenet"),
        Preset("unit", None, "bilinear-antialias", "x/255"),
        Preset("signed_128", 128, "bilinear-antialias", "x/127.5-1"),
    )
}


def find_preset(preset: str | Preset) -> Preset:
    """Return a preset by its name.

    Raises
    ------
    MetricError
        If there is none of this name.

    Examples
    --------
    >>> find_preset("pytorch_fid").side
    299
    """
    if isinstance(preset, Preset):
        return preset
    if preset not in PRESETS:
        raise MetricError("preset", repr(preset), f"one of {', '.join(PRESETS)}, or a Preset")
    return PRESETS[preset]
