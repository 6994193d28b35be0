"""Does a model give its training images away? Distances, copies, and how well members are told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medmint.errors import MetricError
from medmint.metrics.closeness import (
    SIGNIFICANCE,
    Closeness,
    adversarial_accuracy,
    closeness,
    membership,
    nearest_features,
    p_text,
)
from medmint.metrics.comparison import Interval
from medmint.metrics.features import standardise
from medmint.metrics.image_search import (
    FLIPS,
    Array,
    Neighbours,
    aligned_pairs,
    flipped,
    nearest_images,
)

Floats = NDArray[np.float64]
Extractor = Callable[[Array], Floats]


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A synthetic image that is nearer to a training image than new real images are.

    Attributes
    ----------
    synthetic, train : int
        Places in the two sets.
    distance : float
        Distance of the two, as in :class:`medmint.metrics.image_search.Neighbours`.
    flip : str
        How the training image was mirrored: ``none``, ``left-right``, ``up-down`` or ``both``.
    shift : tuple of two int
        Rows and columns by which it was moved.
    """

    synthetic: int
    train: int
    distance: float
    flip: str
    shift: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Privacy:
    """What can be told about the training images from the synthetic ones.

    Attributes
    ----------
    pixels, features : Closeness
        ``features`` is None without an extractor.
    baseline : str
        What the distances are compared with: ``holdout``, or ``train`` (each image and the
        nearest other one) where there is no holdout.
    neighbours : Neighbours
        The nearest training image of each synthetic one, in pixels.
    copies : tuple of Copy
        Synthetic images below the threshold in pixels, the nearest first.
    adversarial_accuracy_train, adversarial_accuracy_holdout : float or None
        Nearest-neighbour adversarial accuracy in feature space: 0.5 where synthetic and real
        images cannot be told apart, towards 0 where they are copies, towards 1 where they differ.
    membership_auc : float or None
        How well the distance to the nearest synthetic image tells training from holdout images:
        0.5 is not at all.
    membership_interval : Interval or None
        Its interval over images, or over groups where they are known.
    """

    pixels: Closeness
    features: Closeness | None
    baseline: str
    neighbours: Neighbours
    copies: tuple[Copy, ...]
    adversarial_accuracy_train: float | None
    adversarial_accuracy_holdout: float | None
    membership_auc: float | None
    membership_interval: Interval | None

    @property
    def findings(self) -> tuple[str, ...]:
        """What speaks against sharing the synthetic images, in words; empty if nothing does."""
        found = []
        for space in filter(None, (self.pixels, self.features)):
            if space.is_close:
                found.append(
                    f"{space.close_share:.1%} of the synthetic images are nearer to a training "
                    f"image in {space.space} than 99 % of the {self.baseline} images are "
                    f"({p_text(space.close_p_value)}), {space.outright} of them at less than half "
                    "that distance: the model returns training images"
                )
            elif space.p_value < SIGNIFICANCE and self.baseline == "holdout":
                found.append(
                    f"synthetic images are nearer to training images in {space.space} than "
                    f"holdout images are (ratio {space.ratio:.2f}, {p_text(space.p_value)})"
                )
        interval = self.membership_interval
        if interval is not None and interval.low > 0.5:
            found.append(
                f"training images can be told from holdout images by their distance to the "
                f"synthetic ones (AUC {self.membership_auc:.2f}, at least {interval.low:.2f})"
            )
        return tuple(found)


def privacy(
    train: Array,
    synthetic: Array,
    *,
    holdout: Array | None = None,
    extractor: Any = None,
    groups: tuple[Array | None, Array | None] = (None, None),
    seed: int = 0,
) -> Privacy:
    """Measure how much of its training images a model gives away.

    Every comparison searches over flips, shifts of up to eight pixels, brightness and contrast, so
    that a mirrored or brightened copy is found as one. In feature space the nearest of the four
    flips counts, and the pair that pixels found, moved onto the image; the images are brought to
    equal brightness and contrast before.

    Parameters
    ----------
    train : ndarray, shape (n, height, width[, channels or depth])
        The images that the model was trained on.
    synthetic : ndarray, shape (m, height, width[, channels or depth])
    holdout : ndarray, optional
        Real images that it was not trained on, of other patients. Without them the distance of
        each training image to the nearest other one is the baseline, and membership unknown.
    extractor : callable, optional
        Turns images (uint8) into features of shape (n, d); its ``name`` is reported.
    groups : tuple of two arrays of str or int, optional
        Patient of each training and of each holdout image: a training image is then compared with
        those of other patients, and intervals are over patients.
    seed : int
        Seed of the subsets of equal size and of the intervals.

    Returns
    -------
    Privacy

    Raises
    ------
    MetricError
        If sizes differ or a set has fewer than two images.

    References
    ----------
    Adversarial accuracy: Yale et al., "Generation and evaluation of privacy preserving synthetic
    health data", Neurocomputing 416, 2020, equations 1 to 3. Membership by distance to the nearest
    sample: Hilprecht et al., "Monte Carlo and reconstruction membership inference attacks against
    generative models", PoPETs 2019(4).

    Examples
    --------
    >>> random = np.random.default_rng(0)
    >>> real = random.integers(0, 256, (30, 32, 32), dtype=np.uint8)
    >>> result = privacy(real[:20], real[:5, :, ::-1], holdout=real[20:])
    >>> len(result.copies), result.copies[0].flip
    (5, 'left-right')
    """
    for name, images in (("train", train), ("synthetic", synthetic), ("holdout", holdout)):
        if images is not None and len(images) < 2:
            raise MetricError(name, f"{len(images)} images", "at least 2")
    neighbours = nearest_images(synthetic, train)
    same = _same_patient(groups[0], len(train))
    others, excluded = (train, same) if holdout is None else (holdout, None)
    baseline = nearest_images(others, train, excluded=excluded)
    pixels = closeness("pixels", neighbours.distance, baseline.distance)
    order = np.argsort(neighbours.distance)
    copies = tuple(
        _copy(neighbours, int(row))
        for row in order
        if neighbours.distance[row] < max(pixels.threshold, 1e-3)
    )
    features: Closeness | None = None
    accuracies: tuple[float | None, float | None] = (None, None)
    if extractor is not None:
        space = _FeatureSpace(extractor, train)
        to_train = space.distances(synthetic, neighbours)
        features = closeness(
            space.name, to_train, space.distances(others, baseline, excluded=excluded)
        )
        accuracies = space.adversarial_accuracies(synthetic, holdout, seed)
    auc, interval = None, None
    if holdout is not None:
        members, strangers = nearest_images(train, synthetic), nearest_images(holdout, synthetic)
        auc, interval = membership(
            members.distance, strangers.distance, groups=_joined(*groups), seed=seed
        )
    return Privacy(
        pixels=pixels,
        features=features,
        baseline="train" if holdout is None else "holdout",
        neighbours=neighbours,
        copies=copies,
        adversarial_accuracy_train=accuracies[0],
        adversarial_accuracy_holdout=accuracies[1],
        membership_auc=auc,
        membership_interval=interval,
    )


