"""Make the training folder: ``python prepare_data.py --archive TAR --out FOLDER``.

The archive is ``Task04_Hippocampus.tar`` (27 MB) of the Medical Segmentation Decathlon, from
http://medicaldecathlon.com (CC BY-SA 4.0; Simpson et al., "A large annotated medical image dataset
for the development and evaluation of segmentation algorithms", arXiv:1902.09063; Antonelli et al.,
"The Medical Segmentation Decathlon", Nature Communications 13, 4128, 2022). An unpacked folder with
``imagesTr`` and ``labelsTr`` will do as well.

Each volume of the training part (1 mm voxels) is cut off at the 0.5 and 99.5 percentiles of its
values, brought to 0 to 255, and padded with zeros to 48 x 64 x 48 voxels, its middle staying in the
middle; nothing is resized, so a voxel is a cubic millimetre. ``volumes.npz`` then holds ``images``
and ``labels`` (uint8, axes to the right, to the front and up) and ``ids``.

The shipped weights were trained on 176 of 260 volumes, with the same split as this script makes:
cases 010, 118 and 281 were missing in the copy that was used and are left out here.
"""

from __future__ import annotations

import argparse
import gzip
import re
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePath, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from medmint.errors import TrainingError
from medmint.home import new_folder, write_file
from medmint.model_trainer import run_script
from medmint.optional import require

SHAPE = (48, 64, 48)
PERCENTILES = (0.5, 99.5)
LEFT_OUT = {10, 118, 281}
VAL = {
    *(6, 41, 64, 92, 94, 97, 99, 104, 105, 127, 154, 166, 171, 197, 199, 212),
    *(216, 217, 220, 227, 230, 232, 244, 264, 304, 310, 354, 360, 367, 370, 374, 385),
}
TEST = {
    *(1, 4, 33, 40, 45, 50, 65, 67, 68, 83, 108, 124, 133, 141, 143, 149, 152),
    *(157, 158, 162, 172, 188, 204, 215, 245, 259, 274, 282, 286, 289, 294, 301),
    *(303, 305, 317, 322, 326, 331, 335, 336, 338, 340, 341, 350, 352, 353, 355),
    *(356, 366, 373, 376, 380),
}
_MEMBER = re.compile(r"hippocampus_(\d{1,9})\.nii(\.gz)?")
#: What tarfile and gzip say of bytes that are not theirs.
_BROKEN = (OSError, EOFError, ValueError, tarfile.TarError, zlib.error)

Array = NDArray[np.generic]


def members(archive: Path) -> Iterator[tuple[str, str, bytes]]:
    """Yield folder (imagesTr or labelsTr), file name and content of every volume.

    Raises
    ------
    TrainingError
        If the archive is not there or cannot be read.
    """
    what = "folder" if archive.is_dir() else "tar archive"
    try:
        yield from _unpacked(archive) if archive.is_dir() else _packed(archive)
    except _BROKEN as error:
        # tarfile goes on with a line for each compression that it tried.
        reason = str(error).partition(":\n")[0]
        raise TrainingError(archive, f"it cannot be read as a {what} ({reason})") from error


def _unpacked(folder: Path) -> Iterator[tuple[str, str, bytes]]:
    for path in sorted(folder.rglob("hippocampus_*.nii*")):
        if _is_volume(path) and path.is_file():
            yield path.parent.name, path.name, path.read_bytes()


def _packed(archive: Path) -> Iterator[tuple[str, str, bytes]]:
    with tarfile.open(archive) as tar:
        for member in tar:
            path = PurePosixPath(member.name)
            wanted = _is_volume(path) and member.isfile()
            if wanted and (file := tar.extractfile(member)) is not None:
                yield path.parent.name, path.name, file.read()


def _is_volume(path: PurePath) -> bool:
    """Tell volumes from what else lies beside them, such as downloads that were cut off."""
    in_place = path.parent.name in ("imagesTr", "labelsTr")
    return in_place and _MEMBER.fullmatch(path.name) is not None


