"""What a contribution is asked to do, and how far it has come."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medmint.errors import ArgumentError
from medmint.publishing import Creator, Deposited, Issue, Token

#: What medigan calls makers who are not named.
UNKNOWN_NAME, UNKNOWN_AFFILIATION = "unknown name", "unknown affiliation"
_CREATOR = {"name", "affiliation", "orcid"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How a contribution is to be made.

    Attributes
    ----------
    output : Path or None
        Folder for archive, record, texts; default: beside the package, ``<name>-contribution``.
    publish : bool
        Publish on Zenodo, which cannot be undone, and open the issue.
    dry_run : bool
        No network, no new environment; the running interpreter is used.
    sandbox : bool
        Use sandbox.zenodo.org.
    creators : tuple of Creator
    text : str
        Description for Zenodo in place of the record's comment.
    allow : tuple of str
        Files that are published whatever they look like.
    assignees : tuple of str
        GitHub logins for the issue.
    new_version_of : int or None
        Number of the Zenodo record that this is a newer version of.
    num_samples : int
        How many samples each check generates.
    install_dependencies, overwrite : bool
        As for ``contribute``.
    zenodo_token, github_token : Token or None
        Without them the contribution ends with files and instructions.
    """

    output: Path | None = None
    publish: bool = False
    dry_run: bool = False
    sandbox: bool = False
    creators: tuple[Creator, ...] = ()
    text: str = ""
    allow: tuple[str, ...] = ()
    assignees: tuple[str, ...] = ()
    new_version_of: int | None = None
    num_samples: int = 3
    install_dependencies: bool = False
    overwrite: bool = False
    zenodo_token: Token | None = None
    github_token: Token | None = None

    def __post_init__(self) -> None:
        for name in ("publish", "dry_run", "sandbox"):
            # What cannot be undone is not done because a text such as "no" counts as true.
            if not isinstance(getattr(self, name), bool):
                raise ArgumentError(name, getattr(self, name), "True or False")
        number = self.new_version_of
        if number is not None and (type(number) is not int or number < 1):
            raise ArgumentError("new_version_of", number, "the number of a record on Zenodo")
        if not isinstance(self.text, str):
            raise ArgumentError("model_description", self.text, "a text")


@dataclass(frozen=True, slots=True)
class Contribution:
    """How far a contribution has come.

    Attributes
    ----------
    model_id : str
    folder : Path
        Where archive, record, issue text and the like are.
    archive : Path
    sha256 : str
    size_bytes : int
    record : dict
        The record for a catalogue, under its id.
    checks : tuple of str
        What was tested.
    left_out : tuple of str
        Caches, folders of version control and hidden files that are not in the archive.
    warnings : tuple of str
        What a contributor should look at.
    deposited : Deposited or None
        The draft or record on Zenodo.
    issue : Issue or None
    advice : str
        What to do next; empty where everything is done.
    """

    model_id: str
    folder: Path
    archive: Path
    sha256: str
    size_bytes: int
    record: dict[str, Any]
    checks: tuple[str, ...]
    left_out: tuple[str, ...]
    warnings: tuple[str, ...]
    deposited: Deposited | None
    issue: Issue | None
    advice: str

    @property
    def is_published(self) -> bool:
        """Whether the package has a DOI that everybody can follow."""
        return self.deposited is not None and self.deposited.is_published

    @property
    def page(self) -> str:
        """Address of the draft or record on Zenodo, empty where there is none."""
        return self.deposited.page if self.deposited else ""

    @property
    def issue_url(self) -> str | None:
        """Address of the issue, None where none was opened."""
        return None if self.issue is None else self.issue.url

    def facts(self) -> dict[str, Any]:
        """Return the main points as plain values."""
        deposited = self.deposited
        return {
            "model_id": self.model_id,
            "folder": str(self.folder),
            "archive": str(self.archive),
            "sha256": self.sha256,
            "size_bytes": self.size_bytes,
            "checks": list(self.checks),
            "left_out": list(self.left_out),
            "warnings": list(self.warnings),
            "published": self.is_published,
            "doi": deposited.doi if deposited else None,
            "zenodo": deposited.page if deposited else None,
            "issue": self.issue_url,
            "advice": self.advice,
        }


def read_creators(
    given: Sequence[Creator | Mapping[str, str] | str], name: str = "", affiliation: str = ""
) -> tuple[Creator, ...]:
    """Return the makers of a model from what a user named.

    Parameters
    ----------
    given : sequence of Creator, mapping or str
        Mappings have the keys name, affiliation and orcid; a text is a name.
    name, affiliation : str
        One further maker, put first. What medigan puts in for nobody counts as nobody.

    Raises
    ------
    ArgumentError
        If one of them is something else.

    Examples
    --------
    >>> read_creators([{"name": "Doe, Jane", "orcid": "0000-0002-1825-0097"}])
    (Creator(name='Doe, Jane', affiliation='', orcid='0000-0002-1825-0097'),)
    """
    for argument, text in (("creator_name", name), ("creator_affiliation", affiliation)):
        if not isinstance(text, str):
            raise ArgumentError(argument, text, "a text")
    if isinstance(given, str | Mapping) or not isinstance(given, Iterable):
        raise ArgumentError("creators", given, "a list, of names or mappings, even for one maker")
    known = affiliation if affiliation != UNKNOWN_AFFILIATION else ""
    creators = [Creator(name, known)] if name not in {"", UNKNOWN_NAME} else []
    for one in given:
        fields = {"name": one} if isinstance(one, str) else one
        if isinstance(fields, Creator):
            creators.append(fields)
        elif _describes_creator(fields):
            creators.append(Creator(**fields))
        else:
            raise ArgumentError("creators", one, "a name, or a mapping of name, affiliation, orcid")
    return tuple(creators)


def texts(argument: str, given: object) -> tuple[str, ...]:
    """Return a collection of texts as a tuple; a single text is refused, not taken apart.

    Raises
    ------
    ArgumentError
        If it is something else.

    Examples
    --------
    >>> texts("assignees", ["jane"])
    ('jane',)
    """
    if isinstance(given, Iterable) and not isinstance(given, str | Mapping):
        found = tuple(given)
        if all(isinstance(one, str) for one in found):
            return found
    raise ArgumentError(argument, given, "a list of texts, even for a single one")


def _describes_creator(fields: object) -> bool:
    if not isinstance(fields, Mapping) or not {"name"} <= set(fields) <= _CREATOR:
        return False
    return all(isinstance(value, str) for value in fields.values())
