"""Every format with every kind of number: what was written is read back, or refused in words."""

import json

import numpy as np
import pytest

from medmint.errors import ArgumentError, OutputError
from medmint.samples import Batch
from medmint.writers.formats import WRITERS
from medmint.writers.identity import sample_uid
from medmint.writers.run_folder import RunFolder
from medmint.writers.sample_writer import Sample
from tests.packages.records import record
from tests.packages.written import KINDS, RUN, encode, image_of, read, spec_of

pytestmark = pytest.mark.family("R16")

FORMATS = tuple(WRITERS)
#: These hold real numbers as they are; the others in 16 bits over the range of the record.
EXACT = {"npy", "npz", "tiff", "nifti"}
GREY = tuple(kind for kind in KINDS if kind != "rgb")


def step(output_format, kind):
    """Return how far a value may be from what it was: half a step of 16 bits, else nothing."""
    low, high = KINDS[kind][2]
    return 0 if kind != "f32" or output_format in EXACT else (high - low) / 65535 * 0.501


def assert_kept(output_format, kind, image, **more):
    """Write an image as a model with such a record does, and compare what is read back."""
    sides = image.ndim - (kind == "rgb")
    output = {"image": spec_of(kind, sides, **more)}
    header = WRITERS[output_format](record(output=output)).header()
    back = read(encode(output_format, {"image": image}, output)["image"], header=header)
    assert back.shape == image.shape
    if output_format in EXACT:
        assert back.dtype == image.dtype
    tolerance = step(output_format, kind)
    np.testing.assert_allclose(back.astype(np.float64), image, rtol=0, atol=tolerance)


@pytest.mark.parametrize("sides", [2, 3])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("output_format", FORMATS)
def test_what_was_written_is_read_back(output_format, kind, sides):
    image = image_of(kind, sides)
    if output_format == "png" and sides == 3:
        with pytest.raises(ArgumentError, match="image is a volume"):
            assert_kept(output_format, kind, image)
    else:
        assert_kept(output_format, kind, image)


@pytest.mark.parametrize("kind", GREY)
@pytest.mark.parametrize("output_format", FORMATS)
def test_an_image_of_one_value(output_format, kind):
    low, high = KINDS[kind][2]
    for value in (low, high):
        assert_kept(output_format, kind, np.full((4, 6), value, KINDS[kind][0]))


@pytest.mark.parametrize("output_format", FORMATS)
def test_a_range_of_one_value(output_format):
    image = np.full((4, 6), -1.5, np.float32)
    assert_kept(output_format, "f32", image, value_range=[-1.5, -1.5])


@pytest.mark.parametrize("kind", ["i16", "f32"])
@pytest.mark.parametrize("output_format", FORMATS)
def test_nothing_but_negative_values(output_format, kind):
    low = KINDS[kind][2][0]
    image = (np.linspace(low, low / 2, 24).reshape(4, 6)).astype(KINDS[kind][0])
    assert_kept(output_format, kind, image)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("output_format", FORMATS)
def test_values_that_are_no_numbers(output_format, value):
    image = image_of("f32", 2)
    image[2, 3] = value
    if output_format in EXACT:
        assert_kept(output_format, "f32", image)
    else:
        with pytest.raises(ArgumentError, match="cannot hold"):
            assert_kept(output_format, "f32", image)


@pytest.mark.parametrize("output_format", FORMATS)
def test_real_numbers_without_a_range(output_format):
    output = {"image": {"dtype": "float32", "channels": 1, "spatial_dims": 2}}
    if output_format in EXACT:
        encode(output_format, {"image": image_of("f32", 2)}, output)
    else:
        with pytest.raises(ArgumentError, match="no value_range"):
            WRITERS[output_format](record(output=output))


def write(folder, output_format, count, start=0):
    """Write a folder of small samples as a run does."""
    output = {"image": spec_of("u16", 2), "mask": spec_of("u8", 2, values={"255": "lesion"})}
    run = RunFolder(folder, WRITERS[output_format](record(output=output)))
    first = run.begin({**RUN, "output_format": output_format}, count, overwrite=False)
    for index in range(first, count, 2):
        images = np.stack([image_of("u16", 2, i) for i in (index, index + 1)])
        masks = (images > 30000).astype(np.uint8) * np.uint8(255)
        run.write(Batch(index, {"image": images, "mask": masks}))
    run.finish()
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("output_format", FORMATS)
def test_a_folder_with_any_name_and_a_run_that_goes_on(output_format, tmp_path):
    names = ("Gehirn und Größe", "脑 🧠 'x' \"y\"")
    folders = [tmp_path / name for name in names]
    write(folders[0], output_format, 2)
    assert write(folders[0], output_format, 4) == write(folders[1], output_format, 4)


@pytest.mark.parametrize("output_format", FORMATS)
def test_a_file_that_exists_is_not_written_over(output_format, tmp_path):
    (tmp_path / "images").mkdir()
    own = tmp_path / "images" / "000000.png"
    own.write_bytes(b"mine")
    with pytest.raises(OutputError, match="something else"):
        write(tmp_path, output_format, 2)
    with pytest.raises(OutputError, match="it is a file"):
        write(own, output_format, 2)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [own]
    assert own.read_bytes() == b"mine"


@pytest.mark.parametrize("output_format", FORMATS)
def test_no_samples_are_a_folder_with_a_header(output_format, tmp_path):
    files = write(tmp_path / "run", output_format, 0)
    assert [str(path) for path in files] == ["manifest.jsonl"]
    (header,) = files.values()
    assert json.loads(header)["output_format"] == output_format


def test_ten_thousand_samples_have_as_many_identities():
    uids = set()
    for index in range(10_000):
        sample = Sample(index=index, arrays={}, label=None, run=RUN)
        uids |= {sample_uid(sample, role) for role in ("study", "series", "image")}
    assert len(uids) == 30_000
    assert all(uid.startswith("2.25.") and len(uid) <= 64 for uid in uids)


@pytest.mark.parametrize("output_format", FORMATS)
@pytest.mark.parametrize("shape", [(1, 70_000), (70_000, 1)])
def test_sides_that_are_longer_than_formats_can_count(output_format, shape):
    image = np.zeros(shape, np.uint8)
    if output_format in {"dicom", "nifti"}:
        with pytest.raises(ArgumentError, match="has a side of more than"):
            assert_kept(output_format, "u8", image)
    else:
        assert_kept(output_format, "u8", image)
