"""Trainings of several phases, of which each learns from what the one before has made."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from medmint.errors import TrainingError, WriterError
from medmint.home import make_folder
from medmint.model_trainer.run import WEIGHTS, Schedule, Trainee, check_ahead, train
from medmint.packages.package import hash_file

#: Weights, their average and the two numbers of Adam, of four bytes each.
_BYTES_OF_WEIGHT = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One of several trainings.

    Attributes
    ----------
    name : str
        Folder in that of the whole training.
    schedule : Schedule
    settings : mapping
        As in `train`.
    begin : callable
        Makes the trainee, once the phases before are done.
    networks : sequence of Module
        Untrained ones of the same sizes, which say how much room a checkpoint takes.
    """

    name: str
    schedule: Schedule
    settings: Mapping[str, Any]
    begin: Callable[[], Trainee]
    networks: Sequence[nn.Module]


def train_in_turn(out: Path, phases: Sequence[Phase]) -> Trainee:
    """Train phase after phase; each that is done already is passed over.

    What a later phase would refuse after hours of an earlier one is said before the first step. A
    phase goes on only with the weights of the earlier one that it began with.

    Parameters
    ----------
    out : Path
        Folder of the whole training.
    phases : sequence of Phase

    Returns
    -------
    Trainee
        The last one, trained.

    Raises
    ------
    TrainingError
        As in `train`, or if an earlier phase is to go on whose weights a later one has begun with.
    WriterError
        If there is no room for the checkpoints of all phases.
    """
    make_folder(out)
    _look_ahead(out, phases)
    for place, phase in enumerate(phases):
        settings = dict(phase.settings)
        for earlier in phases[:place]:
            settings[earlier.name] = hash_file(out / earlier.name / WEIGHTS)
        trainee = phase.begin()
        train(trainee, out / phase.name, phase.schedule, settings=settings)
    return trainee


def _look_ahead(out: Path, phases: Sequence[Phase]) -> None:
    """Say what would otherwise be said after the first phases."""
    steps = [check_ahead(out / one.name, one.schedule, one.settings) for one in phases]
    for place, phase in enumerate(phases):
        if steps[place] != phase.schedule.steps and any(s is not None for s in steps[place + 1 :]):
            raise TrainingError(
                out / phase.name,
                f"{phase.schedule.steps} steps were asked for, and a later phase has begun with "
                f"what it was after {steps[place]}",
                "Ask for as many, or name another --out.",
            )
    networks = [
        network
        for phase, step in zip(phases, steps, strict=True)
        if step is None
        for network in phase.networks
    ]
    needed = _BYTES_OF_WEIGHT * sum(p.numel() for one in networks for p in one.parameters())
    # While one is written, the one before is still there.
    if (free := shutil.disk_usage(out).free) < 2 * needed:
        raise WriterError(
            out,
            f"{free >> 20} MiB are free, checkpoints need {2 * needed >> 20}",
            "Make room there, or name another --out.",
        )
