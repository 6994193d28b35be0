"""Clocks that pass no time: one for a single client, one for many at once."""

from __future__ import annotations

import heapq
import random
import threading

from medmint.transport import Patience


class VirtualTime:
    """A clock that moves when somebody sleeps; ``waits`` are the sleeps so far."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waits: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds

    def patience(self, **limits: float) -> Patience:
        """Return a patience that waits by this clock, and half of what it might draw."""
        limits = {"connect": 5.0, "read": 5.0, **limits}
        return Patience(**limits, clock=self.clock, sleep=self.sleep, draw=lambda: 0.5)


class SharedTime(VirtualTime):
    """One clock for many threads: it moves on when all of them sleep or are done."""

    def __init__(self, tasks: int) -> None:
        super().__init__()
        self._awake = tasks
        self._wakings: list[float] = []
        self._changed = threading.Condition()

    def sleep(self, seconds: float) -> None:
        with self._changed:
            waking = self.now + seconds
            heapq.heappush(self._wakings, waking)
            self._rest()
            self._changed.wait_for(lambda: self.now >= waking)

    def leave(self) -> None:
        """Say that a thread is done."""
        with self._changed:
            self._rest()

    def patience(self, **limits: float) -> Patience:
        """Return a patience that waits by this clock, each draw another."""
        draw = random.Random(7).random
        return Patience(**limits, clock=self.clock, sleep=self.sleep, draw=draw)

    def _rest(self) -> None:
        self._awake -= 1
        if self._awake or not self._wakings:
            return
        self.now = self._wakings[0]
        while self._wakings and self._wakings[0] <= self.now:
            heapq.heappop(self._wakings)
            self._awake += 1
        self._changed.notify_all()
