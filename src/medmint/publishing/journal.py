"""What of a contribution is done: a small file beside the package, for the call that goes on."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeAlias

from medmint.errors import PublishError
from medmint.home import lock, write_json
from medmint.settings import Settings

_VERSION = 1
#: What can be noted of a step.
Fact: TypeAlias = str | int | bool | list[str] | None


class Journal:
    """The finished steps of one contribution, in a JSON file that is whole at every moment.

    Nothing is kept in memory: each question reads the file, so that two journals of one path
    agree. No secret belongs into a journal.

    Parameters
    ----------
    path : Path
        The file; it need not exist. `beside` gives the usual place.

    Raises
    ------
    PublishError
        By every method, if the file there is no journal.
    WriterError
        If it cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     journal = Journal.beside(Path(folder) / "my_model")
    ...     journal.record("upload", md5="d41d8c", size=3)
    ...     journal.done("upload"), journal.done("upload", md5="other"), journal.facts("upload")
    (True, False, {'md5': 'd41d8c', 'size': 3})
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def beside(cls, package: Path, *, sandbox: bool = False) -> Journal:
        """Return the journal of a package folder or file; the sandbox has one of its own."""
        place = package.absolute()
        kind = "sandbox" if sandbox else "contribution"
        return cls(place.with_name(f".{place.name}.{kind}.json"))

    def locked(self, settings: Settings) -> AbstractContextManager[None]:
        """Let a second call for the same package wait, where the file system has locks."""
        name = hashlib.sha256(os.fsencode(self.path.resolve())).hexdigest()[:16]
        return lock(settings.home, f"contribution-{name}")

    @property
    def steps(self) -> dict[str, dict[str, Any]]:
        """All finished steps in their order, with what was noted of each."""
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise self._unusable(str(error)) from error
        try:
            content = json.loads(text)
            steps = content["steps"] if content["version"] == _VERSION else None
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise self._unusable("it is not what medmint wrote") from error
        if not isinstance(steps, dict) or not all(isinstance(s, dict) for s in steps.values()):
            raise self._unusable("it is of another version or damaged")
        return steps

    def facts(self, step: str) -> dict[str, Any]:
        """Return what was noted of a step; empty if it is not done."""
        return self.steps.get(step, {})

    def done(self, step: str, **facts: Fact) -> bool:
        """Tell whether a step is done, with these facts."""
        steps = self.steps
        return step in steps and facts.items() <= steps[step].items()

    def record(self, step: str, **facts: Fact) -> None:
        """Note that a step is done, in place of what was noted of it before."""
        steps = self.steps
        if steps.get(step) != facts:
            write_json(self.path, {"version": _VERSION, "steps": {**steps, step: facts}})

    def clear(self) -> None:
        """Remove the file: the next call begins anew."""
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise self._unusable(error.strerror or str(error)) from error

    def _unusable(self, reason: str) -> PublishError:
        return PublishError(
            "medmint",
            "journal",
            f"{self.path}: {reason}",
            hint="Look on Zenodo for a draft of this model before you remove the file.",
        )
