"""Stand-ins for the 23 published packages: same names, layout and habits, tiny networks.

Each zip has exactly the file names that its record in ``config/global.json`` gives, and does what
packages of its kind do: reload weights at each call, import siblings by bare name, read input
images, write files, give labels, nested lists or four channels.
"""

import io
import json
import zipfile
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from textwrap import dedent
from typing import Any

import numpy as np
from PIL import Image

from medmint.resources import config_file

#: A published catalogue's entries, by model id.
RECORDS: dict[str, Any] = {
    model_id: record
    for model_id, record in json.loads(config_file("global.json").read_text("utf-8")).items()
    if int(model_id[:5]) < 10000
}

_NOISE = """
import torch
from torch import nn

class Generator(nn.Module):
    def __init__(self, latent={latent}, channels={channels}):
        super().__init__()
        self.net = nn.Sequential(
            nn.ConvTranspose2d(latent, 16, 4), nn.BatchNorm2d(16), nn.ReLU(),
            nn.ConvTranspose2d(16, channels, 4, 2, 1), nn.Tanh(),
        )

    def forward(self, z):
        return self.net(z)

def images_of(model_file, num_samples, height, width, given=None):
    model = Generator()
    model.load_state_dict(torch.load(model_file, map_location="cpu"))
    model.eval()
    if given is None:
        z = torch.randn(num_samples, {latent}, 1, 1)
    else:
        z = torch.from_numpy(given).repeat(num_samples, 1, 1, 1)[:num_samples]
    small = model(z)
    large = nn.functional.interpolate(small, size=(height, width))
    return ((large + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
"""
_TRANSLATION = """
import os
import torch
import numpy as np
from PIL import Image
from torch import nn

class Translator(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, x):
        return torch.sigmoid(self.net(x))

def images_of(model_file, paths, height, width):
    model = Translator()
    model.load_state_dict(torch.load(model_file, map_location="cpu"))
    images = []
    for path in paths:
        grey = Image.open(path).convert("L").resize((width, height))
        x = torch.from_numpy(np.array(grey)).float()[None, None] / 255
        images.append((model(x)[0, 0] * 255).round().byte().numpy())
    return images
"""
_NUMPY = """
import numpy as np
from PIL import Image

def images_of(model_file, paths, height, width):
    with np.load(model_file) as weights:
        gain, offset = float(weights["gain"]), float(weights["offset"])
    images = []
    for path in paths:
        grey = np.array(Image.open(path).convert("L").resize((width, height)), dtype=float)
        images.append(np.clip(grey * gain + offset, 0, 255).astype(np.uint8))
    return images
"""
_FRAMES = {"noise": _NOISE, "translation": _TRANSLATION, "numpy": _NUMPY}


@dataclass(frozen=True)
class Published:
    """How one published package is built.

    ``body`` is the body of its generate function; it sees the arguments and ``images_of``, and
    ``paths`` where it has an input folder. ``top`` is the folder inside the zip, if there is one.
    """

    body: str
    kind: str = "noise"
    channels: int = 1
    top: str | None = None
    siblings: bool = False
    inputs: str | None = None
    imports: tuple[str, ...] = ()
    #: What a sample consists of, as (name, shape) with the record's size.
    gives: dict[str, tuple[int, ...]] = field(default_factory=dict)
    labels: frozenset[str] = frozenset()


_GREY = "return [image[..., 0] for image in images_of(model_file, num_samples, {h}, {w})]"
_CYCLE = """
    chosen = paths if translate_all_images else paths[:num_samples]
    images = images_of(model_file, chosen, {h}, {w})
    return images
"""
_LABELLED = """
    # Classes are balanced: an odd number of samples becomes even.
    even = num_samples + num_samples % 2
    names = ["benign", "malignant"] if condition is None else [condition]
    images = images_of(model_file, even, {h}, {w})[..., 0]
    return [(image, names[i % len(names)]) for i, image in enumerate(images)]
"""
_WITH_MASK = """
    images = images_of(model_file, num_samples, {h}, {w})
    masks = (images[..., 0] > 127).astype("uint8") * 255
    return [(image, mask) for image, mask in zip(images, masks)]
"""
_FOUR_CHANNELS = """
    images = images_of(model_file, num_samples, {h}, {w})
    if save_option == "image_only":
        return [image[..., :3] for image in images]
    return list(images)
"""
_GREY_SIZE = {"image": ("h", "w")}
_MASKED = {"image": ("h", "w", 3), "mask": ("h", "w")}


