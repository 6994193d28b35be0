import copy
import json
import pickle

import pytest

from medmint.config_manager import ConfigManager
from medmint.errors import ArgumentError, InvalidRecordError, SelectionError, UnknownModelError
from medmint.model_selector.selector import ModelSelector

POLYPS = "00010_FASTGAN_POLYP_PATCHES_W_MASKS"
TURING = "00002_DCGAN_MMG_MASS_ROI"


@pytest.fixture
def manager(settings):
    return ConfigManager(settings=settings)


@pytest.fixture
def selector(manager):
    return ModelSelector(manager)


def numbers(matches):
    return {int(match.model_id[:5]) for match in matches}


def private(settings, **metrics):
    """Make a selector over models that differ in their metrics alone."""
    record = ConfigManager(settings=settings).get_config_by_id(1)
    catalogue = {}
    for index, (name, performance) in enumerate(metrics.items()):
        catalogue[f"{index:05}_{name}"] = copy.deepcopy(record)
        catalogue[f"{index:05}_{name}"]["selection"]["performance"] = performance
    return ModelSelector(ConfigManager(catalogue, settings=settings))


# Search by values

MAMMOGRAPHY = {1, 2, 3, 4, 5, 6, 8, 12, 13, 14, 15, 16}


@pytest.mark.parametrize(
    "value",
    ["mammography", "MAMMOGRAPHY", "mammo", "mammogram", "mammograms", "MMG", "mamography"],
)
def test_all_ways_to_say_mammography(selector, value):
    assert numbers(selector.find_models(value)) == MAMMOGRAPHY


@pytest.mark.parametrize("value", ["x-ray", "xray", "X-Rays", "x ray", "radiograph", "radiographs"])
def test_all_ways_to_say_x_ray(selector, value):
    assert numbers(selector.find_models(value)) >= {17, 18, 19, 20}
    assert numbers(selector.find_models([value, "chest", "lung"])) == {17, 18, 19, 20, 10003, 10004}


@pytest.mark.parametrize("value", ["MRI", "magnetic resonance", "Magnetic Resonance Imaging"])
def test_all_ways_to_say_mri(selector, value):
    assert numbers(selector.find_models(value)) == {7, 21, 22, 23, 10005}


@pytest.mark.parametrize("value", ["polyp", "polyps", "Polyp", "poly"])
def test_singular_plural_and_beginnings(selector, value):
    assert numbers(selector.find_models(value)) == {9, 10, 11, 10002}


@pytest.mark.parametrize("value", [POLYPS, "00010", "fastgan polyp patches", "PATCHES W MASKS"])
def test_ids_are_searched(selector, value):
    assert 10 in numbers(selector.find_models(value))


def test_titles_are_searched(selector, manager):
    title = manager.record(20).title
    assert selector.find_models(title).model_ids == [manager.resolve(20)]


def test_a_plain_string_is_one_value(selector):
    assert numbers(selector.find_models("dcgan")) == numbers(selector.find_models(["dcgan"]))


def test_nested_lists_and_numbers_work(selector):
    plain = selector.find_models(["mammography", "128", "dcgan"]).model_ids
    assert selector.find_models([["mammography", [128]], ("dcgan",)]).model_ids == plain
    assert numbers(selector.find_models([128])) >= {1, 2, 5, 6}
    assert numbers(selector.find_models([128], is_case_sensitive=True)) >= {1, 2, 5, 6}


def test_operators(selector):
    both = numbers(selector.find_models(["dcgan", "mammography"]))
    either = numbers(selector.find_models(["dcgan", "mammography"], "or"))
    one = numbers(selector.find_models(["dcgan", "mammography"], "XOR"))
    assert both == {1, 2, 5, 8, 12}
    assert either == both | MAMMOGRAPHY | {17}
    # "dcgan" stands whole in some records, so "Conditional DCGAN" is another value for XOR.
    assert one == {3, 4, 6, 8, 12, 13, 14, 15, 16, 17}


def test_xor_goes_by_words_where_no_record_has_the_whole_value(selector):
    assert numbers(selector.find_models(["mammo", "polyps"], "XOR")) == MAMMOGRAPHY | {
        9, 10, 11, 10002,
    }  # fmt: skip
    assert numbers(selector.find_models(["mammo", "dcgan"], "XOR")).isdisjoint({1, 2, 5})


