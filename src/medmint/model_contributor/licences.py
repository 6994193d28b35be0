"""The licence of a model's weights: what the record says, what the text in the folder is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medmint.errors import ArgumentError
from medmint.publishing import licence_id

#: How the texts of usual licences begin or call themselves.
_LICENCES = {
    "CC-BY-SA-4.0": r"CC[- ]BY[- ]SA[- ]4\.0|Attribution-ShareAlike 4\.0",
    "CC-BY-NC-4.0": r"CC[- ]BY[- ]NC[- ]4\.0|Attribution-NonCommercial 4\.0",
    "CC-BY-4.0": r"CC[- ]BY[- ]4\.0|Attribution 4\.0",
    "CC0-1.0": r"CC0[- ]1\.0|CC0 1\.0",
    "Apache-2.0": r"Apache License,?\s+Version 2\.0",
    "BSD-3-Clause": r"Neither the name of",
    "MIT": r"MIT License|Permission is hereby granted, free of charge, to any person obtaining",
}


def licence(record: Mapping[str, Any]) -> str:
    """Return the licence of the weights, empty if the record has none."""
    given = record["description"].get("weights_license") or record["selection"].get("license")
    return str(given or "")


def licence_fault(record: Mapping[str, Any]) -> str:
    """Return why the record could not be published under its licence, or nothing.

    Examples
    --------
    >>> licence_fault({"selection": {"license": "CC BY 4.0"}, "description": {}})
    ''
    """
    try:
        licence_id(licence(record))
    except ArgumentError as error:
        return error.message
    return ""


def licence_doubt(record: Mapping[str, Any]) -> str:
    """Return a word on weights under another licence than their training data, or nothing.

    Examples
    --------
    >>> licence_doubt({"selection": {"license": "MIT"}, "description": {}})
    ''
    """
    data = (record["description"].get("training_data") or {}).get("license")
    own = licence(record)
    if not data or not own or data == own:
        return ""
    return f"The training data are under {data!r}, the weights under {own!r}: is that allowed?"


def licence_of(folder: Path) -> str | None:
    """Return the SPDX identifier of the licence text in a folder, if it is a usual one."""
    for path in sorted(folder.iterdir()):
        if path.is_file() and re.match(r"(?i)licen[cs]e|copying", path.name):
            text = path.read_text(encoding="utf-8", errors="replace")
            for name, pattern in _LICENCES.items():
                if re.search(pattern, text):
                    return name
    return None
