"""Images of every kind are read, checked and compared; what is wrong is said, never averaged in."""

import json
from importlib.metadata import version
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image
from scipy import ndimage

from medmint.errors import ArgumentError, MetricError
from medmint.metrics import find_extractor, frechet_distance, standardise
from medmint.metrics.training_plan import ALL, AUGMENTED, TrainingPlan
from medmint.model_evaluator import running
from medmint.model_evaluator.evaluator import (
    WEIGHT_FREE,
    EvaluationRequest,
    evaluate_images,
    extractors_of,
)
from medmint.model_evaluator.image_sets import read_image_set
from medmint.model_evaluator.patients import patients_from_names, patients_given
from medmint.model_evaluator.preparation import on_one_scale
from medmint.model_evaluator.running import USUAL
from medmint.model_evaluator.sensitivity import Variations, fid_sensitivity
from medmint.model_evaluator.several import compare_models, correlations
from tests.fakes.textures import disc_images, textures

REAL = textures(40, seed=1)
OTHER = textures(40, seed=2)


def save(folder, images, names=None, suffix=".png"):
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images):
        name = names[number] if names else f"image_{number:03d}{suffix}"
        Image.fromarray(image).save(folder / name)
    return folder


def request(**changes):
    return EvaluationRequest(**{"extractor": "descriptors", "seed": 0, **changes})


def dicom(path, pixels, patient, slope=1, intercept=0):
    data = pydicom.Dataset()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    data.SOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
    data.SOPInstanceUID = pydicom.uid.generate_uid()
    data.PatientID = patient
    data.RescaleSlope, data.RescaleIntercept = slope, intercept
    data.set_pixel_data(pixels, "MONOCHROME2", 16)
    data.save_as(path, enforce_file_format=True)


# Reading


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_pictures_are_read_in_the_order_of_their_names(tmp_path, suffix):
    save(tmp_path, REAL[:3][::-1], [f"{n}{suffix}" for n in "cba"])
    found = read_image_set(tmp_path)
    np.testing.assert_array_equal(found.images, REAL[:3])
    assert found.names == tuple(f"{n}{suffix}" for n in "abc")
    assert found.unit == "image"


def test_sixteen_bits_are_kept(tmp_path):
    deep = REAL[:3].astype(np.uint16) * 200
    found = read_image_set(save(tmp_path, deep))
    assert found.images.dtype == np.uint16
    np.testing.assert_array_equal(found.images, deep)


def test_transparency_is_dropped_and_palettes_are_colours(tmp_path):
    for number, mode in enumerate(["RGBA", "P", "RGB"]):
        picture = Image.fromarray(np.repeat(REAL[number][..., None], 3, axis=-1))
        picture.convert(mode).save(tmp_path / f"{number}.png")
    assert read_image_set(tmp_path).images.shape == (3, 48, 48, 3)


def test_pages_of_a_tiff_are_the_slices_of_a_volume(tmp_path):
    for number in range(2):
        first, *rest = [Image.fromarray(page) for page in textures(9, side=16, seed=number)]
        first.save(tmp_path / f"{number}.tif", save_all=True, append_images=rest)
    found = read_image_set(tmp_path)
    assert found.images.shape == (2, 16, 16, 9)
    assert found.unit == "volume"


def test_dicom_is_rescaled_and_names_its_patients(tmp_path):
    pixels = textures(4, side=16).astype(np.uint16)
    for number, one in enumerate(pixels):
        dicom(tmp_path / f"{number}.dcm", one, f"P{number // 2}", slope=2, intercept=-1024)
    found = read_image_set(tmp_path)
    assert found.images.dtype == np.int16
    np.testing.assert_array_equal(found.images, pixels.astype(np.int16) * 2 - 1024)
    assert found.patients.names == ("P0", "P0", "P1", "P1")
    assert (found.patients.source, found.unit) == ("DICOM headers", "patient")


def test_nifti_volumes_are_read_and_named_by_their_subjects(tmp_path):
    volumes = np.random.default_rng(0).normal(size=(2, 12, 14, 10)).astype(np.float32)
    for number, volume in enumerate(volumes):
        image = nibabel.Nifti1Image(volume, np.eye(4))
        nibabel.save(image, tmp_path / f"sub-{number:02d}_t1.nii.gz")
    found = read_image_set(tmp_path)
    np.testing.assert_array_equal(found.images, volumes)
    assert found.patients.names == ("sub-00", "sub-01")


