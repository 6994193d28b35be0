"""Checkpoints that torch can read and that are none of a training are refused by name."""

from copy import deepcopy

import pytest
import torch

from medmint.errors import TrainingError
from medmint.model_trainer import Schedule, train
from medmint.model_trainer.checkpoints import load_checkpoint
from tests.packages.trainings import SETTINGS, Tiny

NESTED = {}
NESTED["settings"] = NESTED


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    """What a good checkpoint holds."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    plan = Schedule(steps=4, validate_every=2, checkpoint_every=2)
    train(Tiny(), folder, plan, settings=SETTINGS)
    return torch.load(folder / "checkpoint.pt", weights_only=True)


def load(path, state):
    torch.save(state, path)
    return load_checkpoint(path, SETTINGS, Tiny().parts)


def test_a_good_one_is_read(tmp_path, state):
    facts = load(tmp_path / "checkpoint.pt", state)
    assert facts["step"] == 4
    assert [row["step"] for row in facts["rows"]] == [2, 4]


@pytest.mark.parametrize("best", [float("inf"), 3])
def test_one_without_a_measurement_is_read(tmp_path, state, best):
    facts = load(tmp_path / "checkpoint.pt", state | {"best": best, "rows": []})
    assert facts["best"] == best


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("settings", None),
        ("settings", [1, 2]),
        ("settings", "text"),
        ("settings", {1: 2}),
        ("settings", {"seed": {(1, 2): 3}}),
        ("settings", NESTED),
        ("step", None),
        ("step", "4"),
        ("step", 4.0),
        ("step", True),
        ("step", -1),
        ("step", torch.tensor(4)),
        ("best", None),
        ("best", "0.5"),
        ("best", float("nan")),
        ("best", torch.tensor([1.0, 2.0])),
        ("rows", None),
        ("rows", {"step": 4}),
        ("rows", "text"),
        ("rows", [1]),
        ("rows", [{}]),
        ("rows", [{"step": 2, "loss": "small"}]),
        ("rows", [{"step": 2, 3: 4.0}]),
        ("rows", [{"step": None}]),
        ("parts", None),
        ("parts", 5),
        ("parts", ["network", "average", "optimiser"]),
        ("parts", {1: {}}),
    ],
)
def test_facts_of_another_kind_are_refused(tmp_path, state, name, value):
    refused(tmp_path / "checkpoint.pt", state | {name: value})


@pytest.mark.parametrize("part", ["network", "average", "optimiser"])
@pytest.mark.parametrize("value", [None, 5, "text", [1], {1: 2}], ids=str)
def test_parts_that_are_no_states_are_refused(tmp_path, state, part, value):
    refused(tmp_path / "checkpoint.pt", state | {"parts": state["parts"] | {part: value}})


@pytest.mark.parametrize(
    "optimiser",
    [
        {},
        {"state": {}, "param_groups": 5},
        {"state": 5, "param_groups": []},
        {"state": {}, "param_groups": [{"params": 5}]},
        {"state": {}, "param_groups": [5]},
    ],
    ids=str,
)
def test_an_optimiser_of_another_kind_is_named(tmp_path, state, optimiser):
    parts = deepcopy(state["parts"]) | {"optimiser": optimiser}
    with pytest.raises(TrainingError, match="optimiser is of another architecture"):
        load(tmp_path / "checkpoint.pt", state | {"parts": parts})


def refused(path, state):
    with pytest.raises(TrainingError, match=r"no whole checkpoint.*another --out") as caught:
        load(path, state)
    assert caught.value.path == path
