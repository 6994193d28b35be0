"""Tries at something that must not happen twice, and what a service says when it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TypeVar

from medmint.errors import PublishError
from medmint.publishing.secret import Token
from medmint.transport import Effort, TransportError

#: Answers to a repeated request that may mean: it is done already, or being done.
_PERHAPS_DONE = frozenset({404, 409})
_T = TypeVar("_T")


def carry_out(
    attempt: Callable[[], _T],
    effort: Effort,
    *,
    token: Token,
    error: Callable[[TransportError], PublishError],
    look: Callable[[], _T | None] | None = None,
) -> _T:
    """Try until it succeeds or patience ends; where a try may have succeeded unseen, look first.

    Parameters
    ----------
    attempt : callable
        Makes one try; raises `TransportError` if it fails.
    effort : Effort
        Decides whether there is another try, and waits for it.
    token : Token
        Is taken out of what the server said, before that is logged or shown.
    error : callable
        Makes the error for the user out of the last failure.
    look : callable, optional
        Returns the result if it is there already, None if it is not. Without it, repeating does
        no harm.

    Returns
    -------
    object
        What ``attempt`` or ``look`` returned.

    Raises
    ------
    PublishError
        That of ``error``. Nothing is chained to it: a failure holds words of the server.
    """
    while True:
        try:
            return attempt()
        except TransportError as caught:
            failure = caught
        failure.reason, failure.text = token.scrub(failure.reason), token.scrub(failure.text)
        if look is not None and (failure.transient or failure.status in _PERHAPS_DONE):
            found = look()
            if found is not None:
                return found
        if not effort.again(failure):
            raise error(failure)


def field_errors(text: str) -> list[str]:
    """Return what an answer says of single fields, as ``<field>: <what is wrong>``.

    Parameters
    ----------
    text : str
        JSON with a list of ``errors``, as Zenodo and GitHub send it.

    Returns
    -------
    list of str
        Empty where the answer is of another kind.

    Examples
    --------
    >>> field_errors('{"errors": [{"field": "metadata.license", "messages": ["Invalid."]}]}')
    ['metadata.license: Invalid.']
    >>> field_errors('{"errors": [{"resource": "Issue", "field": "title", "code": "missing"}]}')
    ['title: missing']
    """
    try:
        errors = json.loads(text)["errors"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return []
    found = []
    for error in errors if isinstance(errors, list) else []:
        if isinstance(error, dict):
            # Zenodo sends a list of messages, and documents one message.
            said = error.get("messages") or error.get("message") or error.get("code", "")
            words = " ".join(map(str, said)) if isinstance(said, list) else str(said)
            found.append(f"{error.get('field', '?')}: {words}"[:300])
    return found
