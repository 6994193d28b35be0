"""Packages whose samples say which latent vector they were made of."""

import json
from pathlib import Path

from tests.packages.builders import GREY, write_package

CLASSES = ["benign", "malignant", "normal"]

_IN_CALL = """
import time
time.sleep(options.get("seconds", 0))
with open({calls!r}, "a") as file:
    file.write("draw\\n")
if options.get("steps", 1) == 0:
    raise ValueError("steps: got 0, expected at least 1")
table = {{f"z{{i}}": latents[:, i].astype(float) for i in range(latents.shape[1])}}
labels = {{"label": condition}} if condition is not None else {{}}
depth = {depth}
if depth:
    images = np.ones((num_samples, 1, 6, 5, depth), np.float32) * images[:, :, :1, :1, None]
    images = images * np.linspace(0, 1, depth, dtype=np.float32)
images = images.astype(np.float32)
masks = (images > 0.5).astype(np.uint8) * 255
"""


def looking_package(
    folder: Path, *, size: int = 128, conditions: bool = False, depth: int = 0, number: int = 90200
) -> Path:
    """Write a sampler with options ``seconds``, ``steps`` and ``kind``; return its folder.

    Its samples have the latent vector as table, their class as label, and a file ``calls.txt``
    beside the package has a line for each time it drew.
    """
    package = write_package(
        folder / "package",
        in_call=_IN_CALL.format(calls=str(folder / "calls.txt"), depth=depth),
        result='{"image": images, "mask": masks, "table": table, **labels}',
        options={"seconds": 0.0, "steps": 4, "sharp": False, "kind": "soft"},
        number=number,
    )
    path = package / "metadata.json"
    entries = json.loads(path.read_text(encoding="utf-8"))
    (record,) = entries.values()
    spec = GREY | {"spatial_dims": 3 if depth else 2}
    record["execution"] |= {"output": {"image": spec, "mask": spec}}
    record["execution"] |= {"conditions": CLASSES} if conditions else {}
    record["execution"]["generate_method"]["input_latent_vector_size"] = size
    record["description"]["parameters"] = [
        {"name": "kind", "default": "soft", "choices": ["soft", "hard"], "help": "How it looks."}
    ]
    path.write_text(json.dumps(entries), encoding="utf-8")
    return package
