"""What tests run in other processes, and how they look at worker processes."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from medmint import Generators


def worker_of(generators: Generators, package: Path) -> int:
    """Generate one sample with a ``pid_package`` and return the id of the process that made it."""
    ((_, pid),) = generators.generate(90100, 1, save_images=False, package=package, seed=1)
    return int(pid)


def workers_below(pid: int | None = None) -> list[psutil.Process]:
    """Return the worker processes among the descendants of a process, by default this one."""
    found = []
    for child in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if any(part.endswith("worker.py") for part in child.cmdline()) and is_running(
                child.pid
            ):
                found.append(child)
    return found


def is_running(pid: int) -> bool:
    """Tell whether a process is there and no zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for(condition: Callable[[], Any], seconds: float = 20.0) -> bool:
    """Wait until something is the case; False if it never is."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return bool(condition())


def generate_in_child(generators: Generators, package: Path, results: Any) -> None:
    """Put the worker's pid, and how many workers this child then has, into a queue."""
    pid = worker_of(generators, package)
    results.put((pid, len(workers_below())))
    generators.close()


class PidDataset:
    """A torch dataset whose items are the pids of the workers that made them."""

    def __init__(self, generators: Generators, package: Path) -> None:
        self.generators = generators
        self.package = package

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> int:
        return worker_of(self.generators, self.package)
