"""Measure the model on real images: ``python evaluate.py --data FOLDER --split test --out judged``.

Writes numbers, a sheet of samples and the model card. ``--against ../latent_ddpm_chest_xray``
compares with the diffusion model that was trained on the same images.
"""

from __future__ import annotations

from pathlib import Path

from medmint.model_trainer import run_script
from medmint.model_trainer.judging import Effort, Subject, evaluate_package, judging_parser

SUBJECT = Subject(
    folder=Path(__file__).resolve().parent,
    size=128,
    conditions={"label": ("no_finding", "pneumonia"), "view": ("AP", "PA")},
    predicted="label",
    most_seconds=1.0,
    effort=Effort(pairs=2_000),
)


def main() -> None:
    """Measure what the command line asks for, and write the card."""
    evaluate_package(SUBJECT, judging_parser(SUBJECT, __doc__).parse_args())


if __name__ == "__main__":
    run_script(main)
