"""What a record should say and does not, as questions; who asks them is not decided here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from medmint.errors import ArgumentError
from medmint.model_contributor.card import EVIDENCE
from medmint.model_contributor.metadata import get_field, set_field


@dataclass(frozen=True, slots=True)
class Question:
    """Something that a record leaves open.

    Attributes
    ----------
    path : str
        Dotted path of its place in the record.
    text : str
        The question.
    kind : {"text", "list", "number"}
        What the answer is.
    """

    path: str
    text: str
    kind: Literal["text", "list", "number"] = "text"


QUESTIONS = (
    Question("description.comment", "What does the model generate, in a sentence or two?"),
    Question("selection.type", "Which kind of model is it, such as FastGAN?"),
    Question("selection.modality", "Which modalities, such as MRI?", "list"),
    Question("selection.organ", "Which organs?", "list"),
    Question("selection.generates", "What is on the images, such as polyps and masks?", "list"),
    Question("description.training_data.name", "Which data was it trained on?"),
    Question("description.training_data.license", "Under which licence are these data?"),
    Question("description.training_data.patients", "Of how many patients are they?", "number"),
    Question("description.intended_use", "What is it meant for?"),
    Question("description.limits", "What are its limits?"),
    *(
        Question(f"description.evidence.{kind}", f"{question} Links that show it:", "list")
        for kind, question in EVIDENCE.items()
    ),
)


def open_questions(record: Mapping[str, Any]) -> list[Question]:
    """Return the questions that a record does not answer.

    Examples
    --------
    >>> len(open_questions({})) == len(QUESTIONS)
    True
    """
    return [one for one in QUESTIONS if get_field(record, one.path) in (None, "", [], {})]


def answer(record: dict[str, Any], question: Question, text: str) -> None:
    """Put an answer into a record.

    Raises
    ------
    ArgumentError
        If a number is expected and this is none.

    Examples
    --------
    >>> record = {}
    >>> answer(record, Question("selection.organ", "Which organs?", "list"), "colon, bowel")
    >>> record["selection"]["organ"]
    ['colon', 'bowel']
    """
    value: Any = text.strip()
    if question.kind == "list":
        value = [part.strip() for part in value.split(",") if part.strip()]
    elif question.kind == "number":
        try:
            value = int(json.loads(value))
        except (ValueError, TypeError) as error:
            raise ArgumentError(question.path, text, "a whole number") from error
    set_field(record, question.path, value)
