"""What an evaluation found: a table, JSON, and one HTML page that needs nothing else."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from medmint.errors import ArgumentError
from medmint.home import make_folder, user_path, write_file
from medmint.model_evaluator.page import render
from medmint.model_evaluator.rows import Picture, Row, markdown, table_rows
from medmint.tables import format_table


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The result of an evaluation; printed, it is a table.

    Attributes
    ----------
    subject : str
        What was judged: a model id, or the source of synthetic images.
    rows : tuple of Row
    findings : tuple of str
        What to conclude, in words: copies, missing variety, a distance below its lower bound.
    warnings : tuple of str
        What to know about the data before believing a number.
    failures : mapping of str to str
        Metrics that could not be computed, and why; the others stand.
    provenance : mapping
        Versions, seeds, hashes, extractors with presets, sizes and sources of the sets.
    details : mapping
        Further results as plain values, by metric: splits, lists of copies, curves.
    pictures : tuple of Picture
    """

    subject: str
    rows: tuple[Row, ...]
    findings: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    failures: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    pictures: tuple[Picture, ...] = field(default=(), repr=False)

    def row(self, metric: str) -> Row:
        """Return the row of a metric.

        Raises
        ------
        ArgumentError
            If there is none; those that exist are named.
        """
        found = next((row for row in self.rows if row.metric == metric), None)
        if found is None:
            raise ArgumentError(
                "metric", metric, f"one of {', '.join(r.metric for r in self.rows)}"
            )
        return found

    @property
    def numbers(self) -> dict[str, float]:
        """Value of each metric, as a record keeps it under ``performance``."""
        return {row.metric: row.value for row in self.rows if math.isfinite(row.value)}

    def __str__(self) -> str:
        parts = [self.subject, format_table(table_rows(self.rows)) if self.rows else "no numbers"]
        sections = (
            ("Findings", self.findings),
            ("Warnings", self.warnings),
            ("Failed", [f"{name}: {reason}" for name, reason in self.failures.items()]),
        )
        for title, lines in sections:
            if lines:
                parts.append("\n".join([title, *(f"- {line}" for line in lines)]))
        return "\n\n".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the pictures as plain values; numbers that are none become None."""
        plain = {name: getattr(self, name) for name in self.__slots__ if name != "pictures"}
        plain["rows"] = [asdict(row) for row in self.rows]
        plain["intervals"] = "95 %, drawn as each row says"
        cleaned: dict[str, Any] = _plain(plain)
        return cleaned

    def save_json(self, path: str | PathLike[str]) -> Path:
        """Write :meth:`to_dict` as JSON.

        Raises
        ------
        WriterError
            If it cannot be written.
        """
        return written(path, json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n")

    def save_html(self, path: str | PathLike[str]) -> Path:
        """Write one page with the table, findings and pictures; it loads nothing from elsewhere.

        Raises
        ------
        WriterError
            If it cannot be written.
        """
        return written(path, render(self))

    def save(self, folder: str | PathLike[str]) -> Path:
        """Write ``report.json`` and ``report.html`` into a folder, which is made if needed."""
        place = make_folder(user_path("folder", folder, "a folder"))
        self.save_json(place / "report.json")
        return self.save_html(place / "report.html")

    def to_markdown(self) -> str:
        """Return the table as Markdown, for a model card."""
        return markdown(table_rows(self.rows))

    def add_to(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return a copy of a model's record with the numbers under ``selection.performance``.

        A metric that the record has already is replaced, the others are kept. What the numbers
        depend on goes beside them, under ``evaluation``.
        """
        copied: dict[str, Any] = json.loads(json.dumps(dict(record)))
        performance = copied.setdefault("selection", {}).setdefault("performance", {})
        performance |= self.numbers
        known = ("medmint", "seed", "real", "n", "extractors")
        performance["evaluation"] = {
            name: _plain(self.provenance[name]) for name in known if name in self.provenance
        }
        return copied

    def write_record(self, path: str | PathLike[str]) -> Path:
        """Add the numbers to the record in a ``metadata.json``, which is replaced as a whole.

        Raises
        ------
        ArgumentError
            If the file does not hold a record.
        WriterError
            If it cannot be written; it is then as it was.
        """
        file = user_path("path", path, "a metadata.json")
        try:
            record = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ArgumentError("path", str(path), f"a record as JSON ({error})") from error
        if not isinstance(record, dict):
            raise ArgumentError("path", str(path), "a record as JSON")
        if "selection" not in record and len(record) == 1:
            ((model_id, inner),) = record.items()
            updated = {model_id: self.add_to(inner)}
        else:
            updated = self.add_to(record)
        return written(file, json.dumps(updated, indent=1, ensure_ascii=False) + "\n")


def _plain(value: Any) -> Any:
    """Bring values to what JSON has."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, list | tuple | set):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int | bool):
        return value
    return str(value)


def written(given: str | PathLike[str], text: str) -> Path:
    """Write a text file as a whole, so that it is there complete or as it was; return its path.

    Raises
    ------
    WriterError
        If it cannot be written.
    """
    path = user_path("path", given, "a file")
    write_file(path, text.encode())
    return path
