"""Contact sheets: every sample at its place, masks outlined, any number type."""

import numpy as np
import pytest
from PIL import Image

from medmint.samples import Batch, GenerationResult
from medmint.sheets import OUTLINE, contact_sheet, outlined, save_sheet
from medmint.writers.png import PngWriter
from medmint.writers.run_folder import RunFolder
from tests.packages.records import record

WHITE = 255


def square(value=WHITE, side=16):
    mask = np.zeros((side, side), np.uint8)
    mask[4:12, 4:12] = value
    return mask


def test_images_stand_in_reading_order_with_white_between():
    images = [np.full((4, 6), value, np.uint8) for value in (10, 20, 30)]
    sheet = contact_sheet(images, columns=2)
    assert sheet.shape == (10, 14, 3)
    assert (sheet[:4, :6] == 10).all()
    assert (sheet[:4, 8:] == 20).all()
    assert (sheet[6:, :6] == 30).all()
    assert (sheet[4:6] == WHITE).all()
    assert (sheet[:, 6:8] == WHITE).all()
    assert (sheet[6:, 8:] == WHITE).all()


@pytest.mark.parametrize(("count", "shape"), [(1, (1, 1)), (2, (1, 2)), (5, (2, 3)), (16, (4, 4))])
def test_sheets_are_as_square_as_possible(count, shape):
    rows, columns = shape
    sheet = contact_sheet([np.zeros((8, 8, 3), np.uint8)] * count)
    assert sheet.shape == (rows * 10 - 2, columns * 10 - 2, 3)


def test_eight_bit_images_are_shown_as_they_are():
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    np.testing.assert_array_equal(contact_sheet([image]), image)


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.float32])
def test_other_types_share_one_window(dtype):
    dark, bright = np.full((10, 10), 100), np.full((10, 10), 1000)
    sheet = contact_sheet([dark.astype(dtype), bright.astype(dtype)])
    assert (sheet[:, :10] == 0).all()
    assert (sheet[:, 12:] == 255).all()


def test_an_even_image_of_many_bits_is_no_fault():
    assert (contact_sheet([np.full((4, 4), 7, np.int16)]) == 0).all()


def test_the_outline_is_the_inner_border_of_the_mask():
    image = np.full((16, 16, 3), 50, np.uint8)
    result = outlined(image, square())
    green = (result == OUTLINE).all(axis=-1)
    expected = square() > 0
    expected[5:11, 5:11] = False
    np.testing.assert_array_equal(green, expected)
    assert (result[~green] == 50).all()
    assert (image == 50).all()


def test_a_mask_that_touches_the_edge_is_outlined_there():
    green = (outlined(np.zeros((4, 4, 3), np.uint8), np.ones((4, 4))) == OUTLINE).all(axis=-1)
    assert green.sum() == 12


def test_class_numbers_and_booleans_are_masks_too():
    image = np.zeros((16, 16), np.uint8)
    by_value = [contact_sheet([image], [square(value)]) for value in (1, 3, 255)]
    by_value.append(contact_sheet([image], [square() > 0]))
    assert all((sheet == by_value[0]).all() for sheet in by_value)


def test_of_a_volume_the_middle_slice_is_shown():
    volume = np.zeros((8, 8, 11), np.uint8)
    volume[..., 5] = 200
    mask = np.zeros((8, 8, 11), np.uint8)
    mask[3, 3, 5] = 1
    sheet = contact_sheet([volume], [mask])
    assert tuple(sheet[3, 3]) == OUTLINE
    assert (sheet == 200).all(axis=-1).sum() == 63


def test_an_opacity_channel_is_left_out():
    image = np.zeros((4, 4, 4), np.uint8)
    image[..., 3] = 255
    assert (contact_sheet([image]) == 0).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.int16])
def test_a_saved_run_shows_as_its_arrays_do(tmp_path, dtype):
    images = np.random.default_rng(0).integers(0, 200, (3, 16, 16)).astype(dtype)
    masks = np.stack([square()] * 3)
    output = {"image": {"dtype": np.dtype(dtype).name, "value_range": [-100, 200]}}
    folder = RunFolder(tmp_path / "run", PngWriter(record(output=output)))
    folder.begin({"medmint_manifest": 1, "batch_size": 3}, 3, overwrite=False)
    folder.write(Batch(0, {"image": images, "mask": masks}))
    path = save_sheet(GenerationResult(tmp_path / "run", 3, 0), tmp_path / "sheet.png")
    sheet = np.asarray(Image.open(path))
    np.testing.assert_allclose(
        sheet.astype(int), contact_sheet(list(images), list(masks)).astype(int), atol=1
    )
