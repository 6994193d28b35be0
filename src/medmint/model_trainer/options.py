"""Command line that the training scripts of all packages share."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from medmint.errors import ArgumentError, DeviceError, MedmintError
from medmint.model_trainer.run import Schedule


def training_parser(
    description: str, *, steps: int, batch: int, validate_every: int = 500
) -> argparse.ArgumentParser:
    """Return a parser with the options of every training; the numbers are its defaults."""
    parser = argparse.ArgumentParser(
        description=description.splitlines()[0], formatter_class=_WithDefaults
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder with the training data")
    add("--out", type=Path, required=True, help="folder of this training")
    add("--init", type=Path, help="weights to go on from, on your own data")
    add("--steps", type=int, default=steps, help="steps in all")
    add("--batch", type=int, default=batch, help="images of a step")
    add("--seed", type=int, default=0, help="fixes first weights, order and noise")
    add("--device", default="auto", help="auto, cpu, cuda or cuda:0")
    add("--threads", type=int, help="threads on the CPU, else all")
    precisions = ("bfloat16", "float32")
    add("--precision", default="bfloat16", choices=precisions, help="of the networks")
    add("--validate-every", type=int, default=validate_every, help="steps between measurements")
    add("--checkpoint-every", type=int, default=100, help="steps that a crash may cost at most")
    add(
        "--no-card", dest="card", action="store_false", help="end with the weights, measure no more"
    )
    return parser


class _WithDefaults(argparse.HelpFormatter):
    """Names the default of each option that has one."""

    def _get_help_string(self, action: argparse.Action) -> str:
        has_default = action.default not in (None, [], argparse.SUPPRESS) and action.nargs != 0
        return f"{action.help or ''}{' (%(default)s)' if has_default else ''}".strip()


def schedule(options: argparse.Namespace, phase: str = "") -> Schedule:
    """Return how long to train, after a look at the numbers that were given.

    Parameters
    ----------
    options : Namespace
        Of `training_parser`.
    phase : str
        What the names of this phase's own ``--steps`` and ``--batch`` begin with, such as
        ``autoencoder_``.

    Raises
    ------
    ArgumentError
        If a number is not positive.
    """
    steps = f"{phase}steps"
    for name in (steps, f"{phase}batch", "validate_every", "checkpoint_every"):
        _require_positive(name, getattr(options, name))
    return Schedule(
        steps=getattr(options, steps),
        validate_every=options.validate_every,
        checkpoint_every=options.checkpoint_every,
    )


def _require_positive(name: str, value: int) -> None:
    if value < 1:
        raise ArgumentError(f"--{name.replace('_', '-')}", value, "a positive whole number")


def prepare_device(options: argparse.Namespace) -> torch.device:
    """Seed torch, set the number of threads, and return the device; ``auto`` becomes its name.

    Raises
    ------
    ArgumentError
        If seed or threads cannot be used.
    DeviceError
        If the device is not there.
    """
    if not 0 <= options.seed < 2**63:
        raise ArgumentError("--seed", options.seed, "a whole number from 0 to 2**63 - 1")
    torch.manual_seed(options.seed)
    if options.threads is not None:
        _require_positive("threads", options.threads)
        torch.set_num_threads(options.threads)
    # Convolutions that give the same result at every run.
    torch.backends.cudnn.deterministic = True
    cards = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    available = ["cpu", *(["cuda"] if cards else []), *cards]
    if options.device == "auto":
        options.device = cards[0] if cards else "cpu"
    if options.device not in available:
        raise DeviceError(options.device, available)
    return torch.device(options.device)


def autocast(options: argparse.Namespace) -> torch.autocast:
    """Return the context in which networks run in the precision that was asked for."""
    return torch.autocast(
        options.device.split(":")[0],
        dtype=torch.bfloat16,
        enabled=options.precision == "bfloat16",
    )


def run_script(main: Callable[[], None]) -> None:
    """Run a script; what the user can mend is said in one line, with exit code 2."""
    logging.basicConfig(format="%(message)s")
    logging.getLogger("medmint.model_trainer").setLevel(logging.INFO)
    try:
        main()
    except MedmintError as error:
        sys.stderr.write(f"{Path(sys.argv[0]).name}: {error}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write(
            "interrupted: the same command goes on from the last checkpoint, where there is one.\n"
        )
        sys.exit(130)