def read_volume(name: str, content: bytes) -> Array:
    """Return the voxels of a NIfTI file, axes to the right, to the front and up.

    Raises
    ------
    TrainingError
        If it cannot be read, its voxels are not of 1 mm or some of them are not numbers.
    """
    nibabel = require("nibabel", extra="nifti")
    of_nibabel = (nibabel.spatialimages.HeaderDataError, nibabel.wrapstruct.WrapStructError)
    try:
        raw = gzip.decompress(content) if name.endswith(".gz") else content
        image = nibabel.as_closest_canonical(nibabel.Nifti1Image.from_bytes(raw))
        voxels = np.asarray(image.dataobj)
    except (*_BROKEN, *of_nibabel, nibabel.filebasedimages.ImageFileError) as error:
        reason = " ".join(str(error).split())
        raise TrainingError(Path(name), f"it cannot be read as NIfTI ({reason})") from error
    sides = np.asarray(image.header.get_zooms()[:3])
    if voxels.ndim != 3 or not np.allclose(sides, 1, atol=1e-3):
        raise TrainingError(
            Path(name), f"{voxels.shape} voxels of {sides.tolist()} mm, expected a volume at 1 mm"
        )
    # Kinds of numpy: whole numbers and others; colours and complex numbers are neither.
    if not voxels.size or voxels.dtype.kind not in "biuf" or not np.isfinite(voxels).all():
        raise TrainingError(Path(name), "it has no voxels, or some that are not numbers")
    return voxels


def to_bytes(voxels: Array) -> NDArray[np.uint8]:
    """Cut off at two percentiles and bring to 0 to 255.

    Examples
    --------
    >>> to_bytes(np.arange(1000.0).reshape(10, 10, 10)).max()
    np.uint8(255)
    """
    values = voxels.astype(np.float32)
    low, high = np.percentile(values, PERCENTILES)
    scaled = (np.clip(values, low, high) - low) / max(high - low, 1e-6) * 255
    return np.asarray(np.rint(scaled), dtype=np.uint8)


def pad(name: str, voxels: Array) -> Array:
    """Pad with zeros to 48 x 64 x 48, the middle staying in the middle."""
    if any(side > most for side, most in zip(voxels.shape, SHAPE, strict=True)):
        raise TrainingError(Path(name), f"{voxels.shape} voxels do not fit into {SHAPE}")
    before = [(most - side) // 2 for side, most in zip(voxels.shape, SHAPE, strict=True)]
    edges = [
        (first, most - side - first)
        for first, side, most in zip(before, voxels.shape, SHAPE, strict=True)
    ]
    return np.pad(voxels, edges)


def convert(archive: Path) -> dict[str, Array]:
    """Return the arrays of ``volumes.npz``.

    Raises
    ------
    TrainingError
        If the archive has no volumes, a partner is missing, or one is not as expected.
    """
    found: dict[str, dict[str, Array]] = {"imagesTr": {}, "labelsTr": {}}
    for folder, name, content in members(archive):
        number = int(_MEMBER.fullmatch(name)[1])  # type: ignore[index]  # members() has matched it
        if number not in LEFT_OUT:
            key = f"hippocampus_{number:03d}"
            found[folder][key] = read_volume(name, content)
    images, labels = found["imagesTr"], found["labelsTr"]
    alone = sorted(images.keys() ^ labels.keys())
    if alone or not images:
        reason = f"no partner for {', '.join(alone[:3])}" if alone else "no imagesTr/*.nii.gz"
        raise TrainingError(archive, reason, "Take Task04_Hippocampus.tar as it is.")
    ids = sorted(images)
    for key in ids:
        if images[key].shape != labels[key].shape:
            raise TrainingError(archive, f"image and label map of {key} are of different sizes")
    return {
        "images": np.stack([pad(key, to_bytes(images[key])) for key in ids]),
        "labels": np.stack([pad(key, labels[key].astype(np.uint8)) for key in ids]),
        "ids": np.array(ids),
    }


def split_of(key: str) -> str:
    """Return the side of a case."""
    number = int(key.rpartition("_")[2])
    if number in TEST:
        return "test"
    return "val" if number in VAL else "train"


def main() -> None:
    """Write volumes and splits."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--archive", type=Path, required=True, help="Task04_Hippocampus.tar")
    parser.add_argument("--out", type=Path, required=True, help="training folder, made anew")
    options = parser.parse_args()
    with new_folder(options.out) as out:
        arrays = convert(options.archive)
        np.savez_compressed(out / "volumes.npz", **arrays)
        for side in ("train", "val", "test"):
            keys = [str(key) for key in arrays["ids"] if split_of(str(key)) == side]
            write_file(out / f"split_{side}.txt", "".join(f"{key}\n" for key in keys).encode())
            print(f"{side}: {len(keys)} volumes")


if __name__ == "__main__":
    run_script(main)
