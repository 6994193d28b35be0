"""The part of the facade that judges what models generate."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from medmint.generators.foundation import Foundation

if TYPE_CHECKING:
    from medmint.metrics.training_plan import TrainingPlan
    from medmint.model_evaluator.evaluator import EvaluationRequest
    from medmint.model_evaluator.patients import Groups
    from medmint.model_evaluator.report import Report
    from medmint.model_evaluator.sensitivity import Sensitivity, Variations
    from medmint.model_evaluator.several import ModelComparison
    from medmint.model_evaluator.suitability import Suitability


class Judging(Foundation):
    """Compare a model's output with real images, and a user's images with a model's output."""

    def evaluate(
        self,
        model_id: int | str,
        real: Any,
        metrics: Sequence[str] | None = None,
        extractor: Any = ("seeded_convolution", "descriptors"),
        n: int | None = None,
        seed: int | None = None,
        groups: Groups | None = None,
        train: Any = None,
        holdout: Any = None,
        *,
        window: tuple[float, float] | None = None,
        plan: TrainingPlan | None = None,
        cache: str | os.PathLike[str] | None = None,
        **generation: Any,
    ) -> Report:
        """Judge what a model generates beside real images.

        Parameters
        ----------
        model_id : int or str
        real : path, ndarray or sequence of ndarray
            Real images that the model was not trained on: a folder of PNG, JPEG, TIFF, NPY, DICOM
            or NIfTI files, an output folder of :meth:`generate`, a text file that lists files, or
            arrays of shape (n, height, width[, channels or depth]).
        metrics : sequence of str, optional
            Some of ``frechet_distance``, ``kid``, ``precision_recall``, ``density_coverage``,
            ``diversity``, ``privacy`` and ``usefulness``; by default all but the last, which
            trains networks.
        extractor : str, torch.nn.Module, callable, or a list of them
            As :func:`medmint.metrics.find_extractor` takes them. The default needs no weights.
        n : int, optional
            Synthetic images; by default as many as real ones.
        seed : int, optional
            Of samples, splits and intervals; drawn and recorded where it is left out.
        groups : sequence, mapping, callable or path of a CSV table, optional
            Patient of each image. Data that name patients are split by patient anyway.
        train, holdout : as ``real``, optional
            Images that the model was trained on, and others, for privacy and usefulness.
        window : tuple of two float, optional
            Values that are black and white, for images of more than eight bits.
        plan : TrainingPlan, optional
            What usefulness trains.
        cache : path, optional
            Folder in which features of the real images are kept.
        **generation
            Further arguments of :meth:`generate`, such as ``device`` or ``weights``.

        Returns
        -------
        Report
            A table when printed; ``save(folder)`` writes JSON and one HTML page.

        Raises
        ------
        MetricError, ArgumentError
            If the images or arguments are wrong. What goes wrong with one metric is in the report.
        GenerationError, PackageError, DependencyError
            If the model fails.

        Examples
        --------
        >>> import numpy as np
        >>> from medmint import Generators
        >>> real = np.random.default_rng(0).integers(0, 256, (8, 128, 128, 3), dtype=np.uint8)
        >>> with Generators() as generators:
        ...     report = generators.evaluate(10002, real, ["kid"], "descriptors", seed=1)
        >>> report.row("kid[descriptors]").n
        8
        """
        from medmint.model_evaluator.evaluator import ModelEvaluator

        request = _request(
            metrics=metrics,
            extractor=extractor,
            n=n,
            seed=seed,
            groups=groups,
            train=train,
            holdout=holdout,
            window=window,
            plan=plan,
            cache=cache,
            generation=generation,
        )
        executor = self._executor(model_id, generation.get("package"))
        return ModelEvaluator(executor).evaluate(real, request)

    def evaluate_models(
        self, model_ids: Iterable[int | str], real: Any, **arguments: Any
    ) -> ModelComparison:
        """Judge several models beside the same real images, with the same seed.

        Parameters
        ----------
        model_ids : iterable of int or str
        real : as for :meth:`evaluate`
        **arguments
            Further arguments of :meth:`evaluate`.

        Returns
        -------
        ModelComparison
            One table, and the plot of real-real against real-synthetic distances. A model that
            fails is named with its reason; the others stand.
        """
        from medmint.model_evaluator.several import compare_models
        from medmint.samples import draw_seed

        ids = [self.config_manager.resolve(model_id) for model_id in model_ids]
        seed = arguments.get("seed")
        given = {**arguments, "seed": draw_seed() if seed is None else seed}
        return compare_models(ids, lambda one: self.evaluate(one, real, **given))

    def fid_sensitivity(
        self,
        model_id: int | str,
        real: Any,
        *,
        variations: Variations | None = None,
        seed: int | None = None,
        **generation: Any,
    ) -> Sensitivity:
        """Say how much a Frechet distance owes to the way in which it is measured.

        Parameters
        ----------
        model_id : int or str
        real : as for :meth:`evaluate`
        variations : medmint.model_evaluator.sensitivity.Variations, optional
            Feature networks, normalisations, sizes of images, numbers of images and seeds; every
            combination is measured.
        seed : int, optional
            Of the samples.
        **generation
            Further arguments of :meth:`generate`.

        Returns
        -------
        Sensitivity
            One table, with plots.
        """
        from medmint.model_evaluator.evaluator import ModelEvaluator
        from medmint.model_evaluator.image_sets import read_image_set
        from medmint.model_evaluator.sensitivity import fid_sensitivity
        from medmint.samples import draw_seed

        own = read_image_set(real)
        executor = self._executor(model_id, generation.get("package"))
        drawn = draw_seed() if seed is None else seed
        made = ModelEvaluator(executor).sample(len(own), drawn, generation)
        return fid_sensitivity(own, made, variations)

    def suitability(
        self,
        model_id: int | str,
        images: Any,
        *,
        domain: str | None = None,
        n: int | None = None,
        seed: int | None = None,
        **generation: Any,
    ) -> Suitability:
        """Say whether a model's output fits a user's images, before anything is trained with it.

        Parameters
        ----------
        model_id : int or str
        images : as ``real`` of :meth:`evaluate`
            The user's images.
        domain : str, optional
            Their modality or organ, such as ``"endoscopy"``; the images alone do not tell it.
        n : int, optional
            Synthetic images; by default as many as the user's, 200 at most.
        seed : int, optional
            Of the samples.
        **generation
            Further arguments of :meth:`generate`.

        Returns
        -------
        Suitability
            What was checked, step by step, and a verdict in words.
        """
        from medmint.model_evaluator.suitability import judge_suitability

        executor = self._executor(model_id, generation.get("package"))
        return judge_suitability(
            executor, images, domain=domain, n=n, seed=seed, generation=generation
        )


def _request(**arguments: Any) -> EvaluationRequest:
    from medmint.model_evaluator.evaluator import EvaluationRequest

    return EvaluationRequest(**arguments)
