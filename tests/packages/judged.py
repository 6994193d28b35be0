"""Packages and training folders of made-up images, to be judged in a moment."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import save_file

from tests.fakes.textures import disc_images

MODEL_ID = "90040_TEST_JUDGED"
SIDE = 32
CONDITIONS = {"label": ("dark", "light"), "view": ("left", "right")}
COUNTS = {"train": 40, "val": 16, "test": 16}

#: Draws from the images in its weights: a latent vector points to one of those of its class.
SAMPLER = """
import numpy as np
from safetensors.numpy import load_file


class Sampler:
    def __init__(self, weights):
        self.bank = load_file(weights)
        self.calls = 0

    def sample(self, latents, condition=None, *, brightness=0):
        self.calls += 1
        rows = []
        for number, latent in enumerate(latents):
            known = np.arange(len(self.bank["images"]))
            if condition is not None:
                known = known[self.bank["classes"] == condition[number]]
            rows.append(known[int(abs(latent[0]) * 1e6) % len(known)])
        images = self.bank["images"][rows].astype(np.int64) + brightness
        found = {"image": np.clip(images, 0, 255).astype(np.uint8)[:, None]}
        if "masks" in self.bank:
            found["mask"] = self.bank["masks"][rows][:, None]
        return found


def load(weights=None, device="cpu"):
    return Sampler(weights)
"""


def made_up(count, *, seed, conditions=False):
    """Return images, masks, and the place of a label and a view for each.

    A label makes the disc dark or light, a view darkens one side; they do not depend on each other.
    """
    images, masks = disc_images(count, side=SIDE, seed=seed)
    classes = np.random.default_rng(seed).integers(0, 2, (count, 2))
    if conditions:
        changed = images.astype(np.int64)
        for image, mask, (label, view) in zip(changed, masks, classes, strict=True):
            if label == 0:
                image[mask > 0] -= 120
            half = slice(None, SIDE // 2) if view == 0 else slice(SIDE // 2, None)
            image[:, half] += 60
        images = np.clip(changed, 0, 255).astype(np.uint8)
    return images, masks, classes


def data_folder(folder: Path, *, conditions=False, counts=COUNTS) -> Path:
    """Write a training folder, of which patients have two images each."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    rows = []
    for seed, (split, count) in enumerate(counts.items()):
        names = [f"{split}_{number:03}.png" for number in range(count)]
        pictures = zip(names, *made_up(count, seed=seed, conditions=conditions), strict=True)
        for number, (name, image, mask, (label, view)) in enumerate(pictures):
            Image.fromarray(image).save(folder / "images" / name)
            Image.fromarray(mask).save(folder / "masks" / name)
            values = (CONDITIONS["label"][label], CONDITIONS["view"][view])
            rows.append((name, *values, f"{split}{number // 2}"))
        (folder / f"split_{split}.txt").write_text("\n".join(names))
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file", "label", "view", "patient_id"), *rows])
    return folder


def package(folder: Path, images, *, masks=None, classes=None, description=None) -> Path:
    """Write a package whose samples are these images."""
    folder.mkdir(parents=True)
    bank = {"images": images}
    if masks is not None:
        bank["masks"] = masks
    if classes is not None:
        bank["classes"] = classes[:, 0] * 2 + classes[:, 1]
    save_file({name: np.ascontiguousarray(part) for name, part in bank.items()}, weights_of(folder))
    (folder / "__init__.py").write_text(SAMPLER)
    output = {"image": {"dtype": "uint8", "channels": 1, "spatial_dims": 2}}
    if masks is not None:
        output["mask"] = {"dtype": "uint8", "channels": 1, "spatial_dims": 2}
    record = {
        "execution": {
            "contract": "sampler",
            "package_name": folder.name,
            "package_link": str(folder),
            "model_name": "weights",
            "extension": ".safetensors",
            "image_size": [SIDE, SIDE],
            "dependencies": ["numpy", "safetensors"],
            "conditions": [f"{a} {b}" for a in CONDITIONS["label"] for b in CONDITIONS["view"]]
            if classes is not None
            else [],
            "generate_method": {
                "name": "load",
                "args": {"base": [], "custom": {"brightness": 0}},
                "input_latent_vector_size": 4,
            },
            "output": output,
        },
        "selection": {"license": "MIT"},
        "description": description or {"title": "Discs"},
    }
    (folder / "metadata.json").write_text(json.dumps({MODEL_ID: record}))
    return folder


def weights_of(folder: Path) -> Path:
    return folder / "weights.safetensors"
