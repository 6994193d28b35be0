"""Laws of generation: what holds for every number of samples, every batch size and every cut."""

import io
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from medmint.samples import Batch, draw_conditions, latent_vectors
from medmint.writers.arrays import NpyWriter
from medmint.writers.png import PngWriter
from medmint.writers.run_folder import RunFolder
from medmint.writers.sample_writer import Sample, SampleWriter
from tests.packages.records import record

SEEDS = st.integers(0, 2**63 - 1)
SIZES = st.integers(1, 50)


@given(SEEDS, st.integers(0, 10**9), st.integers(1, 40), SIZES)
def test_latents_and_classes_do_not_depend_on_the_split(seed, start, count, size):
    stop = start + count
    plan = [(first, min(first + size, stop)) for first in range(start, stop, size)]
    latents = np.concatenate([latent_vectors(seed, *part, 5) for part in plan])
    np.testing.assert_array_equal(latents, latent_vectors(seed, start, stop, 5))
    classes = np.concatenate([draw_conditions(seed, *part, 3) for part in plan])
    np.testing.assert_array_equal(classes, draw_conditions(seed, start, stop, 3))


@given(SEEDS, SEEDS, st.integers(0, 2**40), st.integers(0, 2**40))
def test_no_two_samples_share_a_latent_vector(seed, other_seed, index, other_index):
    one = latent_vectors(seed, index, index + 1, 6)
    other = latent_vectors(other_seed, other_index, other_index + 1, 6)
    assert (seed, index) == (other_seed, other_index) or not (one == other).any()


SIDES = st.integers(1, 12)
PNG_ARRAYS = st.one_of(
    arrays.arrays(np.uint8, st.tuples(SIDES, SIDES)),
    arrays.arrays(np.uint8, st.tuples(SIDES, SIDES, st.sampled_from([3, 4]))),
    arrays.arrays(np.uint16, st.tuples(SIDES, SIDES)),
)
NPY_ARRAYS = st.sampled_from(["u1", "u2", "i2", "i8", "f4", "?"]).flatmap(
    lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=1, max_dims=4, max_side=5))
)


def encoded(writer: SampleWriter, array):
    """Return the file of an array, as a stream."""
    sample = Sample(index=0, arrays={"image": array}, label=None, run={})
    return io.BytesIO(next(iter(writer.encode(sample))).content)


@given(PNG_ARRAYS)
def test_png_gives_back_what_was_written(array):
    with Image.open(encoded(PngWriter(record(output={})), array)) as image:
        np.testing.assert_array_equal(np.asarray(image), array)


@given(st.integers(-32768, 32767), st.data())
def test_png_gives_back_signed_values(lowest, data):
    values = st.integers(lowest, 32767)
    array = data.draw(arrays.arrays(np.int16, st.tuples(SIDES, SIDES), elements=values))
    output = {"image": {"dtype": "int16", "value_range": [lowest, 32767]}}
    writer = PngWriter(record(output=output))
    offset = writer.header().get("offsets", {}).get("image", 0)
    with Image.open(encoded(writer, array)) as image:
        np.testing.assert_array_equal(np.asarray(image).astype(int) + offset, array)


@given(NPY_ARRAYS)
def test_npy_gives_back_what_was_written(array):
    back = np.load(encoded(NpyWriter(record()), array), allow_pickle=False)
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


def generate(folder, count, size, *, halve_at=None, stop_at=None):
    """Write samples that depend on their index alone, as the executor writes those of a model."""
    output = RunFolder(folder, NpyWriter(record()))
    header = {"medmint_manifest": 1, "batch_size": size, "output_format": "npy"}
    start = output.begin(header, count, overwrite=False)
    while start < count:
        if start == halve_at and output.batch_size == size > 1:
            # Memory that runs out does so again when the run is repeated.
            output.halve(start, (size + 1) // 2)
        stop = min(start + output.batch_size, count)
        indices = np.arange(start, stop)
        image = np.repeat(indices, 4).reshape(-1, 2, 2).astype(np.int16)
        table = {"index_squared": indices**2}
        labels = [f"class {index % 3}" for index in indices]
        output.write(Batch(start, {"image": image, "mask": image % 2}, labels, table))
        start = stop
    output.finish()


def content(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


PLANS = st.tuples(st.integers(1, 20), st.integers(1, 7), st.integers(0, 3))


@settings(max_examples=40, deadline=None)
@given(plan=PLANS, data=st.data())
def test_a_run_cut_anywhere_ends_as_if_it_had_not_been(work, plan, data):
    count, size, halve_after = plan
    with tempfile.TemporaryDirectory(dir=work) as name:
        whole, cut = Path(name) / "whole", Path(name) / "cut"
        generate(whole, count, size, halve_at=halve_after * size)
        shutil.copytree(whole, cut)
        manifest = cut / "manifest.jsonl"
        text = manifest.read_bytes()
        header_length = text.index(b"\n") + 1
        manifest.write_bytes(text[: data.draw(st.integers(header_length, len(text)), label="cut")])
        for path in data.draw(st.sets(st.sampled_from(files(cut))), label="lost"):
            path.unlink()
        generate(cut, count, size, halve_at=halve_after * size)
        assert content(cut) == content(whole)


def files(folder):
    return [
        path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".jsonl"
    ]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=4), st.integers(1, 7))
def test_a_run_extended_step_by_step_ends_as_if_made_at_once(work, counts, size):
    with tempfile.TemporaryDirectory(dir=work) as name:
        steps, once = Path(name) / "steps", Path(name) / "once"
        for count in sorted(counts):
            generate(steps, count, size)
        generate(once, max(counts), size)
        assert content(steps) == content(once)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 20), st.integers(1, 7))
def test_the_manifest_lists_the_files_that_are_there(work, count, size):
    with tempfile.TemporaryDirectory(dir=work) as name:
        folder = Path(name) / "run"
        generate(folder, count, size)
        _, *lines = map(json.loads, (folder / "manifest.jsonl").read_text().splitlines())
        listed = [line[key] for line in lines for key in ("image", "mask")]
        assert [line["index"] for line in lines] == list(range(count))
        assert sorted([*listed, "manifest.jsonl", "table.csv"]) == sorted(content(folder))
