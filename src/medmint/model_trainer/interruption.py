"""Ctrl-C while a training runs."""

from __future__ import annotations

import os
import signal
import threading
from typing import Self


class Interruption:
    """Keeps Ctrl-C until a step is over, so that nothing is lost; a second one stops at once."""

    def __init__(self) -> None:
        self.came = False
        self._handler = signal.getsignal(signal.SIGINT)

    def __enter__(self) -> Self:
        # Where something else handles Ctrl-C, or nothing does, that stays so.
        if self._handler is signal.default_int_handler and _is_main_thread():
            signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if signal.getsignal(signal.SIGINT) == self._note:
            signal.signal(signal.SIGINT, self._handler)

    def _note(self, *_: object) -> None:
        self.came = True
        signal.signal(signal.SIGINT, self._handler)
        os.write(2, b"\nstopping after this step; Ctrl-C again stops at once.\n")


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
