"""Measure what medmint adds to a model: time against a bare loop, and memory against count.

``python benchmarks/generation.py [--samples 2000] [--pairs 5]`` prints

- the cold start: from nothing to the first sample of reference model 10002,
- the time of ``generate`` over that of a loop that does the same work in one process (same
  network, batch size, thread count and PNG level), in memory and to disk, the worker being warm:
  the median of the pairs, which are run in alternation,
- the peak memory of 4,096 saved samples of 10001 over that of 512, owner and worker together.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from PIL import Image

from medmint import Generators
from medmint.model_executor.batch_size import LARGEST as BATCH_SIZE
from medmint.resources import template_folder
from medmint.samples import latent_vectors
from medmint.settings import usable_threads

MODEL = 10002
LATENT_SIZE = 128
PEAK_MEMORY = """
import resource, sys, tempfile
from medmint import Generators
with tempfile.TemporaryDirectory() as folder, Generators() as generators:
    generators.generate(10001, int(sys.argv[1]), folder, seed=1)
unit = 1 if sys.platform == "darwin" else 1024
who = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
print(sum(resource.getrusage(one).ru_maxrss for one in who) * unit)
"""


def load_template(name: str) -> ModuleType:
    """Import a reference package as medmint does, without medmint."""
    root = template_folder(name)
    spec = importlib.util.spec_from_file_location(
        f"bare_{name}", root / "__init__.py", submodule_search_locations=[str(root)]
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def bare_loop(sampler: Any, count: int, folder: Path | None) -> list[Any]:
    """Do what ``generate`` does, by hand, in this process."""
    samples = []
    for start in range(0, count, BATCH_SIZE):
        stop = min(start + BATCH_SIZE, count)
        with torch.inference_mode():
            outputs = sampler.sample(latent_vectors(7, start, stop, LATENT_SIZE))
        images = np.rint(np.moveaxis(outputs["image"], 1, -1) * 255).clip(0, 255).astype(np.uint8)
        for index, image, mask in zip(
            range(start, stop), images, outputs["mask"][:, 0], strict=True
        ):
            if folder is None:
                samples.append((image, mask))
                continue
            for name, array in (("images", image), ("masks", mask)):
                buffer = io.BytesIO()
                Image.fromarray(array).save(buffer, "png", compress_level=1)
                (folder / name / f"{index:06d}.png").write_bytes(buffer.getvalue())
    return samples


def timed(function: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def compare(generators: Generators, sampler: Any, count: int, *, to_disk: bool) -> float:
    """Return the time of ``generate`` over that of the bare loop, once each."""
    with tempfile.TemporaryDirectory() as ours, tempfile.TemporaryDirectory() as bare:
        for name in ("images", "masks"):
            (Path(bare) / name).mkdir()
        output = Path(ours) / "run" if to_disk else None
        alone = timed(lambda: bare_loop(sampler, count, Path(bare) if to_disk else None))
        through = timed(
            lambda: generators.generate(MODEL, count, output, save_images=to_disk, seed=7)
        )
    return through / alone


def peak_memory(count: int) -> int:
    """Return the peak memory in bytes of a fresh process that saves ``count`` samples."""
    command = [sys.executable, "-c", PEAK_MEMORY, str(count)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(usable_threads())
    with Generators() as generators:
        cold = timed(lambda: generators.generate(MODEL, 1, save_images=False, seed=7))
        warm = timed(lambda: generators.generate(MODEL, 1, save_images=False, seed=7))
        print(f"first sample: {cold:.2f} s cold, {warm:.3f} s warm")
        sampler = load_template("fastgan_polyp").load(
            str(template_folder("fastgan_polyp") / "weights.safetensors"), "cpu"
        )
        bare_loop(sampler, 64, None)
        for to_disk in (False, True):
            ratios = [
                compare(generators, sampler, options.samples, to_disk=to_disk)
                for _ in range(options.pairs)
            ]
            listed = ", ".join(f"{ratio:.3f}" for ratio in ratios)
            where = "to disk" if to_disk else "in memory"
            print(
                f"{options.samples} samples {where}: {statistics.median(ratios):.3f} x ({listed})"
            )
    small, large = peak_memory(512), peak_memory(4096)
    print(f"peak memory, 4096 over 512 samples of 10001: {large / small:.3f} x ({large >> 20} MB)")


if __name__ == "__main__":
    main()
