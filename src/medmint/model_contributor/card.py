"""What goes with a package for people to look at: a card, and a sheet of samples."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import Any

from medmint.catalogue.records import ModelRecord
from medmint.model_contributor.acceptance import ModelReport
from medmint.model_contributor.licences import licence
from medmint.sheets import contact_sheet

CARD_NAME, SHEET_NAME = "MODEL_CARD.md", "samples.png"
#: The three questions that the medigan paper (section 5.2) puts to a model, by kind of evidence.
EVIDENCE = {
    "documented": "Is it documented?",
    "clinically_relevant": "Is it clinically relevant?",
    "validated": "Is it validated?",
}
_NOT_SAID = "not said"


def sample_sheet(record: ModelRecord, report: ModelReport) -> bytes:
    """Return a PNG file of the samples of a test, masks outlined.

    It holds nothing but pixels: no text, no time.
    """
    from PIL import Image

    spec = record.execution.output.get("image")
    masks = report.samples.get("mask")
    sheet = contact_sheet(
        list(report.samples["image"]),
        None if masks is None else list(masks),
        window=spec.window if spec else None,
    )
    file = io.BytesIO()
    Image.fromarray(sheet).save(file, "PNG")
    return file.getvalue()


def model_card(record: ModelRecord, report: ModelReport) -> str:
    """Return a card in Markdown, made of the record and of the samples of the test.

    It says nothing of the machine, so that the package is the same wherever it is packed.
    """
    return "\n".join(_card(record.model_id, record.to_dict(), report)) + "\n"


def evidence_lines(description: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each of the three questions, with the links that answer it."""
    evidence = description.get("evidence") or {}
    for kind, question in EVIDENCE.items():
        links = ", ".join(evidence.get(kind) or ())
        yield f"- {question} {links or 'No link was given.'}"


def _card(model_id: str, record: Mapping[str, Any], report: ModelReport) -> Iterator[str]:
    execution, description = record["execution"], record["description"]
    yield f"# {model_id}\n"
    yield f"{description.get('title') or model_id}. {description.get('comment') or ''}".rstrip()
    yield ""
    data = description.get("training_data") or {}
    facts = {
        "Intended use": description.get("intended_use"),
        "Limits": description.get("limits"),
        "Training data": data.get("name"),
        "Licence of the data": data.get("license"),
        "Split": data.get("split"),
        "Licence of the weights": licence(record),
        "Needs": ", ".join(execution["dependencies"]) or "nothing",
        "Contract": execution.get("contract", "generate"),
    }
    yield from (f"- **{name}:** {value or _NOT_SAID}" for name, value in facts.items())
    yield "\nResearch use; not a medical device; synthetic is not automatically anonymous."
    yield "\n## Output\n"
    for name, spec in report.outputs().items():
        array = report.samples[name]
        sides = " x ".join(map(str, array.shape[1:]))
        yield f"- `{name}`: {sides}, {spec['dtype']}, values {array.min():g} to {array.max():g}"
    yield f"\n![samples]({SHEET_NAME})"
    yield "\n## Evidence\n"
    yield from evidence_lines(description)
