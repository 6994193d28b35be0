"""Folders of training images: what is read, and every fault said at once with its remedy."""

import contextlib
import csv
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from medmint.errors import ArgumentError, TrainingError
from medmint.model_trainer import condition_values, read_images
from medmint.model_trainer.splits import SPLITS, side_of
from tests.packages.trainings import training_folder

VIEWS = {"view": ("AP", "PA")}


@pytest.fixture
def folder(tmp_path):
    return training_folder(tmp_path / "my data")


def rewrite(path, change):
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")


def write_splits(folder, **names):
    for split, own in names.items():
        (folder / f"split_{split}.txt").write_text("".join(f"{name}\n" for name in own))


def all_names(folder):
    return sorted(path.name for path in (folder / "images").iterdir())


class TestWhatIsRead:
    def test_images_masks_and_table_belong_together(self, folder):
        found = read_images(
            folder, "train", size=16, channels=3, with_masks=True, conditions=VIEWS | {"sex": "FM"}
        )
        with (folder / "labels.csv").open(newline="") as file:
            rows = {row["file"]: row for row in csv.DictReader(file)}
        for i, name in enumerate(found.names):
            with Image.open(folder / "images" / name) as image:
                np.testing.assert_array_equal(found.images[i], np.asarray(image))
            with Image.open(folder / "masks" / name) as mask:
                np.testing.assert_array_equal(found.masks[i], np.asarray(mask))
            assert VIEWS["view"][found.conditions[i, 0]] == rows[name]["view"]
            assert "FM"[found.conditions[i, 1]] == rows[name]["sex"]
            assert found.patients[i] == rows[name]["patient_id"]

    def test_grey_and_smaller_on_request(self, folder):
        found = read_images(folder, "train", size=8, channels=1, with_masks=True)
        assert found.images.shape[1:] == (8, 8, 1)
        assert set(np.unique(found.masks)) == {0, 255}

    def test_splits_share_all_images_and_no_patient(self, folder):
        found = [read_images(folder, split, size=16, channels=3) for split in SPLITS]
        again = [read_images(folder, split, size=16, channels=3).names for split in SPLITS]
        assert [part.names for part in found] == again
        assert sorted(name for part in found for name in part.names) == all_names(folder)
        patients = [set(part.patients) for part in found]
        assert sum(map(len, patients)) == len(set.union(*patients)) == 30

    @given(st.sets(st.text(min_size=1, max_size=20), min_size=300, max_size=300))
    def test_shares_are_near_those_promised(self, units):
        sides = [side_of(unit) for unit in units]
        for side, share in (("train", 0.70), ("val", 0.15), ("test", 0.15)):
            # Five standard deviations of a share of 300.
            assert abs(sides.count(side) / 300 - share) < 5 * (share * (1 - share) / 300) ** 0.5

    def test_hidden_files_of_a_system_are_no_images(self, folder):
        (folder / "images" / ".DS_Store").write_bytes(b"notes")
        for split in SPLITS:
            assert not {".DS_Store"} & set(read_images(folder, split, size=16, channels=3).names)

    def test_split_files_come_first_and_names_may_have_spaces(self, folder):
        names = all_names(folder)
        write_splits(folder, train=names[:40], val=["", *names[40:50], "  "])
        assert list(read_images(folder, "train", size=16, channels=3).names) == names[:40]
        assert list(read_images(folder, "val", size=16, channels=3).names) == names[40:50]

    def test_files_of_other_systems_are_understood(self, folder):
        names = [f"./{name}" for name in all_names(folder)]
        text = "\ufeff" + "\r\n".join(names[:40])
        (folder / "split_train.txt").write_bytes(text.encode())
        rewrite(folder / "labels.csv", lambda text: "\ufeff" + text.replace("\n", "\r\n"))
        found = read_images(folder, "train", size=16, channels=3, conditions=VIEWS)
        assert list(found.names) == all_names(folder)[:40]
        assert found.conditions.min() == 0

    def test_an_empty_cell_is_an_unknown_value(self, folder):
        rewrite(folder / "labels.csv", lambda text: text.replace(",PA,", ",,"))
        found = read_images(folder, "train", size=16, channels=3, conditions=VIEWS)
        assert set(np.unique(found.conditions)) == {-1, 0}

    def test_without_a_table_there_are_no_patients(self, folder):
        (folder / "labels.csv").unlink()
        found = read_images(folder, "train", size=16, channels=3)
        assert found.patients is None
        assert found.conditions.shape == (len(found.names), 0)

    def test_values_of_columns_are_sorted(self, folder):
        assert condition_values(folder, ["view", "sex"]) == {
            "view": ("AP", "PA"),
            "sex": ("F", "M"),
        }


def remove(path):
    def act(folder):
        target = folder / path
        for file in target.iterdir() if target.is_dir() else ():
            file.unlink()
        target.rmdir() if target.is_dir() else target.unlink()

    return act


