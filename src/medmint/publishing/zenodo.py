"""Zenodo's deposit API: one method for each step, and none does twice what must happen once.

An answer that is lost says nothing about what happened. So whatever may not be repeated blindly
(creating, uploading, publishing) is looked up after a failure, and repeated only where the look
shows that it did not happen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Self
from urllib.parse import urlencode

from medmint.errors import PublishError
from medmint.progress import Progress
from medmint.publishing.deposit_api import DepositApi, deposit_address
from medmint.publishing.deposition import Archive, Deposition
from medmint.publishing.secret import Token
from medmint.settings import Settings
from medmint.transport import PATIENCE as USUAL_PATIENCE
from medmint.transport import Patience, TransportError

#: Zenodo takes its time to store gigabytes and to register a DOI.
PATIENCE = replace(USUAL_PATIENCE, read=180.0, total=1800.0)
_PER_PAGE = 100
_MOST_PAGES = 20
#: Seconds after which a new draft is in the list, which comes from a search index.
_LISTED_AFTER = 5.0


class ZenodoDeposits:
    """The depositions of one account.

    Used as a context manager it closes its connections at the end. Every method may raise
    `PublishError`, with the step, the status and the number of the deposition to go on with, and
    `OfflineError`.

    Parameters
    ----------
    settings : Settings
    token : Token
        Travels in a request header, to this address alone.
    sandbox : bool
        Use sandbox.zenodo.org, which has accounts and tokens of its own.
    patience : Patience, optional

    Attributes
    ----------
    address : str
        Where the depositions are.
    """

    def __init__(
        self,
        settings: Settings,
        token: Token,
        *,
        sandbox: bool = False,
        patience: Patience = PATIENCE,
    ) -> None:
        self.settings = settings
        self.address = deposit_address(settings, sandbox=sandbox)
        self._api = DepositApi(settings, token, address=self.address, patience=patience)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._api.close()

    def read(self, number: int, *, step: str = "read") -> Deposition | None:
        """Return a deposition as it is now; None if there is none of this number."""
        api, url = self._api, self._api.url(number)
        try:
            return api.carry_out(step, lambda: api.ask("GET", url, number=number), number)
        except PublishError as error:
            if error.status not in {404, 410}:
                raise
        return None

    def find(self, sha256: str, *, step: str = "find") -> Deposition | None:
        """Return the deposition whose notes name this package, a published one first."""
        listed = [one for one in self._own(step) if sha256 in one.notes]
        best = max(listed, key=lambda one: (one.is_published, one.number), default=None)
        if best is None:
            return None
        # What is listed may lack the files.
        found = self.read(best.number, step=step)
        if found is None:
            raise self.lost(best.number, step)
        return found

    def create(self, fields: Mapping[str, Any], sha256: str) -> Deposition:
        """Open a draft, described by ``fields``, whose notes must name the package."""
        api, url = self._api, self._api.url()

        def look() -> Deposition | None:
            api.patience.sleep(_LISTED_AFTER)
            return self.find(sha256, step="create")

        return api.carry_out("create", lambda: api.ask("POST", url, fields=fields), look=look)

    def new_version(self, number: int) -> Deposition:
        """Return the draft of a newer version of a record; Zenodo makes one if there is none."""
        api, url = self._api, f"{self._api.url(number)}/actions/newversion"
        answer = api.carry_out("new version", lambda: api.ask("POST", url), number)
        # The answer is the draft, or the record that leads to it, depending on Zenodo's version.
        draft = self.read(answer.latest_draft or answer.number, step="new version")
        if draft is None or draft.is_published:
            raise api.refusal(
                "new version",
                f"record {number} leads to no draft of a newer version",
                number=number,
                hint=f"Look at {self.address}/records/{number}.",
            )
        return draft

    def upload(self, deposition: Deposition, archive: Archive, *, progress: Progress) -> None:
        """Send an archive as one stream, and compare what has arrived."""
        api, number = self._api, deposition.number
        url = api.file_url(deposition, archive.name, step="upload")

        def look() -> bool | None:
            found = self.read(number, step="upload")
            return True if found and found.holds(archive) else None

        # However long the first try takes, there is time for another one.
        seconds = archive.size_bytes / api.patience.slowest
        attempt = partial(api.send, url, archive, progress)
        api.carry_out("upload", attempt, number, look=look, seconds=seconds)

    def remove_file(self, deposition: Deposition, name: str) -> None:
        """Take a file out of a draft, such as one of the version before."""
        step, number = "remove a file", deposition.number
        url = self._api.file_url(deposition, name, step=step)

        def look() -> bool | None:
            found = self.read(number, step=step)
            gone = found is not None and all(file.name != name for file in found.files)
            return True if gone else None

        self._api.carry_out(step, partial(self._api.delete, url), number, look=look)

    def describe(self, number: int, fields: Mapping[str, Any]) -> Deposition:
        """Set the whole description of a draft."""
        attempt = partial(self._api.ask, "PUT", self._api.url(number), fields=fields, number=number)
        return self._api.carry_out("describe", attempt, number)

    def publish(self, number: int, archive: Archive) -> Deposition:
        """Publish a draft that holds the archive and no other one. This cannot be undone."""

        def look() -> Deposition | None:
            found = self.read(number, step="publish")
            return found if found and found.is_published else None

        before = self.read(number, step="publish")
        if before is not None and before.is_published:
            return before
        if before is None or before.other_archives(archive) or not before.holds(archive):
            raise self._api.refusal(
                "publish",
                f"the draft does not hold {archive.name} as it is here, and no other zip",
                number=number,
                hint="Call again: what is missing is sent.",
            )
        return self._api.carry_out("publish", partial(self._publish, number), number, look=look)

    def discard(self, number: int) -> None:
        """Delete a draft; nothing happens if it is gone."""
        found = self.read(number, step="discard")
        if found is None:
            return
        if found.is_published:
            raise self._api.refusal(
                "discard",
                f"{found.doi} is published, and a published record stays",
                number=number,
                hint=f"Ask Zenodo to withdraw it: {self.address}/records/{number}.",
            )

        def look() -> bool | None:
            return True if self.read(number, step="discard") is None else None

        attempt = partial(self._api.delete, self._api.url(number))
        self._api.carry_out("discard", attempt, number, look=look)

    def lost(self, number: int, step: str) -> PublishError:
        """Return the error for a deposition that must be there and is not shown."""
        return self._api.refusal(
            step,
            f"deposition {number} exists and is not shown",
            number=number,
            hint=f"Call again later, or look at {self.address}/records/{number}.",
        )

    def _own(self, step: str) -> Iterator[Deposition]:
        for page in range(1, _MOST_PAGES + 1):
            query = {"sort": "mostrecent", "size": _PER_PAGE, "page": page, "all_versions": 1}
            url = f"{self._api.url()}?{urlencode(query)}"
            listed = self._api.carry_out(step, partial(self._api.ask_many, url))
            yield from listed
            if len(listed) < _PER_PAGE:
                return

    def _publish(self, number: int) -> Deposition:
        url = f"{self._api.url(number)}/actions/publish"
        found = self._api.ask("POST", url, number=number)
        if not found.is_published:
            raise TransportError(url, "its answer is no published record", transient=True)
        return found
