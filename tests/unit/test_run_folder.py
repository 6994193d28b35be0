"""An output folder that grows, goes on, refuses and clears up."""

import csv
import hashlib
import json
import sys

import numpy as np
import pytest

from medmint.errors import ArgumentError, MissingExtraError, OutputError, WriterError
from medmint.samples import Batch
from medmint.writers.formats import WRITERS
from medmint.writers.run_folder import RunFolder, new_run_folder
from tests.packages.records import record

RECORD = record(output={})
HEADER = {"medmint_manifest": 1, "medmint_version": "0.1", "seed": 7, "batch_size": 4}


def make_batch(start, stop, **more):
    """Make samples that depend on nothing but their index."""
    indices = np.arange(start, stop)
    image = (indices[:, None, None] * 3 + np.arange(9).reshape(3, 3)).astype(np.uint8)
    return Batch(start, {"image": image, "mask": (image > 10).astype(np.uint8) * 255}, **more)


def run(folder, count, *, output_format="png", overwrite=False, stop_before=None, **changes):
    """Generate as the executor does, and maybe stop as a killed process would."""
    output = RunFolder(folder, WRITERS[output_format](RECORD))
    header = {**HEADER, "output_format": output_format, **changes}
    start = output.begin(header, count, overwrite=overwrite)
    for first in range(start, count, output.batch_size):
        last = min(first + output.batch_size, count)
        if stop_before is not None and first >= stop_before:
            return start
        output.write(make_batch(first, last))
    output.finish()
    return start


def content(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def entries(folder):
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run"


@pytest.fixture
def whole(tmp_path):
    """A folder of ten samples that were written in one go."""
    run(tmp_path / "whole", 10)
    return tmp_path / "whole"


def test_every_file_has_its_line_and_hash(whole):
    header, *lines = entries(whole)
    assert header == {**HEADER, "output_format": "png"}
    assert [line["index"] for line in lines] == list(range(10))
    for line in lines:
        for name in ("image", "mask"):
            digest = hashlib.sha256((whole / line[name]).read_bytes()).hexdigest()
            assert digest == line[f"{name}_sha256"]
    assert len(list((whole / "images").iterdir())) == len(list((whole / "masks").iterdir())) == 10


def test_the_same_call_again_changes_nothing(whole):
    before = content(whole)
    assert run(whole, 10) == 10
    assert content(whole) == before


@pytest.mark.parametrize("stop_before", [0, 4, 8])
def test_a_run_that_stopped_goes_on_at_a_batch(folder, whole, stop_before):
    run(folder, 10, stop_before=stop_before)
    assert run(folder, 10) == stop_before
    assert content(folder) == content(whole)


def test_a_larger_number_extends(folder, whole):
    run(folder, 6)
    assert run(folder, 10) == 4
    assert content(folder) == content(whole)


def test_a_smaller_number_after_a_stop_leaves_no_files_too_many(folder, tmp_path):
    run(folder, 10, stop_before=4)
    for index in range(4, 8):
        (folder / "images" / f"{index:06d}.png").write_bytes(b"of the batch that was cut off")
    run(folder, 5)
    run(tmp_path / "five", 5)
    assert content(folder) == content(tmp_path / "five")


def test_a_finished_run_leaves_other_files_alone(folder):
    run(folder, 4)
    own = folder / "images" / "000004.png"
    own.write_bytes(b"put there by someone")
    run(folder, 4)
    assert own.read_bytes() == b"put there by someone"


def test_a_damaged_file_is_made_again(folder, whole):
    run(folder, 10)
    (folder / "masks" / "000005.png").write_bytes(b"")
    assert run(folder, 10) == 4
    assert content(folder) == content(whole)


def test_lines_after_a_gap_do_not_count(folder, whole):
    run(folder, 10)
    manifest = folder / "manifest.jsonl"
    header, *lines = manifest.read_bytes().splitlines(keepends=True)
    manifest.write_bytes(b"".join([header, *lines[:5], *lines[6:]]))
    assert run(folder, 10) == 4
    assert content(folder) == content(whole)


@pytest.mark.parametrize("broken", [{"batch_size": 0}, {"seed": "x"}, {"threads": None}])
def test_a_header_with_odd_values_is_not_ours(folder, broken):
    folder.mkdir()
    header = json.dumps({"medmint_manifest": 1, **broken})
    (folder / "manifest.jsonl").write_text(header + "\n")
    with pytest.raises(OutputError, match="something else"):
        RunFolder(folder, WRITERS["png"](RECORD)).header()


def test_only_one_writes_at_a_time(folder):
    first, second = (
        RunFolder(folder, WRITERS["png"](RECORD)),
        RunFolder(folder, WRITERS["png"](RECORD)),
    )
    with (
        first.only_writer(),
        pytest.raises(OutputError, match="another process"),
        second.only_writer(),
    ):
        pass
    with second.only_writer():
        assert not folder.exists()


def test_a_lost_file_is_made_again(folder, whole):
    run(folder, 10)
    (folder / "images" / "000005.png").unlink()
    assert run(folder, 10) == 4
    assert content(folder) == content(whole)


@pytest.mark.parametrize("lost", [None, "images/000002.png"])
def test_fewer_samples_than_there_are_is_refused(whole, lost):
    if lost:
        (whole / lost).unlink()
    before = content(whole)
    with pytest.raises(OutputError, match="10 samples already, 3 were asked for"):
        run(whole, 3)
    assert content(whole) == before


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("seed", 8, "seed: 7 there, 8 asked"),
        ("batch_size", 5, "batch_size: 4 there, 5 asked"),
        ("options", {"noise": 1}, 'options: null there, {"noise": 1} asked'),
        ("medmint_manifest", 2, "medmint_manifest: 1 there, 2 asked"),
    ],
)
def test_another_run_is_refused_and_the_difference_named(whole, name, value, told):
    before = content(whole)
    with pytest.raises(OutputError, match="overwrite=True") as caught:
        run(whole, 10, **{name: value})
    assert told in str(caught.value)
    assert caught.value.folder == whole
    assert content(whole) == before


