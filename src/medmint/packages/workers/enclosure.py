"""Model code in the user's own process, and that process as it was afterwards."""

from __future__ import annotations

import contextlib
import os
import random
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np


class Enclosure:
    """Keeps what a package changes in this process to the time in which its code runs.

    Put back are the working directory, ``sys.path``, ``sys.argv``, the environment and the states
    of random generators. Modules of the package leave ``sys.modules`` and come back with the next
    call, in place of modules of the user that have the same names.

    Parameters
    ----------
    root : Path
        Folder of the package.
    """

    def __init__(self, root: Path) -> None:
        self._root = str(root) + os.sep
        # A package with a file random.py must not hide the one that everything else uses.
        entries = {path.name.partition(".")[0] for path in root.iterdir()}
        self._names = entries - sys.stdlib_module_names - {"torch", "numpy"}
        self._modules: dict[str, ModuleType] = {}
        self._path: list[str] | None = None

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Let code of the package run; one such block at a time, whatever the thread."""
        with (
            _ALONE,
            contextlib.chdir(Path.cwd()),
            _same_environment(),
            _same_random_state(),
            self._own_imports(),
        ):
            yield

    @contextlib.contextmanager
    def _own_imports(self) -> Iterator[None]:
        path, argv = list(sys.path), list(sys.argv)
        hidden = {
            name: module
            for name, module in list(sys.modules.items())
            if name.partition(".")[0] in self._names
        }
        for name in hidden:
            del sys.modules[name]
        sys.modules.update(self._modules)
        sys.path[:] = self._path or path
        before = set(sys.modules) - set(self._modules)
        try:
            yield
        finally:
            new = {name: sys.modules[name] for name in set(sys.modules) - before}
            self._modules = {name: new[name] for name in new if self._is_own(new[name])}
            for name in self._modules:
                del sys.modules[name]
            sys.modules.update(hidden)
            self._path, sys.path[:] = list(sys.path), path
            sys.argv[:] = argv

    def _is_own(self, module: ModuleType) -> bool:
        folders = list(getattr(module, "__path__", None) or [""])
        return (getattr(module, "__file__", None) or f"{folders[0]}{os.sep}").startswith(self._root)


@contextlib.contextmanager
def _same_environment() -> Iterator[None]:
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        for name, value in before.items():
            if os.environ.get(name) != value:
                os.environ[name] = value


@contextlib.contextmanager
def _same_random_state() -> Iterator[None]:
    plain, arrays = random.getstate(), np.random.get_state()  # noqa: NPY002 - the user's state
    torch = sys.modules.get("torch")
    cards = range(torch.cuda.device_count()) if torch and torch.cuda.is_initialized() else ()
    try:
        with torch.random.fork_rng(cards) if torch else contextlib.nullcontext():
            yield
    finally:
        random.setstate(plain)
        np.random.set_state(arrays)  # noqa: NPY002


_ALONE = threading.RLock()


def _forget_lock() -> None:
    """Start a forked copy with a free lock: the thread that held it is not in the copy."""
    global _ALONE  # noqa: PLW0603
    _ALONE = threading.RLock()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forget_lock)
