"""Tokens: where they come from, and that nothing shows them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NoReturn

from medmint.errors import ArgumentError
from medmint.transport import scrub

HIDDEN = "<token>"
_ZENODO = ("ZENODO_ACCESS_TOKEN",)
#: Accounts of the sandbox are others than those of Zenodo: one's token is of no use to the other.
_SANDBOX = ("ZENODO_SANDBOX_ACCESS_TOKEN",)
_GITHUB = ("GITHUB_TOKEN", "GH_TOKEN")
#: Longer than any token; more is a file pasted by mistake.
_LONGEST = 1024


class Token:
    """A secret that shows in no text: not by ``str``, ``repr``, formatting or pickling.

    Parameters
    ----------
    value : str
        White space around it is dropped, as files and terminals add it.
    name : str
        What the token is called in an error.

    Raises
    ------
    ArgumentError
        If it is empty or cannot stand in a request header. The value is not shown.

    Examples
    --------
    >>> token = Token("s3cret")
    >>> token, f"{token}", token.scrub("s3cret was refused")
    (<token>, '<token>', '<token> was refused')
    """

    __slots__ = ("_value",)

    def __init__(self, value: str, name: str = "token") -> None:
        if not isinstance(value, str):
            raise ArgumentError(name, type(value).__name__, "a text")
        stripped = value.strip()
        if not stripped or len(stripped) > _LONGEST:
            found = "nothing" if not stripped else f"{len(stripped)} characters"
            raise ArgumentError(name, found, f"1 to {_LONGEST} characters")
        if not (stripped.isascii() and stripped.isprintable()) or " " in stripped:
            raise ArgumentError(name, HIDDEN, "printable ASCII characters without spaces")
        self._value = stripped

    def reveal(self) -> str:
        """Return the secret itself, for a request header and nothing else."""
        return self._value

    def scrub(self, text: str) -> str:
        """Return a text without this token, and without anything that looks like one."""
        return scrub(text.replace(self._value, HIDDEN))

    def __repr__(self) -> str:
        return HIDDEN

    def __reduce__(self) -> NoReturn:
        raise TypeError("A token is not pickled: it would be readable in a file or a pipe.")


def zenodo_token(
    given: str | Token | None,
    *,
    sandbox: bool = False,
    environment: Mapping[str, str] | None = None,
) -> Token | None:
    """Return the token for Zenodo: the one given, else that of the environment.

    Parameters
    ----------
    given : str or Token, optional
        Takes precedence over the environment.
    sandbox : bool
        Look at ``ZENODO_SANDBOX_ACCESS_TOKEN``, not at ``ZENODO_ACCESS_TOKEN``.
    environment : mapping of str to str, optional
        Default: ``os.environ``.

    Returns
    -------
    Token or None
        None where there is none.

    Raises
    ------
    ArgumentError
        If it cannot be a token.

    Examples
    --------
    >>> zenodo_token(None, environment={"ZENODO_ACCESS_TOKEN": "s3cret"})
    <token>
    >>> zenodo_token(None, sandbox=True, environment={"ZENODO_ACCESS_TOKEN": "s3cret"})
    """
    return _find("zenodo_access_token", given, _SANDBOX if sandbox else _ZENODO, environment)


def github_token(
    given: str | Token | None, *, environment: Mapping[str, str] | None = None
) -> Token | None:
    """Return the token for GitHub: the one given, else ``GITHUB_TOKEN`` or ``GH_TOKEN``.

    See :func:`zenodo_token`.

    Examples
    --------
    >>> github_token("s3cret"), github_token(None, environment={})
    (<token>, None)
    """
    return _find("github_access_token", given, _GITHUB, environment)


def _find(
    argument: str,
    given: str | Token | None,
    names: tuple[str, ...],
    environment: Mapping[str, str] | None,
) -> Token | None:
    if isinstance(given, Token):
        return given
    if given is not None:
        return Token(given, argument)
    values = os.environ if environment is None else environment
    for name in names:
        if values.get(name, "").strip():
            return Token(values[name], name)
    return None
