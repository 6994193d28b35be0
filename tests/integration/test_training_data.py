"""Datasets and loaders over real worker processes: order, processes, failures, folders."""

import gc
import hashlib
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
from itertools import islice

import numpy as np
import psutil
import pytest
import torch
from torch.utils.data import DataLoader
from torch.utils.data.distributed import DistributedSampler

from medmint import Generators
from medmint.errors import (
    ArgumentError,
    GenerationError,
    IntegrityError,
    OutputError,
    SampleIndexError,
)
from medmint.model_executor import source as source_module
from medmint.packages.workers.process import WorkerProcess
from medmint.synthetic_dataset import MixedDataset, balancing_classes
from tests.packages.builders import write_package
from tests.packages.children import is_running, wait_for, workers_below
from tests.packages.training import as_pair, plus_one

POLYPS, PHANTOM = 10002, 10001
#: Python 3.12 and newer warn of any fork beside threads, here those of torch; what is forked here
#: takes none of their locks.
may_fork = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
PID_LABEL = '{"image": images, "label": np.full(num_samples, os.getpid())}'


@pytest.fixture(scope="module")
def generators():
    with Generators() as made:
        yield made


@pytest.fixture(scope="module")
def phantoms(generators):
    """Twenty samples as ``generate`` gives them."""
    return generators.generate(PHANTOM, 20, save_images=False, seed=3)


@pytest.fixture
def sampler(tmp_path):
    """A sampler package of 4 x 4 images whose labels are the process that made them."""
    return write_package(tmp_path / "sampler", result=PID_LABEL)


@pytest.fixture
def drawing(tmp_path):
    """A generate package, which draws its own random numbers."""
    return write_package(tmp_path / "drawing", contract="generate")


def same(item, sample):
    image, mask = sample
    return (item["sample"] == image).all() and (item["mask"] == mask).all()


# The same samples, whoever asks


def test_items_are_what_generate_gives_in_any_order(generators, phantoms):
    dataset = generators.get_as_torch_dataset(PHANTOM, 20, seed=3)
    assert len(dataset) == 20
    assert same(dataset[19], phantoms[19])
    indices = [7, 0, 13, 7, -1]
    for index, item in zip(indices, dataset.__getitems__(indices), strict=True):
        assert same(item, phantoms[index])
        assert list(item) == ["sample", "mask"]


def test_polyps_differ_by_rounding_alone(generators):
    samples = generators.generate(POLYPS, 12, save_images=False, seed=7)
    dataset = generators.get_as_torch_dataset(POLYPS, 12, seed=7)
    for batch in ([3], [11, 2, 5, 0]):
        for index, item in zip(batch, dataset.__getitems__(batch), strict=True):
            image, mask = samples[index]
            assert np.abs(item["sample"].astype(int) - image).max() <= 1
            assert (item["mask"] != mask).mean() <= 0.001


@pytest.mark.parametrize("context", ["fork", "spawn"])
@may_fork
def test_loader_processes_give_the_same_batches(generators, phantoms, context):
    if context not in torch.multiprocessing.get_all_start_methods():
        pytest.skip(f"this system cannot {context}")
    dataset = generators.get_as_torch_dataset(PHANTOM, 20, seed=3, transform=plus_one)
    # One that is used already is no obstacle: each process starts a worker of its own.
    assert (dataset[0]["sample"] == phantoms[0][0] + 1).all()
    loader = generators.get_as_torch_dataloader(
        dataset,
        batch_size=6,
        num_workers=2,
        persistent_workers=True,
        multiprocessing_context=context,
    )
    for _ in range(2):
        images = torch.cat([batch["sample"] for batch in loader]).numpy()
        assert (images == np.stack([image + 1 for image, _ in phantoms])).all()
    assert (dataset[1]["sample"] == phantoms[1][0] + 1).all()


def test_torchs_own_loader_takes_it_too(generators, phantoms):
    dataset = generators.get_as_torch_dataset(PHANTOM, 20, seed=3)
    batches = list(DataLoader(dataset, batch_size=8, shuffle=True))
    found = {image.tobytes() for batch in batches for image in batch["sample"].numpy()}
    assert found == {image.tobytes() for image, _ in phantoms}


