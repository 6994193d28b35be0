import pytest

from medmint.errors import SelectionError
from medmint.model_selector.ranking import (
    ALIASES,
    DIRECTIONS,
    better,
    canonical,
    metric_names,
    resolve_metric,
)


@pytest.mark.parametrize(
    "metric", ["FID", "kid", "MSE", "Dice_loss", "SEG.trained_on_fake.dice_loss"]
)
def test_lower_is_better(metric):
    assert better(metric, None) == "asc"


@pytest.mark.parametrize(
    "metric",
    ["SSIM", "psnr", "IS", "rFID", "FID_ratio", "Dice", "AUROC", "auc", "CLF.x.f1", "SEG_delta"],
)
def test_higher_is_better(metric):
    assert better(metric, None) == "desc"


@pytest.mark.parametrize(
    "metric", ["FID_rr", "novelty", "turing_test.AUROC", "turing_test.accuracy"]
)
def test_an_unknown_direction_has_to_be_said(metric):
    with pytest.raises(SelectionError, match="order="):
        better(metric, None)
    assert better(metric, "ASC") == "asc"


def test_aliases_lead_to_known_metrics():
    assert set(ALIASES.values()) <= set(DIRECTIONS)
    assert all(alias == alias.lower() for alias in ALIASES)
    assert not {alias.upper() for alias in ALIASES} & set(DIRECTIONS)


def test_froc_auc_keeps_its_name():
    assert canonical("froc_auc") == "FROC_AUC"


def test_a_name_without_a_path_is_found_if_it_is_the_only_one():
    names = ["SEG.trained_on_fake.Dice", "CLF.a.AUROC", "CLF.b.AUROC"]
    assert resolve_metric("dice", names) == "SEG.trained_on_fake.Dice"
    with pytest.raises(SelectionError, match=r"CLF\.a\.AUROC, CLF\.b\.AUROC"):
        resolve_metric("auc", names)


def test_names_of_metrics_are_those_with_numbers():
    performance = {"FID": 3, "FID_rr": 1, "SSIM": None, "t": {"x": {}}, "l": [1], "note": "polyp"}
    record = {"selection": {"performance": performance}}
    assert set(metric_names([record])) == {"FID", "FID_rr", "rFID", "l"}
    assert metric_names([{"selection": {}}, {"selection": {"performance": 7}}]) == []
