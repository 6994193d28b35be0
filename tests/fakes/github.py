"""GitHub on 127.0.0.1: repositories and their issues, after the public REST API.

>>> with GitHub() as github:
...     github.add_repository("owner/models").full_name
'owner/models'
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.faults import Answer, Request
from tests.fakes.server import StandIn

TOKEN = "github-test-token"
LONGEST_BODY = 65_536
_DOCS = "https://docs.github.com/rest"


@dataclass
class Repository:
    """A repository. ``can_push`` tells whether the token may set labels and assignees."""

    full_name: str
    issues: list[dict[str, Any]] = field(default_factory=list)
    has_issues: bool = True
    can_push: bool = True
    can_write: bool = True


class GitHub(StandIn):
    """The service. ``tokens`` are valid; ``moved`` maps old names of repositories to new ones."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = {TOKEN: "jane"}
        self.repositories: dict[str, Repository] = {}
        self.moved: dict[str, str] = {}
        self._changing = threading.RLock()

    def add_repository(self, full_name: str, **facts: bool) -> Repository:
        repository = Repository(full_name, **facts)
        self.repositories[full_name] = repository
        return repository

    def answer(self, request: Request) -> Answer:
        """Answer by the first route that fits, one request after the other."""
        if not request.headers.get("user-agent"):
            return _error(403, "Missing or invalid User Agent string.")
        version = request.headers.get("x-github-api-version", "2022-11-28")
        if version not in {"2022-11-28", "2026-03-10"}:
            return _error(400, f"{version} is not a supported version")
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if token not in self.tokens or kind.lower() not in {"bearer", "token"}:
            return _error(401, "Bad credentials")
        with self._changing:
            for method, pattern, view in self._routes():
                match = re.fullmatch(pattern, request.path)
                if match and request.method == method:
                    return self._of_repository(request, view, *match.groups())
        return _error(404, "Not Found")

    def _count(self, request: Request) -> tuple[dict[str, str], float | None]:
        """Tell the limit as GitHub does: without a Retry-After while it is kept."""
        _, wait = super()._count(request)
        reset = str(int(time.time()) + 3600)
        limits = {"X-RateLimit-Limit": "5000", "X-RateLimit-Remaining": "4999"}
        return limits | {"X-RateLimit-Reset": reset, "X-RateLimit-Resource": "core"}, wait

    def _routes(self) -> list[tuple[str, str, Callable[..., Answer]]]:
        name = r"/repos/([\w.-]+/[\w.-]+)"
        return [
            ("GET", name, self._repository),
            ("GET", f"{name}/issues", self._list),
            ("POST", f"{name}/issues", self._open),
            ("GET", rf"{name}/issues/(\d+)", self._issue),
            ("POST", rf"{name}/issues/(\d+)/comments", self._comment),
        ]

    def _of_repository(
        self, request: Request, view: Callable[..., Answer], name: str, *parts: str
    ) -> Answer:
        if name in self.moved:
            path = request.path.replace(name, self.moved[name])
            location = {"Location": self.url + path}
            status = 301 if request.method == "GET" else 307
            return Answer.of_json({"message": "Moved Permanently"}, status, **location)
        repository = self.repositories.get(name)
        if repository is None:
            return _error(404, "Not Found")
        if "/issues" in request.path and not repository.has_issues:
            return _error(410, "Issues has been disabled in this repository.")
        if request.method == "POST" and not repository.can_write:
            return _error(403, "Resource not accessible by personal access token")
        return view(request, repository, *parts)

    def _repository(self, _request: Request, repository: Repository) -> Answer:
        owner, _, name = repository.full_name.partition("/")
        own = f"{self.url}/repos/{repository.full_name}"
        content = {
            "id": 1,
            "name": name,
            "full_name": repository.full_name,
            "owner": {"login": owner},
            "url": own,
            "html_url": f"{self.url}/{repository.full_name}",
            "has_issues": repository.has_issues,
            "permissions": {"push": repository.can_push, "pull": True},
        }
        return Answer.of_json(content)

    def _list(self, request: Request, repository: Repository) -> Answer:
        query = request.query
        state, creator = query.get("state", "open"), query.get("creator")
        size, page = int(query.get("per_page", 30)), int(query.get("page", 1))
        found = [
            issue
            for issue in reversed(repository.issues)
            if state in {"all", issue["state"]} and creator in {None, issue["user"]["login"]}
        ]
        size = min(size, 100)
        return Answer.of_json(found[(page - 1) * size : page * size])

    def _open(self, request: Request, repository: Repository) -> Answer:
        content = _content(request)
        if isinstance(content, Answer):
            return content
        if not isinstance(content.get("title"), str) or not content["title"]:
            return _invalid("title", code="missing_field")
        if len(content.get("body") or "") > LONGEST_BODY:
            text = f"body is too long (maximum is {LONGEST_BODY} characters)"
            return _invalid("body", code="custom", message=text)
        number = len(repository.issues) + 1
        place = f"{repository.full_name}/issues/{number}"
        labels = content.get("labels", []) if repository.can_push else []
        assignees = content.get("assignees", []) if repository.can_push else []
        login = self.tokens[request.headers["authorization"].partition(" ")[2]]
        issue = {
            "id": 1000 + number,
            "number": number,
            "url": f"{self.url}/repos/{place}",
            "html_url": f"{self.url}/{place}",
            "title": content["title"],
            "body": content.get("body"),
            "state": "open",
            "user": {"login": login},
            "labels": [{"id": i, "name": name} for i, name in enumerate(labels)],
            "assignees": [{"login": name} for name in assignees],
            "comments": 0,
        }
        repository.issues.append(issue)
        return Answer.of_json(issue, 201, Location=issue["url"])

    def _issue(self, _request: Request, repository: Repository, number: str) -> Answer:
        found = [issue for issue in repository.issues if issue["number"] == int(number)]
        return Answer.of_json(found[0]) if found else _error(404, "Not Found")

    def _comment(self, request: Request, repository: Repository, number: str) -> Answer:
        content = _content(request)
        if isinstance(content, Answer):
            return content
        for issue in repository.issues:
            if issue["number"] == int(number):
                issue["comments"] += 1
                issue.setdefault("said", []).append(content.get("body"))
                return Answer.of_json({"id": issue["comments"], "body": content.get("body")}, 201)
        return _error(404, "Not Found")


def _content(request: Request) -> dict[str, Any] | Answer:
    try:
        content = json.loads(request.body)
    except ValueError:
        return _error(400, "Problems parsing JSON")
    return content if isinstance(content, dict) else _error(400, "Body should be a JSON object")


def _invalid(name: str, **facts: str) -> Answer:
    errors = [{"resource": "Issue", "field": name, **facts}]
    return _error(422, "Validation Failed", errors=errors)


def _error(status: int, message: str, **more: object) -> Answer:
    content = {"message": message, "documentation_url": _DOCS, "status": str(status), **more}
    return Answer.of_json(content, status)
