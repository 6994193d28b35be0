"""Look at what ``medmint demo`` left in a folder; run by itself or from a test."""

import json
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
from PIL import Image

COUNT = 16
LEAST_SIDE = 64


def check(folder: Path) -> list[str]:
    """Return what is wrong with the output of a demo."""
    images, masks = sorted(folder.glob("images/*.png")), sorted(folder.glob("masks/*.png"))
    sheets = list(folder.glob("*.png"))
    lines = (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    samples = [entry for entry in map(json.loads, lines[1:]) if "index" in entry]
    faults = [
        f"{len(found)} {what} instead of {expected}"
        for what, found, expected in (
            ("images", images, COUNT),
            ("masks", masks, COUNT),
            ("contact sheets", sheets, 1),
        )
        if len(found) != expected
    ]
    if [sample["index"] for sample in samples] != list(range(COUNT)):
        faults.append(f"manifest lists {samples}")
    faults += [
        f"{sample[name]} is not what the manifest says"
        for sample in samples
        for name in ("image", "mask")
        if sha256((folder / sample[name]).read_bytes()).hexdigest() != sample[f"{name}_sha256"]
    ]
    for path in images:
        faults += [f"{path.name}: {fault}" for fault in image_faults(read(path))]
    for path in masks:
        faults += [f"mask {path.name}: {fault}" for fault in mask_faults(read(path))]
    if len({path.read_bytes() for path in images}) != len(images):
        faults.append("some images are the same")
    shapes = [read(sheet).shape for sheet in sheets]
    faults += [f"contact sheet of {shape}" for shape in shapes if min(shape[:2]) < 2 * LEAST_SIDE]
    return faults


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def image_faults(image: np.ndarray) -> list[str]:
    faults = []
    if image.ndim != 3 or image.shape[2] != 3 or min(image.shape[:2]) < LEAST_SIDE:
        faults.append(f"shape {image.shape}")
    if image.std() < 5:
        faults.append("blank")
    return faults


def mask_faults(mask: np.ndarray) -> list[str]:
    faults = []
    if mask.ndim != 2 or min(mask.shape) < LEAST_SIDE:
        faults.append(f"shape {mask.shape}")
    if not set(np.unique(mask)) <= {0, 255}:
        faults.append("values other than 0 and 255")
    return faults


if __name__ == "__main__":
    found = check(Path(sys.argv[1]))
    sys.stdout.write("\n".join(found) + "\n" if found else "The demo left what it should.\n")
    sys.exit(bool(found))
