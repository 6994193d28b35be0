"""All errors of medmint, in one tree.

::

    MedmintError
      CatalogueError
        UnknownModelError (KeyError)
        InvalidRecordError (ValueError)
      SelectionError (ValueError)
      PackageError
        DownloadError (OSError)
        IntegrityError (OSError)
        UnsafeArchiveError (ValueError)
        ContractError (TypeError)
      DependencyError (RuntimeError)
      GenerationError (RuntimeError)
      WriterError (OSError)
      MetricError (ValueError)
      TrainingError (ValueError)
      PublishError (OSError)
      ArgumentError (ValueError)
        SampleIndexError (IndexError)
      OutputError (FileExistsError)
      OfflineError (OSError)
      DeviceError (RuntimeError)
      DisplayError (RuntimeError)
      MissingExtraError (ImportError)

Each also inherits the builtin that fits, so ``except ValueError`` works for those who do not know
medmint's names. A message says what happened, where, what was expected and found, and what to do
next; the facts in it are attributes as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


class MedmintError(Exception):
    """Anything that medmint raises on purpose.

    Attributes
    ----------
    message : str
        One text for people, the same as ``str(error)``.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # Constructors take facts, not the message: loader processes must still hand errors over.
        return _rebuild, (type(self), self.message, self.__dict__)


def _rebuild(kind: type[MedmintError], message: str, facts: dict[str, Any]) -> MedmintError:
    error = kind.__new__(kind, message)
    error.__dict__.update(facts)
    error.args = (message,)
    return error


class CatalogueError(MedmintError):
    """The catalogue cannot be used as it is."""


class UnknownModelError(CatalogueError, KeyError):
    """No model has this id. ``model_id`` was asked for, ``near_matches`` exist."""

    def __init__(self, model_id: object, near_matches: Sequence[str], hint: str = "") -> None:
        near = f" Did you mean {_either(near_matches)}?" if near_matches else ""
        names = "list_models() (medmint list) names all models"
        hint = hint or f"{names}; a number such as 10 or the full id will do."
        super().__init__(f"There is no model {model_id!r} in the catalogue.{near} {hint}")
        self.model_id = model_id
        self.near_matches = list(near_matches)


class InvalidRecordError(CatalogueError, ValueError):
    """A catalogue or record breaks the schema. ``faults`` lists all of them with their paths."""

    def __init__(self, source: object, faults: Sequence[str]) -> None:
        many = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        super().__init__(f"{source}: {many} found.\n" + "\n".join(f"  {fault}" for fault in faults))
        self.source = str(source)
        self.faults = list(faults)


class SelectionError(MedmintError, ValueError):
    """A search or a ranking cannot be carried out as asked."""


class PackageError(MedmintError):
    """A model package could not be brought here or cannot be used."""


class DownloadError(PackageError, OSError):
    """A download failed for good. ``url``, ``status`` (None without an answer), ``attempts``."""

    def __init__(
        self, url: str, reason: str, *, status: int | None = None, attempts: int = 1, hint: str = ""
    ) -> None:
        tries = f" after {attempts} attempts" if attempts > 1 else ""
        super().__init__(_join(f"Could not download {url}{tries}: {reason}.", hint))
        self.url = url
        self.status = status
        self.attempts = attempts


class IntegrityError(PackageError, OSError):
    """Bytes are not those that were promised. ``path``, ``expected``, ``actual``."""

    def __init__(self, path: object, expected: str, actual: str, hint: str = "") -> None:
        super().__init__(_join(f"{path}: expected {expected}, found {actual}.", hint))
        self.path = str(path)
        self.expected = expected
        self.actual = actual


class UnsafeArchiveError(PackageError, ValueError):
    """An archive breaks a safety rule, nothing of it was written. ``member``, ``rule``."""

    def __init__(self, archive: object, member: str, rule: str) -> None:
        super().__init__(
            f"{archive} was refused, nothing of it was unpacked: member {member!r} {rule}. "
            "Ask whoever made the archive for a clean one."
        )
        self.archive = str(archive)
        self.member = member
        self.rule = rule


class ContractError(PackageError, TypeError):
    """A package does not do what its contract asks. ``package``, ``expected``, ``found``."""

    def __init__(self, package: object, expected: str, found: str, hint: str = "") -> None:
        super().__init__(_join(f"Package {package}: expected {expected}, found {found}.", hint))
        self.package = str(package)
        self.expected = expected
        self.found = found


class DependencyError(MedmintError, RuntimeError):
    """A model needs packages that are not there. ``model_id``, ``missing`` requirements."""

    def __init__(
        self, model_id: str, missing: Sequence[str], hint: str, log_tail: str = ""
    ) -> None:
        text = f"Model {model_id} needs {', '.join(missing)}. {hint}"
        super().__init__(_with_log(text, log_tail))
        self.model_id = model_id
        self.missing = list(missing)
        self.log_tail = log_tail


