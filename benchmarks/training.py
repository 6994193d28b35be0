"""Measure what the training loader adds to the network that makes its samples.

``python benchmarks/training.py [--samples 256] [--pairs 5]`` prints, for reference model 10002 in
batches of 32 without loader processes, the worker being warm and with as many threads as the bare
network,

- the time to the first batch over that of two batches of the bare network,
- the throughput of the loader over that of the bare network in a loop: the median of the pairs,
  which are run in alternation. The bare loop draws latent vectors and runs the network; the loader
  gives collated batches of uint8 images and masks,
- the same with ``prefetch_factor=0``, for what working ahead is worth,
- the peak memory of this process and of its worker after 8,192 samples of an epoch over that after
  256.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import torch

from medmint import Generators
from medmint.packages.workers.variables import worker_environment
from medmint.resources import template_folder
from medmint.samples import latent_vectors
from medmint.settings import usable_threads
from medmint.synthetic_dataset import SyntheticDataset

MODEL, BATCH, LATENT_SIZE = 10002, 32, 128


def load_network() -> Any:
    """Load the network as the worker does, in this process."""
    root = template_folder("fastgan_polyp")
    spec = importlib.util.spec_from_file_location(
        "bare_network", root / "__init__.py", submodule_search_locations=[str(root)]
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.load(str(root / "weights.safetensors"), "cpu")


def bare_loop(sampler: Any, count: int) -> None:
    """Run the network batch after batch, and do nothing with what it gives."""
    for start in range(0, count, BATCH):
        with torch.inference_mode():
            sampler.sample(latent_vectors(7, start, min(start + BATCH, count), LATENT_SIZE))


def timed(function: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def loop(generators: Generators, dataset: SyntheticDataset, **arguments: Any) -> None:
    """Load an epoch."""
    for _ in generators.get_as_torch_dataloader(dataset, batch_size=BATCH, **arguments):
        pass


def throughput(
    generators: Generators, sampler: Any, dataset: SyntheticDataset, pairs: int, **arguments: Any
) -> str:
    """Return the throughput of the loader over that of the network, as a median of pairs."""
    ratios = []
    for _ in range(pairs):
        bare = timed(lambda: bare_loop(sampler, len(dataset)))
        ratios.append(bare / timed(lambda: loop(generators, dataset, **arguments)))
    listed = ", ".join(f"{ratio:.3f}" for ratio in ratios)
    return f"{statistics.median(ratios):.3f} x ({listed})"


def first_batch(generators: Generators, sampler: Any, dataset: SyntheticDataset) -> float:
    """Return the time to a first batch over that of two batches of the network."""
    bare = timed(lambda: bare_loop(sampler, 2 * BATCH))
    batches = iter(generators.get_as_torch_dataloader(dataset, batch_size=BATCH))
    ratio = timed(lambda: next(batches)) / bare
    for _ in batches:
        pass
    return ratio


def peak_memory(few: int, many: int) -> list[tuple[int, int]]:
    """Return the peak memory in bytes, of this process and of the worker, when few and many came.

    Read after every batch, while the worker makes the next.
    """
    owner = psutil.Process()
    peaks, found = [0, 0], []
    with Generators() as generators:
        loader = generators.get_as_torch_dataloader(
            model_id=MODEL, num_samples=many, batch_size=BATCH, shuffle=True, seed=7, device="cpu"
        )
        for number, _ in enumerate(loader, 1):
            (worker,) = owner.children()
            sizes = [process.memory_info().rss for process in (owner, worker)]
            peaks = [max(pair) for pair in zip(peaks, sizes, strict=True)]
            if number * BATCH in (few, many):
                found.append((peaks[0], peaks[1]))
    return found


def with_memory_settings_of_a_worker() -> None:
    """Start this process anew unless its allocator is set as that of a worker is.

    Otherwise the bare network would lose time that has nothing to do with loading.
    """
    wanted = worker_environment({}, Path())
    settings = {name: value for name, value in wanted.items() if name.startswith("MALLOC_")}
    if not settings.keys() <= os.environ.keys():
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | settings)


def main() -> None:
    """Print the figures."""
    with_memory_settings_of_a_worker()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=256)
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(usable_threads())
    sampler = load_network()
    with Generators() as generators:
        dataset = generators.get_as_torch_dataset(MODEL, options.samples, seed=7, device="cpu")
        bare_loop(sampler, 2 * BATCH)
        loop(generators, dataset)
        firsts = [first_batch(generators, sampler, dataset) for _ in range(options.pairs)]
        listed = ", ".join(f"{ratio:.3f}" for ratio in firsts)
        print(f"first batch over two of the network: {statistics.median(firsts):.3f} x ({listed})")
        pairs = options.pairs
        print(f"throughput, {options.samples} samples over the network alone:")
        print("  prefetch   ", throughput(generators, sampler, dataset, pairs))
        print("  no prefetch", throughput(generators, sampler, dataset, pairs, prefetch_factor=0))
    few, many = peak_memory(256, 8192)
    for name, small, large in zip(("owner", "worker"), few, many, strict=True):
        print(f"peak memory of the {name}, 8192 over 256 samples: ", end="")
        print(f"{large / small:.3f} x ({small >> 20} MB, {large >> 20} MB)")


if __name__ == "__main__":
    main()