def _cycle_gan(**changes: Any) -> Published:
    return Published(
        _CYCLE,
        "translation",
        siblings=True,
        inputs="images",
        imports=("pillow",),
        gives=_GREY_SIZE,
        **changes,
    )


PACKAGES: dict[int, Published] = {
    1: Published('print("generating")\n    ' + _GREY, gives=_GREY_SIZE),
    2: Published(_GREY, top="MALIGN_DCGAN", gives=_GREY_SIZE),
    3: _cycle_gan(),
    4: Published(
        """
    image = images_of(model_file, paths, {h}, {w})[0]
    return [(image, (image > 100).astype("uint8") * 255) for _ in range(num_samples)]
""",
        "translation",
        siblings=True,
        inputs="images",
        imports=("pillow",),
        gives={"image": ("h", "w"), "mask": ("h", "w")},
    ),
    5: Published(_GREY, top="DCGAN-masses", gives=_GREY_SIZE),
    6: Published(
        "from tqdm import tqdm\n    for _ in tqdm(range(num_samples)):\n        pass\n    " + _GREY,
        imports=("tqdm",),
        gives=_GREY_SIZE,
    ),
    7: Published(
        """
    slices = images_of(model_file, 5 * num_samples, {h}, {w})[..., 0]
    return [tuple(slices[5 * i : 5 * i + 5]) for i in range(num_samples)]
""",
        gives=dict.fromkeys(("image", "mask", "extra_1", "extra_2", "extra_3"), ("h", "w")),
    ),
    8: Published(_LABELLED, gives=_GREY_SIZE, labels=frozenset({"benign", "malignant"})),
    9: Published(_FOUR_CHANNELS, channels=4, top="ProGAN-4ch", gives=_MASKED),
    10: Published(_WITH_MASK, channels=3, gives=_MASKED),
    11: Published(
        "assert os.path.isdir(model_files), model_files" + _WITH_MASK,
        channels=3,
        gives=_MASKED,
    ),
    12: Published(_LABELLED, gives=_GREY_SIZE, labels=frozenset({"benign", "malignant"})),
    13: _cycle_gan(),
    14: _cycle_gan(top="CycleGAN"),
    15: _cycle_gan(),
    16: Published(
        """
    for i, image in enumerate(images_of(model_file, paths[:num_samples], {h}, {w})):
        Image.fromarray(image).save(os.path.join(output_path, "%d.png" % i))
""",
        "translation",
        siblings=True,
        inputs="images",
        imports=("pillow",),
        gives=_GREY_SIZE,
    ),
    17: Published(_GREY, top="00017_DCGAN_NODE21", gives=_GREY_SIZE),
    18: Published(
        """
    images = images_of(model_file, num_samples, {h}, {w})[..., 0]
    return [[image] for image in images]
""",
        gives=_GREY_SIZE,
    ),
    19: Published(_GREY, top="00019_PGGAN_NODE21", gives=_GREY_SIZE),
    20: Published(
        "return list(images_of(model_file, num_samples, {h}, {w}))",
        channels=3,
        gives={"image": ("h", "w", 3)},
    ),
    21: Published(
        'assert isinstance(gpu_id, str)\n    os.chdir("/")' + _CYCLE,
        "translation",
        inputs="inputs/T1",
        imports=("pillow",),
        gives=_GREY_SIZE,
    ),
    22: Published(
        """
    paths = image_paths_input
    images = images_of(model_file, paths, {h}, {w})
    return [images[i % len(images)] for i in range(num_samples)]
""",
        "numpy",
        inputs="",
        imports=("pillow",),
        gives=_GREY_SIZE,
    ),
    23: Published(
        "assert image_size == '512'\n    translate_all_images = False" + _CYCLE,
        "translation",
        top="00023",
        inputs="input",
        imports=("pillow",),
        gives=_GREY_SIZE,
    ),
}


def number_of(model_id: str) -> int:
    return int(model_id[:5])


def dependencies(model_id: str) -> list[str]:
    """Return what the stand-in package really imports."""
    package = PACKAGES[number_of(model_id)]
    return ["numpy", *package.imports, *([] if package.kind == "numpy" else ["torch"])]


