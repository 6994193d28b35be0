"""Train the latent diffusion model: ``python train.py --data FOLDER --out FOLDER``.

FOLDER holds ``images/NAME.png`` (grey), ``labels.csv`` and the split files that
``prepare_data.py`` writes. ``--conditions label view`` names the columns that samples can be
asked for; without it the model has no classes. First the autoencoder is trained in
``OUT/autoencoder``, then the U-Net in ``OUT/diffusion``, each with losses, val metrics and sheets
written while it runs; the same command again goes on from the last checkpoint. Last, the noise gain
of the sampling is chosen on the val split (``OUT/noise_gain.csv``). The end is
``OUT/weights.safetensors``, averaged weights of the step whose samples were nearest to the val
split, in half precision, with that gain, and a model card with what they measure on val.
``--init weights.safetensors`` starts both phases from trained weights, to go on with other images.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from pathlib import Path

from evaluate import SUBJECT
from network import AUTOENCODER_WIDTHS, COMPRESSION, UNET_WIDTHS
from phases import AutoencoderTrainee, DiffusionTrainee, new_model, told

from medmint.errors import ArgumentError
from medmint.home import write_file
from medmint.model_trainer import (
    Phase,
    condition_values,
    hash_arrays,
    prepare_device,
    read_images,
    run_script,
    save_weights,
    schedule,
    start_from,
    train_in_turn,
    training_parser,
)
from medmint.model_trainer.judging import describe_training
from medmint.model_trainer.run import WEIGHTS
from medmint.packages.package import hash_file


def read_arguments() -> argparse.Namespace:
    """Read the command line; ``--steps`` and ``--batch`` are those of the diffusion."""
    parser = training_parser(__doc__, steps=15_000, batch=32)
    parser.add_argument(
        "--autoencoder-steps", type=int, default=3_600, help="steps of the first phase"
    )
    parser.add_argument("--autoencoder-batch", type=int, default=8, help="images of its steps")
    parser.add_argument(
        "--pixels-first", type=int, default=900, help="steps before the discriminator is heard"
    )
    parser.add_argument("--conditions", nargs="*", default=[], help="columns of labels.csv")
    parser.add_argument("--size", type=int, default=128, help="side of the images in pixels")
    parser.add_argument("--channels", type=int, default=4, help="channels of the latents")
    parser.add_argument("--autoencoder-widths", type=int, nargs=4, default=[*AUTOENCODER_WIDTHS])
    parser.add_argument("--unet-widths", type=int, nargs=3, default=[*UNET_WIDTHS])
    parser.add_argument("--rate", type=float, default=5e-4, help="learning rate of the diffusion")
    parser.add_argument(
        "--squared-from",
        type=int,
        default=12_000,
        help="step from which squares replace absolute values in the diffusion's loss",
    )
    parser.add_argument("--averaging", type=float, default=0.999)
    return parser.parse_args()


def check(options: argparse.Namespace) -> None:
    """Say now what would otherwise stop the second phase, after hours of the first.

    Raises
    ------
    ArgumentError
        If images or channels cannot be halved as often as the networks do.
    TrainingError
        If the weights to start from are of other networks.
    """
    if options.size < 4 * COMPRESSION or options.size % (4 * COMPRESSION):
        raise ArgumentError("--size", options.size, f"a multiple of {4 * COMPRESSION}")
    for name in ("channels", "autoencoder_widths", "unet_widths"):
        given = getattr(options, name)
        # Sines and heads of attention come in groups of four.
        step = 4 if name == "unet_widths" else 1
        if any(n < 1 or n % step for n in (given if isinstance(given, list) else [given])):
            raise ArgumentError(
                f"--{name.replace('_', '-')}", given, f"positive multiples of {step}"
            )
    if not 0 < options.rate < math.inf:
        raise ArgumentError("--rate", options.rate, "a number above 0")
    if not 0 <= options.averaging < 1:
        raise ArgumentError("--averaging", options.averaging, "0 or more and below 1")
    if options.init is not None:
        told(options.init)
        model = new_model(options)
        start_from(options.init, model.autoencoder, "autoencoder.")
        start_from(options.init, model.unet, "unet.")


def finish(diffusion: DiffusionTrainee, out: Path) -> None:
    """Write the weights of the best step with the noise gain that suits them."""
    distances = diffusion.choose_noise_gain(out / "diffusion" / WEIGHTS)
    rows = [f"{gain:g},{distance:.6g}" for gain, distance in distances.items()]
    table = "\n".join(["noise_gain,val_frechet_distance", *rows, ""])
    write_file(out / "noise_gain.csv", table.encode())
    save_weights(out / WEIGHTS, *diffusion.weights())


def main() -> None:
    """Train the autoencoder, then the diffusion of its latents."""
    options = read_arguments()
    device = prepare_device(options)
    options.values = condition_values(options.data, options.conditions)
    first = argparse.Namespace(
        **vars(options) | {"steps": options.autoencoder_steps, "batch": options.autoencoder_batch}
    )
    plans = schedule(options, "autoencoder_"), schedule(options)
    check(options)
    images, val = (
        read_images(options.data, side, size=options.size, channels=1, conditions=options.values)
        for side in ("train", "val")
    )

    sources = {
        "data": hash_arrays(images.images, val.images),
        "init": options.init and hash_file(options.init),
    }

    def settings(*names: str) -> dict[str, object]:
        shared = ("seed", "size", "channels", "precision", "autoencoder_widths")
        return {name: getattr(options, name) for name in (*shared, *names)} | sources

    model = new_model(options)
    autoencoder = Phase(
        name="autoencoder",
        schedule=plans[0],
        settings=settings("autoencoder_batch", "pixels_first"),
        begin=lambda: AutoencoderTrainee(images.images, val.images, first, device),
        networks=[model.autoencoder],
    )
    names = ("batch", "unet_widths", "rate", "averaging", "values", "squared_from")
    conditions = hash_arrays(images.conditions, val.conditions)
    diffusion = Phase(
        name="diffusion",
        schedule=plans[1],
        settings=settings(*names) | {"conditions": conditions},
        begin=lambda: DiffusionTrainee(images, val, options, device),
        networks=[model.unet, model.classes],
    )
    finish(train_in_turn(options.out, [autoencoder, diffusion]), options.out)
    subject = replace(
        SUBJECT,
        size=options.size,
        conditions=options.values,
        predicted=next(iter(options.values), None),
    )
    describe_training(subject, options)


if __name__ == "__main__":
    run_script(main)