def balanced(images: Array) -> NDArray[np.uint8]:
    """Return images as uint8 of equal brightness and contrast: mean 128, deviation 48.

    Examples
    --------
    >>> image = np.random.default_rng(0).integers(60, 180, (1, 16, 16)).astype(np.float32)
    >>> bool((balanced(image) == balanced(image * 0.5 + 9)).all())
    True
    """
    values = images.astype(np.float64)
    axes = tuple(range(1, values.ndim))
    mean = values.mean(axis=axes, keepdims=True)
    deviation = values.std(axis=axes, keepdims=True)
    scaled = np.divide(values - mean, deviation, out=np.zeros_like(values), where=deviation > 1e-9)
    return np.asarray(np.clip(np.round(scaled * 48 + 128, 6), 0, 255), dtype=np.uint8)


class _FeatureSpace:
    """Distances to training images in the features of an extractor, on the training set's scale."""

    def __init__(self, extractor: Any, train: Array) -> None:
        self.name = str(getattr(extractor, "name", "features"))
        self._extract: Extractor = extractor
        self._train = train
        self._features = self._extract(balanced(train))
        (self._scaled,) = standardise(self._features)

    def distances(
        self, images: Array, found: Neighbours, *, excluded: Array | None = None
    ) -> Floats:
        """Return the distance of each image to the nearest training image, shape (n,)."""
        nearest: Floats = np.full(len(images), np.inf)
        for flip in range(len(FLIPS)):
            mirrored = np.stack([flipped(image, flip) for image in images])
            distance = nearest_features(self._of(mirrored), self._scaled, excluded=excluded)
            nearest = np.minimum(nearest, distance)
        return np.asarray(np.minimum(nearest, self._aligned(images, found)))

    def _aligned(self, images: Array, found: Neighbours) -> Floats:
        """Return the distance of each image to the neighbour that pixels found, border left out."""
        one, other = map(self._of, aligned_pairs(images, self._train, found))
        return np.asarray(np.linalg.norm(one - other, axis=1))

    def adversarial_accuracies(
        self, synthetic: Array, holdout: Array | None, seed: int
    ) -> tuple[float, float | None]:
        """Return the accuracy against the training and the holdout images, at equal sizes."""
        random = np.random.default_rng(seed)
        made = self._of(synthetic)
        known = [self._scaled] + ([] if holdout is None else [self._of(holdout)])
        size = min(len(made), *map(len, known))
        subsets = [rows[random.permutation(len(rows))[:size]] for rows in known]
        chosen = made[random.permutation(len(made))[:size]]
        values = [adversarial_accuracy(rows, chosen) for rows in subsets]
        return values[0], values[1] if len(values) > 1 else None

    def _of(self, images: Array) -> Floats:
        _, scaled = standardise(self._features, self._extract(balanced(images)))
        return scaled


def _copy(found: Neighbours, row: int) -> Copy:
    down, right = found.shift[row].tolist()
    return Copy(
        synthetic=row,
        train=int(found.index[row]),
        distance=float(found.distance[row]),
        flip=FLIPS[int(found.flip[row])],
        shift=(down, right),
    )


def _same_patient(groups: Array | None, count: int) -> Array:
    if groups is None:
        return np.eye(count, dtype=bool)
    names = np.asarray(groups)
    return np.asarray(names[:, None] == names[None, :])


def _joined(train: Array | None, holdout: Array | None) -> Array | None:
    """Put the patients of both sets in a row; None where those of one are not known."""
    if train is None or holdout is None:
        return None
    return np.concatenate([np.asarray(train).astype(str), np.asarray(holdout).astype(str)])
