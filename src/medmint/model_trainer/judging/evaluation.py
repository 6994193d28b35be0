"""The one entry of every ``evaluate.py``: measure section by section, then write the card."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import shlex
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from medmint.errors import ArgumentError, TrainingError
from medmint.home import make_folder
from medmint.model_trainer.data_facts import read_data_facts
from medmint.model_trainer.judging.card import (
    SHEET,
    OwnTraining,
    read_texts,
    write_card,
)
from medmint.model_trainer.judging.conditions import condition_fit, condition_usefulness
from medmint.model_trainer.judging.copying import copying
from medmint.model_trainer.judging.evidence import Effort, Evidence, SectionMaker, Subject
from medmint.model_trainer.judging.fidelity import fidelity
from medmint.model_trainer.judging.mask_fit import mask_fit, mask_usefulness
from medmint.model_trainer.judging.model import Model
from medmint.model_trainer.judging.numbers import NUMBERS, Numbers
from medmint.model_trainer.judging.own_record import record_of_training
from medmint.model_trainer.judging.rivals import paired, speed
from medmint.model_trainer.options import prepare_device

logger = logging.getLogger(__name__)

#: Samples in the picture of a card.
SHEET_SAMPLES = 64
KEPT = ".drawn"


def sections_of(subject: Subject) -> dict[str, SectionMaker]:
    """Return what is measured of a subject, in the order of its card."""
    sections: dict[str, SectionMaker] = {"fidelity": fidelity, "copying": copying, "speed": speed}
    if subject.conditions:
        sections |= {"conditions": condition_fit, "label_usefulness": condition_usefulness}
    # Who brings a reader of volumes brings sections for their label maps too.
    if subject.with_masks and subject.read is None:
        sections |= {"masks": mask_fit, "mask_usefulness": mask_usefulness}
    return sections | dict(subject.sections)


def judging_parser(subject: Subject, description: str) -> argparse.ArgumentParser:
    """Return a parser with the options of every ``evaluate.py``; see `Effort` for its numbers."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder that prepare_data.py made")
    parser.add_argument("--weights", type=Path, help="default: those of the package")
    parser.add_argument("--split", default="val", choices=("val", "test"), help="test: once")
    parser.add_argument(
        "--out", type=Path, default=Path("judged"), help="for numbers, card, sheet and samples"
    )
    names = ", ".join(sections_of(subject))
    parser.add_argument("--only", help=f"some of {names}, with commas; none: the card alone")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--against", type=Path, help="package of another model on the same data")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:0")
    parser.add_argument("--threads", type=int, help="threads on the CPU, by default all")
    for field in dataclasses.fields(Effort):
        parser.add_argument(
            f"--{field.name}", type=int, default=getattr(subject.effort, field.name)
        )
    # Whatever draws random numbers of its own draws the same ones again.
    parser.set_defaults(seed=0)
    return parser


def evaluate_package(subject: Subject, options: argparse.Namespace) -> Numbers:
    """Measure a package as the command line says.

    Parameters
    ----------
    subject : Subject
    options : Namespace
        Of `judging_parser`.

    Returns
    -------
    Numbers
        Also in the folder ``--out``, beside ``samples.png`` and ``MODEL_CARD.md``.

    Raises
    ------
    ArgumentError
        If a section is not known, or a number cannot be used.
    DeviceError
        If the device is not there.
    TrainingError
        If the folder holds numbers of something else, or the data cannot be read.
    """
    effort = Effort(**{f.name: getattr(options, f.name) for f in dataclasses.fields(Effort)})
    prepare_device(options)
    model = Model(
        subject.folder,
        options.weights,
        conditions=subject.conditions,
        options=_model_options(options.option),
        device=options.device,
        kept=options.out / KEPT,
    )
    if subject.read is None:
        # That of weights that a user has trained may be another one.
        subject = dataclasses.replace(subject, size=model.one()["image"].shape[1])
    if list(model.conditions.items()) != list(subject.conditions.items()):
        # Of weights that a user has trained.
        predicted = subject.predicted if subject.predicted in model.conditions else None
        predicted = predicted or next(iter(model.conditions), None)
        subject = dataclasses.replace(subject, conditions=model.conditions, predicted=predicted)
    if options.against is not None:
        rival = Model(
            options.against,
            conditions=subject.conditions,
            device=options.device,
            kept=options.out / KEPT,
        )
        against: SectionMaker = partial(paired, other=rival)
        sections = {**subject.sections, "against": against}
        subject = dataclasses.replace(subject, sections=sections)
    evidence = Evidence(subject, model, options.data, options.split, effort=effort)
    asked = None if options.only is None else [n for n in options.only.split(",") if n != "none"]
    return judge(evidence, options.out, asked)