def test_three_shards_and_a_resumed_epoch_have_every_sample(generators, phantoms):
    dataset = generators.get_as_torch_dataset(PHANTOM, 20, seed=3)
    expected = sorted(image.tobytes() for image, _ in phantoms)

    def images(batches):
        return [image.tobytes() for batch in batches for image in batch["sample"].numpy()]

    sharded = set()
    for rank in range(3):
        sampler = DistributedSampler(dataset, 3, rank, shuffle=True)
        sharded |= set(
            images(generators.get_as_torch_dataloader(dataset, batch_size=4, sampler=sampler))
        )
    assert sorted(sharded) == expected
    first, second = (
        generators.get_as_torch_dataloader(dataset, batch_size=3, shuffle=True) for _ in "ab"
    )
    seen = images(islice(first, 4))
    second.load_state_dict(pickle.loads(pickle.dumps(first.state_dict())))
    assert sorted(seen + images(second)) == expected


def test_latents_of_ones_own(generators):
    latents = np.random.default_rng(0).standard_normal((5, 32)).astype(np.float32)
    samples = generators.generate(PHANTOM, 5, save_images=False, latents=latents, seed=0)
    dataset = generators.get_as_torch_dataset(PHANTOM, 5, latents=latents, seed=0)
    assert all(same(dataset[i], samples[i]) for i in (4, 0, 2))
    with pytest.raises(ArgumentError, match="num_samples: got 100, expected 5"):
        generators.get_as_torch_dataset(PHANTOM, latents=latents)


def test_a_seed_that_was_drawn_is_told(generators):
    dataset = generators.get_as_torch_dataset(PHANTOM, 2)
    again = generators.get_as_torch_dataset(PHANTOM, 2, seed=dataset.seed)
    assert (dataset[1]["sample"] == again[1]["sample"]).all()
    assert f"seed {dataset.seed}" in repr(dataset)


# Generate packages


def test_a_chunk_has_the_same_samples_whatever_is_asked_first(generators, drawing):
    arguments = {"model_id": None, "package": drawing, "seed": 1, "batch_size": 4}
    samples = generators.generate(num_samples=12, save_images=False, **arguments)
    for order in (range(12), [9, 1, 10, 0], [11]):
        dataset = generators.get_as_torch_dataset(num_samples=12, **arguments)
        for index in order:
            assert (dataset[index]["sample"] == samples[index]).all()
    # The length is no part of a chunk.
    short = generators.get_as_torch_dataset(num_samples=10, **arguments)
    assert (short[9]["sample"] == samples[9]).all()
    many = generators.get_as_torch_dataloader(short, batch_size=3, shuffle=True)
    found = {image.numpy().tobytes() for batch in many for image in batch["sample"]}
    assert found == {sample.tobytes() for sample in samples[:10]}


def test_chunks_are_kept_but_not_beyond_a_bound(generators, tmp_path, monkeypatch):
    # Every call leaves a byte in a file, so that calls can be counted.
    calls = tmp_path / "calls"
    package = write_package(
        tmp_path / "counting",
        contract="generate",
        in_call=f"open({str(calls)!r}, 'a').write('x')",
    )
    dataset = generators.get_as_torch_dataset(None, 40, package=package, seed=1, batch_size=4)
    first = [dataset[index]["sample"] for index in range(40)]
    again = [dataset[index]["sample"] for index in reversed(range(40))]
    assert len(calls.read_text()) == 10
    assert all((one == other).all() for one, other in zip(first, again[::-1], strict=True))
    monkeypatch.setattr(source_module, "KEPT_BYTES", 2 * first[0].nbytes * 4)
    bounded = generators.get_as_torch_dataset(None, 40, package=package, seed=1, batch_size=4)
    for _ in range(2):
        assert (bounded[0]["sample"] == first[0]).all()
        assert (bounded[39]["sample"] == first[39]).all()
    assert len(calls.read_text()) == 12
    for index in range(0, 40, 4):
        assert (bounded[index]["sample"] == first[index]).all()
        assert len(bounded._source._chunks) <= 2


def test_a_chunk_has_a_size_that_no_machine_changes(generators, drawing, monkeypatch):
    def sample():
        dataset = generators.get_as_torch_dataset(None, 50, package=drawing, seed=1)
        return dataset[40]["sample"]

    before = sample()
    monkeypatch.setattr("medmint.model_executor.plan.free_memory", lambda: 1 << 15)
    assert (sample() == before).all()


# Classes


