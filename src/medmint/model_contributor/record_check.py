"""The other side: whether a contributed record can go into a catalogue as it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medmint.catalogue.checks import MAX_BYTES, parse_catalogue, record_faults
from medmint.catalogue.files import is_local_link
from medmint.catalogue.records import ModelRecord, unknown_keys
from medmint.errors import ArgumentError, InvalidRecordError, MedmintError
from medmint.model_contributor.acceptance import MakeExecutor, ModelTest
from medmint.model_contributor.announcement import NUMBER, record_in
from medmint.model_contributor.licences import licence_fault
from medmint.model_contributor.questions import open_questions
from medmint.settings import is_safe_address


@dataclass(frozen=True, slots=True)
class RecordCheck:
    """What the check of a contributed record has shown.

    Attributes
    ----------
    model_id : str
    checks : tuple of str
        What was found to be right.
    faults : tuple of str
        What has to be mended; empty for a record that can be taken in.
    remarks : tuple of str
        What someone should look at.
    """

    model_id: str
    checks: tuple[str, ...]
    faults: tuple[str, ...]
    remarks: tuple[str, ...]

    @property
    def is_passed(self) -> bool:
        """Whether nothing has to be mended."""
        return not self.faults

    def to_markdown(self) -> str:
        """Return the result as a comment for an issue."""
        verdict = "passes" if self.is_passed else "cannot be taken in yet"
        lines = [f"**{self.model_id}** {verdict}.", ""]
        lines += [f"- :x: {_one_line(fault)}" for fault in self.faults]
        lines += [f"- :white_check_mark: {_one_line(check)}" for check in self.checks]
        lines += [f"- :grey_question: {_one_line(remark)}" for remark in self.remarks]
        return "\n".join(lines) + "\n"


def check_record(
    path: Path,
    *,
    executor_of: MakeExecutor,
    num_samples: int = 3,
    install_dependencies: bool = False,
) -> RecordCheck:
    """Validate a contributed record, download its package, verify and test it.

    Parameters
    ----------
    path : Path
        A JSON file with one record under its id, or the text of the issue that holds it.
    executor_of : MakeExecutor
    num_samples : int
        How many samples each check generates.
    install_dependencies : bool
        Build a private environment where the model needs packages that are not here.

    Returns
    -------
    RecordCheck

    Raises
    ------
    ArgumentError
        If there is no such file.
    """
    try:
        model_id, data = _read(path)
    except InvalidRecordError as error:
        return RecordCheck(path.name, (), tuple(error.faults), ())
    faults = [*record_faults(model_id, data)] or [*_publication_faults(data)]
    if faults:
        return RecordCheck(model_id, (), tuple(faults), ())
    checks = ["the record keeps the schema"]
    try:
        record = ModelRecord.from_dict(model_id, data)
        executor = executor_of(record)
        package = executor.install(install_dependencies=install_dependencies)
        checks.append(f"the package is there and is sha256 {package.sha256}")
        report = ModelTest(record, executor_of, num_samples=num_samples).run(
            install_dependencies=install_dependencies
        )
    except MedmintError as error:
        return RecordCheck(model_id, tuple(checks), (str(error),), ())
    remarks = [f"not answered: {question.text}" for question in open_questions(data)]
    return RecordCheck(model_id, (*checks, *report.checks), (), tuple(remarks))


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InvalidRecordError(path.name, ["the file is larger than any record"])
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ArgumentError("FILE", str(path), "a readable JSON or Markdown file") from error
    entries = parse_catalogue(record_in(text).encode(), path.name)
    if len(entries) != 1:
        raise InvalidRecordError(path.name, [f"expected one record, found {len(entries)}"])
    return next(iter(entries.items()))


def _publication_faults(record: dict[str, Any]) -> Iterator[str]:
    """Yield what a record lacks although it is valid for its author's own machine."""
    execution = record["execution"]
    link = execution["package_link"]
    if is_local_link(link) or link.startswith("bundled:"):
        yield f"/execution/package_link: {link!r} is on one machine alone"
    elif NUMBER in link:
        yield f"/execution/package_link: {NUMBER} is to be replaced by the number of the record"
    elif "://" in link and not is_safe_address(link):
        yield f"/execution/package_link: {link!r} is no https address"
    elif "://" in link and "/files/" not in link and not link.endswith(".zip"):
        yield f"/execution/package_link: {link!r} is a page, not the file"
    for name in ("sha256", "size_bytes"):
        if name not in execution:
            yield f"/execution/{name}: expected that of the archive, got nothing"
    if fault := licence_fault(record):
        yield f"/selection/license: {fault}"
    for key in unknown_keys(record):
        yield f"/{key.replace('.', '/')}: medmint does not know this key"


def _one_line(text: str) -> str:
    return " ".join(text.split())