def test_keys_are_matched_on_request(selector):
    assert numbers(selector.find_models(["turing_test", "number_radiologists"])) == set()
    with_keys = selector.find_models("number_radiologists", "AND", True)
    assert with_keys.model_ids == [TURING]
    entry = with_keys[0].matched_entries[0]
    assert (entry.kind, entry.key) == ("key", "number_radiologists")


def test_case_matters_on_request(selector):
    assert numbers(selector.find_models("DCGAN", is_case_sensitive=True)) == {1, 2, 5, 17}
    assert numbers(selector.find_models("dcgan", is_case_sensitive=True)) == set()
    assert not selector.find_models("PERFORMANCE", "AND", True, True)


def test_whole_values_come_first_and_say_so(selector):
    matches = selector.find_models("masses")
    kinds = [match.matched_entries[0].kind for match in matches]
    assert kinds == sorted(kinds, key=["whole", "words"].index)
    entry = matches[0].matched_entries[0]
    assert (entry.path, entry.matching_element, entry.target) == (
        "selection.generates",
        "masses",
        "masses",
    )
    assert entry.value == selector.get_selection_criteria_by_id(2)["generates"]


def test_a_candidate_keeps_the_shape_that_people_know(selector):
    candidate = selector.find_matching_models_by_values(["dcgan", "inbreast"])[0]
    assert candidate.check_if_is_match()
    assert candidate.target_values == ["dcgan", "inbreast"]
    assert set(candidate.get_all_matching_elements()) >= {"DCGAN", "INbreast"}
    assert candidate[0] is candidate.matched_entries[0]
    assert len(candidate) == len(candidate.matched_entries)
    assert json.loads(str(candidate))["model_id"] == candidate.model_id


def test_matches_are_a_sequence(selector):
    matches = selector.find_models("mammography")
    assert len(matches) == len(list(matches)) == 12
    assert matches[:3].model_ids == matches.model_ids[:3]
    assert "12" in repr(matches)
    assert isinstance(selector.find_matching_models_by_values("mammography"), list)


def test_nothing_found_is_an_empty_result(selector):
    assert list(selector.find_models("zebrafish")) == []


@pytest.mark.parametrize("values", [None, [], [[]], ()])
def test_nothing_to_look_for_is_an_error(selector, values):
    with pytest.raises(SelectionError, match="nothing to look for"):
        selector.find_models(values)


@pytest.mark.parametrize("values", ["", " ", [""], {"a": 1}, [object()], b"x", [["x", ""]]])
def test_what_cannot_be_looked_for_is_an_error(selector, values):
    with pytest.raises(ArgumentError, match="values"):
        selector.find_models(values)


@pytest.mark.parametrize("operator", ["NAND", "", None, 3])
def test_an_unknown_operator_names_the_three(selector, operator):
    with pytest.raises(SelectionError, match="AND, OR or XOR"):
        selector.find_models("dcgan", operator)


def test_too_many_values_and_an_unknown_match_are_errors(selector):
    with pytest.raises(SelectionError, match="at most 80"):
        selector.find_models(list(range(81)))
    assert selector.find_models(list(range(80)), "OR")
    with pytest.raises(ArgumentError, match="match"):
        selector.find_models("dcgan", match="fuzzy")


# Field filters


def test_filters(selector):
    found = selector.find_models(modality="mammography", height=256, generates_mask=True)
    assert numbers(found) == {4}
    assert numbers(selector.find_models(modality="mammo")) == MAMMOGRAPHY
    assert numbers(selector.find_models("polyp", fid__lt=100)) == {10}
    with_mask = {4, 7, 9, 10, 11, 10001, 10002, 10005}
    assert numbers(selector.find_models(generates_mask=True)) == with_mask
    assert numbers(selector.find_models(contract="sampler")) == set(range(10001, 10006))
    assert numbers(selector.find_models(license=None)) == {7, 21, 22}
    assert numbers(selector.find_models(dataset_type="public", modality="MRI")) == {
        7,
        21,
        23,
        10005,
    }
    assert numbers(selector.find_models(year__gte=2023, fid__gt=0)) == {23}
    assert numbers(selector.find_models(organ__in=["heart", "colon"])) == {9, 10, 11, 22, 10002}
    assert numbers(selector.find_models("mammography", type__ne="DCGAN")).isdisjoint({1, 2, 5})
    assert numbers(selector.find_models(rFID__gte=0.65)) == {10, 13}
    assert numbers(selector.find_models(SEG__trained_on_fake__dice__gt=0.7)) == {4, 21}


