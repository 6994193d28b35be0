"""A new package from a reference package: copied, renamed, ready to train."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from medmint.errors import ArgumentError
from medmint.home import new_folder, write_json
from medmint.model_contributor.identity import check_model_id, proposed_id
from medmint.packages.package import METADATA_NAME
from medmint.resources import template_folder

#: Caches, and what was measured of the original's weights.
_LEFT_OUT = shutil.ignore_patterns("__pycache__", ".*", "*.pyc", "numbers.json")
#: What a model card says beside record and numbers.
_CARD_TEXTS = "card.toml"
_OF_ORIGINAL = "*Of the model that this package was copied from; say what differs.*\n\n"
_EMPTY_CARD_TEXTS = """\
# Of this model, in Markdown: the commands from the data to this card; time, machine and how the
# weights were chosen; public sources and what was changed; the split; privacy; licence; limits.
commands = ""
training = ""
data = ""
split = ""
privacy = ""
licence = ""
limits = []
"""
#: Fields of a record that say what one model is and what it learnt from.
_OWN_WORDS = ("title", "comment", "doi", "citation", "training_data", "intended_use", "limits")


def template_names() -> list[str]:
    """Return the names of all reference packages.

    Examples
    --------
    >>> "minimal" in template_names()
    True
    """
    folders = template_folder("minimal").parent.iterdir()
    return sorted(path.name for path in folders if (path / METADATA_NAME).is_file())


def copy_template(
    name: str, folder: Path, *, taken: Iterable[str], model_id: str | None = None
) -> str:
    """Copy a reference package into a new folder and give it an id of its own.

    What the original says of itself stays in the record and the card to be replaced, apart from
    its measured performance and what ``card.toml`` says of its training.

    Parameters
    ----------
    name : str
        Such as ``"fastgan_polyp"``.
    folder : Path
        New folder; its name becomes that of the package.
    taken : iterable of str
        The ids that are in use.
    model_id : str, optional
        Default: a free number and the name of the folder.

    Returns
    -------
    str
        The id.

    Raises
    ------
    ArgumentError
        If there is no such reference package, or the id cannot be used.
    OutputError
        If the folder exists and is not empty.
    WriterError
        If it cannot be written.
    """
    taken = list(taken)
    if name not in template_names():
        raise ArgumentError("NAME", name, f"one of {', '.join(template_names())}")
    package_name = folder.resolve().name
    if model_id is None:
        model_id = proposed_id(package_name, taken)
    new_id = check_model_id(model_id, taken)
    with new_folder(folder) as copied:
        shutil.copytree(template_folder(name), copied, dirs_exist_ok=True, ignore=_LEFT_OUT)
        _rename(copied, new_id, package_name)
    return new_id


def borrowed_words(model_id: str, record: Mapping[str, Any]) -> str:
    """Say which fields of a record are still those of a reference package; empty if none are."""
    ours = record["description"]
    borrowed = {}
    for name in template_names():
        original, other = _read_record(template_folder(name))
        theirs = other["description"]
        borrowed[original] = [w for w in _OWN_WORDS if ours.get(w) and ours[w] == theirs.get(w)]
    original, words = max(borrowed.items(), key=lambda pair: len(pair[1]))
    if model_id in borrowed or not words:
        return ""
    named = ", ".join(words)
    return f"{named} in {METADATA_NAME}: still those of {original}, say what is true of this model."


def _read_record(folder: Path) -> tuple[str, dict[str, Any]]:
    ((model_id, record),) = json.loads((folder / METADATA_NAME).read_text(encoding="utf-8")).items()
    return model_id, record


def _rename(folder: Path, new_id: str, package_name: str) -> None:
    old_id, record = _read_record(folder)
    record["execution"] |= {
        "package_name": package_name,
        "package_link": f"{new_id}.zip",
    }
    _begin_anew(record)
    write_json(folder / METADATA_NAME, {new_id: record})
    if (texts := folder / _CARD_TEXTS).is_file():
        texts.write_text(_card_begun_anew(texts), encoding="utf-8", newline="\n")
    card = folder / "MODEL_CARD.md"
    if card.is_file():
        note = f"> Copied from {old_id}: all that follows is about that model until it is replaced."
        text = card.read_text(encoding="utf-8").replace(old_id, new_id)
        heading, _, rest = text.partition("\n")
        card.write_text(f"{heading}\n\n{note}\n{rest}", encoding="utf-8", newline="\n")


def _card_begun_anew(texts: Path) -> str:
    """Return the texts of a card with the architecture alone, which the scripts still have."""
    told = tomllib.loads(texts.read_text(encoding="utf-8"))
    architecture = f"architecture = '''\n{_OF_ORIGINAL}{told.get('architecture', '')}'''\n"
    references = json.dumps(told.get("references", []), ensure_ascii=False, indent=2)
    return f"{architecture}{_EMPTY_CARD_TEXTS}references = {references}\n"


def _begin_anew(record: dict[str, Any]) -> None:
    """Take out what is true of the original model alone."""
    record["selection"]["performance"] = {}
    for name in ("evidence", "paper_tables", "notes"):
        record["description"].pop(name, None)
