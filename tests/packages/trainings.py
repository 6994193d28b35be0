"""A training that takes a moment, folders for it, and processes that are killed in the midst of it.

``python -m tests.packages.trainings FOLDER SEED`` trains in processes of its own: one undisturbed,
others killed at moments that depend on SEED or in the midst of writing, and begun again until they
end. It prints how often each was killed.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from medmint.model_trainer import Average, Schedule, random_numbers, train

SCHEDULE = Schedule(steps=60, validate_every=15, checkpoint_every=2)
SETTINGS = {"seed": 3, "widths": (4, 8)}


class Tiny:
    """A network with dropout that learns to add, with an average and a count of its steps."""

    def __init__(self, width: int = 8, rate: float = 1e-2) -> None:
        torch.manual_seed(3)
        self.network = nn.Sequential(
            nn.Linear(4, width), nn.BatchNorm1d(width), nn.Dropout(0.2), nn.Linear(width, 1)
        )
        self.average = Average(self.network, 0.9)
        self.optimiser = torch.optim.Adam(self.network.parameters(), rate)
        self.parts: dict[str, Any] = {
            "network": self.network,
            "average": self.average,
            "optimiser": self.optimiser,
        }
        self.steps: list[int] = []

    def advance(self, step: int) -> dict[str, float]:
        self.steps.append(step)
        given = torch.randn(16, 4, generator=random_numbers(3, step))
        self.network.train()
        loss = (self.network(given)[:, 0] - given.sum(dim=1)).square().mean()
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        self.average.update(self.network, step)
        # As evaluations do, which must leave the next step as it is.
        torch.rand(step)
        return {"loss": loss.item()}

    def validate(self, step: int, folder: Path) -> dict[str, Any]:
        given = torch.randn(64, 4, generator=random_numbers(4, 0))
        with torch.no_grad():
            error = (self.average.network(given)[:, 0] - given.sum(dim=1)).square().mean()
        return {"val_error": np.float64(error.item())}

    def weights(self) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
        return dict(self.average.state_dict()), {"width": "8", "made": "for a test"}


class Deadly:
    """A value that nobody can write and live."""

    def __reduce__(self) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)


class Fuse:
    """A part whose checkpoint number ``last`` is the end: before it is begun or in its midst."""

    def __init__(self, last: int, *, begun: bool) -> None:
        self.left, self.begun = last, begun

    def state_dict(self) -> dict[str, object]:
        self.left -= 1
        if self.left == 0 and not self.begun:
            os.kill(os.getpid(), signal.SIGKILL)
        return {"value": Deadly() if self.left == 0 else 0}

    def load_state_dict(self, state: dict[str, object]) -> None:
        pass


def in_a_process(out: Path, *, wait: float | None = None, fuse: Fuse | None = None) -> bool:
    """Train in a process that is killed after ``wait`` seconds; return whether it was."""
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        tiny = Tiny()
        tiny.parts["fuse"] = fuse or Fuse(0, begun=False)
        train(tiny, out, SCHEDULE, settings=SETTINGS)
        os._exit(0)
    if wait is not None:
        time.sleep(wait)
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    return os.waitstatus_to_exitcode(status) == -signal.SIGKILL


def main() -> None:
    folder, seed = Path(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(1)
    Tiny().advance(0)  # what torch imports at the first step is then there for all
    began = time.monotonic()
    in_a_process(folder / "undisturbed")
    length = time.monotonic() - began
    moments = random.Random(seed)
    killed = sum(
        in_a_process(folder / "any_moment", wait=moments.uniform(0, length / 3)) for _ in range(8)
    )
    in_a_process(folder / "any_moment")
    sys.stdout.write(f"any_moment {killed}\n")
    for name, begun in (("while_writing", True), ("before_writing", False)):
        deaths = [9, 1, 7, 4]
        killed = sum(in_a_process(folder / name, fuse=Fuse(n, begun=begun)) for n in deaths)
        in_a_process(folder / name)
        sys.stdout.write(f"{name} {killed}\n")


def training_folder(folder: Path, count: int = 60, side: int = 16, mode: str = "RGB") -> Path:
    """Write smooth images with a disc, its mask, and a table in which a patient has two images."""
    draw = np.random.default_rng(0)
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    rows, columns = np.mgrid[:side, :side]
    lines = ["file,patient_id,view,sex"]
    for i in range(count):
        small = Image.fromarray(draw.integers(40, 220, (3, 3, 3), dtype=np.uint8))
        image = np.array(small.resize((side, side), Image.Resampling.BICUBIC))
        y, x, radius = draw.uniform(
            (side / 3, side / 3, side / 8), (side / 1.5, side / 1.5, side / 4)
        )
        disc = (rows - y) ** 2 + (columns - x) ** 2 < radius**2
        image[disc] //= 2
        name = f"image {i:03d}.png"
        Image.fromarray(image).convert(mode).save(folder / "images" / name)
        Image.fromarray(disc * np.uint8(255)).save(folder / "masks" / name)
        lines.append(f"{name},p{i // 2},{('PA', 'AP')[i // 2 % 2]},{'FM'[i % 3 % 2]}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


if __name__ == "__main__":
    main()
