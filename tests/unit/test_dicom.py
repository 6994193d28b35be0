"""DICOM files: what they say, what reads them, and what a validator of the standard finds."""

import io
import shutil
import subprocess
import sys
import uuid

import numpy as np
import pytest

from medmint.errors import ArgumentError, MissingExtraError
from medmint.writers.formats import WRITERS
from tests.packages.records import record
from tests.packages.written import KINDS, RUN, SPACING, encode, image_of, spec_of

pydicom = pytest.importorskip("pydicom", reason="needs the extra dicom")

MASK = {
    "dtype": "uint8",
    "channels": 1,
    "values": {"0": "background", "1": "lesion", "4": "vessel"},
}
PAIRS = [(kind, sides) for sides in (2, 3) for kind in KINDS]
#: The 2022 build of dciodvfy does not know the attribute that the 2024 standard has.
KNOWN = "(0008,001c)"


def mask_of(sides):
    return np.random.default_rng(1).choice([0, 1, 4], (9, 7, 5)[:sides]).astype(np.uint8)


def files_of(kind, sides=2, *, image=None, **run):
    """Return the files of an image and its mask."""
    mask = MASK | {
        "spatial_dims": sides,
        "spacing_mm": SPACING[:sides],
        "orientation": "PLS"[:sides],
    }
    arrays = {"image": image_of(kind, sides) if image is None else image, "mask": mask_of(sides)}
    return encode("dicom", arrays, {"image": spec_of(kind, sides), "mask": mask}, **run)


def dataset_of(file):
    return pydicom.dcmread(io.BytesIO(file.content))


def errors_of(content, path):
    """Return the error lines of dciodvfy, without the one for what it is too old to know."""
    if shutil.which("dciodvfy") is None:
        pytest.skip("needs dciodvfy, of the Debian package dicom3tools")
    path.write_bytes(content)
    done = subprocess.run(
        ["dciodvfy", "-new", path], capture_output=True, text=True, check=False, errors="replace"
    )
    lines = (done.stdout + done.stderr).splitlines()
    assert any(KNOWN in line for line in lines), "it says of a synthetic file that it is one"
    return [line for line in lines if line.startswith("Error") and KNOWN not in line]


@pytest.mark.parametrize(("kind", "sides"), PAIRS)
def test_a_validator_finds_no_error(kind, sides, tmp_path):
    for name, file in files_of(kind, sides).items():
        assert errors_of(file.content, tmp_path / f"{name}.dcm") == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_validator_finds_no_error_where_the_record_knows_little(kind, tmp_path):
    for sides in (2, 3):
        spec = {key: spec_of(kind, sides)[key] for key in ("dtype", "channels", "value_range")}
        output = {"image": spec | {"spatial_dims": sides}}
        file = encode("dicom", {"image": image_of(kind, sides)}, output)["image"]
        assert errors_of(file.content, tmp_path / "image.dcm") == []


def test_the_validator_sees_a_fault(tmp_path):
    dataset = dataset_of(files_of("u8")["image"])
    del dataset.ConversionType
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    assert any(
        "ConversionType" in line for line in errors_of(buffer.getvalue(), tmp_path / "a.dcm")
    )


@pytest.mark.parametrize(("kind", "sides"), PAIRS)
def test_another_reader_gets_the_same_values(kind, sides, tmp_path):
    image = image_of(kind, sides)
    path = tmp_path / "image.dcm"
    path.write_bytes(files_of(kind, sides)["image"].content)
    back = read_by_itk(path)
    back = np.moveaxis(back, 0, 2) if sides == 3 else back
    step = 4 / 65535 * 0.501 if kind == "f32" else 0
    np.testing.assert_allclose(back.astype(float), image, rtol=0, atol=step)


@pytest.mark.filterwarnings("ignore:builtin type .* has no __module__:DeprecationWarning")
def read_by_itk(path):
    sitk = pytest.importorskip("SimpleITK")
    array = sitk.GetArrayFromImage(sitk.ReadImage(path))
    return array[0] if array.shape[0] == 1 else array


