"""The loop of a training: what it writes, how it goes on, and what it refuses."""

import csv
import hashlib
import math
import os
import pickle
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from medmint.errors import ArgumentError, DeviceError, TrainingError, WriterError
from medmint.model_trainer import (
    Average,
    Phase,
    Schedule,
    augment,
    autocast,
    prepare_device,
    random_numbers,
    run_script,
    save_weights,
    schedule,
    start_from,
    train,
    train_in_turn,
    training_parser,
)
from medmint.model_trainer.checkpoints import alone, load_checkpoint
from tests.packages.trainings import SETTINGS, Tiny


def lasting(steps, every=4):
    return Schedule(steps=steps, validate_every=every, checkpoint_every=3)


def rows_of(folder):
    with (folder / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """A training of ten steps that nothing disturbed."""
    folder = tmp_path_factory.mktemp("ended") / "run"
    train(Tiny(), folder, lasting(10), settings=SETTINGS)
    return folder


@pytest.fixture
def stopped(tmp_path):
    """A training that stopped after eight of its steps."""
    train(Tiny(), tmp_path / "run", lasting(8), settings=SETTINGS)
    return tmp_path / "run"


class Failing(Tiny):
    """A training in which something is no number from a step on."""

    def __init__(self, what, step):
        super().__init__()
        self.what, self.from_step = what, step

    def advance(self, step):
        losses = super().advance(step)
        if step >= self.from_step and self.what == "weight":
            nn.init.constant_(self.network[0].weight, math.nan)
        return {"loss": math.nan} if step >= self.from_step and self.what == "loss" else losses

    def validate(self, step, folder):
        measured = super().validate(step, folder)
        is_lost = step >= self.from_step and self.what == "measurement"
        return {"val_error": math.nan} if is_lost else measured


class TestRun:
    def test_it_leaves_a_log_the_best_weights_and_a_checkpoint(self, ended):
        files = {path.name for path in ended.iterdir()}
        assert files == {".lock", "log.csv", "weights.safetensors", "checkpoint.pt"}
        assert [row["step"] for row in rows_of(ended)] == ["4", "8", "10"]
        assert list(rows_of(ended)[0]) == ["step", "loss", "val_error"]

    def test_weights_are_those_of_the_least_error_in_half_precision(self, tmp_path):
        class Worsening(Tiny):
            def validate(self, step, folder):
                return {"val_error": abs(step - 4)}

        tiny, early = Worsening(), Worsening()
        train(tiny, tmp_path / "whole", lasting(12), settings=SETTINGS)
        train(early, tmp_path / "early", lasting(4), settings=SETTINGS)
        kept = load_file(tmp_path / "whole" / "weights.safetensors")
        for name, value in early.average.state_dict().items():
            assert kept[name].dtype == (torch.float16 if value.is_floating_point() else value.dtype)
            torch.testing.assert_close(kept[name], value.to(kept[name].dtype), rtol=0, atol=0)
        with safe_open(tmp_path / "whole" / "weights.safetensors", framework="pt") as file:
            assert file.metadata() == {"made": "for a test", "width": "8"}

    def test_random_numbers_of_the_process_are_left_alone(self, tmp_path):
        tiny = Tiny()
        torch.manual_seed(11)
        before = torch.get_rng_state()
        train(tiny, tmp_path / "run", lasting(3), settings=SETTINGS)
        assert torch.equal(torch.get_rng_state(), before)

    def test_a_log_that_is_no_terminal_has_a_line_for_each_measurement(self, tmp_path, capfd):
        train(Tiny(), tmp_path / "run", lasting(200, every=50), settings=SETTINGS)
        written = capfd.readouterr().err
        lines = [line.split("\r")[-1] for line in written.splitlines()]
        assert [line.split(":")[0] for line in lines if line.startswith("step")] == [
            "step 50",
            "step 100",
            "step 150",
            "step 200",
        ]
        assert len(written) < 3000


class TestGoingOn:
    def test_a_run_in_two_parts_ends_as_one_in_one(self, stopped, tmp_path):
        train(Tiny(), tmp_path / "whole", lasting(12), settings=SETTINGS)
        train(Tiny(), stopped, lasting(12), settings=SETTINGS)
        for name in ("weights.safetensors", "log.csv"):
            digests = [
                hashlib.sha256((folder / name).read_bytes()).digest()
                for folder in (stopped, tmp_path / "whole")
            ]
            assert digests[0] == digests[1]

    def test_no_step_is_taken_twice(self, stopped):
        tiny = Tiny()
        train(tiny, stopped, lasting(12), settings=SETTINGS)
        assert tiny.steps == [8, 9, 10, 11]

    def test_nothing_is_left_to_do_where_all_steps_are_done(self, stopped, capsys):
        tiny = Tiny()
        train(tiny, stopped, lasting(8), settings=SETTINGS)
        assert tiny.steps == []
        assert "all of 8 steps are done" in capsys.readouterr().err

    def test_an_end_that_was_only_saved_is_measured(self, tmp_path):
        # The first run is cut off at a checkpoint before its first measurement.
        class Cut(Tiny):
            def advance(self, step):
                if step == 3:
                    raise KeyboardInterrupt
                return super().advance(step)

        with pytest.raises(KeyboardInterrupt):
            train(Cut(), tmp_path, lasting(12, every=6), settings=SETTINGS)
        assert not (tmp_path / "weights.safetensors").exists()
        train(Tiny(), tmp_path, lasting(3, every=6), settings=SETTINGS)
        assert (tmp_path / "weights.safetensors").is_file()
        assert (tmp_path / "log.csv").read_text().splitlines()[1].startswith("3,")

    def test_ctrl_c_costs_no_step(self, ended, tmp_path, capfd):
        class Stopped(Tiny):
            def advance(self, step):
                if step == 4:
                    os.kill(os.getpid(), signal.SIGINT)
                return super().advance(step)

        before, tiny = signal.getsignal(signal.SIGINT), Tiny()
        with pytest.raises(KeyboardInterrupt):
            train(Stopped(), tmp_path / "run", lasting(10), settings=SETTINGS)
        assert signal.getsignal(signal.SIGINT) is before
        assert "stopping after this step" in capfd.readouterr().err
        train(tiny, tmp_path / "run", lasting(10), settings=SETTINGS)
        assert tiny.steps[0] == 5
        for name in ("weights.safetensors", "log.csv"):
            assert (tmp_path / "run" / name).read_bytes() == (ended / name).read_bytes()

    def test_weights_that_are_gone_are_missed(self, stopped):
        (stopped / "weights.safetensors").unlink()
        with pytest.raises(TrainingError, match=r"it is gone.*remove checkpoint\.pt"):
            train(Tiny(), stopped, lasting(12), settings=SETTINGS)

    def test_fewer_steps_than_it_has_had_are_refused(self, stopped):
        tiny = Tiny()
        with pytest.raises(TrainingError, match=r"for 8 steps already, 7 were asked for\. Ask for"):
            train(tiny, stopped, lasting(7), settings=SETTINGS)
        assert tiny.steps == []

    def test_worse_weights_than_before_the_cut_do_not_replace_better_ones(self, stopped):
        class Worse(Tiny):
            def validate(self, step, folder):
                return {"val_error": 1e6}

        before = (stopped / "weights.safetensors").read_bytes()
        train(Worse(), stopped, lasting(12), settings=SETTINGS)
        assert (stopped / "weights.safetensors").read_bytes() == before

    def test_settings_are_compared_as_a_file_keeps_them(self, stopped):
        train(Tiny(), stopped, lasting(9), settings=SETTINGS | {"widths": [4, 8]})

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"seed": 4}, "seed 3 then, 4 now"),
            ({"widths": (4, 9)}, r"widths \[4, 8\] then, \[4, 9\] now"),
            ({"loss": "hinge"}, "loss None then, 'hinge' now"),
        ],
    )
    def test_other_settings_are_refused(self, stopped, change, told):
        with pytest.raises(TrainingError, match=f"{told}.*another --out, or remove"):
            train(Tiny(), stopped, lasting(12), settings=SETTINGS | change)

    def test_another_architecture_is_refused(self, stopped):
        with pytest.raises(
            TrainingError, match=r"network is of another architecture.*size mismatch"
        ):
            train(Tiny(width=9), stopped, lasting(12), settings=SETTINGS)

    def test_another_model_is_refused(self, stopped):
        tiny = Tiny()
        tiny.parts["discriminator"] = nn.Linear(1, 1)
        told = "it has average, network, optimiser, not average, discriminator, network, optimiser"
        with pytest.raises(TrainingError, match=told):
            train(tiny, stopped, lasting(12), settings=SETTINGS)


