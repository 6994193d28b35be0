"""The description of a Zenodo record, checked here before anything is sent."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal, get_args

from medmint.errors import ArgumentError, InvalidRecordError

UploadType = Literal["software", "dataset", "publication", "image", "other"]
Relation = Literal[
    "isCitedBy",
    "cites",
    "isSupplementTo",
    "isSupplementedBy",
    "isContinuedBy",
    "continues",
    "isNewVersionOf",
    "isPreviousVersionOf",
    "isPartOf",
    "hasPart",
    "isReferencedBy",
    "references",
    "isDocumentedBy",
    "documents",
    "isCompiledBy",
    "compiles",
    "isVariantFormOf",
    "isOriginalFormOf",
    "isIdenticalTo",
    "isAlternateIdentifier",
    "isReviewedBy",
    "reviews",
    "isDerivedFrom",
    "isSourceOf",
    "requires",
    "isRequiredBy",
    "obsoletes",
    "isObsoletedBy",
]
_ORCID = re.compile(r"(?:https?://orcid\.org/)?(\d{4}-\d{4}-\d{4}-\d{3}[\dX])")
_DOI = re.compile(r"(?:https?://(?:dx\.)?doi\.org/|doi:)?10\.\d{4,9}/\S+", re.IGNORECASE)
_ADDRESS = re.compile(r"https?://[^\s/]+\S*")
_SINGLE = re.compile(r"[A-Za-z0-9.+-]+")
_ARXIV = re.compile(r"arxiv:\S+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Creator:
    """A person who made the model.

    Attributes
    ----------
    name : str
        As ``"Family, Given"``.
    affiliation : str
        Empty if there is none.
    orcid : str
        Such as ``"0000-0002-1825-0097"``, also as a link; empty if there is none.
    """

    name: str
    affiliation: str = ""
    orcid: str = ""


@dataclass(frozen=True, slots=True)
class RelatedIdentifier:
    """Something else that the record has to do with: a paper, a data set, the code.

    Attributes
    ----------
    identifier : str
        A DOI, an address, or an arXiv number.
    relation : str
        What the model is to it, such as ``"isSupplementTo"`` a paper or ``"isDerivedFrom"`` data.
    resource_type : str
        What it is, such as ``"publication-article"``, ``"dataset"`` or ``"software"``.
    """

    identifier: str
    relation: Relation
    resource_type: str = ""


@dataclass(frozen=True, slots=True)
class DepositMetadata:
    """How a record on Zenodo is described.

    Attributes
    ----------
    title : str
    description : str
        Text with simple HTML, such as ``<p>`` and ``<a>``.
    creators : tuple of Creator
        One or more.
    license : str
        An SPDX identifier in any spelling, such as ``"MIT"`` or ``"CC BY 4.0"``. Zenodo would put
        in a licence of its own choice for records without.
    version : str
        Of the model; empty if it has none.
    keywords : tuple of str
    related_identifiers : tuple of RelatedIdentifier
    upload_type : str
        What kind of record it is.
    publication_date : str
        ISO date; empty for the day of the publication.

    Examples
    --------
    >>> jane = Creator("Doe, Jane", "A University", "0000-0002-1825-0097")
    >>> model = DepositMetadata("Polyps", "<p>A model.</p>", (jane,), license="CC BY 4.0")
    >>> model.faults(), model.to_dict()["license"]
    ([], 'cc-by-4.0')
    """

    title: str
    description: str
    creators: tuple[Creator, ...]
    license: str
    version: str = ""
    keywords: tuple[str, ...] = ()
    related_identifiers: tuple[RelatedIdentifier, ...] = ()
    upload_type: UploadType = "software"
    publication_date: str = ""

    def faults(self) -> list[str]:
        """Return everything that Zenodo would refuse, as ``<field>: <what is wrong>``."""
        return [*self._text_faults(), *self._creator_faults(), *self._relation_faults()]

    def check(self) -> None:
        """Raise `InvalidRecordError` with all faults, if there are any."""
        if faults := self.faults():
            raise InvalidRecordError("The description for Zenodo", faults)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by Zenodo's names.

        Raises
        ------
        InvalidRecordError
            If there are faults.
        """
        self.check()
        fields = {
            "title": self.title.strip(),
            "upload_type": self.upload_type,
            "description": self.description.strip(),
            "creators": [_creator(creator) for creator in self.creators],
            "access_right": "open",
            "license": licence_id(self.license),
            "publication_date": self.publication_date or date.today().isoformat(),
            "version": self.version,
            "keywords": list(self.keywords),
            "related_identifiers": [_related(one) for one in self.related_identifiers],
        }
        return {name: value for name, value in fields.items() if value}

    def _text_faults(self) -> Iterator[str]:
        for name, text in (("title", self.title), ("description", self.description)):
            if not text.strip():
                yield f"{name}: expected a text, got nothing"
        try:
            licence_id(self.license)
        except ArgumentError as error:
            yield error.message
        if self.upload_type not in get_args(UploadType):
            allowed = ", ".join(get_args(UploadType))
            yield f"upload_type: got {self.upload_type!r}, expected one of {allowed}"
        if self.publication_date and not _is_date(self.publication_date):
            yield f"publication_date: got {self.publication_date!r}, expected YYYY-MM-DD"
        for number, keyword in enumerate(self.keywords):
            if not keyword.strip():
                yield f"keywords[{number}]: expected a text, got nothing"

    def _creator_faults(self) -> Iterator[str]:
        if not self.creators:
            yield "creators: expected one or more, got none"
        for number, creator in enumerate(self.creators):
            if not creator.name.strip():
                yield f"creators[{number}].name: expected 'Family, Given', got nothing"
            if creator.orcid and not is_orcid(creator.orcid):
                yield (
                    f"creators[{number}].orcid: got {creator.orcid!r}, expected an ORCID such as "
                    "0000-0002-1825-0097 whose last character fits the others"
                )

    def _relation_faults(self) -> Iterator[str]:
        for number, related in enumerate(self.related_identifiers):
            field = f"related_identifiers[{number}]"
            known = (_DOI, _ADDRESS, _ARXIV)
            if not any(form.fullmatch(related.identifier.strip()) for form in known):
                given = related.identifier
                yield f"{field}.identifier: got {given!r}, expected a DOI, an address or arXiv:..."
            if related.relation not in get_args(Relation):
                allowed = "one such as isSupplementTo, isDerivedFrom, references"
                yield f"{field}.relation: got {related.relation!r}, expected {allowed}"


