"""The worker's frames, and how it reads what model code returns and raises."""

import io
import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from medmint.packages.workers.worker import (
    DTYPES,
    LARGEST_MESSAGE,
    ProtocolError,
    RefusalError,
    describe_failure,
    encode_frame,
    read_frame,
    stack_samples,
    write_frame,
)

ARRAYS = st.dictionaries(
    st.text(max_size=8),
    st.sampled_from(sorted(DTYPES)).flatmap(
        lambda name: hnp.arrays(name, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0))
    ),
    max_size=3,
)
MESSAGES = st.dictionaries(
    st.text().filter(lambda name: name != "arrays"), st.text() | st.integers() | st.booleans()
)


class Trickle(io.RawIOBase):
    """Hands out and takes in at most three bytes at a time, as a pipe may."""

    def __init__(self, data=b""):
        self.data = bytearray(data)

    def readable(self):
        return True

    def readinto(self, buffer):
        count = min(3, len(buffer), len(self.data))
        buffer[:count] = self.data[:count]
        del self.data[:count]
        return count

    def write(self, data):
        self.data += bytes(data[:3])
        return min(3, len(data))


def frame_bytes(message, arrays):
    stream = io.BytesIO()
    write_frame(stream, encode_frame(message, arrays))
    return stream.getvalue()


def raw(header):
    return len(header).to_bytes(4, "big") + header


def same(left, right):
    return (
        left.dtype == right.dtype
        and left.shape == right.shape
        and left.tobytes() == right.tobytes()
    )


@given(MESSAGES, ARRAYS)
def test_a_frame_arrives_as_it_was_sent(message, arrays):
    stream = Trickle()
    write_frame(stream, encode_frame(message, arrays))
    received = read_frame(stream)
    assert received.message == message
    assert list(received.arrays) == list(arrays)
    assert all(same(received.arrays[name], arrays[name]) for name in arrays)
    assert read_frame(stream) is None


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=">i4").reshape(2, 3),
        np.arange(24, dtype=">f8").reshape(2, 3, 4)[:, ::-2].T,
        np.broadcast_to(np.float32(3), (2, 2)),
        np.ma.masked_array([1, 2], dtype="int16"),
    ],
    ids=["big endian", "strided", "read only", "masked"],
)
def test_values_arrive_whatever_the_layout(array):
    received = read_frame(io.BytesIO(frame_bytes({}, {"a": array}))).arrays["a"]
    assert received.dtype.isnative
    np.testing.assert_array_equal(received, array)


@given(st.data())
def test_a_truncated_frame_is_never_read(data):
    whole = frame_bytes({"id": 1}, {"a": np.arange(5), "b": np.zeros((2, 3), np.uint8)})
    cut = whole[: data.draw(st.integers(1, len(whole) - 1))]
    with pytest.raises(EOFError):
        read_frame(Trickle(cut))


@pytest.mark.parametrize(
    "header",
    [
        b"not json",
        b"\xff\xfe",
        b"[]",
        b"3",
        b"{}",
        b'{"arrays": 3}',
        b'{"arrays": [["a", "uint8"]]}',
        b'{"arrays": [["a", "object", [1]]]}',
        b'{"arrays": [["a", ["uint8"], [1]]]}',
        b'{"arrays": [["a", "uint8", [-1]]]}',
        b'{"arrays": [["a", "uint8", [1.5]]]}',
        b'{"arrays": [["a", "uint8", 3]]}',
        b'{"arrays": [["a", "uint8", [99999999999, 99999999999]]]}',
        b'{"arrays": [["a", "uint8", [0, 99999999999999999999]]]}',
        b"[" * 100_000,
    ],
    ids=lambda header: header[:40].decode(errors="replace"),
)
def test_what_is_no_frame_is_refused(header):
    with pytest.raises(ProtocolError):
        read_frame(io.BytesIO(raw(header)))


def test_a_length_beyond_the_limit_is_refused_before_it_is_read():
    with pytest.raises(ProtocolError, match="message of"):
        read_frame(io.BytesIO((LARGEST_MESSAGE + 1).to_bytes(4, "big")))