def test_long_differences_are_told_in_short(whole):
    with pytest.raises(OutputError) as caught:
        run(whole, 10, condition=[1] * 10_000)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("name", ["medmint_version", "license", "citation"])
def test_what_samples_do_not_depend_on_is_taken_over(whole, name):
    before = content(whole)
    run(whole, 10, **{name: "corrected"})
    assert content(whole) == before


def test_overwrite_replaces_only_what_the_run_listed(whole, tmp_path):
    kept = ["notes.txt", "images/notes.txt", "images/000900.png", "masks/7.png", ".hidden"]
    for name in kept:
        (whole / name).write_text("mine")
    (whole / "images" / "000010.png").write_bytes(b"of a batch that was cut off")
    run(whole, 3, seed=8, overwrite=True)
    run(tmp_path / "other", 3, seed=8)
    assert content(whole) == content(tmp_path / "other") | dict.fromkeys(kept, b"mine")


def test_overwrite_with_another_format_leaves_none_of_the_old(whole, tmp_path):
    run(whole, 3, output_format="npy", overwrite=True)
    run(tmp_path / "other", 3, output_format="npy")
    assert content(whole) == content(tmp_path / "other")


def test_overwrite_of_the_same_run_goes_on(folder, whole):
    run(folder, 10, stop_before=8)
    assert run(folder, 10, overwrite=True) == 8
    assert content(folder) == content(whole)


