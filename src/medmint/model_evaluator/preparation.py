"""Bring real and synthetic images to one size, range and number, and say what was done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medmint.errors import MetricError
from medmint.metrics.images import image_stack
from medmint.model_evaluator.image_sets import ImageSet, same_images

Array = NDArray[Any]
#: What is shown black and white where nobody said: percentiles of the real values.
_PERCENTILES = (0.5, 99.5)


def equal_number(
    real: ImageSet, synthetic: ImageSet, seed: int
) -> tuple[ImageSet, ImageSet, list[str]]:
    """Draw the larger set down to the size of the smaller one.

    Returns
    -------
    tuple of two ImageSet and a list of str
        What was left out.
    """
    count = min(len(real), len(synthetic))
    sets, remarks = [], []
    for name, images in (("real", real), ("synthetic", synthetic)):
        rows = np.arange(count)
        if len(images) > count:
            remarks.append(
                f"{name}: {count} of {len(images)} images were drawn (seed {seed}), as the other "
                "set has no more: values are comparable at equal numbers only"
            )
            rows = np.sort(np.random.default_rng(seed).permutation(len(images))[:count])
        sets.append(images.chosen(rows))
    return sets[0], sets[1], remarks


def on_one_scale(
    sets: Mapping[str, ImageSet], window: tuple[float, float] | None
) -> tuple[dict[str, ImageSet], list[str]]:
    """Bring sets to the size, channels and value range of the synthetic one.

    Eight-bit images stay as they are unless there is a window. All others become float32 from 0
    to 1, black and white being the ends of the window, or the 0.5th and 99.5th percentile of the
    real values. Where one set alone has eight bits, each image is scaled by its own percentiles.

    Parameters
    ----------
    sets : mapping of str to ImageSet
        ``real`` and ``synthetic`` at least.
    window : tuple of two float, optional
        Values that are black and white.

    Returns
    -------
    tuple of a dict and a list of str
        The sets, and what was done to them.

    Raises
    ------
    MetricError
        If some are volumes and others are not, or volumes differ in size.
    """
    remarks: list[str] = []
    shape = image_stack(sets["synthetic"].images[:1]).shape[1:]
    arrays = {}
    for name, images in sets.items():
        arrays[name] = _of_shape(images.images, shape, name, remarks)
    types = {array.dtype for array in arrays.values()}
    if types != {np.dtype(np.uint8)} or window is not None:
        arrays = _windowed(arrays, window, remarks)
    return {name: replace(sets[name], images=arrays[name]) for name in sets}, remarks


def overlaps(sets: Mapping[str, ImageSet]) -> list[str]:
    """Say which sets share images or patients, which makes their numbers worth less.

    Parameters
    ----------
    sets : mapping of str to ImageSet
        As they were read.
    """
    remarks = []
    names = list(sets)
    for number, one in enumerate(names):
        for other in names[number + 1 :]:
            shared = same_images(sets[one], sets[other])
            if sets[one].sha256 == sets[other].sha256:
                remarks.append(f"{one} and {other} are the same: {sets[one].source}")
            elif shared:
                remarks.append(f"{shared} of {len(sets[one])} images of {one} are also in {other}")
            remarks += _shared_patients(one, other, sets)
    return remarks


def _shared_patients(one: str, other: str, sets: Mapping[str, ImageSet]) -> list[str]:
    patients = [sets[name].patients for name in (one, other)]
    if "synthetic" in (one, other) or patients[0] is None or patients[1] is None:
        return []
    shared = set(patients[0].names) & set(patients[1].names)
    unit = patients[0].unit
    count = f"1 {unit} is" if len(shared) == 1 else f"{len(shared)} {unit}s are"
    return [f"{count} in both {one} and {other}"] if shared else []


def _of_shape(images: Array, shape: tuple[int, ...], name: str, remarks: list[str]) -> Array:
    """Return images in the size of the synthetic ones, and in colour where those are."""
    stack = image_stack(images)
    if stack.ndim != len(shape) + 1 or (len(shape) == 4 and stack.shape[1:4] != shape[:3]):
        raise MetricError(
            name, f"images of shape {stack.shape[1:]}", f"shape {shape}, as synthetic"
        )
    if stack.shape[1:3] != shape[:2]:
        remarks.append(
            f"{name}: images of {stack.shape[1]} x {stack.shape[2]} were resized to "
            f"{shape[0]} x {shape[1]} (bilinear, antialiased), the size of the synthetic ones"
        )
        stack = resized(stack, shape[:2])
    if stack.shape[-1] != shape[-1]:
        remark = f"{name}: {stack.shape[-1]} channels were brought to {shape[-1]}"
        if shape[-1] > 1:
            remark += f"; distances measure above all the colour that {name} images have not"
        remarks.append(remark)
        if shape[-1] == 1:
            stack = in_grey(stack)[..., None]
        else:
            stack = np.repeat(stack, shape[-1], axis=-1)
    return stack[..., 0] if shape[-1] == 1 else stack


def in_grey(stack: Array) -> Array:
    """Return the mean over the channels, which are the last axis, in the same type."""
    grey = np.asarray(stack.mean(axis=-1))
    return np.round(grey).astype(stack.dtype) if stack.dtype.kind in "ui" else grey


def resized(stack: Array, size: tuple[int, ...]) -> Array:
    """Resize images of shape (n, height, width, channels), bilinear and antialiased."""
    import torch
    from torch.nn import functional

    pixels = torch.from_numpy(stack.astype(np.float32)).permute(0, 3, 1, 2)
    resized = functional.interpolate(pixels, size=size, mode="bilinear", antialias=True)
    values = resized.permute(0, 2, 3, 1).numpy()
    if stack.dtype.kind in "ui":
        limits = np.iinfo(stack.dtype)
        values = np.clip(np.round(values), limits.min, limits.max)
    return np.ascontiguousarray(values.astype(stack.dtype))


def _windowed(
    arrays: Mapping[str, Array], window: tuple[float, float] | None, remarks: list[str]
) -> dict[str, Array]:
    """Return all sets as float32 from 0 to 1."""
    kinds = {array.dtype == np.uint8 for array in arrays.values()}
    if window is None and len(kinds) > 1:
        types = ", ".join(f"{name} {array.dtype}" for name, array in arrays.items())
        remarks.append(
            f"value ranges differ ({types}): each image was scaled by its own 0.5th and 99.5th "
            "percentile, so brightness and contrast were not compared; a window would do that"
        )
        return {name: np.stack([_between(i, *_ends(i)) for i in a]) for name, a in arrays.items()}
    low, high = window or _ends(arrays["real"])
    remarks.append(f"values from {low:g} to {high:g} were taken for black to white")
    return {name: _between(array, low, high) for name, array in arrays.items()}


def _ends(values: Array) -> tuple[float, float]:
    low, high = np.percentile(values, _PERCENTILES)
    return float(low), float(high)


def _between(values: Array, low: float, high: float) -> Array:
    width = high - low if high > low else 1.0
    return np.asarray(np.clip((values.astype(np.float32) - low) / width, 0, 1), dtype=np.float32)
