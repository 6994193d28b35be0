"""Rows and facts as text for a terminal, or as JSON for other programs."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

_GAP = "  "


def format_table(rows: Sequence[Mapping[str, Any]], *, as_json: bool = False) -> str:
    """Lay rows out as wide as the terminal; what does not fit is cut at the end of the line.

    Where there is no terminal, nothing is cut: another program may read the lines.

    Examples
    --------
    >>> print(format_table([{"id": 1, "name": "a"}, {"id": 20, "name": "b"}]))
    id  name
    1   a
    20  b
    """
    if as_json:
        return json.dumps(rows, indent=1)
    columns = list(rows[0]) if rows else []
    table = [columns, *([_text(row[name]) for name in columns] for row in rows)]
    widths = [max(len(cells[i]) for cells in table) for i in range(len(columns))]
    room = shutil.get_terminal_size((sys.maxsize, 24)).columns
    lines = []
    for cells in table:
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        line = _GAP.join(padded).rstrip()
        lines.append(line if len(line) <= room else line[: room - 3] + "...")
    return "\n".join(lines)


def format_facts(facts: Mapping[str, Any], *, as_json: bool = False) -> str:
    """Lay named facts out, long ones wrapped under each other; what is not known is left out.

    Examples
    --------
    >>> print(format_facts({"id": 10, "organ": ["colon", "polyp"], "depth": None}))
    id     10
    organ  colon, polyp
    """
    if as_json:
        return json.dumps(facts, indent=1)
    width = max(map(len, facts), default=0) + len(_GAP)
    room = max(shutil.get_terminal_size((100, 24)).columns, width + 20) - width
    lines = []
    for name, value in facts.items():
        if value in (None, [], {}, ""):
            continue
        parts = _text(value).splitlines()
        wrapped = [line for part in parts for line in textwrap.wrap(part, room) or [""]]
        lines.append(name.ljust(width) + f"\n{' ' * width}".join(wrapped))
    return "\n".join(lines)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return str(round(value, 3))
    if isinstance(value, list) and all(isinstance(item, str | int | float) for item in value):
        return ", ".join(map(str, value))
    if isinstance(value, list):
        return "\n".join(_text(item) for item in value)
    if isinstance(value, dict):
        return "\n".join(f"{name}: {_in_line(item) or '-'}" for name, item in value.items())
    return str(value)


def _in_line(value: Any) -> str:
    """Keep a table within a table on one line, so that it is seen where it belongs."""
    if not isinstance(value, dict):
        return _text(value)
    parts = (f"{name} {_in_line(item) or '-'}" for name, item in value.items())
    return f"({', '.join(parts)})" if value else ""
