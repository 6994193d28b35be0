"""The loop around every training: progress, log, checkpoints, the best weights, and resuming."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from tqdm import tqdm

from medmint.errors import TrainingError, WriterError
from medmint.home import disk_trouble, make_folder, write_file

CHECKPOINT, WEIGHTS, LOG = "checkpoint.pt", "weights.safetensors", "log.csv"


class Stateful(Protocol):
    """A network or an optimiser."""

    def state_dict(self) -> Mapping[str, Any]:
        """Return all that it needs to go on."""

    def load_state_dict(self, state: Any, /) -> Any:
        """Go on from a state."""


class Trainee(Protocol):
    """What is trained: the part of ``train.py`` that differs from model to model.

    Random numbers of a step are to be drawn from `random_numbers`, so that a run that was cut off
    and resumed draws the same ones as one that was not.
    """

    @property
    def parts(self) -> Mapping[str, Stateful]:
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
        Steps in all, those before a cut included.
    validate_every : int
        Steps between two measurements on val.
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
    return torch.Generator().manual_seed((seed * 10_000_019 + step) % 2**63)


def train(trainee: Trainee, out: Path, schedule: Schedule, *, settings: Mapping[str, Any]) -> None:
    """Train from the start or from the checkpoint in ``out``.

    ``log.csv`` has a row for each measurement, ``weights.safetensors`` the weights of the best
    one in half precision, ``checkpoint.pt`` all that the next run needs.

    Parameters
    ----------
    trainee : Trainee
    out : Path
        Folder of this run; made where it is not there.
    schedule : Schedule
    settings : mapping
        Plain values that a run must not change on the way: seed, batch size, widths, data.

    Raises
    ------
    TrainingError
        If the checkpoint is of another model or other settings, or a loss is not a number.
    WriterError
        If the folder cannot be written, said before the first step.
    """
    run = _Run(trainee, make_folder(out), dict(settings))
    run.resume()
    if run.step == 0:
        # A disk without room for a checkpoint is better known now than in an hour.
        run.save()
    progress = tqdm(
        range(run.step, schedule.steps), initial=run.step, total=schedule.steps, desc=out.name
    )
    for step in progress:
        losses = trainee.advance(step)
        run.step = step + 1
        if not all(map(math.isfinite, losses.values())):
            raise TrainingError(
                out, f"step {step} gave {dict(losses)}", "Try a lower learning rate."
            )
        if run.step % schedule.validate_every == 0 or run.step == schedule.steps:
            run.validate(losses)
            run.save()
            progress.set_postfix({key: f"{value:.4g}" for key, value in run.rows[-1].items()})
        elif run.step % schedule.checkpoint_every == 0:
            run.save()


class _Run:
    """One training and the folder it is written to."""

    def __init__(self, trainee: Trainee, folder: Path, settings: dict[str, Any]) -> None:
        self.trainee, self.folder, self.settings = trainee, folder, settings
        self.step = 0
        self.best = math.inf
        self.rows: list[dict[str, float]] = []

    def resume(self) -> None:
        path = self.folder / CHECKPOINT
        if not path.exists():
            return
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            before = state["settings"]
            changed = [key for key in self.settings | before if self._differs(key, before)]
            if changed:
                told = ", ".join(
                    f"{key} {before.get(key)!r} then and {self.settings.get(key)!r} now"
                    for key in changed
                )
                raise TrainingError(path, f"it was made with other settings: {told}", _ANEW)
            for name, part in self.trainee.parts.items():
                part.load_state_dict(state["parts"][name])
            self.step, self.best, self.rows = state["step"], state["best"], state["rows"]
        except TrainingError:
            raise
        except Exception as error:
            reason = f"it is no checkpoint of this model ({_first_line(error)})"
            raise TrainingError(path, reason, _ANEW) from error

    def _differs(self, key: str, before: Mapping[str, Any]) -> bool:
        return bool(before.get(key) != self.settings.get(key))

    def validate(self, losses: Mapping[str, float]) -> None:
        measured = dict(self.trainee.validate(self.step, self.folder))
        value = next(iter(measured.values()))
        if value < self.best:
            self.best = value
            save_weights(self.folder / WEIGHTS, *self.trainee.weights())
        self.rows.append({"step": self.step, **losses, **measured})
        text = io.StringIO(newline="")
        table = csv.DictWriter(text, list(self.rows[-1]), extrasaction="ignore")
        table.writeheader()
        table.writerows({key: f"{value:.6g}" for key, value in row.items()} for row in self.rows)
        write_file(self.folder / LOG, text.getvalue().encode())

    def save(self) -> None:
        state = {
            "settings": self.settings,
            "step": self.step,
            "best": self.best,
            "rows": self.rows,
            "parts": {name: part.state_dict() for name, part in self.trainee.parts.items()},
        }
        path = self.folder / CHECKPOINT
        partial = path.with_suffix(".partial")
        try:
            with disk_trouble(path):
                torch.save(state, partial)
                partial.replace(path)
        except RuntimeError as error:
            # What torch makes of a full disk.
            raise WriterError(path, _first_line(error), "Make room and start again.") from error
        finally:
            partial.unlink(missing_ok=True)


_ANEW = "Name another --out, or remove the checkpoint to start anew."


def save_weights(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, str]) -> None:
    """Write tensors in half precision, whole numbers as they are."""
    halves = {
        name: (t.half() if t.is_floating_point() else t).detach().cpu().contiguous()
        for name, t in tensors.items()
    }
    write_file(path, save(halves, metadata=dict(facts)))


def start_from(path: Path, network: nn.Module, prefix: str = "") -> None:
    """Load weights of an earlier training into a network, to go on from on other images.

    Parameters
    ----------
    path : Path
        File as `save_weights` writes it.
    network : Module
        Network of the same architecture.
    prefix : str
        What names of this network begin with in the file.

    Raises
    ------
    TrainingError
        If it is no such file or of another architecture.
    """
    try:
        with safe_open(path, framework="pt") as file:
            names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118
            network.load_state_dict({n.removeprefix(prefix): file.get_tensor(n) for n in names})
    except (OSError, SafetensorError, RuntimeError) as error:
        raise TrainingError(
            path,
            f"these are no weights of this network ({_first_line(error)})",
            "Give the size and widths that they were trained with.",
        ) from error


def _first_line(error: Exception) -> str:
    lines = str(error).split("\n")
    return " ".join(line.strip() for line in lines[:2])[:300]
