"""How the catalogue grows: construction, first and later searches, ranking, memory, reading a file.

Run from the root of the repository: ``python -m benchmarks.catalogue``. With ``--file`` it also
compares reading a file with ``json.load``. The models are those that ship, repeated with ids,
titles and FIDs of their own.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from medmint.config_manager import ConfigManager
from medmint.model_selector.selector import ModelSelector
from medmint.resources import config_file

SIZES = (25, 1_000, 10_000, 100_000)
#: The first is the first search; none of the later ones has been asked before.
QUERIES: tuple[tuple[Any, str], ...] = (
    ("mammography", "AND"),
    (["mammo", "mass"], "AND"),
    (["x-ray", "chest"], "AND"),
    (["dcgan", "chest"], "XOR"),
    ("magnetic resonance", "AND"),
    (["polyp", "brain", "lung"], "OR"),
    ("segmentation masks", "AND"),
    ([128, "calcification"], "AND"),
    ("endoscpy", "AND"),
)


def make(count: int) -> dict[str, Any]:
    """Return a catalogue of ``count`` models that share no object with each other."""
    shipped = json.loads(config_file("global.json").read_text(encoding="utf-8"))
    texts = [json.dumps(record) for record in shipped.values()]
    catalogue = {}
    for number in range(count):
        record = json.loads(texts[number % len(texts)])
        record["selection"]["performance"]["FID"] = 20 + number % 1_000 / 7
        record["description"]["title"] += f", variant {number}"
        catalogue[f"{number:05}_MODEL_{number}"] = record
    return catalogue


def seconds(action: Callable[[], Any]) -> float:
    """Return how long an action takes, in seconds."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def measure(catalogue: dict[str, Any]) -> str:
    """Return one line of the table."""
    gc.collect()
    before = psutil.Process().memory_info().rss
    manager = ConfigManager(catalogue)
    construct = seconds(lambda: manager.model_ids)
    selector = ModelSelector(manager)
    first, *later = [
        seconds(partial(selector.find_models, values, operator)) for values, operator in QUERIES
    ]
    extra = psutil.Process().memory_info().rss - before
    ranked = seconds(lambda: selector.rank_models("FID"))
    seconds(lambda: selector.find_models(height=128, fid__lt=100))
    filtered = seconds(lambda: selector.find_models(height=256, fid__lt=90))
    return (
        f"| {len(catalogue):>7,} | {construct:.3f} | {first:.3f} "
        f"| {statistics.median(later) * 1e3:.2f} | {max(later) * 1e3:.2f} "
        f"| {filtered * 1e3:.2f} | {ranked:.3f} | {extra / 2**20:.0f} |"
    )


def compare_reading(catalogue: dict[str, Any]) -> str:
    """Return how long reading a file takes against ``json.load``, median of three pairs."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "catalogue.json"
        path.write_text(json.dumps(catalogue), encoding="utf-8")
        pairs = [
            (
                seconds(lambda: json.loads(path.read_text(encoding="utf-8"))),
                seconds(lambda: ConfigManager(path).model_ids),
            )
            for _ in range(3)
        ]
    plain, ours = (statistics.median(column) for column in zip(*pairs, strict=True))
    return f"{len(catalogue):,} models: json.load {plain:.2f} s, medmint {ours:.2f} s"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file", action="store_true", help="also compare reading a file")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    options = parser.parse_args()
    print(
        "| models | construct, s | first search, s | later, median, ms | later, worst, ms ", end=""
    )
    print("| filters, ms | rank, s | memory beyond the dict, MB |")
    print("|---:" * 8 + "|")
    for size in options.sizes:
        print(measure(make(size)), flush=True)
    if options.file:
        print(compare_reading(make(max(options.sizes))))


if __name__ == "__main__":
    main()
