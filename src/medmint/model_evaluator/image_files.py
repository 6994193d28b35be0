"""Read one image file of any of the usual kinds into an array, values as they are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medmint.errors import MetricError
from medmint.optional import require

Array = NDArray[Any]

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
ARRAYS = (".npy",)
DICOM = (".dcm", ".dicom")
NIFTI = (".nii", ".nii.gz")
SUFFIXES = (*PICTURES, *ARRAYS, *DICOM, *NIFTI)


@dataclass(frozen=True, slots=True)
class ImageFile:
    """What a file says: its pixels, and its patient where it names one."""

    array: Array
    patient: str | None = None


def is_image_file(path: Path) -> bool:
    """Tell by its name whether a file is of a kind that can be read.

    Examples
    --------
    >>> is_image_file(Path("case.nii.gz")), is_image_file(Path("labels.csv"))
    (True, False)
    """
    return path.name.lower().endswith(SUFFIXES) and not path.name.startswith(".")


def read_image_file(path: Path) -> ImageFile:
    """Read a file by the ending of its name.

    Returns
    -------
    ImageFile
        With an array of shape (height, width), (height, width, 3) or (height, width, depth).

    Raises
    ------
    MetricError
        If the file is not what its name says, or has pixels that are not finite.
    MissingExtraError
        If it is DICOM or NIfTI and the extra for it is not installed.
    """
    name = path.name.lower()
    try:
        if name.endswith(DICOM):
            image = _read_dicom(path)
        elif name.endswith(NIFTI):
            image = ImageFile(_read_nifti(path))
        elif name.endswith(ARRAYS):
            image = ImageFile(np.load(path, allow_pickle=False))
        else:
            image = ImageFile(_read_picture(path))
    except (OSError, ValueError, EOFError, SyntaxError, AttributeError) as error:
        if isinstance(error, MetricError):
            raise
        raise MetricError(str(path), f"a file that cannot be read ({error})", "an image") from error
    if image.array.dtype.kind not in "uif" or image.array.ndim not in (2, 3, 4):
        given = f"an array of {image.array.dtype} with shape {image.array.shape}"
        raise MetricError(str(path), given, "numbers of shape (height, width[, channels or depth])")
    if not np.isfinite(image.array).all():
        raise MetricError(str(path), "pixels that are NaN or infinite", "finite pixels")
    return ImageFile(_usual_type(image.array), image.patient)


def _read_picture(path: Path) -> Array:
    from PIL import Image, ImageSequence

    with Image.open(path) as picture:
        if getattr(picture, "n_frames", 1) > 1:
            frames = [
                np.asarray(frame.convert(_mode(frame.mode)))
                for frame in ImageSequence.Iterator(picture)
            ]
            return np.stack(frames, axis=2)
        return np.asarray(picture.convert(_mode(picture.mode)))


def _mode(mode: str) -> str:
    """Return the mode to read a picture in: grey, colour or 16 bit, never with transparency."""
    if mode in ("1", "L", "LA"):
        return "L"
    return mode if mode in ("I", "F") or mode.startswith("I;16") else "RGB"


def _read_dicom(path: Path) -> ImageFile:
    pydicom = require("pydicom", extra="dicom")
    pixels = require("pydicom.pixels", extra="dicom")
    try:
        with path.open("rb") as stream:
            data = pydicom.dcmread(stream)
            values = np.asarray(pixels.apply_modality_lut(data.pixel_array, data))
    # Missing pixels, a transfer syntax that nothing installed can decode, or no DICOM at all.
    except (pydicom.errors.InvalidDicomError, RuntimeError, KeyError) as error:
        raise ValueError(str(error)) from error
    if data.get("PhotometricInterpretation") == "MONOCHROME1":
        values = values.max() - values + values.min()
    if int(data.get("NumberOfFrames", 1) or 1) > 1:
        values = np.moveaxis(values, 0, 2)
    patient = str(data.get("PatientID", "") or "").strip()
    return ImageFile(values, patient or None)


def _read_nifti(path: Path) -> Array:
    nibabel = require("nibabel", extra="nifti")
    try:
        values = np.asarray(nibabel.load(path).dataobj)
    except nibabel.filebasedimages.ImageFileError as error:
        raise ValueError(str(error)) from error
    if values.ndim == 4 and values.shape[3] > 1:
        raise MetricError(str(path), f"{values.shape[3]} time points", "one volume a file")
    return values.reshape(values.shape[:3])


def _usual_type(array: Array) -> Array:
    """Return values in a type that metrics take, the smallest that holds them exactly."""
    if array.dtype in (np.uint8, np.uint16, np.int16):
        return array
    if array.dtype.kind == "f" and not np.array_equal(array, np.round(array)):
        return array.astype(np.float32)
    low, high = (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)
    for kind in (np.uint16, np.int16):
        limits = np.iinfo(kind)
        if array.dtype.kind in "ui" and limits.min <= low and high <= limits.max:
            return array.astype(kind)
    if array.dtype.kind == "f" and np.iinfo(np.int16).min <= low and high <= np.iinfo(np.int16).max:
        return array.astype(np.int16)
    return array.astype(np.float32)
