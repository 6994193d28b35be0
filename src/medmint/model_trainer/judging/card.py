"""``MODEL_CARD.md``: the one form in which every model says what it is, made of files.

What it is and what it learnt from stands in ``metadata.json``; how it was made in ``card.toml``;
every number in ``numbers.json``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medmint.catalogue.records import ModelRecord
from medmint.errors import TrainingError
from medmint.home import write_file
from medmint.model_trainer.data_facts import read_toml
from medmint.model_trainer.judging.numbers import Numbers, Section, markdown_table

CARD, TEXTS, SHEET = "MODEL_CARD.md", "card.toml", "samples.png"
RESEARCH_USE = (
    "Research use. This is not a medical device: nothing here was tested for, or may be used in, "
    "the diagnosis or treatment of a patient. Synthetic is not automatically anonymous: a model "
    "can give away what it was trained on, see Privacy."
)
PRIVACY_SECTION = "copying"
_NOT_SAID = "not said"
_LISTS = ("limits", "references")


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnTraining:
    """A training on a user's own images, of which the record of the package knows nothing.

    Attributes
    ----------
    data : mapping of str to str
        What ``data.toml`` in the training folder says: ``name``, ``license``, ``attribution``,
        ``patients``. What it does not say, the card calls not said.
    command : str
        Empty where it is not known.
    started_from : str or None
        Weights that it went on from.
    """

    data: Mapping[str, str]
    command: str = ""
    started_from: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """What a package says in ``card.toml``, in Markdown; what is empty is left out.

    Attributes
    ----------
    architecture, commands, training : str
        The networks and losses; the commands from the download to the card; time, machine, and
        how the weights were chosen.
    data, split, privacy, licence : str
        Added to what the record says: public sources and hashes, what was changed.
    limits, references : tuple of str
        One item each.
    """

    architecture: str = ""
    commands: str = ""
    training: str = ""
    data: str = ""
    split: str = ""
    privacy: str = ""
    licence: str = ""
    limits: tuple[str, ...] = ()
    references: tuple[str, ...] = ()


def read_texts(folder: Path) -> Texts:
    """Read ``card.toml`` of a package; nothing where there is none.

    Raises
    ------
    TrainingError
        If it cannot be read or holds something that a card has no place for.
    """
    path = folder / TEXTS
    given: dict[str, Any] = read_toml(path)
    for name, value in given.items():
        kind = "a list of texts" if name in _LISTS else "a text"
        fits = (
            isinstance(value, list) and all(isinstance(item, str) for item in value)
            if name in _LISTS
            else isinstance(value, str)
        )
        if name not in Texts.__dataclass_fields__ or not fits:
            known = ", ".join(Texts.__dataclass_fields__)
            reason = f"{name} is {value!r}, expected {kind} under one of the names {known}"
            raise TrainingError(path, reason)
    texts: dict[str, Any] = {
        name: tuple(value) if name in _LISTS else value.strip() for name, value in given.items()
    }
    return Texts(**texts)


def write_card(
    folder: Path,
    record: ModelRecord,
    numbers: Numbers,
    *,
    texts: Texts,
    own: OwnTraining | None = None,
) -> Path:
    """Write ``MODEL_CARD.md``.

    Parameters
    ----------
    folder : Path
    record : ModelRecord
    numbers : Numbers
    texts : Texts
    own : OwnTraining, optional
        For weights that are not those the record speaks of.

    Returns
    -------
    Path
    """
    parts = [*_head(record, own, has_sheet=(folder / SHEET).is_file())]
    parts += [*_data(record, numbers, texts, own), *_making(texts, own)]
    parts += [*_numbers(numbers), *_privacy(numbers, texts), *_rest(record, texts, own)]
    path = folder / CARD
    write_file(path, ("\n\n".join(parts) + "\n").encode())
    return path


def _head(record: ModelRecord, own: OwnTraining | None, *, has_sheet: bool) -> Iterator[str]:
    description = record.description
    yield f"# {record.model_id}" + (", trained on other images" if own else "")
    comment = description.get("comment")
    told = f" {comment}" if comment and not own else ""
    yield ("Made with the script of: " if own else "") + f"{record.title}.{told}"
    if has_sheet:
        yield f"![The first samples that were drawn to be measured, none left out]({SHEET})"
    yield "## Intended use"
    yield RESEARCH_USE
    if own is None and description.get("intended_use"):
        yield str(description["intended_use"])


def _data(
    record: ModelRecord, numbers: Numbers, texts: Texts, own: OwnTraining | None
) -> Iterator[str]:
    yield "## Limits"
    if own is None:
        limits = [record.description.get("limits") or _NOT_SAID, *texts.limits]
    else:
        limits = ["Those of the images that it was trained on, which nobody has stated here."]
    yield "\n".join(f"- {limit}" for limit in limits)
    yield "## Training data"
    facts: Mapping[str, Any] = (
        (record.description.get("training_data") or {}) if own is None else own.data
    )
    named = {"Data set": "name", "Licence": "license", "Attribution": "attribution"}
    named |= {"Patients": "patients"}
    yield "\n".join(f"- **{name}:** {_said(facts.get(key))}" for name, key in named.items())
    if own is None:
        yield from filter(None, [texts.data])
    yield "## Split"
    counts = ", ".join(f"{count} {name}" for name, count in numbers.subject["images"].items())
    yield f"Read for the numbers below: {counts}."
    if own is None:
        yield texts.split or facts.get("split") or f"{_NOT_SAID.capitalize()}."
    else:
        yield "By the split files of the training folder, else by a hash of the patient or file."


def _making(texts: Texts, own: OwnTraining | None) -> Iterator[str]:
    yield "## Architecture"
    if own is not None and texts.architecture:
        yield (
            "*What follows is of the model that the script came with. Sizes, steps and losses of "
            "this training are those of the command below.*"
        )
    yield texts.architecture or f"{_NOT_SAID.capitalize()}."
    yield "## Command, time and machine"
    if own is None:
        yield _fenced(texts.commands)
        yield from filter(None, [texts.training])
        return
    yield _fenced(own.command)
    if own.started_from:
        yield f"It went on from the weights {own.started_from}."
    yield "The course of the losses is in `log.csv`, one for each phase."


def _numbers(numbers: Numbers) -> Iterator[str]:
    subject = numbers.subject
    options = subject["options"].items()
    yield "## Numbers"
    yield (
        f"From `numbers.json`, which the scripts of the package write; weights "
        f"`{str(subject['weights_sha256'])[:16]}`, {subject['split']} split"
        + "".join(f", {key} {value}" for key, value in options if value is not None)
        + "."
    )
    if subject["split"] != "test":
        yield (
            f"**Choices were made on the {subject['split']} split, so these numbers flatter the "
            "model. The test split was not touched.**"
        )
    goals = [goal for part in numbers.sections.values() for goal in part.goals]
    if goals:
        rows = [(g.text, g.measured, "met" if g.is_met else "**not met**") for g in goals]
        yield markdown_table(("Goal", "measured", ""), rows)
    else:
        yield "Nothing was measured."
    for name, section in numbers.sections.items():
        if name != PRIVACY_SECTION:
            yield f"### {section.title}"
            yield from _section(section)


def _privacy(numbers: Numbers, texts: Texts) -> Iterator[str]:
    yield "## Privacy"
    section = numbers.sections.get(PRIVACY_SECTION)
    if section is None:
        yield (
            "Not measured: whether samples repeat training images, and whether membership in the "
            "training set can be told, is not known. Treat the weights as if single training "
            "images could be recovered from them."
        )
    else:
        yield from _section(section)
        yield (
            "Such tests find copies that are near in pixels or features. They do not show that "
            "there are none of another kind, and no number here is a guarantee."
        )
    yield texts.privacy or "No differential privacy was used."


def _rest(record: ModelRecord, texts: Texts, own: OwnTraining | None) -> Iterator[str]:
    yield "## Licence"
    if own is None:
        code = record.selection.get("license")
        weights = record.description.get("weights_license") or code
        yield f"Weights and samples: {_said(weights)}. Code: {_said(code)}."
        yield from filter(None, [texts.licence])
    else:
        yield (
            f"Of the weights: {_NOT_SAID}. The licence of the training images decides what may be "
            "shared; so does that of the weights that a training went on from."
        )
    if texts.references:
        yield "## References"
        yield "\n".join(f"- {reference}" for reference in texts.references)


def _section(section: Section) -> Iterator[str]:
    yield section.about
    for table in section.tables:
        yield markdown_table(table.columns, table.rows)
        yield from filter(None, [table.caption])
    if section.notes:
        yield "\n".join(f"- {_sentence(note)}" for note in section.notes)


def _fenced(commands: str) -> str:
    """Return commands as a block of code; some bring their own fence."""
    if not commands:
        return f"{_NOT_SAID.capitalize()}."
    return commands if "```" in commands else f"```\n{commands}\n```"


def _said(value: Any) -> str:
    return _NOT_SAID if value is None or value == "" else str(value)


def _sentence(note: str) -> str:
    return note[:1].upper() + note[1:] + ("" if note.endswith((".", "!", "?")) else ".")