@pytest.mark.parametrize("label", ["torch.tensor(i)", "torch.tensor([i])", "i", "np.int64(i)"])
def test_labels_of_a_generate_package_survive(generators, tmp_path, label):
    package = write_package(
        tmp_path / "labels",
        contract="generate",
        at_import="import torch" if "torch" in label else "",
        result=f"[(image, {label}) for i, image in enumerate(images)]",
    )
    dataset = generators.get_as_torch_dataset(None, 4, package=package, batch_size=4)
    batch = next(iter(generators.get_as_torch_dataloader(dataset, batch_size=4)))
    assert batch["label"].tolist() == [0, 1, 2, 3]
    assert "mask" not in batch


@pytest.fixture
def conditional(tmp_path):
    """A sampler package with two classes, which it gives as labels."""
    folder = write_package(tmp_path / "classes", result='{"image": images, "label": condition}')
    path = folder / "metadata.json"
    record = json.loads(path.read_text())
    next(iter(record.values()))["execution"]["conditions"] = ["healthy", "ill"]
    path.write_text(json.dumps(record))
    return folder


def test_each_sample_has_the_class_that_balances_the_data(generators, conditional):
    labels = ["healthy"] * 6 + ["ill"]
    wanted = balancing_classes(labels, 9)
    dataset = generators.get_as_torch_dataset(None, 9, package=conditional, condition=wanted)
    numbers = [["healthy", "ill"][item["label"]] for item in dataset]
    assert numbers == wanted
    assert sorted(labels + numbers) == ["healthy"] * 8 + ["ill"] * 8
    batch = next(iter(generators.get_as_torch_dataloader(dataset, batch_size=9)))
    assert batch["label"].dtype == torch.int64


def test_one_class_for_all_or_drawn_ones(generators, conditional):
    loader = generators.get_as_torch_dataloader(
        model_id=None, num_samples=None, package=conditional, condition="ill", batch_size=4
    )
    assert all(batch["label"].tolist() == [1] * 4 for batch in islice(loader, 3))
    drawn = generators.get_as_torch_dataset(None, 40, package=conditional, seed=5)
    labels = [item["label"] for item in drawn]
    assert set(labels) == {0, 1}
    assert [drawn[i]["label"] for i in (30, 2)] == [labels[30], labels[2]]
    with pytest.raises(ArgumentError, match="condition: got '3 classes'"):
        generators.get_as_torch_dataset(None, 40, package=conditional, condition=[0, 1, 0])


# Workers


def test_datasets_of_one_model_share_a_worker_and_close_ends_it(sampler):
    with Generators() as generators:
        one = generators.get_as_torch_dataset(None, 4, package=sampler, seed=1)
        other = generators.get_as_torch_dataset(None, 4, package=sampler, seed=2)
        pid = one[0]["label"]
        assert {item["label"] for made in (one, other) for item in made} == {pid}
        generators.close()
        assert not is_running(pid)
        # It can still be used.
        again = other[0]["label"]
        assert again != pid
    assert not is_running(again)


def test_loops_over_two_datasets_of_one_worker_do_not_mix_their_batches(sampler):
    with Generators() as generators:
        one, other = (
            generators.get_as_torch_dataset(None, 30, package=sampler, seed=seed) for seed in (1, 2)
        )
        expected = [[item["sample"] for item in made] for made in (one, other)]
        loaders = [
            generators.get_as_torch_dataloader(made, batch_size=4, prefetch_factor=5)
            for made in (one, other)
        ]
        found, workers = [[], []], set()
        for batches in zip(*loaders, strict=True):
            for images, batch in zip(found, batches, strict=True):
                images.extend(batch["sample"].numpy())
                workers |= set(batch["label"].tolist())
        assert len(workers) == 1
        for images, wanted in zip(found, expected, strict=True):
            np.testing.assert_array_equal(images, wanted)


def test_a_worker_ends_with_the_last_dataset(sampler):
    generators = Generators()
    dataset = generators.get_as_torch_dataset(None, 4, package=sampler)
    pid = dataset[0]["label"]
    del dataset
    gc.collect()
    assert wait_for(lambda: not is_running(pid))


def test_a_worker_that_is_killed_is_an_error_and_then_replaced(tmp_path):
    slow = write_package(
        tmp_path / "slow", at_import="import time", in_call="time.sleep(0.3)", result=PID_LABEL
    )
    with Generators() as generators:
        dataset = generators.get_as_torch_dataset(None, 16, package=slow, seed=1)
        expected = [item["sample"] for item in dataset.__getitems__(range(16))]
        loader = generators.get_as_torch_dataloader(dataset, batch_size=4)
        batches = iter(loader)
        os.kill(int(next(batches)["label"][0]), signal.SIGKILL)
        with pytest.raises(GenerationError, match="killed by signal 9"):
            next(batches)
        # The loader knows how far it came, and the next request starts a new worker.
        loader.load_state_dict(loader.state_dict())
        rest = [image for batch in loader for image in batch["sample"].numpy()]
        np.testing.assert_array_equal(rest, expected[4:])


