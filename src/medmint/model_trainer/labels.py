"""The table ``labels.csv`` of a training folder: patients, and what a model is conditioned on."""

from __future__ import annotations

import csv
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from medmint.errors import TrainingError

logger = logging.getLogger(__name__)

LABELS, PATIENT = "labels.csv", "patient_id"
#: Index of a value that is not known.
UNKNOWN = -1

Labels = Mapping[str, Mapping[str, str]]


def read_labels(folder: Path) -> dict[str, dict[str, str]]:
    """Return the row of each file; nothing where there is no labels.csv.

    Raises
    ------
    TrainingError
        If it is no table with the column ``file``, or names a file twice.
    """
    path = folder / LABELS
    if not path.exists():
        return {}
    try:
        # Spreadsheets put a mark before the first name that is no part of it.
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file)
            table.fieldnames = [name.strip() for name in table.fieldnames or ()]
            rows = list(table)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TrainingError(
            path, f"it cannot be read as a table ({error})", "Save it as CSV in UTF-8."
        ) from error
    labels: dict[str, dict[str, str]] = {}
    for number, row in enumerate(rows, start=1):
        if not row.get("file") or None in row:
            raise TrainingError(
                path,
                f"row {number} has no cell under 'file', or more cells than there are columns",
                "Separate columns by commas, and put texts that hold commas into double quotes.",
            )
        name = PurePosixPath(row["file"].strip()).as_posix()
        if name in labels:
            raise TrainingError(path, f"it names {name} twice", "Keep one row for each file.")
        labels[name] = {key: (value or "").strip() for key, value in row.items()}
    return labels


def condition_values(folder: Path, columns: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the values of columns of labels.csv, sorted; empty cells are unknown.

    Raises
    ------
    TrainingError
        If there is no labels.csv, it lacks a column, or a column has fewer than two values.
    """
    labels = read_labels(folder)
    found = {}
    for column in columns:
        check_column(folder, labels, column)
        values = sorted({row[column] for row in labels.values()} - {""})
        if len(values) < 2:
            raise TrainingError(
                folder / LABELS,
                f"column {column!r} has the values {values}, at least two are needed",
                "Leave out a condition that is always the same.",
            )
        found[column] = tuple(values)
    others = [name for name in next(iter(labels.values()), {}) if name not in {"file", PATIENT}]
    if others and not columns:
        named = ", ".join(others)
        logger.info("No --conditions are named: classes are not learnt. Columns are %s.", named)
    return found


def check_column(folder: Path, labels: Labels, column: str) -> None:
    """Refuse labels without a column that a model is conditioned on."""
    if not labels or column not in next(iter(labels.values())):
        raise TrainingError(
            folder / LABELS,
            f"there is no column {column!r}, which the model is conditioned on",
            f"Give a table with the columns file and {column}, a row for each image.",
        )


def condition_indices(
    folder: Path, names: Sequence[str], labels: Labels, conditions: Mapping[str, Sequence[str]]
) -> NDArray[np.int64]:
    """Return the place of each file's value among those of its column, -1 where unknown.

    Raises
    ------
    TrainingError
        If a column is missing, has a value that is not among those asked for, or none at all.
    """
    table = np.full((len(names), len(conditions)), UNKNOWN, dtype=np.int64)
    for place, (column, values) in enumerate(conditions.items()):
        check_column(folder, labels, column)
        for row, name in enumerate(names):
            value = labels.get(name, {}).get(column, "")
            if value and value not in values:
                raise TrainingError(
                    folder / LABELS,
                    f"{name} has the {column} {value!r}, expected one of {', '.join(values)}",
                    "Correct it, or leave the cell empty where it is not known.",
                )
            if value:
                table[row, place] = list(values).index(value)
        if (table[:, place] == UNKNOWN).all():
            raise TrainingError(
                folder / LABELS,
                f"it has no {column} for any of {len(names)} images such as {names[0]}",
                "Names under 'file' are those in the folder images, ending included.",
            )
    if conditions and (table == UNKNOWN).any(axis=1).all():
        raise TrainingError(
            folder / LABELS,
            f"no image such as {names[0]} has a value for each of {', '.join(conditions)}",
            "Name fewer --conditions, or fill in cells.",
        )
    return table
