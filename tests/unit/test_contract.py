"""What an answer of a package must be, and the form in which it is kept."""

from pathlib import Path

import numpy as np
import pytest

from medmint.errors import ArgumentError, ContractError
from medmint.packages.contract import checked_options, load_job, read_batch
from medmint.packages.package import Package
from medmint.packages.workers.worker import Frame
from tests.packages.records import GREY, MODEL_ID, record

MASK = {"dtype": "uint8", "channels": 1, "spatial_dims": 2}


def read(arrays, *, model=None, count=2, labels=None):
    """Hand arrays over as a worker would."""
    values = {} if labels is None else {"label": labels}
    return read_batch(model or record(), Frame({"values": values}, arrays), 4, count)


def grey(**changes):
    return record(output={"image": GREY | changes})


def test_channels_go_last_and_a_single_one_goes():
    colour = grey(channels=3)
    image = np.arange(2 * 3 * 4 * 5, dtype=np.uint8).reshape(2, 3, 4, 5)
    batch = read({"image": image}, model=colour)
    assert batch.start == 4
    np.testing.assert_array_equal(batch.arrays["image"], image.transpose(0, 2, 3, 1))
    assert read({"image": image[:, :1]}).arrays["image"].shape == (2, 4, 5)
    volume = read({"image": np.zeros((2, 1, 4, 5, 6), np.uint8)}, model=grey(spatial_dims=3))
    assert volume.arrays["image"].shape == (2, 4, 5, 6)


def test_a_sampler_gives_every_output_that_its_record_promises():
    both = record(output={"image": GREY, "mask": MASK})
    image, mask = np.zeros((2, 1, 4, 5), np.uint8), np.zeros((2, 1, 4, 5), np.uint8)
    assert set(read({"image": image, "mask": mask}, model=both).arrays) == {"image", "mask"}
    with pytest.raises(ContractError, match="the output mask"):
        read({"image": image}, model=both)


def test_published_packages_have_channels_last_already():
    image = np.zeros((2, 4, 5, 3), np.uint8)
    assert read({"image": image}, model=record("generate")).arrays["image"].shape == (2, 4, 5, 3)


@pytest.mark.parametrize(
    ("dtype", "value_range", "expected"),
    [
        ("uint8", None, [0, 128, 255]),
        ("uint8", [0, 100], [0, 50, 100]),
        ("uint16", None, [0, 32768, 65535]),
        ("int16", None, [-32768, 0, 32767]),
        ("int16", [-1024, 3071], [-1024, 1024, 3071]),
        ("float32", None, [0, 0.5, 1]),
    ],
)
def test_values_from_0_to_1_fill_the_range_of_the_record(dtype, value_range, expected):
    spec = {"dtype": dtype} | ({"value_range": value_range} if value_range else {})
    image = np.array([0, 0.5, 1], np.float32).reshape(1, 1, 1, 3)
    kept = read({"image": image}, model=record(output={"image": spec}), count=1).arrays["image"]
    assert kept.dtype == dtype
    assert kept.ravel().tolist() == expected


def test_rounding_is_forgiven_and_no_more():
    almost = np.array([-5e-4, 1 + 5e-4], np.float32).reshape(1, 1, 1, 2)
    assert read({"image": almost}, count=1).arrays["image"].ravel().tolist() == [0, 255]
    for value in (-0.1, 1.1, 255.0):
        with pytest.raises(ContractError, match=r"image in \[0, 1\]"):
            read({"image": np.full((1, 1, 2, 2), value, np.float32)}, count=1)


def test_floats_of_published_packages_are_values():
    image = np.array([-3.0, 100.4, 300.0]).reshape(1, 1, 3)
    kept = read({"image": image}, model=record("generate"), count=1).arrays["image"]
    assert kept.ravel().tolist() == [0, 100, 255]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("contract", ["sampler", "generate"])
def test_values_that_are_not_finite_are_refused(contract, value):
    image = np.zeros((2, 1, 4, 4), np.float32)
    image[1, 0, 2, 2] = value
    with pytest.raises(ContractError, match="NaN or infinity"):
        read({"image": image}, model=record(contract))


@pytest.mark.parametrize(
    ("model", "array"),
    [
        (record(), np.zeros((2, 1, 4, 4), np.int16)),
        (record(), np.zeros((2, 1, 4, 4), np.int64)),
        (record(), np.zeros((2, 3, 4, 4), np.uint8)),
        (record(), np.zeros((2, 1, 4, 4, 4), np.uint8)),
        (record(), np.zeros((2, 16), np.uint8)),
        (grey(channels=3), np.zeros((2, 1, 4, 4), np.uint8)),
        (grey(dtype="int16", value_range=[-10, 10]), np.full((2, 1, 4, 4), 11, np.int16)),
        (grey(dtype="int16", value_range=[-10, 10]), np.full((2, 1, 4, 4), -11, np.int16)),
        (record("generate", output={}), np.zeros((2, 16), np.uint8)),
        (record(), np.zeros((2, 1, 0, 4), np.uint8)),
        (record("generate", output={}), np.zeros((2, 0, 0), np.uint8)),
    ],
)
def test_another_type_shape_or_range_than_agreed_is_refused(model, array):
    with pytest.raises(ContractError) as caught:
        read({"image": array}, model=model)
    assert caught.value.package == MODEL_ID


