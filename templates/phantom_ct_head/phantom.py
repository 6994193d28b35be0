"""Draw one head slice from one latent vector.

The geometry starts from the ten ellipses of Shepp and Logan, "The Fourier reconstruction of a
head section", IEEE Trans. Nucl. Sci. 21(3), 1974, in the version with higher contrast of Toft,
"The Radon Transform", PhD thesis, Technical University of Denmark, 1996, table B.1. Scalp,
cortex, cerebrospinal fluid at the rim, a falx and a lesion are added, the ventricles are smaller,
and the intensities are Hounsfield units.

Coordinates are those of the head, x to the right and y up; the image spans -1 to 1.
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

SIDE = 256
PIXEL = 2 / SIDE
AIR_HU, SCALP_HU = -1000.0, 45.0

#: What each value of a latent vector decides, in this order: a uniform draw from low to high.
#: Lengths are in units of half the image, angles in degrees, the rest in Hounsfield units.
PARAMETERS = {
    "rotation": (-12, 12),
    "shift_x": (-0.04, 0.04),
    "shift_y": (-0.03, 0.03),
    "scale": (0.88, 0.99),
    "width": (0.94, 1.1),
    "scalp": (0.03, 0.06),
    "skull": (0.045, 0.085),
    "skull_hu": (750, 1150),
    "brain_hu": (25, 31),
    "fluid_hu": (3, 12),
    "cortex_hu": (5, 9),
    "rim": (0.01, 0.035),
    "ventricle_size": (0.5, 0.85),
    "ventricle_left": (0.85, 1.15),
    "ventricle_right": (0.85, 1.15),
    "ventricle_angle": (10, 22),
    "ventricle_gap": (0.1, 0.15),
    "midline": (-0.02, 0.02),
    "nuclei_hu": (3, 8),
    "nuclei_size": (0.7, 1.0),
    "nodes_hu": (4, 10),
    "texture_hu": (1, 3),
    "lesion_direction": (-180, 180),
    "lesion_depth": (0.35, 0.95),
    "lesion_size": (0.07, 0.24),
    "lesion_hu": (-1, 1),
    "lesion_cos_2": (-0.16, 0.16),
    "lesion_sin_2": (-0.16, 0.16),
    "lesion_cos_3": (-0.1, 0.1),
    "lesion_sin_3": (-0.1, 0.1),
    "lesion_cos_5": (-0.06, 0.06),
    "lesion_sin_5": (-0.06, 0.06),
}
LATENT_SIZE = len(PARAMETERS)

#: Largest possible radius of a lesion over its ``lesion_size``.
LESION_REACH = 1 + math.sqrt(2) * (0.16 + 0.1 + 0.06)
#: Hypodense lesions are this much darker, hyperdense ones this much brighter than their place.
DARKER_HU, BRIGHTER_HU = (14, 22), (25, 50)


class Ellipse(NamedTuple):
    """Centre, half axes, anticlockwise angle in degrees, and what it adds in Hounsfield units."""

    x: float
    y: float
    a: float
    b: float
    angle: float
    added: float


def parameters(latent: NDArray[np.floating]) -> SimpleNamespace:
    """Turn standard normal values into the parameters of a head, by the normal distribution."""
    uniform = [0.5 * (1 + math.erf(float(z) / math.sqrt(2))) for z in latent]
    return SimpleNamespace(
        **{
            name: low + (high - low) * u
            for (name, (low, high)), u in zip(PARAMETERS.items(), uniform, strict=True)
        }
    )


def head_grid(p: SimpleNamespace) -> tuple[Array, Array]:
    """Return the head coordinates (x, y) of every pixel centre."""
    centres = (np.arange(SIDE, dtype=np.float32) + 0.5) * np.float32(PIXEL) - 1
    x, y = centres[None, :] - p.shift_x, -centres[:, None] - p.shift_y
    angle = math.radians(p.rotation)
    cos, sin = math.cos(angle) / p.scale, math.sin(angle) / p.scale
    return (cos * x + sin * y).astype(np.float32), (cos * y - sin * x).astype(np.float32)


def brain(p: SimpleNamespace) -> Ellipse:
    """Return the inside of the skull: the second ellipse of Shepp and Logan."""
    return Ellipse(0, -0.0184, 0.6624 * p.width - p.skull, 0.874 - p.skull, 0, 0)


def tissue(p: SimpleNamespace) -> list[Ellipse]:
    """List what is drawn, from the scalp inwards; each ellipse adds to those before it."""
    inner = brain(p)
    fluid, nuclei = p.fluid_hu - p.brain_hu, p.nuclei_size
    skull_x, skull_y = inner.a + p.skull, inner.b + p.skull
    cortex_x, cortex_y = inner.a - p.rim, inner.b - p.rim
    left, right = p.ventricle_size * p.ventricle_left, p.ventricle_size * p.ventricle_right
    gap, tilt = p.ventricle_gap, p.ventricle_angle
    return [
        Ellipse(0, inner.y, skull_x + p.scalp, skull_y + p.scalp, 0, SCALP_HU - AIR_HU),
        Ellipse(0, inner.y, skull_x, skull_y, 0, p.skull_hu - SCALP_HU),
        Ellipse(0, inner.y, inner.a, inner.b, 0, p.fluid_hu - p.skull_hu),
        Ellipse(0, inner.y, cortex_x, cortex_y, 0, p.cortex_hu - fluid),
        Ellipse(0, inner.y, cortex_x - 0.07, cortex_y - 0.07, 0, -p.cortex_hu),
        Ellipse(p.midline / 2, inner.y, 0.008, cortex_y, 0, p.cortex_hu),
        Ellipse(p.midline + gap, 0.02, 0.11 * right, 0.34 * right, -tilt, fluid),
        Ellipse(p.midline - gap, 0.02, 0.11 * left, 0.34 * left, tilt, fluid),
        Ellipse(p.midline, 0.35, 0.21 * nuclei, 0.2 * nuclei, 0, p.nuclei_hu / 2),
        Ellipse(0.3, -0.06, 0.1 * nuclei, 0.2 * nuclei, 20, p.nuclei_hu),
        Ellipse(-0.3, -0.06, 0.1 * nuclei, 0.2 * nuclei, -20, p.nuclei_hu),
        Ellipse(p.midline, -0.1, 0.022, 0.1, 0, fluid),
        Ellipse(-0.08, -0.605, 0.046, 0.023, 0, p.nodes_hu),
        Ellipse(0, -0.606, 0.023, 0.023, 0, p.nodes_hu),
        Ellipse(0.06, -0.605, 0.023, 0.046, 0, p.nodes_hu),
    ]


def coverage(x: Array, y: Array, shape: Ellipse, softness: float) -> Array:
    """Return the share of each pixel inside an ellipse, the edge ``softness`` wide."""
    cos, sin = math.cos(math.radians(shape.angle)), math.sin(math.radians(shape.angle))
    x, y = x - np.float32(shape.x), y - np.float32(shape.y)
    u = (cos * x + sin * y) * np.float32(1 / shape.a)
    v = (cos * y - sin * x) * np.float32(1 / shape.b)
    level = u * u + v * v
    # Level over length of its gradient is, to first order, the distance to the edge.
    slope = 2 * np.hypot(u * np.float32(1 / shape.a), v * np.float32(1 / shape.b))
    return _ramp((1 - level) / np.maximum(slope, np.float32(1e-6)), softness)


def lesion(x: Array, y: Array, p: SimpleNamespace) -> Array:
    """Return how far each pixel is inside the lesion, in units of half the brain's axes.

    The outline is a circle with waves on it, in coordinates where the brain is the unit disc; its
    centre is close enough to the middle for the whole outline to lie in the brain.
    """
    inner = brain(p)
    distance = p.lesion_depth * (0.95 - LESION_REACH * p.lesion_size)
    direction = math.radians(p.lesion_direction)
    u = (x - inner.x) * np.float32(1 / inner.a) - np.float32(distance * math.cos(direction))
    v = (y - inner.y) * np.float32(1 / inner.b) - np.float32(distance * math.sin(direction))
    angle = np.arctan2(v, u)
    waves = np.ones_like(angle)
    for k in (2, 3, 5):
        cos, sin = getattr(p, f"lesion_cos_{k}"), getattr(p, f"lesion_sin_{k}")
        waves += np.float32(cos) * np.cos(k * angle) + np.float32(sin) * np.sin(k * angle)
    inside: Array = np.float32(p.lesion_size) * waves - np.hypot(u, v)
    return inside


def lesion_hu(choice: float) -> float:
    """Map -1 to 1 to a contrast: darker below 0, brighter above, never faint.

    >>> lesion_hu(-1.0), lesion_hu(1.0)
    (-22.0, 50.0)
    """
    faint, strong = DARKER_HU if choice < 0 else BRIGHTER_HU
    return math.copysign(faint + (strong - faint) * abs(choice), choice)


def draw(p: SimpleNamespace, texture: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Return the slice without noise in Hounsfield units, and the lesion's mask.

    Parameters
    ----------
    p : SimpleNamespace
        The values named in ``PARAMETERS``.
    texture : ndarray of float32, shape (256, 256)
        A smooth field of unit deviation, for the brain.
    """
    x, y = head_grid(p)
    # One pixel in head coordinates: edges keep their width when the head is smaller.
    edge = PIXEL / p.scale
    image = np.full((SIDE, SIDE), AIR_HU, dtype=np.float32)
    for shape in tissue(p):
        image += np.float32(shape.added) * coverage(x, y, shape, edge)
    inner = brain(p)
    image += np.float32(p.texture_hu) * texture * coverage(x, y, inner, edge)
    inside = lesion(x, y, p)
    blur = 2 * edge / math.sqrt(inner.a * inner.b)
    image += np.float32(lesion_hu(p.lesion_hu)) * _ramp(inside, blur)
    return image, inside > 0


def _ramp(distance: Array, width: float) -> Array:
    """Return 0 outside and 1 inside, with a straight ramp across the edge at distance 0."""
    return np.clip(distance * np.float32(1 / width) + np.float32(0.5), 0, 1)
