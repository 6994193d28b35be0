"""Bring one file here, whole and verified, or not at all."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from medmint.errors import IntegrityError, WriterError
from medmint.packages.download.partials import BLOCK, Partial, check_space
from medmint.packages.download.sources import Expected, Remote, locate
from medmint.progress import Progress
from medmint.settings import Settings
from medmint.transport import Client, Effort, TransportError, read, redact

if TYPE_CHECKING:
    import requests

logger = logging.getLogger(__name__)

#: Downloads with wrong bytes in them before the file is taken for a wrong one.
_MOST_SPOILT = 3
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+)")


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file that arrived.

    Attributes
    ----------
    path : Path
    sha256, md5 : str
        Digests of its content in hex.
    size : int, bytes
    url : str
        Where it came from, without query.
    """

    path: Path
    sha256: str
    md5: str
    size: int
    url: str


def fetch(
    source: str,
    target: Path,
    *,
    settings: Settings,
    sha256: str | None = None,
    size_bytes: int | None = None,
    progress: Progress | None = None,
) -> Fetched:
    """Download a file and verify it; the target appears complete or not at all.

    What an interrupted call has brought is kept beside the target where its content can be
    verified later, and resumed by the next call of any process.

    Parameters
    ----------
    source : str
        A Zenodo link or DOI, or an https address (`locate`).
    target : Path
        File to make or replace; its folder is made where it is missing.
    settings : Settings
    sha256 : str, optional
        Digest that the file must have. Without it, Zenodo's own checksum is asked for.
    size_bytes : int, optional
        Size that the file must have.
    progress : Progress, optional
        Told the bytes so far, the bytes in all, and the name of the file.

    Returns
    -------
    Fetched

    Raises
    ------
    ArgumentError
        If the source is no safe address.
    OfflineError
        If the settings say offline; nothing was asked.
    DownloadError
        If the server does not give the file.
    IntegrityError
        If it gives another file than expected.
    WriterError
        If the file cannot be written here.
    """
    with Client(settings) as client:
        return fetch_with(client, source, target, Expected(sha256, None, size_bytes), progress)


def fetch_with(
    client: Client,
    source: str,
    target: Path,
    expected: Expected,
    progress: Progress | None = None,
    *,
    partials: Path | None = None,
) -> Fetched:
    """Do what `fetch` does with a client of one's own, and so with its patience.

    ``partials`` is the folder in which interrupted downloads are kept for the next call, where
    that is not the target's own.
    """
    remote = locate(source, client, expected)
    known = remote.expected.sha256 or remote.expected.md5 or ""
    with Partial(target, known[:16], partials) as partial:
        fetched = _Transfer(remote, client, partial, progress).run()
    logger.info("downloaded %s (%.1f MB)", remote.name, fetched.size / 1e6)
    return fetched


