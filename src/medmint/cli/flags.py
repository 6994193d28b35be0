"""Arguments of the library, as the command line calls them."""

from __future__ import annotations

import re

_SWITCH = re.compile(r"\b([a-z]+(?:_[a-z]+)*)=True\b")


def as_flags(text: str) -> str:
    """Say ``overwrite=True`` the way it is said on the command line.

    Examples
    --------
    >>> as_flags("Pass install_dependencies=True.")
    'Pass --install-dependencies.'
    """
    return _SWITCH.sub(lambda found: "--" + found[1].replace("_", "-"), text)