def test_npy_files_stacks_arrays_and_lists_are_read(tmp_path):
    for number, image in enumerate(REAL[:3]):
        np.save(tmp_path / f"{number}.npy", image.astype(np.int64))
    from_folder = read_image_set(tmp_path).images
    np.testing.assert_array_equal(from_folder, REAL[:3])
    np.save(tmp_path / "stack.npy", REAL)
    assert len(read_image_set(tmp_path / "stack.npy")) == len(REAL)
    assert len(read_image_set(list(REAL))) == len(REAL)
    with_masks = read_image_set([(image, image > 128) for image in REAL])
    assert with_masks.masks.shape == REAL.shape


def test_masks_labels_and_groups_beside_images_are_found(tmp_path):
    images, masks = disc_images(4)
    save(tmp_path / "images", images)
    save(tmp_path / "masks", masks)
    lines = [f"image_{n:03d}.png,p{n % 2},{'ab'[n % 2]}" for n in range(4)]
    (tmp_path / "labels.csv").write_text("\n".join(["file,patient_id,label", *lines]))
    found = read_image_set(tmp_path)
    np.testing.assert_array_equal(found.masks, masks)
    assert found.labels == ("a", "b", "a", "b")
    assert found.patients.names == ("p0", "p1", "p0", "p1")
    assert found.patients.source == "labels.csv"


def test_a_text_file_names_the_images_of_a_split(tmp_path):
    save(tmp_path / "images", REAL[:5])
    (tmp_path / "split.txt").write_text("image_003.png\nimage_001.png\n")
    np.testing.assert_array_equal(read_image_set(tmp_path / "split.txt").images, REAL[[3, 1]])
    (tmp_path / "split.txt").write_text("missing.png\n")
    with pytest.raises(MetricError, match=r"missing\.png"):
        read_image_set(tmp_path / "split.txt")


@pytest.mark.parametrize(
    ("names", "patients"),
    [
        (["00001280_004.png", "00001299_000.png"], ("00001280", "00001299")),
        (["sub-01_T1.nii", "sub-02_T1.nii"], ("sub-01", "sub-02")),
        (["scan_patient7_a.png", "scan_patient12_b.png"], ("patient7", "patient12")),
        (["polyp_0001.png", "polyp_0002.png"], None),
        (["00001280_004.png", "other.png"], None),
    ],
)
def test_patients_are_read_from_names(names, patients):
    found = patients_from_names(names)
    assert (found.names if found else None) == patients


def test_patients_can_be_given_in_every_form(tmp_path):
    names = ["a1.png", "a2.png", "b1.png"]
    table = tmp_path / "people.csv"
    table.write_text("file,patient\n" + "".join(f"{name},{name[0]}\n" for name in names))
    forms = (list("aab"), dict(zip(names, "aab", strict=True)), lambda name: name[0], table)
    for form in forms:
        assert patients_given(form, names).names == ("a", "a", "b")
    with pytest.raises(MetricError, match="2 entries"):
        patients_given(["a", "b"], names)
    with pytest.raises(MetricError, match=r"no patient for b1\.png"):
        patients_given({"a1.png": 1, "a2.png": 1}, names)
    with pytest.raises(MetricError, match="without patients"):
        patients_given(table, [*names, "c.png"])


# Bad input


def test_a_folder_without_images_or_with_one_is_refused(tmp_path):
    with pytest.raises(MetricError, match="without images"):
        read_image_set(tmp_path)
    save(tmp_path, REAL[:1])
    with pytest.raises(MetricError, match="1 image"):
        read_image_set(tmp_path)
    with pytest.raises(MetricError, match="not there"):
        read_image_set(tmp_path / "nowhere")
    with pytest.raises(MetricError, match="arrays"):
        read_image_set(7)


def test_a_file_that_is_no_set_of_images_is_not_said_to_be_missing(tmp_path):
    np.savez(tmp_path / "volumes.npz", images=REAL)
    with pytest.raises(MetricError, match=r"volumes\.npz, a file of another kind.*\.npy"):
        read_image_set(tmp_path / "volumes.npz")


@pytest.mark.parametrize("odd", [textures(1, side=32)[0], textures(1, colour=True)[0]])
def test_mixed_sizes_and_channels_are_refused_by_name(tmp_path, odd):
    save(tmp_path, [*REAL[:3], odd])
    with pytest.raises(MetricError, match=r"mixture: 3 of shape \(48, 48\).*image_003\.png"):
        read_image_set(tmp_path)


