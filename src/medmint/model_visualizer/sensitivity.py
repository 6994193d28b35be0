"""How far the output of a model varies when its latent vector moves by a fixed distance."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medmint.metrics.features import SeededConvolution, standardise
from medmint.model_visualizer.display import Picture
from medmint.model_visualizer.view import Group
from medmint.progress import Progress

Latents = NDArray[np.float32]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Effect:
    """What moving some latent variables does to the picture.

    Attributes
    ----------
    label : str
        The latent variables, counted from 1.
    mean, variance : float
        Of the feature distance between a sample and the same sample with them moved.
    """

    label: str
    mean: float
    variance: float


@dataclass(frozen=True, slots=True)
class LatentSensitivity:
    """Feature distances at a fixed latent distance, per group of latent variables and overall.

    Attributes
    ----------
    model_id : str
    slider_grouper : int
        Latent variables of a group.
    distance : float
        Euclidean length of each move in the latent space.
    samples : int
        Draws from the prior that were moved.
    seed : int
        Seed of draws and directions.
    groups : tuple of Effect
        For each group, moves in random directions within it.
    overall : Effect
        Moves in random directions of the whole latent space.
    between_samples : Effect
        For comparison: distances between independent samples.
    """

    model_id: str
    slider_grouper: int
    distance: float
    samples: int
    seed: int
    groups: tuple[Effect, ...]
    overall: Effect
    between_samples: Effect

    @property
    def order(self) -> tuple[int, ...]:
        """Numbers of the groups, those that change the picture most first."""
        effects = [effect.mean for effect in self.groups]
        return tuple(sorted(range(len(effects)), key=lambda number: -effects[number]))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON has them."""
        return asdict(self)


def measure_effects(
    draw: Callable[[Latents], Sequence[Picture]],
    latents: Latents,
    *,
    groups: Sequence[Group],
    distance: float,
    seed: int,
    progress: Progress,
) -> Iterator[Effect]:
    """Move draws from the prior and measure how far the pictures move.

    With G the model, phi the features of :class:`~medmint.metrics.features.SeededConvolution`
    scaled to mean 0 and deviation 1 over the draws z_i, and u_i a random unit vector of the
    group, the distance of draw i is the root mean square over the features of
    ``phi(G(z_i + distance * u_i)) - phi(G(z_i))``. Independent samples are about 1.4 apart.

    Parameters
    ----------
    draw : callable
        Makes pictures of latent vectors, float32 of shape (n, size).
    latents : ndarray of float32, shape (n, size)
        Draws from the prior, n at least 2.
    groups : sequence of Group
        Latent variables that are moved together.
    distance : float
        Euclidean length of the moves.
    seed : int
        Seed of the directions.
    progress : Progress
        Told after each group.

    Yields
    ------
    Effect
        That of each group, then that of independent samples.

    References
    ----------
    Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric",
    CVPR 2018 (arXiv:1801.03924), for distances between features of networks, random ones among
    them; Karras et al., CVPR 2020 (arXiv:1912.04958), section 3, for path lengths at a fixed
    latent step.
    """
    features = SeededConvolution()
    plain = features(np.stack(draw(latents)))
    for number, group in enumerate(groups):
        moved = latents.copy()
        moved[:, group.first : group.stop] += distance * _directions(len(latents), group, seed)
        before, after = standardise(plain, features(np.stack(draw(moved))))
        yield _effect(group.label, before, after)
        progress(number + 1, len(groups), group.label)
    (scaled,) = standardise(plain)
    yield _effect("independent", scaled, np.roll(scaled, 1, axis=0))


def _directions(count: int, group: Group, seed: int) -> Latents:
    generator = np.random.default_rng([seed, group.first, group.stop])
    directions = generator.standard_normal((count, group.stop - group.first), dtype=np.float32)
    return np.asarray(directions / np.linalg.norm(directions, axis=1, keepdims=True))


def _effect(label: str, before: Floats, after: Floats) -> Effect:
    distances = np.sqrt(((after - before) ** 2).mean(axis=1))
    return Effect(label, float(distances.mean()), float(distances.var(ddof=1)))