def test_overwrite_removes_nothing_that_a_forged_manifest_names(whole, tmp_path):
    outside = tmp_path / "000000.png"
    outside.write_bytes(b"mine")
    (whole / "paper.pdf").write_bytes(b"mine")
    with (whole / "manifest.jsonl").open("a") as manifest:
        for name in ("../000000.png", str(outside), "paper.pdf", 5, ["images"]):
            manifest.write(json.dumps({"index": 10, "image": name, "image_sha256": "0"}) + "\n")
    run(whole, 3, seed=8, overwrite=True)
    assert outside.read_bytes() == (whole / "paper.pdf").read_bytes() == b"mine"


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("thesis.docx", "mine"),
        ("manifest.jsonl", '{"name": "a manifest of another program"}\n'),
        ("manifest.jsonl", "not JSON"),
        ("manifest.jsonl", "\udcff"),
    ],
)
def test_folders_of_something_else_are_left_alone(folder, name, text, overwrite):
    folder.mkdir()
    (folder / name).write_text(text, errors="surrogateescape")
    before = content(folder)
    with pytest.raises(OutputError, match="something else"):
        run(folder, 3, overwrite=overwrite)
    assert content(folder) == before


def test_a_file_in_the_place_of_the_folder_is_refused(folder):
    folder.write_text("mine")
    for place in (folder, folder / "below"):
        with pytest.raises(OutputError, match="it is a file"):
            run(place, 3)


def test_empty_folders_and_hidden_files_are_no_obstacle(folder):
    folder.mkdir()
    (folder / ".DS_Store").write_bytes(b"")
    assert run(folder, 3) == 0


@pytest.mark.parametrize("length", [0, 1, 20, 40])
def test_a_header_that_was_cut_off_is_begun_again(folder, length):
    run(folder, 3, stop_before=0)
    manifest = folder / "manifest.jsonl"
    manifest.write_bytes(manifest.read_bytes()[:length])
    assert run(folder, 3) == 0
    assert len(entries(folder)) == 4


def test_a_header_without_samples_makes_room_for_another_run(folder):
    run(folder, 10, stop_before=0)
    assert run(folder, 3, seed=8, output_format="npy") == 0
    assert entries(folder)[0]["seed"] == 8


def test_halved_batches_are_remembered(folder, tmp_path):
    def generate(folder, stop_before=None):
        output = RunFolder(folder, WRITERS["png"](RECORD))
        start = output.begin(HEADER, 10, overwrite=False)
        while start < 10:
            if start == 4 and output.batch_size == 4:
                output.halve(4, 2)
            if start == stop_before:
                return
            stop = min(start + output.batch_size, 10)
            output.write(make_batch(start, stop))
            start = stop

    generate(tmp_path / "whole")
    for stop_before in (0, 4, 6, 8):
        stopped = tmp_path / f"stopped-{stop_before}"
        generate(stopped, stop_before)
        generate(stopped)
        assert content(stopped) == content(tmp_path / "whole")
    assert {"from_index": 4, "batch_size": 2} in entries(tmp_path / "whole")


def test_what_the_format_cannot_hold_leaves_no_trace(tmp_path):
    folder = tmp_path / "a" / "b"
    output = RunFolder(folder, WRITERS["png"](RECORD))
    output.begin(HEADER, 2, overwrite=False)
    with pytest.raises(ArgumentError, match="npy"):
        output.write(Batch(0, {"image": np.zeros((2, 4, 4), np.float32)}))
    assert list(tmp_path.iterdir()) == []


def noise(start):
    random = np.random.default_rng(start)
    return Batch(start, {"image": random.integers(0, 256, (2, 64, 64), dtype=np.uint8)})


def test_an_image_that_does_not_fit_is_removed_and_the_run_goes_on_later(folder, files_of_at_most):
    output = RunFolder(folder, WRITERS["png"](RECORD))
    output.begin(HEADER | {"batch_size": 2}, 4, overwrite=False)
    output.write(noise(0))
    before = content(folder)
    with (
        files_of_at_most(2000),
        pytest.raises(WriterError, match="file too large") as caught,
    ):
        output.write(noise(2))
    assert caught.value.path == folder / "images" / "000002.png"
    assert content(folder) == before
    output = RunFolder(folder, WRITERS["png"](RECORD))
    assert output.begin(HEADER | {"batch_size": 2}, 4, overwrite=False) == 2


