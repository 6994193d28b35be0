"""Looking at a model: a window and a notebook to move through it, still pictures, one measure."""

from medmint.model_visualizer.visualizer import PREVIEWS, ModelVisualizer

__all__ = ["PREVIEWS", "ModelVisualizer"]
