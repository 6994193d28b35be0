"""Private environments: what a model needs beyond the running Python, and nowhere else.

An environment appears under the fingerprint of its requirements by one rename, complete or not at
all. The packages of the running Python stay importable behind its own, so that only what is missing
is installed, and nothing is ever installed into the running Python itself.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

from medmint.errors import ArgumentError, DependencyError, OfflineError
from medmint.home import lock
from medmint.packages.environments.installers import (
    LOG_NAME,
    Installer,
    environment_python,
    find_installer,
    packages_folder,
)
from medmint.packages.environments.interpreters import ask_interpreter, package_folders
from medmint.packages.environments.requirements import (
    RequirementReport,
    check_requirements,
    dependency_error,
    unmet_dependencies,
)
from medmint.packages.environments.store import (
    Environment,
    clear_abandoned_builds,
    environments_folder,
    read_environment,
    seal_environment,
)
from medmint.packages.unfinished import unfinished_folder
from medmint.progress import Progress
from medmint.settings import Settings

logger = logging.getLogger(__name__)

#: Line file that makes the packages of the running Python importable behind the private ones.
_BEHIND = "medmint_behind.pth"
_LOG_LINES = 20
_CREDENTIALS = re.compile(r"(?<=://)[^/\s@]+@")


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a model needs, what of it is there, and what will happen.

    Attributes
    ----------
    model_id : str
        The model.
    report : RequirementReport
        How its requirements fare with the running Python.
    environment : Environment or None
        The private environment that is there already and will be used.
    without_install, with_install : str
        What a call does without and with ``install_dependencies=True``.
    """

    model_id: str
    report: RequirementReport
    environment: Environment | None
    without_install: str
    with_install: str

    def __str__(self) -> str:
        python = self.report.python
        wanted = f"; the model asks for {python.requirement}" if python else ""
        lines = [f"{self.model_id}", f"Python {self.report.interpreter.version}{wanted}"]
        lines += [f"  {status}" for status in self.report.statuses] or ["  no requirements"]
        lines += [f"Without install_dependencies: {self.without_install}"]
        lines += [f"With install_dependencies=True: {self.with_install}"]
        return "\n".join(lines)


def find_environment(requirements: Sequence[str], settings: Settings) -> Environment | None:
    """Return the private environment for some requirements, if it is there and still fits.

    Parameters
    ----------
    requirements : sequence of str
        Requirements as pip takes them.
    settings : Settings
        Says where environments are.

    Returns
    -------
    Environment or None
    """
    return _find(requirements, settings, check_requirements(requirements))


def build_environment(
    requirements: Sequence[str],
    *,
    settings: Settings,
    model_id: str,
    progress: Progress | None = None,
    installer: Installer | None = None,
) -> Environment:
    """Return the private environment for some requirements, making it where it is not there.

    The running environment is not changed, and what it has is not installed again.

    Parameters
    ----------
    requirements : sequence of str
        Requirements as pip takes them.
    settings : Settings
        Says where environments are, and whether anything may be downloaded.
    model_id : str
        Named in errors.
    progress : Progress, optional
        Told of each of the three steps.
    installer : Installer, optional
        Default: uv where it is installed, else pip.

    Returns
    -------
    Environment

    Raises
    ------
    ArgumentError
        If a requirement is none.
    OfflineError
        If something is missing and nothing may be downloaded.
    DependencyError
        If the installation fails; it holds the last lines that the installer printed. Nothing of
        the attempt is left.
    """
    report = check_requirements(requirements)
    found = _find(requirements, settings, report)
    if found is not None:
        return found
    if report.unmet and settings.offline:
        raise OfflineError(_named(report.unmet))
    build = _Build(requirements, report, settings, model_id, progress or (lambda *_: None))
    with lock(settings.home, f"environment-{build.path.name}"):
        # Another process may have made it in the meantime.
        found = _find(requirements, settings, report)
        if found is not None:
            return found
        clear_abandoned_builds(settings)
        return build.run(installer or find_installer())


def explain(
    requirements: Sequence[str],
    *,
    settings: Settings,
    model_id: str,
    python_requires: str | None = None,
) -> Explanation:
    """Say what a model needs, what of it is there, and what will happen. Nothing is changed.

    Parameters
    ----------
    requirements : sequence of str
        Requirements as pip takes them.
    settings : Settings
        Says where environments are, and whether anything may be downloaded.
    model_id : str
        The model.
    python_requires : str, optional
        The Python versions that the model runs with.

    Returns
    -------
    Explanation
    """
    report = check_requirements(requirements, python_requires=python_requires)
    if report.is_met:
        text = "nothing has to be installed, the model runs in this Python."
        return Explanation(model_id, report, None, text, text)
    error = f"DependencyError: {dependency_error(model_id, report)}"
    if not report.fits_python:
        return Explanation(model_id, report, None, error, error)
    environment = _find(requirements, settings, report)
    if environment is not None:
        text = f"the model runs in its private environment {environment.path}."
        return Explanation(model_id, report, environment, text, text)
    if settings.offline:
        offline = f"OfflineError: {OfflineError(_named(report.unmet))}"
        return Explanation(model_id, report, None, error, offline)
    built = (
        f"{find_installer().name} installs {_named(report.unmet)} into a private environment, "
        f"{_path(requirements, settings, report)}, and the model runs there. "
        "Your own environment stays as it is."
    )
    return Explanation(model_id, report, None, error, built)