def is_orcid(text: str) -> bool:
    """Tell whether a text is an ORCID whose check character fits.

    References
    ----------
    ISO/IEC 7064, MOD 11-2.

    Examples
    --------
    >>> is_orcid("0000-0002-1825-0097"), is_orcid("0000-0002-1825-0098")
    (True, False)
    """
    match = _ORCID.fullmatch(text.strip())
    if match is None:
        return False
    characters = match[1].replace("-", "")
    total = 0
    for digit in characters[:-1]:
        total = (total + int(digit)) * 2
    return "0123456789X"[(12 - total % 11) % 11] == characters[-1]


def licence_id(text: str) -> str:
    """Return a licence as Zenodo names it: its SPDX identifier in lower case.

    Parameters
    ----------
    text : str
        Such as ``"MIT"``, ``"cc-by-4.0"`` or ``"CC BY-SA 4.0"``.

    Returns
    -------
    str

    Raises
    ------
    ArgumentError
        If it is no single SPDX licence.

    Examples
    --------
    >>> licence_id("Apache-2.0"), licence_id("CC BY-SA 4.0")
    ('apache-2.0', 'cc-by-sa-4.0')
    """
    from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

    hyphenated = "-".join(text.split())
    try:
        spdx = canonicalize_license_expression(hyphenated)
    except InvalidLicenseExpression:
        spdx = None
    if spdx is None or not _SINGLE.fullmatch(spdx) or spdx.startswith("LicenseRef-"):
        allowed = "one SPDX identifier (spdx.org/licenses) such as MIT, Apache-2.0, CC-BY-4.0"
        raise ArgumentError("license", text, allowed)
    return spdx.lower()


def _creator(creator: Creator) -> dict[str, str]:
    orcid = _ORCID.fullmatch(creator.orcid.strip())
    fields = {
        "name": creator.name.strip(),
        "affiliation": creator.affiliation.strip(),
        "orcid": orcid[1] if orcid else "",
    }
    return {name: value for name, value in fields.items() if value}


def _related(related: RelatedIdentifier) -> dict[str, str]:
    fields = {
        "identifier": related.identifier.strip(),
        "relation": related.relation,
        "resource_type": related.resource_type,
    }
    return {name: value for name, value in fields.items() if value}


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
