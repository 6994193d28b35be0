"""Two models on the same data, or one with different options, side by side."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from medmint.model_trainer.judging.evidence import Evidence
from medmint.model_trainer.judging.fidelity import Likeness, likeness
from medmint.model_trainer.judging.model import Model
from medmint.model_trainer.judging.numbers import (
    Cell,
    Goal,
    Measured,
    Section,
    Table,
    mean_interval,
)

SEEDS = 5
COMPARED = ("distance", "precision", "recall", "coverage")
_LOWER_IS_BETTER = frozenset({"distance"})
_REPEATS = 3


def paired(evidence: Evidence, other: Model) -> Section:
    """Compare two models at the same seeds, classes and real images.

    Parameters
    ----------
    evidence : Evidence
    other : Model
        Of the same classes.
    """
    one = [_likeness(evidence, evidence.model, seed) for seed in range(SEEDS)]
    rival = [_likeness(evidence, other, seed) for seed in range(SEEDS)]
    rows = []
    for key in COMPARED:
        pairs = zip(one, rival, strict=True)
        found = mean_interval(getattr(a, key) - getattr(b, key) for a, b in pairs)
        rows.append((key, _mean(one, key), _mean(rival, key), found, verdict(key, found)))
    name = other.record.model_id
    return Section(
        title=f"Against {name}",
        about=(
            f"{evidence.count} samples of each model against {evidence.count} images of the "
            f"{evidence.split} split, {SEEDS} sampling seeds, the same classes in both; mean over "
            "the seeds, and 95 % interval of the paired difference by Student's t. It holds for "
            f"these weights (of the other `{str(other.weights_sha256)[:16]}`): no model was "
            "trained twice."
        ),
        tables=(
            Table(
                columns=("", "this model", name, "difference", "this model is"),
                rows=tuple(rows),
            ),
        ),
    )


def verdict(key: str, difference: Measured) -> str:
    """Say what a difference with its interval allows to say.

    Examples
    --------
    >>> verdict("distance", Measured(-2.0, -3.0, -1.0)), verdict("recall", Measured(0.1, -0.1, 0.3))
    ('better', 'not resolved')
    """
    if difference.low is None or difference.high is None or difference.low <= 0 <= difference.high:
        return "not resolved"
    return "better" if (difference.value < 0) == (key in _LOWER_IS_BETTER) else "worse"


def trade_off(
    evidence: Evidence, settings: Sequence[Mapping[str, Any]], *, count: int, draws: int = 1
) -> Section:
    """Measure quality against time for different options of the model.

    Parameters
    ----------
    evidence : Evidence
    settings : sequence of mapping
        Options, such as ``{"steps": 50}``.
    count, draws : int
        Samples of each draw, no more than the split has images, and draws.
    """
    count = min(count, evidence.count)
    real = evidence.real_features[:count]
    rows: list[tuple[Cell, ...]] = []
    for options in settings:
        model = evidence.model.with_options(options)
        found = [
            likeness(real, evidence.extractor(evidence.draw(seed, model, count).images))
            for seed in range(draws)
        ]
        named = ", ".join(f"{key} {value}" for key, value in options.items())
        seconds = seconds_per_image(evidence, model)
        rows.append((named, seconds, *(_mean(found, key) for key in COMPARED)))
    return Section(
        title="Quality against time",
        about=(
            f"{count} samples against {count} images of the {evidence.split} split, {draws} "
            f"draw{'s' * (draws > 1)} from seed 0, the same latent vectors in every row. "
            f"Seconds for one image alone, one thread, {machine()}, the median of {_REPEATS}. "
            "Distances of other numbers of images are not comparable with these."
        ),
        tables=(
            Table(
                columns=("options", "seconds per image", *COMPARED),
                rows=tuple(rows),
            ),
        ),
    )


def speed(evidence: Evidence) -> Section:
    """Measure how long one image takes on one core, the model being loaded."""
    seconds, most = seconds_per_image(evidence, evidence.model), evidence.subject.most_seconds
    goals = []
    if most is not None:
        text = f"one image on one core in less than {most:g} s"
        goals.append(Goal(text=text, measured=Measured(seconds), is_met=seconds < most))
    return Section(
        title="Time",
        about=f"One image alone, one thread, {machine()}, the median of {_REPEATS} after a first.",
        tables=(Table(columns=("", "seconds"), rows=(("one image", seconds),)),),
        goals=tuple(goals),
    )


def seconds_per_image(evidence: Evidence, model: Model) -> float:
    """Return the median time of a single sample on one thread of the CPU."""
    model, taken = model.on("cpu"), []
    with _one_thread():
        for seed in range(_REPEATS + 1):
            wanted = evidence.wanted(1, seed)
            start = time.perf_counter()
            model.sample(1, seed, wanted)
            taken.append(time.perf_counter() - start)
    return float(np.median(taken[1:]))


def machine() -> str:
    """Return the processor in words."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


@contextmanager
def _one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _likeness(evidence: Evidence, model: Model, seed: int) -> Likeness:
    images = evidence.draw(seed, model).images
    return likeness(evidence.real_features, evidence.extractor(images))


def _mean(found: Sequence[Likeness], key: str) -> float:
    return float(np.mean([getattr(like, key) for like in found]))