@pytest.mark.parametrize(("kind", "sides"), PAIRS)
def test_it_says_that_it_is_synthetic_and_whose(kind, sides):
    datasets = {name: dataset_of(file) for name, file in files_of(kind, sides).items()}
    image, mask = datasets["image"], datasets["mask"]
    for one in (image, mask):
        assert (one.SyntheticData, one.ContentQualification) == ("YES", "RESEARCH")
        assert str(one.PatientName).startswith("SYNTHETIC^")
        assert one.PatientID.startswith("SYNTH-")
        for key in ("PatientID", "PatientName", "StudyInstanceUID", "SeriesInstanceUID"):
            assert one[key].value == image[key].value
    assert image.SOPInstanceUID != mask.SOPInstanceUID
    assert image.ConversionType == "SYN"
    for fact in (RUN["model_id"], RUN["package_sha256"], f"seed {RUN['seed']}"):
        assert fact in image.DerivationDescription
    assert mask.SourceImageSequence[0].ReferencedSOPInstanceUID == image.SOPInstanceUID


def test_it_has_no_date_and_no_identity():
    times = {}
    for name, file in files_of("u16", 3).items():
        elements = dataset_of(file).iterall()
        times[name] = {
            one.keyword: str(one.value)
            for one in elements
            if one.VR in ("DA", "TM", "DT") and one.value
        }
    # A segmentation must have one: it is that of no day on which this could have been made.
    placeholder = {"ContentDate": "19000101", "ContentTime": "000000"}
    assert times == {"image": {}, "mask": placeholder}


def test_uids_are_derived_and_come_again():
    one, again = (files_of("i16", 3) for _ in range(2))
    assert one == again
    uids = {
        element.value
        for file in one.values()
        for element in dataset_of(file).iterall()
        if element.VR == "UI" and str(element.value).startswith("2.25.")
    }
    assert len(uids) >= 6
    for uid in uids:
        assert uuid.UUID(int=int(uid[5:])).version == 5


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 8},
        {"index": 4},
        {"package_sha256": "ef" * 32},
        {"weights_sha256": "ef" * 32},
        {"options": {"noise": 9.0}},
        {"condition": 1},
        {"condition": [0, 0, 0, 1]},
        {"latents_sha256": "ab"},
        {"reproducible": "batch"},
    ],
)
def test_two_runs_share_nothing(change):
    keys = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    image = image_of("u8", 2)
    for name in ("image", "mask"):
        one, other = (
            dataset_of(files_of("u8", image=image, **arguments)[name]) for arguments in ({}, change)
        )
        assert not [key for key in keys if one[key].value == other[key].value]


@pytest.mark.parametrize("change", [{"batch_size": 9}, {"threads": 1}, {"medmint_version": "2"}])
def test_a_sample_has_its_names_whatever_batch_it_was_in(change):
    one, other = (dataset_of(files_of("u8", **run)["image"]) for run in ({}, change))
    assert one.StudyInstanceUID == other.StudyInstanceUID
    assert one.SOPInstanceUID == other.SOPInstanceUID


def test_other_pixels_have_another_name():
    first = image_of("u8", 2)
    one, other = (
        dataset_of(files_of("u8", image=image)["image"]) for image in (first, 255 - first)
    )
    assert one.SOPInstanceUID != other.SOPInstanceUID
    assert one.StudyInstanceUID == other.StudyInstanceUID


def test_hounsfield_units_have_an_intercept_and_the_window_of_the_record():
    spec = spec_of("i16", 2, unit="HU", window=[-20, 100])
    file = encode("dicom", {"image": image_of("i16", 2)}, {"image": spec})["image"]
    dataset = dataset_of(file)
    assert (dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType) == (-1024, 1, "HU")
    shown = [-20, 40, 100]
    screen = pydicom.pixels.apply_voi_lut(np.array(shown, float), dataset)
    np.testing.assert_allclose(
        screen, np.array([0, 0.5, 1]) * np.ptp(screen) + screen.min(), atol=300
    )
    assert (dataset.WindowCenter, dataset.WindowWidth) == (40.5, 121)


@pytest.mark.parametrize("values", [(0, 65535), (100, 300), (7, 7)])
def test_the_window_of_16_bits_fits_the_data(values):
    image = np.resize(np.array(values, np.uint16), (4, 6))
    dataset = dataset_of(encode("dicom", {"image": image})["image"])
    low = dataset.WindowCenter - 0.5 - (dataset.WindowWidth - 1) / 2
    high = dataset.WindowCenter - 0.5 + (dataset.WindowWidth - 1) / 2
    assert (low, high) == values