def test_a_filter_is_explained(selector):
    (match,) = selector.find_models("endoscopy", fid__lt=100)
    entry = match.matched_entries[-1]
    assert (entry.kind, entry.path, entry.value) == ("filter", "selection.performance.FID", 63.99)
    assert entry.target == "fid__lt=100"


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"modalty": "mammography"}, "Did you mean modality"),
        ({"fidd__lt": 3}, "Did you mean fid"),
        ({"modality__lt": 3}, "holds no numbers"),
        ({"height__near": 3}, "no field 'height.near'"),
        ({"performance": 3}, "no field 'performance'"),
    ],
)
def test_an_impossible_filter_says_why(selector, filters, message):
    with pytest.raises(SelectionError, match=message):
        selector.find_models(**filters)


@pytest.mark.parametrize(
    "filters",
    [
        {"height": "tall"},
        {"height": "128"},
        {"height": True},
        {"fid__lt": "100"},
        {"fid__lt": float("nan")},
        {"fid__lt": None},
        {"generates_mask": "yes"},
        {"generates_mask": 1},
        {"modality__in": "mammography"},
        {"modality": ["mammography"]},
        {"height__in": ["x"]},
    ],
    ids=str,
)
def test_filter_values_are_typed(selector, filters):
    with pytest.raises(ArgumentError, match=next(iter(filters))):
        selector.find_models(**filters)


# Ranking


def test_best_comes_first(selector):
    fid = selector.rank_models("FID")
    assert fid[0] == {"model_id": "00023_PIX2PIXHD_BREAST_DCEMRI", "FID": 28.71}
    assert fid.order == "asc"
    rfid = selector.rank_models("rFID")
    assert rfid[0]["model_id"] == POLYPS
    assert rfid.order == "desc"


def test_rfid_is_computed(selector):
    values = {entry["model_id"]: entry["rFID"] for entry in selector.rank_models("rFID")}
    assert values[selector.config_manager.resolve(8)] == 37.56 / 137.75


def test_a_printed_ratio_is_not_ranked(settings):
    selector = private(
        settings, PRINTED={"FID": 10, "FID_ratio": 0.9}, BOTH={"FID": 20, "FID_rr": 10}
    )
    ranking = selector.rank_models("FID_ratio")
    assert ranking == [{"model_id": "00001_BOTH", "FID_ratio": 0.5}]
    assert ranking.unranked == ["00000_PRINTED"]


def test_models_without_the_metric_are_listed(selector):
    ranking = selector.rank_models_by_performance([23, "22", 10001], "FID")
    assert [entry["model_id"] for entry in ranking] == ["00023_PIX2PIXHD_BREAST_DCEMRI"]
    assert ranking.unranked == ["00022_WGAN_CARDIAC_AGING", "10001_PHANTOM_CT_HEAD_SLICE"]


@pytest.mark.parametrize(
    "metric",
    [
        "CLF.trained_on_fake.AUROC",
        "clf.trained_on_fake.auc",
        "performance.CLF.trained_on_fake.roc_auc",
        "downstream_task.CLF.trained_on_fake.AUC",
    ],
)
def test_aliases_paths_and_case(selector, metric):
    assert selector.rank_models(metric) == [{"model_id": "00020_PGGAN_CHEST_XRAY", metric: 0.878}]


def test_froc_auc_is_no_auroc(selector):
    assert len(selector.rank_models("DET.trained_on_real_and_fake.FROC_AUC")) == 3
    with pytest.raises(SelectionError, match="no model has"):
        selector.rank_models("DET.trained_on_real_and_fake.AUROC")


