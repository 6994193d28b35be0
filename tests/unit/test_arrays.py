"""Files that other programs read back as what was written."""

import io
import zlib

import numpy as np
import pytest
from PIL import Image

from medmint.errors import ArgumentError
from medmint.writers.arrays import WRITERS

PNG, NPY = WRITERS["png"], WRITERS["npy"]
RANDOM = np.random.default_rng(0)


def read_png(content):
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image)


def read_grey_by_the_book(content):
    """Read a grey PNG of 8 or 16 bits by nothing but its specification."""
    width, height, depth = (
        int.from_bytes(content[i:j], "big") for i, j in ((16, 20), (20, 24), (24, 25))
    )
    assert content[25] == 0, "colour type"
    body, position = b"", 8
    while position < len(content):
        length = int.from_bytes(content[position : position + 4], "big")
        if content[position + 4 : position + 8] == b"IDAT":
            body += content[position + 8 : position + 8 + length]
        position += length + 12
    step = depth // 8
    lines = np.frombuffer(zlib.decompress(body), np.uint8).reshape(height, 1 + width * step)
    rows = np.zeros((height + 1, width * step + step), np.int64)
    for y, (kind, *line) in enumerate(lines.tolist(), start=1):
        for x, value in enumerate(line, start=step):
            left, above, corner = rows[y, x - step], rows[y - 1, x], rows[y - 1, x - step]
            nearest = min((left, above, corner), key=lambda each: abs(left + above - corner - each))
            rows[y, x] = (value + (0, left, above, (left + above) // 2, nearest)[kind]) % 256
    pixels = rows[1:, step:].astype(np.uint8).tobytes()
    return np.frombuffer(pixels, f">u{step}").reshape(height, width)


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3), (5, 7, 4), (1, 1)])
def test_eight_bits_come_back(shape):
    array = RANDOM.integers(0, 256, shape, dtype=np.uint8)
    np.testing.assert_array_equal(read_png(PNG.encode(array, offset=0)), array)


def test_sixteen_bits_come_back_from_two_readers():
    array = RANDOM.integers(0, 65536, (9, 7), dtype=np.uint16)
    array[0, :2] = 0, 65535
    content = PNG.encode(array, offset=0)
    np.testing.assert_array_equal(read_png(content), array)
    np.testing.assert_array_equal(read_grey_by_the_book(content), array)


@pytest.mark.parametrize("lowest", [None, -32768, -1024, -1000.0, 0, 100])
def test_a_signed_value_is_what_is_stored_plus_the_offset(lowest):
    offset = PNG.offset(np.dtype(np.int16), lowest)
    assert offset == (-32768 if lowest is None else lowest)
    array = np.array([[offset, offset + 1, 32767]], np.int16)
    for reader in (read_png, read_grey_by_the_book):
        stored = reader(PNG.encode(array, offset=offset))
        assert stored.dtype.kind == "u"
        np.testing.assert_array_equal(stored.astype(int) + offset, array)


def test_a_value_below_the_offset_is_refused_instead_of_wrapped():
    with pytest.raises(ArgumentError, match="as low as -1025"):
        PNG.encode(np.array([[-1025, 0]], np.int16), offset=-1024)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_unsigned_and_real_numbers_need_no_offset(dtype):
    assert PNG.offset(np.dtype(dtype), -5.0) == 0
    assert NPY.offset(np.dtype(np.int16), -1024.0) == 0


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4), np.float32),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((4, 4, 3), np.uint16),
        np.zeros((4, 4, 3), np.int16),
        np.zeros((4, 4, 4, 4), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((4, 4), np.int64),
        np.zeros((4, 4), bool),
    ],
)
def test_what_png_cannot_hold_is_refused_and_npy_named(array):
    with pytest.raises(ArgumentError, match="npy"):
        PNG.encode(array, offset=0)


@pytest.mark.parametrize(
    "dtype", [np.uint8, np.uint16, np.int16, np.int32, np.int64, np.float32, np.float64, bool]
)
def test_npy_holds_anything(dtype):
    array = RANDOM.integers(0, 2, (3, 4, 5)).astype(dtype)
    back = np.load(io.BytesIO(NPY.encode(array[:, ::2], offset=0)), allow_pickle=False)
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, array[:, ::2])


def test_views_with_channels_moved_come_back():
    array = np.moveaxis(RANDOM.integers(0, 256, (3, 5, 7), dtype=np.uint8), 0, -1)
    np.testing.assert_array_equal(read_png(PNG.encode(array, offset=0)), array)


@pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS)
def test_equal_arrays_make_equal_files(writer):
    array = RANDOM.integers(0, 256, (8, 8), dtype=np.uint8)
    assert writer.encode(array, offset=0) == writer.encode(array.copy(order="F"), offset=0)
