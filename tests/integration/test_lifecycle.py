"""Workers come and go with whoever started them."""

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from medmint import Generators
from medmint.errors import OutputError
from medmint.generation_request import GenerationRequest
from tests.packages.builders import catalogue_of, pid_package, write_package
from tests.packages.children import (
    PidDataset,
    generate_in_child,
    is_running,
    wait_for,
    worker_of,
    workers_below,
)

pytestmark = pytest.mark.family("R12")

ROOT = Path(__file__).parents[2]
#: A worker looks after its owner once a second; the rest is for a machine that is busy.
ORPHAN_SECONDS = 5.0

posix_only = pytest.mark.skipif(os.name == "nt", reason="fork and signals are of POSIX")
#: Python 3.12 and newer warn of any fork beside threads, here those of torch; what is forked here
#: takes none of their locks.
may_fork = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


@pytest.fixture(autouse=True)
def temporary_folder(tmp_path, monkeypatch):
    """Let scratch folders be made where the test can count them."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


@pytest.fixture
def package(tmp_path):
    return pid_package(tmp_path / "package")


@pytest.fixture
def generators():
    with Generators() as made:
        yield made


def images_of(generators, package, count=3, number=90100, **arguments):
    samples = generators.generate(
        number, count, package=package, save_images=False, seed=1, **arguments
    )
    return [sample[0] if isinstance(sample, tuple) else sample for sample in samples]


# One process


def test_the_second_call_finds_the_worker_warm(generators, package):
    first = worker_of(generators, package)
    assert worker_of(generators, package) == first
    assert [child.pid for child in workers_below()] == [first]


def test_another_generators_object_has_its_own_worker(generators, package):
    with Generators() as other:
        assert worker_of(generators, package) != worker_of(other, package)
        assert len(workers_below()) == 2
    assert worker_of(generators, package) == workers_below()[0].pid


def test_close_ends_the_worker_and_its_folder(package, temporary_folder):
    with Generators() as generators:
        pid = worker_of(generators, package)
        assert list(temporary_folder.iterdir()) != []
    assert not is_running(pid)
    assert list(temporary_folder.iterdir()) == []
    assert worker_of(generators, package) != pid
    generators.close()
    assert workers_below() == []


def test_an_executor_that_was_added_keeps_its_worker_warm_after_a_close(package):
    with Generators(catalogue=catalogue_of(package)) as generators:
        executor = generators.get_model_executor(90100)
        generators.close()
        request = GenerationRequest(num_samples=1, save_images=False)
        (_, first), (_, second) = executor.generate(request)[0], executor.generate(request)[0]
        assert first == second
    assert workers_below() == []


def test_twenty_models_in_turn_leave_one_warm_worker(tmp_path, temporary_folder):
    folders = [write_package(tmp_path / f"p{i}", number=90200 + i) for i in range(20)]
    with Generators(catalogue=catalogue_of(*folders)) as generators:
        for number in range(90200, 90220):
            assert len(generators.generate(number, 1, save_images=False, seed=1)) == 1
            assert len(workers_below()) == 1
            assert len(list(temporary_folder.iterdir())) == 1
    assert workers_below() == []


def test_an_edited_package_is_loaded_anew(generators, tmp_path):
    folder = tmp_path / "package"
    for value in (0, 1):
        write_package(folder, result=f'{{"image": np.full_like(images, {value})}}')
        assert images_of(generators, folder)[0].max() == 255 * value


@posix_only
def test_a_worker_that_was_killed_while_idle_is_replaced(generators, package):
    pid = worker_of(generators, package)
    os.kill(pid, signal.SIGKILL)
    assert wait_for(lambda: not is_running(pid))
    assert worker_of(generators, package) != pid


@pytest.mark.parametrize("image_side", [4, 1024], ids=["small", "larger than the pipe"])
def test_a_stream_that_is_not_used_up_leaves_the_worker_in_step(tmp_path, image_side):
    result = f"[np.full(({image_side}, {image_side}), len(images), np.uint8)] * len(images)"
    package = write_package(tmp_path / "package", contract="generate", result=result)
    with Generators(catalogue=catalogue_of(package)) as generators:
        executor = generators.get_model_executor(90100)
        (warm,) = images_of(generators, package, 1, batch_size=1) and workers_below()
        for size in (2, 3):
            request = GenerationRequest(num_samples=50, batch_size=size, save_images=False)
            stream = executor.stream(request)
            assert len(next(stream)) == size
            stream.close()
            values = [image.max() for image in images_of(generators, package, 5, batch_size=5)]
            assert values == [5] * 5
        assert [child.pid for child in workers_below()] == [warm.pid]


@posix_only
def test_an_interruption_ends_the_work_and_leaves_medmint_in_use(generators, tmp_path):
    note = tmp_path / "note"
    wait = f"""
        import time
        if num_samples == 2:
            open({str(note)!r}, "w").write(str(os.getpid()))
            time.sleep(600)
        """
    package = write_package(tmp_path / "package", in_call=wait)

    def interrupt():
        if wait_for(lambda: note.exists() and note.read_text()):
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        images_of(generators, package, 2)
    thread.join()
    assert not is_running(int(note.read_text()))
    assert len(images_of(generators, package, 3)) == 3


def test_a_fault_of_the_caller_leaves_the_worker_warm(generators, package, tmp_path):
    pid = worker_of(generators, package)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="it is a file"):
        generators.generate(90100, 1, tmp_path / "file", package=package)
    assert worker_of(generators, package) == pid


@pytest.mark.parametrize("isolation", ["worker", "none"])
def test_two_threads_at_once_get_what_each_would_get_alone(generators, tmp_path, isolation):
    packages = [
        write_package(tmp_path / f"p{i}", number=90100 + i, contract=contract)
        for i, contract in enumerate(("sampler", "generate"))
    ]

    def work(index):
        i = index % 2
        return images_of(generators, packages[i], 6, 90100 + i, batch_size=2, isolation=isolation)

    alone = [work(index) for index in range(4)]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(work, range(4)))
    np.testing.assert_array_equal(together, alone)
    assert len(workers_below()) == (isolation == "worker")


# More processes


@posix_only
@may_fork
def test_a_forked_child_uses_a_worker_of_its_own(generators, package):
    warm = worker_of(generators, package)
    results = multiprocessing.get_context("fork").Queue()
    arguments = (generators, package, results)
    child = multiprocessing.get_context("fork").Process(target=generate_in_child, args=arguments)
    child.start()
    pid, count = results.get(timeout=60)
    child.join()
    assert child.exitcode == 0
    assert pid != warm
    assert count == 1
    assert wait_for(lambda: not is_running(pid))
    assert worker_of(generators, package) == warm


@posix_only
@may_fork
def test_a_child_that_was_forked_in_the_middle_of_a_stream_does_not_disturb_it(tmp_path):
    package = pid_package(tmp_path / "package")
    with Generators(catalogue=catalogue_of(package)) as generators:
        executor = generators.get_model_executor(90100)
        request = GenerationRequest(num_samples=6, batch_size=2, save_images=False, seed=1)
        expected = [batch.arrays["image"] for batch in executor.stream(request)]
        stream = executor.stream(request)
        received = [next(stream).arrays["image"]]
        if (child := os.fork()) == 0:
            try:
                next(stream)
            except RuntimeError as error:
                os._exit(0 if "forked from" in str(error) else 2)
            finally:
                os._exit(3)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        received += [batch.arrays["image"] for batch in stream]
        np.testing.assert_array_equal(received, expected)


def test_a_spawned_child_uses_a_worker_of_its_own(generators, package):
    warm = worker_of(generators, package)
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    child = context.Process(target=generate_in_child, args=(generators, package, results))
    child.start()
    pid, count = results.get(timeout=120)
    child.join()
    assert child.exitcode == 0
    assert (pid != warm, count) == (True, 1)
    assert wait_for(lambda: not is_running(pid))
    assert worker_of(generators, package) == warm


@may_fork
def test_loader_processes_use_workers_of_their_own(generators, package):
    warm = worker_of(generators, package)
    dataset = PidDataset(generators, package)
    loader = torch.utils.data.DataLoader(dataset, batch_size=1, num_workers=2)
    pids = {int(pid) for batch in loader for pid in batch}
    assert len(pids) == 2
    assert warm not in pids
    assert wait_for(lambda: not any(is_running(pid) for pid in pids))
    assert worker_of(generators, package) == warm


def test_a_copy_sent_elsewhere_brings_no_worker(generators, package):
    warm = worker_of(generators, package)
    with pickle.loads(pickle.dumps(generators)) as copy:
        assert worker_of(copy, package) != warm
    assert worker_of(generators, package) == warm


# The end of an owner

_OWNER = """
import os, sys, time
from pathlib import Path
from medmint import Generators
from tests.packages.children import worker_of
generators, package = Generators(), Path(sys.argv[1])
{before}
print(worker_of(generators, package), flush=True)
{after}
"""


def start_owner(package, *, before="", after="time.sleep(600)"):
    """Start a process that generates; return it and what it printed first."""
    code = _OWNER.format(before=before, after=after)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    owner = subprocess.Popen(
        [sys.executable, "-c", code, package],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )
    return owner, owner.stdout.readline().strip()


def end(owner):
    with owner:
        os.killpg(owner.pid, signal.SIGKILL)


@posix_only
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda number: number.name)
def test_a_worker_ends_with_its_killed_owner(package, temporary_folder, number):
    owner, pid = start_owner(package)
    assert is_running(int(pid))
    owner.send_signal(number)
    assert wait_for(lambda: not is_running(int(pid)), ORPHAN_SECONDS)
    assert wait_for(lambda: list(temporary_folder.iterdir()) == [])
    end(owner)


@posix_only
def test_a_worker_ends_with_its_owner_although_a_forked_child_lives_on(package, temporary_folder):
    owner, pid = start_owner(package, after="os.fork(); time.sleep(600)")
    assert wait_for(lambda: len(psutil.Process(owner.pid).children()) == 2)
    (child,) = (c for c in psutil.Process(owner.pid).children() if c.pid != int(pid))
    owner.kill()
    assert wait_for(lambda: not is_running(int(pid)), ORPHAN_SECONDS)
    assert is_running(child.pid)
    end(owner)


@posix_only
@pytest.mark.parametrize(
    "busy",
    [
        "while True: pass",
        "time.sleep(600)",
        "os.read(os.pipe()[0], 1)",
        "os.fork(); time.sleep(600)",
    ],
    ids=["computing", "sleeping", "reading", "with a child"],
)
def test_a_busy_worker_ends_with_its_owner(tmp_path, temporary_folder, busy):
    note = tmp_path / "note"
    in_call = f"""
        import time
        open({str(note)!r}, "a").write("here")
        {busy}
        """
    package = pid_package(tmp_path / "package", in_call=in_call)
    announce = "import threading; threading.Timer(0.1, print, ['started'], {'flush': True}).start()"
    owner, _ = start_owner(package, before=announce)
    assert wait_for(note.exists)
    workers = workers_below(owner.pid)
    assert workers
    owner.kill()
    assert wait_for(lambda: not any(is_running(one.pid) for one in workers), ORPHAN_SECONDS)
    assert wait_for(lambda: list(temporary_folder.iterdir()) == [])
    end(owner)


@pytest.mark.parametrize(
    "after",
    ["", "sys.exit(1)", "raise ValueError", "del generators"],
    ids=lambda code: code or "end",
)
def test_a_worker_ends_with_a_program_that_never_closes(package, temporary_folder, after):
    owner, pid = start_owner(package, after=f"sys.stderr = None\n{after}")
    owner.communicate(timeout=60)
    assert not is_running(int(pid))
    assert list(temporary_folder.iterdir()) == []


@pytest.mark.slow
def test_two_hundred_loads_leave_nothing_behind(tmp_path, temporary_folder):
    folders = [write_package(tmp_path / f"p{i}", number=90200 + i) for i in range(2)]
    process, catalogue = psutil.Process(), catalogue_of(*folders)
    with Generators(catalogue=catalogue) as generators:
        for i in range(200):
            generators.generate(90200 + i % 2, 1, save_images=False, seed=1)
            if i == 20:
                before = process.memory_info().rss, process.num_fds() if os.name == "posix" else 0
        assert process.memory_info().rss < 1.05 * before[0]
        assert (process.num_fds() if os.name == "posix" else 0) <= before[1]
        assert len(list(temporary_folder.iterdir())) == 1
