"""Samples that are written, and read back by other programs than the one that wrote them."""

import io
from typing import Any

import numpy as np

from medmint.writers.formats import WRITERS
from medmint.writers.sample_writer import EncodedFile, Sample
from tests.packages.records import MODEL_ID, record

#: What the header of a manifest says, as far as a file depends on it.
RUN = {
    "medmint_manifest": 1,
    "medmint_version": "0.1.0",
    "model_id": MODEL_ID,
    "package_sha256": "ab" * 32,
    "weights_sha256": "cd" * 32,
    "reproducible": "sample",
    "seed": 7,
    "batch_size": 4,
    "options": {"noise": 8.0},
}
SPACING = [0.5, 0.75, 2.0]
ORIENTATION = "PLS"
#: Kinds of images: type of the numbers, colour or not.
KINDS = {
    "u8": ("uint8", 1, [0, 255]),
    "u16": ("uint16", 1, [0, 65535]),
    "i16": ("int16", 1, [-1024, 3071]),
    "f32": ("float32", 1, [-1.5, 2.5]),
    "rgb": ("uint8", 3, [0, 255]),
}


def spec_of(kind: str, sides: int, **more: Any) -> dict[str, Any]:
    """Return what a record says about images of a kind."""
    dtype, channels, limits = KINDS[kind]
    return {
        "dtype": dtype,
        "channels": channels,
        "spatial_dims": sides,
        "value_range": limits,
        "spacing_mm": SPACING[:sides],
        "orientation": ORIENTATION[:sides],
        **more,
    }


def image_of(kind: str, sides: int, seed: int = 0) -> Any:
    """Return an image of a kind with both ends of its range and anything between."""
    dtype, channels, (low, high) = KINDS[kind]
    shape = (9, 7, 5)[:sides] + ((channels,) if channels > 1 else ())
    random = np.random.default_rng(seed)
    if dtype == "float32":
        image = random.uniform(low, high, shape).astype(dtype)
    else:
        image = random.integers(low, high + 1, shape).astype(dtype)
    image.flat[:2] = low, high
    return image


def encode(
    output_format: str,
    arrays: dict[str, Any],
    output: dict[str, Any] | None = None,
    *,
    index: int = 3,
    label: Any = None,
    **run: Any,
) -> dict[str, EncodedFile]:
    """Return the files of one sample by output, as a model with these outputs writes them."""
    writer = WRITERS[output_format](record(output={} if output is None else output))
    sample = Sample(index=index, arrays=arrays, label=label, run={**RUN, **run})
    return {name: file for file in writer.encode(sample) for name in file.outputs}


def read(file: EncodedFile, name: str = "image", header: dict[str, Any] | None = None) -> Any:
    """Return the values in a file, axes in the order of medmint."""
    return {
        ".png": _read_png,
        ".npy": lambda content, *_: np.load(content, allow_pickle=False),
        ".npz": lambda content, *_: np.load(content, allow_pickle=False)[name],
        ".tif": _read_tiff,
        ".dcm": _read_dicom,
        ".nii.gz": _read_nifti,
    }[file.suffix](io.BytesIO(file.content), name, header or {})


def _read_png(content: io.BytesIO, name: str, header: dict[str, Any]) -> Any:
    from PIL import Image

    with Image.open(content) as image:
        stored = np.asarray(image)
    scale = header.get("scales", {}).get(name, 1)
    offset = header.get("offsets", {}).get(name, 0)
    return stored if (scale, offset) == (1, 0) else stored.astype(float) * scale + offset


def _read_tiff(content: io.BytesIO, *_: Any) -> Any:
    import tifffile

    with tifffile.TiffFile(content) as file:
        pages = [page.asarray() for page in file.pages]
    return pages[0] if len(pages) == 1 else np.stack(pages, axis=2)


def _read_dicom(content: io.BytesIO, *_: Any) -> Any:
    import pydicom

    dataset = pydicom.dcmread(content)
    values = pydicom.pixels.apply_rescale(dataset.pixel_array, dataset)
    return np.moveaxis(values, 0, 2) if "NumberOfFrames" in dataset else values


def _read_nifti(content: io.BytesIO, *_: Any) -> Any:
    import gzip

    import nibabel

    data = np.asarray(nibabel.Nifti1Image.from_bytes(gzip.decompress(content.read())).dataobj)
    return np.stack([data[name] for name in data.dtype.names], -1) if data.dtype.names else data
