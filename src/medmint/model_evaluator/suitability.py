"""Does a model's output fit a user's own images? Domain, size, channels, intensities, features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from medmint.errors import MetricError
from medmint.metrics import find_extractor, frechet_distance, standardise
from medmint.metrics.comparison import relative_distance
from medmint.metrics.images import image_stack
from medmint.model_evaluator.evaluator import ModelEvaluator
from medmint.model_evaluator.image_sets import ImageSet, read_image_set
from medmint.model_evaluator.preparation import equal_number, in_grey, on_one_scale
from medmint.samples import draw_seed
from medmint.tables import format_table

if TYPE_CHECKING:
    from medmint.catalogue.records import ModelRecord
    from medmint.model_executor import ModelExecutor

Outcome = Literal["fits", "look", "does not fit"]
EXTRACTOR = "descriptors"
#: Synthetic images where nobody says how many.
USUAL_NUMBER = 200
#: A relative distance from here on is near, and below the other far.
_NEAR, _FAR = 0.5, 0.1
#: Difference of the mean intensities, in deviations of the user's images.
_INTENSITY = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was compared.

    Attributes
    ----------
    step : str
        ``domain``, ``size``, ``channels``, ``intensity`` or ``features``.
    yours, model : str
        What the two have.
    outcome : {"fits", "look", "does not fit"}
    advice : str
        What to do, empty where it fits.
    """

    step: str
    yours: str
    model: str
    outcome: Outcome
    advice: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suitability:
    """How well a model's output fits a user's images; printed, it is a table and a verdict.

    Attributes
    ----------
    model_id : str
    checks : tuple of Check
    relative_distance : float
        Distance among the user's images over that to the synthetic ones, at equal size, in
        radiomic-style descriptors: about 1 where they are as near as the user's own.
    seed, n : int
    warnings : tuple of str
        What is odd about the user's images.
    """

    model_id: str
    checks: tuple[Check, ...]
    relative_distance: float
    seed: int
    n: int
    warnings: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """What to conclude, in words."""
        bad = [check.step for check in self.checks if check.outcome == "does not fit"]
        look = [check.step for check in self.checks if check.outcome == "look"]
        if bad:
            return f"{self.model_id} does not fit these images: {', '.join(bad)}."
        if look:
            return f"{self.model_id} may fit these images; look at: {', '.join(look)}."
        return (
            f"{self.model_id} fits these images. Whether training with its samples helps has to be "
            "measured: evaluate() with metrics=['usefulness']."
        )

    def rows(self) -> list[dict[str, str]]:
        """Return a line per check."""
        names = ("step", "yours", "model", "outcome", "advice")
        return [{name: getattr(check, name) for name in names} for check in self.checks]

    def __str__(self) -> str:
        remarks = [f"\n- {warning}" for warning in self.warnings]
        return f"{format_table(self.rows())}\n\n{self.verdict}{''.join(remarks)}"


def judge_suitability(
    executor: ModelExecutor,
    images: Any,
    *,
    domain: str | None = None,
    n: int | None = None,
    seed: int | None = None,
    generation: Mapping[str, Any] | None = None,
) -> Suitability:
    """Compare a user's images with what a model generates.

    The steps are those that the medigan paper gives a user before choosing a model (section 5, i
    to iv): the domain by the record, then size and channels, intensities, and the distance in
    feature space beside that among the user's own images.

    Parameters
    ----------
    executor : ModelExecutor
    images : path, array or sequence of arrays
    domain : str, optional
        Modality or organ of the images, such as ``"endoscopy"``, to be looked for in the record.
    n : int, optional
        Synthetic images; by default as many as the user's, 200 at most.
    seed : int, optional
    generation : mapping, optional
        Further arguments of ``generate``.

    Returns
    -------
    Suitability

    Raises
    ------
    MetricError
        If the images cannot be read, or volumes meet a model of single images.
    """
    own = read_image_set(images, name="images")
    seed = draw_seed() if seed is None else seed
    count = min(len(own), USUAL_NUMBER) if n is None else n
    made = ModelEvaluator(executor).sample(count, seed, generation or {})
    record = executor.record
    checks = [_domain(record, domain), _size(own, made), _channels(own, made)]
    if image_stack(own.images[:1]).ndim != image_stack(made.images[:1]).ndim:
        raise MetricError(
            "images",
            f"shape {own.images.shape[1:]}",
            f"the kind that {record.model_id} generates, shape {made.images.shape[1:]}",
        )
    spec = record.execution.output.get("image")
    if image_stack(own.images[:1]).shape[-1] == 1 and image_stack(made.images[:1]).shape[-1] > 1:
        # Where one of the two has no colour, what is left to compare is grey.
        made = replace(made, images=in_grey(made.images))
    scaled, _ = on_one_scale(
        {"real": own, "synthetic": made},
        spec.window if spec and made.images.dtype != np.uint8 else None,
    )
    checks.append(_intensity(own, made, scaled))
    real, synthetic, _ = equal_number(scaled["real"], scaled["synthetic"], seed)
    extractor = find_extractor(EXTRACTOR)
    known, drawn = standardise(extractor(real.images), extractor(synthetic.images))
    relative = relative_distance(known, drawn, frechet_distance, groups=real.groups, seed=seed)
    checks.append(_features(relative.ratio))
    return Suitability(
        model_id=record.model_id,
        checks=tuple(checks),
        relative_distance=relative.ratio,
        seed=seed,
        n=len(real),
        warnings=own.warnings,
    )


