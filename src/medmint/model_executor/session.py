"""A worker that stays: asked batch after batch, for hours, the next while one is in use."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import Any, TypeAlias, cast

from medmint.errors import ContractError, GenerationError, MedmintError
from medmint.model_executor.plan import Plan
from medmint.model_executor.starting import start_worker
from medmint.packages.workers.pool import IDLE_SECONDS
from medmint.packages.workers.process import OutOfMemoryError, Worker
from medmint.packages.workers.worker import Frame

#: Batches that may be on their way at once; beyond it the oldest that no one fetched is dropped.
MOST_AHEAD = 8

#: Sends a request to a worker and returns its number.
Ask: TypeAlias = Callable[[Worker], int]


class Session:
    """One worker for all who need its samples again and again.

    Whatever ends it, be it a failure, :meth:`close`, or ten minutes without a request, the next
    request starts a new one. So does the first request in a forked or unpickled copy. It ends with
    the last reference to this object.

    Parameters
    ----------
    plan : Plan
        Says what the worker is to load; requests may be of other plans of the same worker key.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._state = _State()

    def prefetch(self, key: Hashable, ask: Ask) -> None:
        """Let the worker begin with what :meth:`fetch` will be called for under the same key."""
        state = self._here()
        # Model code in this very process cannot run beside it.
        if self._plan.isolation == "none":
            return
        with state.lock:
            # What a worker that died was to make is for fetch() to report.
            if key in state.ahead or state.is_lost:
                return
            if len(state.ahead) == MOST_AHEAD:
                _, dropped = state.ahead.popitem(last=False)
                state.answers.pop(dropped, None)
            # That a worker has just died is for fetch() to report as well, once.
            with contextlib.suppress(GenerationError):
                state.ahead[key] = state.ask(self._worker(state), ask)

    def fetch(self, key: Hashable, ask: Ask) -> Frame:
        """Return the answer to a request that was prefetched under this key, or is made now.

        Raises
        ------
        GenerationError, ContractError
            If the model fails.
        """
        state = self._here()
        with state.lock:
            number = state.ahead.pop(key, None)
            if number is None or state.worker is None:
                number = state.ask(self._worker(state), ask)
            worker = cast(Worker, state.worker)
            try:
                frame = state.reply(worker, number)
            except (OutOfMemoryError, ContractError):
                raise
            except BaseException:
                # What a model failed with, such as an error on the GPU, may stay with its worker;
                # one that was interrupted is of no use either.
                state.end()
                raise
            if not state.asked:
                worker.rest(IDLE_SECONDS)
            return frame

    def close(self) -> None:
        """End the worker. The session can still be used."""
        state = self._here()
        with state.lock:
            state.end()

    def __reduce__(self) -> tuple[Any, ...]:
        # Sent to another process, as loader processes do, it arrives without a worker.
        return Session, (self._plan,)

    def _here(self) -> _State:
        """Return the state of this process: a forked copy has nothing of its parent's."""
        if self._state.pid != os.getpid():
            self._state = _State()
        return self._state

    def _worker(self, state: _State) -> Worker:
        if state.worker is None or not state.worker.is_alive:
            state.end()
            # Loader processes beside this one have workers too: they share the processor.
            threads = max(1, self._plan.threads // _loader_processes())
            state.worker = start_worker(replace(self._plan, threads=threads))
        return state.worker


class _State:
    """The worker of a session in one process, and what it was asked for."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.lock = threading.RLock()
        self.worker: Worker | None = None
        #: Numbers of requests whose answers did not come yet, in the order of the answers.
        self.asked: deque[int] = deque()
        #: What was prefetched and not fetched yet.
        self.ahead: OrderedDict[Hashable, int] = OrderedDict()
        self.answers: dict[int, Frame | MedmintError] = {}

    @property
    def is_lost(self) -> bool:
        """Whether the worker died over what it was asked for."""
        return self.worker is not None and not self.worker.is_alive and bool(self.asked)

    def ask(self, worker: Worker, ask: Ask) -> int:
        """Send a request."""
        number = ask(worker)
        self.asked.append(number)
        return number

    def reply(self, worker: Worker, number: int) -> Frame:
        """Wait for an answer; those to others that come before it are kept for them."""
        while number not in self.answers:
            first = self.asked.popleft()
            answer: Frame | MedmintError
            try:
                answer = worker.reply(first)
            except MedmintError as error:
                if not worker.is_alive:
                    raise
                answer = error
            if first == number or first in self.ahead.values():
                self.answers[first] = answer
        found = self.answers.pop(number)
        if isinstance(found, MedmintError):
            raise found
        return found

    def end(self) -> None:
        """End the worker, and forget what it was asked for."""
        if self.worker is not None:
            self.worker.close()
        self.worker = None
        self.asked.clear()
        self.ahead.clear()
        self.answers.clear()


def _loader_processes() -> int:
    """Return how many processes of a torch loader there are, this one among them, else 1."""
    data: Any = sys.modules.get("torch.utils.data")
    info = None if data is None else data.get_worker_info()
    return 1 if info is None else int(info.num_workers)
