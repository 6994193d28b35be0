"""Measure the window that ``visualize`` opens: time to redraw, and what a quick drag costs.

``python benchmarks/visualizer.py [--moves 30] [--repeats 20]`` prints, for reference model 10002 in
a window of 1200 x 800 pixels that is drawn without a display,

- the time from a move of a slider to the redrawn window, over that of the network alone, which is
  one call of the bare sampler in this process with as many threads,
- for many moves in quick succession, the time until the last position is shown, over that of two
  calls of the network.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from medmint import Generators
from medmint.generation_request import GenerationRequest
from medmint.model_visualizer import ModelVisualizer
from medmint.model_visualizer.window import POLL_MILLISECONDS, Window
from medmint.resources import template_folder
from medmint.samples import latent_vectors
from medmint.settings import usable_threads

MODEL = 10002
LATENT_SIZE = 128
REDRAW_LIMIT = 0.150
DRAG_LIMIT = 1.0


class IdleCanvas(FigureCanvasAgg):
    """Draws when it is told to, as the canvas of a window does once it is idle."""

    def draw_idle(self) -> None:
        """Leave the drawing for later."""


def bare_sampler() -> Any:
    """Load the reference package as medmint does, without medmint."""
    root = template_folder("fastgan_polyp")
    spec = importlib.util.spec_from_file_location(
        "bare_polyp", root / "__init__.py", submodule_search_locations=[str(root)]
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.load(str(root / "weights.safetensors"), "cpu")


def timed(function: Callable[..., object], *arguments: Any) -> float:
    """Return the seconds that a call takes."""
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def until_shown(window: Window, move: Callable[[], None]) -> None:
    """Move, then look at intervals of the window's timer whether the newest view is shown."""
    move()
    while window.explorer.drawn.view is not window.explorer.view:
        time.sleep(POLL_MILLISECONDS / 1000)
        window.poll()
    window.figure.canvas.draw()


def measure_redraws(window: Window, sampler: Any, repeats: int) -> tuple[list[float], list[float]]:
    """Return seconds of the network alone and of redraws, taken in alternation."""
    slider = window.controls[window.explorer.view.groups[0].label]
    network, redraw = [], []
    for repeat in range(repeats):
        latents, value = latent_vectors(repeat, 0, 1, LATENT_SIZE), 2.9 * np.sin(repeat + 1)
        network.append(timed(sampler.sample, latents))
        redraw.append(timed(until_shown, window, lambda value=value: slider.set_val(value)))
    return network, redraw


def measure_drags(window: Window, moves: int, repeats: int) -> list[float]:
    """Return seconds from the first of many quick moves until the last position is shown."""
    slider = window.controls[window.explorer.view.groups[0].label]

    def drag() -> None:
        for value in np.linspace(-3, 3, moves):
            slider.set_val(value)

    seconds = []
    for _ in range(repeats):
        until_shown(window, lambda: slider.set_val(-3))
        seconds.append(timed(until_shown, window, drag))
        if window.explorer.drawn.view.shifts[0] != slider.val:
            raise SystemExit("the last position is not what is shown")
    return seconds


def main() -> int:
    """Print the figures; return 1 if one is above its limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--moves", type=int, default=30)
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(usable_threads())
    with Generators() as generators, torch.inference_mode():
        visualizer = ModelVisualizer(generators.get_model_executor(MODEL))
        explorer = visualizer.explorer(GenerationRequest.of(seed=7))
        explorer.begin()
        figure = Figure()
        IdleCanvas(figure)
        window = Window(explorer, figure, folder=Path())
        figure.set_size_inches(12, 8)
        figure.canvas.draw()
        network, redraw = measure_redraws(window, bare_sampler(), options.repeats)
        drag = measure_drags(window, options.moves, options.repeats)
        window.close()
    alone = statistics.median(network)
    beyond, after = statistics.median(redraw) - alone, statistics.median(drag) - 2 * alone
    print(f"network alone: {alone * 1000:.0f} ms")
    print(
        f"redraw: {statistics.median(redraw) * 1000:.0f} ms, {beyond * 1000:.0f} ms beyond the "
        f"network (limit {REDRAW_LIMIT * 1000:.0f}), worst {max(redraw) * 1000:.0f} ms"
    )
    print(
        f"{options.moves} quick moves: last position shown after {statistics.median(drag):.2f} s, "
        f"{after:.2f} s beyond two draws (limit {DRAG_LIMIT:.1f}), worst {max(drag):.2f} s"
    )
    return int(beyond > REDRAW_LIMIT or after > DRAG_LIMIT)


if __name__ == "__main__":
    sys.exit(main())
