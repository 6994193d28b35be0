"""An HTTP server in threads that logs what it is asked and misbehaves on request.

A service derives from `StandIn` and answers; ranges, rate limits, faults and the log are here. It
listens on two ports, so that a redirect to "another host" can be followed and looked at.
"""

from __future__ import annotations

import gzip
import re
import socket
import struct
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.fakes.faults import Answer, Fault, Request, Rule, always, part_of, refusal, replaced

BLOCK = 1 << 16
_CHUNKED = ("Transfer-Encoding", "chunked")


class StandIn:
    """Base of the stand-ins: ``with Service() as service: service.url``.

    ``log`` holds every request; ``misbehave`` adds a fault; ``limit`` starts to count requests.
    """

    def __init__(self) -> None:
        self.log: list[Request] = []
        self._rules: list[Rule] = []
        self._lock = threading.Lock()
        self._released = threading.Event()
        self._limit, self._window, self._clock = 133, 60.0, time.monotonic
        self._is_limited = False
        self._times: dict[str, list[float]] = defaultdict(list)
        self._servers = [_Server(self) for _ in range(2)]
        self._threads = [
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
            for server in self._servers
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._released.set()
        for server, thread in zip(self._servers, self._threads, strict=True):
            server.shutdown()
            server.server_close()
            thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._servers[0].server_port}"

    @property
    def other_url(self) -> str:
        return f"http://127.0.0.1:{self._servers[1].server_port}"

    def answer(self, request: Request) -> Answer:
        raise NotImplementedError

    def misbehave(self, fault: Fault, path: str = "", when: Callable[[int], bool] = always) -> None:
        """Add a fault for requests in whose method and path the pattern is found."""
        self._rules.append(Rule(fault, path, when))

    def behave(self) -> None:
        """Forget all faults."""
        self._rules.clear()
        self._is_limited = False

    def limit(self, number: int, window: float, clock: Callable[[], float]) -> None:
        """Answer 429 to more than ``number`` requests of one client in ``window`` seconds."""
        self._limit, self._window, self._clock, self._is_limited = number, window, clock, True

    def asked(self, path: str = "") -> list[Request]:
        """Return the logged requests in whose method and path the pattern is found."""
        return [request for request in self.log if re.search(path, request.said)]

    def respond(self, request: Request) -> tuple[Answer, Fault | None]:
        with self._lock:
            self.log.append(request)
            limits, wait = self._count(request)
            rules = [rule for rule in self._rules if rule.strikes(request)]
        fault = rules[0].fault if rules else None
        if wait is not None:
            reason = f"{self._limit} per {self._window:.0f} seconds"
            answer = Answer.of_json({"status": 429, "message": reason}, 429)
        else:
            answer = (replaced(request, fault) if fault else None) or self.answer(request)
        if fault:
            fault.call()
        if fault and fault.kind == "done":
            answer = refusal(fault)
        if fault and fault.kind in {"status", "done"}:
            limits.pop("Retry-After", None)  # the fault says whether there is one
        answer.headers = limits | answer.headers
        if answer.ranged:
            answer = part_of(request, answer, fault)
        return answer, fault

    def wait(self, seconds: float) -> bool:
        """Wait as a stalling server does; True if the test is over meanwhile."""
        return self._released.wait(seconds)

    def _count(self, request: Request) -> tuple[dict[str, str], float | None]:
        """Account for a request; return headers and, beyond the limit, the seconds to wait."""
        if not self._is_limited:
            headers = {"X-RateLimit-Limit": "133", "X-RateLimit-Remaining": "132"}
            return headers | {"X-RateLimit-Reset": "1703143984", "Retry-After": "59"}, None
        now = self._clock()
        times = self._times[request.headers.get("user-agent", "")]
        times[:] = [moment for moment in times if moment > now - self._window]
        is_over = len(times) >= self._limit
        if not is_over:
            times.append(now)
        wait = max(1, int(times[0] + self._window - now + 1)) if times else 1
        headers = {
            "X-RateLimit-Limit": str(self._limit),
            "X-RateLimit-Remaining": str(self._limit - len(times)),
            "X-RateLimit-Reset": str(int(now + wait)),
            "Retry-After": str(wait),
        }
        return headers, wait if is_over else None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, stand_in: StandIn) -> None:
        self.stand_in = stand_in
        super().__init__(("127.0.0.1", 0), _Handler)

    def shutdown_request(self, request: socket.socket) -> None:
        # The usual orderly shutdown would turn a reset into an end.
        self.close_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients of these servers hang up in the middle, that is what is tested."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two packets: the second would wait 40 ms
    server: _Server

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        request = Request(
            port=self.server.server_port,
            method=self.command,
            path=unquote(parts.path),
            query=dict(parse_qsl(parts.query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in self.headers.items()},
            target=self.path,
            body=self.rfile.read(length),
        )
        answer, fault = self.server.stand_in.respond(request)
        request.served.append((answer.status, 0))
        self._send(request, answer, fault)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self.do_GET()

    def do_PUT(self) -> None:
        self.do_GET()

    def do_CONNECT(self) -> None:
        self.do_GET()

    def do_DELETE(self) -> None:
        self.do_GET()

    def _send(self, request: Request, answer: Answer, fault: Fault | None) -> None:
        kind = fault.kind if fault else ""
        if fault and kind in {"unheard", "lost", "silent"}:
            if kind == "silent":
                self.server.stand_in.wait(fault.seconds)
            self._reset()
            return
        is_file = isinstance(answer.body, Path) and kind == ""
        body = b"" if is_file else answer.cut(0, answer.size)
        if kind == "gzip":
            body = gzip.compress(body)
            answer.headers["Content-Encoding"] = "gzip"
        length = answer.size if is_file else len(body)
        if fault and kind in {"short", "long"}:
            length += 1000
        if kind == "long":
            body += bytes(1000)
        if fault and kind == "corrupt" and body:
            place = min(fault.place(len(body)), len(body) - 1)
            body = body[:place] + bytes([body[place] ^ 0xFF]) + body[place + 1 :]
        has_length = answer.has_length and kind != "chunked"
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header(*(("Content-Length", str(length)) if has_length else _CHUNKED))
        self.end_headers()
        if request.method == "HEAD":
            return
        if is_file:
            request.served.append((answer.status, answer.size))
            with answer.body.open("rb") as file:
                self.connection.sendfile(file)
            return
        self._send_body(request, body, fault, has_length=has_length)

    def _send_body(
        self, request: Request, body: bytes, fault: Fault | None, *, has_length: bool
    ) -> None:
        kind = fault.kind if fault else ""
        place = fault.place(len(body)) if fault else len(body)
        if kind in {"reset", "stall"}:
            self._write(request, body[:place])
            if kind == "stall":
                self.server.stand_in.wait(fault.seconds)
            self._reset()
            return
        if kind == "drip":
            for start in range(0, len(body), 64):
                self._write(request, body[start : start + 64])
                if self.server.stand_in.wait(fault.seconds):
                    return
            return
        if has_length:
            self._write(request, body)
        else:
            for start in range(0, len(body), BLOCK):
                part = body[start : start + BLOCK]
                self._write(request, b"%x\r\n%s\r\n" % (len(part), part))
            self._write(request, b"0\r\n\r\n")
        self.close_connection = kind in {"short", "long"}

    def _reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _write(self, request: Request, data: bytes) -> None:
        # Logged before it is sent: the test may look as soon as the client has it.
        request.served.append((request.status, len(data)))
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Keep the test output clean; ``StandIn.log`` has it all."""