@pytest.mark.parametrize(
    ("message", "arrays"),
    [
        ({}, {"a": np.array([object()])}),
        ({}, {"a": np.array(["text"])}),
        ({}, {"a": np.array([1], "datetime64[s]")}),
        ({}, {"a": np.array([1], "complex64")}),
        ({"a": object()}, {}),
        ({"a": math.nan}, {}),
        ({"a": "x" * LARGEST_MESSAGE}, {}),
    ],
    ids=["object", "text", "time", "complex", "no JSON", "NaN", "too long"],
)
def test_what_cannot_be_sent_is_refused_before_the_first_byte(message, arrays):
    with pytest.raises((ProtocolError, TypeError, ValueError)):
        encode_frame(message, arrays)


# What generate functions return


def image(value, shape=(4, 4)):
    return np.full(shape, value, np.uint8)


IMAGE = image(1)


def test_samples_are_stacked_in_order():
    values, arrays = stack_samples([image(i) for i in range(5)])
    assert values == {}
    assert arrays["image"][:, 0, 0].tolist() == list(range(5))


@given(
    st.recursive(
        st.just([]), lambda inner: st.lists(inner | st.integers(0, 255).map(image)), max_leaves=20
    )
)
def test_nesting_makes_no_difference(samples):
    def flat(items):
        return [x for item in items for x in (flat(item) if isinstance(item, list) else [item])]

    expected = flat(samples)
    if not expected:
        with pytest.raises(RefusalError):
            stack_samples(samples)
    else:
        np.testing.assert_array_equal(stack_samples(samples)[1]["image"], np.stack(expected))


@pytest.mark.parametrize(
    "samples",
    [np.zeros((3, 1, 4, 4), np.uint8), torch.zeros(3, 1, 4, 4), [np.zeros((3, 4, 4, 3))]],
    ids=["array", "tensor", "list of a batch"],
)
def test_a_batch_of_four_axes_is_taken_apart(samples):
    assert len(stack_samples(samples)[1]["image"]) == 3


def test_a_tuple_is_image_mask_and_more():
    _, arrays = stack_samples([(IMAGE, image(2), None, image(3))] * 2)
    assert {name: array[0, 0, 0] for name, array in arrays.items()} == {
        "image": 1,
        "mask": 2,
        "extra_1": 3,
    }


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("benign", "benign"),
        (np.str_("benign"), "benign"),
        (3, 3),
        (np.int64(3), 3),
        (np.array(3), 3),
        (torch.tensor(3), 3),
        (0.5, 0.5),
        (np.float32(0.5), 0.5),
        (True, True),
        (np.bool_(True), True),
    ],
    ids=repr,
)
def test_a_text_or_number_is_the_label(label, expected):
    values, arrays = stack_samples([(IMAGE, label)])
    assert values == {"label": [expected]}
    assert type(values["label"][0]) is type(expected)
    assert list(arrays) == ["image"]
    json.dumps(values)


def test_samples_without_a_label_among_others_have_none():
    assert stack_samples([(IMAGE, "a"), IMAGE])[0] == {"label": ["a", None]}


@pytest.mark.parametrize(
    "samples",
    [
        None,
        [],
        [None],
        {},
        [{"image": IMAGE}],
        ["text"],
        [0.5],
        [(None, 3)],
        [IMAGE, image(1, (5, 5))],
        [IMAGE, (IMAGE, IMAGE)],
        [(IMAGE, IMAGE), IMAGE],
        [np.array([object()])],
        [np.array([[1 + 2j]])],
        [np.zeros((2, 2), np.uint32)],
    ],
    ids=lambda samples: str(samples)[:30],
)
def test_what_is_no_batch_is_refused(samples):
    with pytest.raises(RefusalError) as caught:
        stack_samples(samples)
    failure = describe_failure(caught.value)
    assert failure["kind"] == "contract"
    assert failure["expected"]
    assert failure["found"]


# What model code raises


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("bad size\nsecond line"), "ValueError: bad size"),
        (KeyError(), "KeyError"),
        (SystemExit(3), "SystemExit: 3"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (RuntimeError("x" * 10_000), "RuntimeError: " + "x" * 500),
    ],
    ids=lambda value: str(value)[:20],
)
def test_an_error_becomes_one_line(error, reason):
    assert describe_failure(error) == {"kind": "failed", "reason": reason}


def failed_allocation(allocate):
    with pytest.raises((RuntimeError, MemoryError)) as caught:
        allocate(10**15)
    return caught.value


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        failed_allocation(np.empty),
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        failed_allocation(torch.empty),
    ],
    ids=lambda error: type(error).__name__,
)
def test_lack_of_memory_is_recognised(error):
    assert describe_failure(error)["kind"] == "out_of_memory"
