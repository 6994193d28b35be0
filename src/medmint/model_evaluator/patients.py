"""Whose image is it? Patients named by the user, a table, or the names of files."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medmint.errors import MetricError

#: Column of a table that names files, and columns that name patients, in the order of preference.
FILE_COLUMNS = ("file", "image", "filename", "path", "id")
PATIENT_COLUMNS = ("patient_id", "patient", "patientid", "subject_id", "subject")
#: Column that says which images look alike, for want of patients: they are kept together too.
SIMILAR_COLUMN = "similarity_group"
LABEL_COLUMNS = ("label", "class")
#: How file names tell the patient: NIH's eight digits before the number of the visit; BIDS and
#: the like, a word for a person before their number.
_PATTERNS = (
    re.compile(r"^(\d{8})_\d{3}(?!\d)"),
    re.compile(r"(?:^|[_\-/])((?:sub|subject|pat|patient|pid)[-_]?[A-Za-z0-9]*\d)", re.IGNORECASE),
)

#: Patients of images: one for each, by file name, by a function of the name, or a CSV table.
Groups = Sequence[Any] | Mapping[str, Any] | Callable[[str], Any] | str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Patients:
    """Who each image is of, who said so, and what one of them is called."""

    names: tuple[str, ...]
    source: str
    unit: str = "patient"

    @property
    def count(self) -> int:
        """Number of different patients."""
        return len(set(self.names))


def patients_from_names(names: Sequence[str]) -> Patients | None:
    """Read patients from file names; None where not every name tells one.

    Examples
    --------
    >>> patients_from_names(["00001280_004.png", "00001280_005.png"]).names
    ('00001280', '00001280')
    >>> patients_from_names(["polyp_0001.png"]) is None
    True
    """
    for pattern in _PATTERNS:
        found = [pattern.search(Path(name).name) for name in names]
        if found and all(found):
            return Patients(tuple(match[1] for match in found if match), "file names")
    return None


def patients_given(groups: Groups, names: Sequence[str], argument: str = "groups") -> Patients:
    """Read patients in one of the forms in which a user may give them.

    Raises
    ------
    MetricError
        If their number differs from that of the images, or an image has none.

    Examples
    --------
    >>> patients_given({"a.png": 7, "b.png": 8}, ["b.png", "a.png"]).names
    ('8', '7')
    """
    if isinstance(groups, str | os.PathLike):
        table = read_table(Path(groups), names)
        if table is None or table.patients is None:
            expected = f"columns {FILE_COLUMNS[0]} and {PATIENT_COLUMNS[0]}, a line for each image"
            raise MetricError(argument, f"{groups} without patients for these images", expected)
        return table.patients
    if callable(groups):
        return Patients(tuple(str(groups(name)) for name in names), "given function")
    if isinstance(groups, Mapping):
        missing = [name for name in names if name not in groups]
        if missing:
            raise MetricError(argument, f"no patient for {missing[0]}", "one for each image")
        return Patients(tuple(str(groups[name]) for name in names), "given names")
    listed = [str(one) for one in groups]
    if len(listed) != len(names):
        raise MetricError(
            argument, f"{len(listed)} entries", f"one for each of {len(names)} images"
        )
    return Patients(tuple(listed), "given list")


@dataclass(frozen=True, slots=True)
class Table:
    """What a CSV file says about images: patients and labels, each None where it does not."""

    patients: Patients | None
    labels: tuple[str, ...] | None


def read_table(path: Path, names: Sequence[str]) -> Table | None:
    """Read patients and labels of images from a CSV table; None where it has no line for some.

    Raises
    ------
    MetricError
        If the file cannot be read.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            columns = {name.strip().lower(): name for name in reader.fieldnames or []}
            lines = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MetricError(str(path), f"a table that cannot be read ({error})", "CSV") from error
    key = next((columns[name] for name in FILE_COLUMNS if name in columns), None)
    if key is None:
        return None
    by_name = {Path(line[key] or "").name: line for line in lines}
    own = [by_name.get(Path(name).name) for name in names]
    if not all(own):
        return None
    found = [line for line in own if line]

    def column(wanted: Sequence[str]) -> tuple[str, ...] | None:
        name = next((columns[one] for one in wanted if one in columns), None)
        values = tuple((line[name] or "").strip() for line in found) if name else ()
        return values if values and all(values) else None

    labels = column(LABEL_COLUMNS)
    if people := column(PATIENT_COLUMNS):
        return Table(Patients(people, path.name), labels)
    similar = column((SIMILAR_COLUMN,))
    return Table(Patients(similar, path.name, "similar group") if similar else None, labels)
