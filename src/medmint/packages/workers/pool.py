"""Warm workers: starting one takes seconds, the second batch shall not."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import weakref
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Any

from medmint.errors import GenerationError
from medmint.packages.workers.process import Worker

IDLE_SECONDS = 600.0


class WorkerPool:
    """Keeps workers warm between calls, at most one per device.

    A worker is lent to one call at a time; a second call at the same moment gets one of its own.

    Parameters
    ----------
    idle_seconds : float
        A worker that is not lent for so long ends.
    """

    def __init__(self, idle_seconds: float = IDLE_SECONDS) -> None:
        self._idle_seconds = idle_seconds
        self._lock = threading.Lock()
        self._idle: list[_Idle] = []
        self._closings = 0
        _POOLS.add(self)

    @contextlib.contextmanager
    def lend(self, device: str, key: Hashable, start: Callable[[], Worker]) -> Iterator[Worker]:
        """Lend the warm worker of this device and key, or one that ``start`` makes.

        It comes back with the end of the block and stays warm, unless it failed or the pool was
        closed in the meantime.
        """
        device = "cuda:0" if device == "cuda" else device
        closings = self._closings
        worker = self._take(device, key) or start()
        try:
            yield worker
        except GenerationError:
            # What it failed with, such as an error on the GPU, may stay with it.
            worker.close()
            raise
        finally:
            if worker.is_alive:
                self._give_back(_Idle(device, key, worker), closings)

    def close(self) -> None:
        """End all workers that are not lent; those that are end when they come back.

        The pool can still be used.
        """
        with self._lock:
            self._closings += 1
        self._end(self._pick(lambda _: True))

    def __len__(self) -> int:
        return sum(one.worker.is_alive for one in self._idle)

    def __reduce__(self) -> tuple[Any, ...]:
        # Sent to another process, as loader processes do, a pool arrives empty.
        return WorkerPool, (self._idle_seconds,)

    def _take(self, device: str, key: Hashable) -> Worker | None:
        # All that share the device: two models at once may not fit on it.
        picked = self._pick(lambda one: one.shares(device))
        fitting = [one for one in picked if (one.device, one.key) == (device, key)]
        self._end([one for one in picked if one not in fitting])
        return next((one.worker for one in fitting if one.worker.wake()), None)

    def _give_back(self, returned: _Idle, closings: int) -> None:
        returned.worker.rest(self._idle_seconds)
        with self._lock:
            if closings == self._closings:
                ended = [one for one in self._idle if one.shares(returned.device)]
                self._idle = [one for one in self._idle if one not in ended] + [returned]
            else:
                ended = [returned]
        self._end(ended)

    def _pick(self, wanted: Callable[[_Idle], bool]) -> list[_Idle]:
        """Take the idle workers that are wanted out of the pool."""
        with self._lock:
            picked = [one for one in self._idle if wanted(one)]
            self._idle = [one for one in self._idle if one not in picked]
        return picked

    @staticmethod
    def _end(idle: list[_Idle]) -> None:
        for one in idle:
            one.worker.close()

    def forget(self) -> None:
        """Start afresh in a forked copy: its parent's workers are not its own."""
        self._lock = threading.Lock()
        self._idle = []


@dataclass(frozen=True, slots=True, eq=False)
class _Idle:
    device: str
    key: Hashable
    worker: Worker

    def shares(self, device: str) -> bool:
        """Tell whether this worker may sit on the same device: where "auto" leads is not known."""
        return device == self.device or "auto" in (device, self.device)


_POOLS: weakref.WeakSet[WorkerPool] = weakref.WeakSet()


def _forget_all() -> None:
    for pool in list(_POOLS):
        pool.forget()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forget_all)
