"""From an archive to a DOI, in steps that a second call goes on with."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import quote

from medmint.errors import PublishError
from medmint.progress import Progress
from medmint.publishing.deposition import Archive, Deposition, marker
from medmint.publishing.journal import Journal
from medmint.publishing.metadata import DepositMetadata
from medmint.publishing.zenodo import ZenodoDeposits


@dataclass(frozen=True, slots=True)
class Parcel:
    """What goes to Zenodo.

    Attributes
    ----------
    model_id : str
        Full id of the model.
    archive : Path
        The zip of its package.
    metadata : DepositMetadata
    new_version_of : int or None
        Number of the record that this is a newer version of.
    """

    model_id: str
    archive: Path
    metadata: DepositMetadata
    new_version_of: int | None = None


@dataclass(frozen=True, slots=True)
class Deposited:
    """Where a package is on Zenodo.

    Attributes
    ----------
    number : int
        Of the deposition and of the record.
    is_published : bool
        False for a draft, which only its owner sees.
    doi : str
        Of a draft: reserved.
    page : str
        Address of the record, or of the draft's form.
    file_url : str
        Direct link of the archive, for the catalogue; of a draft: where it will be.
    sha256 : str
    size_bytes : int
    """

    number: int
    is_published: bool
    doi: str
    page: str
    file_url: str
    sha256: str
    size_bytes: int

    @classmethod
    def of(cls, deposition: Deposition, archive: Archive, address: str) -> Self:
        """Put together what Zenodo and the archive say."""
        number = deposition.number
        record = f"{address}/records/{number}"
        return cls(
            number=number,
            is_published=deposition.is_published,
            doi=deposition.doi,
            page=record if deposition.is_published else f"{address}/uploads/{number}",
            file_url=file_link(record, archive.name),
            sha256=archive.sha256,
            size_bytes=archive.size_bytes,
        )


def file_link(page: str, name: str) -> str:
    """Return the direct link of a file of a record on Zenodo.

    Examples
    --------
    >>> file_link("https://zenodo.org/records/7", "my model.zip")
    'https://zenodo.org/records/7/files/my%20model.zip?download=1'
    """
    return f"{page}/files/{quote(name)}?download=1"


def publish_package(
    deposits: ZenodoDeposits,
    parcel: Parcel,
    *,
    journal: Journal,
    publish: bool = False,
    progress: Progress = lambda _done, _total, _label: None,
) -> Deposited:
    """Bring a package to Zenodo, and publish it if told to.

    Whatever was done by an earlier call is found, by the journal or by the sha256 of the package
    in the notes of the account's depositions, and not done again.

    Parameters
    ----------
    deposits : ZenodoDeposits
    parcel : Parcel
    journal : Journal
    publish : bool
        Publish, which cannot be undone. Otherwise the call ends with a draft.
    progress : Progress, optional
        Told how many bytes are sent.

    Returns
    -------
    Deposited

    Raises
    ------
    InvalidRecordError
        If the description has faults.
    ArgumentError
        If there is no archive.
    PublishError
        If Zenodo does not do as it is asked; the same call again goes on from there.
    """
    delivery = _Delivery(deposits, parcel, journal=journal)
    with journal.locked(deposits.settings):
        deposition = delivery.find_or_make()
        if not deposition.is_published:
            delivery.fill(deposition, progress)
            if publish:
                deposition = deposits.publish(deposition.number, delivery.archive)
        if deposition.is_published:
            journal.record("publish", deposition_id=deposition.number, doi=deposition.doi)
        return Deposited.of(deposition, delivery.archive, deposits.address)


def abandon(deposits: ZenodoDeposits, journal: Journal) -> int | None:
    """Delete the draft of a contribution and its journal.

    Returns
    -------
    int or None
        Number of the draft that is gone now; None if there was none.

    Raises
    ------
    PublishError
        If it is published already, or Zenodo does not delete it.
    """
    with journal.locked(deposits.settings):
        draft = _journaled(deposits, journal)
        sha256 = journal.facts("package").get("sha256")
        if draft is None and sha256:
            # The call may have ended before it could note the number.
            draft = deposits.find(str(sha256))
        if draft is not None:
            deposits.discard(draft.number)
        journal.clear()
        return None if draft is None else draft.number


class _Delivery:
    """One parcel on its way to one account."""

    def __init__(self, deposits: ZenodoDeposits, parcel: Parcel, *, journal: Journal) -> None:
        self.fields = parcel.metadata.to_dict()
        self.archive = Archive.of(parcel.archive)
        self.fields["notes"] = marker(parcel.model_id, self.archive.sha256)
        self._deposits, self._parcel, self._journal = deposits, parcel, journal

    def find_or_make(self) -> Deposition:
        """Return the deposition of an earlier call, else a new draft."""
        base = self._parcel.new_version_of
        known = _journaled(self._deposits, self._journal)
        if known is not None and self._is_otherwise(known):
            if base is None:
                raise _published_otherwise(known)
            base = known.number
            known = None
        known = known or self._deposits.find(self.archive.sha256)
        if known is None:
            known = self._make(base)
        elif self._is_otherwise(known):
            raise _published_otherwise(known)
        service = self._deposits.address
        self._journal.record("deposit", deposition_id=known.number, service=service)
        return known

    def fill(self, draft: Deposition, progress: Progress) -> None:
        """Make a draft hold the archive, and no other one, described as it should be."""
        deposits, journal, archive = self._deposits, self._journal, self.archive
        for name in draft.other_archives(archive):
            deposits.remove_file(draft, name)
        if not draft.holds(archive):
            deposits.upload(draft, archive, progress=progress)
        journal.record("upload", sha256=archive.sha256, size_bytes=archive.size_bytes)
        digest = hashlib.sha256(json.dumps(self.fields, sort_keys=True).encode()).hexdigest()
        if not journal.done("describe", deposition_id=draft.number, digest=digest):
            deposits.describe(draft.number, self.fields)
            journal.record("describe", deposition_id=draft.number, digest=digest)

    def _make(self, base: int | None) -> Deposition:
        # Noted before it is made: a call that ends here leaves the words to find the draft by.
        sha256 = self.archive.sha256
        self._journal.record("package", model_id=self._parcel.model_id, sha256=sha256)
        if base is None:
            return self._deposits.create(self.fields, sha256)
        return self._deposits.new_version(base)

    def _is_otherwise(self, deposition: Deposition) -> bool:
        return deposition.is_published and not deposition.holds(self.archive)


def _journaled(deposits: ZenodoDeposits, journal: Journal) -> Deposition | None:
    noted = journal.facts("deposit")
    number, service = noted.get("deposition_id"), noted.get("service")
    if type(number) is not int:
        return None
    if service != deposits.address:
        raise PublishError(
            "medmint",
            "journal",
            f"{journal.path} is of a contribution to {service}, not to {deposits.address}",
            deposition_id=number,
            hint="Go on there, or remove the file to begin anew.",
        )
    found = deposits.read(number)
    if found is None and journal.done("publish", deposition_id=number):
        # A draft may have been deleted by its owner. A record is there, whatever Zenodo says now.
        raise deposits.lost(number, "read")
    return found


def _published_otherwise(record: Deposition) -> PublishError:
    return PublishError(
        "Zenodo",
        "upload",
        f"this model is published as {record.doi}, with another package than the one here",
        deposition_id=record.number,
        hint=f"Publish a newer version of record {record.number} (new_version_of).",
    )
