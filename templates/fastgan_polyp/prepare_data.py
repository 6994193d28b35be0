"""Make the training folder: ``python prepare_data.py --archive ZIP --out FOLDER``.

The archive is ``hyper-kvasir-segmented-images.zip`` (46 MB, 1,000 polyp frames with masks), from
https://datasets.simula.no/hyper-kvasir (CC BY 4.0; Borgli et al., "HyperKvasir, a comprehensive
multi-class image and video dataset for gastrointestinal endoscopy", Scientific Data 7, 283, 2020;
masks: Jha et al., "Kvasir-SEG: A Segmented Polyp Dataset", MMM 2020). Each frame is brought to
352 x 352 pixels, text that the device has burned in is painted over, frame and mask are resized
to 128 x 128, and frames that look alike are kept on one side of the split.

The shipped weights were trained on a copy made by the same steps with other tools. It differs:

* It started from other people's copy of the frames, already 352 x 352 and renumbered, so numbers
  and sides of the split are not those that this script gives, only the shares are (68 % train,
  12 % val, 20 % test).
* 27 frames with free text were left out after a look at them. Their names in the public archive
  are not known: look at the result, name what has to go in a file, and pass it as ``--exclude``.
* Strokes were filled by Telea's method; here they take a weighted mean of what is around them.
  Regions and thresholds of the search for strokes follow its description, not its code.

No claim is made that all text is found: look at the frames before you train on them.
"""

from __future__ import annotations

import argparse
import csv
import io
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from scipy.sparse.csgraph import connected_components
from tqdm import tqdm

from medmint.errors import ArgumentError, TrainingError
from medmint.home import new_folder
from medmint.model_trainer import run_script

Bools = NDArray[np.bool_]
Bytes = NDArray[np.uint8]

WORKING_SIDE, SIDE, THUMBNAIL_SIDE = 352, 128, 24
LIKENESS = 0.95
SHARES = {"test": 0.2, "val": 0.12}

#: Where devices write, as shares of the side: a strip on the left, and the lower right corner.
LEFT_STRIP, CORNER_WIDTH, CORNER_HEIGHT = 0.3, 0.25, 0.2
#: Wider than any stroke, so that the opening under the top-hat removes the stroke.
STROKE_WIDTH = 9
#: Grey levels that a stroke is brighter than its surroundings.
STROKE_CONTRAST = 25
#: Pixels around a stroke that compression has smeared it into.
STROKE_MARGIN = 2
FILL_REACH = 4.0

#: What zipfile and Pillow say of bytes that are not theirs; a RuntimeError means a password.
_UNREADABLE = (
    EOFError,
    OSError,
    RuntimeError,
    SyntaxError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
    Image.DecompressionBombError,
)


class Pair(NamedTuple):
    """A frame of the archive: its name, RGB of 352 x 352 and mask of 128 x 128."""

    name: str
    frame: Bytes
    mask: Bytes


def open_archive(path: Path) -> zipfile.ZipFile:
    """Open the public archive.

    Raises
    ------
    TrainingError
        If it is not there or no whole zip file.
    """
    try:
        return zipfile.ZipFile(path)
    except _UNREADABLE as error:
        raise TrainingError(
            path,
            f"it cannot be read as a zip file ({error})",
            "Give hyper-kvasir-segmented-images.zip as it was downloaded.",
        ) from error


def list_pairs(archive: zipfile.ZipFile) -> dict[str, tuple[str, str]]:
    """Return the archive members (frame, mask) of every file name, in order.

    Raises
    ------
    TrainingError
        If there are none, or one is without the other.
    """
    members: dict[str, dict[str, str]] = {"images": {}, "masks": {}}
    for member in archive.namelist():
        path = PurePosixPath(member)
        if path.parent.name in members and path.suffix.lower() in {".jpg", ".png"}:
            members[path.parent.name][path.stem] = member
    images, masks = members["images"], members["masks"]
    alone = sorted(images.keys() ^ masks.keys())
    if alone or not images:
        found = f"no partner for {alone[:3]}" if alone else "no images/*.jpg"
        raise TrainingError(
            path_of(archive), f"expected images/NAME.jpg and masks/NAME.jpg, found {found}"
        )
    return {name: (images[name], masks[name]) for name in sorted(images)}


def read_pair(archive: zipfile.ZipFile, name: str, members: tuple[str, str]) -> Pair:
    """Read and resize one frame and its mask."""
    frame, mask = members
    working = read_image(archive, frame, "RGB", WORKING_SIDE)
    inside = read_image(archive, mask, "L", SIDE) >= 128
    return Pair(name, working, inside * np.uint8(255))


def read_image(archive: zipfile.ZipFile, member: str, mode: str, side: int) -> Bytes:
    """Return an image of the archive in one mode and size.

    Raises
    ------
    TrainingError
        If it is damaged or no image.
    """
    try:
        with Image.open(io.BytesIO(archive.read(member))) as image:
            resized = image.convert(mode).resize((side, side), Image.Resampling.LANCZOS)
            return np.asarray(resized)
    except _UNREADABLE as error:
        raise TrainingError(
            path_of(archive) / member,
            f"it cannot be read as an image ({error})",
            "Download the archive again, or leave the frame out with --exclude.",
        ) from error


def path_of(archive: zipfile.ZipFile) -> Path:
    """Return where an archive lies."""
    return Path(str(archive.filename))