class Bomb:
    """A pickle that would run a command."""

    def __reduce__(self):
        return subprocess.check_call, ([sys.executable, "-c", "raise SystemExit(1)"],)


class TestBrokenCheckpoints:
    @pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
    def test_a_torn_one_is_refused(self, stopped, share):
        path = stopped / "checkpoint.pt"
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])
        self.refused(stopped)

    @settings(max_examples=60)
    @given(at=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
    def test_a_flipped_bit_is_found_or_does_no_harm(self, ended, at, bit, tmp_path_factory):
        content = bytearray((ended / "checkpoint.pt").read_bytes())
        content[int(at * len(content))] ^= 1 << bit
        folder = tmp_path_factory.mktemp("flipped")
        (folder / "checkpoint.pt").write_bytes(content)
        sound, touched = Tiny(), Tiny()
        load_checkpoint(ended / "checkpoint.pt", SETTINGS, sound.parts)
        try:
            load_checkpoint(folder / "checkpoint.pt", SETTINGS, touched.parts)
        except TrainingError:
            return
        for name, value in sound.network.state_dict().items():
            assert torch.equal(touched.network.state_dict()[name], value)

    @pytest.mark.parametrize(
        "write",
        [
            lambda path: path.write_bytes(b"no checkpoint"),
            lambda path: path.write_bytes(pickle.dumps(Bomb())),
            lambda path: torch.save(Bomb(), path),
            lambda path: torch.save({"settings": SETTINGS, "parts": Bomb()}, path),
            lambda path: torch.save([1, 2], path),
            lambda path: torch.save({"step": 3}, path),
            lambda path: path.mkdir(),
        ],
    )
    def test_another_file_is_refused_and_not_run(self, tmp_path, write):
        write(tmp_path / "checkpoint.pt")
        self.refused(tmp_path)

    def refused(self, folder):
        tiny = Tiny()
        with pytest.raises(TrainingError, match=r"no whole checkpoint.*another --out") as caught:
            train(tiny, folder, lasting(12), settings=SETTINGS)
        assert caught.value.path == folder / "checkpoint.pt"
        assert "weights_only" not in str(caught.value)
        assert tiny.steps == []


class TestNoNumbers:
    @pytest.mark.parametrize(
        ("what", "step", "kept"), [("loss", 7, 6), ("weight", 8, 8), ("measurement", 7, 6)]
    )
    def test_the_last_good_checkpoint_is_kept(self, tmp_path, what, step, kept):
        failing = Failing(what, step)
        with pytest.raises(TrainingError, match=r"no number|not numbers"):
            train(failing, tmp_path / "run", lasting(20), settings=SETTINGS)
        well = Tiny()
        train(well, tmp_path / "run", lasting(20), settings=SETTINGS)
        assert well.steps[0] == kept
        train(Tiny(), tmp_path / "whole", lasting(20), settings=SETTINGS)
        assert rows_of(tmp_path / "run") == rows_of(tmp_path / "whole")


class TestRoom:
    def test_a_folder_that_cannot_be_made_is_said(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(WriterError):
            train(Tiny(), tmp_path / "file", lasting(3), settings=SETTINGS)

    @pytest.mark.parametrize("size", [0, 100, 4000])
    def test_no_room_for_a_checkpoint_is_said_before_the_first_step(
        self, tmp_path, size, files_of_at_most
    ):
        tiny = Tiny()
        with files_of_at_most(size), pytest.raises(WriterError, match=r"too large.*Make room"):
            train(tiny, tmp_path / "run", lasting(12), settings=SETTINGS)
        assert tiny.steps == []
        assert {path.name for path in (tmp_path / "run").iterdir()} <= {".lock"}

    def test_the_first_checkpoint_is_no_smaller_than_those_with_moments(self, tmp_path):
        sizes = []

        class Wide(Tiny):
            def advance(self, step):
                sizes.append((tmp_path / "run" / "checkpoint.pt").stat().st_size)
                return super().advance(step)

        train(Wide(width=20_000), tmp_path / "run", lasting(5), settings=SETTINGS)
        assert sizes[0] >= sizes[-1] > 1_000_000

    def test_a_disk_that_runs_full_later_keeps_the_checkpoint(self, stopped, files_of_at_most):
        before = (stopped / "checkpoint.pt").read_bytes()
        with files_of_at_most(len(before) // 2), pytest.raises(WriterError, match="Make room"):
            train(Tiny(), stopped, lasting(12), settings=SETTINGS)
        assert (stopped / "checkpoint.pt").read_bytes() == before
        train(Tiny(), stopped, lasting(12), settings=SETTINGS)


class TestTwoAtOnce:
    def test_the_second_is_refused_and_the_first_goes_on(self, tmp_path):
        told = []

        class Impatient(Tiny):
            def advance(self, step):
                def again():
                    try:
                        train(Tiny(), tmp_path, lasting(4), settings=SETTINGS)
                    except TrainingError as error:
                        told.append(str(error))

                other = threading.Thread(target=again)
                other.start()
                other.join()
                return super().advance(step)

        train(Impatient(), tmp_path, lasting(2), settings=SETTINGS)
        assert len(told) == 2
        assert "another training writes there" in told[0]

    def test_an_error_gives_the_folder_back(self, tmp_path):
        with pytest.raises(TrainingError, match="no number"):
            train(Failing("loss", 1), tmp_path, lasting(4), settings=SETTINGS)
        with alone(tmp_path):
            pass


class TestSaveWeights:
    @given(
        facts=st.dictionaries(st.text(), st.text(), max_size=6),
        shapes=st.dictionaries(
            st.text(min_size=1, max_size=9).filter(lambda name: name != "__metadata__"),
            st.lists(st.integers(0, 3), max_size=3),
            min_size=1,
            max_size=4,
        ),
    )
    def test_the_same_tensors_and_facts_are_the_same_file(self, tmp_path_factory, facts, shapes):
        folder = tmp_path_factory.mktemp("weights")
        tensors = {name: torch.rand(shape) for name, shape in shapes.items()}
        tensors["count"] = torch.tensor(7)
        for name in ("first", "second"):
            save_weights(folder / name, tensors, facts)
        assert (folder / "first").read_bytes() == (folder / "second").read_bytes()
        with safe_open(folder / "first", framework="pt") as file:
            assert (file.metadata() or {}) == facts
        found = load_file(folder / "first")
        assert found.keys() == tensors.keys()
        assert all(torch.equal(found[name].float(), tensors[name].half().float()) for name in found)


def phases_of(steps, **settings):
    return [
        Phase(
            name=name,
            schedule=lasting(count),
            settings=SETTINGS | settings.get(name, {}),
            begin=Tiny,
            networks=[nn.Linear(4, 8)],
        )
        for name, count in steps.items()
    ]


class TestPhases:
    def test_the_later_one_is_trained_with_what_the_earlier_made(self, tmp_path):
        train_in_turn(tmp_path, phases_of({"first": 4, "second": 4}))
        settings = torch.load(tmp_path / "second" / "checkpoint.pt")["settings"]
        digest = hashlib.sha256((tmp_path / "first" / "weights.safetensors").read_bytes())
        assert settings["first"] == digest.hexdigest()
        last = train_in_turn(tmp_path, phases_of({"first": 4, "second": 6}))
        assert last.steps == [4, 5]

    @pytest.mark.parametrize(
        ("steps", "settings", "told"),
        [
            ({"first": 6, "second": 3}, {}, "for 4 steps already, 3 were asked for"),
            ({"first": 6, "second": 4}, {}, "a later phase has begun with what it was after 4"),
            ({"first": 6, "second": 4}, {"second": {"batch": 2}}, "other settings"),
        ],
    )
    def test_what_a_later_one_would_refuse_is_said_first(self, tmp_path, steps, settings, told):
        train_in_turn(tmp_path, phases_of({"first": 4, "second": 4}))
        before = (tmp_path / "first" / "checkpoint.pt").read_bytes()
        with pytest.raises(TrainingError, match=told):
            train_in_turn(tmp_path, phases_of(steps, **settings))
        assert (tmp_path / "first" / "checkpoint.pt").read_bytes() == before

    def test_room_for_all_is_asked_for_at_once(self, tmp_path):
        phases = phases_of({"first": 4, "second": 4})
        # More than any disk has: 2 ** 60 bytes of weights, which take no memory here.
        phases[1].networks.append(nn.Linear(2**29, 2**29, device="meta"))
        with pytest.raises(WriterError, match=r"MiB are free, checkpoints need .* Make room"):
            train_in_turn(tmp_path / "run", phases)
        assert not (tmp_path / "run" / "first").exists()


class TestStartFrom:
    def test_half_precision_goes_into_the_network(self, tmp_path):
        given, taken = nn.Linear(3, 2), nn.Linear(3, 2)
        tensors = {f"generator.{key}": value for key, value in given.state_dict().items()}
        save_weights(tmp_path / "w.safetensors", tensors | {"other": torch.zeros(1)}, {})
        start_from(tmp_path / "w.safetensors", taken, "generator.")
        assert torch.equal(taken.weight, given.weight.half().float())
        assert taken.weight.dtype == torch.float32

    @pytest.mark.parametrize(
        ("kind", "reason"),
        [
            ("missing", "there is no such file"),
            ("folder", "there is no such file"),
            ("text", "it is no readable safetensors file"),
            ("pickle", "it is no readable safetensors file"),
            ("other", r"net\.weight has shape \(2, 4\), expected \(2, 3\)"),
            ("more", r"net\.scale is nothing of it"),
            ("prefix", r"net\.weight is not in it"),
        ],
    )
    def test_another_file_is_refused(self, tmp_path, kind, reason):
        path, network = tmp_path / "weights", nn.Linear(3, 2)

        def save_as(prefix, tensors):
            save_weights(path, {f"{prefix}{name}": value for name, value in tensors.items()}, {})

        own = network.state_dict()
        make = {
            "missing": lambda: None,
            "folder": path.mkdir,
            "text": lambda: path.write_text("weights"),
            "pickle": lambda: torch.save(own, path),
            "other": lambda: save_as("net.", nn.Linear(4, 2).state_dict()),
            "more": lambda: save_as("net.", own | {"scale": torch.ones(1)}),
            "prefix": lambda: save_as("a.", own),
        }
        make[kind]()
        pattern = rf"no weights of this network: {reason}\. .*size and widths"
        with pytest.raises(TrainingError, match=pattern):
            start_from(path, network, "net.")


class TestAverage:
    @given(decay=st.floats(0.5, 0.999), steps=st.integers(1, 20))
    def test_it_follows_its_formula(self, decay, steps):
        network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
        average = Average(network, decay)
        expected = network[0].weight.detach().double()
        for step in range(steps):
            with torch.no_grad():
                network[0].weight.normal_(generator=random_numbers(0, step))
                network[1].num_batches_tracked += 1
            kept = min(decay, (1 + step) / (10 + step))
            expected = kept * expected + (1 - kept) * network[0].weight.detach().double()
            average.update(network, step)
        torch.testing.assert_close(
            average.network[0].weight.double(), expected, rtol=1e-5, atol=1e-6
        )
        # Whole numbers are counts, of which there is no average.
        assert int(average.network[1].num_batches_tracked) == steps

    def test_it_is_no_part_of_the_training(self):
        network = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
        average = Average(network, 0.9)
        assert not any(value.requires_grad for value in average.network.parameters())
        assert not average.network.training
        assert network.training

    def test_it_goes_on_from_its_state(self):
        first, second = Average(nn.Linear(2, 2), 0.9), Average(nn.Linear(2, 2), 0.9)
        second.load_state_dict(first.state_dict())
        assert torch.equal(first.network.weight, second.network.weight)


def drawn(seed, shape=(6, 4, 16, 16)):
    return torch.rand(shape, generator=random_numbers(seed, 0)) * 2 - 1


class TestAugment:
    def test_the_same_random_numbers_give_the_same_images(self):
        first, again, other = (
            augment(drawn(0), random_numbers(seed, 1), colours=3) for seed in (5, 5, 6)
        )
        assert torch.equal(first, again)
        assert not torch.equal(first, other)

    @pytest.mark.parametrize("channels", [1, 3, 4])
    @pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16])
    def test_shape_and_kind_are_kept(self, channels, kind):
        images = drawn(1, (3, channels, 16, 16)).to(kind)
        changed = augment(images, random_numbers(0, 0), colours=1)
        assert (changed.shape, changed.dtype) == (images.shape, images.dtype)

    @given(seed=st.integers(0, 1000))
    def test_masks_are_moved_and_not_coloured(self, seed):
        masks = torch.where(drawn(seed) > 0, 1.0, -1.0)
        changed = augment(masks, random_numbers(seed, 2), colours=3, edge=-1.0)
        assert set(changed[:, 3:].unique().tolist()) <= {-1.0, 1.0}

    @given(seed=st.integers(0, 1000))
    def test_images_and_masks_move_together(self, seed):
        mask = torch.where(drawn(seed, (3, 1, 16, 16)) > 0, 1.0, -1.0)
        changed = augment(mask.repeat(1, 2, 1, 1), random_numbers(seed, 3), colours=0, edge=-1.0)
        assert torch.equal(changed[:, 0], changed[:, 1])

    def test_gradients_reach_every_pixel_that_is_left(self):
        images = drawn(2).requires_grad_()
        augment(images, random_numbers(1, 1), colours=3).square().sum().backward()
        assert torch.isfinite(images.grad).all()
        assert (images.grad.abs().sum(dim=(1, 2, 3)) > 0).all()
        # A cut takes at most a quarter, shifts at most an eighth on each axis.
        assert (images.grad[:, 3] != 0).float().mean() > 0.5

    def test_gradients_are_right(self):
        images = drawn(3, (2, 2, 8, 8)).double().requires_grad_()
        assert torch.autograd.gradcheck(
            lambda x: augment(x, random_numbers(0, 5), colours=1), (images,)
        )

    def test_what_is_given_stays_as_it_was(self):
        images = drawn(4)
        before = images.clone()
        augment(images, random_numbers(0, 0))
        assert torch.equal(images, before)


def options_of(*arguments):
    parser = training_parser("Train.", steps=10, batch=2)
    return parser.parse_args(["--data", "data", "--out", "out", *arguments])


class TestOptions:
    @pytest.mark.parametrize("name", ["steps", "batch", "validate-every", "checkpoint-every"])
    def test_numbers_are_positive(self, name):
        with pytest.raises(ArgumentError, match=f"--{name}: got 0"):
            schedule(options_of(f"--{name}", "0"))

    @pytest.mark.parametrize(
        "wrong", [["--threads", "0"], ["--seed", "-1"], ["--seed", str(2**63)]]
    )
    def test_other_numbers_are_looked_at(self, wrong):
        with torch.random.fork_rng(), pytest.raises(ArgumentError, match=wrong[0]):
            prepare_device(options_of(*wrong))

    @pytest.mark.parametrize("device", ["cuda:99", "tpu", "cuda:x", "", "CPU"])
    def test_a_device_that_is_not_there_is_said(self, device):
        with torch.random.fork_rng(), pytest.raises(DeviceError, match="this machine has cpu"):
            prepare_device(options_of("--device", device))

    def test_auto_is_a_device_that_is_there(self):
        options = options_of()
        with torch.random.fork_rng():
            assert str(prepare_device(options)) == options.device != "auto"
        with autocast(options):
            product = torch.ones(2, 2, device=options.device) @ torch.ones(
                2, 2, device=options.device
            )
        assert product.dtype == torch.bfloat16

    def test_precision_can_be_full(self):
        with autocast(options_of("--device", "cpu", "--precision", "float32")):
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


class TestRunScript:
    @pytest.mark.parametrize(
        ("error", "code", "told"),
        [
            (TrainingError(Path("data"), "it is empty"), 2, "train.py: data: it is empty.\n"),
            (KeyboardInterrupt(), 130, "interrupted: the same command goes on"),
        ],
    )
    def test_what_a_user_can_mend_is_said_in_a_line(self, monkeypatch, capsys, error, code, told):
        def main():
            raise error

        monkeypatch.setattr(sys, "argv", ["somewhere/train.py"])
        with pytest.raises(SystemExit) as ended:
            run_script(main)
        assert ended.value.code == code
        assert capsys.readouterr().err.startswith(told)

    def test_a_fault_of_the_script_is_not_hidden(self):
        with pytest.raises(ZeroDivisionError):
            run_script(lambda: 1 / 0)
