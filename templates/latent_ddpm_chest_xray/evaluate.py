"""Measure the model on real images: ``python evaluate.py --data FOLDER --split test --out judged``.

Writes numbers, a sheet of samples and the model card. ``--only options`` measures the sampling
options alone. ``--against ../cgan_chest_xray`` compares with the GAN that was trained on the same
images.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medmint.model_trainer import run_script
from medmint.model_trainer.judging import (
    Effort,
    Evidence,
    Section,
    Subject,
    evaluate_package,
    judging_parser,
    reconstruction,
    trade_off,
)

#: Each number of steps, then other guidances than 1, then plain DDIM, all else being the default.
SETTINGS = (
    *({"steps": steps} for steps in (10, 25, 50, 150)),
    *({"steps": 50, "guidance": guidance} for guidance in (1.5, 2.0, 3.0)),
    {"steps": 50, "noise_gain": 1.0},
)


def autoencoder(evidence: Evidence) -> Section:
    """Measure what is lost on the way to latents and back."""
    sampler = evidence.model.sampler

    def reconstruct(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.concatenate([sampler.reconstruct(images[i : i + 1]) for i in range(len(images))])

    return reconstruction(
        evidence,
        reconstruct,
        note="Images of 128 pixels, not of 256 or 512 as in Medfusion's tables.",
    )


def options(evidence: Evidence) -> Section:
    """Measure quality against time for steps, guidance and noise gain."""
    return trade_off(evidence, SETTINGS, count=121, draws=1)


SUBJECT = Subject(
    folder=Path(__file__).resolve().parent,
    size=128,
    conditions={"label": ("no_finding", "pneumonia"), "view": ("AP", "PA")},
    predicted="label",
    most_seconds=5.0,
    effort=Effort(pairs=2_000),
    sections={"autoencoder": autoencoder, "options": options},
)


def main() -> None:
    """Measure what the command line asks for, and write the card."""
    evaluate_package(SUBJECT, judging_parser(SUBJECT, __doc__).parse_args())


if __name__ == "__main__":
    run_script(main)