@dataclass(frozen=True, slots=True)
class _Build:
    """One attempt to make an environment."""

    requirements: Sequence[str]
    report: RequirementReport
    settings: Settings
    model_id: str
    progress: Progress

    @property
    def path(self) -> Path:
        return _path(self.requirements, self.settings, self.report)

    def run(self, installer: Installer) -> Environment:
        with unfinished_folder(self.path.parent) as work:
            folder, scratch = work / "environment", work / "scratch"
            try:
                scratch.mkdir()
                self._fill(folder, scratch, installer)
                self._seal(folder)
                return self._publish(folder, work / "replaced")
            except (OSError, subprocess.CalledProcessError) as error:
                failure = f"{installer.name} failed ({_reason(error)})."
                raise self._failure(failure, scratch) from error

    def _fill(self, folder: Path, scratch: Path, installer: Installer) -> None:
        self.progress(0, 3, "making a private environment")
        installer.create(folder, scratch)
        behind = "".join(f"{path}\n" for path in package_folders())
        (packages_folder(folder) / _BEHIND).write_text(behind, encoding="utf-8")
        if self.report.unmet:
            self.progress(1, 3, f"installing {_named(self.report.unmet)}")
            installer.install(folder, self.report.unmet, scratch)
        unmet = _unmet_in(folder, self.requirements)
        if unmet:
            raise self._failure(f"After the installation {_named(unmet)} is still unmet.", scratch)

    def _seal(self, folder: Path) -> None:
        self.progress(2, 3, "recording its files")
        own = packages_folder(folder).resolve()
        found = ask_interpreter(environment_python(folder)).installed.values()
        installed = [f"{one.name}=={one.version}" for one in found if one.folder.resolve() == own]
        seal_environment(folder, self.requirements, installed)

    def _publish(self, folder: Path, replaced: Path) -> Environment:
        found = _find(self.requirements, self.settings, self.report)
        if found is None:
            # An older one under the same name no longer fits: something behind it has changed.
            with suppress(FileNotFoundError):
                self.path.rename(replaced)
            try:
                folder.rename(self.path)
            except OSError:
                # Without a lock that works, another process may have been first.
                if read_environment(self.path) is None:
                    raise
            found = read_environment(self.path)
        if found is None:
            raise self._failure("It was removed while it was being made.", replaced)
        self.progress(3, 3, "private environment ready")
        logger.info("Private environment for %s: %s", self.model_id, found.path)
        return found

    def _failure(self, reason: str, scratch: Path) -> DependencyError:
        hint = (
            f"Putting that into a private environment did not work: {reason} Nothing of it was "
            "kept. Check the network and the index of your pip or uv, or install it yourself."
        )
        return DependencyError(self.model_id, self.report.unmet, hint, _tail(scratch / LOG_NAME))


def _path(requirements: Sequence[str], settings: Settings, report: RequirementReport) -> Path:
    facts = {
        "requirements": sorted({str(Requirement(text)) for text in requirements}),
        "unmet": sorted(report.unmet),
        "python": [str(sys.implementation.cache_tag), sysconfig.get_platform(), sys.base_prefix],
        "behind": [str(path) for path in package_folders()],
    }
    text = json.dumps(facts, sort_keys=True)
    return environments_folder(settings) / hashlib.sha256(text.encode()).hexdigest()[:16]


def _find(
    requirements: Sequence[str], settings: Settings, report: RequirementReport
) -> Environment | None:
    environment = read_environment(_path(requirements, settings, report))
    if environment is None:
        return None
    try:
        return None if _unmet_in(environment.path, requirements) else environment
    except ArgumentError:
        # Its interpreter does not start: the Python that it was made from is gone.
        return None


def _unmet_in(folder: Path, requirements: Sequence[str]) -> list[str]:
    report = check_requirements(requirements, python=environment_python(folder))
    return report.unmet + unmet_dependencies(report.interpreter, packages_folder(folder))


def _tail(log: Path) -> str:
    if not log.is_file():
        return ""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
    return _CREDENTIALS.sub("", "\n".join(lines))


def _reason(error: OSError | subprocess.CalledProcessError) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return f"exit code {error.returncode}"


def _named(requirements: Sequence[str]) -> str:
    return ", ".join(requirements)
