"""The texts of a contribution: record for the catalogue, Zenodo's description, issue, advice."""

from __future__ import annotations

import copy
import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from medmint.model_contributor.card import EVIDENCE, evidence_lines
from medmint.model_contributor.licences import licence
from medmint.model_contributor.terms import UNKNOWN_NAME
from medmint.publishing import (
    LONGEST_BODY,
    Announcement,
    Creator,
    Deposited,
    DepositMetadata,
    RelatedIdentifier,
)

LABELS = ("model",)
#: Stands where the number of a record on Zenodo will be.
NUMBER = "RECORD_NUMBER"
_ROOM = 2_000


def public_record(
    record: Mapping[str, Any], *, link: str, sha256: str, size_bytes: int, doi: str = ""
) -> dict[str, Any]:
    """Return a record as it can go into a catalogue: with the link and digest of its archive."""
    public = copy.deepcopy(dict(record))
    execution = public["execution"]
    execution |= {"package_link": link, "sha256": sha256, "size_bytes": size_bytes}
    known = public["description"].get("doi") or []
    if doi and doi not in known:
        public["description"]["doi"] = [*known, doi]
    return public


def deposit_metadata(
    model_id: str, record: Mapping[str, Any], creators: Sequence[Creator], *, text: str = ""
) -> DepositMetadata:
    """Describe a model for Zenodo, from its record.

    Parameters
    ----------
    model_id : str
    record : mapping
    creators : sequence of Creator
    text : str
        A description in place of the record's comment.
    """
    selection, description = record["selection"], record["description"]
    return DepositMetadata(
        title=f"{description.get('title') or model_id} ({model_id})",
        description=_page(model_id, record, text or description.get("comment") or ""),
        creators=tuple(creators),
        license=licence(record),
        version=str(description.get("version") or ""),
        keywords=tuple(_keywords(selection)),
        related_identifiers=tuple(_related(description)),
    )


def announcement(
    model_id: str,
    record: Mapping[str, Any],
    *,
    page: str = "",
    checks: Sequence[str] = (),
    assignees: Sequence[str] = (),
) -> Announcement:
    """Return the issue that offers a model to a catalogue.

    Parameters
    ----------
    model_id : str
    record : mapping
        As `public_record` gives it.
    page : str
        Address of the package's page.
    checks : sequence of str
        What was tested.
    assignees : sequence of str
        Logins of those who take models in.
    """
    text = json.dumps({model_id: record}, indent=2, ensure_ascii=False)
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    head = "\n".join(_issue(model_id, record, page, checks))
    block = f"\n{fence}json\n{text}\n{fence}"
    if len(head) + len(block) > LONGEST_BODY - _ROOM:
        block = (
            "\nThe record is longer than an issue may be: it is `metadata.json` in the package, "
            "with the link, sha256 and size from above."
        )
    return Announcement(
        model_id=model_id,
        sha256=record["execution"]["sha256"],
        title=f"Model contribution: {model_id}",
        body=head + block,
        labels=LABELS,
        assignees=tuple(assignees),
    )


def record_in(text: str) -> str:
    r"""Return the JSON of the record in the text of an issue, or the text if it has no block.

    Examples
    --------
    >>> record_in('A model.\n```json\n{"a": 1}\n```\nThank you.')
    '{"a": 1}'
    """
    text = text.replace("\r\n", "\n")
    match = re.search(r"^(`{3,})json[ \t]*\n(.*?)^\1[ \t]*$", text, re.MULTILINE | re.DOTALL)
    return match[2].strip() if match else text


def upload_advice(archive_name: str, metadata: DepositMetadata, *, address: str) -> str:
    """Say how a package is published by hand, with Zenodo's form."""
    named = [one.name for one in metadata.creators if one.name != UNKNOWN_NAME]
    facts = {
        "Title": metadata.title,
        "Resource type": "Software",
        "Creators": "; ".join(named) or "all who made the model, with their ORCID",
        "Licence": metadata.license,
        "Version": metadata.version or "1.0.0",
        "Keywords": ", ".join(metadata.keywords),
        "Description": "the text in zenodo.json",
    }
    return "\n".join(
        [
            f"To publish on Zenodo without a token, open {address}/uploads/new, then",
            f"  1. upload {archive_name},",
            "  2. fill in:",
            *(f"       {name}: {value}" for name, value in facts.items()),
            f"  3. publish, and put the record's number in place of {NUMBER} in record.json and "
            "issue.md.",
        ]
    )


