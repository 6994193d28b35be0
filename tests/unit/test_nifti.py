"""NIfTI files: values, spacing and orientation as two other programs read them."""

import gzip
import io
import sys

import numpy as np
import pytest

from medmint.errors import ArgumentError, MissingExtraError
from medmint.writers.formats import WRITERS
from medmint.writers.geometry import affine_of
from tests.packages.records import record
from tests.packages.written import KINDS, SPACING, encode, image_of, read, spec_of

nibabel = pytest.importorskip("nibabel", reason="needs the extra nifti")

LETTERS = "RLAPSI"


def nifti_of(file):
    return nibabel.Nifti1Image.from_bytes(gzip.decompress(file.content))


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "PLS", "SAR", "IPL", "ALI"])
def test_axes_lead_where_the_record_says(orientation):
    spec = spec_of("i16", 3, orientation=orientation)
    image = nifti_of(encode("nifti", {"image": image_of("i16", 3)}, {"image": spec})["image"])
    assert "".join(nibabel.aff2axcodes(image.affine)) == orientation
    np.testing.assert_allclose(nibabel.affines.voxel_sizes(image.affine), SPACING)
    assert image.header.get_xyzt_units()[0] == "mm"
    assert (int(image.header["sform_code"]), int(image.header["qform_code"])) == (1, 1)
    np.testing.assert_allclose(image.get_qform(), image.get_sform(), atol=1e-6)


@pytest.mark.parametrize("orientation", ["PL", "RA", "AS"])
def test_a_picture_has_its_directions_too(orientation):
    spec = spec_of("u8", 2, orientation=orientation)
    image = nifti_of(encode("nifti", {"image": image_of("u8", 2)}, {"image": spec})["image"])
    assert image.shape == (9, 7)
    assert "".join(nibabel.aff2axcodes(image.affine))[:2] == orientation
    np.testing.assert_allclose(image.header.get_zooms(), SPACING[:2])


def test_what_the_record_does_not_know_is_not_claimed():
    image = nifti_of(encode("nifti", {"image": image_of("u8", 3)}, {})["image"])
    assert (int(image.header["sform_code"]), int(image.header["qform_code"])) == (0, 0)
    assert image.header.get_xyzt_units()[0] == "unknown"
    assert image.header.get_zooms() == (1, 1, 1)


def test_spacing_without_directions_is_kept():
    spec = {"dtype": "uint8", "spatial_dims": 3, "spacing_mm": SPACING}
    image = nifti_of(encode("nifti", {"image": image_of("u8", 3)}, {"image": spec})["image"])
    assert list(image.header.get_zooms()) == SPACING
    assert int(image.header["sform_code"]) == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sides", [2, 3])
def test_another_reader_gets_values_spacing_and_directions(kind, sides, tmp_path):
    image = image_of(kind, sides)
    path = tmp_path / "image.nii.gz"
    path.write_bytes(
        encode("nifti", {"image": image}, {"image": spec_of(kind, sides)})["image"].content
    )
    back, spacing, direction = read_by_itk(path)
    # SimpleITK counts the axes from the last one.
    axes = tuple(reversed(range(sides))) + ((sides,) if kind == "rgb" else ())
    np.testing.assert_array_equal(back.transpose(axes), image)
    np.testing.assert_allclose(spacing, SPACING[:sides])
    if sides == 3:
        # To the back and to the left are +y and +x there.
        np.testing.assert_allclose(np.reshape(direction, (3, 3)), [[0, 1, 0], [1, 0, 0], [0, 0, 1]])


@pytest.mark.filterwarnings("ignore:builtin type .* has no __module__:DeprecationWarning")
def read_by_itk(path):
    sitk = pytest.importorskip("SimpleITK")
    image = sitk.ReadImage(path)
    return sitk.GetArrayFromImage(image), image.GetSpacing(), image.GetDirection()


def test_a_mask_is_a_label_map_in_the_place_of_its_image():
    labels = np.random.default_rng(0).integers(0, 3, (9, 7, 5)).astype(np.uint8)
    output = {"image": spec_of("i16", 3), "mask": {"dtype": "uint8", "spatial_dims": 3}}
    files = encode("nifti", {"image": image_of("i16", 3), "mask": labels}, output)
    image, mask = (nifti_of(files[name]) for name in ("image", "mask"))
    np.testing.assert_array_equal(np.asarray(mask.dataobj), labels)
    assert mask.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(mask.affine, image.affine)


def test_it_says_that_it_is_synthetic_and_nothing_of_the_clock():
    file = encode("nifti", {"image": image_of("u8", 2)})["image"]
    header = nifti_of(file).header
    assert header["descrip"].item().startswith(b"synthetic: medmint 90009")
    assert header["intent_name"].item() == b"synthetic"
    assert file.content[4:8] == b"\0\0\0\0", "time of the compression"


@pytest.mark.parametrize("values", ["RGB", "RGBA"])
def test_colours_are_nifti_colours(values):
    image = np.random.default_rng(0).integers(0, 256, (4, 6, len(values))).astype(np.uint8)
    file = encode("nifti", {"image": image})["image"]
    assert nifti_of(file).get_data_dtype().names == tuple(values)
    np.testing.assert_array_equal(read(file), image)


def test_axes_and_steps_make_the_matrix():
    for first in LETTERS:
        affine = affine_of((2.0, 1.0, 1.0), first)
        assert nibabel.aff2axcodes(affine)[0] == first
        assert abs(np.linalg.det(affine)) == 2


def test_without_nibabel_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'medmint\[nifti\]'"):
        WRITERS["nifti"](record())


@pytest.mark.parametrize(
    "spec", [{"dtype": "uint8", "channels": 2}, {"dtype": "uint16", "channels": 3}]
)
def test_what_nifti_cannot_hold_is_refused_before_anything_is_made(spec):
    with pytest.raises(ArgumentError, match="npy: image is of type"):
        WRITERS["nifti"](record(output={"image": spec}))
    shape = (4, 4, spec["channels"])
    with pytest.raises(ArgumentError, match="npy: image is of type"):
        encode("nifti", {"image": np.zeros(shape, np.int64)})


def test_a_file_is_as_small_as_its_content_allows():
    file = encode("nifti", {"image": np.zeros((64, 64, 64), np.uint8)})["image"]
    assert len(file.content) < 2000
    assert len(gzip.GzipFile(fileobj=io.BytesIO(file.content)).read()) == 352 + 64**3