def test_nan_pixels_are_refused_by_name(tmp_path):
    image = REAL[0].astype(float)
    np.save(tmp_path / "good.npy", image)
    image[3, 3] = np.nan
    np.save(tmp_path / "bad.npy", image)
    with pytest.raises(MetricError, match=r"bad\.npy.*NaN"):
        read_image_set(tmp_path)


@pytest.mark.parametrize("name", ["a.png", "a.npy", "a.dcm", "a.nii.gz", "a.tif"])
def test_a_file_that_is_not_what_its_name_says_is_named(tmp_path, name):
    (tmp_path / name).write_bytes(b"this is no image" * 20)
    with pytest.raises(MetricError, match="cannot be read") as caught:
        read_image_set(tmp_path)
    assert name in str(caught.value)


def test_black_and_repeated_images_are_remarked_on(tmp_path):
    images = np.concatenate([REAL[:4], np.zeros((3, 48, 48), dtype=np.uint8)])
    remarks = " ".join(read_image_set(save(tmp_path, images)).warnings)
    assert "3 of 7 images have one value only (image_004.png" in remarks
    assert "2 of 7 images repeat another one exactly" in remarks


def test_all_black_images_give_no_silent_number():
    black = np.zeros((12, 48, 48), dtype=np.uint8)
    report = evaluate_images(
        REAL[:12], black, request(metrics=["frechet_distance", "kid", "diversity"])
    )
    assert any("12 of 12 images have one value only" in one for one in report.warnings)
    assert any("collapsed" in finding for finding in report.findings)
    assert all(np.isfinite(row.value) for row in report.rows)


