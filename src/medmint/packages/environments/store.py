"""Private environments on disk: how they are recorded, checked, listed and removed.

::

    <home>/environments/<fingerprint>/                 a virtual environment, complete
                                     /files.json       sha256 of each of its files
                                     /ready.json       written last
    <home>/environments/.unfinished/                   those that are being made
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medmint.errors import IntegrityError
from medmint.packages.environments.installers import environment_python
from medmint.packages.unfinished import clear_abandoned, unfinished_folder
from medmint.settings import Settings

_READY, _FILES = "ready.json", "files.json"
_REMEDY = (
    "Run: medmint cache clean --environments; the next call that installs dependencies makes a "
    "new one."
)


@dataclass(frozen=True, slots=True)
class Environment:
    """A complete private environment.

    Attributes
    ----------
    path : Path
        Its folder, named by its fingerprint.
    requirements : tuple of str
        What it was made for.
    installed : tuple of str
        What it holds itself, as ``name==version``.
    """

    path: Path
    requirements: tuple[str, ...]
    installed: tuple[str, ...]

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return environment_python(self.path)


def environments_folder(settings: Settings) -> Path:
    """Return the folder that holds the environments."""
    return settings.home.resolve() / "environments"


def read_environment(folder: Path) -> Environment | None:
    """Return the complete environment in a folder, if there is one."""
    ready = _read_ready(folder)
    if ready is None:
        return None
    return Environment(folder, tuple(ready["requirements"]), tuple(ready["installed"]))


def seal_environment(folder: Path, requirements: Sequence[str], installed: Sequence[str]) -> None:
    """Record the files of an environment that is otherwise finished, the marker last of all.

    Parameters
    ----------
    folder : Path
        The environment, still under another name.
    requirements : sequence of str
        What it was made for.
    installed : sequence of str
        What it holds itself, as ``name==version``.
    """
    files = json.dumps(dict(_hashes(folder)), indent=0, sort_keys=True).encode()
    (folder / _FILES).write_bytes(files)
    ready = {
        "requirements": list(requirements),
        "installed": sorted(installed),
        "files_sha256": hashlib.sha256(files).hexdigest(),
    }
    with (folder / _READY).open("w", encoding="utf-8") as file:
        json.dump(ready, file, indent=1)
        file.flush()
        os.fsync(file.fileno())


def verify_environment(environment: Environment) -> None:
    """Compare every file of an environment with what it was when it was made.

    Raises
    ------
    IntegrityError
        If a file was changed, added or removed; the first one is named.
    """
    recorded = environment.path / _FILES
    ready = _read_ready(environment.path) or {}
    actual = _hash_file(recorded) if recorded.is_file() else "nothing"
    if actual != ready.get("files_sha256"):
        raise IntegrityError(recorded, str(ready.get("files_sha256")), actual, _REMEDY)
    before, now = json.loads(recorded.read_bytes()), dict(_hashes(environment.path))
    changed = sorted(name for name in before | now if before.get(name) != now.get(name))
    if changed:
        first, more = changed[0], len(changed) - 1
        raise IntegrityError(
            environment.path / first,
            str(before.get(first, "no such file")),
            str(now.get(first, "no such file")),
            (f"{more} more files differ. " if more else "") + _REMEDY,
        )


def list_environments(settings: Settings) -> list[Environment]:
    """Return all complete environments, whether they still fit or not."""
    found = (
        read_environment(path) for path in sorted(environments_folder(settings).glob("[0-9a-f]*"))
    )
    return [environment for environment in found if environment is not None]


def remove_environment(environment: Environment) -> None:
    """Remove an environment. Models that need it get a new one."""
    # Renamed first: a crash in between must not leave an environment that looks complete.
    with unfinished_folder(environment.path.parent) as aside:
        environment.path.rename(aside / "removed")


def clear_abandoned_builds(settings: Settings) -> None:
    """Remove what interrupted builds have left behind. Builds that still run are let alone."""
    clear_abandoned(environments_folder(settings))


def _read_ready(folder: Path) -> dict[str, Any] | None:
    try:
        found = json.loads((folder / _READY).read_bytes())
    except (OSError, ValueError):
        return None
    complete = isinstance(found, dict) and {"requirements", "installed", "files_sha256"} <= set(
        found
    )
    return found if complete else None


def _hashes(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the name and the sha256 of each file; of links, where they lead."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            yield name, f"link to {path.readlink()}"
        elif path.is_file() and name not in (_READY, _FILES):
            yield name, _hash_file(path)


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
