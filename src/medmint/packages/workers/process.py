"""Worker processes as their owner sees them: start, ask, answer, end."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

import numpy as np

from medmint.errors import ArgumentError, ContractError, DeviceError, GenerationError
from medmint.packages.workers import worker
from medmint.packages.workers.enclosure import Enclosure
from medmint.packages.workers.variables import worker_environment

WORKER_FILE = Path(worker.__file__)
LOG_TAIL_BYTES = 4096
LOG_TAIL_LINES = 20
#: How long a worker that hung up may take to end, before it is ended.
CLOSE_SECONDS = 2.0


class OutOfMemoryError(GenerationError):
    """A batch did not fit into memory; a smaller one may."""


class Worker(Protocol):
    """Something that loads a package and answers one batch after another."""

    device: str

    def load(self, job: Mapping[str, Any]) -> None:
        """Load a package; ``device`` says afterwards where it is."""

    def request(self, message: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> int:
        """Send a request and return its number, without waiting for the answer."""

    def reply(self, number: int) -> worker.Frame:
        """Wait for the answer to a request; answers to abandoned ones are passed over."""

    def rest(self, seconds: float) -> None:
        """Let the worker end by itself after so long without a request."""

    def wake(self) -> bool:
        """Tell whether the worker still answers, and end its rest."""

    def close(self) -> None:
        """End the worker and give its memory back."""

    @property
    def is_alive(self) -> bool:
        """Whether it can take another request."""


class WorkerProcess:
    """A worker in a process of its own.

    Parameters
    ----------
    model_id : str
        Named in errors.
    package_root : Path
        Folder that ``models/<model_id>`` leads to in the worker's scratch folder.
    python : Path
        Interpreter to run it.
    environment : mapping of str to str
        Variables to set on top of those passed on from the user's environment.
    """

    def __init__(
        self, model_id: str, package_root: Path, *, python: Path, environment: Mapping[str, str]
    ) -> None:
        self.model_id = model_id
        self.device = ""
        self._owner = os.getpid()
        self._number = 0
        # Short: sockets that model code makes in it may have paths of about 100 characters.
        self._scratch = Path(tempfile.mkdtemp(prefix="medmint-"))
        self._log = self._scratch / "worker.log"
        try:
            self._process = self._start(package_root, python, environment)
        except OSError as error:
            shutil.rmtree(self._scratch, ignore_errors=True)
            raise GenerationError(model_id, f"its worker could not be started ({error})") from error
        self._finalizer = weakref.finalize(self, _end, self._process, self._scratch, self._owner)
        _LIVE.add(self)
        hello = self._receive().message
        if hello.get("protocol") != worker.PROTOCOL:
            failure = self._failure(f"its worker speaks another protocol ({hello})")
            self.close()
            raise failure

    def _start(
        self, package_root: Path, python: Path, environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        work = self._scratch / "work"
        _link(work / "models" / self.model_id, package_root)
        temporary = self._scratch / "tmp"
        temporary.mkdir()
        flags = ("-s", "-P", "-B", "-X", "utf8")
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [python, *flags, WORKER_FILE, str(self._owner), self._scratch],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=work,
                env=worker_environment(os.environ, temporary) | dict(environment),
                bufsize=0,
                start_new_session=True,
            )

    @property
    def is_alive(self) -> bool:
        """Whether the process runs and belongs to this process."""
        return os.getpid() == self._owner and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Process id of the worker."""
        return self._process.pid

    @property
    def scratch(self) -> Path:
        """The worker's own temporary folder."""
        return self._scratch

    def load(self, job: Mapping[str, Any]) -> None:
        """Load a package; ``device`` says afterwards where it is."""
        frame = self.reply(self.request({"op": "load", "job": job}, {}))
        self.device = frame.message["values"]["device"]

    def request(self, message: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> int:
        """Send a request and return its number, without waiting for the answer.

        Raises
        ------
        ArgumentError
            If it holds something that cannot be sent; the worker does not notice.
        GenerationError
            If the worker is gone.
        """
        self._number += 1
        try:
            parts = worker.encode_frame({**message, "id": self._number}, arrays)
        except (TypeError, ValueError, worker.ProtocolError) as error:
            allowed = f"texts, numbers and lists of them ({error})"
            raise ArgumentError("options", message.get("options"), allowed) from error
        self._send(parts)
        return self._number

    def reply(self, number: int) -> worker.Frame:
        """Wait for the answer to a request; answers to abandoned ones are passed over."""
        while (frame := self._receive()).message.get("id") != number:
            pass
        if not frame.message.get("ok"):
            raise as_error(self.model_id, frame.message.get("failure", {}), self.log_tail())
        return frame

    def rest(self, seconds: float) -> None:
        """Let the worker end by itself after so long without a request."""
        with contextlib.suppress(GenerationError):
            self._send(worker.encode_frame({"op": "rest", "seconds": seconds}, {}))

    def wake(self) -> bool:
        """Tell whether the worker still answers, and end its rest."""
        try:
            self.reply(self.request({"op": "wake"}, {}))
        except GenerationError:
            return False
        return True

    def close(self) -> None:
        """End the process, its children and its scratch folder. Does nothing in a forked copy."""
        self._finalizer()
        _LIVE.discard(self)

    def forget(self) -> None:
        """Let go of a worker that belongs to the process this one was forked from."""
        self._finalizer.detach()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        # Nothing to wait for: it is the child of another process.
        self._process.returncode = 0

    def log_tail(self) -> str:
        """Return the last lines that the model printed."""
        return read_tail(self._log)

    def _send(self, parts: list[bytes | memoryview]) -> None:
        self._check_owner()
        try:
            worker.write_frame(cast(BinaryIO, self._process.stdin), parts)
        except (OSError, ValueError) as error:
            # ValueError: the pipe was closed with the worker.
            raise self._died() from error
        except BaseException:
            # Interrupted in the middle of a frame: the stream is of no use any more.
            self.close()
            raise

    def _receive(self) -> worker.Frame:
        self._check_owner()
        try:
            frame = worker.read_frame(cast(BinaryIO, self._process.stdout))
        except (EOFError, OSError, ValueError):
            frame = None
        except worker.ProtocolError as error:
            failure = self._failure(f"its worker sent {error}")
            self.close()
            raise failure from error
        except BaseException:
            self.close()
            raise
        if frame is None:
            raise self._died()
        return frame

    def _check_owner(self) -> None:
        if os.getpid() != self._owner:
            reason = "its worker belongs to the process that this one was forked from"
            raise GenerationError(self.model_id, reason, hint="Call generate anew in this process.")

    def _died(self) -> GenerationError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(CLOSE_SECONDS)
        code, hint = self._process.poll(), ""
        if code is None:
            how = "closed its connection"
        elif code < 0:
            how = f"was killed by signal {-code}"
        else:
            how = f"ended with code {code}"
        if code == -9:
            hint = "Signal 9 often means that memory ran out: try a smaller batch_size."
        failure = self._failure(f"its worker {how}", exit_code=code, hint=hint)
        self.close()
        return failure

    def _failure(self, reason: str, **facts: Any) -> GenerationError:
        return GenerationError(self.model_id, reason, log_tail=self.log_tail(), **facts)


class InlineWorker:
    """The same without a process of its own, because the user asked for it."""

    def __init__(self, model_id: str) -> None:
        self.model_id = model_id
        self.device = ""
        self._runner: worker.Runner | None = None
        self._enclosure: Enclosure | None = None
        self._pending: tuple[Mapping[str, Any], Mapping[str, np.ndarray]] = ({}, {})
        self._number = 0

    @property
    def is_alive(self) -> bool:
        """Whether the package is loaded."""
        return self._runner is not None

    def load(self, job: Mapping[str, Any]) -> None:
        """Load the package into this very process."""
        self._enclosure = Enclosure(Path(job["root"]))
        with self._entered():
            self._runner = worker.Runner({**job, "inline": True})
            self.device = self._runner.device

    def request(self, message: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> int:
        """Keep the request until its answer is asked for; one that was abandoned is forgotten."""
        self._number += 1
        self._pending = (message, arrays)
        return self._number

    def reply(self, number: int) -> worker.Frame:
        """Carry out the request."""
        del number
        message, arrays = self._pending
        with self._entered():
            values, outputs = cast(worker.Runner, self._runner).run(message, dict(arrays))
        return worker.Frame({"values": values}, outputs)

    def rest(self, seconds: float) -> None:
        """Do nothing: what sits in the user's own process stays there until it is closed."""

    def wake(self) -> bool:
        """Tell whether the package is loaded."""
        return self.is_alive

    def close(self) -> None:
        """Let go of the package."""
        self._runner = self._enclosure = None

    @contextlib.contextmanager
    def _entered(self) -> Iterator[None]:
        try:
            with cast(Enclosure, self._enclosure).entered():
                yield
        except (Exception, SystemExit) as error:
            # Model code may raise anything; KeyboardInterrupt stays the user's own.
            raise as_error(self.model_id, worker.describe_failure(error), "") from error


def as_error(model_id: str, failure: Mapping[str, Any], log_tail: str) -> Exception:
    """Turn a failure that a worker described into the error to raise."""
    kind = failure.get("kind")
    if kind == "device":
        return DeviceError(failure["device"], failure["available"])
    if kind == "contract":
        return ContractError(model_id, failure["expected"], failure["found"])
    reason = str(failure.get("reason", "no reason was given")).rstrip(".")
    if kind == "out_of_memory":
        hint = "Try a smaller batch_size."
        reason = f"memory ran out ({reason})"
        return OutOfMemoryError(model_id, reason, log_tail=log_tail, hint=hint)
    return GenerationError(model_id, reason, log_tail=log_tail)


def read_tail(path: Path) -> str:
    """Return the last lines of a file, or nothing where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LOG_TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-LOG_TAIL_LINES:])


def _link(link: Path, target: Path) -> None:
    link.parent.mkdir(parents=True)
    try:
        link.symlink_to(target, target_is_directory=True)
    except OSError:
        # Windows without the right to make links: a copy serves as well, it is only read.
        shutil.copytree(target, link)


def _end(process: subprocess.Popen[bytes], scratch: Path, owner: int) -> None:
    """Kill a worker with all that model code started: it leads a process group of its own."""
    if os.getpid() != owner:
        return
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
    shutil.rmtree(scratch, ignore_errors=True)


_LIVE: weakref.WeakSet[WorkerProcess] = weakref.WeakSet()


def _forget_all() -> None:
    for process in list(_LIVE):
        process.forget()
    _LIVE.clear()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forget_all)