def replace(path, change):
    def act(folder):
        with Image.open(folder / path) as image:
            made = change(image.copy())
        made.save(folder / path)

    return act


def each(part, change):
    def act(folder):
        for path in (folder / part).iterdir():
            replace(path, change)(folder)

    return act


def bytes_of(path, content):
    return lambda folder: (folder / path).write_bytes(content)


def table(change):
    return lambda folder: rewrite(folder / "labels.csv", change)


def splits(**changes):
    """Return what writes good split files but for what these functions make of them."""

    def act(folder):
        names = all_names(folder)
        whole = {"train": names[:40], "val": names[40:50], "test": names[50:]}
        write_splits(folder, **whole | {key: make(whole) for key, make in changes.items()})

    return act


def deep_png(folder):
    Image.fromarray(np.full((16, 16), 40_000, np.uint16)).save(folder / ONE)


ONE = "images/image 002.png"
SMALL_PNG = io.BytesIO()
Image.new("RGB", (16, 16)).save(SMALL_PNG, "PNG")

FAULTS = {
    "no images": (remove("images"), "", "no folder images.*Put the images there"),
    "no masks": (remove("masks"), "masks", "the model draws masks.*Give one for each"),
    "a mask missing": (remove("masks/image 002.png"), "masks/image 002.png", "1 of .*Add them"),
    "masks of 0 and 1": (
        each("masks", lambda mask: mask.point(lambda value: value // 255)),
        "masks",
        r"largest value is 1\. Write masks as 0 and 255",
    ),
    "masks of another size": (
        each("masks", lambda mask: mask.resize((32, 32))),
        "masks",
        "masks of 32 pixels for images of 16.*without smoothing",
    ),
    "mixed sizes": (
        replace(ONE, lambda image: image.resize((20, 20))),
        "images",
        r"images of mixed sizes \(.* of 16 x 16, 1 of 20 x 20\).*Bring all to one",
    ),
    "masks of mixed sizes": (
        replace("masks/image 002.png", lambda mask: mask.resize((20, 20))),
        "masks",
        r"masks of mixed sizes \(.* of 16 x 16, 1 of 20 x 20\)",
    ),
    "not square": (
        each("images", lambda image: image.resize((16, 20))),
        "images",
        "16 x 20 pixels, expected squares of 16.*Cut or pad",
    ),
    "too small": (
        each("images", lambda image: image.resize((8, 8))),
        "images",
        "8 x 8 pixels, expected squares of 16.*smaller size",
    ),
    "one grey value each": (
        each("images", lambda image: Image.new("RGB", image.size, image.getpixel((0, 0)))),
        "images",
        "all the same, or each has one grey value alone",
    ),
    "all the same": (
        each("images", lambda image: Image.linear_gradient("L").resize(image.size).convert("RGB")),
        "images",
        "all the same, or each has one grey value alone",
    ),
    "broken facts": (bytes_of("data.toml", b"name = "), "data.toml", "cannot be read as TOML"),
    "no image": (bytes_of(ONE, b"text"), ONE, "cannot be read as an image.*Replace it"),
    "empty file": (bytes_of(ONE, b""), ONE, "cannot be read as an image"),
    "torn image": (bytes_of(ONE, SMALL_PNG.getvalue()[:50]), ONE, "cannot be read as an image"),
    "sixteen bits": (deep_png, ONE, "more than 8 bits.*Choose a window"),
    "no column file": (table(lambda text: text.replace("file", "name", 1)), "labels.csv", "'file'"),
    "other separator": (table(lambda text: text.replace(",", ";")), "labels.csv", "by commas"),
    "more cells": (table(lambda text: text + "x.png,p,PA,F,more\n"), "labels.csv", "more cells"),
    "twice in the table": (
        table(lambda text: text + "image 000.png,p0,PA,F\n"),
        "labels.csv",
        "names image 000.png twice",
    ),
    "not UTF-8": (bytes_of("labels.csv", b"file\n\xff\xfe\n"), "labels.csv", "in UTF-8"),
    "no table": (remove("labels.csv"), "labels.csv", "no column 'view'.*a row for each image"),
    "no column": (
        table(lambda text: text.replace("view", "projection")),
        "labels.csv",
        "no column 'view'.*columns file and view",
    ),
    "unknown value": (
        table(lambda text: text.replace("AP", "lateral", 1)),
        "labels.csv",
        "the view 'lateral', expected one of AP, PA.*leave the cell empty",
    ),
    "names of other files": (
        table(lambda text: text.replace("image ", "picture ")),
        "labels.csv",
        "names none of 60 images such as image 000.png.*ending included",
    ),
    "a split missing": (
        lambda folder: write_splits(folder, val=all_names(folder)),
        "split_train.txt",
        "though split_val.txt is.*Write it",
    ),
    "too few": (
        splits(train=lambda own: own["train"][:31]),
        "",
        "31 images, at least 32 are needed.*Add images",
    ),
    "a file missing": (
        splits(train=lambda own: [*own["train"], "gone.png"]),
        "images/gone.png",
        "1 of 41 images are not there.*split files",
    ),
    "a name twice": (
        splits(train=lambda own: [*own["train"], "./image 000.png"]),
        "split_train.txt",
        "names image 000.png 2 times",
    ),
    "a file in train and test": (
        splits(test=lambda own: [*own["test"], "image 000.png"]),
        "",
        "image 000.png is in the splits train and test.*belongs to one split",
    ),
    "a patient in train and val": (
        splits(
            train=lambda own: [*own["train"][:-1], own["val"][0]],
            val=lambda own: [own["train"][-1], *own["val"][1:]],
        ),
        "",
        "patient p.* is in the splits train and val",
    ),
    "outside": (
        splits(train=lambda own: [*own["train"], "../secret.png"]),
        "split_train.txt",
        "outside of the folder images",
    ),
    "far outside": (
        splits(train=lambda own: [*own["train"], "/etc/image.png"]),
        "split_train.txt",
        "outside of the folder images",
    ),
    "a folder as split file": (
        lambda folder: (folder / "split_train.txt").mkdir(),
        "split_train.txt",
        "cannot be read.*a file name a line",
    ),
    "split not UTF-8": (bytes_of("split_train.txt", b"\xff\xfe"), "split_train.txt", "in UTF-8"),
}


def test_blanks_around_column_names_do_no_harm(folder):
    table(lambda text: text.replace("patient_id", " patient_id ", 1))(folder)
    assert read_images(folder, "train", size=16, channels=3).patients is not None


def test_images_without_a_patient_are_said(folder, caplog):
    table(lambda text: text.replace(",p0,", ",,"))(folder)
    with caplog.at_level("INFO", "medmint.model_trainer"):
        read_images(folder, "train", size=16, channels=3)
    assert "have no patient_id, and are taken for patients of their own" in caplog.text


def test_no_image_with_a_value_of_each_condition(folder):
    table(lambda text: text.replace("PA,F", "PA,").replace("PA,M", "PA,"))(folder)
    table(lambda text: text.replace("AP,F", ",F").replace("AP,M", ",M"))(folder)
    with pytest.raises(TrainingError, match=r"has a value for each of view, sex\. Name fewer"):
        read_images(folder, "train", size=16, channels=3, conditions=VIEWS | {"sex": "FM"})


def test_columns_that_nobody_asks_for_are_named(folder, caplog):
    with caplog.at_level("INFO", "medmint.model_trainer"):
        condition_values(folder, [])
    assert "No --conditions are named: classes are not learnt. Columns are" in caplog.text


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_said_at_once_with_its_place_and_remedy(folder, fault):
    spoil, place, message = FAULTS[fault]
    read_images(folder, "train", size=16, channels=3, with_masks=True, conditions=VIEWS)
    spoil(folder)
    with pytest.raises(TrainingError, match=message) as caught:
        read_images(folder, "train", size=16, channels=3, with_masks=True, conditions=VIEWS)
    assert caught.value.path == folder / place
    assert str(folder / place) in str(caught.value)


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_split_too_small_to_measure_with_is_said(folder, split):
    splits(**{split: lambda own: own[split][:7]})(folder)
    with pytest.raises(TrainingError, match=f"split {split} has 7 images, at least 8"):
        read_images(folder, split, size=16, channels=3)


def test_a_folder_that_is_not_there_is_said(tmp_path):
    with pytest.raises(TrainingError, match="no folder images"):
        read_images(tmp_path / "nowhere", "train", size=16, channels=3)


@pytest.mark.parametrize("wrong", [{"split": "trian"}, {"channels": 2}, {"size": 0}])
def test_what_cannot_be_asked_for_is_refused(folder, wrong):
    asked = {"split": "train", "channels": 3, "size": 16} | wrong
    with pytest.raises(ArgumentError, match=next(iter(wrong))):
        read_images(folder, **asked)


@pytest.mark.parametrize(
    ("columns", "message"), [(["age"], "no column 'age'"), (["patient"], "no column")]
)
def test_conditions_need_their_columns(folder, columns, message):
    with pytest.raises(TrainingError, match=message):
        condition_values(folder, columns)


def test_a_condition_that_never_changes_is_refused(folder):
    rewrite(folder / "labels.csv", lambda text: text.replace("AP", "PA"))
    with pytest.raises(TrainingError, match=r"\['PA'\], at least two"):
        condition_values(folder, ["view"])


@given(st.binary(max_size=300))
def test_no_table_ends_in_an_error_of_another_kind(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("any")
    (folder / "labels.csv").write_bytes(content)
    with contextlib.suppress(TrainingError):
        condition_values(folder, ["file"])
