"""Measuring a model that was trained here, and the card that says what was found."""

from medmint.model_trainer.judging.card import OwnTraining, Texts, read_texts, write_card
from medmint.model_trainer.judging.evaluation import (
    card_of_training,
    describe_training,
    evaluate_package,
    judge,
    judging_parser,
)
from medmint.model_trainer.judging.evidence import Effort, Evidence, Subject
from medmint.model_trainer.judging.model import Model, Samples
from medmint.model_trainer.judging.numbers import (
    Goal,
    Measured,
    Numbers,
    Section,
    Table,
    mean_interval,
)
from medmint.model_trainer.judging.own_record import record_of_training
from medmint.model_trainer.judging.reconstruction import reconstruction
from medmint.model_trainer.judging.rivals import paired, trade_off

__all__ = [
    "Effort",
    "Evidence",
    "Goal",
    "Measured",
    "Model",
    "Numbers",
    "OwnTraining",
    "Samples",
    "Section",
    "Subject",
    "Table",
    "Texts",
    "card_of_training",
    "describe_training",
    "evaluate_package",
    "judge",
    "judging_parser",
    "mean_interval",
    "paired",
    "read_texts",
    "reconstruction",
    "record_of_training",
    "trade_off",
    "write_card",
]
