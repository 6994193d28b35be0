"""Requests under medmint's own name: one try at a time, redirects followed by hand."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from medmint.errors import ArgumentError, OfflineError
from medmint.settings import Settings
from medmint.transport.addresses import redact, redirected, scrub
from medmint.transport.patience import PATIENCE, Effort, Patience, TransportError
from medmint.version import __version__

if TYPE_CHECKING:
    import requests

    Sign = Callable[[requests.PreparedRequest], requests.PreparedRequest]

logger = logging.getLogger(__name__)

HOME_PAGE = "https://doi.org/10.1117/1.JMI.10.6.061403"
MOST_REDIRECTS = 5
_MOST_JSON = 16 << 20
_MOST_ERROR_TEXT = 16 << 10
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_WORTH_ANOTHER_TRY = frozenset({408, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524})


class Bearer:
    """A token that goes into one request header and shows in no text.

    Examples
    --------
    >>> Bearer("s3cret")
    <token>
    """

    __slots__ = ("_token",)

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Sign a request, as requests asks of its ``auth`` objects."""
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request

    def __repr__(self) -> str:
        return "<token>"


@dataclass(frozen=True, slots=True)
class Document:
    """What a server answered.

    Attributes
    ----------
    content : object
        As it was parsed.
    status : int
        304 where nothing is newer than what the request named; the content is empty then.
    etag : str or None
        Names this version.
    """

    content: Any
    status: int
    etag: str | None