def issue_advice(form: str | None) -> str:
    """Say how an issue is opened by hand."""
    if form is None:
        return (
            "To offer the model to a catalogue, send issue.md to whoever keeps it. "
            "MEDMINT_GITHUB_REPOSITORY=owner/name names a repository that takes models."
        )
    return (
        f"To open the issue without a token, open\n  {form}\nwith the text of issue.md in it, and "
        f"no {NUMBER} left."
    )


def draft_advice(deposited: Deposited) -> str:
    """Say how a draft becomes a record."""
    return (
        f"The draft is {deposited.page} and can be seen by its owner alone. Nothing is published "
        "yet. Look at it, then make the same call with publish=True (--yes), or delete it with "
        "medmint contribute DIR --abandon."
    )


def _issue(
    model_id: str, record: Mapping[str, Any], page: str, checks: Sequence[str]
) -> Iterator[str]:
    execution, description = record["execution"], record["description"]
    yield f"**{description.get('title') or model_id}**\n"
    if comment := description.get("comment"):
        yield f"{comment}\n"
    if page:
        yield f"- Record: {page}"
    yield f"- Package: {execution['package_link']}"
    yield f"- sha256: `{execution['sha256']}`, {execution['size_bytes']:,} bytes"
    yield f"- Licence of the weights: {licence(record)}"
    yield "\nThe three questions:\n"
    yield from evidence_lines(description)
    if checks:
        yield "\nTested by `medmint contribute`:\n"
        yield from (f"- {check}" for check in checks)
    yield "\nThe record for `global.json`, as it is:"


def _page(model_id: str, record: Mapping[str, Any], text: str) -> str:
    """Return the description of the record's page in the HTML that Zenodo takes."""
    description = record["description"]
    data = description.get("training_data") or {}
    paragraphs = {
        "": text or f"{description.get('title') or model_id}.",
        "Intended use": description.get("intended_use"),
        "Limits": description.get("limits"),
        "Training data": ", ".join(str(data[k]) for k in ("name", "license") if data.get(k)),
        "Attribution": data.get("attribution"),
    }
    lines = [
        f"<p>{f'<strong>{name}:</strong> ' if name else ''}{html.escape(str(value))}</p>"
        for name, value in paragraphs.items()
        if value
    ]
    evidence = description.get("evidence") or {}
    questions = [
        f"<li>{question} {', '.join(map(_link, evidence[kind]))}</li>"
        for kind, question in EVIDENCE.items()
        if evidence.get(kind)
    ]
    lines += [f"<ul>{''.join(questions)}</ul>"] if questions else []
    use = f"from medmint import Generators; Generators().generate({model_id!r})"
    lines.append(f"<p>A model package for medmint: <code>{html.escape(use)}</code></p>")
    return "\n".join(lines)


def _link(address: str) -> str:
    escaped = html.escape(address, quote=True)
    return f'<a href="{escaped}">{escaped}</a>' if "://" in address else escaped


def _keywords(selection: Mapping[str, Any]) -> list[str]:
    parts: Iterable[Any] = [
        "synthetic data",
        "medical imaging",
        selection.get("type"),
        *(selection.get("modality") or ()),
        *(selection.get("organ") or ()),
        *(selection.get("generates") or ()),
    ]
    return list(dict.fromkeys(str(part) for part in parts if part))


def _related(description: Mapping[str, Any]) -> Iterator[RelatedIdentifier]:
    for doi in description.get("doi") or ():
        yield RelatedIdentifier(str(doi), "isSupplementTo")
    evidence = description.get("evidence") or {}
    for link in evidence.get("documented") or ():
        if "://" in link:
            yield RelatedIdentifier(link, "isDocumentedBy")
