"""Fetch a newer catalogue: asked for only if it is newer, checked in full, then swapped in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from medmint.catalogue.checks import parse_catalogue, validate_catalogue
from medmint.catalogue.files import is_local_link, locked
from medmint.errors import ArgumentError, InvalidRecordError, OfflineError
from medmint.home import write_json
from medmint.settings import Settings
from medmint.transport import PATIENCE, Client, Patience, redact

#: No refreshed catalogue is larger; the shipped one has about 120 kB.
MAX_DOWNLOAD_BYTES = 64 << 20
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


def refresh(settings: Settings, path: Path, *, patience: Patience = PATIENCE) -> CatalogueUpdate:
    """Bring ``path`` up to date with the catalogue at ``settings.catalogue_url``.

    The server is asked only for a version other than the one that is here, and again when it
    falters. A catalogue is checked in full before it replaces the last good one.

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
        raise OfflineError(f"the catalogue at {redact(url)}")
    with locked(settings, path):
        before = path.read_bytes() if path.is_file() else None
        tag_file = path.with_suffix(".etag.json")
        tag = _known_tag(tag_file, url, before)
        answer = _download(url, tag, settings, patience)
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


def _download(
    url: str, tag: str | None, settings: Settings, patience: Patience
) -> tuple[bytes, str | None] | None:
    """Return the body and its ETag, or None if the server has nothing newer than ``tag``."""
    headers = {"Accept": "application/json"} | ({"If-None-Match": tag} if tag else {})
    with Client(settings, patience=patience) as client:
        answer = client.get(url, headers=headers, at_most=MAX_DOWNLOAD_BYTES)
    return None if answer.status == HTTPStatus.NOT_MODIFIED else (answer.content, answer.etag)
