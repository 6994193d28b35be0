"""Make the training folder: ``python prepare_data.py --download FOLDER --out FOLDER``.

FOLDER holds the public download of ChestX-ray14 from the NIH Clinical Center,
https://nihcc.app.box.com/v/ChestXray-NIHCC (Wang et al., "ChestX-ray8: Hospital-scale Chest X-ray
Database and Benchmarks on Weakly-Supervised Classification and Localization of Common Thorax
Diseases", CVPR 2017; free use with attribution): its PNG files, or the archives
``images_*.tar.gz`` as they come. The 1,000 images of the subset that Ozturk et al. chose
(Computers in Biology and Medicine, 103792, 2020) are also in the folders ``No_findings`` and
``Pneumonia`` of https://github.com/muhammedtalo/COVID-19 (commit
ee3e2cffc0824711bed675275506b26f19be7198), under the same names.

``subset.csv`` beside this file says which images these are, with the class, the view where it is
known, and the side of the split; all images of a patient are on one side. Each image is brought
from 1,024 to 128 pixels and not changed otherwise. The classes were mined by NIH from the
reports: "pneumonia" means that a report was read so by a program, not that a person looked.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Set
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image
from tqdm import tqdm

from medmint.errors import TrainingError
from medmint.home import new_folder
from medmint.model_trainer import run_script

SUBSET = Path(__file__).resolve().parent / "subset.csv"
SIDE = 128
#: Digits of a file name that are NIH's number of the patient.
PATIENT_DIGITS = 8
#: SHA-256 of the pixels of all images, in the order of the list, that the weights were made from.
PIXELS_SHA256 = "b1977029681bc876e0b2a757c034cb8f60d6039da1cc0ec1bb525d3a1c2c4876"


def read_subset(path: Path = SUBSET) -> dict[str, dict[str, str]]:
    """Return the row of each file, in the order in which they are learnt."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {row["file"]: row | {"patient_id": row["file"][:PATIENT_DIGITS]} for row in rows}


def find_images(folder: Path, wanted: set[str]) -> Iterator[tuple[Path, bytes]]:
    """Yield path and content of the wanted files below a folder, those in archives last.

    Raises
    ------
    TrainingError
        If a file or an archive cannot be read.
    """
    left = set(wanted)
    for path in sorted(folder.rglob("*.png")):
        if path.name in left and path.is_file():
            left.remove(path.name)
            yield path, read_file(path)
    for path in sorted(folder.rglob("*.tar.gz")):
        if left and path.is_file():
            for member, content in read_archive(path, left):
                left.remove(member.name)
                yield member, content


def read_file(path: Path) -> bytes:
    """Return the content of a file of the download."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise TrainingError(path, f"it cannot be read ({error})") from error


def read_archive(path: Path, wanted: Set[str]) -> Iterator[tuple[Path, bytes]]:
    """Yield path and content of the files in an archive that are wanted at that moment."""
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                if PurePosixPath(member.name).name in wanted and member.isfile():
                    file = archive.extractfile(member)
                    yield path / member.name, file.read() if file is not None else b""
    except (OSError, EOFError, ValueError, tarfile.TarError, zlib.error) as error:
        # tarfile goes on with a line for each compression that it tried.
        reason = str(error).partition(":\n")[0]
        raise TrainingError(
            path, f"it cannot be read as a tar.gz archive ({reason})", "Download it again."
        ) from error


def resize(path: Path, content: bytes) -> Image.Image:
    """Return a grey image of 128 x 128 pixels."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            # A few files have colours and transparency; their colour channels are all the same.
            grey = image.getchannel(0) if image.mode in ("RGB", "RGBA") else image.convert("L")
            return grey.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise TrainingError(path, f"it cannot be read as an image ({error})") from error


def write_tables(rows: Mapping[str, Mapping[str, str]], out: Path) -> None:
    """Write labels.csv and the three lists of the split."""
    columns = ["file", "label", "patient_id", "view", "split"]
    with (out / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, columns)
        table.writeheader()
        table.writerows(rows.values())
    for side in ("train", "val", "test"):
        names = [name for name, row in rows.items() if row["split"] == side]
        (out / f"split_{side}.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
        print(f"{side}: {len(names)} images")


def prepare(download: Path, out: Path, rows: Mapping[str, Mapping[str, str]]) -> str:
    """Write the training folder, whole or not at all, and return the hash of its pixels.

    Raises
    ------
    OutputError
        If the folder has something in it already.
    TrainingError
        If images of the list are not in the download, or one cannot be read.
    WriterError
        If the folder cannot be written.
    """
    with new_folder(out) as aside:
        images = read_images(download, rows)
        digest = hashlib.sha256()
        (aside / "images").mkdir()
        for name in rows:
            images[name].save(aside / "images" / name)
            digest.update(np.asarray(images[name]).tobytes())
        write_tables(rows, aside)
    return digest.hexdigest()


def read_images(download: Path, rows: Mapping[str, object]) -> dict[str, Image.Image]:
    """Return the images of the list, resized.

    Raises
    ------
    TrainingError
        If some are not in the download, or one cannot be read.
    """
    images = {}
    for path, content in tqdm(find_images(download, set(rows)), total=len(rows)):
        images[path.name] = resize(path, content)
    if missing := sorted(rows.keys() - images.keys()):
        raise TrainingError(
            download,
            f"{len(missing)} of {len(rows)} images are not there, such as {missing[0]}",
            "Give the folder that holds the archives images_001.tar.gz to images_012.tar.gz.",
        )
    return images


def main() -> None:
    """Write images, labels.csv and the three split files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--download", type=Path, required=True, help="folder of the NIH download")
    parser.add_argument("--out", type=Path, required=True, help="new folder for the training data")
    options = parser.parse_args()
    found = prepare(options.download, options.out, read_subset())
    same = "the same as" if found == PIXELS_SHA256 else "not those"
    print(f"pixels: sha256 {found}, {same} the shipped weights were trained on")


if __name__ == "__main__":
    run_script(main)
