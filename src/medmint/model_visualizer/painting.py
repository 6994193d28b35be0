"""Drawing in the background, the newest wish only: a slider that is dragged never queues."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from medmint.errors import MedmintError

Wish = TypeVar("Wish")
Result = TypeVar("Result")


class Painter(Generic[Wish, Result]):
    """Carries out the newest wish, one at a time, in a thread of its own.

    A wish that comes while another is being carried out waits; if a newer one comes before its
    turn, it is forgotten. That depends on no event loop, so windows and notebooks share it.

    Parameters
    ----------
    paint : callable
        Carries out a wish.
    finished : callable, optional
        Called in the thread whenever a result can be taken.

    Examples
    --------
    >>> painter = Painter(lambda wish: wish + 1)
    >>> painter.ask(1)
    >>> painter.wait(10), painter.take()
    (True, 2)
    >>> painter.close()
    """

    def __init__(
        self, paint: Callable[[Wish], Result], finished: Callable[[], None] | None = None
    ) -> None:
        self.finished = finished
        self._paint = paint
        self._changed = threading.Condition()
        self._wish: Wish | None = None
        self._result: Result | MedmintError | None = None
        self._is_busy = False
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def ask(self, wish: Wish) -> None:
        """Wish for something instead of whatever still waits; returns at once."""
        with self._changed:
            self._wish = wish
            is_working = self._thread is not None and self._thread.is_alive()
            if not is_working and not self._is_closed:
                self._thread = threading.Thread(target=self._work, daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def take(self) -> Result | MedmintError | None:
        """Return the newest result or what went wrong, once; None where there is nothing new."""
        with self._changed:
            result, self._result = self._result, None
            return result

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being done and no result waits to be taken."""
        with self._changed:
            return self._is_done() and self._result is None

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until all wishes are carried out; False if that takes longer."""
        with self._changed:
            return self._changed.wait_for(self._is_done, seconds)

    def close(self) -> None:
        """End the thread after what it is doing."""
        with self._changed:
            self._is_closed = True
            self._wish = None
            self._changed.notify_all()

    def _is_done(self) -> bool:
        return self._wish is None and not self._is_busy

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._wish is not None or self._is_closed)
                wish, self._wish = self._wish, None
                if wish is None:
                    return
                self._is_busy = True
            self._carry_out(wish)

    def _carry_out(self, wish: Wish) -> None:
        try:
            try:
                result: Result | MedmintError = self._paint(wish)
            except MedmintError as error:
                result = error
            with self._changed:
                self._result = result
            if self.finished is not None:
                self.finished()
        finally:
            with self._changed:
                self._is_busy = False
                self._changed.notify_all()
