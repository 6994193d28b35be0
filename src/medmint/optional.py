"""Optional dependencies, asked for where they are used."""

from __future__ import annotations

import importlib
from typing import Any

from medmint.errors import MissingExtraError


def require(module: str, *, extra: str) -> Any:
    """Import an optional dependency or say which extra brings it.

    Parameters
    ----------
    module : str
        Name of the module, such as ``"pydicom"``.
    extra : str
        The extra of medmint that installs it, such as ``"dicom"``.

    Returns
    -------
    module

    Raises
    ------
    MissingExtraError
        If the module is not installed.

    Examples
    --------
    >>> require("json", extra="notebook").dumps([1])
    '[1]'
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        # A module inside the dependency that is missing is the dependency's fault: show that one.
        if error.name != module.partition(".")[0]:
            raise
        raise MissingExtraError(module, extra) from error
