"""Make the pictures of the documentation: ``python docs/make_pictures.py``."""

from __future__ import annotations

import io
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from medmint import Generators
from medmint.generation_request import GenerationRequest
from medmint.model_visualizer import ModelVisualizer
from medmint.model_visualizer.window import Window

FOLDER = Path(__file__).parent / "images"
SEED = 7


def save_small(figure: Figure, name: str) -> None:
    """Save a figure with 256 colours, which is enough for a page."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    Image.open(buffer).convert("RGB").quantize(256).save(FOLDER / name, optimize=True)


def window_of(generators: Generators, model: int) -> Figure:
    """Return the figure of the window, one slider moved."""
    visualizer = ModelVisualizer(generators.get_model_executor(model))
    explorer = visualizer.explorer(GenerationRequest.of(seed=SEED))
    explorer.begin()
    figure = Figure()
    FigureCanvasAgg(figure)
    window = Window(explorer, figure, folder=FOLDER)
    window.controls[explorer.view.groups[0].label].set_val(2)
    window.finish()
    window.close()
    return figure


def main() -> None:
    """Write all pictures."""
    FOLDER.mkdir(exist_ok=True)
    with Generators() as generators:
        save_small(window_of(generators, 10002), "window.png")
        save_small(generators.preview(10002, 12, seed=SEED), "grid.png")
        save_small(
            generators.preview(10002, 7, "traversal", SEED, slider_grouper=32), "traversal.png"
        )
        generators.preview(10002, 6, "interpolation", SEED, path=FOLDER / "interpolation.gif")


if __name__ == "__main__":
    main()
