"""Zenodo on 127.0.0.1: its read side, after the public API and observed traffic.

>>> with Zenodo() as zenodo:
...     record = zenodo.add_record({"model.zip": b"PK..."})
...     record.link("model.zip").endswith(f"/record/{record.number}/files/model.zip?download=1")
True
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from urllib.parse import quote, urlencode

from tests.fakes.server import Answer, Request, StandIn

#: A record with more than this cannot be had as one archive.
LARGEST_ARCHIVE = 300_000_000
_UNQUOTED = "/!$&'()*+,;=:@"
_MODIFIED = formatdate(1661767200, usegmt=True)


@dataclass
class Record:
    """A published version; ``concept`` is the number that stands for all its versions."""

    base: str
    number: int
    concept: int
    files: dict[str, bytes | Path]
    title: str = "A model"
    restricted: bool = False
    deleted: bool = False
    checksums: dict[str, str] = field(default_factory=dict)

    @property
    def doi(self) -> str:
        return f"10.5281/zenodo.{self.number}"

    def link(self, name: str, *, legacy: bool = True) -> str:
        """Return the link of a file as the catalogue has it: to zenodo.org."""
        kind = "record" if legacy else "records"
        return f"https://zenodo.org/{kind}/{self.number}/files/{_quoted(name)}?download=1"

    def size(self, name: str) -> int:
        body = self.files[name]
        return body.stat().st_size if isinstance(body, Path) else len(body)

    def md5(self, name: str) -> str:
        if name not in self.checksums:
            body = self.files[name]
            content = body.read_bytes() if isinstance(body, Path) else body
            self.checksums[name] = hashlib.md5(content).hexdigest()
        return self.checksums[name]


class Zenodo(StandIn):
    """The service. ``concept_answers`` is 302, or 404 as it was for a while in 2023."""

    def __init__(self) -> None:
        super().__init__()
        self.records: dict[int, Record] = {}
        self.concept_answers = 302
        #: Changes the description of every record, to be another Zenodo than today's.
        self.describe: Callable[[dict[str, object]], object] = lambda description: description
        self._plain: dict[str, Callable[[], bytes | Path]] = {}

    def plain(self, path: str, body: Callable[[], bytes | Path]) -> str:
        """Serve a file that belongs to no record, made anew for each request; return its URL."""
        self._plain[path] = body
        return self.url + path

    def add_record(
        self,
        files: Mapping[str, bytes | Path],
        *,
        number: int | None = None,
        concept: int | None = None,
        restricted: bool = False,
    ) -> Record:
        """Publish a record; the same ``concept`` makes it a newer version."""
        number = number or 7_000_001 + 10 * len(self.records)
        concept = concept or number - 1
        record = Record(self.url, number, concept, dict(files), restricted=restricted)
        self.records[number] = record
        return record

    def answer(self, request: Request) -> Answer:
        """Answer by the first route whose pattern is the whole path."""
        if request.path in self._plain:
            body = self._plain[request.path]()
            version = hashlib.md5(body).hexdigest() if isinstance(body, bytes) else str(body)
            return Answer(200, body, {"ETag": f'"md5:{version}"'}, ranged=True)
        for methods, pattern, view in self._routes():
            match = re.fullmatch(pattern, request.path)
            if match and request.method in methods:
                return view(request, *match.groups())
        return _error(404, "The requested URL was not found on the server.")

    def _routes(self) -> list[tuple[set[str], str, Callable[..., Answer]]]:
        read = {"GET", "HEAD"}
        number, name = r"(\d+)", r"(.+)"
        return [
            (read, rf"/record/{number}", self._old_record),
            (read, rf"/record/{number}/files/{name}", self._old_file),
            (read, rf"/(?:doi/10\.5281/zenodo\.){number}", self._doi),
            (read, rf"/records/{number}", self._page),
            (read, rf"/records/{number}/files/{name}", self._file),
            (read, r"/api/records/", self._search_moved),
            (read, r"/api/records", self._search),
            (read, rf"/api/records/{number}", self._record),
            (read, rf"/api/records/{number}/versions/latest", self._latest),
            (read, rf"/api/records/{number}/files", self._entries),
            (read, rf"/api/records/{number}/files-archive", self._archive),
            (read, rf"/api/records/{number}/files/{name}/content", self._file),
            (read, rf"/api/records/{number}/files/{name}", self._entry),
        ]

    def _old_record(self, _request: Request, number: str) -> Answer:
        return _moved(f"{self.url}/records/{number}")

    def _old_file(self, _request: Request, number: str, name: str) -> Answer:
        # The target is built from the path alone: the query is lost on the way.
        return _moved(f"{self.url}/records/{number}/files/{_quoted(name)}")

    def _doi(self, _request: Request, number: str) -> Answer:
        return _moved(f"{self.url}/records/{number}", 302)

    def _page(self, _request: Request, number: str) -> Answer:
        newest = self._newest(int(number))
        if newest is not None:
            return _moved(f"{self.url}/records/{newest.number}", 302)
        problem = self._problem(number)
        return problem or Answer(
            200, b"<!DOCTYPE html><html></html>", {"Content-Type": "text/html"}
        )

    def _file(self, request: Request, number: str, name: str) -> Answer:
        newest = self._newest(int(number))
        if newest is not None:
            return _moved(f"{self.url}/records/{newest.number}", 302)
        problem = self._problem(number, name)
        if problem:
            return problem
        record = self.records[int(number)]
        if record.restricted:
            return _error(403, "Permission denied.")
        headers = {
            "Server": "nginx",
            "Content-Type": "application/octet-stream",
            "Content-Disposition": f'attachment; filename="{name}"',
            "Last-Modified": _MODIFIED,
            "ETag": f'"md5:{record.md5(name)}"',
        }
        if request.method == "GET":
            # HEAD is not handed over to the storage server and knows of no ranges.
            headers["Accept-Ranges"] = "bytes"
        return Answer(200, record.files[name], headers, ranged=True)

    def _search_moved(self, request: Request) -> Answer:
        return _moved(f"{self.url}/api/records?{urlencode(request.query)}".rstrip("?"))

    def _search(self, request: Request) -> Answer:
        try:
            size, page = int(request.query.get("size", 10)), int(request.query.get("page", 1))
        except ValueError:
            return _error(400, "Invalid querystring parameters.")
        if not (1 <= size <= 25 and page >= 1):
            return _error(400, "Invalid querystring parameters.")
        words = request.query.get("q", "").lower().split()
        found = [r for r in self.records.values() if all(w in r.title.lower() for w in words)]
        if request.query.get("all_versions", "") not in {"1", "true"}:
            found = [record for record in found if record is self._newest(record.concept)]
        hits = [self._description(record) for record in found[(page - 1) * size : page * size]]
        links = {"self": f"{self.url}/api/records"}
        return Answer.of_json({"hits": {"hits": hits, "total": len(found)}, "links": links})

    def _record(self, _request: Request, number: str) -> Answer:
        newest = self._newest(int(number))
        if newest is not None and self.concept_answers == 302:
            return _moved(f"{self.url}/api/records/{newest.number}", 302)
        return self._problem(number) or Answer.of_json(
            self.describe(self._description(self.records[int(number)]))
        )

    def _latest(self, _request: Request, number: str) -> Answer:
        problem = self._problem(number)
        if problem:
            return problem
        newest = self._newest(self.records[int(number)].concept)
        return _moved(f"{self.url}/api/records/{newest.number}", in_json=True)

    def _entries(self, _request: Request, number: str) -> Answer:
        problem = self._problem(number)
        if problem:
            return problem
        record = self.records[int(number)]
        own = f"{self.url}/api/records/{number}"
        links = {"self": f"{own}/files", "archive": f"{own}/files-archive"}
        entries = [self._entry_of(record, name) for name in record.files]
        return Answer.of_json({"enabled": True, "entries": entries, "links": links})

    def _entry(self, _request: Request, number: str, name: str) -> Answer:
        problem = self._problem(number, name)
        return problem or Answer.of_json(self._entry_of(self.records[int(number)], name))

    def _archive(self, _request: Request, number: str) -> Answer:
        problem = self._problem(number)
        if problem:
            return problem
        record = self.records[int(number)]
        if sum(record.size(name) for name in record.files) > LARGEST_ARCHIVE:
            return _error(400, "The archive is too large.")
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
            for name, body in record.files.items():
                archive.writestr(name, body if isinstance(body, bytes) else body.read_bytes())
        headers = {"Content-Type": "application/octet-stream"}
        return Answer(200, buffer.getvalue(), headers, has_length=False)

    def _newest(self, concept: int) -> Record | None:
        versions = [record for record in self.records.values() if record.concept == concept]
        return max(versions, key=lambda record: record.number, default=None)

    def _problem(self, number: str, name: str | None = None) -> Answer | None:
        record = self.records.get(int(number))
        if record is None:
            return _error(404, "The persistent identifier does not exist.")
        if record.deleted:
            return _error(410, "Record deleted", tombstone={"reason": "spam"})
        if name is not None and name not in record.files:
            return _error(404, f"Record '{number}' has no file '{name}'.")
        return None

    def _entry_of(self, record: Record, name: str) -> dict[str, object]:
        own = f"{self.url}/api/records/{record.number}/files/{_quoted(name)}"
        return {
            "key": name,
            "file_id": _uuid(record, name),
            "version_id": _uuid(record, f"version of {name}"),
            "size": record.size(name),
            "checksum": f"md5:{record.md5(name)}",
            "mimetype": "application/zip" if name.endswith(".zip") else "application/octet-stream",
            "status": "completed",
            "storage_class": "L",
            "metadata": None,
            "links": {"self": own, "content": f"{own}/content"},
        }

    def _description(self, record: Record) -> dict[str, object]:
        own = f"{self.url}/api/records/{record.number}"
        page = f"{self.url}/records/{record.number}"
        newest = self._newest(record.concept)
        concept_doi = f"10.5281/zenodo.{record.concept}"
        files = [
            {
                "id": _uuid(record, name),
                "key": name,
                "size": record.size(name),
                "checksum": f"md5:{record.md5(name)}",
                "links": {"self": f"{own}/files/{_quoted(name)}/content"},
            }
            for name in record.files
        ]
        version = {
            "index": 0,
            "is_last": record is newest,
            "parent": {"pid_type": "recid", "pid_value": str(record.concept)},
        }
        return {
            "created": "2022-08-29T10:00:00.000000+00:00",
            "modified": "2022-08-29T10:00:01.000000+00:00",
            "updated": "2022-08-29T10:00:01.000000+00:00",
            "id": record.number,
            "recid": str(record.number),
            "revision": 4,
            "conceptrecid": str(record.concept),
            "doi": record.doi,
            "conceptdoi": concept_doi,
            "doi_url": f"https://doi.org/{record.doi}",
            "title": record.title,
            "status": "published",
            "state": "done",
            "submitted": True,
            "owners": [{"id": "123"}],
            "metadata": {
                "title": record.title,
                "doi": record.doi,
                "publication_date": "2022-08-29",
                "description": "<p>A model.</p>",
                "access_right": "restricted" if record.restricted else "open",
                "creators": [{"name": "Doe, Jane", "affiliation": "A University"}],
                "keywords": ["synthetic data"],
                "version": "1.0.0",
                "resource_type": {"title": "Software", "type": "software"},
                "license": {"id": "mit-license"},
                "relations": {"version": [version]},
            },
            "files": [] if record.restricted else files,
            "links": {
                "self": own,
                "self_html": page,
                "doi": f"https://doi.org/{record.doi}",
                "latest": f"{own}/versions/latest",
                "latest_html": f"{page}/latest",
                "files": f"{own}/files",
                "archive": f"{own}/files-archive",
                "versions": f"{own}/versions",
            },
            "stats": {"downloads": 1, "views": 1, "version_downloads": 1},
        }


def _quoted(name: str) -> str:
    return quote(name, safe=_UNQUOTED)


def _uuid(record: Record, name: str) -> str:
    digits = hashlib.sha256(f"{record.number} {name}".encode()).hexdigest()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:32]))


def _moved(location: str, status: int = 301, *, in_json: bool = False) -> Answer:
    if not in_json:
        return Answer(status, b"", {"Location": location})
    content = {"status": status, "message": "Moved Permanently.", "location": location}
    return Answer.of_json(content, status, Location=location)


def _error(status: int, message: str, **more: object) -> Answer:
    return Answer.of_json({"status": status, "message": message, **more}, status)
