"""What was measured of a model is read back as it was written, or refused by name."""

import json
from copy import deepcopy

import pytest

from medmint.errors import TrainingError
from medmint.model_trainer.judging import Goal, Measured, Numbers, Section, Table
from medmint.resources import template_folder

FOUND = Numbers(
    subject={"model_id": "10003_X", "split": "val"},
    sections={
        "fidelity": Section(
            title="Fidelity",
            about="How it was measured.",
            tables=(
                Table(
                    columns=("", "distance", "images"),
                    rows=(("model", Measured(1.5, 1.0, 2.0), 100), ("real", None, 0.5)),
                    caption="A caption.",
                ),
            ),
            goals=(Goal(text="below 2", measured=Measured(1.5), is_met=True),),
            notes=("A note.",),
            seconds=3.5,
        )
    },
)


def changed(value, *path):
    """Return the text of a good file in which one value is another."""
    data = deepcopy(GOOD)
    inner = data
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return json.dumps(data)


@pytest.fixture(scope="module", autouse=True)
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("numbers")
    FOUND.save(folder)
    GOOD.update(json.loads((folder / "numbers.json").read_text()))
    return folder


GOOD = {}
SECTION = ("sections", "fidelity")
TABLE, GOAL = (*SECTION, "tables", 0), (*SECTION, "goals", 0)


def test_numbers_come_back_as_they_were(good):
    assert Numbers.load(good) == FOUND


@pytest.mark.parametrize(
    "name",
    ["cgan_chest_xray", "fastgan_polyp", "latent_ddpm_chest_xray", "volume_hippocampus"],
)
def test_those_of_the_packages_can_be_read(name):
    assert Numbers.load(template_folder(name)).sections


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ([], ("subject",)),
        ("text", ("subject",)),
        ([1], ("sections",)),
        (None, ("sections",)),
        ([1], SECTION),
        (None, SECTION),
        (1, (*SECTION, "title")),
        (["x"], (*SECTION, "about")),
        ("text", (*SECTION, "notes")),
        ([1], (*SECTION, "notes")),
        (None, (*SECTION, "notes")),
        ("3.5", (*SECTION, "seconds")),
        ({"a": 1}, (*SECTION, "tables")),
        (1, (*SECTION, "goals")),
        ("text", TABLE),
        ("text", (*TABLE, "columns")),
        ([1], (*TABLE, "columns")),
        (None, (*TABLE, "caption")),
        ("text", (*TABLE, "rows")),
        (["text"], (*TABLE, "rows")),
        ([["model", [1], 1]], (*TABLE, "rows")),
        ([["model", {"value": "much"}, 1]], (*TABLE, "rows")),
        ([["model", {"low": 1.0}, 1]], (*TABLE, "rows")),
        ([["model", {"value": 1.0, "more": 1}, 1]], (*TABLE, "rows")),
        ([["model", {"value": 1.0, "low": "x", "high": 2.0}, 1]], (*TABLE, "rows")),
        ([["model", float("nan"), 1]], (*TABLE, "rows")),
        ([["model", 10**400, 1]], (*TABLE, "rows")),
        (5, (*GOAL, "text")),
        (1.5, (*GOAL, "measured")),
        (None, (*GOAL, "measured")),
        ({"value": None}, (*GOAL, "measured")),
        ({"value": float("nan")}, (*GOAL, "measured")),
        ({"value": 1.0, "low": float("-inf"), "high": 1.0}, (*GOAL, "measured")),
        ("no", (*GOAL, "is_met")),
    ],
)
def test_values_of_another_kind_are_refused(tmp_path, value, path):
    refused(tmp_path, changed(value, *path).encode())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'{"subject":{},"sections":[1]}',
        b'{"subject":{"split":NaN},"sections":{}}',
        b'{"subject":{}}',
        b'{"subject":{},"sections":{},"\xff":1}',
        b"[" * 100_000,
        b'{"subject":' + b"[" * 100_000,
    ],
    ids=lambda content: content[:20].decode(errors="replace"),
)
def test_another_file_is_refused(tmp_path, content):
    refused(tmp_path, content)


def test_a_number_beyond_all_numbers_is_refused(tmp_path):
    text = changed({"value": 12345.0}, *GOAL, "measured").replace("12345.0", "1e999")
    refused(tmp_path, text.encode())


def refused(folder, content):
    path = folder / "numbers.json"
    path.write_bytes(content)
    with pytest.raises(TrainingError, match=r"cannot be read.*Remove it and measure again") as told:
        Numbers.load(folder)
    assert told.value.path == path
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 400 + len(str(path))
