"""Train a conditional GAN on a folder of images: ``python train.py --data FOLDER --out FOLDER``.

FOLDER holds ``images/NAME.png``, for ``--masks`` also ``masks/NAME.png`` (0 / 255), ``labels.csv``
and the split files that ``prepare_data.py`` writes. ``--conditions label view`` names the columns
of labels.csv that samples can be asked for; without it the model has no classes, and needs no
labels.csv.

The command writes checkpoints, losses, the Frechet distance to the val split and sample sheets
while it runs; the same command again goes on from the last checkpoint. It ends with
``weights.safetensors``, the averaged weights of the step that was best on val, in half precision,
and with a model card of them, measured on val.

``--loss`` chooses among those of ``losses.py``. ``--init`` takes ``weights.safetensors`` of an
earlier training, or its ``checkpoint.pt`` for the discriminator too, and goes on with your images.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from evaluate import SUBJECT
from losses import LOSSES
from training import Training

from medmint.errors import ArgumentError
from medmint.model_trainer import (
    TrainingImages,
    condition_values,
    hash_arrays,
    read_images,
    run_script,
    schedule,
    train,
    training_parser,
)
from medmint.model_trainer.judging import describe_training
from medmint.packages.package import hash_file


def _check(options: argparse.Namespace) -> None:
    """Refuse numbers that no training can use."""
    for name in ("width", "rate"):
        if not 0 < (value := getattr(options, name)) < np.inf:
            raise ArgumentError(f"--{name}", value, "a number above 0")
    if options.label_smoothing >= 1:
        raise ArgumentError("--label-smoothing", options.label_smoothing, "a share below 1")
    for name in ("label_smoothing", "feature_matching", "mode_seeking", "real_penalty"):
        if not 0 <= (value := getattr(options, name)) < np.inf:
            raise ArgumentError(f"--{name.replace('_', '-')}", value, "0 or more")
    if not 0 <= options.averaging < 1:
        raise ArgumentError("--averaging", options.averaging, "0 or more and below 1")
    if options.batch % 2:
        raise ArgumentError("--batch", options.batch, "an even number: samples come in pairs")
    if options.autoencoder is not None and options.init is not None:
        raise ArgumentError("--init", "with --autoencoder", "one of the two: it has its own")
    if options.label_smoothing and not LOSSES[options.loss].smooths:
        smoothing = ", ".join(name for name, loss in LOSSES.items() if loss.smooths)
        raise ArgumentError(
            "--label-smoothing",
            options.label_smoothing,
            f"0 with {options.loss}: only {smoothing} have labels to smooth",
        )


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = training_parser(__doc__, steps=8_000, batch=16, validate_every=250)
    parser.add_argument(
        "--size", type=int, default=128, choices=(16, 32, 64, 128), help="side in pixels"
    )
    parser.add_argument("--width", type=float, default=1.0, help="factor on feature maps")
    parser.add_argument("--autoencoder", type=Path, help="weights: learn latents, not pixels")
    parser.add_argument("--masks", action="store_true", help="learn the masks, too")
    parser.add_argument("--conditions", nargs="*", default=[], help="columns of labels.csv")
    parser.add_argument("--loss", default="dcgan", choices=tuple(LOSSES))
    parser.add_argument("--rate", type=float, default=2e-4, help="learning rate of the generator")
    parser.add_argument(
        "--averaging", type=float, default=0.998, help="share of the averaged weights that is kept"
    )
    parser.add_argument("--label-smoothing", type=float, default=0.0, help="share, such as 0.1")
    parser.add_argument("--feature-matching", type=float, default=0.0, help="weight, such as 1")
    parser.add_argument("--mode-seeking", type=float, default=1.0, help="weight; 0 for none")
    parser.add_argument("--real-penalty", type=float, default=0.1, help="weight of R1")
    parser.add_argument("--spectral", action="store_true", help="spectral normalisation")
    parser.add_argument(
        "--no-augment", dest="augment", action="store_false", help="no differentiable augmentation"
    )
    return parser.parse_args()


def main() -> None:
    """Train, validating and saving a checkpoint every so many steps."""
    options = parse_arguments()
    plan = schedule(options)
    _check(options)
    conditions = condition_values(options.data, options.conditions)

    def read(split: str) -> TrainingImages:
        return read_images(
            options.data,
            split,
            size=options.size,
            channels=1,
            with_masks=options.masks,
            conditions=conditions,
        )

    images, val = read("train"), read("val")
    training = Training(images, val, conditions, options)
    names = ("loss", "rate", "batch", "seed", "precision", "label_smoothing", "feature_matching")
    switches = ("averaging", "mode_seeking", "real_penalty", "spectral", "augment")
    settings = training.facts | {name: getattr(options, name) for name in (*names, *switches)}
    for name in ("autoencoder", "init"):
        path = getattr(options, name)
        settings[name] = path and hash_file(path)
    settings["data"] = hash_arrays(
        *(array for one in (images, val) for array in (one.images, one.masks, one.conditions))
    )
    train(training, options.out, plan, settings=settings)
    subject = replace(
        SUBJECT,
        size=options.size,
        with_masks=options.masks,
        conditions=conditions,
        predicted=next(iter(conditions), None),
    )
    describe_training(subject, options)


if __name__ == "__main__":
    run_script(main)
