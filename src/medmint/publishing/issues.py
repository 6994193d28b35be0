"""The issue that announces a model, as it is sent and as GitHub has it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from medmint.errors import ArgumentError
from medmint.publishing.deposition import marker
from medmint.settings import Settings

REPOSITORY = re.compile(r"[A-Za-z0-9-]+/[A-Za-z0-9._-]+")

#: Characters that GitHub takes in the body of an issue.
LONGEST_BODY = 65_536
#: Characters of an address that browsers and GitHub take.
_LONGEST_ADDRESS = 8_000


@dataclass(frozen=True, slots=True)
class Announcement:
    """The issue to be opened.

    Attributes
    ----------
    model_id, sha256 : str
        The package that it is about.
    title, body : str
        Texts; at the end of the body comes an invisible comment by which it is found again.
    labels, assignees : tuple of str
        GitHub drops them without a word where the token may not set them; see `Issue`.

    Raises
    ------
    ArgumentError
        If the title is empty or the body longer than GitHub takes.
    """

    model_id: str
    sha256: str
    title: str
    body: str
    labels: tuple[str, ...] = ()
    assignees: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.title.strip():
            raise ArgumentError("title", self.title, "a text")
        if len(self.text) > LONGEST_BODY:
            found = f"{len(self.text)} characters"
            raise ArgumentError("body", found, f"at most {LONGEST_BODY}: link what is long")

    @property
    def text(self) -> str:
        """The body as it is sent."""
        return f"{self.body.rstrip()}\n\n{self._comment}\n"

    @property
    def _comment(self) -> str:
        return f"<!-- {marker(self.model_id, self.sha256)} -->"


@dataclass(frozen=True, slots=True)
class Issue:
    """An issue as GitHub has it.

    Attributes
    ----------
    number : int
    url : str
        Address of its page.
    missing : tuple of str
        Labels and assignees that GitHub left out, as the token may not set them.
    """

    number: int
    url: str
    missing: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, answer: Mapping[str, Any], announcement: Announcement) -> Self:
        """Read an issue (`is_issue`), and compare it with what was asked for."""
        there = _names(answer, "labels", "name") | _names(answer, "assignees", "login")
        wanted = (*announcement.labels, *announcement.assignees)
        missing = tuple(name for name in wanted if name.lower() not in there)
        return cls(answer["number"], answer["html_url"], missing)


def is_issue(answer: Any) -> bool:
    """Tell whether what GitHub says is an issue.

    Examples
    --------
    >>> is_issue({"number": 1, "html_url": "https://github.com/owner/models/issues/1"})
    True
    """
    return (
        isinstance(answer, dict)
        and type(answer.get("number")) is int
        and isinstance(answer.get("html_url"), str)
    )


def check_repository(settings: Settings) -> None:
    """Raise `ArgumentError` if the repository for issues is not named as ``owner/name``.

    Examples
    --------
    >>> from pathlib import Path
    >>> check_repository(Settings(home=Path(), github_repository="owner/models"))
    """
    repository = settings.github_repository
    if repository is not None and not REPOSITORY.fullmatch(repository):
        raise ArgumentError("MEDMINT_GITHUB_REPOSITORY", repository, "owner/name")


def issue_form(settings: Settings, announcement: Announcement) -> str | None:
    """Return the address of a filled-in form for the issue, for those without a token.

    The body is left out where the address would be too long for GitHub.

    Examples
    --------
    >>> from pathlib import Path
    >>> settings = Settings(home=Path(), github_repository="owner/models")
    >>> issue_form(settings, Announcement("90001_X", "9f86...", "New model", "Hello"))[:56]
    'https://github.com/owner/models/issues/new?title=New+mod'
    """
    if settings.github_repository is None:
        return None
    parts = urlsplit(settings.github_url)
    host = "github.com" if parts.netloc == "api.github.com" else parts.netloc
    path = f"{parts.path.removesuffix('/api/v3')}/{quote(settings.github_repository)}/issues/new"
    fields = {"title": announcement.title, "labels": ",".join(announcement.labels)}
    fields = {name: value for name, value in fields.items() if value}
    for query in ({**fields, "body": announcement.text}, fields):
        address = urlunsplit((parts.scheme, host, path, urlencode(query), ""))
        if len(address) <= _LONGEST_ADDRESS:
            break
    return address


def _names(answer: Mapping[str, Any], field: str, key: str) -> set[str]:
    listed = answer.get(field)
    items = listed if isinstance(listed, list) else []
    return {str(item.get(key)).lower() for item in items if isinstance(item, dict)}
