"""Single requests to Zenodo's deposit API, and the errors that they end in."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import IO, Any, TypeVar
from urllib.parse import quote, urlsplit

from medmint.errors import PublishError
from medmint.progress import Progress
from medmint.publishing.deposition import Archive, Deposition, ReportingFile, StoredFile
from medmint.publishing.repeating import carry_out, field_errors
from medmint.publishing.secret import Token
from medmint.settings import Settings
from medmint.transport import Bearer, Client, Effort, Patience, TransportError, check_address, read

PRODUCTION = "https://zenodo.org"
SANDBOX = "https://sandbox.zenodo.org"
_MOST_JSON = 16 << 20
#: What Zenodo itself leaves unquoted in the names of files.
_UNQUOTED = "/!$&'()*+,;=:@"
_JSON = {"Content-Type": "application/json"}
_OCTETS = {"Content-Type": "application/octet-stream"}
_HINTS = {
    400: "Correct what is named and call again: the draft is kept.",
    404: "The deposition is gone or belongs to another account.",
    409: "Zenodo still works on it: call again in five minutes.",
    413: "The file is larger than Zenodo takes in one piece.",
}
_HINT = "Call again: what is done stays done, and is looked up before anything is repeated."
_T = TypeVar("_T")


def deposit_address(settings: Settings, *, sandbox: bool = False) -> str:
    """Return the address that contributions go to.

    Parameters
    ----------
    settings : Settings
        An address other than Zenodo's own counts for the sandbox as well.
    sandbox : bool

    Returns
    -------
    str

    Raises
    ------
    ArgumentError
        If it is not safe to send a token there.

    Examples
    --------
    >>> from pathlib import Path
    >>> deposit_address(Settings(home=Path()), sandbox=True)
    'https://sandbox.zenodo.org'
    """
    address = settings.zenodo_deposit_url.rstrip("/")
    if sandbox and address == PRODUCTION:
        address = SANDBOX
    check_address("zenodo_deposit_url", address)
    return address


class DepositApi:
    """One account's door to the deposit API.

    Methods that make a request make one try, and raise `TransportError`; `carry_out` makes as many
    as patience allows, and raises `PublishError`.

    Parameters
    ----------
    settings : Settings
    token : Token
    address : str
        See `deposit_address`.
    patience : Patience
    """

    def __init__(
        self, settings: Settings, token: Token, *, address: str, patience: Patience
    ) -> None:
        self.address = address
        self.patience = patience
        self._token = token
        self._client = Client(settings, patience=patience, token=Bearer(token.reveal()))

    def close(self) -> None:
        """Close the connections."""
        self._client.__exit__()

    def url(self, number: int | None = None) -> str:
        """Return the address of a deposition, or of all."""
        return f"{self.address}/api/deposit/depositions" + (f"/{number}" if number else "")

    def file_url(self, deposition: Deposition, name: str, *, step: str) -> str:
        """Return the address of a file of a draft."""
        # The token goes there: an address elsewhere is not followed, whoever names it.
        if not deposition.bucket.startswith(f"{self.address}/"):
            raise self.refusal(
                step,
                f"the draft names no place for files at {self.address}",
                number=deposition.number,
                hint="Check MEDMINT_ZENODO_DEPOSIT_URL.",
            )
        return f"{deposition.bucket}/{quote(name, safe=_UNQUOTED)}"

    def ask(
        self,
        method: str,
        url: str,
        *,
        fields: Mapping[str, Any] | None = None,
        number: int | None = None,
    ) -> Deposition:
        """Make a request whose answer is a deposition, that of ``number`` where it is given."""
        body = None if fields is None else json.dumps({"metadata": dict(fields)}).encode()
        answer = self._json(method, url, body=body)
        found = None
        with suppress(ValueError):
            found = Deposition.from_json(answer)
        if found is None or number not in {None, found.number}:
            raise TransportError(url, "its answer is not the deposition", transient=True)
        return found

    def ask_many(self, url: str) -> list[Deposition]:
        """Make a request whose answer is a list of depositions."""
        answer = self._json("GET", url)
        with suppress(ValueError):
            if isinstance(answer, list):
                return [Deposition.from_json(one) for one in answer]
        raise TransportError(url, "its answer is no list of depositions", transient=True)

    def send(self, url: str, archive: Archive, progress: Progress) -> bool:
        """Send an archive as one stream, and compare what has arrived."""
        with ReportingFile(archive, progress) as body:
            answer = self._json("PUT", url, headers=_OCTETS, body=body)
        stored = None
        with suppress(ValueError):
            stored = StoredFile.from_json(answer)
        if stored is None or not stored.is_copy_of(archive):
            got = "something else" if stored is None else f"{stored.size_bytes} bytes, {stored.md5}"
            sent = f"{archive.size_bytes} bytes, md5 {archive.md5}"
            raise TransportError(url, f"{sent} were sent, and {got} arrived", transient=True)
        return True

    def delete(self, url: str) -> bool:
        """Delete what is there."""
        with self._client.request("DELETE", url):
            return True

    def carry_out(
        self,
        step: str,
        attempt: Callable[[], _T],
        number: int | None = None,
        *,
        look: Callable[[], _T | None] | None = None,
        seconds: float = 0.0,
    ) -> _T:
        """Try until it succeeds or patience ends, with so many seconds more than usual."""
        patience = replace(self.patience, total=self.patience.total + seconds)
        return carry_out(
            attempt,
            Effort(self.address, patience),
            token=self._token,
            error=lambda failure: self._error(step, failure, number),
            look=look,
        )

    def refusal(self, step: str, reason: str, *, number: int, hint: str) -> PublishError:
        """Return the error for a deposition that cannot take a step."""
        return PublishError("Zenodo", step, reason, deposition_id=number, hint=hint)

    def _error(self, step: str, failure: TransportError, number: int | None) -> PublishError:
        reason = "; ".join([failure.reason, *field_errors(failure.text)])
        hint = _HINTS.get(failure.status or 0, _HINT)
        if failure.status in {401, 403}:
            host = urlsplit(self.address).netloc
            hint = (
                f"The token must be one of {host}, with the scopes deposit:write and "
                f"deposit:actions: {self.address}/account/settings/applications/"
            )
        if failure.retry_after is not None:
            hint = f"Zenodo asks to wait {failure.retry_after:.0f} s: call again after that."
        if number is not None:
            hint += f" The draft: {self.address}/uploads/{number}"
        return PublishError(
            "Zenodo",
            step,
            self._token.scrub(reason),
            status=failure.status,
            deposition_id=number,
            hint=hint,
        )

    def _json(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] = _JSON,
        body: bytes | IO[bytes] | None = None,
    ) -> Any:
        wanted = {"Accept": "application/json", **headers}
        text = bytearray()
        with self._client.request(method, url, headers=wanted, body=body) as answer:
            while len(text) < _MOST_JSON and (chunk := read(answer, 1 << 16)):
                text += chunk
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            failure = TransportError(url, "its answer is not JSON", transient=True)
        raise failure
