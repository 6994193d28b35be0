"""What earlier calls did of a contribution: looked at, or undone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medmint.errors import ArgumentError
from medmint.publishing import Journal, Token, ZenodoDeposits, abandon
from medmint.settings import Settings


def contribution_status(package: Path, *, sandbox: bool = False) -> dict[str, Any]:
    """Return the finished steps of a contribution, with what was noted of each.

    Raises
    ------
    ArgumentError
        If there is neither a package nor anything noted of one.
    """
    return _journal_of(package, sandbox=sandbox).steps


def abandon_contribution(
    package: Path, *, settings: Settings, token: Token | None, sandbox: bool = False
) -> int | None:
    """Delete the draft of a contribution and forget what was done; see `medmint.publishing`.

    Returns
    -------
    int or None
        Number of the draft that is gone.

    Raises
    ------
    ArgumentError
        If there may be a draft, and no token to delete it with, or there is no such package.
    PublishError
        If it is published already.
    """
    journal = _journal_of(package, sandbox=sandbox)
    if not {"package", "deposit"} & journal.steps.keys():
        journal.clear()
        return None
    if token is None:
        expected = "a token: Zenodo may have a draft of this model"
        raise ArgumentError("zenodo_access_token", None, expected)
    with ZenodoDeposits(settings, token, sandbox=sandbox) as deposits:
        return abandon(deposits, journal)


def _journal_of(package: Path, *, sandbox: bool) -> Journal:
    """Return the journal of a package, which itself may be gone meanwhile."""
    folder = package.parent if package.name == "__init__.py" else package
    journal = Journal.beside(folder.expanduser().resolve(), sandbox=sandbox)
    if not folder.expanduser().is_dir() and not journal.path.is_file():
        raise ArgumentError("DIR", str(package), "the folder of a package")
    return journal
