"""What holds for every search and every ranking."""

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medmint.catalogue.checks import read_catalogue
from medmint.catalogue.records import ModelRecord
from medmint.config_manager import ConfigManager
from medmint.model_selector.selector import ModelSelector
from medmint.resources import config_file

ENTRIES = read_catalogue(config_file("global.json"))
MANAGER = ConfigManager(ENTRIES)
SELECTOR = ModelSelector(MANAGER)


def plain_values(tree):
    for value in tree.values() if isinstance(tree, dict) else tree:
        if isinstance(value, dict | list):
            yield from plain_values(value)
        else:
            yield str(value)


def whole_value_rule(values, operator, is_case_sensitive):
    """Count the values that equal a plain value of a selection: all, some or exactly one."""
    fold = str if is_case_sensitive else str.lower
    wanted = {fold(str(value)) for value in values}
    found = set()
    for model_id, record in ENTRIES.items():
        count = len(wanted & {fold(value) for value in plain_values(record["selection"])})
        if {"AND": count == len(wanted), "OR": count > 0, "XOR": count == 1}[operator]:
            found.add(model_id)
    return found


OWN_VALUES = sorted({v for record in ENTRIES.values() for v in plain_values(record["selection"])})
WORDS = ["mammo", "masks", "x-ray", "magnetic resonance", "breast mass", "128", "gan", "brain mri"]
FROM_CATALOGUE = st.lists(st.sampled_from(OWN_VALUES), min_size=1, max_size=3)
QUERIES = st.lists(st.sampled_from(OWN_VALUES + WORDS), min_size=1, max_size=3)
OPERATORS = st.sampled_from(["AND", "OR", "XOR"])
METRICS = st.sampled_from(["FID", "rFID", "SSIM", "SEG.trained_on_fake.Dice", "CLF_delta"])


def found(*args, **kwargs):
    return set(SELECTOR.find_models(*args, **kwargs).model_ids)


@settings(max_examples=300, deadline=None)
@given(FROM_CATALOGUE, OPERATORS, st.booleans(), st.sampled_from([str, str.upper, str.lower]))
def test_whole_values_are_always_found(values, operator, is_case_sensitive, spell):
    values = values if is_case_sensitive else list(map(spell, values))
    expected = whole_value_rule(values, operator, is_case_sensitive)
    assert found(values, operator, is_case_sensitive=is_case_sensitive) >= expected
    only_whole = found(values, operator, is_case_sensitive=is_case_sensitive, match="whole")
    assert only_whole == expected


@pytest.mark.parametrize("is_case_sensitive", [False, True])
@pytest.mark.parametrize("operator", ["AND", "OR", "XOR"])
@pytest.mark.parametrize(
    "values",
    [
        ["dcgan", "mammography"],
        ["mammo"],
        ["00010_FASTGAN_POLYP_PATCHES_W_MASKS"],
        ["dcgan"],
        ["dcgan", "chest"],
        ["dcgan", "chest", "mammography"],
        [128],
        ["none"],
    ],
    ids=str,
)
def test_known_queries_find_at_least_the_whole_values(values, operator, is_case_sensitive):
    written = values if not is_case_sensitive else list(map(str, values))
    expected = whole_value_rule(written, operator, is_case_sensitive)
    assert found(values, operator, is_case_sensitive=is_case_sensitive) >= expected


@settings(max_examples=100, deadline=None)
@given(QUERIES, st.booleans())
def test_and_and_xor_are_within_or(values, keys):
    any_of = found(values, "OR", keys)
    assert found(values, "AND", keys) <= any_of
    assert found(values, "XOR", keys) <= any_of


@settings(max_examples=100, deadline=None)
@given(QUERIES, OPERATORS)
def test_the_order_of_values_and_their_repetition_mean_nothing(values, operator):
    assert found(values, operator) == found([*reversed(values), values[0]], operator)


@settings(max_examples=100, deadline=None)
@given(QUERIES)
def test_whole_values_come_before_words(values):
    matches = SELECTOR.find_models(values, "OR")
    wholes = [
        len({e.target for e in match.matched_entries if e.kind == "whole"}) == len(set(values))
        for match in matches
    ]
    assert wholes == sorted(wholes, reverse=True)


@settings(max_examples=60, deadline=None)
@given(QUERIES)
def test_every_match_says_what_matched(values):
    for match in SELECTOR.find_models(values):
        assert {entry.target for entry in match.matched_entries} == set(values)
        for entry in match.matched_entries:
            if entry.path.startswith(("selection.", "description.")):
                assert MANAGER.get_config_by_id(match.model_id, entry.path) == entry.value


@given(METRICS, st.sampled_from([None, "asc", "desc"]), st.permutations(list(ENTRIES)))
@settings(max_examples=60, deadline=None)
def test_a_ranking_is_a_stable_permutation(metric, order, model_ids):
    ranking = SELECTOR.rank_models_by_performance(model_ids, metric, order)
    ranked = [entry["model_id"] for entry in ranking]
    assert sorted(ranked + ranking.unranked) == sorted(ENTRIES)
    sign = 1 if ranking.order == "asc" else -1
    expected = sorted(ranking, key=lambda e: (sign * e[metric], model_ids.index(e["model_id"])))
    assert list(ranking) == expected


@settings(max_examples=60, deadline=None)
@given(METRICS)
def test_asc_and_desc_are_each_others_reverse_where_nothing_ties(metric):
    up = SELECTOR.rank_models(metric, order="asc")
    down = SELECTOR.rank_models(metric, order="desc")
    assert [e[metric] for e in up] == [e[metric] for e in reversed(down)]
    assert up.unranked == down.unranked


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), JSON))
def test_a_record_with_any_metrics_survives_json_and_a_search(metrics):
    record = copy.deepcopy(ENTRIES["00001_DCGAN_MMG_CALC_ROI"])
    record["selection"]["performance"] = metrics
    again = ModelRecord.from_dict("00001_A", record).to_dict()
    assert json.dumps(again) == json.dumps(record)
    selector = ModelSelector(ConfigManager({"00001_A": record}))
    for value in {text for text in plain_values(metrics) if text.strip()}:
        assert selector.find_models(value, match="whole").model_ids == ["00001_A"]
