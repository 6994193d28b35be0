"""Running a model: plan what a run depends on, then carry it out batch by batch."""

from medmint.model_executor.executor import ModelExecutor

__all__ = ["ModelExecutor"]