def test_records_that_spell_metrics_otherwise_rank_alike(settings):
    selector = private(
        settings,
        A={"SEG": {"trained_on_fake": {"dice": "0.5"}}},
        B={"downstream_task": {"SEG": {"trained_on_fake": {"DSC": 0.7}}}},
        C={"SEG": {"trained_on_fake": {"Dice": 0.6}}},
    )
    ranking = selector.rank_models("SEG.trained_on_fake.Dice")
    assert [entry["model_id"][6:] for entry in ranking] == ["B", "C", "A"]


def test_the_best_of_a_list_counts(settings):
    selector = private(settings, A={"FID": [30, 10, None]}, B={"FID": 20}, C={"FID": []})
    ranking = selector.rank_models("FID")
    assert [entry["FID"] for entry in ranking] == [10, 20]
    assert [entry["FID"] for entry in selector.rank_models("FID", order="DESC")] == [30, 20]
    assert ranking.unranked == ["00002_C"]


def test_ties_stay_in_order(settings):
    selector = private(settings, A={"FID": 1}, B={"FID": 1}, C={"FID": 0})
    for order, expected in (("asc", "CAB"), ("desc", "ABC")):
        ranking = selector.rank_models("FID", order=order)
        assert "".join(entry["model_id"][6:] for entry in ranking) == expected


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("CLF", "is a table"),
        ("turing_test", "turing_test.accuracy"),
        ("Dice", "ambiguous"),
        ("FIT", "Did you mean FID"),
        ("nothing", "SSIM"),
        ("FID.x", "no model has"),
        ("FID_no_images", "order='asc'"),
        ("turing_test.AUROC", "order='asc'"),
    ],
)
def test_a_metric_that_cannot_be_ranked_says_why(selector, metric, message):
    with pytest.raises(SelectionError, match=message):
        selector.rank_models(metric)


@pytest.mark.parametrize("metric", ["", None, 3])
def test_a_metric_has_a_name(selector, metric):
    with pytest.raises(ArgumentError):
        selector.rank_models(metric)


@pytest.mark.parametrize("order", ["up", "", 1, True])
def test_an_unknown_order_is_an_error(selector, order):
    with pytest.raises(SelectionError, match="order"):
        selector.rank_models("FID", order=order)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400], ids=["nan", "inf", "huge"])
def test_a_metric_that_is_no_finite_number_is_an_error(settings, value, monkeypatch):
    # As in a catalogue that is too large to be checked in full when it is loaded.
    monkeypatch.setattr("medmint.catalogue.files.FULL_CHECK_UP_TO", 0)
    selector = private(settings, A={"FID": value})
    with pytest.raises(InvalidRecordError, match="/00000_A/selection/performance/FID"):
        selector.rank_models("FID")


def test_unknown_models_cannot_be_ranked(selector):
    with pytest.raises(UnknownModelError):
        selector.rank_models_by_performance([1, 99], "FID")


def test_search_and_rank(selector):
    ranking = selector.find_models_and_rank(["endoscopy"], metric="FID")
    assert [entry["FID"] for entry in ranking] == [63.99, 171.15, 225.85]
    assert ranking.unranked == ["10002_FASTGAN_ENDOSCOPY_POLYP_W_MASKS"]
    assert selector.find_models_and_rank("endoscopy", metric="FID", fid__lt=200) == ranking[:2]
    worst_first = selector.find_models_and_rank("endoscopy", "AND", False, False, "FID", "desc")
    assert worst_first == ranking[::-1]


# Keys and values of selection


def test_models_by_key_and_value(selector):
    found = selector.get_models_by_key_value_pair("organ", "HEART")
    assert found == [{"model_id": "00022_WGAN_CARDIAC_AGING", "organ": ["heart", "chest"]}]
    assert selector.get_models_by_key_value_pair("organ", "HEART", True) == []
    assert selector.get_models_by_key_value_pair("performance.fid", 63.99) == [
        {"model_id": POLYPS, "performance.fid": 63.99}
    ]
    assert len(selector.get_models_by_key_value_pair("height", 1332)) == 5
    found[0]["organ"].append("changed")
    assert "changed" not in selector.get_selection_criteria_by_id(22)["organ"]


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("modalty", "modality"),
        ("performance", "table"),
        ("performance.CLF", "table"),
        ("a.b", "no"),
    ],
)
def test_a_key_that_is_not_there_is_an_error(selector, key, message):
    with pytest.raises(SelectionError, match=message):
        selector.get_models_by_key_value_pair(key, "x")
    with pytest.raises(SelectionError, match=message):
        selector.get_selection_values_for_key(key)