class _Transfer:
    """The tries at one file, and what was learned of it on the way."""

    def __init__(
        self, remote: Remote, client: Client, partial: Partial, progress: Progress | None
    ) -> None:
        self._remote = remote
        self._client = client
        self._partial = partial
        self._progress = progress
        self._effort = Effort(remote.url, client.patience)
        self._total = remote.expected.size_bytes
        self._version = ""

    def run(self) -> Fetched:
        spoilt = 0
        while True:
            try:
                self._bring_the_rest()
                return self._verified_and_published()
            except TransportError as failure:
                self._effort.fail(failure)
            except IntegrityError:
                spoilt += 1
                if spoilt == _MOST_SPOILT:
                    raise
                self._start_again()
                self._effort.fail(self._failure("the bytes are not those expected"))

    def _bring_the_rest(self) -> None:
        if self._total is not None and self._partial.size > self._total:
            self._start_again()
        if self._partial.size == self._total:
            return
        self._check_space()
        with self._client.request("GET", self._remote.url, headers=self._range()) as answer:
            if self._is_continuation(answer):
                self._check_space()
                self._append(answer)

    def _range(self) -> dict[str, str]:
        if not self._partial.size:
            return {}
        wanted = {"Range": f"bytes={self._partial.size}-"}
        return wanted | ({"If-Range": self._version} if self._version else {})

    def _is_continuation(self, answer: requests.Response) -> bool:
        """Tell whether bytes follow, and learn what the answer says of the file."""
        start, total = _position(answer)
        if answer.status_code == 416 and total == self._partial.size:
            return False  # nothing is missing
        if answer.status_code == 416:
            self._start_again()
            raise self._failure("the server does not have the range that is missing")
        self._refuse_other_things(answer)
        if answer.status_code == 200 and self._partial.size:
            self._start_again()  # the server sends everything, or it has a new version
        if start != self._partial.size or (start and self._total not in {None, total}):
            self._start_again()
            raise self._failure("the server continues at another place or another version")
        known = self._remote.expected.size_bytes
        if known is not None and total not in {None, known}:
            raise IntegrityError(redact(self._remote.url), f"{known} bytes", f"{total} bytes")
        self._total = total if known is None else known
        self._version = _validator(answer)
        return True

    def _refuse_other_things(self, answer: requests.Response) -> None:
        if answer.status_code not in {200, 206}:
            raise TransportError(
                answer.url,
                f"the server answered {answer.status_code} and no file",
                transient=False,
                answer=answer,
            )
        if answer.headers.get("Content-Type", "").startswith("text/html"):
            raise self._failure("the server sent a web page in place of the file")
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            raise self._failure("the server compressed the file on the way")
        kind = "ETag" if self._version.startswith('"') else "Last-Modified"
        is_other = bool(self._version) and answer.headers.get(kind, self._version) != self._version
        if answer.status_code == 206 and is_other:
            self._start_again()
            raise self._failure("the file changed on the server")

    def _append(self, answer: requests.Response) -> None:
        total = self._total
        while chunk := read(answer, BLOCK):
            if total is not None and self._partial.size + len(chunk) > total:
                raise IntegrityError(redact(self._remote.url), f"{total} bytes", "more")
            self._partial.write(chunk)
            self._effort.credit(len(chunk))
            if self._progress is not None:
                self._progress(self._partial.size, total or 0, self._remote.name)
        if total is not None and self._partial.size < total:
            raise self._failure(f"it broke off after {self._partial.size} of {total} bytes")

    def _verified_and_published(self) -> Fetched:
        partial, expected = self._partial, self._remote.expected
        fetched = Fetched(
            partial.target, partial.sha256(), partial.md5(), partial.size, redact(self._remote.url)
        )
        for name, wanted, found in (
            ("sha256", expected.sha256, fetched.sha256),
            ("md5", expected.md5, fetched.md5),
        ):
            if wanted is not None and wanted != found:
                raise self._wrong(f"{name}:{wanted}", f"{name}:{found}")
        is_unknown = not (expected.md5 or expected.sha256)
        is_zip = self._remote.name.lower().endswith(".zip")
        if is_unknown and is_zip and partial.beginning(2) != b"PK":
            raise self._wrong("a zip archive", "something else")
        try:
            partial.publish()
        except WriterError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
        else:
            return fetched
        self._start_again()
        raise self._failure("its temporary file was deleted meanwhile")

    def _wrong(self, wanted: str, found: str) -> IntegrityError:
        beginning = self._partial.beginning(64).lstrip().lower()
        if beginning.startswith((b"<!doctype html", b"<html")):
            found += " (a web page)"
        hint = "The file there is not the one that is described: check the link and its checksum."
        return IntegrityError(redact(self._remote.url), wanted, found, hint)

    def _start_again(self) -> None:
        self._partial.restart()
        self._total = self._remote.expected.size_bytes
        self._version = ""

    def _failure(self, reason: str) -> TransportError:
        return TransportError(self._remote.url, reason, transient=True)

    def _check_space(self) -> None:
        if self._total is not None:
            check_space(self._partial.target.parent, self._total - self._partial.size)


def _position(answer: requests.Response) -> tuple[int | None, int | None]:
    """Return where the bytes of an answer belong and how many the whole file has."""
    if answer.status_code == 200:
        length = answer.headers.get("Content-Length", "")
        return 0, int(length) if length.isdecimal() else None
    match = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    if match is None:
        return None, None
    return int(match[1]) if match[1] else None, int(match[2])


def _validator(answer: requests.Response) -> str:
    """Return what names the version of a file in ``If-Range``, or nothing."""
    etag = answer.headers.get("ETag", "")
    # Weak tags stand for files that mean the same, not for the same bytes.
    return etag if etag and not etag.startswith("W/") else answer.headers.get("Last-Modified", "")
