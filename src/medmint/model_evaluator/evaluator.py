"""Judge a model's output, or any synthetic images, beside real ones."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from medmint.errors import ArgumentError
from medmint.generation_request import GenerationRequest
from medmint.metrics import FeatureCache, find_extractor
from medmint.metrics.training_plan import TrainingPlan
from medmint.model_evaluator import figures
from medmint.model_evaluator.image_sets import ImageSet, read_image_set
from medmint.model_evaluator.patients import Groups
from medmint.model_evaluator.preparation import equal_number, on_one_scale, overlaps
from medmint.model_evaluator.report import Report
from medmint.model_evaluator.running import checked_metrics, run_sections
from medmint.model_evaluator.sections import Comparison
from medmint.progress import progress_bar
from medmint.samples import LARGEST_SEED, draw_seed
from medmint.version import __version__

if TYPE_CHECKING:
    from medmint.metrics import FeatureExtractor
    from medmint.model_executor import ModelExecutor

#: The extractors that need no weights.
WEIGHT_FREE = ("seeded_convolution", "descriptors")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRequest:
    """What is to be measured, and with what.

    Attributes
    ----------
    metrics : sequence of str or None
        Names, by default all that train no network.
    extractor : str, network, callable, or a sequence of them
        As :func:`medmint.metrics.find_extractor` takes them.
    n : int or None
        Synthetic images; by default as many as real ones.
    seed : int or None
        Seed of samples, splits and intervals; drawn and recorded where it is None.
    groups : optional
        Patients, as :func:`medmint.model_evaluator.image_sets.read_image_set` takes them. A table,
        mapping or function holds for the training and holdout images too.
    train, holdout : optional
        Real images that the model was and was not trained on.
    window : tuple of two float or None
        Values that are black and white.
    plan : TrainingPlan or None
        For usefulness.
    cache : path or None
        Folder in which features of the real images are kept for the next time.
    generation : mapping
        Further arguments of ``generate``.

    Raises
    ------
    ArgumentError
        If a metric does not exist, or a number is not one that can be used.
    """

    metrics: Sequence[str] | None = None
    extractor: Any = WEIGHT_FREE
    n: int | None = None
    seed: int | None = None
    groups: Groups | None = None
    train: Any = None
    holdout: Any = None
    window: tuple[float, float] | None = None
    plan: TrainingPlan | None = None
    cache: str | os.PathLike[str] | None = None
    generation: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        checked_metrics(self.metrics)
        for name, least in (("n", 2), ("seed", 0)):
            value = getattr(self, name)
            whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
            if value is not None and not (whole and least <= value <= LARGEST_SEED):
                raise ArgumentError(name, value, f"a whole number of at least {least}")
        if self.window is not None and not self.window[0] < self.window[1]:
            raise ArgumentError("window", self.window, "two numbers, the lower one first")

    def read(self, source: Any, name: str) -> ImageSet:
        """Read a set of real images with its patients."""
        listed = isinstance(self.groups, Sequence) and not isinstance(self.groups, str)
        groups = None if listed and name != "real" else self.groups
        return read_image_set(source, name=name, groups=groups)


class ModelEvaluator:
    """Judges what one model generates.

    Parameters
    ----------
    executor : ModelExecutor
        Runs the model.
    """

    def __init__(self, executor: ModelExecutor) -> None:
        self._executor = executor

    def evaluate(self, real: Any, request: EvaluationRequest | None = None) -> Report:
        """Generate as many images as there are real ones and compare them.

        Parameters
        ----------
        real : path, array or sequence of arrays
            Real images that the model was not trained on.
        request : EvaluationRequest, optional

        Returns
        -------
        Report

        Raises
        ------
        MetricError
            If images cannot be read or compared at all. What goes wrong with a single metric is
            in the report.
        GenerationError, PackageError, DependencyError
            If the model fails.
        """
        request = request or EvaluationRequest()
        read = request.read(real, "real")
        seed = draw_seed() if request.seed is None else request.seed
        count = len(read) if request.n is None else request.n
        made = self.sample(count, seed, request.generation)
        record = self._executor.record
        spec = record.execution.output.get("image")
        window = request.window or (spec.window if spec and spec.dtype != "uint8" else None)
        facts = {"model_id": record.model_id, "package_sha256": self._package_digest()}
        return _report(record.model_id, read, made, _Settled(request, seed, window, facts))

    def sample(self, count: int, seed: int, generation: Mapping[str, Any]) -> ImageSet:
        """Generate images, with masks and labels where the model gives them.

        Parameters
        ----------
        count, seed : int
        generation : mapping
            Further arguments of ``generate``.

        Returns
        -------
        ImageSet
        """
        given = {"num_samples": count, "save_images": False, "seed": seed}
        images, masks, labels = [], [], []
        with progress_bar("samples") as progress:
            for batch in self._executor.stream(GenerationRequest.of(**{**generation, **given})):
                images.append(np.asarray(batch.arrays["image"]))
                masks += [np.asarray(batch.arrays["mask"])] if "mask" in batch.arrays else []
                labels += list(map(str, batch.labels or ()))
                progress(batch.start + len(batch), count, self._executor.model_id)
        stack = np.concatenate(images)
        made = read_image_set(stack, name="synthetic")
        return ImageSet(
            images=stack,
            names=made.names,
            source=self._executor.model_id,
            masks=np.concatenate(masks) if masks else None,
            labels=tuple(labels) if len(labels) == len(stack) else None,
            warnings=made.warnings,
        )

    def _package_digest(self) -> str | None:
        return self._executor.install().sha256


def evaluate_images(real: Any, synthetic: Any, request: EvaluationRequest | None = None) -> Report:
    """Compare synthetic images that are there already with real ones.

    Parameters
    ----------
    real, synthetic : path, array or sequence of arrays
    request : EvaluationRequest, optional

    Returns
    -------
    Report

    Raises
    ------
    MetricError
        If images cannot be read or compared at all.
    ArgumentError
        If more synthetic images are asked for than there are.

    Examples
    --------
    >>> random = np.random.default_rng(0)
    >>> real, synthetic = random.integers(0, 256, (2, 24, 32, 32)).astype(np.uint8)
    >>> request = EvaluationRequest(metrics=["kid"], extractor="descriptors", seed=0)
    >>> report = evaluate_images(real, synthetic, request)
    >>> [row.metric for row in report.rows]
    ['kid[descriptors]']
    """
    request = request or EvaluationRequest()
    read = request.read(real, "real")
    made = read_image_set(synthetic, name="synthetic")
    seed = draw_seed() if request.seed is None else request.seed
    if request.n is not None:
        if request.n > len(made):
            raise ArgumentError("n", request.n, f"at most {len(made)}, as there are images")
        made = made.chosen(np.sort(np.random.default_rng(seed).permutation(len(made))[: request.n]))
    return _report(made.source, read, made, _Settled(request, seed, request.window, {}))


@dataclass(frozen=True, slots=True)
class _Settled:
    """A request with everything that was left open."""

    request: EvaluationRequest
    seed: int
    window: tuple[float, float] | None
    facts: Mapping[str, Any]


def _report(subject: str, real: ImageSet, synthetic: ImageSet, settled: _Settled) -> Report:
    request = settled.request
    sets = {"real": real, "synthetic": synthetic}
    for name in ("train", "holdout"):
        if getattr(request, name) is not None:
            sets[name] = request.read(getattr(request, name), name)
    scaled, remarks = on_one_scale(sets, settled.window)
    own, made, dropped = equal_number(scaled["real"], scaled["synthetic"], settled.seed)
    comparison = Comparison(
        real=own,
        synthetic=made,
        extractors=extractors_of(request.extractor),
        seed=settled.seed,
        whole=scaled,
        plan=request.plan,
        cache=None if request.cache is None else FeatureCache(request.cache),
    )
    with progress_bar("metrics") as progress:
        found, failures = run_sections(comparison, checked_metrics(request.metrics), progress)
    parts = list(found.values())
    known = [*(remark for one in sets.values() for remark in one.warnings), *overlaps(sets)]
    return Report(
        subject=subject,
        rows=tuple(row for part in parts for row in part.rows),
        findings=tuple(finding for part in parts for finding in part.findings),
        warnings=(*known, *remarks, *dropped, *(w for part in parts for w in part.warnings)),
        failures=failures,
        provenance=_provenance(comparison, sets, settled),
        details={name: value for part in parts for name, value in part.details.items()},
        pictures=(
            figures.grids(own.images, made.images),
            *(picture for part in parts for picture in part.pictures),
        ),
    )


def _provenance(
    comparison: Comparison, sets: Mapping[str, ImageSet], settled: _Settled
) -> dict[str, Any]:
    """Return all that the numbers depend on."""
    return {
        "medmint": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "scipy", "torch")},
        **settled.facts,
        "seed": settled.seed,
        "n": len(comparison.real),
        "unit": comparison.real.unit,
        **{name: one.facts() for name, one in sets.items()},
        "extractors": [_identity(extractor) for extractor in comparison.extractors],
    }


def extractors_of(given: Any) -> tuple[FeatureExtractor, ...]:
    """Return feature extractors, one or several.

    Raises
    ------
    ArgumentError
        If there is none, or two have one name.
    """
    several = isinstance(given, list | tuple)
    extractors = tuple(find_extractor(one) for one in (given if several else [given]))
    names = [extractor.name for extractor in extractors]
    if not names or len(set(names)) < len(names):
        raise ArgumentError("extractor", names, "one or more, each of another name")
    return extractors


def _identity(extractor: FeatureExtractor) -> dict[str, Any]:
    return {
        "name": extractor.name,
        "preset": dict(extractor.preset),
        "weights_sha256": extractor.weights_sha256,
    }
