"""The issue that announces a model: searched for first, opened once.

PyGithub makes the requests. Its own repetition of them is switched off: after a lost answer it
would open a second issue.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from medmint.errors import OfflineError, PublishError
from medmint.publishing.deposition import marker
from medmint.publishing.issues import REPOSITORY, Announcement, Issue, check_repository, is_issue
from medmint.publishing.journal import Journal
from medmint.publishing.repeating import carry_out, field_errors
from medmint.publishing.secret import Token
from medmint.settings import Settings
from medmint.transport import PATIENCE, Effort, Patience, TransportError, check_address, user_agent

if TYPE_CHECKING:
    from github.Requester import Requester

logger = logging.getLogger(__name__)

_PER_PAGE = 100
_MOST_PAGES = 20
_HEADERS = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
_TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
#: GitHub asks for at least this when it limits without a time.
_LIMIT_WAIT = 60.0
_HINTS = {
    401: "The token is not valid or has expired: make a new one at github.com/settings/tokens.",
    403: "The token needs 'Issues: read and write' of this repository, or the scope public_repo.",
    404: "Check MEDMINT_GITHUB_REPOSITORY: it is not there, or the token cannot see it.",
    410: "The repository takes no issues: ask its owners how to contribute.",
    422: "Correct what is named and call again.",
}
_HINT = "Call again: an issue that was opened is found, and not opened twice."
_T = TypeVar("_T")


def announce(
    settings: Settings,
    token: Token,
    announcement: Announcement,
    *,
    journal: Journal,
    patience: Patience = PATIENCE,
) -> Issue | None:
    """Open an issue for a model, unless there is one.

    Parameters
    ----------
    settings : Settings
        Name the repository.
    token : Token
    announcement : Announcement
    journal : Journal
    patience : Patience, optional

    Returns
    -------
    Issue or None
        None where the settings name no repository.

    Raises
    ------
    PublishError
        If GitHub does not do as it is asked; the same call again goes on from there.
    ArgumentError
        If the repository is not named as ``owner/name``.
    OfflineError
        If the settings say offline.
    """
    repository = settings.github_repository
    if repository is None:
        return None
    check_repository(settings)
    check_address("github_url", settings.github_url)
    known = {"repository": repository, "sha256": announcement.sha256}
    with journal.locked(settings):
        if journal.done("announce", **known):
            noted = journal.facts("announce")
            return Issue(noted["number"], noted["url"], tuple(noted["missing"]))
        if settings.offline:
            raise OfflineError(settings.github_url)
        issue = _Issues(settings, token, repository, patience).find_or_open(announcement)
        noted = {"number": issue.number, "url": issue.url, "missing": list(issue.missing)}
        journal.record("announce", **known, **noted)
        return issue


class _Scrubbing(logging.Filter):
    """Takes a token out of log records."""

    def __init__(self, token: Token) -> None:
        super().__init__()
        self._token = token

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = self._token.scrub(record.getMessage()), ()
        return True


class _Issues:
    """The issues of one repository."""

    def __init__(
        self, settings: Settings, token: Token, repository: str, patience: Patience
    ) -> None:
        self._url = settings.github_url
        self._token = token
        self._repository = repository
        self._patience = patience
        self._requester = _requester(settings, token, patience)

    def find_or_open(self, announcement: Announcement) -> Issue:
        # PyGithub logs whole answers, and a server may repeat in them what it was told.
        requests_log, scrubbing = logging.getLogger("github.Requester"), _Scrubbing(self._token)
        requests_log.addFilter(scrubbing)
        try:
            place = self._place()
            found = self._find(place, announcement, "search for the issue")
            return found or self._open(place, announcement)
        finally:
            requests_log.removeFilter(scrubbing)
            self._requester.close()

    def _place(self) -> str:
        """Return the path of the repository by its present name."""
        path = f"/repos/{self._repository}"
        answer = self._carry_out("find the repository", lambda: self._ask("GET", path))
        name = answer.get("full_name") if isinstance(answer, dict) else None
        if not isinstance(name, str) or not REPOSITORY.fullmatch(name):
            name = self._repository
        return f"/repos/{name}"

    def _find(self, place: str, announcement: Announcement, step: str) -> Issue | None:
        words = marker(announcement.model_id, announcement.sha256)
        for page in range(1, _MOST_PAGES + 1):
            query = {"state": "all", "sort": "created", "per_page": _PER_PAGE, "page": page}
            listed = self._carry_out(step, partial(self._list, place, query))
            for one in listed:
                if "pull_request" not in one and words in str(one.get("body")):
                    return Issue.from_json(one, announcement)
            if len(listed) < _PER_PAGE:
                break
        return None

    def _open(self, place: str, announcement: Announcement) -> Issue:
        step = "open the issue"
        body = {
            "title": announcement.title,
            "body": announcement.text,
            "labels": list(announcement.labels),
            "assignees": list(announcement.assignees),
        }

        def attempt() -> Issue:
            answer = self._ask("POST", f"{place}/issues", body=body)
            if not is_issue(answer):
                raise self._failure("its answer is no issue", transient=True)
            return Issue.from_json(answer, announcement)

        issue = self._carry_out(step, attempt, look=lambda: self._find(place, announcement, step))
        if issue.missing:
            logger.warning(
                "%s: GitHub left out %s; the token may not set them",
                issue.url,
                ", ".join(issue.missing),
            )
        return issue

    def _list(self, place: str, query: Mapping[str, Any]) -> list[dict[str, Any]]:
        answer = self._ask("GET", f"{place}/issues", query=query)
        if not isinstance(answer, list) or not all(map(is_issue, answer)):
            raise self._failure("its answer is no list of issues", transient=True)
        return answer

    def _ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Any:
        import requests

        try:
            status, headers, text = self._requester.requestJson(
                method, path, dict(query or {}), dict(_HEADERS), body
            )
        except requests.Timeout:
            failure = self._failure("it does not answer in time", transient=True)
        except requests.RequestException:
            failure = self._failure("there is no connection to it", transient=True)
        except RuntimeError:
            failure = self._failure("it redirects to another server", transient=False)
        except ValueError:
            failure = self._failure("its answer makes no sense", transient=True)
        else:
            return self._content(status, headers, text)
        # Raised out here: the library's own error holds the request, and with it the token.
        raise failure

    def _content(self, status: int, headers: Mapping[str, str], text: str) -> Any:
        try:
            content = json.loads(text) if text else None
        except (ValueError, RecursionError):
            content = None
        if status < 300 and content is not None:
            return content
        message = content.get("message", "") if isinstance(content, dict) else ""
        if status < 300:
            raise self._failure("its answer is not JSON", transient=True)
        wait = _limit_wait(status, headers, str(message))
        failure = self._failure(
            f"it answers {status}" + (f" ({message})" if message else ""),
            transient=status in _TRANSIENT or wait is not None,
        )
        failure.status, failure.retry_after, failure.text = status, wait, text
        raise failure

    def _failure(self, reason: str, *, transient: bool) -> TransportError:
        return TransportError(self._url, self._token.scrub(reason)[:300], transient=transient)

    def _carry_out(
        self, step: str, attempt: Callable[[], _T], *, look: Callable[[], _T | None] | None = None
    ) -> _T:
        return carry_out(
            attempt,
            Effort(self._url, self._patience),
            token=self._token,
            error=lambda failure: self._error(step, failure),
            look=look,
        )

    def _error(self, step: str, failure: TransportError) -> PublishError:
        hint = _HINTS.get(failure.status or 0, _HINT)
        if failure.retry_after is not None:
            hint = f"GitHub asks to wait {failure.retry_after:.0f} s: call again after that."
        details = self._token.scrub("; ".join([failure.reason, *field_errors(failure.text)]))
        reason = f"{self._repository}: {details}"
        return PublishError("GitHub", step, reason, status=failure.status, hint=hint)


def _requester(settings: Settings, token: Token, patience: Patience) -> Requester:
    from github import Auth, Github

    return Github(
        auth=Auth.Token(token.reveal()),
        base_url=settings.github_url,
        timeout=math.ceil(patience.read),
        user_agent=user_agent(),
        retry=None,
        # A handful of requests needs no pauses; after a limit, the effort waits.
        seconds_between_requests=None,
        seconds_between_writes=None,
    ).requester


def _limit_wait(status: int, headers: Mapping[str, str], message: str) -> float | None:
    """Return how long GitHub wants to be left alone, in seconds; None if it sets no limit."""
    if status not in {403, 429}:
        return None
    after = headers.get("retry-after", "").strip()
    if after.isdecimal():
        return float(after)
    reset = headers.get("x-ratelimit-reset", "").strip()
    if headers.get("x-ratelimit-remaining", "").strip() == "0" and reset.isdecimal():
        return max(0.0, float(reset) - time.time())
    return _LIMIT_WAIT if status == 429 or "rate limit" in message.lower() else None