def test_selection_criteria(selector, manager):
    criteria = selector.get_selection_criteria_by_id("10")
    assert criteria == manager.get_config_by_id(10, "selection")
    assert selector.get_selection_criteria_by_id(10, False)["model_id"] == POLYPS
    assert len(selector.get_selection_criteria_by_ids()) == 28
    some = selector.get_selection_criteria_by_ids([10, 1], are_model_ids_removed=False)
    assert [entry["model_id"][:5] for entry in some] == ["00010", "00001"]
    with pytest.raises(UnknownModelError):
        selector.get_selection_criteria_by_id("x")


def test_selection_keys_and_values(selector):
    assert "modality" in selector.get_selection_keys()
    assert selector.get_selection_keys("00001") == selector.get_selection_keys(1)
    assert selector.get_selection_values_for_key("performance.FID", 10) == [63.99]
    assert selector.get_selection_values_for_key("organ", "22") == ["heart", "chest"]
    assert len(selector.get_selection_values_for_key("performance.FID")) == 22
    organs = selector.get_selection_values_for_key("organ")
    assert len(organs) == len(set(organs))
    with pytest.raises(UnknownModelError):
        selector.get_selection_keys("x")


# The catalogue behind it


def test_an_added_model_is_found_and_ranked_at_once(selector, manager):
    assert not selector.find_models("zebrafish")
    metadata = manager.get_config_by_id(10001)
    metadata["selection"]["organ"] = ["Zebrafish"]
    metadata["selection"]["performance"]["FID"] = 0.5
    manager.add_model_to_config("20001_MINE", metadata)
    assert selector.find_models("zebrafish").model_ids == ["20001_MINE"]
    assert selector.rank_models("FID")[0]["model_id"] == "20001_MINE"
    assert selector.find_models(fid__lt=1).model_ids == ["20001_MINE"]


def test_an_empty_catalogue_has_nothing_to_find(settings):
    selector = ModelSelector(ConfigManager({}, settings=settings))
    assert list(selector.find_models(["a", "b"], "XOR")) == []
    with pytest.raises(SelectionError):
        selector.rank_models("FID")


def test_a_selector_survives_pickling(selector):
    selector.find_models("polyp")
    again = pickle.loads(pickle.dumps(selector))
    assert again.find_models("polyp").model_ids == selector.find_models("polyp").model_ids


def test_nesting_of_any_depth_is_searched(settings, monkeypatch):
    monkeypatch.setattr("medmint.catalogue.files.FULL_CHECK_UP_TO", 0)
    tree = ["needle"]
    for _ in range(100_000):
        tree = [tree]
    selector = private(settings, A={"deep": tree})
    assert selector.find_models("needle").model_ids == ["00000_A"]
    with pytest.raises(InvalidRecordError):
        selector.config_manager.record(0)


def test_results_travel_to_other_processes(selector):
    found = selector.find_models("polyp")
    assert list(map(str, pickle.loads(pickle.dumps(found)))) == list(map(str, found))
    ranking = selector.rank_models("FID")
    again = pickle.loads(pickle.dumps(ranking))
    assert (again, again.unranked, again.metric) == (ranking, ranking.unranked, "FID")


def test_the_best_and_the_only_model_or_why_there_is_none(selector):
    assert selector.find_models("SinGAN").only() == "00011_SINGAN_POLYP_PATCHES_W_MASKS"
    with pytest.raises(SelectionError, match=r"found 0\. Use other values"):
        selector.find_models("nosuchthing").only()
    with pytest.raises(SelectionError, match=r"found \d+: 0.* and others\. Use"):
        selector.find_models("mammography").only()
    assert selector.rank_models("FID").best() == selector.rank_models("FID")[0]["model_id"]
    with pytest.raises(SelectionError, match="No model matches"):
        selector.rank_models("FID", model_ids=[]).best()
