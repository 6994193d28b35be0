"""What the training scripts of model packages share: folders, checkpoints, augmentation, numbers.

A script holds the networks' step; `train` does the rest. See ``templates/*/train.py``.
"""

from medmint.model_trainer.augmentation import augment
from medmint.model_trainer.averaging import Average
from medmint.model_trainer.data_facts import hash_arrays
from medmint.model_trainer.folder import TrainingImages, read_images
from medmint.model_trainer.labels import condition_values
from medmint.model_trainer.options import (
    autocast,
    prepare_device,
    run_script,
    schedule,
    training_parser,
)
from medmint.model_trainer.phases import Phase, train_in_turn
from medmint.model_trainer.run import Schedule, Trainee, random_numbers, train
from medmint.model_trainer.weights import save_weights, start_from

__all__ = [
    "Average",
    "Phase",
    "Schedule",
    "Trainee",
    "TrainingImages",
    "augment",
    "autocast",
    "condition_values",
    "hash_arrays",
    "prepare_device",
    "random_numbers",
    "read_images",
    "run_script",
    "save_weights",
    "schedule",
    "start_from",
    "train",
    "train_in_turn",
    "training_parser",
]
