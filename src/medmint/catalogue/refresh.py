"""Fetch a newer catalogue: asked for only if it is newer, checked in full, then swapped in."""

from __future__ import annotations

import hashlib
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO, Any

from medmint.catalogue.checks import parse_catalogue, validate_catalogue
from medmint.catalogue.files import is_local_link, locked, write_json
from medmint.errors import ArgumentError, DownloadError, InvalidRecordError, OfflineError
from medmint.settings import Settings, is_safe_address

#: No refreshed catalogue is larger; the shipped one has about 120 kB.
MAX_DOWNLOAD_BYTES = 64 << 20
#: Seconds without an answer, and for the whole download.
_TIMEOUT, _DEADLINE = 30.0, 300.0
_CHUNK = 1 << 16
_LOCAL_FAULT = "expected a link to Zenodo or an https address, got {!r}"


@dataclass(frozen=True, slots=True)
class CatalogueUpdate:
    """What a refresh did.

    Attributes
    ----------
    changed : bool
        False if the server had nothing new.
    added, removed, updated : tuple of str
        Ids that are new, gone, or have another record than in the last refreshed copy.
    path : Path
        Where the refreshed copy lies.
    """

    changed: bool
    added: tuple[str, ...]
    removed: tuple[str, ...]
    updated: tuple[str, ...]
    path: Path


def refresh(settings: Settings, path: Path) -> CatalogueUpdate:
    """Bring ``path`` up to date with the catalogue at ``settings.catalogue_url``.

    The server is asked only for a version other than the one that is here. A catalogue is checked
    in full before it replaces the last good one.

    Raises
    ------
    OfflineError
        If medmint was told to stay offline.
    ArgumentError
        If no address is set.
    DownloadError
        If the server cannot be reached, refuses, or sends too much or too little.
    InvalidRecordError
        If what it sends is not a valid catalogue.
    """
    url = settings.catalogue_url
    if url is None:
        raise ArgumentError("MEDMINT_CATALOGUE_URL", None, "the https address of a catalogue")
    if settings.offline:
        raise OfflineError(f"the catalogue at {url}")
    with locked(settings, path):
        before = path.read_bytes() if path.is_file() else None
        tag_file = path.with_suffix(".etag.json")
        answer = _download(url, _known_tag(tag_file, url, before))
        if answer is None:
            return CatalogueUpdate(False, (), (), (), path)
        raw, tag = answer
        new = _checked(raw, url)
        # A damaged old copy must not stand in the way of a good new one.
        old = _old_records(before)
        write_json(path, new)
        written = hashlib.sha256(path.read_bytes()).hexdigest()
        write_json(tag_file, {"url": url, "etag": tag, "sha256": written})
    return CatalogueUpdate(
        changed=new != old,
        added=tuple(key for key in new if key not in old),
        removed=tuple(key for key in old if key not in new),
        updated=tuple(key for key in new if key in old and old[key] != new[key]),
        path=path,
    )


def _checked(raw: bytes, url: str) -> dict[str, Any]:
    data = parse_catalogue(raw, url)
    validate_catalogue(data, url)
    links = {model_id: record["execution"]["package_link"] for model_id, record in data.items()}
    faults = [
        f"/{model_id}/execution/package_link: {_LOCAL_FAULT.format(link)}"
        for model_id, link in links.items()
        if is_local_link(link)
    ]
    if faults:
        raise InvalidRecordError(url, faults)
    return data


def _old_records(raw: bytes | None) -> Mapping[str, Any]:
    if raw is None:
        return {}
    try:
        return parse_catalogue(raw, "")
    except InvalidRecordError:
        return {}


def _known_tag(tag_file: Path, url: str, content: bytes | None) -> str | None:
    """Return the ETag of the copy that is here, if it is whole and from this address."""
    if content is None:
        return None
    try:
        known = json.loads(tag_file.read_text(encoding="utf-8"))
        same = known["url"] == url and known["sha256"] == hashlib.sha256(content).hexdigest()
        return known["etag"] if same else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follow redirects to https alone (and to this machine)."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if not is_safe_address(newurl):
            reason = f"it leads to {newurl}, which is not https"
            raise DownloadError(req.full_url, reason, status=code)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _download(url: str, tag: str | None) -> tuple[bytes, str | None] | None:
    """Return the body and its ETag, or None if the server has nothing newer than ``tag``."""
    headers = {"Accept": "application/json", "User-Agent": "medmint"}
    if tag:
        headers["If-None-Match"] = tag
    opener = urllib.request.build_opener(_SafeRedirects())
    request = urllib.request.Request(url, headers=headers)
    try:
        with opener.open(request, timeout=_TIMEOUT) as response:
            return _read(response, url), response.headers.get("ETag")
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 304 and tag:
            return None
        raise DownloadError(url, f"the server answered {error.code}", status=error.code) from error
    except DownloadError:
        raise
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or str(error) or type(error).__name__
        raise DownloadError(url, str(reason)) from error


def _read(response: Any, url: str) -> bytes:
    announced = response.headers.get("Content-Length")
    end = time.monotonic() + _DEADLINE
    body = bytearray()
    while chunk := response.read1(_CHUNK):
        body += chunk
        if len(body) > MAX_DOWNLOAD_BYTES:
            raise DownloadError(url, f"it is larger than {MAX_DOWNLOAD_BYTES >> 20} MB", status=200)
        if time.monotonic() > end:
            raise DownloadError(url, f"it did not end within {_DEADLINE:.0f} s", status=200)
    if announced is not None and len(body) != int(announced):
        raise DownloadError(url, f"got {len(body)} of {announced} bytes", status=200)
    return bytes(body)
