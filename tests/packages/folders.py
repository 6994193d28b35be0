"""Packages as contributors have them on disk, before anything was said of them."""

from pathlib import Path

import numpy as np

from medmint.errors import MedmintError
from medmint.model_contributor import copy_template

PLAIN_ID = "90031_TEST_GAN_PLAIN"

_WITH_NUMPY = """
import numpy as np


def generate(model_file, num_samples, output_path, save_images, steepness=1.0):
    patterns = np.load(model_file)["patterns"]
    mixed = np.random.randn(num_samples, len(patterns)) @ patterns
    pixels = 255 / (1 + np.exp(-steepness * mixed))
    return list(pixels.round().astype(np.uint8).reshape(-1, 16, 16))
"""
_WITH_TORCH = """
import numpy as np
import torch


def generate(model_file, num_samples, output_path, save_images, steepness=1.0):
    patterns = torch.load(model_file, map_location="cpu", weights_only=True)["patterns"]
    pixels = torch.sigmoid(steepness * (torch.randn(num_samples, len(patterns)) @ patterns)) * 255
    return list(pixels.round().byte().reshape(-1, 16, 16).numpy())
"""


def plain_package(folder: Path, *, with_torch: bool = False) -> Path:
    """Write a package of the generate contract: code, weights, licence, and no record.

    The weights are ``my_weights.npz``, or ``my_weights.pt`` with PyTorch.
    """
    folder.mkdir(parents=True)
    code = _WITH_TORCH if with_torch else _WITH_NUMPY
    (folder / "__init__.py").write_text(code, encoding="utf-8")
    (folder / "LICENSE").write_text("MIT License\n\nCopyright (c) Jane Doe\n", encoding="utf-8")
    patterns = np.random.default_rng(1).standard_normal((4, 256)).astype(np.float32)
    if with_torch:
        import torch

        torch.save({"patterns": torch.from_numpy(patterns)}, folder / "my_weights.pt")
    else:
        np.savez(folder / "my_weights.npz", patterns=patterns)
    return folder


def sampler_package(folder: Path, model_id: str = "90030_TEST_SAMPLER", name: str = "minimal"):
    """Copy a reference package under a new id."""
    copy_template(name, folder, taken=[], model_id=model_id)
    return folder


def attempt(generators, folder, **arguments):
    """Contribute without a network; return the last step that was begun, and the error or None."""
    steps = ["id"]
    arguments = {"model_id": None, "dry_run": True, **arguments}
    output = folder.parent / f"{folder.name}-out"
    try:
        generators.contribute(
            init_py_path=folder, output_path=output, tell=steps.append, **arguments
        )
    except MedmintError as error:
        return steps[-1], error
    return steps[-1], None
