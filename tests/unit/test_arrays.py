"""Pictures and arrays that other programs read back as what was written."""

import io
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from medmint.errors import ArgumentError
from medmint.generation_request import OUTPUT_FORMATS
from medmint.writers.arrays import encode_npy
from medmint.writers.formats import WRITERS
from medmint.writers.png import PngWriter, encode_png
from medmint.writers.whole_numbers import Storage
from tests.packages.records import record
from tests.packages.written import encode, image_of, read, spec_of

RANDOM = np.random.default_rng(0)


def test_a_request_knows_the_formats_that_there_are():
    assert tuple(WRITERS) == OUTPUT_FORMATS


# PNG


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


def png_of(array, **spec):
    """Return the header entries and the stored numbers of one image."""
    output = {"image": spec} if spec else {}
    header = PngWriter(record(output=output)).header()
    content = encode("png", {"image": array}, output)["image"].content
    with Image.open(io.BytesIO(content)) as image:
        stored = np.asarray(image)
    if stored.ndim == 2:
        np.testing.assert_array_equal(read_grey_by_the_book(content), stored)
    return header, stored


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3), (5, 7, 4), (1, 1)])
def test_eight_bits_come_back(shape):
    array = RANDOM.integers(0, 256, shape, dtype=np.uint8)
    np.testing.assert_array_equal(png_of(array)[1], array)


def test_sixteen_bits_come_back_from_two_readers():
    array = RANDOM.integers(0, 65536, (9, 7), dtype=np.uint16)
    array[0, :2] = 0, 65535
    np.testing.assert_array_equal(png_of(array)[1], array)


@pytest.mark.parametrize("lowest", [None, -32768, -1024, -1000.0, 0, 100])
def test_a_signed_value_is_what_is_stored_plus_the_offset(lowest):
    offset = -32768 if lowest is None else int(lowest)
    array = np.array([[offset, offset + 1, 32767]], np.int16)
    limits = {} if lowest is None else {"value_range": [lowest, 32767]}
    header, stored = png_of(array, dtype="int16", **limits)
    assert header == ({"offsets": {"image": offset}} if offset else {})
    assert stored.dtype.kind == "u"
    np.testing.assert_array_equal(stored.astype(int) + offset, array)


def test_a_value_below_the_range_is_refused_instead_of_wrapped():
    array = np.array([[-1025, 0]], np.int16)
    with pytest.raises(ArgumentError, match="npy: image has values from -1025 to 0"):
        png_of(array, dtype="int16", value_range=[-1024, 3071])


def test_values_beyond_the_bits_do_not_fit():
    assert Storage(8).stored(np.array([256])) is None
    assert Storage(16, offset=-5).stored(np.array([-6], np.int16)) is None
    assert Storage(16, offset=0.0, scale=0.5).stored(np.array([np.nan])) is None


def test_real_grey_values_are_spread_over_16_bits_and_colours_over_8():
    grey = np.array([[-1, 0, 1]], np.float32)
    header, stored = png_of(grey, dtype="float32", value_range=[-1, 1])
    assert stored.tolist() == [[0, 32768, 65535]]
    scale, offset = header["scales"]["image"], header["offsets"]["image"]
    np.testing.assert_allclose(stored * scale + offset, grey, atol=scale / 2)
    colour = RANDOM.random((4, 5, 3)).astype(np.float32)
    header, stored = png_of(colour, dtype="float32", value_range=[0, 1], channels=3, spatial_dims=2)
    assert stored.dtype == np.uint8
    np.testing.assert_allclose(stored * header["scales"]["image"], colour, atol=0.5 / 255)


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
    with pytest.raises(ArgumentError, match="npy: image "):
        encode("png", {"image": array})


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"dtype": "uint8", "spatial_dims": 3}, "is a volume"),
        ({"dtype": "float32"}, "no value_range"),
        ({"dtype": "uint8", "channels": 2}, "2 channels"),
        ({"dtype": "uint16", "channels": 3}, "3 channels of 16 bits"),
    ],
)
def test_what_the_record_rules_out_is_refused_before_anything_is_made(spec, reason):
    with pytest.raises(ArgumentError, match=reason) as caught:
        PngWriter(record(output={"image": spec}))
    assert (caught.value.argument, caught.value.given) == ("output_format", "png")
    assert "npy" in caught.value.allowed