class GenerationError(MedmintError, RuntimeError):
    """A model failed while it ran.

    ``model_id``, ``first_sample`` of the batch (None while loading), ``exit_code``, ``log_tail``.
    """

    def __init__(
        self,
        model_id: str,
        reason: str,
        *,
        exit_code: int | None = None,
        log_tail: str = "",
        hint: str = "",
    ) -> None:
        text = _join(f"Model {model_id} failed: {reason}.", hint)
        super().__init__(_with_log(text, log_tail))
        self.model_id = model_id
        self.first_sample: int | None = None
        self.exit_code = exit_code
        self.log_tail = log_tail


class WriterError(MedmintError, OSError):
    """A file could not be written. ``path``."""

    def __init__(self, path: Path, reason: str, hint: str = "") -> None:
        super().__init__(_join(f"Could not write {path}: {reason}.", hint))
        self.path = path


class MetricError(MedmintError, ValueError):
    """A metric cannot be computed from this input. ``argument``, ``given``, ``allowed``."""

    def __init__(self, argument: str, given: str, allowed: str) -> None:
        super().__init__(f"{argument}: got {given}, expected {allowed}.")
        self.argument = argument
        self.given = given
        self.allowed = allowed


class TrainingError(MedmintError, ValueError):
    """Training data, weights or a checkpoint cannot be used as they are. ``path``."""

    def __init__(self, path: Path, reason: str, hint: str = "") -> None:
        super().__init__(_join(f"{path}: {reason}.", hint))
        self.path = path


class PublishError(MedmintError, OSError):
    """Publishing stopped: ``service``, ``step``, ``status``, ``deposition_id`` to go on with."""

    def __init__(
        self,
        service: str,
        step: str,
        reason: str,
        *,
        status: int | None = None,
        deposition_id: int | None = None,
        hint: str = "",
    ) -> None:
        super().__init__(_join(f"{service} stopped at {step!r}: {reason}.", hint))
        self.service = service
        self.step = step
        self.status = status
        self.deposition_id = deposition_id


class ArgumentError(MedmintError, ValueError):
    """An argument is not one that the call takes. ``argument``, ``given``, ``allowed``."""

    def __init__(self, argument: str, given: object, allowed: str) -> None:
        super().__init__(f"{argument}: got {given!r}, expected {allowed}.")
        self.argument = argument
        self.given = given
        self.allowed = allowed


class SampleIndexError(ArgumentError, IndexError):
    """A dataset has no such item. ``given``, ``length``."""

    def __init__(self, index: object, length: int) -> None:
        super().__init__("index", index, f"a whole number from {-length} to {length - 1}")
        self.length = length


class OutputError(MedmintError, FileExistsError):
    """An output folder cannot take this run. ``folder``."""

    def __init__(self, folder: Path, reason: str, hint: str = "") -> None:
        super().__init__(_join(f"Output folder {folder}: {reason}.", hint))
        self.folder = folder


class OfflineError(MedmintError, OSError):
    """Something has to be downloaded, and medmint was told to stay offline. ``needed``."""

    def __init__(self, needed: str, hint: str = "Unset MEDMINT_OFFLINE to allow it.") -> None:
        super().__init__(
            f"MEDMINT_OFFLINE is set, and {needed} would be needed from the network. {hint}"
        )
        self.needed = needed


class DeviceError(MedmintError, RuntimeError):
    """A device is not there. ``device`` was asked for, ``available`` are there."""

    def __init__(self, device: str, available: Iterable[str]) -> None:
        self.device = device
        self.available = list(available)
        super().__init__(
            f"device: {device!r} is not there; this machine has {', '.join(self.available)}. "
            "device='auto' takes the best one."
        )


class DisplayError(MedmintError, RuntimeError):
    """There is neither a display for a window nor a notebook. ``model_id`` was to be shown."""

    def __init__(self, model_id: str) -> None:
        super().__init__(
            f"There is no display to open a window for {model_id} on, and this is no notebook. "
            f"preview({model_id!r}) draws pictures without one."
        )
        self.model_id = model_id


class MissingExtraError(MedmintError, ImportError):
    """An optional dependency is not installed. ``module``, ``extra``."""

    def __init__(self, module: str, extra: str, reason: str = "is not installed") -> None:
        super().__init__(f"{module} {reason}. Run: python -m pip install 'medmint[{extra}]'")
        self.module = module
        self.extra = extra


def _join(text: str, hint: str) -> str:
    return f"{text} {hint}" if hint else text


def _with_log(text: str, log_tail: str) -> str:
    if not log_tail.strip():
        return text
    return f"{text}\nLast lines of its log:\n" + "\n".join(
        f"  | {line}" for line in log_tail.splitlines()
    )


def _either(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
