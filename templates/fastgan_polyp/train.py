"""Train the polyp GAN: ``python train.py --data FOLDER --out FOLDER``.

FOLDER holds ``images/NAME.png`` (RGB), ``masks/NAME.png`` (0 / 255) and the split files that
``prepare_data.py`` writes. First an autoencoder of frames with their masks is trained in
``OUT/autoencoder``, then the GAN of its latents in ``OUT/gan``, each with losses, val metrics and
sheets written while it runs; the same command again goes on from the last checkpoint. The end is
``OUT/weights.safetensors``, averaged weights of the step whose samples were nearest to the val
split, in half precision, with the sharpening that was best for them, and a model card with what
they measure on val. ``--init weights.safetensors`` starts both phases from trained weights, to go
on with your images.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

from autoencoder import CHANNELS, COMPRESSION, WIDTHS, Autoencoder
from evaluate import SUBJECT
from network import Discriminator, Generator
from pairs import read_pairs
from training import AutoencoderTrainee, GanTrainee

from medmint.errors import ArgumentError
from medmint.home import write_file
from medmint.model_trainer import (
    Phase,
    hash_arrays,
    prepare_device,
    run_script,
    schedule,
    start_from,
    train_in_turn,
    training_parser,
)
from medmint.model_trainer.judging import describe_training
from medmint.model_trainer.run import WEIGHTS
from medmint.packages.package import hash_file


def read_arguments() -> argparse.Namespace:
    """Read the command line; ``--steps`` and ``--batch`` are those of the GAN."""
    parser = training_parser(__doc__, steps=12_000, batch=16)
    parser.add_argument("--size", type=int, default=128, choices=(64, 128), help="side in pixels")
    parser.add_argument(
        "--autoencoder-steps", type=int, default=4_400, help="steps of the first phase"
    )
    parser.add_argument("--autoencoder-batch", type=int, default=8, help="images of its steps")
    parser.add_argument(
        "--pixels-first", type=int, default=800, help="steps before the judge is heard"
    )
    parser.add_argument("--channels", type=int, default=CHANNELS, help="channels of the latents")
    parser.add_argument("--autoencoder-widths", type=int, nargs=4, default=[*WIDTHS])
    return parser.parse_args()


def check(options: argparse.Namespace) -> None:
    """Say now what would otherwise stop the second phase, after an hour of the first.

    Raises
    ------
    ArgumentError
        If there are no such networks.
    TrainingError
        If the weights to start from are of other networks.
    """
    if options.batch < 2:
        raise ArgumentError("--batch", options.batch, "2 or more: how samples differ is looked at")
    for name in ("channels", "autoencoder_widths"):
        given = getattr(options, name)
        if any(number < 1 for number in (given if isinstance(given, list) else [given])):
            raise ArgumentError(f"--{name.replace('_', '-')}", given, "1 or more")
    if options.init is not None:
        autoencoder = Autoencoder(options.channels, options.autoencoder_widths)
        start_from(options.init, autoencoder, "autoencoder.")
        generator = Generator(options.channels, options.size // COMPRESSION)
        start_from(options.init, generator, "generator.")


def main() -> None:
    """Train the autoencoder, then the GAN of its latents."""
    options = read_arguments()
    device = prepare_device(options)
    first = argparse.Namespace(
        **vars(options) | {"steps": options.autoencoder_steps, "batch": options.autoencoder_batch}
    )
    plans = schedule(options, "autoencoder_"), schedule(options)
    check(options)
    pairs, val = (read_pairs(options.data, side, options.size) for side in ("train", "val"))

    sources = {
        "data": hash_arrays(pairs, val),
        "init": options.init and hash_file(options.init),
    }

    def settings(*names: str) -> dict[str, object]:
        shared = ("seed", "size", "channels", "precision", "autoencoder_widths")
        return {name: getattr(options, name) for name in (*shared, *names)} | sources

    autoencoder = Phase(
        name="autoencoder",
        schedule=plans[0],
        settings=settings("autoencoder_batch", "pixels_first"),
        begin=lambda: AutoencoderTrainee(pairs, val, first, device),
        networks=[Autoencoder(options.channels, options.autoencoder_widths)],
    )
    side = options.size // COMPRESSION
    gan = Phase(
        name="gan",
        schedule=plans[1],
        settings=settings("batch"),
        begin=lambda: GanTrainee(pairs, val, options, device),
        networks=[Generator(options.channels, side), Discriminator(options.channels, side)],
    )
    train_in_turn(options.out, [autoencoder, gan])
    write_file(options.out / WEIGHTS, (options.out / "gan" / WEIGHTS).read_bytes())
    describe_training(replace(SUBJECT, size=options.size), options)


if __name__ == "__main__":
    run_script(main)