def test_real_numbers_have_a_window_that_is_exact():
    dataset = dataset_of(files_of("f32")["image"])
    assert dataset.VOILUTFunction == "LINEAR_EXACT"
    np.testing.assert_allclose((dataset.WindowCenter, dataset.WindowWidth), (0.5, 4))


@pytest.mark.parametrize(
    ("kind", "interpretation", "bits"),
    [("u8", "MONOCHROME2", 8), ("u16", "MONOCHROME2", 16), ("rgb", "RGB", 8)],
)
def test_pixels_are_described(kind, interpretation, bits):
    dataset = dataset_of(files_of(kind)["image"])
    assert (dataset.PhotometricInterpretation, dataset.BitsStored) == (interpretation, bits)
    assert (dataset.Rows, dataset.Columns) == (9, 7)
    assert "BurnedInAnnotation" not in dataset
    assert "WindowCenter" in dataset or bits == 8


def test_spacing_and_directions_are_given_where_the_record_knows_them():
    known = dataset_of(files_of("u8")["image"])
    assert list(known.PixelSpacing) == SPACING[:2]
    # Rows lead to the left, columns to the back.
    assert list(known.PatientOrientation) == ["L", "P"]
    volume = dataset_of(files_of("u8", 3)["image"])
    assert list(volume.SliceLocationVector) == [0, 2, 4, 6, 8]
    unknown = dataset_of(encode("dicom", {"image": image_of("u8", 2)})["image"])
    assert "PixelSpacing" not in unknown
    assert not unknown.PatientOrientation


@pytest.mark.parametrize(("known", "says"), [(False, "NO"), (True, "YES"), (None, None)])
def test_burned_in_text_is_ruled_out_by_the_record_alone(known, says):
    more = {} if known is None else {"burned_in_text": known}
    for sides, expected in ((2, says), (3, says or "YES")):
        output = {"image": spec_of("u8", sides, **more)}
        dataset = dataset_of(encode("dicom", {"image": image_of("u8", sides)}, output)["image"])
        assert dataset.get("BurnedInAnnotation") == expected


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["CT", "head CT"], "CT"),
        (["full-field MMG", "x-ray mammography", "Mammography"], "MG"),
        (["Brain MRI", "MRI"], "MR"),
        (["colonoscopy"], "ES"),
        (["x-ray", "CXR"], "DX"),
        (["drawing"], "OT"),
        ([], "OT"),
    ],
)
def test_the_modality_is_the_one_that_is_imitated(words, code):
    from medmint.catalogue.records import ModelRecord
    from medmint.writers.sample_writer import Sample

    entry = record().to_dict()
    entry["selection"]["modality"] = words
    writer = WRITERS["dicom"](ModelRecord.from_dict(RUN["model_id"], entry))
    sample = Sample(index=0, arrays={"image": image_of("u8", 2)}, label=None, run=RUN)
    assert dataset_of(next(iter(writer.encode(sample)))).Modality == code


@pytest.mark.parametrize("sides", [2, 3])
def test_a_segmentation_holds_the_mask(sides):
    dataset = dataset_of(files_of("u8", sides)["mask"])
    mask = mask_of(sides).reshape(9, 7, -1)
    values = {one.SegmentNumber: one.SegmentLabel for one in dataset.SegmentSequence}
    assert values == {1: "lesion", 2: "vessel"}
    frames = dataset.pixel_array.reshape(-1, 9, 7)
    assert len(frames) == 2 * mask.shape[2]
    for frame, place in zip(frames, dataset.PerFrameFunctionalGroupsSequence, strict=True):
        segment = place.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        source = place.DerivationImageSequence[0].SourceImageSequence[0]
        number = int(source.get("ReferencedFrameNumber", 1))
        np.testing.assert_array_equal(frame, mask[:, :, number - 1] == {1: 1, 2: 4}[segment])
        if sides == 3:
            position = place.PlanePositionSequence[0].ImagePositionPatient
            assert list(position) == [0, 0, 2 * (number - 1)]


