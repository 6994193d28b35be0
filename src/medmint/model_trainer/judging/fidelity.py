"""Are samples like real images? Distance, spectrum, precision and recall, all at equal sizes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medmint.metrics.distances import frechet_distance
from medmint.metrics.features import standardise
from medmint.metrics.neighbours import density_coverage, precision_recall
from medmint.model_trainer.judging.baseline import PixelGaussian, compare_components
from medmint.model_trainer.judging.evidence import Evidence
from medmint.model_trainer.judging.model import Bytes
from medmint.model_trainer.judging.numbers import Goal, Measured, Section, Table, mean_interval

Floats = NDArray[np.float64]

#: Neighbours of precision and recall, and of density and coverage, as in their papers.
NEIGHBOURS, COVERAGE_NEIGHBOURS = 3, 5
#: Cycles per pixel from which on an image is fine detail.
FINE = 0.25
LEAST_GAP, LEAST_PRECISION = 0.6, 0.6
FINE_POWER = (0.5, 1.5)
_POSITIVE, _SHARE = (0.0, math.inf), (0.0, 1.0)
MODEL, GAUSSIAN, REAL = "this model", "Gaussian of the pixels", "training images"


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """How like a real set one set of as many images is.

    Attributes
    ----------
    distance : float
        Frechet distance of features on the scale of the real set.
    precision, recall, density, coverage : float
    """

    distance: float
    precision: float
    recall: float
    density: float
    coverage: float


def likeness(real: Floats, features: Floats) -> Likeness:
    """Compare features of two sets of equal size.

    Parameters
    ----------
    real, features : ndarray of float64, shape (n, d)

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(40, 4))
    >>> found = likeness(x, x)
    >>> found.distance < 1e-9, found.precision, found.coverage
    (True, 1.0, 1.0)
    """
    one, other = standardise(real, features)
    precision, recall = precision_recall(one, other, NEIGHBOURS)
    density, coverage = density_coverage(one, other, COVERAGE_NEIGHBOURS)
    return Likeness(
        distance=frechet_distance(one, other),
        precision=precision,
        recall=recall,
        density=density,
        coverage=coverage,
    )


def fine_power(images: Bytes) -> float:
    """Return the mean power of images above a quarter of a cycle per pixel.

    Colours are averaged, the mean of each image is taken away, and a Hann window fades its edges.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, height, width[, 3 or depth])

    Examples
    --------
    >>> board = np.indices((16, 16)).sum(axis=0) % 2 * np.uint8(255)
    >>> flat = np.full((1, 16, 16), 90, dtype=np.uint8)
    >>> bool(fine_power(board[None]) > 1000), fine_power(flat)
    (True, 0.0)
    """
    shape = images.shape[1:-1] if _has_colours(images) else images.shape[1:]
    taper = np.ones(shape)
    square = np.zeros(shape)
    for axis, side in enumerate(shape):
        along = [1] * len(shape)
        along[axis] = side
        taper = taper * np.hanning(side).reshape(along)
        square = square + np.fft.fftfreq(side).reshape(along) ** 2
    fine = square > FINE**2
    powers = []
    for image in images:
        grey = image.mean(axis=-1) if len(shape) < image.ndim else image.astype(np.float64)
        spectrum = np.fft.fftn((grey - grey.mean()) * taper)
        powers.append(float((np.abs(spectrum[fine]) ** 2).mean()))
    return float(np.mean(powers))


def fidelity(evidence: Evidence) -> Section:
    """Measure the model, the Gaussian and training images against the split."""
    gaussian = PixelGaussian(evidence.real("train").images)
    tried = _components(evidence, gaussian)
    components = min(tried, key=tried.__getitem__)
    sources: Mapping[str, Callable[[int], Bytes]] = {
        MODEL: lambda seed: evidence.draw(seed).images,
        GAUSSIAN: lambda seed: gaussian.draw(evidence.count, components=components, seed=seed),
        REAL: evidence.training_images,
    }
    whole = fine_power(evidence.real().images)
    found: dict[str, list[Likeness]] = {name: [] for name in sources}
    powers: dict[str, list[float]] = {name: [] for name in sources}
    for seed in range(evidence.effort.draws):
        for name, draw in sources.items():
            images = draw(seed)
            found[name].append(likeness(evidence.real_features, evidence.extractor(images)))
            powers[name].append(fine_power(images) / whole)
    return Section(
        title="Likeness to real images",
        about=_about(evidence, components, tried),
        tables=tuple(_tables(found, powers)),
        goals=tuple(_goals(found, powers)),
    )


def gap_closed(found: Mapping[str, list[Likeness]]) -> Measured:
    """Return the share of the way from the Gaussian to real images that the model has gone."""
    rows = zip(found[MODEL], found[GAUSSIAN], found[REAL], strict=True)
    return mean_interval(
        (gaussian.distance - model.distance) / (gaussian.distance - real.distance)
        for model, gaussian, real in rows
    )


def _components(evidence: Evidence, gaussian: PixelGaussian) -> dict[int, float]:
    val = evidence.real("val").images
    real = evidence.extractor(val)

    def distance(images: Bytes) -> float:
        return frechet_distance(*standardise(real, evidence.extractor(images)))

    draws = min(evidence.effort.draws, 3)
    return compare_components(gaussian, distance, count=len(val), draws=draws)


def _about(evidence: Evidence, components: int, tried: Mapping[int, float]) -> str:
    listed = ", ".join(f"{k}: {value:.1f}" for k, value in tried.items())
    mixture = (
        " Classes are asked for in the mixture of the training images."
        if evidence.subject.conditions
        else ""
    )
    return (
        f"{evidence.count} images of each source against {evidence.count} of the {evidence.split} "
        f"split, {evidence.effort.draws} draws of seeds 0 to {evidence.effort.draws - 1}; mean and "
        "95 % interval of the mean over the draws (Student's t; the real images are the same in "
        f"each).{mixture} Features: `seeded_convolution`, seed {evidence.extractor.seed}, on the "
        "scale of the real images. This is no FID, and comparable only with numbers of the same "
        f"features, size and split. The Gaussian has the mean and {components} main components "
        f"of the training pixels, the best number on val (distance for each: {listed})."
    )


def _tables(
    found: Mapping[str, list[Likeness]], powers: Mapping[str, list[float]]
) -> Iterator[Table]:
    yield Table(
        columns=("", "Frechet distance", "power above 1/4 cycle per pixel, real = 1"),
        rows=tuple(
            (
                name,
                _mean_of(rows, "distance"),
                mean_interval(powers[name], bounds=_POSITIVE),
            )
            for name, rows in found.items()
        ),
    )
    names = ("precision", "recall", "density", "coverage")
    yield Table(
        columns=("", *names),
        rows=tuple((name, *(_mean_of(rows, key) for key in names)) for name, rows in found.items()),
        caption=f"Precision and recall with k = {NEIGHBOURS}, density and coverage with "
        f"k = {COVERAGE_NEIGHBOURS} neighbours.",
    )


def _goals(
    found: Mapping[str, list[Likeness]], powers: Mapping[str, list[float]]
) -> Iterator[Goal]:
    gap = gap_closed(found)
    yield Goal(
        text=f"closes at least {LEAST_GAP:.0%} of the gap between the Gaussian and real images",
        measured=gap,
        is_met=gap.value >= LEAST_GAP,
    )
    power, (low, high) = mean_interval(powers[MODEL], bounds=_POSITIVE), FINE_POWER
    yield Goal(
        text=f"power above a quarter cycle per pixel {low} to {high} times the real",
        measured=power,
        is_met=low <= power.value <= high,
    )
    precision = _mean_of(found[MODEL], "precision")
    yield Goal(
        text=f"precision at least {LEAST_PRECISION}",
        measured=precision,
        is_met=precision.value >= LEAST_PRECISION,
    )
    pairs = zip(found[MODEL], found[GAUSSIAN], strict=True)
    ahead = mean_interval(model.coverage - gaussian.coverage for model, gaussian in pairs)
    yield Goal(
        text="coverage above the Gaussian's, by the lower bound of the difference",
        measured=ahead,
        is_met=ahead.low is not None and ahead.low > 0,
    )


def _mean_of(rows: list[Likeness], key: str) -> Measured:
    bounds = _POSITIVE if key in {"distance", "density"} else _SHARE
    return mean_interval((getattr(like, key) for like in rows), bounds=bounds)


def _has_colours(images: Bytes) -> bool:
    return images.ndim > 3 and images.shape[-1] == 3
