"""What is known of a Python interpreter: the running one, or another that is asked."""

from __future__ import annotations

import importlib.metadata
import json
import os
import site
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from medmint.errors import ArgumentError

_PATIENCE = 60.0
#: Asked of another interpreter, which may be older and knows nothing of packaging.
_QUESTION = """
import importlib.metadata, json, os, platform, sys
version = sys.implementation.version
markers = {
    "implementation_name": sys.implementation.name,
    "implementation_version": "{0.major}.{0.minor}.{0.micro}".format(version),
    "os_name": os.name,
    "platform_machine": platform.machine(),
    "platform_release": platform.release(),
    "platform_system": platform.system(),
    "platform_version": platform.version(),
    "python_full_version": platform.python_version(),
    "platform_python_implementation": platform.python_implementation(),
    "python_version": "{0}.{1}".format(*sys.version_info),
    "sys_platform": sys.platform,
}
found = []
for one in importlib.metadata.distributions():
    name, version = one.metadata["Name"], one.metadata["Version"]
    if name and version:
        found.append([name, version, one.requires or [], str(one.locate_file(""))])
print()
print(json.dumps([markers, found]))
"""


@dataclass(frozen=True, slots=True)
class Distribution:
    """An installed package: its name, version, requirements and the folder that holds it."""

    name: str
    version: str
    requires: tuple[str, ...]
    folder: Path

    def requirements(self) -> Iterator[Requirement]:
        """Yield its requirements; those of old packages that no tool understands are left out."""
        for text in self.requires:
            with suppress(InvalidRequirement):
                yield Requirement(text)


@dataclass(frozen=True, slots=True)
class Interpreter:
    """What is known of a Python interpreter.

    Attributes
    ----------
    executable : Path
        Its program.
    markers : mapping of str to str
        The environment that requirement markers are evaluated in.
    installed : mapping of str to Distribution
        What an import would get, by normalised name.
    """

    executable: Path
    markers: Mapping[str, str]
    installed: Mapping[str, Distribution]

    @property
    def version(self) -> str:
        """Its Python version, such as ``"3.11.7"``."""
        return self.markers["python_full_version"]

    def find(self, name: str) -> Distribution | None:
        """Return an installed package by its name, in any spelling."""
        return self.installed.get(canonicalize_name(name))


def running_interpreter() -> Interpreter:
    """Return what is known of the interpreter that runs this very line."""
    markers = {name: str(value) for name, value in default_environment().items()}
    return Interpreter(Path(sys.executable), markers, _InstalledHere())


def ask_interpreter(python: Path) -> Interpreter:
    """Start another interpreter, isolated as workers are, and ask it what it has.

    Parameters
    ----------
    python : Path
        Its program.

    Returns
    -------
    Interpreter

    Raises
    ------
    ArgumentError
        If it does not start or does not answer.
    """
    command = [str(python), "-I", "-B", "-X", "utf8", "-c", _QUESTION]
    try:
        answer = subprocess.run(
            command, capture_output=True, check=True, timeout=_PATIENCE, stdin=subprocess.DEVNULL
        )
        markers, found = json.loads(answer.stdout.decode("utf-8").splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        raise ArgumentError("python", str(python), "a working Python interpreter") from error
    installed: dict[str, Distribution] = {}
    for name, version, requires, folder in found:
        # The first on the path is the one that an import gets.
        one = Distribution(name, version, tuple(requires), Path(folder))
        installed.setdefault(canonicalize_name(name), one)
    return Interpreter(python, markers, installed)


def package_folders() -> list[Path]:
    """Return where the running environment has its packages.

    Interpreters that are started isolated (``-I``) see neither the user's own site-packages nor
    those that PYTHONPATH adds; whoever starts one hands these folders over.

    Returns
    -------
    list of Path
        Existing folders, in the order of imports.
    """
    added = [Path(name) for name in os.environ.get("PYTHONPATH", "").split(os.pathsep) if name]
    # A folder of sources, with modules of any name, is not a place for packages.
    folders = [path for path in added if path.is_dir() and any(path.glob("*.dist-info"))]
    if site.ENABLE_USER_SITE:
        folders.append(Path(site.getusersitepackages()))
    folders += [Path(name) for name in site.getsitepackages()]
    return list(dict.fromkeys(path.resolve() for path in folders if path.is_dir()))


class _InstalledHere(Mapping[str, Distribution]):
    """What the running interpreter has. One package is read when it is asked for."""

    def __getitem__(self, name: str) -> Distribution:
        try:
            return _distribution(importlib.metadata.distribution(name))
        except importlib.metadata.PackageNotFoundError:
            raise KeyError(name) from None

    def __iter__(self) -> Iterator[str]:
        found = (one.metadata for one in importlib.metadata.distributions())
        yield from {canonicalize_name(one["Name"]) for one in found if "Name" in one}

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _distribution(found: importlib.metadata.Distribution) -> Distribution:
    # What an interrupted uninstallation has left behind has no version.
    if "Version" not in found.metadata:
        raise KeyError(found)
    folder = Path(str(found.locate_file("")))
    return Distribution(found.name, found.version, tuple(found.requires or ()), folder)
