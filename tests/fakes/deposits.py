"""Zenodo on 127.0.0.1 with its deposit side: drafts, uploads, publishing, newer versions.

>>> with DepositZenodo() as zenodo:
...     sorted(zenodo.tokens[TOKEN]), zenodo.drafts
(['deposit:actions', 'deposit:write'], {})
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from medmint.publishing.metadata import licence_id
from tests.fakes.faults import Answer, Request
from tests.fakes.zenodo import Record, Zenodo, _error, _quoted

TOKEN = "zenodo-test-token"
WRITE, ACTIONS = "deposit:write", "deposit:actions"
_REQUIRED = ("upload_type", "title", "creators", "description", "publication_date")
_TYPES = {"publication", "poster", "presentation", "dataset", "image", "video", "software"}
_TYPES |= {"lesson", "physicalobject", "other"}


@dataclass
class Draft:
    """A deposition, before and after it is published."""

    number: int
    concept: int
    metadata: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    submitted: bool = False
    next_draft: int | None = None
    bucket: str = field(default_factory=lambda: str(uuid.uuid4()))


class DepositZenodo(Zenodo):
    """The service with all of it.

    ``tokens`` are its tokens with their scopes. Switches: ``anonymous_status`` (403, or 401 as the
    documentation says), ``newversion_answers`` (draft, or original), ``messages`` (a list, or one
    text as documented), ``wrong_md5`` (in answers to uploads), ``quota`` in bytes. ``published``
    are the numbers that were published, ``in_vain`` those asked to be published once more, and
    ``uploaded_again`` the names of files that were there already, byte for byte.
    """

    def __init__(self) -> None:
        super().__init__()
        self.tokens: dict[str, set[str]] = {TOKEN: {WRITE, ACTIONS}}
        self.drafts: dict[int, Draft] = {}
        self.published: list[int] = []
        self.in_vain: list[int] = []
        self.uploaded_again: list[str] = []
        self.anonymous_status = 403
        self.newversion_answers = "draft"
        self.messages = True
        self.wrong_md5 = False
        self.quota = 50_000_000_000
        self._changing = threading.RLock()
        self._number = 542_191

    def answer(self, request: Request) -> Answer:
        """Answer one request after the other."""
        with self._changing:
            return super().answer(request)

    def _routes(self) -> list[tuple[set[str], str, Callable[..., Answer]]]:
        depositions, number = r"/api/deposit/depositions", r"(\d+)"
        one = f"{depositions}/{number}"
        bucket = r"/api/files/([0-9a-f-]{36})/(.+)"
        deposit = [
            ({"POST"}, depositions, WRITE, self._create),
            ({"GET"}, depositions, WRITE, self._list),
            ({"GET"}, one, WRITE, self._read),
            ({"PUT"}, one, WRITE, self._describe_draft),
            ({"DELETE"}, one, WRITE, self._discard),
            ({"POST"}, f"{one}/actions/publish", ACTIONS, self._publish),
            ({"POST"}, f"{one}/actions/discard", ACTIONS, self._discard),
            ({"POST"}, f"{one}/actions/edit", ACTIONS, self._edit),
            ({"POST"}, f"{one}/actions/newversion", ACTIONS, self._newversion),
            ({"PUT"}, f"{one}/files(?:/.+)?", WRITE, self._sort),
            ({"PUT"}, bucket, WRITE, self._upload),
            ({"DELETE"}, bucket, WRITE, self._remove),
        ]
        guarded = [
            (methods, pattern, self._guarded(scope, view))
            for methods, pattern, scope, view in deposit
        ]
        return guarded + super()._routes()

    def _guarded(self, scope: str, view: Callable[..., Answer]) -> Callable[..., Answer]:
        def checked(request: Request, *parts: str) -> Answer:
            kind, _, token = request.headers.get("authorization", "").partition(" ")
            if kind != "Bearer" or token not in self.tokens:
                return _error(self.anonymous_status, "Permission denied.")
            if scope not in self.tokens[token]:
                return _error(403, "Permission denied.")
            return view(request, *parts)

        return checked

    def _create(self, request: Request) -> Answer:
        content = self._content(request)
        if isinstance(content, Answer):
            return content
        self._number += 10
        draft = Draft(self._number, self._number - 1, content.get("metadata", {}))
        self.drafts[draft.number] = draft
        return Answer.of_json(self._described(draft), 201)

    def _list(self, request: Request) -> Answer:
        size, page = int(request.query.get("size", 10)), int(request.query.get("page", 1))
        if not (1 <= size <= 100 and page >= 1):
            return _error(400, "Invalid querystring parameters.")
        words = request.query.get("q", "").lower()
        every = [d for d in self.drafts.values() if words in json.dumps(d.metadata).lower()]
        if request.query.get("all_versions") not in {"1", "true"}:
            every = list({draft.concept: draft for draft in every}.values())
        every.sort(key=lambda draft: -draft.number)
        found = every[(page - 1) * size : page * size]
        return Answer.of_json([self._described(draft) for draft in found])

    def _read(self, _request: Request, number: str) -> Answer:
        draft = self.drafts.get(int(number))
        return Answer.of_json(self._described(draft)) if draft else self._missing()

    def _describe_draft(self, request: Request, number: str) -> Answer:
        draft, content = self._open(number), self._content(request)
        if draft is None or isinstance(content, Answer):
            return self._missing() if draft is None else content
        draft.metadata = content.get("metadata", {})
        return Answer.of_json(self._described(draft))

    def _upload(self, request: Request, bucket: str, name: str) -> Answer:
        draft = self._of_bucket(bucket)
        if draft is None or draft.submitted:
            return _error(403, "Bucket is locked for modifications.") if draft else self._missing()
        if "content-length" not in request.headers:
            return _error(400, "The file upload transfer failed, please try again.")
        if not request.body:
            return _error(400, "Empty files are not accepted.")
        if len(request.body) > self.quota:
            return _error(400, "Bucket quota exceeded.")
        if len(name) > 255:
            return _error(400, "Filename is too long.")
        self.uploaded_again += [name] * (draft.files.get(name) == request.body)
        draft.files[name] = request.body
        own = f"{self.url}/api/files/{bucket}/{_quoted(name)}"
        checksum = "0" * 32 if self.wrong_md5 else hashlib.md5(request.body).hexdigest()
        version = str(uuid.uuid4())
        content = {
            "key": name,
            "mimetype": "application/zip",
            "checksum": f"md5:{checksum}",
            "version_id": version,
            "size": len(request.body),
            "created": "2026-01-02T03:04:05.606998+00:00",
            "updated": "2026-01-02T03:04:05.606998+00:00",
            "links": {
                "self": own,
                "version": f"{own}?versionId={version}",
                "uploads": f"{own}?uploads",
            },
            "is_head": True,
            "delete_marker": False,
        }
        return Answer.of_json(content, 201)

    def _remove(self, _request: Request, bucket: str, name: str) -> Answer:
        draft = self._of_bucket(bucket)
        if draft is None or draft.submitted:
            return _error(403, "Bucket is locked for modifications.") if draft else self._missing()
        return Answer(204) if draft.files.pop(name, None) is not None else self._missing()

    def _publish(self, _request: Request, number: str) -> Answer:
        draft = self._open(number)
        if draft is None:
            self.in_vain += [int(number)] * (int(number) in self.published)
            return self._missing()
        errors = [
            (f"metadata.{name}", "Missing data for required field.")
            for name in _REQUIRED
            if not draft.metadata.get(name)
        ]
        if not draft.files:
            errors.append(("files.enabled", "Missing uploaded files."))
        if errors:
            return self._invalid(errors)
        draft.submitted = True
        self.published.append(draft.number)
        record = Record(self.url, draft.number, draft.concept, dict(draft.files))
        record.title = draft.metadata["title"]
        self.records[draft.number] = record
        return Answer.of_json(self._described(draft), 202)

    def _discard(self, _request: Request, number: str) -> Answer:
        draft = self._open(number)
        if draft is None:
            return self._missing()
        del self.drafts[draft.number]
        for other in self.drafts.values():
            other.next_draft = None if other.next_draft == draft.number else other.next_draft
        return Answer(204)

    def _edit(self, _request: Request, number: str) -> Answer:
        draft = self.drafts.get(int(number))
        if draft is None:
            return self._missing()
        if not draft.submitted:
            return _error(400, "The deposition is not published.")
        return Answer.of_json(self._described(draft) | {"state": "inprogress"}, 201)

    def _newversion(self, _request: Request, number: str) -> Answer:
        draft = self.drafts.get(int(number))
        if draft is None or not draft.submitted:
            return self._missing()
        newer = self.drafts.get(draft.next_draft or 0)
        if newer is None or newer.submitted:
            self._number += 10
            metadata = {k: v for k, v in draft.metadata.items() if k != "publication_date"}
            newer = Draft(self._number, draft.concept, metadata, dict(draft.files))
            self.drafts[newer.number] = newer
            draft.next_draft = newer.number
        shown = newer if self.newversion_answers == "draft" else draft
        return Answer.of_json(self._described(shown), 201)

    def _sort(self, _request: Request, _number: str) -> Answer:
        return _error(405, "The method is not allowed for the requested URL.")

    def _content(self, request: Request) -> dict[str, Any] | Answer:
        """Return the JSON of a request, or what is wrong with it."""
        if request.headers.get("content-type") != "application/json":
            return _error(415, "Invalid 'Content-Type' header. Expected one of: application/json")
        try:
            content = json.loads(request.body or b"{}")
        except ValueError:
            return _error(400, "Unable to decode JSON data in request body.")
        if not isinstance(content, dict) or set(content) - {"metadata"}:
            return self._invalid([("_schema", "Unknown field.")])
        return self._metadata_problem(content.get("metadata", {})) or content

    def _metadata_problem(self, metadata: dict[str, Any]) -> Answer | None:
        errors = []
        licence = metadata.get("license")
        if licence is not None and not _is_licence(licence):
            errors.append(("metadata.license", f"Invalid license provided: {licence}"))
        if metadata.get("upload_type", "other") not in _TYPES:
            errors.append(("metadata.upload_type", "Invalid upload type."))
        for place, creator in enumerate(metadata.get("creators", [])):
            if not re.fullmatch(
                r"(\d{4}-){3}\d{3}[\dX]", creator.get("orcid", "0" * 4 + "-0000" * 3)
            ):
                errors.append((f"metadata.creators.{place}.orcid", "Invalid ORCID identifier."))
        return self._invalid(errors) if errors else None

    def _invalid(self, errors: list[tuple[str, str]]) -> Answer:
        listed = [
            {"field": name, **({"messages": [text]} if self.messages else {"message": text})}
            for name, text in errors
        ]
        return _error(400, "A validation error occurred.", errors=listed)

    def _open(self, number: str) -> Draft | None:
        draft = self.drafts.get(int(number))
        return draft if draft and not draft.submitted else None

    def _of_bucket(self, bucket: str) -> Draft | None:
        return next((d for d in self.drafts.values() if d.bucket == bucket), None)

    def _missing(self) -> Answer:
        return _error(404, "The persistent identifier does not exist.")

    def _described(self, draft: Draft) -> dict[str, Any]:
        own = f"{self.url}/api/deposit/depositions/{draft.number}"
        doi = f"10.5281/zenodo.{draft.number}"
        latest = draft.next_draft or draft.number
        links = {name: f"{own}/actions/{name}" for name in ("publish", "edit", "discard")}
        links |= {
            "self": own,
            "html": f"{self.url}/deposit/{draft.number}",
            "bucket": f"{self.url}/api/files/{draft.bucket}",
            "files": f"{own}/files",
            "newversion": f"{own}/actions/newversion",
            "latest_draft": f"{self.url}/api/deposit/depositions/{latest}",
            "latest_draft_html": f"{self.url}/deposit/{latest}",
        }
        described = {
            "created": "2026-01-02T03:04:05.606998+00:00",
            "modified": "2026-01-02T03:04:05.606998+00:00",
            "id": draft.number,
            "record_id": draft.number,
            "conceptrecid": str(draft.concept),
            "owner": 12345,
            "title": draft.metadata.get("title", ""),
            "state": "done" if draft.submitted else "unsubmitted",
            "submitted": draft.submitted,
            "metadata": {
                "access_right": "open",
                **draft.metadata,
                "prereserve_doi": {"doi": doi, "recid": draft.number},
            },
            "files": [self._file_of(draft, name) for name in draft.files],
            "links": links,
        }
        if draft.submitted:
            links["record"] = f"{self.url}/api/records/{draft.number}"
            links["record_html"] = f"{self.url}/records/{draft.number}"
            described |= {"doi": doi, "doi_url": f"https://doi.org/{doi}"}
            described["conceptdoi"] = f"10.5281/zenodo.{draft.concept}"
        return described

    def _file_of(self, draft: Draft, name: str) -> dict[str, Any]:
        identity = str(uuid.uuid5(uuid.UUID(draft.bucket), name))
        download = f"{self.url}/api/records/{draft.number}/draft/files/{_quoted(name)}/content"
        own = f"{self.url}/api/deposit/depositions/{draft.number}/files/{identity}"
        return {
            "id": identity,
            "filename": name,
            "filesize": len(draft.files[name]),
            "checksum": hashlib.md5(draft.files[name]).hexdigest(),
            "links": {"self": own, "download": download},
        }


def _is_licence(name: object) -> bool:
    try:
        return name == "mit-license" or licence_id(str(name)) == name
    except ValueError:
        return False
