"""A package of the published kind, which reads 50 MB of weights at each call, against a plain loop.

Run from the root of the repository: ``python -m benchmarks.published_package [--pairs 5]``. It
prints the time of a loop that calls the package's function in batches of 32 over that of
``generate`` with a warm worker, both writing PNG files, and the peak memory of owner and worker
for 2,048 samples over that for 512.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

GOAL = 1.25
MODEL_ID = "90300_DCGAN"
CODE = """
import torch
from torch import nn

class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        layers, widths = [], [100, 1024, 256, 64, 16]
        for i, (n_in, n_out) in enumerate(zip(widths, widths[1:])):
            layers += [nn.ConvTranspose2d(n_in, n_out, 4, 2 if i else 1, 1 if i else 0, bias=False)]
            layers += [nn.BatchNorm2d(n_out), nn.ReLU()]
        self.net = nn.Sequential(*layers, nn.ConvTranspose2d(16, 1, 4, 2, 1), nn.Tanh())
        # Published files hold more than the generator uses.
        self.discriminator = nn.Linear(2560, 2560)

    def forward(self, z):
        return self.net(z)

def generate(model_file, num_samples, output_path, save_images):
    model = Generator()
    model.load_state_dict(torch.load(model_file, map_location="cpu"))
    model.eval()
    images = model(torch.randn(num_samples, 100, 1, 1))
    return list(((images[:, 0].detach() + 1) * 127.5).round().byte().numpy())
"""
MEASURE = """
import sys, threading, time
import psutil
from pathlib import Path
from medmint import Generators
catalogue, folder, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
peak, over = 0, threading.Event()

def watch():
    global peak
    me = psutil.Process()
    while not over.wait(0.02):
        used = 0
        for one in [me, *me.children(recursive=True)]:
            try:
                used += one.memory_info().rss
            except psutil.Error:
                pass
        peak = max(peak, used)

with Generators(catalogue=catalogue) as generators:
    watcher = threading.Thread(target=watch)
    watcher.start()
    generators.generate(90300, count, folder, seed=1, device="cpu")
    over.set()
    watcher.join()
print(peak)
"""


def main() -> None:
    """Build the package, then measure time and memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=512)
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        package = build(folder / "package")
        catalogue = folder / "catalogue.json"
        catalogue.write_text(json.dumps(record(package)), encoding="utf-8")
        compare_times(catalogue, package, folder, options)
        peaks = []
        for count in (512, 2048):
            out = str(folder / f"memory{count}")
            command = [sys.executable, "-c", MEASURE, str(catalogue), out, str(count)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            peaks.append(int(done.stdout))
        few, many = (f"{peak / 1e6:.0f} MB" for peak in peaks)
        print(f"peak memory {few} for 512 samples, {many} for 2,048: {peaks[1] / peaks[0]:.3f}")


def build(folder: Path) -> Path:
    """Write the package with its weights."""
    import torch

    folder.mkdir()
    (folder / "__init__.py").write_text(CODE, encoding="utf-8")
    torch.manual_seed(0)
    names: dict[str, Any] = {}
    exec(CODE, names)  # the network is defined in the package alone
    torch.save(names["Generator"]().state_dict(), folder / "weights.pt")
    return folder


def record(package: Path) -> dict[str, Any]:
    """Return a private catalogue with the package in it."""
    from medmint.resources import template_folder

    text = (template_folder("minimal_generate") / "metadata.json").read_text(encoding="utf-8")
    entry: dict[str, Any] = next(iter(json.loads(text).values()))
    image = {"dtype": "uint8", "channels": 1, "spatial_dims": 2, "value_range": [0, 255]}
    entry["execution"] |= {
        "package_link": str(package),
        "model_name": "weights",
        "extension": ".pt",
        "dependencies": ["numpy", "torch"],
        "image_size": [64, 64],
        "output": {"image": image},
    }
    entry["execution"]["generate_method"]["args"]["custom"] = {}
    entry["description"]["parameters"] = []
    return {MODEL_ID: entry}


def compare_times(
    catalogue: Path, package: Path, folder: Path, options: argparse.Namespace
) -> None:
    """Print times and ratio of each pair, and the median."""
    from medmint import Generators

    names: dict[str, Any] = {}
    exec(CODE, names)
    size = (package / "weights.pt").stat().st_size
    print(f"weights {size / 1e6:.1f} MB, {options.samples} samples")
    ratios = []
    with Generators(catalogue=catalogue) as generators:
        generators.generate(90300, 32, save_images=False, seed=1, device="cpu")
        for number in range(options.pairs):
            start = time.perf_counter()
            generators.generate(
                90300, options.samples, folder / f"ours{number}", seed=1, device="cpu"
            )
            ours = time.perf_counter() - start
            start = time.perf_counter()
            plain_loop(names["generate"], package, folder / f"plain{number}", options.samples)
            plain = time.perf_counter() - start
            ratios.append(plain / ours)
            print(f"generate {ours:6.2f} s    plain loop {plain:6.2f} s    {ratios[-1]:.2f} x")
    print(f"median {statistics.median(ratios):.2f} x as fast (goal {GOAL})")


def plain_loop(function: Any, package: Path, folder: Path, count: int) -> None:
    """Do what a user's script does: call the function, save what it returns."""
    from PIL import Image

    folder.mkdir()
    for start in range(0, count, 32):
        images = function(str(package / "weights.pt"), min(32, count - start), str(folder), False)
        for index, image in enumerate(images, start):
            Image.fromarray(image).save(folder / f"{index}.png")


if __name__ == "__main__":
    main()
