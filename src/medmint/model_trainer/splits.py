"""Which images of a folder are for training, for choosing (val) and for the last word (test)."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from medmint.errors import TrainingError
from medmint.model_trainer.labels import LABELS, PATIENT, Labels

logger = logging.getLogger(__name__)

SPLITS = ("train", "val", "test")
#: Shares of val and test where a folder has no split files.
VAL_SHARE, TEST_SHARE = 0.15, 0.15
#: Fewer images teach a network nothing but themselves; fewer than 8 are too few to measure with.
FEWEST = {"train": 32, "val": 8, "test": 8}


def split_names(folder: Path, split: str, labels: Labels) -> list[str]:
    """Return the names of the images of one split.

    Raises
    ------
    TrainingError
        If there are no images or too few, the split file is missing or wrong, or one file or
        patient is on two sides.
    """
    if not (folder / "images").is_dir():
        raise TrainingError(
            folder, "there is no folder images in it", "Put the images there, or run prepare_data."
        )
    sides = _listed(folder) or _drawn(folder, labels)
    if split not in sides:
        raise TrainingError(
            folder / f"split_{split}.txt",
            f"it is not there, though split_{next(iter(sides))}.txt is",
            "Write it, or remove the others for a split by chance.",
        )
    if split == "train":
        _refuse_strangers(folder, [name for names in sides.values() for name in names], labels)
    _refuse_leaks(folder, sides, labels)
    if (count := len(sides[split])) < FEWEST[split]:
        raise TrainingError(
            folder,
            f"split {split} has {count} images, at least {FEWEST[split]} are needed",
            "Add images, or name more of them in the split files.",
        )
    return sides[split]


def _refuse_strangers(folder: Path, names: list[str], labels: Labels) -> None:
    """Refuse a table of other files: patients would be on several sides without a word."""
    if not labels or not names:
        return
    if not any(name in labels for name in names):
        raise TrainingError(
            folder / LABELS,
            f"it names none of {len(names)} images such as {names[0]}, but {next(iter(labels))}",
            "Names under 'file' are those in the folder images, ending included.",
        )
    alone = [name for name in names if not labels.get(name, {}).get(PATIENT)]
    if PATIENT in next(iter(labels.values())) and alone:
        told = "%s: %d of %d images such as %s have no %s, and are taken for patients of their own."
        logger.info(told, folder / LABELS, len(alone), len(names), alone[0], PATIENT)


def _listed(folder: Path) -> dict[str, list[str]]:
    """Read the split files that are there."""
    paths = {split: folder / f"split_{split}.txt" for split in SPLITS}
    return {split: _lines(path) for split, path in paths.items() if path.exists()}


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingError(
            path, f"it cannot be read ({error})", "Write a file name a line, in UTF-8."
        ) from error
    names = [PurePosixPath(line.strip()) for line in lines if line.strip()]
    for name in names:
        if name.is_absolute() or ".." in name.parts:
            raise TrainingError(
                path, f"{name} is outside of the folder images", "Names are relative to it."
            )
    return [name.as_posix() for name in names]


def _drawn(folder: Path, labels: Labels) -> dict[str, list[str]]:
    found = (path for path in (folder / "images").iterdir() if path.is_file())
    # Systems keep notes of their own in hidden files.
    names = sorted(path.name for path in found if not path.name.startswith("."))
    sides: dict[str, list[str]] = {split: [] for split in SPLITS}
    for name in names:
        sides[side_of(labels.get(name, {}).get(PATIENT) or name)].append(name)
    return sides


def side_of(unit: str) -> str:
    """Return the split of a patient or a file, the same at every call.

    Examples
    --------
    >>> side_of("patient 7") == side_of("patient 7")
    True
    """
    place = int.from_bytes(hashlib.sha256(unit.encode()).digest()[:8]) / 2**64
    if place < TEST_SHARE:
        return "test"
    return "val" if place < TEST_SHARE + VAL_SHARE else "train"


def _refuse_leaks(folder: Path, sides: Mapping[str, list[str]], labels: Labels) -> None:
    """Refuse a file or patient on two sides: what was seen in training proves nothing."""
    owner: dict[str, str] = {}
    for split, names in sides.items():
        for name, times in Counter(names).items():
            if times > 1:
                raise TrainingError(
                    folder / f"split_{split}.txt", f"it names {name} {times} times", _ONCE
                )
            patient = labels.get(name, {}).get(PATIENT)
            for unit in (name, *([f"patient {patient}"] if patient else [])):
                if owner.setdefault(unit, split) != split:
                    raise TrainingError(
                        folder, f"{unit} is in the splits {owner[unit]} and {split}", _ONCE
                    )


_ONCE = "Each image belongs to one split once, and so does each patient."