def _domain(record: ModelRecord, domain: str | None) -> Check:
    """Compare the record's domain with the user's, which the images alone do not tell."""
    selection = record.to_dict()["selection"]
    words = [str(one) for key in ("modality", "organ") for one in selection.get(key) or []]
    advice = "compare modality, organ and finding with your task"
    outcome: Outcome = "look"
    if domain is not None:
        known = any(domain.casefold() in one.casefold() for one in words)
        outcome, advice = ("fits", "") if known else ("does not fit", advice)
    return Check(
        step="domain",
        yours=domain or "not stated",
        model=", ".join(words) or "not stated",
        outcome=outcome,
        advice=advice,
    )


def _size(own: ImageSet, made: ImageSet) -> Check:
    yours, model = own.images.shape[1:3], made.images.shape[1:3]
    outcome: Outcome = "fits" if yours == model else "look"
    advice = ""
    if yours != model:
        larger = max(yours) > max(model)
        advice = (
            "resize: details finer than the model's pixels are missing"
            if larger
            else "resize the model's images down to yours"
        )
    if yours[0] * model[1] != yours[1] * model[0]:
        advice += "; the proportions differ, so crop or pad rather than stretch"
    return Check(
        step="size",
        yours=" x ".join(map(str, yours)),
        model=" x ".join(map(str, model)),
        outcome=outcome,
        advice=advice,
    )


def _channels(own: ImageSet, made: ImageSet) -> Check:
    yours, model = (image_stack(one.images[:1]) for one in (own, made))
    if yours.ndim != model.ndim:
        kinds = [("volumes" if one.ndim == 5 else "single images") for one in (yours, model)]
        return Check(step="channels", yours=kinds[0], model=kinds[1], outcome="does not fit")
    same = yours.shape[-1] == model.shape[-1]
    return Check(
        step="channels",
        yours=str(yours.shape[-1]),
        model=str(model.shape[-1]),
        outcome="fits" if same else "look",
        advice="" if same else "convert one of the two between grey and colour",
    )


def _intensity(own: ImageSet, made: ImageSet, scaled: Mapping[str, ImageSet]) -> Check:
    means = [
        scaled[name].images.reshape(len(scaled[name]), -1).mean(axis=1, dtype=np.float64)
        for name in ("real", "synthetic")
    ]
    level = 1.0 if scaled["real"].images.dtype == np.uint8 else 1 / 255
    spread = max(float(means[0].std()), level)
    away = abs(float(means[1].mean() - means[0].mean())) / spread
    same_type = own.images.dtype == made.images.dtype
    outcome: Outcome = "fits" if same_type and away < _INTENSITY else "look"
    advice = "" if same_type else "bring both to one range of values"
    if away >= _INTENSITY:
        advice += f"{'; ' if advice else ''}mean brightness is {away:.1f} deviations away"
    return Check(
        step="intensity", yours=_range(own), model=_range(made), outcome=outcome, advice=advice
    )


def _features(ratio: float) -> Check:
    outcome: Outcome = "fits" if ratio >= _NEAR else "look" if ratio >= _FAR else "does not fit"
    advice = "" if outcome == "fits" else "the images look different: see preview(), or evaluate()"
    return Check(
        step="features",
        yours="1 (own images to each other)",
        model=f"{ratio:.3f} (own over synthetic distance)",
        outcome=outcome,
        advice=advice,
    )


def _range(images: ImageSet) -> str:
    low, middle, high = np.percentile(images.images, [1, 50, 99])
    return f"{images.images.dtype}, {low:g} to {high:g}, median {middle:g}"
