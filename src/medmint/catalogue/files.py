"""Catalogue files on this machine: locked while they change, and never half-written."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

from medmint.catalogue.checks import read_catalogue, shape_faults, validate_catalogue
from medmint.errors import ArgumentError, InvalidRecordError
from medmint.home import lock
from medmint.resources import config_file
from medmint.settings import Settings

#: Up to here a private catalogue is checked in full when it is loaded, beyond it record by record.
FULL_CHECK_UP_TO = 5_000


def read_layers(folder: Path) -> tuple[dict[str, Any], set[str]]:
    """Read the shipped catalogue, over it ``remote.json`` and over that ``local.json`` of a folder.

    Returns
    -------
    entries : dict
        All records by id, in file order.
    checked : set of str
        Ids of the records that need no further check.
    """
    # The full check of the shipped file is a test's, not that of each start.
    entries = read_catalogue(config_file("global.json"))
    checked = set(entries)
    for name in ("remote.json", "local.json"):
        path = folder / name
        if path.exists():
            layer = read_catalogue(path)
            entries.update(layer)
            checked -= layer.keys()
    return entries, checked


def read_private(
    catalogue: str | PathLike[str] | Mapping[str, Any],
) -> tuple[dict[str, Any], set[str]]:
    """Read a private catalogue; see :func:`read_layers` for what is returned.

    Raises
    ------
    InvalidRecordError
        If it is not a catalogue.
    """
    if isinstance(catalogue, Mapping):
        source: object = "The private catalogue"
        if faults := shape_faults(catalogue):
            raise InvalidRecordError(source, faults)
        entries = dict(catalogue)
    elif not isinstance(catalogue, str | PathLike):
        raise ArgumentError("catalogue", catalogue, "the path of a JSON file, or a mapping")
    else:
        source = Path(catalogue).expanduser()
        entries = read_catalogue(source)
    if len(entries) > FULL_CHECK_UP_TO:
        return entries, set()
    validate_catalogue(entries, source)
    return entries, set(entries)


def is_local_link(link: str) -> bool:
    """Tell whether a package link is a path on this machine.

    Examples
    --------
    >>> is_local_link("/data/my_model"), is_local_link("bundled:phantom_ct_head")
    (True, False)
    """
    return "://" not in link and not link.startswith(("bundled:", "doi:", "10."))


@contextmanager
def locked(settings: Settings, path: Path) -> Iterator[None]:
    """Keep other processes from changing ``path`` between our reading and our writing."""
    name = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:16]
    with lock(settings.home, f"catalogue-{name}"):
        yield