@pytest.mark.parametrize("name", ["label", "score"])
def test_labels_and_numbers_of_a_record_are_no_pictures(name):
    PngWriter(record(output={name: {"dtype": "float32", "spatial_dims": 0}}))


def test_views_with_channels_moved_come_back():
    array = np.moveaxis(RANDOM.integers(0, 256, (3, 5, 7), dtype=np.uint8), 0, -1)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(encode_png(array)))), array)


# NPY and NPZ


@pytest.mark.parametrize(
    "dtype", [np.uint8, np.uint16, np.int16, np.int32, np.int64, np.float32, np.float64, bool]
)
@pytest.mark.parametrize("output_format", ["npy", "npz"])
def test_npy_and_npz_hold_anything(dtype, output_format):
    array = RANDOM.integers(0, 2, (3, 4, 5)).astype(dtype)[:, ::2]
    back = read(encode(output_format, {"image": array})["image"])
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, array)


@pytest.mark.parametrize("label", [3, "polyp"])
def test_an_npz_file_holds_the_whole_sample(label):
    names = ("image", "mask", "file", "allow_pickle")
    arrays = {name: RANDOM.integers(0, 9, (4, 4)) for name in names}
    files = encode("npz", arrays, label=label)
    assert len({id(file) for file in files.values()}) == 1
    with np.load(io.BytesIO(files["mask"].content), allow_pickle=False) as back:
        assert set(back) == {*names, "label"}
        assert back["label"].item() == label
        for name in names:
            np.testing.assert_array_equal(back[name], arrays[name])
    with zipfile.ZipFile(io.BytesIO(files["mask"].content)) as archive:
        assert {member.date_time[0] for member in archive.infolist()} == {1980}


# TIFF


def test_the_pages_of_a_tiff_file_are_slices_with_their_spacing():
    import tifffile

    volume = image_of("i16", 3)
    file = encode("tiff", {"image": volume}, {"image": spec_of("i16", 3)})["image"]
    with tifffile.TiffFile(io.BytesIO(file.content)) as pages:
        assert len(pages.pages) == volume.shape[2]
        for number, page in enumerate(pages.pages):
            np.testing.assert_array_equal(page.asarray(), volume[:, :, number])
            tags = {tag.name: tag.value for tag in page.tags.values()}
            assert tags["ResolutionUnit"] == 3
            across, down = (
                tags[name][0] / tags[name][1] for name in ("XResolution", "YResolution")
            )
            np.testing.assert_allclose([10 / down, 10 / across], [0.5, 0.75], rtol=1e-3)


@pytest.mark.parametrize(
    "array", [np.zeros((4, 4, 3), np.uint16), np.zeros((4, 4), np.int64), np.zeros(4, np.uint8)]
)
def test_what_a_page_cannot_hold_is_refused(array):
    output = {"image": {"dtype": "uint16", "spatial_dims": 2}} if array.ndim == 3 else {}
    with pytest.raises(ArgumentError, match="npy: image "):
        encode("tiff", {"image": array}, output)


# All


@pytest.mark.parametrize("output_format", WRITERS)
def test_equal_arrays_make_equal_files(output_format):
    array = RANDOM.integers(0, 256, (8, 8), dtype=np.uint8)
    one, other = (
        encode(output_format, {"image": form, "mask": form}, {"mask": spec_of("u8", 2)})
        for form in (array, array.copy(order="F"))
    )
    assert one == other


def test_npy_is_numpys_own():
    array = RANDOM.random((2, 3))
    np.testing.assert_array_equal(np.load(io.BytesIO(encode_npy(array))), array)