def test_yes_and_no_become_masks():
    model = record(output={"image": GREY, "mask": MASK})
    mask = np.array([[[[True, False]]]])
    kept = read({"image": np.zeros((1, 1, 1, 2)), "mask": mask}, model=model, count=1)
    assert kept.arrays["mask"].tolist() == [[[255, 0]]]


@pytest.mark.parametrize("length", [0, 1, 3])
def test_samplers_give_exactly_what_was_asked(length):
    with pytest.raises(ContractError, match="2 samples"):
        read({"image": np.zeros((length, 1, 4, 4))})


def test_every_output_has_as_many_samples_as_the_image():
    image = np.zeros((2, 1, 4, 4))
    for more in ({"mask": image[:1]}, {"label": np.zeros(3)}, {"table.area": np.zeros(1)}):
        with pytest.raises(ContractError, match=next(iter(more)).replace(".", r"\.")):
            read({"image": image, **more})
    with pytest.raises(ContractError, match="image"):
        read({"image": np.float32(1)})


def test_published_packages_may_give_more_but_not_less():
    image = np.arange(3, dtype=np.uint8).reshape(3, 1, 1)
    model = record("generate")
    batch = read({"image": image}, model=model, labels=["a", "b", "c"])
    assert batch.arrays["image"].ravel().tolist() == [0, 1]
    assert batch.labels == ["a", "b"]
    with pytest.raises(ContractError, match="4 samples"):
        read({"image": image}, model=model, count=4)


def test_labels_and_tables_leave_the_arrays():
    arrays = {
        "image": np.zeros((2, 1, 4, 4)),
        "label": np.array([[1], [0]]),
        "table.area": np.array([2.5, 3.5]),
    }
    batch = read(arrays)
    assert list(batch.arrays) == ["image"]
    assert batch.labels == [1, 0]
    assert batch.rows() == [{"area": 2.5}, {"area": 3.5}]


def test_a_table_has_one_number_a_sample():
    arrays = {"image": np.zeros((2, 1, 4, 4)), "table.area": np.zeros((2, 3))}
    with pytest.raises(ContractError, match="one number a sample"):
        read(arrays)


@pytest.mark.parametrize("name", ["../x", "a/b", "", "index", "masks", "a b", "image_sha256", ".."])
def test_outputs_cannot_be_called_what_leads_elsewhere(name):
    with pytest.raises(ContractError, match="names of letters"):
        read({"image": np.zeros((2, 1, 4, 4)), name: np.zeros((2, 1, 4, 4))})


def test_further_outputs_are_kept_under_their_names():
    depth = np.ones((2, 1, 4, 4), np.uint16)
    arrays = read({"image": np.zeros((2, 1, 4, 4)), "depth": depth}).arrays
    assert list(arrays) == ["image", "depth"]
    assert arrays["depth"].shape == (2, 4, 4)


def test_options_are_those_of_the_record_with_the_given_ones():
    model = record(options={"contrast": 1.0, "size": [8, 8], "more": {"a": 1}})
    assert checked_options(model, {}) == {"contrast": 1.0, "size": [8, 8], "more": {"a": 1}}
    given = {"contrast": np.float32(0.5), "size": np.array([4, 4]), "more": Path("x")}
    assert checked_options(model, given) == {"contrast": 0.5, "size": [4, 4], "more": "x"}


def test_unknown_options_are_refused_and_known_ones_named():
    with pytest.raises(ArgumentError, match=r"an option of .*: contrast, noise"):
        checked_options(record(options={"contrast": 1.0, "noise": 0}), {"contrst": 2})
    with pytest.raises(ArgumentError, match="no options of its own"):
        checked_options(record(), {"contrast": 2})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, object(), b"x", 1j])
def test_options_that_cannot_reach_the_model_are_refused(value):
    with pytest.raises(ArgumentError, match="finite numbers"):
        checked_options(record(options={"contrast": 1.0}), {"contrast": value})


def test_the_job_names_root_weights_and_whether_torch_is_needed(tmp_path):
    package = Package(tmp_path, "0" * 64, tmp_path / "weights.pt", "1" * 64)
    job = load_job(record(dependencies=["numpy", "Torch>=2"]), package, "cpu")
    assert job["uses_torch"]
    assert job["alias"].isidentifier()
    assert (job["root"], job["weights"]) == (str(tmp_path), str(tmp_path / "weights.pt"))
    without = Package(tmp_path, "0" * 64, None, None)
    job = load_job(record(dependencies=["numpy"]), without, "cpu")
    assert (job["uses_torch"], job["weights"]) == (False, None)
