"""Measure the model against real frames: ``python evaluate.py --data FOLDER --split test``.

Writes numbers.json, samples.png and MODEL_CARD.md into ``--out``.
"""

from __future__ import annotations

from pathlib import Path

from medmint.model_trainer import run_script
from medmint.model_trainer.judging import Subject, evaluate_package, judging_parser

SUBJECT = Subject(folder=Path(__file__).resolve().parent, size=128, channels=3, with_masks=True)


def main() -> None:
    """Write numbers.json, samples.png and MODEL_CARD.md."""
    evaluate_package(SUBJECT, judging_parser(SUBJECT, __doc__).parse_args())


if __name__ == "__main__":
    run_script(main)
