"""Compare the requirements of a model with what a Python interpreter has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion

from medmint.errors import ArgumentError, DependencyError
from medmint.packages.environments.interpreters import (
    Interpreter,
    ask_interpreter,
    running_interpreter,
)

State = Literal["met", "missing", "conflicting"]


@dataclass(frozen=True, slots=True)
class RequirementStatus:
    """How one requirement fares.

    Attributes
    ----------
    requirement : str
        As it was written, or as the extra of another package asks for it.
    state : str
        ``"met"``, ``"missing"``, or ``"conflicting"`` where another version is there.
    installed : str or None
        The version that is there.
    asked_by : str or None
        The requirement whose extra asks for this one.
    """

    requirement: str
    state: State
    installed: str | None = None
    asked_by: str | None = None

    def __str__(self) -> str:
        found = "not installed" if self.installed is None else f"{self.installed} is here"
        reason = f", asked for by {self.asked_by}" if self.asked_by else ""
        return f"{self.requirement}: {self.state} ({found}{reason})"


@dataclass(frozen=True, slots=True)
class RequirementReport:
    """How all requirements of a model fare with one interpreter.

    Attributes
    ----------
    interpreter : Interpreter
        The one that was looked at.
    statuses : tuple of RequirementStatus
        One per requirement whose marker applies, in the order given, those of extras behind.
    python : RequirementStatus or None
        The demanded Python version, where one is demanded.
    """

    interpreter: Interpreter
    statuses: tuple[RequirementStatus, ...]
    python: RequirementStatus | None = None

    @property
    def is_met(self) -> bool:
        """Whether the model can run as things are."""
        return not self.unmet and self.fits_python

    @property
    def fits_python(self) -> bool:
        """Whether the Python version is one that the model runs with."""
        return self.python is None or self.python.state == "met"

    @property
    def unmet(self) -> list[str]:
        """Requirements that are missing or conflict with what is there."""
        return [status.requirement for status in self.statuses if status.state != "met"]

    def having(self, state: State) -> list[RequirementStatus]:
        """Return the requirements in one state."""
        return [status for status in self.statuses if status.state == state]


def check_requirements(
    requirements: Sequence[str], *, python: Path | None = None, python_requires: str | None = None
) -> RequirementReport:
    """Compare requirements with what is installed.

    Parameters
    ----------
    requirements : sequence of str
        Requirements as pip takes them, with markers and extras.
    python : Path, optional
        The interpreter to ask, started on its own as a worker is. Default: the running one.
    python_requires : str, optional
        The Python versions that the model runs with, such as ``">=3.8,<3.11"``.

    Returns
    -------
    RequirementReport

    Raises
    ------
    ArgumentError
        If a requirement is none, or the interpreter does not answer.

    Examples
    --------
    >>> report = check_requirements(["numpy>=1.0", "no-such-thing", "winfoo; os_name == 'none'"])
    >>> [str(status) for status in report.having("missing")]
    ['no-such-thing: missing (not installed)']
    """
    interpreter = running_interpreter() if python is None else ask_interpreter(python)
    seen: set[str] = set()
    statuses = [
        status
        for text in requirements
        for status in _statuses(_parse(text), text, interpreter, seen=seen)
    ]
    return RequirementReport(interpreter, tuple(statuses), _python(python_requires, interpreter))


def dependency_error(model_id: str, report: RequirementReport) -> DependencyError:
    """Return the error that says what a model lacks, and how to get it.

    Parameters
    ----------
    model_id : str
        The model.
    report : RequirementReport
        A report that is not met.

    Returns
    -------
    DependencyError
    """
    if report.python is not None and not report.fits_python:
        hint = (
            f"This is Python {report.interpreter.version}, and a private environment has the same. "
            "Run medmint with a Python that fits."
        )
        return DependencyError(model_id, [report.python.requirement], hint)
    found = [
        f"{status.requirement} conflicts with the installed version {status.installed}."
        for status in report.having("conflicting")
    ]
    command = " ".join(f'"{requirement}"' for requirement in report.unmet)
    hint = (
        "Pass install_dependencies=True to put it into a private environment of the model, "
        f"or run: python -m pip install {command}"
    )
    return DependencyError(model_id, report.unmet, " ".join([*found, hint]))


def unmet_dependencies(interpreter: Interpreter, folder: Path) -> list[str]:
    """Return what the packages in a folder require in vain, their extras left aside.

    Parameters
    ----------
    interpreter : Interpreter
        The one that has them.
    folder : Path
        Packages elsewhere are not looked at.

    Returns
    -------
    list of str
        Requirements, sorted, without their markers.
    """
    unmet = set()
    for one in interpreter.installed.values():
        for requirement in one.requirements() if one.folder == folder else ():
            if _applies(requirement, interpreter) and _state(requirement, interpreter)[0] != "met":
                requirement.marker = None
                unmet.add(str(requirement))
    return sorted(unmet)


def _statuses(
    requirement: Requirement, text: str, interpreter: Interpreter, *, seen: set[str], by: str = ""
) -> Iterator[RequirementStatus]:
    if text in seen or not _applies(requirement, interpreter):
        return
    seen.add(text)
    state, installed = _state(requirement, interpreter)
    yield RequirementStatus(text, state, installed, by or None)
    if state != "met":
        return
    for wanted in _wanted_by_extras(requirement, interpreter):
        wanted.marker = None
        yield from _statuses(wanted, str(wanted), interpreter, seen=seen, by=text)


def _wanted_by_extras(requirement: Requirement, interpreter: Interpreter) -> Iterator[Requirement]:
    found = interpreter.find(requirement.name)
    for wanted in found.requirements() if found else ():
        if wanted.marker is not None and not _applies(wanted, interpreter):
            markers = dict(interpreter.markers)
            if any(wanted.marker.evaluate(markers | {"extra": e}) for e in requirement.extras):
                yield wanted


def _applies(requirement: Requirement, interpreter: Interpreter) -> bool:
    if requirement.marker is None:
        return True
    return requirement.marker.evaluate(dict(interpreter.markers) | {"extra": ""})


def _state(requirement: Requirement, interpreter: Interpreter) -> tuple[State, str | None]:
    found = interpreter.find(requirement.name)
    if found is None:
        return "missing", None
    try:
        fits = requirement.specifier.contains(found.version, prereleases=True)
    except InvalidVersion:
        fits = not requirement.specifier
    return ("met" if fits else "conflicting"), found.version


def _parse(text: str) -> Requirement:
    try:
        return Requirement(text)
    except InvalidRequirement as error:
        raise ArgumentError("dependencies", text, "a requirement such as 'numpy>=1.24'") from error


def _python(specifier: str | None, interpreter: Interpreter) -> RequirementStatus | None:
    if not specifier:
        return None
    try:
        fits = SpecifierSet(specifier).contains(interpreter.version, prereleases=True)
    except InvalidSpecifier as error:
        raise ArgumentError("python", specifier, "Python versions such as '>=3.9'") from error
    state: State = "met" if fits else "conflicting"
    return RequirementStatus(f"Python {specifier}", state, interpreter.version)
