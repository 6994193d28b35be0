"""How long medmint tries: the limits, the failure of one try, and the tries of one address."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from medmint.errors import DownloadError
from medmint.transport.addresses import redact, scrub

if TYPE_CHECKING:
    import requests

logger = logging.getLogger(__name__)

#: Bytes after which a try that broke off has got somewhere and is not held against the server.
PROGRESS = 1 << 20
_HINTS = {
    401: "The server wants to know who asks: the file is not public.",
    403: "The file is restricted, or the server turns this client away.",
    404: "Check the link: the record or the file is not there.",
    407: "The proxy wants credentials: set HTTPS_PROXY, or NO_PROXY for this host.",
    410: "The record was deleted by its owners.",
    429: "The server limits the number of requests: try again later.",
}
_HINT = "Check the network and try again: what has arrived is kept."


@dataclass(frozen=True, slots=True)
class Patience:
    """How long medmint waits for a server, and by which clock.

    Attributes
    ----------
    connect, read : float, seconds
        Longest wait for a connection, and longest silence within an answer.
    tries : int
        Tries that may fail in a row; one that brought `PROGRESS` bytes starts the count again.
    total : float, seconds
        Limit of the whole effort, to which every byte that arrives adds ``1 / slowest``.
    slowest : float, bytes per second
        Rate below which a download is given up once ``total`` is used up.
    first_wait, longest_wait : float, seconds
        Bounds of the exponential backoff; the wait itself is drawn below them.
    clock, sleep, draw : callable
        Seconds that only grow, a pause in seconds, a number from [0, 1).
    """

    connect: float = 10.0
    read: float = 30.0
    tries: int = 6
    total: float = 600.0
    slowest: float = 50_000.0
    first_wait: float = 1.0
    longest_wait: float = 30.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    draw: Callable[[], float] = random.random


PATIENCE = Patience()


class TransportError(Exception):
    """One try at a request failed; it never leaves medmint, an `Effort` turns it into an error.

    Attributes
    ----------
    url : str
        Address without query and credentials.
    reason : str
    status : int or None
        None where there was no answer.
    transient : bool
        Whether another try may go better.
    retry_after : float or None, seconds
    text : str
        Beginning of the server's answer, without tokens.
    """

    def __init__(
        self, url: str, reason: str, *, transient: bool, answer: requests.Response | None = None
    ) -> None:
        self.url = redact(url)
        self.reason = scrub(reason)
        super().__init__(f"{self.url}: {self.reason}")
        self.transient = transient
        self.status = None if answer is None else answer.status_code
        self.retry_after = None if answer is None else _retry_after(answer)
        self.text = ""


class Effort:
    """All tries at one address: how many, until when, and how long to wait in between."""

    def __init__(self, url: str, patience: Patience) -> None:
        self.tries = 0
        self._url = redact(url)
        self._patience = patience
        self._end = patience.clock() + patience.total
        self._misses = 0
        self._gained = 0

    def credit(self, size: int) -> None:
        """Account for ``size`` bytes that arrived; raise `TransportError` when time is up."""
        self._gained += size
        self._end += size / self._patience.slowest
        if self._patience.clock() > self._end:
            raise TransportError(self._url, "it took too long", transient=False)

    def fail(self, failure: TransportError) -> None:
        """Wait for the next try, or raise `DownloadError` when there is to be none."""
        if not self.again(failure):
            raise self._final(failure) from failure

    def again(self, failure: TransportError) -> bool:
        """Wait for the next try; False at once when there is to be none."""
        self.tries += 1
        self._misses = 1 if self._gained >= PROGRESS else self._misses + 1
        self._gained = 0
        wait = self._wait(failure)
        time_left = self._end - self._patience.clock()
        if not failure.transient or self._misses >= self._patience.tries or wait > time_left:
            return False
        logger.debug("%s: %s; next try in %.1f s", self._url, failure.reason, wait)
        self._patience.sleep(wait)
        return True

    def _wait(self, failure: TransportError) -> float:
        ceiling = self._patience.first_wait * 2.0 ** (self._misses - 1)
        # Drawn from the whole range: clients that failed together do not come back together.
        jitter = self._patience.draw() * min(ceiling, self._patience.longest_wait)
        return (failure.retry_after or 0.0) + jitter

    def _final(self, failure: TransportError) -> DownloadError:
        hint = _HINTS.get(failure.status or 0, _HINT)
        if failure.retry_after is not None:
            hint = f"The server asks to wait {failure.retry_after:.0f} s: try again after that."
        return DownloadError(
            failure.url, failure.reason, status=failure.status, attempts=self.tries, hint=hint
        )


def _retry_after(answer: requests.Response) -> float | None:
    # Zenodo sends the header with every answer; it means something with these two alone.
    if answer.status_code not in {429, 503}:
        return None
    text = answer.headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return None
    try:
        now = parsedate_to_datetime(answer.headers.get("Date", ""))
    except ValueError:
        now = datetime.now(UTC)
    # Either of them without a time zone means universal time.
    return max(0.0, (_in_utc(until) - _in_utc(now)).total_seconds())


def _in_utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