def test_a_worker_that_dies_before_it_counts_as_dead_is_an_error_once(tmp_path, monkeypatch):
    slow = write_package(
        tmp_path / "slow", at_import="import time", in_call="time.sleep(0.3)", result=PID_LABEL
    )
    with Generators() as generators:
        loader = generators.get_as_torch_dataloader(
            model_id=None, num_samples=16, package=slow, batch_size=4, seed=1
        )
        batches = iter(loader)
        pid = int(next(batches)["label"][0])
        os.kill(pid, signal.SIGKILL)
        assert wait_for(lambda: not is_running(pid))
        alive = WorkerProcess.is_alive.fget
        # For a moment the system says that a process runs which is being killed.
        monkeypatch.setattr(
            WorkerProcess,
            "is_alive",
            property(lambda self: self._finalizer.alive if self.pid == pid else alive(self)),
        )
        with pytest.raises(GenerationError, match="killed by signal 9"):
            next(batches)
        loader.load_state_dict(loader.state_dict())
        assert [len(batch["sample"]) for batch in loader] == [4, 4, 4]


@pytest.mark.skipif(os.name == "nt", reason="signals to oneself are of POSIX")
def test_an_interrupted_loop_can_be_started_again(tmp_path):
    slow = write_package(
        tmp_path / "slow", at_import="import time", in_call="time.sleep(0.5)", result=PID_LABEL
    )
    with Generators() as generators:
        loader = generators.get_as_torch_dataloader(
            model_id=None, num_samples=12, package=slow, batch_size=4, seed=1
        )
        batches = iter(loader)
        pid = int(next(batches)["label"][0])
        timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            next(batches)
        timer.join()
        workers = {int(label) for batch in loader for label in batch["label"]}
        assert len(workers) == 1
        assert workers != {pid}
    assert not is_running(pid)


def test_a_model_that_fails_names_the_sample_and_the_next_call_goes_on(tmp_path):
    fails = "if options['fails']: raise ValueError('no such polyp')"
    package = write_package(tmp_path / "failing", in_call=fails, options={"fails": False})
    with Generators() as generators:
        bad = generators.get_as_torch_dataset(None, 9, package=package, fails=True)
        good = generators.get_as_torch_dataset(None, 9, package=package, seed=1)
        with pytest.raises(GenerationError, match="no such polyp") as raised:
            bad.__getitems__([5, 6])
        assert raised.value.first_sample == 5
        assert good[8]["sample"].shape == (4, 4)


@pytest.mark.parametrize("isolation", ["worker", "none"])
def test_a_batch_too_large_for_memory_is_made_in_halves(tmp_path, isolation):
    limit = "if num_samples > 3: raise MemoryError"
    package = write_package(tmp_path / "large", in_call=limit)
    with Generators() as generators:
        arguments = {"package": package, "seed": 1, "isolation": isolation}
        dataset = generators.get_as_torch_dataset(None, 20, **arguments)
        one_by_one = [dataset[index]["sample"] for index in range(20)]
        loader = generators.get_as_torch_dataloader(dataset, batch_size=10)
        for _ in range(2):
            images = torch.cat([batch["sample"] for batch in loader]).numpy()
            np.testing.assert_array_equal(images, one_by_one)


LEFT_MID_EPOCH = """
import sys
from medmint import Generators
loader = Generators().get_as_torch_dataloader(
    model_id=None, package=sys.argv[1], num_samples=None, batch_size=64, prefetch_factor=3
)
print(next(iter(loader))["label"][0].item())
"""


