"""Where medmint keeps things and whom it asks, read once from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import platformdirs

from medmint.errors import ArgumentError
from medmint.home import user_path

#: Addresses on which plain http is accepted: the machine itself.
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_SWITCHES = {"": False, "0": False, "false": False, "no": False, "off": False}
_SWITCHES |= {"1": True, "true": True, "yes": True, "on": True}


@dataclass(frozen=True, slots=True)
class Settings:
    """Folders and addresses. Nothing is created or contacted by making one.

    Attributes
    ----------
    home : Path
        Folder for packages, private environments and the user's own catalogue.
    offline : bool
        Refuse every download before a socket is opened.
    catalogue_url : str or None
        Where ``medmint catalogue update`` looks for a newer catalogue.
    zenodo_url : str
        Base address that links to zenodo.org are read from.
    zenodo_deposit_url : str
        Base address that contributions are uploaded to.
    github_url : str
        Base address of the GitHub API.
    github_repository : str or None
        ``owner/name`` of the repository where contributions are announced.
    """

    home: Path
    offline: bool = False
    catalogue_url: str | None = None
    zenodo_url: str = "https://zenodo.org"
    zenodo_deposit_url: str = "https://zenodo.org"
    github_url: str = "https://api.github.com"
    github_repository: str | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read the settings from environment variables.

        Parameters
        ----------
        environment : mapping of str to str, optional
            Default: ``os.environ``.

        Returns
        -------
        Settings

        Raises
        ------
        ArgumentError
            If a variable has a value that medmint cannot use.

        Examples
        --------
        >>> Settings.from_environment({"MEDMINT_OFFLINE": "1"}).offline
        True
        """
        values = os.environ if environment is None else environment
        home = values.get("MEDMINT_HOME")
        zenodo = _address(values, "MEDMINT_ZENODO_URL", "https://zenodo.org")
        return cls(
            home=user_path("MEDMINT_HOME", home, "a folder").absolute()
            if home
            else platformdirs.user_data_path("medmint"),
            offline=_switch(values, "MEDMINT_OFFLINE"),
            catalogue_url=_address(values, "MEDMINT_CATALOGUE_URL", "") or None,
            zenodo_url=zenodo,
            zenodo_deposit_url=_address(values, "MEDMINT_ZENODO_DEPOSIT_URL", zenodo),
            github_url=_address(values, "MEDMINT_GITHUB_URL", "https://api.github.com"),
            github_repository=values.get("MEDMINT_GITHUB_REPOSITORY") or None,
        )


def is_safe_address(url: str) -> bool:
    """Tell whether a URL is https, or plain http to this very machine, and holds no password.

    Examples
    --------
    >>> is_safe_address("https://zenodo.org"), is_safe_address("http://zenodo.org")
    (True, False)
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    if not host or parts.username or parts.password:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK)


def usable_threads() -> int:
    """Return how many threads a model may use: OMP_NUM_THREADS, else the cores of this process."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    if given.isdecimal() and int(given):
        return int(given)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _address(values: Mapping[str, str], name: str, default: str) -> str:
    url = values.get(name, "").rstrip("/") or default
    if url and not is_safe_address(url):
        raise ArgumentError(name, url, "an https address (plain http on this machine alone)")
    return url


def _switch(values: Mapping[str, str], name: str) -> bool:
    given = values.get(name, "").strip().lower()
    if given not in _SWITCHES:
        raise ArgumentError(name, given, "1 or 0")
    return _SWITCHES[given]
