"""Addresses that are safe to ask and safe to show."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urljoin, urlsplit, urlunsplit

from medmint.errors import ArgumentError
from medmint.settings import is_safe_address

_SECRET_NAMES = re.compile(r"token|secret|password|api_?key|signature", re.IGNORECASE)
_SECRETS = re.compile(
    r"(?i)(bearer\s+|(?:access_)?token=)[^\s&\"']+|\b(?:gh[po]_|github_pat_|hf_)\w+"
)


def redact(url: str) -> str:
    """Return a URL without what may be secret in it: credentials, query, fragment.

    Examples
    --------
    >>> redact("https://jane:pw@zenodo.org/records/1?access_token=s3cret")
    'https://zenodo.org/records/1'
    """
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def scrub(text: str) -> str:
    """Return a text of a server without anything that looks like a token.

    Examples
    --------
    >>> scrub("Bad header: Bearer s3cret")
    'Bad header: <token>'
    """
    return _SECRETS.sub("<token>", text)


def check_address(argument: str, url: str) -> None:
    """Raise `ArgumentError` unless a URL is safe to ask and to show.

    Examples
    --------
    >>> check_address("source", "https://zenodo.org/records/1")
    """
    try:
        parts = urlsplit(url)
        names = [name for name, _ in parse_qsl(parts.query)]
        secret = "@" in parts.netloc or any(_SECRET_NAMES.search(name) for name in names)
        safe = is_safe_address(url) and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise ArgumentError(argument, url.partition("?")[0], "a valid https address") from None
    if secret:
        raise ArgumentError(
            argument, redact(url), "an address without user name, password or token in it"
        )
    if not safe:
        raise ArgumentError(
            argument, redact(url), "an https address (plain http on this machine alone)"
        )


def redirected(url: str, location: str) -> str:
    """Return the address that a redirect leads to, or raise `ArgumentError` if it is not safe.

    Examples
    --------
    >>> redirected("https://zenodo.org/record/1", "/records/1")
    'https://zenodo.org/records/1'
    """
    try:
        following = urljoin(url, location)
    except ValueError:
        raise ArgumentError("redirect", location.partition("?")[0], "a valid address") from None
    check_address("redirect", following)
    # This machine may be asked by plain http, but a server elsewhere must not send anyone there.
    if urlsplit(url).scheme == "https" and urlsplit(following).scheme != "https":
        raise ArgumentError("redirect", redact(following), "an https address, as before")
    return following