def test_fewer_samples_than_neighbours_fail_by_themselves():
    report = evaluate_images(REAL[:3], OTHER[:3], request(metrics=["kid", "precision_recall"]))
    assert "at least 4" in report.failures["precision_recall"]
    assert report.row("kid[descriptors]").n == 3


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (lambda images: np.full((len(images), 3), np.nan), "finite"),
        (lambda images: np.ones(len(images)), "shape"),
        (lambda _: np.ones((3, 2)), "shape"),
        (lambda _: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_a_broken_extractor_costs_its_own_metrics_alone(broken, words):
    wanted = ["frechet_distance", "diversity"]
    report = evaluate_images(REAL[:10], OTHER[:10], request(metrics=wanted, extractor=broken))
    assert words in report.failures["frechet_distance"]
    assert "diversity" not in report.failures
    assert report.row("ms_ssim_of_pairs").value > 0


def test_a_broken_extractor_leaves_the_other_one_standing():
    def broken(images):
        raise ValueError(len(images))

    wanted = request(metrics=["kid", "precision_recall"], extractor=[broken, "descriptors"])
    report = evaluate_images(REAL[:10], OTHER[:10], wanted)
    assert list(report.failures) == ["kid[broken]", "precision_recall[broken]"]
    assert report.row("kid[descriptors]").n == 10


def test_a_distance_of_zero_stands_without_its_ratio():
    black = np.zeros((12, 48, 48), dtype=np.uint8)
    report = evaluate_images(black, black, request(metrics=["frechet_distance"]))
    assert report.failures == {}
    assert report.row("frechet_distance[descriptors]").value == 0
    assert "relative_frechet[descriptors]" not in report.numbers
    assert any("relative_frechet[descriptors] is undefined" in one for one in report.warnings)


def test_a_value_that_never_varies_has_no_interval():
    far = np.full((20, 48, 48), 255, dtype=np.uint8)
    far[:, ::2] = np.arange(20, dtype=np.uint8)[:, None, None]
    row = evaluate_images(REAL[:20], far, request(metrics=["precision_recall"])).row(
        "recall[descriptors]"
    )
    assert (row.value, row.at_half, row.interval) == (0, 0, None)


def test_subsets_that_are_the_whole_set_have_no_deviation():
    report = evaluate_images(REAL, OTHER, request(metrics=["kid"]))
    subsets = report.details["kid[descriptors]"]["subsets"]
    assert subsets["mean"] == report.row("kid[descriptors]").value
    assert subsets["deviation"] is None
    assert any("every subset would be the whole set" in one for one in report.warnings)


def test_grey_beside_colour_is_said_to_measure_colour():
    colour = np.random.default_rng(0).permuted(np.stack([OTHER] * 3, axis=-1), axis=-1)
    report = evaluate_images(REAL, colour, request(metrics=["kid"]))
    assert any("colour that real images have not" in one for one in report.warnings)


def test_pairs_are_counted_as_they_were_taken():
    report = evaluate_images(REAL[:3], OTHER[:3], request(metrics=["diversity"]))
    assert report.row("ms_ssim_of_pairs").note.startswith("3 pairs;")


def test_what_is_not_counted_in_images_is_not_called_patients(tmp_path):
    folder = save(tmp_path / "images", REAL[:12])
    lines = [f"image_{number:03d}.png,{number // 2}" for number in range(12)]
    (tmp_path / "labels.csv").write_text("\n".join(["file,similarity_group", *lines]))
    report = evaluate_images(folder, OTHER, request(metrics=["kid"], train=folder))
    facts = report.provenance["real"]
    assert (facts["groups"], facts["unit"]) == (6, "similar group")
    assert report.provenance["torch"] == version("torch")
    assert "6 similar groups are in both real and train" in report.warnings


def test_classes_that_are_missing_are_seen_by_their_own_recall(tmp_path):
    images = np.concatenate([REAL[:20], 255 - REAL[20:] // 3, REAL[:2]])
    folder = save(tmp_path / "images", images)
    labels = ["usual"] * 20 + ["bright"] * 20 + ["rare"] * 2
    lines = [f"image_{number:03d}.png,{label}" for number, label in enumerate(labels)]
    (tmp_path / "labels.csv").write_text("\n".join(["file,label", *lines]))
    found = evaluate_images(folder, OTHER, request(metrics=["precision_recall"]))
    kept = {row.note: row for row in found.rows if row.metric.startswith("recall[descriptors, ")}
    usual, bright = (found.row(f"recall[descriptors, {one}]") for one in ("usual", "bright"))
    assert set(kept.values()) == {usual, bright}
    assert usual.value > 0.7
    assert bright.value < 0.1
    assert any("images of rare are too few" in one for one in found.warnings)


def test_the_same_folder_twice_is_said(tmp_path):
    folder = save(tmp_path, REAL[:12])
    report = evaluate_images(folder, folder, request(metrics=["frechet_distance"]))
    assert f"real and synthetic are the same: {folder}" in report.warnings
    assert any("above 1" in finding for finding in report.findings) or report.failures


def test_images_that_are_in_two_sets_are_counted():
    report = evaluate_images(
        REAL[:12], np.concatenate([OTHER[:9], REAL[:3]]), request(metrics=["kid"], train=REAL[6:])
    )
    assert "3 of 12 images of real are also in synthetic" in report.warnings
    assert "6 of 12 images of real are also in train" in report.warnings


def test_unknown_metrics_and_extractors_are_refused():
    with pytest.raises(ArgumentError, match="frechet_distance, kid"):
        evaluate_images(REAL, OTHER, request(metrics=["fidd"]))
    with pytest.raises(MetricError, match="seeded_convolution"):
        evaluate_images(REAL, OTHER, request(extractor="vgg"))
    with pytest.raises(ArgumentError, match="another name"):
        extractors_of(["descriptors", "descriptors"])


@pytest.mark.parametrize(
    "changes",
    [{"n": 0}, {"n": 1}, {"n": 2.5}, {"seed": -1}, {"seed": "x"}, {"n": True}, {"window": (5, 5)}],
)
def test_numbers_that_cannot_be_used_are_refused(changes):
    with pytest.raises(ArgumentError, match=next(iter(changes))):
        request(**changes)


def test_volumes_and_single_images_do_not_go_together():
    volumes = np.stack([textures(9, side=48, seed=seed) for seed in range(3)]).transpose(0, 2, 3, 1)
    with pytest.raises(MetricError, match="real"):
        evaluate_images(volumes, OTHER, request(metrics=["kid"]))


# Comparing


def test_equal_numbers_are_compared_and_what_was_left_out_is_said():
    report = evaluate_images(REAL, OTHER[:15], request(metrics=["kid"]))
    assert report.row("kid[descriptors]").n == 15
    assert any("15 of 40 images were drawn" in warning for warning in report.warnings)


def test_some_of_the_images_that_are_there_are_taken_where_asked():
    report = evaluate_images(REAL, OTHER, request(metrics=["kid"], n=11))
    assert report.row("kid[descriptors]").n == report.provenance["synthetic"]["n"] == 11
    with pytest.raises(ArgumentError, match="at most 40"):
        evaluate_images(REAL, OTHER, request(metrics=["kid"], n=41))


def test_other_sizes_channels_and_ranges_are_brought_together_and_said():
    large = np.repeat(np.repeat(REAL, 2, axis=1), 2, axis=2)
    colour = np.repeat(OTHER[..., None], 3, axis=-1)
    sets = {"real": read_image_set(large), "synthetic": read_image_set(colour)}
    scaled, remarks = on_one_scale(sets, None)
    assert scaled["real"].images.shape == (40, 48, 48, 3)
    assert len(remarks) == 2
    deep = read_image_set(REAL.astype(np.int16) * 8 - 1000)
    scaled, remarks = on_one_scale({"real": deep, "synthetic": deep}, (-1000, 1040))
    np.testing.assert_allclose(scaled["real"].images, REAL / 255, atol=1e-6)
    scaled, remarks = on_one_scale({"real": deep, "synthetic": read_image_set(OTHER)}, None)
    assert "value ranges differ" in remarks[0]
    assert scaled["real"].images.max() <= 1


def test_patients_are_the_unit_of_intervals_where_the_data_name_them(tmp_path):
    names = [f"{n // 4:08d}_{n % 4:03d}.png" for n in range(40)]
    folder = save(tmp_path, REAL, names)
    report = evaluate_images(folder, OTHER, request(metrics=["kid"]))
    interval = report.row("kid[descriptors]").interval
    assert (interval.unit, interval.units) == ("patient", 10)
    assert report.provenance["real"]["groups_from"] == "file names"


@pytest.mark.slow
def test_real_images_pass_and_poor_samplers_are_flagged():
    same = evaluate_images(REAL, OTHER, request(metrics=USUAL))
    assert same.findings == () or all("above 1" in one for one in same.findings)
    assert same.failures == {}
    one_image = np.repeat(OTHER[:1], len(REAL), axis=0)
    constant = evaluate_images(
        REAL, one_image, request(metrics=["precision_recall", "density_coverage", "diversity"])
    )
    assert constant.row("recall[descriptors]").value == 0
    assert constant.row("coverage[descriptors]").value < 0.2
    assert constant.row("ms_ssim_of_pairs").value == pytest.approx(1)
    assert constant.row("repeated_share").value == 1
    found = " ".join(constant.findings)
    assert "recall" in found
    assert "collapsed" in found
    assert "too little variety" in found


@pytest.mark.slow
def test_a_sampler_of_training_images_is_flagged_in_the_report():
    copies = REAL[:20, :, ::-1]
    report = evaluate_images(
        OTHER, copies, request(metrics=["privacy"], train=REAL, holdout=textures(20, seed=3))
    )
    assert any("returns training images" in finding for finding in report.findings)
    first = report.details["privacy"]["copies"][0]
    assert first["flip"] == "left-right"
    assert {picture.name for picture in report.pictures} >= {"nearest_pairs", "nearest_distances"}


@pytest.mark.slow
@pytest.mark.parametrize("name", WEIGHT_FREE)
@pytest.mark.parametrize("damage", ["blur", "noise"])
def test_growing_blur_and_noise_raise_both_weight_free_distances(damage, name):
    extractor = find_extractor(name)
    real = extractor(REAL)
    grain = np.random.default_rng(0).normal(size=OTHER.shape)
    distances = []
    for strength in (0.0, 0.6, 1.2, 2.4):
        worse = OTHER + 12 * strength * grain
        if damage == "blur":
            worse = ndimage.gaussian_filter(OTHER.astype(float), (0, strength, strength))
        worse = np.clip(np.round(worse), 0, 255).astype(np.uint8)
        distances.append(frechet_distance(*standardise(real, extractor(worse))))
    assert distances == sorted(distances)
    assert distances[-1] > 2 * distances[0]


def test_results_do_not_depend_on_order_but_on_the_seed_alone():
    one = evaluate_images(REAL, OTHER, request(metrics=["kid", "precision_recall"]))
    again = evaluate_images(REAL, OTHER, request(metrics=["kid", "precision_recall"]))
    assert one.to_dict() == again.to_dict()
    turned = evaluate_images(REAL[::-1], OTHER[::-1], request(metrics=["kid", "precision_recall"]))
    for row, other in zip(one.rows, turned.rows, strict=True):
        assert row.value == pytest.approx(other.value, rel=1e-9)


def test_features_of_real_images_are_kept_where_asked(tmp_path):
    wanted = request(metrics=["kid"], cache=tmp_path / "features")
    first = evaluate_images(REAL, OTHER, wanted)
    assert len(list((tmp_path / "features").iterdir())) == 1
    assert evaluate_images(REAL, OTHER, wanted).to_dict() == first.to_dict()


def test_every_section_may_fail_alone(monkeypatch):
    def broken(comparison):
        raise RuntimeError("a fault of its own")

    sections = {**running.SECTIONS, "kid": broken}
    monkeypatch.setattr(running, "SECTIONS", sections)
    report = evaluate_images(REAL[:12], OTHER[:12], request(metrics=["kid", "precision_recall"]))
    assert report.failures == {"kid": "RuntimeError: a fault of its own"}
    assert report.row("precision[descriptors]").n == 12
    assert "kid: RuntimeError" in str(report)


# Several models, and what decides


@pytest.mark.slow
def test_models_are_laid_side_by_side_and_one_may_fail():
    def evaluate(model_id):
        if model_id == "bad":
            raise MetricError("real", "something", "something else")
        shift = 30 if model_id == "far" else 0
        worse = np.clip(OTHER.astype(int) + shift, 0, 255).astype(np.uint8)
        return evaluate_images(REAL, worse, request(metrics=["frechet_distance"]))

    found = compare_models(["near", "bad", "far"], evaluate)
    near, far = found.rows()
    name = "frechet_distance[descriptors]"
    assert near[name] < far[name]
    assert list(found.failures) == ["bad"]
    assert [picture.name for picture in found.pictures] == ["models"]
    assert "near" in str(found)
    with pytest.raises(ArgumentError, match="at least one"):
        compare_models([], evaluate)


def test_metrics_are_correlated_with_usefulness_by_ranks():
    from scipy import stats

    random = np.random.default_rng(0)
    models = [f"m{n}" for n in range(6)]
    truth = random.normal(size=6)
    noise = random.normal(size=6)
    metrics = {
        name: {"good": float(-t), "noise": float(n), "flat": 1.0}
        for name, t, n in zip(models, truth, noise, strict=True)
    }
    scores = dict(zip(models, truth.tolist(), strict=True))
    found = {one.metric: one for one in correlations(metrics, scores, score="Dice")}
    assert found["good"].spearman == pytest.approx(-1)
    # Two of 720 orders are as extreme.
    assert found["good"].p_value == pytest.approx(2 / 720)
    assert found["noise"].spearman == pytest.approx(stats.spearmanr(noise, truth).statistic)
    assert found["flat"].p_value == 1
    many = random.normal(size=(2, 30))
    (one,) = correlations(
        {str(n): {"x": float(x)} for n, x in enumerate(many[0])},
        {str(n): float(y) for n, y in enumerate(many[1])},
        score="Dice",
    )
    expected = stats.spearmanr(*many)
    assert one.spearman == pytest.approx(expected.statistic)
    assert one.p_value == pytest.approx(expected.pvalue, abs=0.02)
    with pytest.raises(MetricError, match="at least 4"):
        correlations({m: metrics[m] for m in models[:3]}, scores, score="Dice")


@pytest.mark.slow
def test_sensitivity_has_every_combination_once():
    variations = Variations(
        extractors=["descriptors"],
        normalisations=["none", "minmax"],
        sides=[24, 48],
        sizes=[10, 20],
        seeds=[0, 1],
    )
    found = fid_sensitivity(REAL, OTHER, variations)
    assert len(found.points) == 16
    assert len({(p.normalisation, p.side, p.n, p.seed) for p in found.points}) == 16
    assert len(found.rows()) == 8
    assert [picture.name for picture in found.pictures] == ["sensitivity", "normalised_or_not"]
    with pytest.raises(MetricError, match="at most 40"):
        fid_sensitivity(REAL, OTHER, Variations(sizes=[50]))
    with pytest.raises(ArgumentError, match="seeds"):
        fid_sensitivity(REAL, OTHER, Variations(seeds=[]))


def test_seeds_that_all_draw_the_whole_set_have_no_deviation(tmp_path):
    variations = Variations(
        extractors=["descriptors"],
        normalisations=["none"],
        sides=[24],
        sizes=[10, 20],
        seeds=[0, 1],
    )
    found = fid_sensitivity(REAL[:20], OTHER[:20], variations)
    part, whole = found.rows()
    assert part["deviation"] > 0
    assert whole["deviation"] is None
    assert "None" not in found.save_html(tmp_path / "page.html").read_text()


def test_usefulness_needs_masks_and_says_so(tmp_path):
    wanted = request(metrics=["usefulness"], train=REAL, holdout=OTHER)
    report = evaluate_images(REAL, OTHER, wanted)
    assert "neither masks nor labels" in report.failures["usefulness"]
    without = evaluate_images(REAL, OTHER, request(metrics=["usefulness"]))
    assert "train" in without.failures["usefulness"]


@pytest.mark.parametrize("kind", ["masks", "labels"])
def test_usefulness_is_measured_with_masks_or_labels(tmp_path, kind):
    plan = TrainingPlan(
        steps=4, batch_size=4, every=2, side=16, width=8, fractions=(1.0,), arms=(ALL, AUGMENTED)
    )
    sets = {}
    for number, name in enumerate(("real", "synthetic", "train", "holdout")):
        # All synthetic images are trained on, although fewer are compared.
        images, masks = disc_images(12 if name == "synthetic" else 8, side=16, seed=number)
        folder = save(tmp_path / name / "images", images).parent
        if kind == "masks":
            save(folder / "masks", masks)
        lines = [f"image_{n:03d}.png,{'ab'[n % 2]}" for n in range(len(images))]
        (folder / "labels.csv").write_text("\n".join(["file,label", *lines]))
        sets[name] = folder
    wanted = request(
        metrics=["usefulness"], train=sets["train"], holdout=sets["holdout"], plan=plan
    )
    report = evaluate_images(sets["real"], sets["synthetic"], wanted)
    assert report.failures == {}
    assert any("were drawn" in warning for warning in report.warnings)
    score = "Dice" if kind == "masks" else "AUROC"
    row = report.row(f"{score}[{ALL} - {AUGMENTED}, 100%]")
    assert row.interval.low <= row.value <= row.interval.high
    assert (row.interval.unit, row.interval.units) == ("image", 8)
    assert "classical augmentation" in report.findings[0]
    assert report.pictures[-1].name == "usefulness"
    assert len(report.details["usefulness"]["runs"]) == 6


def test_volumes_are_compared_with_the_volume_as_unit():
    volumes = np.stack([textures(12, side=24, seed=seed) for seed in range(16)])
    volumes = volumes.transpose(0, 2, 3, 1)
    wanted = request(metrics=["kid", "density_coverage"])
    report = evaluate_images(volumes[:8], volumes[8:], wanted)
    assert report.failures == {}
    assert report.row("coverage[descriptors]").interval is None
    assert any("halves are too small" in warning for warning in report.warnings)
    interval = report.row("kid[descriptors]").interval
    assert (interval.unit, interval.units) == ("volume", 8)


def test_images_read_twice_have_their_remarks_once():
    repeated = read_image_set(np.concatenate([REAL[:3], REAL[:1]]), name="first")
    again = read_image_set(repeated, name="second")
    assert again.warnings == ("second: 1 of 4 images repeat another one exactly",)


def test_report_of_a_folder_written_by_generate(tmp_path):
    save(tmp_path / "images", REAL[:6])
    lines = [json.dumps({"medmint_manifest": 1, "offsets": {"image": -100}})]
    lines += [
        json.dumps({"index": n, "image": f"images/image_{n:03d}.png", "label": n % 2})
        for n in range(6)
    ]
    (tmp_path / "manifest.jsonl").write_text("\n".join(lines) + "\n")
    found = read_image_set(Path(tmp_path))
    np.testing.assert_array_equal(found.images, REAL[:6].astype(np.int16) - 100)
    assert found.labels == ("0", "1", "0", "1", "0", "1")


def test_real_images_are_not_called_training_images():
    report = evaluate_images(REAL, OTHER, request(metrics=["privacy"]))
    captions = " ".join(picture.caption for picture in report.pictures)
    assert "nearest real image" in captions
    assert "training" not in captions
    names = {row.metric for row in report.rows}
    assert "nearest_real_ratio[pixels]" in names
    assert "adversarial_accuracy[real]" in names
