"""What medmint keeps on this machine: sizes, and what can go."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

from medmint.packages.environments.store import (
    clear_abandoned_builds,
    list_environments,
    remove_environment,
)
from medmint.packages.store import PackageStore
from medmint.settings import Settings

_UNITS = ("B", "kB", "MB", "GB", "TB")


def contents(settings: Settings) -> list[dict[str, Any]]:
    """List packages, private environments, partial downloads and catalogues with their sizes.

    Parameters
    ----------
    settings : Settings

    Returns
    -------
    list of dict
        ``kind``, ``name``, ``bytes`` and ``path`` of each; empty where nothing is kept.
    """
    store = PackageStore(settings)
    packages = [("package", ", ".join(ids) or "of no model", path) for path, ids in store.folders()]
    environments = [
        ("environment", ", ".join(environment.requirements), environment.path)
        for environment in list_environments(settings)
    ]
    downloads = [("download", path.name, path) for path in store.partial_downloads()]
    layers = sorted((settings.home / "catalogue").glob("*.json"))
    catalogues = [("catalogue", path.name, path) for path in layers]
    rows = [*packages, *environments, *downloads, *catalogues]
    return [
        {"kind": kind, "name": name, "bytes": size_of(path), "path": str(path)}
        for kind, name, path in rows
    ]


def clean(settings: Settings, *, environments: bool = False) -> int:
    """Remove partial downloads, packages of no model and interrupted builds.

    Parameters
    ----------
    settings : Settings
    environments : bool
        Remove the private environments as well; a call that installs dependencies makes new ones.

    Returns
    -------
    int
        Bytes that were freed.
    """
    before = size_of(settings.home)
    PackageStore(settings).clean()
    clear_abandoned_builds(settings)
    for environment in list_environments(settings) if environments else ():
        remove_environment(environment)
    # Other processes may have written something meanwhile.
    return max(0, before - size_of(settings.home))


def size_of(path: Path) -> int:
    """Return the bytes in a file, or in all files below a folder."""
    size = 0
    inside = (Path(folder, name) for folder, _, names in os.walk(path) for name in names)
    for file in [path, *inside]:
        # Other processes may remove what was listed just now.
        with suppress(OSError):
            facts = file.lstat()
            size += facts.st_size if stat.S_ISREG(facts.st_mode) else 0
    return size


def readable_size(count: float) -> str:
    """Return a number of bytes as people say it.

    Examples
    --------
    >>> readable_size(52_400_000)
    '52.4 MB'
    """
    for unit in _UNITS:
        if count < 1000 or unit == _UNITS[-1]:
            break
        count /= 1000
    return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