class Client:
    """Requests under medmint's own name, by the rules of its settings.

    Parameters
    ----------
    settings : Settings
        Decides whether there may be a request at all.
    patience : Patience, optional
    token : Bearer, optional
        Shown to the origin that is asked, and not to another one it redirects to.
    """

    def __init__(
        self, settings: Settings, *, patience: Patience = PATIENCE, token: Bearer | None = None
    ) -> None:
        self.settings = settings
        self.patience = patience
        self._token = token
        self._session: requests.Session | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._session is not None:
            self._session.close()

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | IO[bytes] | None = None,
    ) -> requests.Response:
        """Make one try at a request.

        Parameters
        ----------
        method, url : str
        headers : mapping of str to str, optional
        body : bytes or binary file, optional

        Returns
        -------
        requests.Response
            With a status below 400, or 416 where ``headers`` ask for a range. Its body is not
            read yet (`read`); the caller closes it.

        Raises
        ------
        TransportError
            If there is no such answer.
        OfflineError
            If the settings say offline; no socket was opened.
        """
        if self.settings.offline:
            raise OfflineError(redact(url))
        first, headers = url, dict(headers or {})
        for _ in range(MOST_REDIRECTS + 1):
            token = self._token if _origin(url) == _origin(first) else None
            answer = self._send(method, url, headers, body, token or _anonymous)
            if answer.status_code not in _REDIRECTS:
                return _checked(url, answer, asked_range="Range" in headers)
            answer.close()
            url = _next_address(method, url, answer)
        raise TransportError(
            first, f"it redirects more than {MOST_REDIRECTS} times", transient=False
        )

    def get_json(self, url: str) -> Any:
        """Read a JSON document, with as many tries as patience allows.

        Raises
        ------
        DownloadError
            If it cannot be had.
        """
        return self.get(url, headers={"Accept": "application/json"}, parse=json.loads).content

    def get(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        at_most: int = _MOST_JSON,
        parse: Callable[[bytes], Any] = bytes,
    ) -> Document:
        """Read a document into memory, with as many tries as patience allows.

        Parameters
        ----------
        url : str
        headers : mapping of str to str, optional
        at_most : int, bytes
            A longer one is refused.
        parse : callable
            Makes the content of the bytes; a `ValueError` of it is worth another try.

        Raises
        ------
        DownloadError
            If it cannot be had.
        """
        effort = Effort(url, self.patience)
        while True:
            try:
                return self._get_once(url, effort, headers, at_most, parse)
            except TransportError as failure:
                effort.fail(failure)

    def _get_once(
        self,
        url: str,
        effort: Effort,
        headers: Mapping[str, str] | None,
        at_most: int,
        parse: Callable[[bytes], Any],
    ) -> Document:
        text = bytearray()
        with self.request("GET", url, headers=headers) as answer:
            while chunk := read(answer, 1 << 16):
                effort.credit(len(chunk))
                text += chunk
                if len(text) > at_most:
                    reason = f"its answer is larger than {at_most / 1e6:.0f} MB"
                    raise TransportError(url, reason, transient=False)
        size = answer.headers.get("Content-Length", "")
        if text and size.isdecimal() and len(text) != int(size):
            reason = f"it broke off after {len(text)} of {size} bytes"
            raise TransportError(url, reason, transient=True)
        try:
            content = parse(bytes(text))
        except (ValueError, RecursionError):
            failure = TransportError(url, "its answer is not JSON", transient=True, answer=answer)
        else:
            return Document(content, answer.status_code, answer.headers.get("ETag"))
        raise failure

    def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | IO[bytes] | None,
        auth: Sign,
    ) -> requests.Response:
        import requests

        if self._session is None:
            self._session = requests.Session()
            # Asked for as it is: a compressed answer has another length and cannot be resumed.
            self._session.headers.update(
                {"User-Agent": user_agent(), "Accept-Encoding": "identity"}
            )
        timeout = (self.patience.connect, self.patience.read)
        try:
            return self._session.request(
                method,
                url,
                headers=dict(headers),
                data=body,
                auth=auth,
                timeout=timeout,
                stream=True,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            failure = _explained(url, error)
        # Raised out here: the library's own error holds the whole URL and must not come along.
        raise failure


def read(answer: requests.Response, size: int) -> bytes:
    """Return the next bytes of an answer as soon as there are any; b"" at its end.

    Raises
    ------
    TransportError
        If the connection breaks or falls silent.
    """
    from urllib3.exceptions import HTTPError

    try:
        chunk: bytes = answer.raw.read1(size, decode_content=False)
    except (HTTPError, OSError, ValueError):
        failure = TransportError(answer.url, "the connection broke off", transient=True)
    else:
        return chunk
    raise failure


def user_agent() -> str:
    """Return the name under which medmint asks; servers block the generic ones."""
    return f"medmint/{__version__} (+{HOME_PAGE})"


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def _anonymous(request: requests.PreparedRequest) -> requests.PreparedRequest:
    # Without any auth, requests would look for credentials in the user's ~/.netrc.
    return request


def _next_address(method: str, url: str, answer: requests.Response) -> str:
    if method not in {"GET", "HEAD"}:
        raise TransportError(url, "it redirects an upload", transient=False, answer=answer)
    try:
        return redirected(url, answer.headers.get("Location", ""))
    except ArgumentError:
        reason = "it redirects to an address that is not safe"
        failure = TransportError(url, reason, transient=False, answer=answer)
    raise failure


def _checked(url: str, answer: requests.Response, *, asked_range: bool) -> requests.Response:
    status = answer.status_code
    if status < 400 or (status == 416 and asked_range):
        return answer
    with answer:
        failure = TransportError(
            url,
            f"the server answered {status} {answer.reason or ''}".rstrip(),
            transient=status in _WORTH_ANOTHER_TRY,
            answer=answer,
        )
        failure.text = scrub(_beginning(answer).decode(errors="replace"))
    message = _message(failure.text)
    if message:
        failure.reason += f" ({message})"
    raise failure


def _beginning(answer: requests.Response) -> bytes:
    text = b""
    try:
        while len(text) < _MOST_ERROR_TEXT and (chunk := read(answer, _MOST_ERROR_TEXT)):
            text += chunk
    except TransportError:
        logger.debug("%s: the text of its error broke off", redact(answer.url))
    return text


def _message(text: str) -> str:
    try:
        message = json.loads(text)["message"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return str(message)[:200]


def _explained(url: str, error: requests.RequestException) -> TransportError:
    import requests

    if isinstance(error, requests.exceptions.ProxyError):
        reason, transient = "the proxy refuses to connect", False
        if "407" in str(error):
            reason = "the proxy wants credentials (407): check HTTPS_PROXY"
    elif isinstance(error, requests.exceptions.SSLError):
        reason, transient = "the server's certificate cannot be trusted", False
    elif isinstance(error, requests.exceptions.Timeout):
        reason, transient = "the server does not answer in time", True
    elif isinstance(error, requests.exceptions.ConnectionError):
        reason, transient = "there is no connection to the server", True
    else:
        kind = type(error).__name__
        reason, transient = f"the request cannot be made ({kind})", False
    return TransportError(url, reason, transient=transient)