def test_a_program_that_ends_in_the_middle_of_an_epoch_ends_at_once_with_its_worker(sampler):
    command = [sys.executable, "-W", "error", "-c", LEFT_MID_EPOCH, str(sampler)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert wait_for(lambda: not is_running(int(done.stdout)))


@may_fork
def test_loader_processes_take_their_workers_with_them(generators, sampler):
    dataset = generators.get_as_torch_dataset(None, 16, package=sampler)
    loader = generators.get_as_torch_dataloader(dataset, batch_size=2, num_workers=2)
    pids = {pid for batch in loader for pid in batch["label"].tolist()}
    assert len(pids) == 2
    assert wait_for(lambda: not any(map(is_running, pids)))


def test_memory_of_a_stream_does_not_grow(generators, sampler):
    loader = generators.get_as_torch_dataloader(
        model_id=None, num_samples=None, package=sampler, batch_size=64
    )
    rows = iter(loader)
    worker = psutil.Process(int(next(rows)["label"][0]))
    processes = psutil.Process(), worker
    for _ in islice(rows, 30):
        pass
    before = [process.memory_info().rss for process in processes]
    for _ in islice(rows, 200):
        pass
    after = [process.memory_info().rss for process in processes]
    assert all(late <= 1.05 * early for early, late in zip(before, after, strict=True))


# Kept on disk


def test_samples_in_a_folder_are_made_once(tmp_path, phantoms):
    folder, before = tmp_path / "cache", workers_below()
    with Generators() as generators:
        dataset = generators.get_as_torch_dataset(PHANTOM, 8, cache_dir=folder, seed=3)
        made = (folder / "images" / "000005.npy").stat().st_mtime_ns
    with Generators() as generators:
        again = generators.get_as_torch_dataset(PHANTOM, 8, cache_dir=folder)
        assert again.seed == 3
        assert (folder / "images" / "000005.npy").stat().st_mtime_ns == made
        more = generators.get_as_torch_dataset(PHANTOM, 12, cache_dir=folder, seed=3)
        fewer = generators.get_as_torch_dataset(PHANTOM, 5, cache_dir=folder, seed=3)
        generators.close()
        assert [len(one) for one in (dataset, again, more, fewer)] == [8, 8, 12, 5]
        copy = pickle.loads(pickle.dumps(more))
        assert all(same(copy[index], phantoms[index]) for index in range(12))
        assert all(same(fewer[index], phantoms[index]) for index in range(5))
        with pytest.raises(SampleIndexError):
            fewer[5]
        assert workers_below() == before


@may_fork
def test_loader_processes_read_a_folder_without_a_model(tmp_path, conditional):
    folder = tmp_path / "cache"
    with Generators() as generators:
        dataset = generators.get_as_torch_dataset(
            None, 9, package=conditional, condition=[0, 1, 1] * 3, cache_dir=folder
        )
        generators.close()
        loader = generators.get_as_torch_dataloader(dataset, batch_size=3, num_workers=2)
        assert [batch["label"].tolist() for batch in loader] == [[0, 1, 1]] * 3


def test_a_folder_of_another_run_is_refused_and_left_as_it_is(generators, tmp_path):
    folder = tmp_path / "cache"
    generators.get_as_torch_dataset(PHANTOM, 2, cache_dir=folder, seed=3)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for other in ({"seed": 4}, {"noise": 1.0}):
        with pytest.raises(OutputError, match="another run"):
            generators.get_as_torch_dataset(PHANTOM, 2, cache_dir=folder, **other)
    with pytest.raises(OutputError, match="another run"):
        generators.get_as_torch_dataset(POLYPS, 2, cache_dir=folder, seed=3)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    replaced = generators.get_as_torch_dataset(PHANTOM, 1, cache_dir=folder, seed=4, overwrite=True)
    assert (len(replaced), len(list((folder / "images").iterdir()))) == (1, 1)
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "letter.txt").write_text("mine")
    with pytest.raises(OutputError, match="letter"):
        generators.get_as_torch_dataset(PHANTOM, 2, cache_dir=notes)
    assert [path.name for path in notes.iterdir()] == ["letter.txt"]


def test_a_damaged_file_is_reported_and_made_anew_the_next_time(generators, tmp_path, phantoms):
    folder = tmp_path / "cache"
    dataset = generators.get_as_torch_dataset(PHANTOM, 4, cache_dir=folder, seed=3)
    file = folder / "images" / "000002.npy"
    for damage in (lambda: file.write_bytes(b"\x93NUMPY"), file.unlink):
        damage()
        with pytest.raises(IntegrityError, match=r"000002\.npy.*made anew"):
            dataset[2]
        dataset = generators.get_as_torch_dataset(PHANTOM, 4, cache_dir=folder, seed=3)
        assert same(dataset[2], phantoms[2])


FILL = """
import sys
from medmint import Generators
with Generators() as generators:
    dataset = generators.get_as_torch_dataset(10001, 40, cache_dir=sys.argv[1], seed=3)
    print(dataset[39]["sample"].sum())
"""


