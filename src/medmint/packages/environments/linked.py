"""An environment that has some requirements and nothing else, by links to what is installed here.

It is made in a moment and without a network, and shows whether a package states all that it needs.
"""

from __future__ import annotations

import importlib.metadata
import os
import venv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from medmint.errors import ArgumentError
from medmint.packages.environments.installers import environment_python, packages_folder
from medmint.packages.environments.interpreters import Interpreter, running_interpreter

#: What the worker itself imports.
_WORKER_NEEDS = ("numpy", "pillow")


def closure(
    requirements: Sequence[str], interpreter: Interpreter | None = None
) -> dict[str, Requirement]:
    """Return all that an installation of some requirements brings, by normalised name.

    Parameters
    ----------
    requirements : sequence of str
        As pip takes them.
    interpreter : Interpreter, optional
        Says what installed packages require in turn. Default: the running one.

    Raises
    ------
    ArgumentError
        If a requirement is none.

    Examples
    --------
    >>> sorted(closure(["jsonschema"]).keys() & {"jsonschema", "referencing", "torch"})
    ['jsonschema', 'referencing']
    """
    here = interpreter or running_interpreter()
    brought: dict[str, Requirement] = {}
    pending = [_parsed(text) for text in requirements]
    while pending:
        requirement = pending.pop()
        name = canonicalize_name(requirement.name)
        if name in brought or not _applies(requirement, here.markers, [""]):
            continue
        brought[name] = requirement
        found = here.find(name)
        for wanted in found.requirements() if found else ():
            if _applies(wanted, here.markers, ["", *requirement.extras]):
                wanted.marker = None
                pending.append(wanted)
    return brought


def provided_modules(requirements: Sequence[str]) -> set[str]:
    """Return the top names of the modules that some requirements bring, as far as they are here.

    Examples
    --------
    >>> sorted(provided_modules(["pillow"]) & {"PIL", "pillow", "numpy"})
    ['PIL', 'pillow']
    """
    names = closure(requirements)
    # An editable installation does not list its modules: its own name stands for them.
    modules = {name.replace("-", "_") for name in names}
    return modules | {entry.name.partition(".")[0] for name in names for entry in _entries(name)}


def linked_environment(requirements: Sequence[str], folder: Path) -> Path | None:
    """Make an environment of what some requirements bring, and return its interpreter.

    Parameters
    ----------
    requirements : sequence of str
        Met by the running interpreter.
    folder : Path
        New folder for it.

    Returns
    -------
    Path or None
        None where the system makes no links.
    """
    venv.create(folder, symlinks=os.name != "nt", with_pip=False)
    target = packages_folder(folder)
    try:
        for name in closure([*requirements, *_WORKER_NEEDS]):
            for entry in _entries(name):
                link = target / entry.name
                if not link.exists():
                    link.symlink_to(entry, target_is_directory=entry.is_dir())
    except OSError:
        return None
    return environment_python(folder)


def _entries(name: str) -> Iterator[Path]:
    """Yield the files and folders that an installed package has beside the others."""
    try:
        found = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return
    tops = {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}
    for top in sorted(tops):
        yield Path(str(found.locate_file(top))).resolve()


def _applies(requirement: Requirement, markers: Mapping[str, str], extras: Sequence[str]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({**markers, "extra": one}) for one in extras)


def _parsed(text: str) -> Requirement:
    try:
        return Requirement(text)
    except InvalidRequirement as error:
        raise ArgumentError("dependencies", text, "a requirement such as 'numpy>=1.24'") from error
