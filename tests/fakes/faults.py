"""What a stand-in is asked, what it answers, and the ways in which that can go wrong."""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from pathlib import Path
from typing import Self

PAGE = b"<!DOCTYPE html><html><head><title>Gateway Time-out</title></head><body></body></html>\n"


@dataclass(frozen=True)
class Request:
    """What a client asks, and how many bytes of an answer it was sent."""

    port: int
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]  # names in lower case
    target: str
    body: bytes = b""
    served: list[tuple[int, int]] = field(default_factory=list)  # (status, bytes) of its answer

    @property
    def said(self) -> str:
        """Method and path, as faults and tests look for them."""
        return f"{self.method} {self.path}"

    @property
    def status(self) -> int:
        return self.served[0][0] if self.served else 0

    @property
    def sent(self) -> int:
        return sum(size for _, size in self.served)


@dataclass
class Answer:
    """What is sent back; a ranged answer may be asked for in parts."""

    status: int
    body: bytes | Path = b""
    headers: dict[str, str] = field(default_factory=dict)
    ranged: bool = False
    has_length: bool = True

    @classmethod
    def of_json(cls, content: object, status: int = 200, **headers: str) -> Self:
        body = json.dumps(content).encode()
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return cls(status, body, {"Content-Type": "application/json", **names})

    @property
    def size(self) -> int:
        return self.body.stat().st_size if isinstance(self.body, Path) else len(self.body)

    def cut(self, start: int, end: int) -> bytes:
        """Return the bytes of the body from here to there."""
        if isinstance(self.body, bytes):
            return self.body[start:end]
        with self.body.open("rb") as file:
            file.seek(start)
            return file.read(end - start)


@dataclass(frozen=True)
class Fault:
    """One way to misbehave.

    ``kind``: status, blocked, page, loop, redirect (they replace the answer); ignore-range,
    wrong-start, wrong-total, no-content-range, new-version (they bend ranges); reset, short, long,
    corrupt, stall, drip, gzip, chunked (they bend the body); unheard (the connection is reset and
    nothing done), lost (it is done, and the connection reset), silent (it is done, and nothing is
    said), done (it is done, and the answer is another status). ``at`` is the place in the body, as
    a share of it or as a number of bytes; ``call`` is called when the fault strikes.
    """

    kind: str
    status: int = 500
    at: float | int = 0.5
    retry_after: str | None = None
    location: str = ""
    seconds: float = 5.0
    call: Callable[[], object] = lambda: None

    def place(self, size: int) -> int:
        return min(size, self.at if isinstance(self.at, int) else int(size * self.at))


def first(number: int) -> bool:
    return number == 1


def every_second(number: int) -> bool:
    return number % 2 == 1


def always(_number: int) -> bool:
    return True


@dataclass
class Rule:
    """A fault, the requests that it is for, and which of those it strikes (counted from 1)."""

    fault: Fault
    path: str
    when: Callable[[int], bool]
    count: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def strikes(self, request: Request) -> bool:
        return bool(re.search(self.path, request.said)) and self.when(next(self.count))


def http_date(seconds_from_now: float) -> str:
    """Return a moment as the headers of HTTP write it."""
    return formatdate(time.time() + seconds_from_now, usegmt=True)


def replaced(request: Request, fault: Fault) -> Answer | None:
    """Return what a fault answers in place of the service, None where it lets that answer."""
    html = {"Content-Type": "text/html"}
    if fault.kind == "status":
        return refusal(fault)
    if fault.kind == "unheard":
        return Answer(500)
    if fault.kind in {"loop", "redirect"}:
        return Answer(302, b"", {"Location": fault.location or request.target})
    octets = {"Content-Type": "application/octet-stream"}
    pages = {
        "page": Answer(200, PAGE, html),
        "blocked": Answer(fault.status, b"<html>" + b"blocked" * 102, octets),
    }
    return pages.get(fault.kind)


def refusal(fault: Fault) -> Answer:
    """Return an answer with the status of a fault: a page of the server before it, from 500 on."""
    wait = {} if fault.retry_after is None else {"Retry-After": fault.retry_after}
    if fault.status >= 500:
        return Answer(fault.status, PAGE, {"Content-Type": "text/html"} | wait)
    content = {"status": fault.status, "message": "No."}
    return Answer.of_json(content, fault.status, **wait)


def part_of(request: Request, answer: Answer, fault: Fault | None) -> Answer:
    """Cut an answer to the range that was asked for, if it was and the version is still that."""
    kind = fault.kind if fault else ""
    if kind == "new-version":
        answer.headers |= {"ETag": '"md5:another"', "Last-Modified": http_date(0)}
    match = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
    asked_version = request.headers.get("if-range")
    is_same = asked_version in {
        None,
        answer.headers.get("ETag"),
        answer.headers.get("Last-Modified"),
    }
    if match is None or not is_same or kind == "ignore-range" or request.method == "HEAD":
        return answer
    start, size = int(match[1]), answer.size
    if start >= size:
        return Answer(416, b"", {"Content-Range": f"bytes */{size}"})
    end = min(int(match[2] or size - 1), size - 1)
    shown = start + 1 if kind == "wrong-start" else start
    total = size + 1 if kind == "wrong-total" else size
    headers = answer.headers | {"Content-Range": f"bytes {shown}-{end}/{total}"}
    if kind == "no-content-range":
        del headers["Content-Range"]
    return replace(answer, status=206, headers=headers, body=answer.cut(start, end + 1))