def test_processes_that_want_one_folder_fill_it_together(tmp_path):
    command = [sys.executable, "-c", FILL, str(tmp_path / "cache")]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    outputs = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    assert len(set(outputs)) == 1
    lines = (tmp_path / "cache" / "manifest.jsonl").read_text().splitlines()
    assert [json.loads(line)["index"] for line in lines[1:]] == list(range(40))


RANK = """
import hashlib, sys
from itertools import islice
import torch.distributed
from medmint import Generators
rank, store = int(sys.argv[1]), sys.argv[2]
torch.distributed.init_process_group("gloo", f"file://{store}", rank=rank, world_size=2)
with Generators() as generators:
    loader = generators.get_as_torch_dataloader(
        model_id=10001, num_samples=None, batch_size=2, seed=3
    )
    for batch in islice(loader, 3):
        for image in batch["sample"].numpy():
            print(hashlib.sha256(image.tobytes()).hexdigest())
torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without torch.distributed")
def test_processes_that_train_together_get_different_samples(tmp_path, phantoms):
    command = [sys.executable, "-c", RANK]
    running = [
        subprocess.Popen(
            [*command, str(rank), str(tmp_path / "store")], stdout=subprocess.PIPE, text=True
        )
        for rank in range(2)
    ]
    hashes = [process.communicate(timeout=200)[0].split() for process in running]
    expected = [hashlib.sha256(image.tobytes()).hexdigest() for image, _ in phantoms[:12]]
    assert sorted(hashes[0] + hashes[1]) == sorted(expected)
    assert hashes[0][:2] == expected[:2]


# Mixed with real data


def test_real_and_synthetic_pairs_in_one_loader(generators, phantoms):
    synthetic = generators.get_as_torch_dataset(PHANTOM, 20, seed=3)
    real = [(np.full((256, 256), -i, np.int16), np.zeros((256, 256), np.uint8)) for i in range(6)]
    mixed = MixedDataset(real, synthetic, synthetic_share=0.4, convert=as_pair)
    loader = generators.get_as_torch_dataloader(dataset=mixed, batch_size=5)
    images = torch.cat([image for image, _ in loader]).numpy()
    kinds = [mixed.is_synthetic(index) for index in range(10)]
    assert sum(kinds[:5]) == sum(kinds[5:]) == 2
    np.testing.assert_array_equal(
        images[np.array(kinds)], np.stack([image for image, _ in phantoms[:4]])
    )


# Bad input


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"num_samples": None}, ArgumentError, r"get_as_torch_dataloader\(num_samples=None\)"),
        ({"num_samples": 0}, ArgumentError, "num_samples"),
        ({"output": "pil"}, ArgumentError, "output"),
        ({"output_path": "here"}, ArgumentError, "output_path: .* cache_dir"),
        ({"save_images": True}, ArgumentError, "save_images"),
        ({"transform": 3}, ArgumentError, "transform"),
        ({"noises": 3}, ArgumentError, "noises"),
        ({"cache_dir": 3}, ArgumentError, "cache_dir"),
        ({"cache_dir": "cache", "output": "pil"}, ArgumentError, "output"),
        ({"overwrite": True}, ArgumentError, "overwrite: .* cache_dir"),
        ({"seed": -1}, ArgumentError, "seed"),
    ],
)
def test_a_dataset_refuses(generators, arguments, error, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        generators.get_as_torch_dataset(PHANTOM, **arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "model_id"),
        ({"dataset": [1], "model_id": 10001}, "model_id: .* beside a dataset"),
        ({"dataset": [1], "seed": 3}, "seed: .* beside a dataset"),
        ({"model_id": 10001, "num_samples": None, "cache_dir": "c"}, "cache_dir: .* without end"),
        ({"model_id": 10001, "num_samples": None, "latents": "l"}, "latents: .* without end"),
        ({"model_id": 10001, "num_samples": None, "shuffle": True}, "shuffle: .* without end"),
        ({"model_id": 10001, "colour": "red"}, "colour"),
    ],
)
def test_a_loader_refuses(generators, arguments, message):
    with pytest.raises(ArgumentError, match=message):
        generators.get_as_torch_dataloader(**arguments)


def test_the_arguments_of_medigan_keep_their_places(generators):
    dataset = generators.get_as_torch_dataset("10001", 3, False, plus_one)
    assert len(dataset) == 3
    loader = generators.get_as_torch_dataloader(None, 10001, 6, False, None, 2, True)
    assert (len(loader), loader.batch_size) == (3, 2)