def judge(
    evidence: Evidence,
    out: Path,
    only: Sequence[str] | None = None,
    *,
    own: OwnTraining | None = None,
    is_anew: bool = False,
) -> Numbers:
    """Measure some sections or all, and write numbers, sheet and card.

    Numbers are saved after each section; those that are there already are replaced one by one.

    Parameters
    ----------
    evidence : Evidence
    out : Path
    only : sequence of str, optional
        Names of sections; none for the card alone.
    own : OwnTraining, optional
        For weights that the record of the package does not speak of.
    is_anew : bool
        Forget what was measured of other weights.
    """
    known = sections_of(evidence.subject)
    names = list(known) if only is None else list(only)
    if unknown := set(names) - set(known):
        raise ArgumentError("--only", ", ".join(sorted(unknown)), f"some of {', '.join(known)}")
    numbers = _begun(evidence, make_folder(out), is_anew=is_anew)
    # A folder that cannot be written is better known now than in an hour.
    numbers.save(out)
    for name in names:
        logger.info("measuring %s", name)
        start = time.monotonic()
        section = known[name](evidence)
        seconds = round(time.monotonic() - start, 1)
        # Another process may have measured another section meanwhile.
        numbers = _begun(evidence, out)
        numbers.sections[name] = dataclasses.replace(section, seconds=seconds)
        # In the order of the card; what was compared with another package stays at the end.
        order = [*(key for key in known if key in numbers.sections), *numbers.sections]
        numbers.sections = {key: numbers.sections[key] for key in order}
        numbers.save(out)
        logger.info("measured %s in %.0f s", name, seconds)
    _save_sheet(evidence, out / SHEET)
    if own is None and not evidence.model.is_original:
        own = OwnTraining(data=read_data_facts(evidence.data))
    texts = read_texts(evidence.subject.folder)
    card = write_card(out, evidence.model.record, numbers, texts=texts, own=own)
    logger.info("wrote %s", card)
    return numbers


def card_of_training(
    subject: Subject, options: argparse.Namespace, *, effort: Effort | None = None
) -> Numbers:
    """Measure what a training has made on val, with little effort, and write its card.

    Parameters
    ----------
    subject : Subject
        Of the package that ``train.py`` belongs to, in the size that was trained.
    options : Namespace
        Of `training_parser`; the weights are those in ``--out``.
    effort : Effort, optional
        Default: three draws, and 200 samples that are looked at for copies.
    """
    model = Model(
        subject.folder,
        options.out / "weights.safetensors",
        conditions=subject.conditions,
        device=options.device,
        kept=options.out / KEPT,
    )
    effort = effort or Effort(draws=3, copies=200)
    evidence = Evidence(subject, model, options.data, "val", effort=effort)
    own = OwnTraining(
        command=shlex.join(["python", *map(_without_folders, sys.argv)]),
        started_from=None if options.init is None else options.init.name,
        data=read_data_facts(options.data),
    )
    return judge(evidence, options.out, ("fidelity", "copying"), own=own, is_anew=True)


def _without_folders(word: str) -> str:
    """Return of a path the name: where a folder lies on this machine is not for a card."""
    option, equals, value = word.partition("=")
    return f"{option}={Path(value).name}" if equals else Path(word).name


def describe_training(subject: Subject, options: argparse.Namespace) -> None:
    """Write what a training has made: its record, and a card but with ``--no-card``.

    Parameters
    ----------
    subject : Subject
        Of the package that ``train.py`` belongs to, in the size and with the conditions that were
        trained.
    options : Namespace
        Of `training_parser`; the weights are those in ``--out``.
    """
    record_of_training(subject, options)
    if options.card:
        card_of_training(subject, options)


def _begun(evidence: Evidence, out: Path, *, is_anew: bool = False) -> Numbers:
    """Return the numbers that are there already, or none."""
    model, splits = evidence.model, dict.fromkeys(("train", "val", evidence.split))
    subject = {
        "model_id": model.record.model_id,
        "weights_sha256": model.weights_sha256,
        "split": evidence.split,
        "options": dict(model.options),
        "images": {split: len(evidence.real(split)) for split in splits},
    }
    found = Numbers.load(out)
    if found is None or is_anew:
        return Numbers(subject=subject)
    if differing := [key for key in subject if found.subject.get(key) != subject[key]]:
        raise TrainingError(
            out / NUMBERS,
            f"it holds numbers of another {', '.join(differing)}",
            "Name another --out, or remove the file.",
        )
    return found


def _save_sheet(evidence: Evidence, path: Path) -> None:
    from medmint.sheets import contact_sheet, write_picture

    samples = evidence.pool(SHEET_SAMPLES)
    if evidence.subject.sheet is not None:
        picture = evidence.subject.sheet(samples)
    else:
        masks = None if samples.masks is None else list(samples.masks)
        picture = contact_sheet(list(samples.images), masks, columns=8)
    write_picture(path, picture)


def _model_options(given: Iterable[str]) -> Mapping[str, Any]:
    """Read NAME=VALUE, the value as JSON where it is, else as text."""
    import json

    found: dict[str, Any] = {}
    for item in given:
        name, separator, value = item.partition("=")
        if not separator:
            raise ArgumentError("--option", item, "NAME=VALUE")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found
