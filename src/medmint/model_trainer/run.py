"""The loop around every training: progress, log, checkpoints, the best weights, and resuming."""

from __future__ import annotations

import csv
import io
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from tqdm import tqdm

from medmint.errors import TrainingError
from medmint.home import make_folder, write_file
from medmint.model_trainer.checkpoints import (
    Parts,
    alone,
    load_checkpoint,
    plain,
    read_step,
    reserve,
    save_checkpoint,
)
from medmint.model_trainer.interruption import Interruption
from medmint.model_trainer.weights import save_weights

CHECKPOINT, WEIGHTS, LOG = "checkpoint.pt", "weights.safetensors", "log.csv"
#: Seconds between two changes of the bar on a terminal, and where lines are kept as in a log.
_ON_TERMINAL, _IN_LOG = 0.1, 60.0
#: Keeps torch's own random numbers of a step apart from those of `random_numbers`.
_APART = 2**62


class Trainee(Protocol):
    """What is trained: the part of ``train.py`` that differs from model to model.

    Random numbers of a step are to be drawn from `random_numbers`, so that a run that was cut off
    and resumed draws the same ones as one that was not. Layers that draw by themselves, such as
    dropout, do so too: torch is seeded before each step.
    """

    @property
    def parts(self) -> Parts:
        """Networks, averages and optimisers by name: what a checkpoint holds."""

    def advance(self, step: int) -> Mapping[str, float]:
        """Take one step and return its losses, the same names at every step."""

    def validate(self, step: int, folder: Path) -> Mapping[str, float]:
        """Measure on val; the first value is the one that the best weights have least of."""

    def weights(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Return tensors of the model as it would be used now, and facts to be kept with them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How long to train and how often to look.

    Attributes
    ----------
    steps : int
        Steps in all, those before a cut included. A later run of the same folder may raise them.
    validate_every : int
        Steps between two measurements on val; the last step is measured, too.
    checkpoint_every : int
        Steps between two checkpoints; each measurement writes one, too.
    """

    steps: int
    validate_every: int
    checkpoint_every: int


def random_numbers(seed: int, step: int) -> torch.Generator:
    """Return the random numbers of one step, whatever came before.

    Examples
    --------
    >>> first, again = (torch.rand(2, generator=random_numbers(0, 7)) for _ in range(2))
    >>> bool((first == again).all())
    True
    """
    return torch.Generator().manual_seed(_number(seed, step))


def _number(seed: int, step: int) -> int:
    return (seed * 10_000_019 + step) % 2**62


def train(trainee: Trainee, out: Path, schedule: Schedule, *, settings: Mapping[str, Any]) -> None:
    """Train from the start or from the checkpoint in ``out``.

    ``log.csv`` has a row for each measurement, ``weights.safetensors`` the weights of the best
    one in half precision, ``checkpoint.pt`` all that the next run needs. A run that was cut off
    at any moment and started again ends in the same files as one that was not. Ctrl-C stops after
    the step that runs, and writes a checkpoint first.

    Parameters
    ----------
    trainee : Trainee
    out : Path
        Folder of this run; made where it is not there.
    schedule : Schedule
    settings : mapping
        Plain values that a run must not change on the way: seed, batch size, widths, data; not
        the number of steps.

    Raises
    ------
    TrainingError
        If another training writes to the folder, its checkpoint is broken, of another model, of
        other settings or of more steps, or a loss, weight or measurement is not a number: then the
        checkpoint is the last good one.
    WriterError
        If the folder cannot be written or has no room, said before the first step.
    """
    cards = range(torch.cuda.device_count())
    with alone(make_folder(out)), torch.random.fork_rng(devices=cards):
        run = _Run(trainee, out, settings)
        run.begin(schedule.steps)
        if run.step == schedule.steps:
            run.complete()
            sys.stderr.write(f"{out}: all of {schedule.steps} steps are done.\n")
            return
        with Interruption() as interruption, _progress(run, schedule) as progress:
            for step in progress:
                run.advance(step)
                if run.step % schedule.validate_every == 0 or run.step == schedule.steps:
                    run.validate()
                    run.save()
                    progress.write(run.summary(), file=sys.stderr)
                elif run.step % schedule.checkpoint_every == 0 or interruption.came:
                    run.save()
                if interruption.came:
                    raise KeyboardInterrupt


def _progress(run: _Run, schedule: Schedule) -> tqdm[int]:
    pause = _ON_TERMINAL if sys.stderr.isatty() else _IN_LOG
    steps = range(run.step, schedule.steps)
    return tqdm(
        steps,
        initial=run.step,
        total=schedule.steps,
        desc=run.folder.name,
        mininterval=pause,
        maxinterval=max(10.0, pause),
    )


def check_ahead(out: Path, schedule: Schedule, settings: Mapping[str, Any]) -> int | None:
    """Say now what `train` would refuse, and return the step that its checkpoint is of, if any.

    Parameters
    ----------
    out, schedule
        As in `train`.
    settings : mapping
        Those that are known by now; others of the checkpoint are not compared.
    """
    path = out / CHECKPOINT
    if not path.exists():
        return None
    step = read_step(path, settings)
    _refuse_fewer(out, step, schedule.steps)
    return step


def _refuse_fewer(folder: Path, done: int, steps: int) -> None:
    if done > steps:
        raise TrainingError(
            folder,
            f"it is trained for {done} steps already, {steps} were asked for",
            "Ask for as many or more, or name another --out.",
        )


class _Run:
    """One training and the folder it is written to."""

    def __init__(self, trainee: Trainee, folder: Path, settings: Mapping[str, Any]) -> None:
        self.trainee, self.folder, self.settings = trainee, folder, plain(settings)
        self.step = 0
        self.best = math.inf
        self.rows: list[dict[str, float]] = []
        self._losses: dict[str, float] = {}

    def begin(self, steps: int) -> None:
        """Go on from the checkpoint to so many steps in all, or write the first one."""
        path = self.folder / CHECKPOINT
        if path.exists():
            facts = load_checkpoint(path, self.settings, self.trainee.parts)
            self.step, self.best, self.rows = facts["step"], facts["best"], facts["rows"]
        _refuse_fewer(self.folder, self.step, steps)
        if self.rows and not (self.folder / WEIGHTS).is_file():
            raise TrainingError(
                self.folder / WEIGHTS,
                "it is gone, and the checkpoint does not hold the best weights",
                f"Put it back, or remove {CHECKPOINT} to start anew.",
            )
        if self.step == 0:
            reserve(path, self._facts(), self.trainee.parts)

    def advance(self, step: int) -> None:
        torch.manual_seed(_APART + _number(self.settings.get("seed", 0), step))
        self._losses = _numbers(self.trainee.advance(step))
        self.step = step + 1
        self._refuse_no_number(self._losses, "the losses")

    def validate(self) -> None:
        measured = _numbers(self.trainee.validate(self.step, self.folder))
        name, value = next(iter(measured.items()))
        self._refuse_no_number({name: value}, "the measurement on val")
        if value < self.best:
            self.best = value
            save_weights(self.folder / WEIGHTS, *self.trainee.weights())
        self.rows.append({"step": self.step, **self._losses, **measured})
        text = io.StringIO(newline="")
        table = csv.DictWriter(text, list(self.rows[-1]), extrasaction="ignore")
        table.writeheader()
        table.writerows({key: f"{value:.6g}" for key, value in row.items()} for row in self.rows)
        write_file(self.folder / LOG, text.getvalue().encode())

    def complete(self) -> None:
        """Measure the last step where a checkpoint between two measurements was the end."""
        if not self.rows or self.rows[-1]["step"] < self.step:
            self.validate()
            self.save()

    def save(self) -> None:
        save_checkpoint(self.folder / CHECKPOINT, self._facts(), self.trainee.parts)

    def summary(self) -> str:
        """Return the last measurement in one line."""
        values = dict(self.rows[-1])
        step = int(values.pop("step"))
        return f"step {step}: " + ", ".join(f"{key} {value:.4g}" for key, value in values.items())

    def _facts(self) -> dict[str, Any]:
        names = ("settings", "step", "best", "rows")
        return {name: getattr(self, name) for name in names}

    def _refuse_no_number(self, values: Mapping[str, float], what: str) -> None:
        if not all(map(math.isfinite, values.values())):
            told = ", ".join(f"{key} {value}" for key, value in values.items())
            raise TrainingError(
                self.folder,
                f"{what} at step {self.step} are no numbers ({told})",
                "Lower the learning rate, use --precision float32 or look at the images; "
                f"{CHECKPOINT} is the last good one.",
            )


def _numbers(values: Mapping[str, float]) -> dict[str, float]:
    """Return plain numbers, which a checkpoint may hold, whatever a library made of them."""
    return {key: float(value) for key, value in values.items()}
