"""Arguments of the library, as the command line calls them."""

from __future__ import annotations

import json
import re
from typing import Any

_SWITCH = re.compile(r"\b([a-z]+(?:_[a-z]+)*)=True\b")


def as_flags(text: str) -> str:
    """Say ``overwrite=True`` the way it is said on the command line.

    Examples
    --------
    >>> as_flags("Pass install_dependencies=True.")
    'Pass --install-dependencies.'
    """
    return _SWITCH.sub(lambda found: "--" + found[1].replace("_", "-"), text)


def read_value(text: str) -> Any:
    """Read a value as JSON, or as text where it is none.

    Examples
    --------
    >>> read_value("8"), read_value("T1"), read_value("[1, 2]")
    (8, 'T1', [1, 2])
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
