"""What to know about a model before using it, and how to cite it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from medmint.catalogue.records import ModelRecord

_DOI = re.compile(r"10\.\d{4,9}/\S+")


def summarise(record: ModelRecord) -> dict[str, Any]:
    """Return the facts that decide whether a model fits, in reading order.

    Parameters
    ----------
    record : ModelRecord

    Returns
    -------
    dict
        Plain values only; ``options`` are the model's own keyword arguments with their defaults.
    """
    execution, entry = record.execution, record.to_dict()
    selection, description = entry["selection"], entry["description"]
    size = [selection.get("height"), selection.get("width"), selection.get("depth")]
    return {
        "model_id": record.model_id,
        "title": record.title,
        "type": selection.get("type"),
        "organ": selection.get("organ"),
        "modality": selection.get("modality"),
        "generates": selection.get("generates"),
        "size": [side for side in size if side],
        "output": entry["execution"].get("output", {}),
        "conditions": list(execution.conditions),
        "options": execution.generate_method.custom.thawed(),
        "latent_size": execution.generate_method.input_latent_vector_size,
        "trained_on": selection.get("dataset"),
        "performance": _reported(selection.get("performance", {})),
        "dependencies": list(execution.dependencies),
        "package": execution.package_link,
        "license": selection.get("license"),
        "weights_license": description.get("weights_license"),
        "intended_use": description.get("intended_use"),
        "limits": description.get("limits"),
        "comment": description.get("comment"),
        "doi": description.get("doi"),
    }


def citation(record: ModelRecord) -> str:
    """Return BibTeX entries for a model and what it was made from, and the terms of its weights.

    Parameters
    ----------
    record : ModelRecord

    Returns
    -------
    str
        The works that the record names, then the model itself with its licence as a note.
    """
    entry = record.to_dict()
    selection, description = entry["selection"], entry["description"]
    works = description.get("citation") or []
    dois = (found.group() for text in description.get("doi") or [] if (found := _DOI.search(text)))
    licence = description.get("weights_license") or selection.get("license") or "not stated"
    itself = {
        "title": record.title,
        "year": selection.get("year"),
        "doi": None if works else next(dois, None),
        "note": f"Generative model {record.model_id}; licence of the weights: {licence}",
    }
    entries = [_bibtex(work["type"], work["key"], work) for work in works]
    return "\n\n".join([*entries, _bibtex("misc", record.model_id, itself)])


def _bibtex(kind: str, key: str, work: Mapping[str, Any]) -> str:
    fields = {name: value for name, value in work.items() if name not in ("type", "key") and value}
    if authors := fields.pop("authors", None):
        fields = {"author": " and ".join(authors), **fields}
    lines = [f"  {name} = {{{_in_latex(name, value)}}}," for name, value in fields.items()]
    return "\n".join([f"@{kind}{{{key},", *lines, "}"])


def _in_latex(name: str, value: Any) -> str:
    """Escape what LaTeX would take for a command; addresses are printed as they are."""
    text = str(value)
    return text if name in ("doi", "url") else re.sub(r"(?<!\\)([&%$#_])", r"\\\1", text)


def _reported(performance: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what no one measured."""
    return {
        name: value
        for name, value in performance.items()
        if value is not None and not (isinstance(value, dict) and not any(value.values()))
    }
