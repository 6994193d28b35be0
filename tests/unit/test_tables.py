"""Text for a terminal, JSON for programs."""

import json
import sys

import pytest

from medmint.tables import format_facts, format_table

ROWS = [{"id": 1, "title": "x" * 60}, {"id": 20, "title": "y"}]


@pytest.fixture
def terminal(monkeypatch):
    return lambda columns: monkeypatch.setenv("COLUMNS", str(columns))


def test_columns_line_up():
    rows = [{"name": "a", "size": "8x8", "note": None}, {"name": "long", "size": "", "note": 2}]
    assert format_table(rows).splitlines() == ["name  size  note", "a     8x8", "long        2"]


def test_lines_fit_the_terminal(terminal):
    terminal(40)
    lines = format_table(ROWS).splitlines()
    assert max(map(len, lines)) == 40
    assert lines[1].endswith("xxx...")
    assert lines[2] == "20  y"


def test_nothing_is_cut_where_there_is_no_terminal(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr(sys, "__stdout__", None)
    assert "x" * 60 in format_table([{"id": 1, "text": "y" * 200 + "x" * 60}])


def test_no_rows_are_an_empty_table():
    assert format_table([]) == ""
    assert format_table([], as_json=True) == "[]"


def test_json_is_what_was_given():
    assert json.loads(format_table(ROWS, as_json=True)) == ROWS
    facts = {"a": None, "b": [1, 2], "c": {"d": "ü"}}
    assert json.loads(format_facts(facts, as_json=True)) == facts


def test_facts_that_are_not_known_are_left_out():
    facts = {"a": None, "b": [], "c": {}, "d": "", "e": 0, "f": False}
    assert format_facts(facts) == "e  0\nf  False"
    assert format_facts({}) == ""


def test_long_facts_are_wrapped_under_each_other(terminal):
    terminal(40)
    text = format_facts({"limits": "one two three four five six seven eight nine", "n": 1})
    assert text.splitlines() == [
        "limits  one two three four five six",
        "        seven eight nine",
        "n       1",
    ]


def test_lists_and_nested_facts_read_as_lines():
    text = format_facts({"organ": ["colon", "polyp"], "options": {"noise": 8.0, "view": None}})
    assert text.splitlines() == ["organ    colon, polyp", "options  noise: 8.0", "         view: -"]


def test_lists_of_facts_read_one_below_the_other():
    works = [{"key": "a", "year": 1974}, {"key": "b", "year": 2021}]
    assert format_facts({"works": works}).splitlines() == [
        "works  key: a",
        "       year: 1974",
        "       key: b",
        "       year: 2021",
    ]