def test_a_segmentation_of_a_volume_lies_where_its_axes_lead():
    dataset = dataset_of(files_of("u8", 3)["mask"])
    shared = dataset.SharedFunctionalGroupsSequence[0]
    # Columns follow each other to the left, which is +x, rows to the back, which is +y.
    directions = shared.PlaneOrientationSequence[0].ImageOrientationPatient
    assert list(directions) == [1, 0, 0, 0, 1, 0]
    assert list(shared.PixelMeasuresSequence[0].PixelSpacing) == SPACING[:2]


@pytest.mark.parametrize("value", [0, 255])
def test_a_mask_of_one_value_is_a_segmentation(value, tmp_path):
    arrays = {"image": image_of("u8", 2), "mask": np.full((9, 7), value, np.uint8)}
    file = encode("dicom", arrays)["mask"]
    assert errors_of(file.content, tmp_path / "mask.dcm") == []
    assert (dataset_of(file).pixel_array == bool(value)).all()


@pytest.mark.parametrize("mask", [np.zeros((9, 6), np.uint8), np.zeros((9, 7), np.int16)])
def test_what_is_no_label_map_of_its_image_is_refused(mask):
    with pytest.raises(ArgumentError, match="mask is of type"):
        encode("dicom", {"image": image_of("u8", 2), "mask": mask})


def test_instances_are_numbered_whatever_comes_first():
    arrays = {"mask": mask_of(2), "image": image_of("u8", 2), "depth": image_of("u16", 2)}
    datasets = {name: dataset_of(file) for name, file in encode("dicom", arrays).items()}
    numbers = {name: int(one.InstanceNumber) for name, one in datasets.items()}
    assert numbers == {"mask": 1, "image": 2, "depth": 3}
    assert len({one.SOPInstanceUID for one in datasets.values()}) == 3


def test_masks_of_volumes_need_a_spacing():
    output = {"image": {"dtype": "uint8", "spatial_dims": 3}}
    with pytest.raises(ArgumentError, match="spacing_mm"):
        WRITERS["dicom"](record(output=output | {"mask": output["image"]}))
    with pytest.raises(ArgumentError, match="spacing_mm"):
        encode("dicom", {"image": image_of("u8", 3), "mask": mask_of(3)})


@pytest.fixture
def without(monkeypatch):
    """Make a package look as if it were not installed."""
    return lambda name: monkeypatch.setitem(sys.modules, name, None)


def test_without_pydicom_the_extra_is_named(without):
    without("pydicom")
    with pytest.raises(MissingExtraError, match=r"pip install 'medmint\[dicom\]'"):
        WRITERS["dicom"](record())


def test_without_highdicom_masks_are_pictures_and_this_is_said(without, caplog):
    without("highdicom")
    files = files_of("u8")
    assert files["mask"].suffix == ".png"
    from PIL import Image

    np.testing.assert_array_equal(
        np.asarray(Image.open(io.BytesIO(files["mask"].content))), mask_of(2)
    )
    assert "written as PNG" in caplog.text
    assert "medmint[seg]" in caplog.text
    with pytest.raises(MissingExtraError, match=r"medmint\[seg\]"):
        files_of("u8", 3)
    with pytest.raises(MissingExtraError, match=r"medmint\[seg\]"):
        encode("dicom", {"image": image_of("u8", 3), "mask": mask_of(3)})


def test_a_run_goes_on_with_the_masks_that_it_began_with(without):
    of_masks, of_none = record(output={"mask": MASK}), record()
    assert WRITERS["dicom"](of_masks).header() == {"mask_format": "seg"}
    without("highdicom")
    assert WRITERS["dicom"](of_masks).header() == {"mask_format": "png"}
    assert WRITERS["dicom"](of_none).header() == {}


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"dtype": "float32"}, "no value_range"),
        ({"dtype": "uint8", "channels": 4}, "4 channels"),
        ({"dtype": "uint16", "channels": 3}, "16 bits"),
    ],
)
def test_what_dicom_cannot_hold_is_refused_before_anything_is_made(spec, reason):
    with pytest.raises(ArgumentError, match=reason):
        WRITERS["dicom"](record(output={"image": spec}))
