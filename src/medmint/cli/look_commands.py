"""The commands that show what a model draws."""

from __future__ import annotations

import argparse

from medmint import Generators


def run_preview(generators: Generators, options: argparse.Namespace) -> None:
    """Save a picture of samples, of the way between two, of each latent group or class."""
    generators.preview(
        options.model,
        options.n,
        options.kind,
        options.seed,
        path=options.output,
        slider_grouper=options.slider_grouper,
    )
    print(f"saved {options.output}")


def run_visualize(generators: Generators, options: argparse.Namespace) -> None:
    """Open a window with sliders over the latent space; Save writes to the working directory."""
    generators.visualize(options.model, options.slider_grouper, seed=options.seed)


def add_preview_arguments(command: argparse.ArgumentParser) -> None:
    """Describe the arguments of ``medmint preview``."""
    add = command.add_argument
    add("-n", type=int, default=16, help="pictures, or pictures in each row or column (16)")
    add("--kind", default="grid", help="grid, interpolation, traversal or conditions")
    add(
        "--output",
        default="preview.png",
        metavar="FILE",
        help="picture (preview.png); an interpolation that ends with .gif or .apng moves",
    )
    _add_shared(command)


def add_visualize_arguments(command: argparse.ArgumentParser) -> None:
    """Describe the arguments of ``medmint visualize``."""
    _add_shared(command)


def _add_shared(command: argparse.ArgumentParser) -> None:
    command.add_argument("--seed", type=int, help="seed of the samples")
    command.add_argument(
        "--slider-grouper",
        type=int,
        default=10,
        metavar="N",
        help="latent variables of a slider or row (10)",
    )
