"""Paths that users name, and files and folders that are there whole or not at all."""

import os
from pathlib import Path

import pytest

from medmint.errors import ArgumentError, OutputError, WriterError
from medmint.home import new_folder, user_path, write_file, write_json


def fill(folder, *, is_whole):
    with new_folder(folder) as aside:
        (aside / "sub").mkdir()
        (aside / "sub" / "file").write_text("x")
        assert not (folder / "sub").exists()
        if not is_whole:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    "given", ["", b"", 5, None, b"runs", "a\0b", [], "~nobody-has-this-name/x", True]
)
def test_what_can_be_no_path_is_refused_by_name(given):
    with pytest.raises(ArgumentError, match=r"output_path: got .* the path of a folder"):
        user_path("output_path", given, "a folder")


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_links_that_go_round_in_a_circle_are_no_place(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises((ArgumentError, WriterError)):
        write_json(user_path("path", tmp_path / "loop" / "x", "a file"), {})


def test_a_home_is_put_in(monkeypatch):
    monkeypatch.setenv("HOME", "/somewhere")
    monkeypatch.setenv("USERPROFILE", "/somewhere")
    assert user_path("folder", "~/runs", "a folder") == Path("/somewhere/runs")
    assert user_path("folder", Path("runs"), "a folder") == Path("runs")


def test_a_file_that_cannot_be_written_leaves_what_was_there(tmp_path):
    (tmp_path / "one").write_bytes(b"old")
    write_file(tmp_path / "one", b"new")
    assert (tmp_path / "one").read_bytes() == b"new"
    (tmp_path / "folder").mkdir()
    for place in (tmp_path / "folder", tmp_path / "none" / "file", tmp_path / "one" / "file"):
        with pytest.raises(WriterError) as caught:
            write_file(place, b"new")
        assert caught.value.path == place
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "one"]


def test_a_name_may_be_as_long_as_names_can_be(tmp_path):
    write_file(tmp_path / ("é" * 120 + ".json"), b"x")
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("is_there", [False, True])
def test_a_folder_is_filled_whole_or_not_at_all(tmp_path, is_there):
    place = tmp_path / "place"
    if is_there:
        place.mkdir()
    with pytest.raises(KeyboardInterrupt):
        fill(place, is_whole=False)
    assert [path.name for path in tmp_path.iterdir()] == ["place"] * is_there
    fill(place, is_whole=True)
    assert [path.name for path in tmp_path.iterdir()] == ["place"]
    assert (place / "sub" / "file").is_file()
    with pytest.raises(OutputError, match="not empty"):
        fill(place, is_whole=True)
    assert (place / "sub" / "file").is_file()


def test_of_two_that_fill_a_folder_one_is_refused(tmp_path):
    place = tmp_path / "place"
    slow = new_folder(place)
    (slow.__enter__() / "other").write_text("x")
    fill(place, is_whole=True)
    with pytest.raises(WriterError, match="place"):
        slow.__exit__(None, None, None)
    assert [path.name for path in tmp_path.iterdir()] == ["place"]
    assert [path.name for path in place.iterdir()] == ["sub"]