def zip_name(model_id: str) -> str:
    """Return the name of the zip, as the record's link has it."""
    link = RECORDS[model_id]["execution"]["package_link"]
    return PurePosixPath(link.partition("?")[0]).name


def build_zip(model_id: str) -> bytes:
    """Return the zip of the stand-in package."""
    package, execution = PACKAGES[number_of(model_id)], RECORDS[model_id]["execution"]
    prefix = f"{package.top}/" if package.top else ""
    weights = execution["model_name"] + execution["extension"]
    content = _weights(package, latent_size_of(model_id))
    files = {"LICENSE": b"Made by tests.", weights: content}
    code = _code(model_id, package)
    if package.siblings:
        network, _, function = code.partition("# the function\n")
        header = (
            "from models import images_of\nfrom util import noted\nfrom options import OPTIONS\n"
        )
        files["models/__init__.py"] = network.encode()
        files["util/__init__.py"] = b"def noted(value):\n    return value\n"
        files["options.py"] = b"OPTIONS = {}\n"
        code = f"import os\nfrom PIL import Image\n{header}{function}"
    files["__init__.py"] = code.encode()
    for name in _input_files(package, execution):
        files[name] = _picture(len(files))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(prefix + name, content)
    return buffer.getvalue()


def _code(model_id: str, package: Published) -> str:
    method = RECORDS[model_id]["execution"]["generate_method"]
    height, width = size_of(model_id)
    network = _FRAMES[package.kind].replace("{channels}", str(package.channels))
    network = network.replace("{latent}", str(latent_size_of(model_id)))
    body = package.body.replace("{h}", str(height)).replace("{w}", str(width))
    options = "".join(f", {name}={default!r}" for name, default in method["args"]["custom"].items())
    listing = ""
    if method.get("input_latent_vector_size"):
        options += ", input_latent_vector=None"
        body = body.replace(f"{height}, {width})", f"{height}, {width}, input_latent_vector)")
    if package.inputs is not None and "input_path" in method["args"]["custom"]:
        listing = """
    paths = sorted(os.path.join(input_path, name) for name in os.listdir(input_path))
    paths = [path for path in paths if path.endswith(".png")]
    while len(paths) < num_samples:
        paths = paths + paths
"""
    return dedent(
        f"""{network}
# the function
import os

def {method["name"]}(model_file, num_samples, output_path, save_images{options}):
{listing}    {body.strip()}
"""
    )


def size_of(model_id: str) -> tuple[int, int]:
    """Return height and width of the samples."""
    height, width = RECORDS[model_id]["execution"]["image_size"][:2]
    return int(height), int(width)


def latent_size_of(model_id: str) -> int:
    """Return how many numbers a picture is made of, those that nobody can give included."""
    method = RECORDS[model_id]["execution"]["generate_method"]
    return method.get("input_latent_vector_size") or 8


def shapes_of(model_id: str) -> dict[str, tuple[int, ...]]:
    """Return the shape of each array of a sample."""
    height, width = size_of(model_id)
    sides = {"h": height, "w": width}
    gives = PACKAGES[number_of(model_id)].gives
    return {name: tuple(sides.get(side, side) for side in shape) for name, shape in gives.items()}


def _weights(package: Published, latent: int) -> bytes:
    buffer = io.BytesIO()
    if package.kind == "numpy":
        np.savez(buffer, gain=np.float64(0.5), offset=np.float64(10))
        return buffer.getvalue()
    import torch
    from torch import nn

    torch.manual_seed(0)
    if package.kind == "translation":
        state = {f"net.{name}": value for name, value in nn.Conv2d(1, 1, 3).state_dict().items()}
    else:
        net = nn.Sequential(
            nn.ConvTranspose2d(latent, 16, 4),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.ConvTranspose2d(16, package.channels, 4, 2, 1),
        )
        state = {f"net.{name}": value for name, value in net.state_dict().items()}
    torch.save(state, buffer)
    return buffer.getvalue()


def _input_files(package: Published, execution: dict[str, Any]) -> list[str]:
    if package.inputs is None:
        return []
    if paths := execution["generate_method"]["args"]["custom"].get("image_paths_input"):
        return [PurePosixPath(path).name for path in dict.fromkeys(paths)]
    return [f"{package.inputs}/{i}.png" for i in range(3)]


def _picture(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (24, 24), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()
