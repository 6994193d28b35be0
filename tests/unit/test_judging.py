"""What a model is judged by: laws on made-up images, whose answers are known."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.metrics import balanced_accuracy_score

from medmint import Generators
from medmint.catalogue.records import ModelRecord
from medmint.errors import ArgumentError, ContractError, DeviceError, TrainingError
from medmint.metrics.training_plan import Examples
from medmint.model_trainer.judging import (
    Effort,
    Evidence,
    Goal,
    Measured,
    Model,
    Numbers,
    Section,
    Subject,
    Table,
    card_of_training,
    evaluate_package,
    judge,
    judging_parser,
    mean_interval,
    paired,
    reconstruction,
    record_of_training,
    trade_off,
)
from medmint.model_trainer.judging.baseline import PixelGaussian, compare_components
from medmint.model_trainer.judging.conditions import balanced_accuracy, condition_fit
from medmint.model_trainer.judging.copying import copying
from medmint.model_trainer.judging.fidelity import fidelity, fine_power
from medmint.model_trainer.judging.mask_fit import chosen_on, mask_fit
from tests.fakes.textures import textures
from tests.packages.judged import (
    CONDITIONS,
    COUNTS,
    MODEL_ID,
    SIDE,
    data_folder,
    made_up,
    package,
    weights_of,
)

EFFORT = Effort(draws=2, copies=24, pairs=32, steps=40, side=16)


@pytest.fixture(scope="module")
def plain_data(tmp_path_factory):
    return data_folder(tmp_path_factory.mktemp("plain") / "data")


@pytest.fixture(scope="module")
def classed_data(tmp_path_factory):
    return data_folder(tmp_path_factory.mktemp("classed") / "data", conditions=True)


def evidence_of(folder, data, *, effort=EFFORT, **subject):
    described = Subject(folder=folder, size=SIDE, **subject)
    model = Model(folder, conditions=described.conditions)
    return Evidence(described, model, data, "val", effort=effort)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory, plain_data):
    """Return a model that draws from what the real images were drawn from."""
    images, masks, _ = made_up(300, seed=50)
    folder = package(tmp_path_factory.mktemp("fresh") / "model", images, masks=masks)
    return evidence_of(folder, plain_data, with_masks=True)


def goals_of(section):
    return [goal.is_met for goal in section.goals]


class TestGaussian:
    def test_all_components_keep_mean_and_variance(self):
        images = textures(60, side=16, seed=1)
        gaussian = PixelGaussian(images)
        drawn = gaussian.draw(4000, components=gaussian.most, seed=0).astype(float)
        assert np.abs(drawn.mean(axis=0) - images.mean(axis=0)).mean() < 1.0
        total = images.reshape(60, -1).var(axis=0, ddof=1).sum()
        # A few values are clipped to 8 bits.
        assert drawn.reshape(4000, -1).var(axis=0).sum() == pytest.approx(total, rel=0.05)

    def test_directions_are_principal_components(self):
        images = textures(30, side=8, seed=2)
        oracle = PCA(5).fit(images.reshape(30, -1).astype(float))
        lengths = np.linalg.norm(PixelGaussian(images)._directions[:5], axis=1)
        np.testing.assert_allclose(lengths**2, oracle.explained_variance_, rtol=1e-3)

    def test_number_of_components_is_among_those_that_are_there(self):
        gaussian = PixelGaussian(textures(20, side=8, seed=3))
        found = compare_components(gaussian, lambda images: images.mean(), count=4, draws=2)
        assert list(found) == [19]
        small = compare_components(
            gaussian, lambda images: images.mean(), count=4, draws=2, choices=(3, 50)
        )
        assert list(small) == [3, 19]


class TestFinePower:
    def test_fine_waves_have_it_and_coarse_ones_do_not(self):
        places = np.arange(64)

        def waves(cycles):
            row = 128 + 100 * np.sin(2 * np.pi * cycles * places)
            return np.repeat(row[None, None], 64, axis=1).astype(np.uint8)

        assert fine_power(waves(0.375)) > 1000 * fine_power(waves(0.125))

    def test_it_grows_with_the_square_of_contrast_and_ignores_brightness(self):
        image = np.random.default_rng(0).integers(0, 60, (1, 32, 32)).astype(np.uint8)
        assert fine_power(image * 2) == pytest.approx(4 * fine_power(image))
        assert fine_power(image + np.uint8(90)) == pytest.approx(fine_power(image))

    def test_orientation_and_equal_colours_do_not_matter(self):
        image = np.random.default_rng(1).integers(0, 256, (2, 24, 24)).astype(np.uint8)
        assert fine_power(image.transpose(0, 2, 1)) == pytest.approx(fine_power(image))
        assert fine_power(np.repeat(image[..., None], 3, axis=3)) == pytest.approx(
            fine_power(image)
        )

    def test_a_volume_has_three_axes(self):
        flat = np.repeat(textures(1, side=16, seed=0)[:, None], 16, axis=1)
        noise = np.random.default_rng(0).integers(0, 256, (1, 16, 16, 16)).astype(np.uint8)
        assert fine_power(noise) > fine_power(flat)


class TestFidelity:
    def test_new_draws_of_the_same_kind_close_the_gap(self, fresh):
        section = fidelity(fresh)
        assert goals_of(section) == [True] * 4
        (_, distance, power), (_, pixels, _), (_, real, _) = section.tables[0].rows
        assert distance.value < pixels.value
        assert distance.value == pytest.approx(real.value, rel=0.8)
        assert 0.5 < power.value < 1.5

    def test_what_is_no_image_of_the_kind_meets_nothing(self, tmp_path, plain_data):
        noise = np.random.default_rng(0).integers(0, 256, (50, SIDE, SIDE)).astype(np.uint8)
        section = fidelity(evidence_of(package(tmp_path / "noise", noise), plain_data))
        assert goals_of(section) == [False] * 4

    def test_sets_are_of_the_size_of_the_split(self, fresh):
        assert fresh.count == len(fresh.draw(0)) == len(fresh.training_images(0)) == COUNTS["val"]
        assert len(np.unique(fresh.training_images(0), axis=0)) == COUNTS["val"]


class TestCopying:
    def test_a_model_that_returns_training_images_is_told(self, tmp_path, plain_data):
        images, _, _ = made_up(COUNTS["train"], seed=0)
        section = copying(evidence_of(package(tmp_path / "copies", images[:, :, ::-1]), plain_data))
        assert goals_of(section) == [False, False]
        assert any("returns training images" in note for note in section.notes)
        assert section.tables[0].rows[0][1] == "100.0%"

    def test_a_model_that_draws_anew_is_not(self, fresh):
        assert goals_of(copying(fresh))[1]

    def test_intervals_are_over_patients(self, fresh):
        patients = (COUNTS["train"] + COUNTS["val"]) // 2
        assert f"over {patients} patients" in copying(fresh).about


class TestMasks:
    @pytest.mark.slow
    def test_masks_that_fit_are_told_from_those_of_other_images(self, tmp_path, fresh, plain_data):
        images, masks, _ = made_up(60, seed=60)
        wrong = evidence_of(
            package(tmp_path / "wrong", images, masks=np.roll(masks, 1, axis=0)),
            plain_data,
            with_masks=True,
        )
        assert goals_of(mask_fit(fresh)) == [True]
        assert goals_of(mask_fit(wrong)) == [False]

    def test_empty_masks_are_counted(self, tmp_path, plain_data):
        images, masks, _ = made_up(60, seed=61)
        effort = Effort(draws=1, copies=16, steps=1, side=16)
        evidence = evidence_of(
            package(tmp_path / "empty", images, masks=masks * 0),
            plain_data,
            with_masks=True,
            effort=effort,
        )
        assert mask_fit(evidence).tables[0].rows[1][2:] == ("100.0%", "none")


class TestConditions:
    def test_balanced_accuracy_is_that_of_scikit_learn(self):
        random = np.random.default_rng(0)
        truth, decided = random.integers(0, 3, (2, 200))
        assert balanced_accuracy(truth, decided) == pytest.approx(
            balanced_accuracy_score(truth, decided)
        )

    def test_a_condition_that_the_model_ignores_is_found(self, tmp_path, classed_data):
        images, _, classes = made_up(200, seed=70, conditions=True)
        shuffled = classes.copy()
        shuffled[:, 0] = np.random.default_rng(0).permutation(classes[:, 0])
        found = condition_fit(
            evidence_of(
                package(tmp_path / "ignoring", images, classes=shuffled),
                classed_data,
                conditions=CONDITIONS,
            )
        )
        assert [row[0] for row in found.tables[0].rows] == [
            "label", "label within view left", "label within view right",
            "view", "view within label dark", "view within label light",
        ]  # fmt: skip
        assert goals_of(found) == [False, True]

    def test_patients_who_choose_and_judge_are_kept_apart_but_on_val(self, tmp_path, plain_data):
        folder = package(tmp_path / "model", made_up(9, seed=3)[0])
        subject, model = Subject(folder=folder, size=SIDE), Model(folder)
        val = Examples(
            images=np.zeros((2, 8, 8), np.uint8), targets=np.arange(2), groups=np.array(["a", "b"])
        )
        groups = [
            chosen_on(Evidence(subject, model, plain_data, split), val).groups
            for split in ("val", "test")
        ]
        assert groups[0] is None
        assert groups[1] is val.groups

    def test_classes_are_asked_for_as_training_images_have_them(self, tmp_path, classed_data):
        images, _, classes = made_up(100, seed=71, conditions=True)
        evidence = evidence_of(
            package(tmp_path / "classes", images, classes=classes),
            classed_data,
            conditions=CONDITIONS,
        )
        wanted = evidence.wanted(2000, 0)
        share = evidence.real("train").conditions.mean(axis=0)
        np.testing.assert_allclose(wanted.mean(axis=0), share, atol=0.05)
        drawn = evidence.draw(0)
        bank = {image.tobytes(): tuple(row) for image, row in zip(images, classes, strict=True)}
        assert [bank[image.tobytes()] for image in drawn.images] == [
            tuple(row) for row in drawn.conditions
        ]


class TestModel:
    def test_samples_are_those_of_generate(self, tmp_path, monkeypatch):
        monkeypatch.setenv("MEDMINT_HOME", str(tmp_path / "home"))
        folder = package(tmp_path / "model", made_up(50, seed=3)[0])
        record = json.loads((folder / "metadata.json").read_text())
        with Generators(catalogue=record) as generators:
            images = generators.generate(
                MODEL_ID, 5, save_images=False, seed=7, package=folder, brightness=9
            )
        drawn = Model(folder, options={"brightness": 9}).draw(5, 7)
        np.testing.assert_array_equal(np.stack(images), drawn.images)

    def test_kept_samples_are_not_drawn_again_unless_torn(self, tmp_path):
        folder = package(tmp_path / "model", made_up(50, seed=3)[0])
        first = Model(folder, kept=tmp_path / "kept").draw(40, 1)
        again = Model(folder, kept=tmp_path / "kept")
        np.testing.assert_array_equal(again.draw(40, 1).images, first.images)
        assert again.sampler.calls == 0
        (file,) = (tmp_path / "kept").iterdir()
        file.write_bytes(file.read_bytes()[:100])
        np.testing.assert_array_equal(again.draw(40, 1).images, first.images)
        assert again.sampler.calls == 2
        assert (again.with_options({"brightness": 20}).draw(40, 1).images != first.images).any()

    def test_kept_samples_of_other_code_are_not_taken(self, tmp_path):
        folder = package(tmp_path / "model", made_up(50, seed=3)[0])
        first = Model(folder, kept=tmp_path / "kept").draw(40, 1)
        code = folder / "__init__.py"
        code.write_text(code.read_text().replace("+ brightness", "+ brightness + 1"))
        changed = Model(folder, kept=tmp_path / "kept").draw(40, 1)
        assert changed.images.astype(int).sum() > first.images.astype(int).sum()

    def test_another_option_than_the_record_has_is_refused(self, tmp_path):
        folder = package(tmp_path / "model", made_up(5, seed=3)[0])
        with pytest.raises(ArgumentError, match="brightness"):
            Model(folder).with_options({"steps": 3})

    def test_other_classes_than_the_record_has_are_refused(self, tmp_path):
        folder = package(tmp_path / "model", made_up(5, seed=3)[0])
        with pytest.raises(ContractError, match="4 conditions"):
            Model(folder, conditions=CONDITIONS)

    def test_weights_of_another_architecture_are_refused(self, tmp_path):
        folder = package(tmp_path / "model", made_up(5, seed=3)[0])
        (folder / "__init__.py").write_text("def load(weights, device):\n    {}['layer']\n")
        with pytest.raises(TrainingError, match="same architecture"):
            Model(folder, weights_of(folder))

    def test_a_folder_without_record_is_refused(self, tmp_path):
        with pytest.raises(ContractError, match=r"no metadata\.json"):
            Model(tmp_path)


class TestRivals:
    def test_a_model_is_not_told_from_itself_but_from_noise(self, tmp_path, fresh):
        noise = np.random.default_rng(0).integers(0, 256, (50, SIDE, SIDE)).astype(np.uint8)
        masks = np.zeros_like(noise)
        itself = paired(fresh, fresh.model)
        assert {row[4] for row in itself.tables[0].rows} == {"not resolved"}
        assert {row[3].value for row in itself.tables[0].rows} == {0.0}
        against = paired(fresh, Model(package(tmp_path / "noise", noise, masks=masks)))
        assert against.tables[0].rows[0][4] == "better"

    def test_options_are_measured_side_by_side(self, fresh):
        section = trade_off(fresh, [{"brightness": 0}, {"brightness": 60}], count=8)
        (_, seconds, plain, *_), (name, _, brighter, *_) = section.tables[0].rows
        assert name == "brightness 60"
        assert seconds > 0
        assert brighter > plain

    def test_what_is_kept_is_alike_and_what_is_blurred_less(self, fresh):
        kept = reconstruction(fresh, lambda images: np.clip(images, 1, 254))
        flat = reconstruction(fresh, lambda images: images // 2 + np.uint8(60))
        assert kept.tables[0].rows[0][1] > 0.99 > flat.tables[0].rows[0][1]
        exact = reconstruction(fresh, lambda images: images)
        assert exact.tables[0].rows[0][5] is None


def section_of(value):
    return Section(
        title="Made up",
        about="Of nothing.",
        tables=(Table(columns=("", "share"), rows=(("model", Measured(value, 0.1, 0.9)),)),),
        goals=(Goal(text="at least 0.5", measured=Measured(value), is_met=value >= 0.5),),
    )


class TestJudge:
    def evidence(self, folder, data, **sections):
        return evidence_of(folder, data, sections=sections)

    def test_a_run_that_is_cut_keeps_what_it_has(self, tmp_path, plain_data):
        folder = package(tmp_path / "model", made_up(50, seed=3)[0])

        def cut(evidence):
            raise KeyboardInterrupt

        evidence = self.evidence(folder, plain_data, one=lambda _: section_of(0.7), two=cut)
        with pytest.raises(KeyboardInterrupt):
            judge(evidence, tmp_path / "out", ["one", "two"])
        assert list(Numbers.load(tmp_path / "out").sections) == ["one"]

    def test_one_section_is_replaced_and_the_others_stay(self, tmp_path, plain_data):
        folder = package(tmp_path / "model", made_up(50, seed=3)[0])
        made = {"one": lambda _: section_of(0.7), "two": lambda _: section_of(0.2)}
        evidence = self.evidence(folder, plain_data, **made)
        judge(evidence, tmp_path / "out", ["two", "one"])
        made["two"] = lambda _: section_of(0.3)
        numbers = judge(self.evidence(folder, plain_data, **made), tmp_path / "out", ["two"])
        assert list(numbers.sections) == ["one", "two"]
        assert numbers.sections["two"].goals[0].measured.value == 0.3
        assert Numbers.load(tmp_path / "out") == numbers

    def test_numbers_of_other_weights_are_not_mixed(self, tmp_path, plain_data):
        images = made_up(50, seed=3)[0]
        judge(self.evidence(package(tmp_path / "a", images), plain_data), tmp_path / "out", [])
        other = self.evidence(package(tmp_path / "b", images[:40]), plain_data)
        with pytest.raises(TrainingError, match="weights_sha256"):
            judge(other, tmp_path / "out", [])
        judge(other, tmp_path / "out", [], is_anew=True)

    def test_an_unknown_section_is_refused_before_anything_is_written(self, tmp_path, plain_data):
        evidence = self.evidence(package(tmp_path / "a", made_up(9, seed=3)[0]), plain_data)
        with pytest.raises(ArgumentError, match="fidelity, copying, speed"):
            judge(evidence, tmp_path / "out", ["beauty"])
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("effort", [{"draws": 0}, {"steps": -1}, {"side": 20}])
    def test_effort_that_makes_no_sense_is_refused(self, effort):
        with pytest.raises(ArgumentError, match=f"--{next(iter(effort))}"):
            Effort(**effort)

    def test_a_device_that_is_not_there_is_refused(self, tmp_path, plain_data):
        subject = Subject(folder=package(tmp_path / "a", made_up(9, seed=3)[0]), size=SIDE)
        options = judging_parser(subject, "x").parse_args(
            ["--data", str(plain_data), "--out", str(tmp_path / "out"), "--device", "cuda:99"]
        )
        with pytest.raises(DeviceError, match="cuda:99"):
            evaluate_package(subject, options)

    def test_a_file_that_is_no_numbers_is_named(self, tmp_path):
        (tmp_path / "numbers.json").write_text("{}")
        with pytest.raises(TrainingError, match="measure again"):
            Numbers.load(tmp_path)


def test_a_card_is_written_anew_from_its_numbers(tmp_path, plain_data):
    subject = Subject(folder=package(tmp_path / "model", made_up(9, seed=3)[0]), size=SIDE)
    given = ["--data", str(plain_data), "--out", str(tmp_path / "out"), "--only"]
    parser = judging_parser(subject, "Measure.")
    first = evaluate_package(subject, parser.parse_args([*given, "speed"]))
    (subject.folder / "card.toml").write_text('architecture = "None at all."')
    assert evaluate_package(subject, parser.parse_args([*given, "none"])) == first
    assert "None at all." in (tmp_path / "out" / "MODEL_CARD.md").read_text()


@pytest.mark.slow
def test_a_package_is_evaluated_from_its_command_line(tmp_path, classed_data):
    images, masks, classes = made_up(200, seed=80, conditions=True)
    folder = package(tmp_path / "model", images, masks=masks, classes=classes)
    subject = Subject(
        folder=folder,
        size=2 * SIDE,
        with_masks=True,
        conditions=CONDITIONS,
        effort=Effort(draws=2, copies=24, pairs=32, steps=2, side=16),
    )
    rival = shutil.copytree(folder, tmp_path / "rival")
    given = ["--data", str(classed_data), "--out", str(tmp_path / "out"), "--threads", "1"]
    given += ["--split", "test", "--against", str(rival)]
    options = judging_parser(subject, "Measure.").parse_args([*given, "--option", "brightness=3"])
    numbers = evaluate_package(subject, options)
    assert list(numbers.sections) == [
        "fidelity", "copying", "speed", "conditions", "label_usefulness", "masks",
        "mask_usefulness", "against",
    ]  # fmt: skip
    assert numbers.subject["options"] == {"brightness": 3}
    card = (tmp_path / "out" / "MODEL_CARD.md").read_text()
    assert all(section.title in card for n, section in numbers.sections.items() if n != "copying")
    with Image.open(tmp_path / "out" / "samples.png") as sheet:
        assert sheet.size == (8 * (SIDE + 2) - 2,) * 2


def test_a_training_ends_in_the_same_card(tmp_path, plain_data):
    images, masks, _ = made_up(60, seed=90)
    folder = package(tmp_path / "model", images, masks=masks)
    out = tmp_path / "run"
    own = package(tmp_path / "own", images[:50], masks=masks[:50])
    out.mkdir()
    shutil.copy(weights_of(own), weights_of(out))
    options = judging_parser(Subject(folder=folder, size=SIDE), "x").parse_args(
        ["--data", str(plain_data), "--out", str(out)]
    )
    options.init = weights_of(folder)
    subject = Subject(folder=folder, size=SIDE, with_masks=True)
    card_of_training(subject, options, effort=Effort(draws=1, copies=16))
    card = (out / "MODEL_CARD.md").read_text()
    assert "trained on other images" in card
    assert f"went on from the weights {weights_of(folder).name}" in card
    assert str(folder) not in card
    assert "The test split was not touched" in card


def test_a_training_ends_in_a_record_of_its_own(tmp_path, plain_data):
    images, masks, classes = made_up(60, seed=91, conditions=True)
    folder = package(tmp_path / "model", images)
    halves = [part[:, ::2, ::2] for part in (images, masks)]
    small = package(tmp_path / "own", halves[0], masks=halves[1], classes=classes)
    out = tmp_path / "run"
    out.mkdir()
    shutil.copy(weights_of(small), weights_of(out))
    data = shutil.copytree(plain_data, tmp_path / "data")
    (data / "data.toml").write_text('name = "Mine"\nlicense = "proprietary"\npatients = 12\n')
    options = judging_parser(Subject(folder=folder, size=SIDE), "x").parse_args(
        ["--data", str(data), "--out", str(out)]
    )
    record_of_training(Subject(folder=folder, size=SIDE, conditions=CONDITIONS), options)
    ((model_id, text),) = json.loads((out / "metadata.json").read_text()).items()
    assert model_id == MODEL_ID
    record = ModelRecord.from_dict(model_id, text)
    assert record.execution.image_size == (SIDE // 2, SIDE // 2)
    assert set(record.execution.output) == {"image", "mask"}
    names = ["dark_left", "dark_right", "light_left", "light_right"]
    assert list(record.execution.conditions) == names
    facts = {"name": "Mine", "license": "proprietary", "patients": 12}
    assert record.description["training_data"] == facts
    assert not {"title", "limits", "weights_license"} & record.description.keys()
    assert "license" not in record.selection


def test_classes_are_those_that_the_weights_name(tmp_path, classed_data):
    images, masks, classes = made_up(200, seed=80, conditions=True)
    folder = package(tmp_path / "model", images, masks=masks, classes=classes[:, ::-1])
    code = folder / "__init__.py"
    order = {name: CONDITIONS[name] for name in ("view", "label")}
    code.write_text(code.read_text() + f"\n\nSampler.conditions = {order!r}\n")
    subject = Subject(folder=folder, size=SIDE, conditions=CONDITIONS, predicted="label")
    given = ["--data", str(classed_data), "--out", str(tmp_path / "out"), "--threads", "1"]
    given += ["--only", "conditions", "--copies", "200", "--steps", "120", "--side", "16"]
    options = judging_parser(subject, "Measure.").parse_args(given)
    numbers = evaluate_package(subject, options)
    table, goals = numbers.sections["conditions"].tables[0], numbers.sections["conditions"].goals
    assert table.rows[0][0] == "view"
    assert all(goal.measured.value > 0.8 for goal in goals)


def test_mean_interval_is_that_of_student():
    # Of 1, 2, ..., 10: mean 5.5, deviation 3.0277; t of 9 degrees of freedom 2.2622.
    found = mean_interval(range(1, 11))
    reach = 2.262157 * 3.027650 / np.sqrt(10)
    assert (found.value, found.low) == pytest.approx((5.5, 5.5 - reach), rel=1e-6)
    assert mean_interval([0.1, 0.9, 0.9], bounds=(0, 1)).high == 1.0
