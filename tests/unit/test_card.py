"""The card says what was measured, what was not, and what nobody stated."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from medmint.catalogue.records import ModelRecord
from medmint.errors import TrainingError
from medmint.model_trainer.data_facts import read_data_facts
from medmint.model_trainer.judging import (
    Goal,
    Measured,
    Numbers,
    OwnTraining,
    Section,
    Table,
    Texts,
    read_texts,
    write_card,
)
from medmint.packages.package import package_record
from tests.packages.judged import MODEL_ID, package

DESCRIPTION = {
    "title": "Discs on texture",
    "intended_use": "Tests of cards.",
    "limits": "Discs only.",
    "weights_license": "CC-BY-4.0",
    "training_data": {
        "name": "The discs",
        "license": "CC0-1.0",
        "attribution": "A. Body, 2026",
        "patients": 12,
        "split": "by disc",
    },
}
HEADINGS = [
    "Intended use",
    "Limits",
    "Training data",
    "Split",
    "Architecture",
    "Command, time and machine",
    "Numbers",
    "Privacy",
    "Licence",
]


@pytest.fixture(scope="module")
def record(tmp_path_factory) -> ModelRecord:
    folder = tmp_path_factory.mktemp("card") / "model"
    images = np.zeros((2, 8, 8), dtype=np.uint8)
    return package_record(package(folder, images, description=DESCRIPTION))


def section(title, value, *, bound=0.5):
    return Section(
        title=title,
        about="16 images of each, seeds 0 to 9.",
        tables=(
            Table(
                columns=("", "share"),
                rows=(("this model", Measured(value, value - 0.1, value + 0.1)),),
                caption="Of all.",
            ),
        ),
        goals=(Goal(text=f"at least {bound}", measured=Measured(value), is_met=value >= bound),),
        notes=("a note",),
        seconds=2.5,
    )


def numbers(split="test", **sections):
    subject = {
        "model_id": MODEL_ID,
        "weights_sha256": "ab" * 32,
        "split": split,
        "options": {"steps": 50},
        "images": {"train": 40, "val": 16, split: 16},
    }
    return Numbers(subject=subject, sections=sections)


def card(folder, record, found, **more):
    return write_card(folder, record, found, **({"texts": Texts()} | more)).read_text()


def part(text, heading):
    return re.search(rf"## {heading}\n(.*?)(\n## |\Z)", text, re.DOTALL)[1]


def test_it_has_all_parts_in_order(tmp_path, record):
    text = card(tmp_path, record, numbers(one=section("One", 0.7)))
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == HEADINGS
    said = part(text, "Intended use")
    for phrase in ("Research use", "not a medical device", "not automatically anonymous"):
        assert phrase in said
    for value in ("The discs", "CC0-1.0", "A. Body, 2026", "12"):
        assert value in part(text, "Training data")
    assert "CC-BY-4.0" in part(text, "Licence")
    assert "by disc" in part(text, "Split")


def test_a_goal_is_met_or_not(tmp_path, record):
    found = numbers(one=section("One", 0.7), two=section("Two", 0.3))
    rows = part(card(tmp_path, record, found), "Numbers")
    assert "| at least 0.5 | 0.700 | met |" in rows
    assert "| at least 0.5 | 0.300 | **not met** |" in rows


def test_every_number_comes_from_the_file(tmp_path, record):
    numbers(one=section("One", 0.7)).save(tmp_path)
    first = card(tmp_path, record, Numbers.load(tmp_path))
    assert "0.700 (0.600 to 0.800)" in first
    path = tmp_path / "numbers.json"
    path.write_text(path.read_text().replace("0.7,", "0.71,"))
    changed = card(tmp_path, record, Numbers.load(tmp_path))
    assert "0.710 (0.600 to 0.800)" in changed
    assert "0.700" not in changed


def test_numbers_survive_their_file(tmp_path):
    found = numbers(one=section("One", 0.7))
    found.save(tmp_path)
    assert Numbers.load(tmp_path) == found
    assert json.loads((tmp_path / "numbers.json").read_text())["subject"]["options"] == {
        "steps": 50
    }


def test_options_that_the_model_chooses_itself_are_left_out(tmp_path, record):
    found = numbers()
    found.subject["options"]["gain"] = None
    assert "test split, steps 50." in part(card(tmp_path, record, found), "Numbers")


def test_copying_stands_under_privacy(tmp_path, record):
    text = card(tmp_path, record, numbers(copying=section("Copying", 0.7)))
    assert "this model | 0.700" in part(text, "Privacy")
    assert "no number here is a guarantee" in part(text, "Privacy")
    assert "this model" not in part(text, "Numbers")


def test_what_was_not_measured_is_said(tmp_path, record):
    text = card(tmp_path, record, numbers())
    assert "Nothing was measured" in part(text, "Numbers")
    assert "Not measured" in part(text, "Privacy")
    assert "Not said." in part(text, "Architecture")


def test_numbers_of_val_are_said_to_flatter(tmp_path, record):
    warning = "The test split was not touched"
    assert warning in card(tmp_path, record, numbers("val", one=section("One", 0.7)))
    assert warning not in card(tmp_path, record, numbers("test", one=section("One", 0.7)))


def test_of_own_images_it_says_what_the_folder_says_and_no_more(tmp_path, record):
    (tmp_path / "data.toml").write_text('name = "My scans"\n')
    own = OwnTraining(
        data=read_data_facts(tmp_path), command="python train.py", started_from="w.safetensors"
    )
    text = card(tmp_path, record, numbers("val"), own=own)
    data = part(text, "Training data")
    assert "**Data set:** My scans" in data
    assert "**Licence:** not said" in data
    assert "w.safetensors" in part(text, "Command, time and machine")
    # Nothing of what the record says of other weights and other images.
    for stranger in ("The discs", "A. Body", "Tests of cards", "Discs only", "CC-BY-4.0"):
        assert stranger not in text


def test_texts_of_the_package_are_in_their_places(tmp_path, record):
    (tmp_path / "card.toml").write_text(
        'architecture = "A bank of images."\n'
        'commands = "python train.py"\n'
        'training = "A minute."\n'
        'limits = ["Only two classes."]\n'
        'references = ["Somebody, 1999."]\n'
    )
    text = card(tmp_path, record, numbers(), texts=read_texts(tmp_path))
    assert "A bank of images." in part(text, "Architecture")
    assert "```\npython train.py\n```" in part(text, "Command, time and machine")
    assert "- Discs only.\n- Only two classes." in part(text, "Limits")
    assert "- Somebody, 1999." in part(text, "References")


@pytest.mark.parametrize("content", ['colour = "red"', "architecture = ", "limits = 3"])
def test_texts_without_a_place_are_refused(tmp_path, content):
    (tmp_path / "card.toml").write_text(content)
    with pytest.raises(TrainingError, match=r"card\.toml"):
        read_texts(tmp_path)


def test_a_sheet_is_shown_where_there_is_one(tmp_path, record):
    assert "samples.png" not in card(tmp_path, record, numbers())
    (tmp_path / "samples.png").write_bytes(b"")
    assert "](samples.png)" in card(tmp_path, record, numbers())