def find_strokes(frame: Bytes) -> Bools:
    """Mark thin bright strokes where devices write, by a white top-hat.

    Parameters
    ----------
    frame : ndarray of uint8, shape (height, width, 3)

    Returns
    -------
    ndarray of bool, shape (height, width)
    """
    height, width = frame.shape[:2]
    region = np.zeros((height, width), dtype=bool)
    region[:, : round(LEFT_STRIP * width)] = True
    region[round((1 - CORNER_HEIGHT) * height) :, round((1 - CORNER_WIDTH) * width) :] = True
    # The brightest channel: coloured letters are as visible as white ones.
    brightness = frame.max(axis=2).astype(np.int16)
    strokes = (ndimage.white_tophat(brightness, size=STROKE_WIDTH) > STROKE_CONTRAST) & region
    return ndimage.binary_dilation(strokes, iterations=STROKE_MARGIN)


def paint_over(frame: Bytes, strokes: Bools) -> Bytes:
    """Replace marked pixels by a Gaussian mean of those around them that are not marked."""
    known = (~strokes).astype(np.float32)
    weight = np.maximum(ndimage.gaussian_filter(known, FILL_REACH), 1e-6)
    painted = frame.copy()
    for channel in range(3):
        mean = ndimage.gaussian_filter(frame[..., channel] * known, FILL_REACH) / weight
        painted[..., channel][strokes] = np.rint(mean[strokes]).clip(0, 255)
    return painted


def thumbnail(frame: Image.Image) -> NDArray[np.float32]:
    """Return a small frame as a vector of mean 0 and length 1."""
    small = frame.resize((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BOX)
    vector = np.asarray(small, dtype=np.float32).ravel()
    vector -= vector.mean()
    return vector / max(float(np.linalg.norm(vector)), 1e-6)


def group_alike(thumbnails: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return a group number per frame; a correlation above 0.95 links two frames."""
    alike = thumbnails @ thumbnails.T > LIKENESS
    return connected_components(alike, directed=False)[1].astype(np.int64)


def split_groups(groups: NDArray[np.int64], seed: int) -> list[str]:
    """Name a side for every frame, the same for all frames of a group, while there are groups."""
    sides = np.full(len(groups), "train", dtype=object)
    order = list(np.random.default_rng(seed).permutation(groups.max() + 1))
    for side, share in SHARES.items():
        wanted = round(share * len(groups))
        while order and np.count_nonzero(sides == side) < wanted:
            sides[groups == order.pop(0)] = side
    return sides.tolist()


def convert(archive: zipfile.ZipFile, excluded: set[str], out: Path) -> list[dict[str, object]]:
    """Write frames and masks; return a row for each, with its thumbnail.

    Raises
    ------
    ArgumentError
        If names to leave out are not those of frames, or those of all frames.
    TrainingError
        If a frame has no mask, or one of them cannot be read.
    """
    pairs = list_pairs(archive)
    if unknown := sorted(excluded - pairs.keys()):
        raise ArgumentError("--exclude", unknown[:3], f"names of frames in {archive.filename}")
    if not pairs.keys() - excluded:
        raise ArgumentError("--exclude", f"all {len(pairs)} frames", "some of them")
    for part in ("images", "masks"):
        (out / part).mkdir()
    rows = []
    for name in tqdm([name for name in pairs if name not in excluded]):
        pair = read_pair(archive, name, pairs[name])
        strokes = find_strokes(pair.frame)
        painted = Image.fromarray(paint_over(pair.frame, strokes))
        small = painted.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        file = f"polyp_{len(rows):04d}.png"
        small.save(out / "images" / file)
        Image.fromarray(pair.mask).save(out / "masks" / file)
        rows.append(
            {
                "file": file,
                "source": name,
                "mask_fraction": round(float((pair.mask > 0).mean()), 4),
                "painted_fraction": round(float(strokes.mean()), 4),
                "thumbnail": thumbnail(small),
            }
        )
    return rows


def read_excluded(path: Path | None) -> set[str]:
    """Return the names of the frames to leave out.

    Raises
    ------
    TrainingError
        If the file cannot be read.
    """
    try:
        return set(path.read_text(encoding="utf-8-sig").split()) if path else set()
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingError(
            Path(str(path)), f"it cannot be read ({error})", "Write names of frames, in UTF-8."
        ) from error


def write_tables(rows: list[dict[str, object]], seed: int, out: Path) -> dict[str, int]:
    """Write labels.csv and the three split files; return how many frames each side has."""
    groups = group_alike(np.stack([row.pop("thumbnail") for row in rows]))
    sides = split_groups(groups, seed)
    with (out / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*rows[0], "similarity_group", "split"])
        writer.writeheader()
        for row, group, side in zip(rows, groups, sides, strict=True):
            writer.writerow(row | {"similarity_group": group, "split": side})
    for side in ("train", *SHARES):
        names = [str(row["file"]) for row, own in zip(rows, sides, strict=True) if own == side]
        (out / f"split_{side}.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    return {side: sides.count(side) for side in ("train", *SHARES)}


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--archive", type=Path, required=True, help="the public archive")
    parser.add_argument("--out", type=Path, required=True, help="new folder for the training data")
    parser.add_argument("--exclude", type=Path, help="file with names to leave out, without ending")
    parser.add_argument("--seed", type=int, default=0, help="seed of the split")
    return parser.parse_args()


def main() -> None:
    """Write images, masks, labels.csv and the three split files."""
    options = parse_arguments()
    if options.seed < 0:
        raise ArgumentError("--seed", options.seed, "0 or more")
    excluded = read_excluded(options.exclude)
    with new_folder(options.out) as out, open_archive(options.archive) as archive:
        rows = convert(archive, excluded, out)
        counts = write_tables(rows, options.seed, out)
        if empty := [side for side, count in counts.items() if not count]:
            raise TrainingError(
                options.archive,
                f"nothing is left for {empty[0]}: {len(rows)} frames are too few, or look alike",
            )
    for side, count in counts.items():
        print(f"{side}: {count} frames")


if __name__ == "__main__":
    run_script(main)
