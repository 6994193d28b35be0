"""From what a user or a record names to one address, and what is known of the file there."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from medmint.errors import ArgumentError, DownloadError
from medmint.settings import Settings
from medmint.transport import Client, check_address, redact

_DOI = re.compile(r"(?:https?://(?:dx\.)?doi\.org/|doi:)?10\.5281/zenodo\.(\d+)/?", re.IGNORECASE)
_RECORD = re.compile(r"/(?:records?/|doi/10\.5281/zenodo\.)(\d+)(?:/files/(.+))?/?")
_CONTENT = re.compile(r"/api/records/(\d+)(?:/files/(.+)/content)?")
#: What Zenodo itself leaves unquoted in the names of files.
_UNQUOTED = "/!$&'()*+,;=:@"


@dataclass(frozen=True, slots=True)
class Expected:
    """What is known of a file before it is here; None is unknown.

    Attributes
    ----------
    sha256, md5 : str or None
        Digests in hex.
    size_bytes : int or None
    """

    sha256: str | None = None
    md5: str | None = None
    size_bytes: int | None = None

    def __post_init__(self) -> None:
        for name, given, digits in (("sha256", self.sha256, 64), ("md5", self.md5, 32)):
            if given is not None and not re.fullmatch(f"[0-9a-f]{{{digits}}}", given):
                raise ArgumentError(name, given, f"{digits} digits 0-9, a-f")
        if self.size_bytes is not None and self.size_bytes < 0:
            raise ArgumentError("size_bytes", self.size_bytes, "0 or more")


@dataclass(frozen=True, slots=True)
class Remote:
    """One file somewhere else: its address, its name, and what is known of it."""

    url: str
    name: str
    expected: Expected


def locate(source: str, client: Client, expected: Expected) -> Remote:
    """Find the file that a source means.

    Parameters
    ----------
    source : str
        A Zenodo link (``/record/`` or ``/records/``, with or without a file), a DOI of Zenodo, or
        any other https address. Links to zenodo.org are read from the address in the settings.
    client : Client
        Asked for the record where its checksum is needed.
    expected : Expected
        What is known already.

    Returns
    -------
    Remote

    Raises
    ------
    ArgumentError
        If the source is none of these, or means more than one file.
    DownloadError
        If the record cannot be read or does not hold the file.
    """
    record = _record_and_file(source, client.settings)
    if record is None:
        url = _rebased(source, client.settings)
        return Remote(url, unquote(urlsplit(url).path.rpartition("/")[2]) or url, expected)
    number, name = record
    if name is not None and expected.sha256 is not None:
        # Everything is known: one request less counts where many tasks share one address.
        return Remote(_content_address(client.settings, number, name), name, expected)
    return _from_record(source, number, name, client, expected)


def _record_and_file(source: str, settings: Settings) -> tuple[str, str | None] | None:
    doi = _DOI.fullmatch(source.strip())
    if doi:
        return doi[1], None
    check_address("source", source)
    if not _is_zenodo(source, settings):
        return None
    path = urlsplit(source).path
    match = _CONTENT.fullmatch(path) or _RECORD.fullmatch(path)
    if match is None:
        return None
    return match[1], unquote(match[2]) if match[2] else None


def _is_zenodo(url: str, settings: Settings) -> bool:
    host = urlsplit(url).netloc.lower()
    return host in {"zenodo.org", "www.zenodo.org", urlsplit(settings.zenodo_url).netloc.lower()}


def _rebased(url: str, settings: Settings) -> str:
    if not _is_zenodo(url, settings):
        return url
    base, parts = urlsplit(settings.zenodo_url), urlsplit(url)
    return urlunsplit((base.scheme, base.netloc, base.path + parts.path, parts.query, ""))


def _content_address(settings: Settings, number: str, name: str) -> str:
    # Built here: the links inside of records pointed elsewhere for a while (October 2023).
    return f"{settings.zenodo_url}/api/records/{number}/files/{quote(name, safe=_UNQUOTED)}/content"


def _from_record(
    source: str, number: str, name: str | None, client: Client, expected: Expected
) -> Remote:
    url = f"{client.settings.zenodo_url}/api/records/{number}"
    record = client.get_json(url)
    files = _files(record)
    if not files:
        raise DownloadError(
            url, f"record {number} shows no files", hint="It may be restricted: ask its owners."
        )
    if name is None:
        name = _only_archive(source, list(files))
    if name not in files:
        raise DownloadError(
            url,
            f"record {number} has no file {name!r}, but {', '.join(map(repr, sorted(files)))}",
            hint="Correct the link.",
        )
    # A number that stands for all versions of a record leads to the newest one.
    newest = str(record.get("id", ""))
    number = newest if newest.isdecimal() else number
    return Remote(
        _content_address(client.settings, number, name), name, _merged(expected, files[name])
    )


def _files(record: Any) -> dict[str, dict[str, Any]]:
    listed = record.get("files") if isinstance(record, dict) else None
    files = [file for file in listed if isinstance(file, dict)] if isinstance(listed, list) else []
    # "filename" is how files were called for two weeks after Zenodo moved in October 2023.
    named = {str(file.get("key", file.get("filename"))): file for file in files}
    named.pop("None", None)
    return named


def _only_archive(source: str, names: list[str]) -> str:
    archives = [name for name in names if name.lower().endswith(".zip")] or names
    if len(archives) > 1:
        choice = ", ".join(sorted(archives))
        raise ArgumentError("source", redact(source), f"a link to one file of the record: {choice}")
    return archives[0]


def _merged(expected: Expected, file: dict[str, Any]) -> Expected:
    size, checksum = file.get("size"), str(file.get("checksum", "")).lower()
    algorithm, _, digest = checksum.rpartition(":")
    if algorithm in {"", "md5"} and re.fullmatch("[0-9a-f]{32}", digest) and not expected.md5:
        expected = replace(expected, md5=digest)
    if expected.size_bytes is None and type(size) is int and size >= 0:
        expected = replace(expected, size_bytes=size)
    return expected