def test_a_first_batch_that_does_not_fit_leaves_no_trace(tmp_path, files_of_at_most):
    output = RunFolder(tmp_path / "a" / "run", WRITERS["png"](RECORD))
    output.begin(HEADER, 2, overwrite=False)
    with files_of_at_most(2000), pytest.raises(WriterError):
        output.write(noise(0))
    assert list(tmp_path.iterdir()) == []


def test_a_manifest_that_cannot_grow_ends_in_a_whole_line(folder, files_of_at_most):
    output = RunFolder(folder, WRITERS["png"](RECORD))
    output.begin(HEADER, 8, overwrite=False)
    output.write(make_batch(0, 4))
    before = (folder / "manifest.jsonl").read_bytes()
    with files_of_at_most(len(before) + 100), pytest.raises(WriterError, match=r"manifest\.jsonl"):
        output.write(make_batch(4, 8))
    assert (folder / "manifest.jsonl").read_bytes() == before


def test_a_header_that_does_not_fit_leaves_no_trace(folder, tmp_path, files_of_at_most):
    with files_of_at_most(10), pytest.raises(WriterError):
        RunFolder(folder, WRITERS["png"](RECORD)).begin(HEADER, 8, overwrite=False)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_a_typed_error(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises((WriterError, OutputError)) as caught:
        run(tmp_path / "loop", 3)
    assert str(tmp_path / "loop") in str(caught.value)
    too_long = tmp_path / ("x" * 300)
    with pytest.raises(OutputError, match="cannot be read"):
        run(too_long, 3)


def test_an_extra_that_turns_out_to_be_missing_leaves_no_trace(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "highdicom", None)
    output = RunFolder(tmp_path / "run", WRITERS["dicom"](RECORD))
    identity = {"model_id": RECORD.model_id, "package_sha256": "ab", "options": {}}
    output.begin(HEADER | identity, 1, overwrite=False)
    volume = np.zeros((1, 4, 4, 2), np.uint8)
    with pytest.raises(MissingExtraError, match="highdicom"):
        output.write(Batch(0, {"image": volume, "mask": volume}))
    assert list(tmp_path.iterdir()) == []


def test_a_table_is_written_when_all_is_done(folder):
    output = RunFolder(folder, WRITERS["png"](RECORD))
    output.begin(HEADER, 4, overwrite=False)
    table = {"area": np.array([1.5, 2.5]), "class": np.array([0, 1])}
    for start in (0, 2):
        output.write(make_batch(start, start + 2, labels=["a", "b"], table=table))
    output.finish()
    with (folder / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[3] == {"index": "3", "area": "2.5", "class": "1"}
    assert [line["label"] for line in entries(folder)[1:]] == ["a", "b", "a", "b"]
    assert entries(folder)[1]["table"] == {"area": 1.5, "class": 0}


def test_other_outputs_go_to_folders_of_their_name(folder):
    output = RunFolder(folder, WRITERS["npy"](RECORD))
    output.begin(HEADER, 2, overwrite=False)
    depth = np.arange(32, dtype=np.float32).reshape(2, 4, 4)
    output.write(Batch(0, {"image": np.zeros((2, 4, 4), np.uint8), "depth": depth}))
    np.testing.assert_array_equal(np.load(folder / "depth" / "000001.npy"), depth[1])


def test_new_folders_are_numbered(tmp_path):
    names = [new_run_folder(tmp_path / "output" / "model").name for _ in range(3)]
    assert names == ["run-001", "run-002", "run-003"]
    (tmp_path / "file").write_text("")
    with pytest.raises(WriterError):
        new_run_folder(tmp_path / "file")
