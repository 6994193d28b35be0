"""Builders of tiny packages that do one odd thing each."""

import json
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

from medmint.resources import template_folder

GREY = {"dtype": "uint8", "channels": 1, "spatial_dims": 2, "value_range": [0, 255]}

_SAMPLER = """
import os
import sys
import numpy as np
{at_import}

class Sampler:
    def sample(self, latents, condition=None, **options):
        num_samples = len(latents)
        images = 1 / (1 + np.exp(-latents[:, :1, None, None] * np.ones((1, 1, 4, 4))))
{in_call}
        return {result}

def load(weights=None, device="cpu"):
    return Sampler()
"""
_GENERATE = """
import os
import sys
import numpy as np
{at_import}

def generate(model_file, num_samples, output_path, save_images, **options):
    images = [np.random.randint(0, 256, (4, 4)).astype(np.uint8) for _ in range(num_samples)]
{in_call}
    return {result}
"""
_RESULTS = {"sampler": '{"image": images}', "generate": "images"}


def write_package(
    folder: Path,
    *,
    contract: str = "sampler",
    number: int = 90100,
    at_import: str = "",
    in_call: str = "",
    result: str | None = None,
    options: dict[str, Any] | None = None,
) -> Path:
    """Write a package of 4 x 4 images that runs the given lines, and return its folder.

    ``in_call`` sees ``images`` and ``num_samples``; ``result`` is the expression that is returned.
    """
    folder.mkdir(parents=True, exist_ok=True)
    frame, depth = (_SAMPLER, 8) if contract == "sampler" else (_GENERATE, 4)
    code = frame.format(
        at_import=dedent(at_import),
        in_call=indent(dedent(in_call), depth * " "),
        result=result or _RESULTS[contract],
    )
    (folder / "__init__.py").write_text(code, encoding="utf-8")
    record = _record(contract, options or {}, folder)
    (folder / "metadata.json").write_text(json.dumps({f"{number}_ODD": record}), encoding="utf-8")
    return folder


def pid_package(folder: Path, **arguments: Any) -> Path:
    """Write a package whose samples carry the id of the process that made them as label."""
    result = "[(image, os.getpid()) for image in images]"
    return write_package(folder, contract="generate", result=result, **arguments)


def catalogue_of(*folders: Path) -> dict[str, Any]:
    """Return a private catalogue of package folders, used where they are."""
    catalogue: dict[str, Any] = {}
    for folder in folders:
        catalogue |= json.loads((folder / "metadata.json").read_text(encoding="utf-8"))
    return catalogue


def _record(contract: str, options: dict[str, Any], folder: Path) -> dict[str, Any]:
    name = "minimal" if contract == "sampler" else "minimal_generate"
    text = (template_folder(name) / "metadata.json").read_text(encoding="utf-8")
    record: dict[str, Any] = next(iter(json.loads(text).values()))
    record["execution"] |= {
        "package_link": str(folder),
        "model_name": "",
        "extension": "",
        "dependencies": [],
        "image_size": [4, 4],
        "output": {"image": GREY},
    }
    record["execution"]["generate_method"]["args"]["custom"] = options
    record["description"]["parameters"] = []
    return record
