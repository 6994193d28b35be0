"""Worker processes as their owner sees them."""

import gc
import os
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest

from medmint.errors import ArgumentError, ContractError, DeviceError, GenerationError
from medmint.packages.workers import process
from medmint.packages.workers.process import (
    InlineWorker,
    OutOfMemoryError,
    WorkerProcess,
    as_error,
    read_tail,
)
from medmint.packages.workers.variables import worker_environment
from tests.packages.builders import write_package
from tests.packages.children import is_running, wait_for

MODEL_ID = "90100_ODD"


@pytest.fixture(autouse=True)
def temporary_folder(tmp_path, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def start(tmp_path):
    """Start workers that end with the test."""
    started = []

    def start(python=Path(sys.executable), **environment):
        worker = WorkerProcess(MODEL_ID, tmp_path, python=python, environment=environment)
        started.append(worker)
        return worker

    yield start
    for worker in started:
        worker.close()


def job(folder, contract="sampler", **changes):
    return {
        "contract": contract,
        "root": str(folder),
        "alias": "medmint_model_odd",
        "weights": None,
        "function": "generate",
        "device": "auto",
        "uses_torch": False,
        "inline": False,
        **changes,
    }


def ask(worker, count=2, **options):
    latents = np.zeros((count, 8), np.float32)
    return worker.request({"op": "batch", "options": options}, {"latents": latents})


def loaded(worker, tmp_path, **package):
    worker.load(job(write_package(tmp_path / "package", **package)))
    return worker


def test_a_package_is_loaded_once_and_answers_in_order(start, tmp_path):
    counting = "Sampler.calls = getattr(Sampler, 'calls', 0) + 1"
    result = '{"image": images, "label": np.full(num_samples, Sampler.calls)}'
    worker = loaded(start(), tmp_path, in_call=counting, result=result)
    assert worker.device == "cpu"
    numbers = [ask(worker) for _ in range(3)]
    labels = [worker.reply(number).arrays["label"].tolist() for number in numbers]
    assert labels == [[1, 1], [2, 2], [3, 3]]


def test_an_abandoned_answer_is_passed_over(start, tmp_path):
    worker = loaded(start(), tmp_path)
    ask(worker, 3)
    ask(worker, 4)
    assert len(worker.reply(ask(worker, 5)).arrays["image"]) == 5


def test_a_failure_leaves_the_worker_in_use(start, tmp_path):
    worker = loaded(start(), tmp_path, in_call="if num_samples == 3: raise ValueError('three')")
    with pytest.raises(GenerationError, match="ValueError: three") as caught:
        worker.reply(ask(worker, 3))
    assert "in sample" in caught.value.log_tail
    assert len(worker.reply(ask(worker, 2)).arrays["image"]) == 2


def test_a_batch_before_a_package_is_refused(start):
    worker = start()
    with pytest.raises(GenerationError, match="before a package was loaded"):
        worker.reply(ask(worker))


@pytest.mark.parametrize("value", [object(), float("nan"), {1: {2}}], ids=["object", "NaN", "set"])
def test_an_option_that_cannot_be_sent_leaves_the_worker_in_use(start, tmp_path, value):
    worker = loaded(start(), tmp_path)
    with pytest.raises(ArgumentError, match="options"):
        ask(worker, contrast=value)
    assert len(worker.reply(ask(worker)).arrays["image"]) == 2


def test_latents_of_another_type_cannot_be_sent(start):
    with pytest.raises(ArgumentError, match="complex"):
        start().request({"op": "batch", "options": {}}, {"latents": np.zeros(2, complex)})


def test_a_request_larger_than_the_pipe_crosses_a_large_answer(start, tmp_path):
    result = '{"image": np.zeros((num_samples, 1, 512, 512), np.float32)}'
    worker = loaded(start(), tmp_path, result=result)
    latents = np.zeros((4, 1 << 18), np.float32)
    message = {"op": "batch", "options": {}}
    numbers = [worker.request(message, {"latents": latents}) for _ in range(3)]
    assert [worker.reply(n).arrays["image"].nbytes for n in numbers] == [4 << 20] * 3


def test_close_ends_the_process_and_its_folder(start, temporary_folder):
    worker = start()
    assert worker.scratch.is_relative_to(temporary_folder)
    worker.close()
    worker.close()
    assert not worker.is_alive
    assert not is_running(worker.pid)
    assert list(temporary_folder.iterdir()) == []


def test_a_worker_that_nobody_holds_any_more_ends(start, tmp_path, temporary_folder):
    pid = WorkerProcess(MODEL_ID, tmp_path, python=Path(sys.executable), environment={}).pid
    gc.collect()
    assert not is_running(pid)
    assert list(temporary_folder.iterdir()) == []


def test_a_closed_worker_says_so(start):
    worker = start()
    worker.close()
    assert worker.wake() is False
    worker.rest(1)
    with pytest.raises(GenerationError):
        ask(worker)


def test_a_killed_worker_is_an_error_with_its_signal(start, tmp_path):
    worker = loaded(start(), tmp_path, in_call="print('last words'); os.kill(os.getpid(), 9)")
    with pytest.raises(GenerationError, match=r"signal 9.*smaller batch_size") as caught:
        worker.reply(ask(worker))
    assert caught.value.exit_code == -9
    assert "last words" in caught.value.log_tail
    assert not worker.is_alive


def test_an_interpreter_that_is_not_there_is_an_error(start, tmp_path, temporary_folder):
    with pytest.raises(GenerationError, match="could not be started"):
        start(python=tmp_path / "python")
    assert list(temporary_folder.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for an interpreter is a shell script")
@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("exit 3", "ended with code 3"),
        ("echo No module named numpy >&2; exit 1", "No module named numpy"),
        ("printf 'some text on stdout'", "its worker sent"),
        (r"""printf '\000\000\000\032{"protocol":9,"arrays":[]}'; sleep 60""", "another protocol"),
        ("exec 1>&-; sleep 60", "closed its connection"),
    ],
)
def test_an_interpreter_that_is_none_is_an_error(
    start, tmp_path, temporary_folder, monkeypatch, line, message
):
    monkeypatch.setattr(process, "CLOSE_SECONDS", 0.1)
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{line}\n")
    python.chmod(0o755)
    with pytest.raises(GenerationError, match=message):
        start(python=python)
    assert list(temporary_folder.iterdir()) == []


def test_rest_ends_a_worker_and_a_request_ends_the_rest(start, tmp_path):
    worker = loaded(start(), tmp_path)
    worker.rest(3600)
    assert worker.wake()
    worker.rest(0)
    assert wait_for(lambda: not worker.is_alive)
    assert not worker.scratch.exists()
    assert worker.wake() is False


def test_rest_ends_a_worker_whose_answer_nobody_takes(start, tmp_path):
    result = '{"image": np.zeros((num_samples, 1, 1024, 1024), np.float32)}'
    worker = loaded(start(), tmp_path, result=result)
    ask(worker)
    worker.rest(0)
    assert wait_for(lambda: not worker.is_alive)


def test_a_lent_worker_does_not_end_while_its_user_takes_long(start, tmp_path, monkeypatch):
    worker = loaded(start(), tmp_path)
    worker.rest(0.5)
    number = ask(worker)
    pause = threading.Event()
    pause.wait(2.5)
    assert len(worker.reply(number).arrays["image"]) == 2
    assert worker.wake()


def test_the_working_folder_leads_to_the_package(start, tmp_path):
    found = f"raise RuntimeError(os.path.realpath('models/{MODEL_ID}'))"
    worker = loaded(start(), tmp_path, in_call=found)
    with pytest.raises(GenerationError, match=os.path.realpath(tmp_path)):
        worker.reply(ask(worker))


def test_temporary_files_of_a_model_go_with_its_worker(start, tmp_path):
    in_call = "import tempfile; raise RuntimeError(tempfile.mkdtemp())"
    worker = loaded(start(), tmp_path, in_call=in_call)
    with pytest.raises(GenerationError, match=str(worker.scratch)):
        worker.reply(ask(worker))


def test_sets_keep_their_order_from_worker_to_worker(tmp_path, start):
    in_call = "raise RuntimeError(str(hash('medmint')))"
    package = job(write_package(tmp_path / "package", in_call=in_call))
    messages = set()
    for _ in range(2):
        worker = start()
        worker.load(package)
        with pytest.raises(GenerationError) as caught:
            worker.reply(ask(worker))
        messages.add(str(caught.value).splitlines()[0])
    assert len(messages) == 1


def test_modules_of_the_user_are_out_of_reach(start, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("")
    with pytest.raises(GenerationError, match="No module named 'mine'"):
        loaded(start(), tmp_path, at_import="import mine")


@pytest.mark.parametrize("contract", ["sampler", "generate"])
@pytest.mark.parametrize(
    ("code", "error", "message"),
    [
        ("raise OSError('no file')", GenerationError, "OSError: no file"),
        ("del load, generate", ContractError, "a function"),
        ("import not_there", GenerationError, "not_there"),
        ("(", GenerationError, "SyntaxError"),
        ("sys.exit(4)", GenerationError, "SystemExit: 4"),
    ],
    ids=["raises", "no function", "no module", "no Python", "exits"],
)
def test_a_package_that_cannot_be_loaded_is_an_error(
    start, tmp_path, contract, code, error, message
):
    folder = tmp_path / "package"
    folder.mkdir()
    common = "import sys\ndef load(w, d): return 0\ndef generate(**a): return 0\n"
    if "del" in code:
        common, code = "", ""
    (folder / "__init__.py").write_text(common + code)
    with pytest.raises(error, match=message):
        start().load(job(folder, contract))


@pytest.mark.parametrize("result", ["None", "{}", "{'mask': images}", "[images]", "images"])
def test_a_sampler_that_returns_something_else_is_an_error(start, tmp_path, result):
    worker = loaded(start(), tmp_path, result=result)
    with pytest.raises(ContractError, match=r"sample\(\) to return a dict with 'image'"):
        worker.reply(ask(worker))


def test_a_folder_that_is_no_package_is_an_error(start, tmp_path):
    with pytest.raises(ContractError, match=r"__init__\.py"):
        start().load(job(tmp_path))


@pytest.mark.parametrize("uses_torch", [False, True])
def test_a_device_that_is_not_there_is_an_error(start, tmp_path, uses_torch):
    package = write_package(tmp_path / "package")
    with pytest.raises(DeviceError, match="cpu"):
        start().load(job(package, device="cuda:97", uses_torch=uses_torch))


# The same in the user's own process


def test_inline_gives_the_same_as_a_process(start, tmp_path):
    worker, inline = loaded(start(), tmp_path), InlineWorker(MODEL_ID)
    inline.load(job(tmp_path / "package"))
    assert inline.is_alive
    assert inline.wake()
    for count in (1, 3):
        theirs, ours = worker.reply(ask(worker, count)), inline.reply(ask(inline, count))
        np.testing.assert_array_equal(theirs.arrays["image"], ours.arrays["image"])
    inline.close()
    assert not inline.is_alive


def test_inline_leaves_an_interruption_to_the_user(tmp_path):
    inline = InlineWorker(MODEL_ID)
    inline.load(job(write_package(tmp_path / "package", in_call="raise KeyboardInterrupt")))
    with pytest.raises(KeyboardInterrupt):
        inline.reply(ask(inline))


# Parts


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        ({"kind": "device", "device": "mps", "available": ["cpu"]}, DeviceError),
        ({"kind": "contract", "expected": "a", "found": "b"}, ContractError),
        ({"kind": "out_of_memory", "reason": "MemoryError"}, OutOfMemoryError),
        ({"kind": "failed", "reason": "ValueError: x."}, GenerationError),
        ({}, GenerationError),
    ],
)
def test_a_described_failure_becomes_an_error(failure, error):
    raised = as_error(MODEL_ID, failure, "tail")
    assert type(raised) is error
    assert ".." not in str(raised)


def test_a_tail_is_short_and_whole(tmp_path):
    log = tmp_path / "log"
    log.write_bytes(b"\xff" * 9000 + b"\n" + b"".join(b"line %d\n" % i for i in range(50)))
    lines = read_tail(log).splitlines()
    assert lines == [f"line {i}" for i in range(30, 50)]
    assert read_tail(tmp_path / "missing") == ""


@pytest.mark.parametrize(
    "name",
    ["ZENODO_ACCESS_TOKEN", "GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "CUDA_TOKEN",
     "TORCH_SECRET", "torch_password", "OPENBLAS_API_KEY", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD",
     "PYTHONPATH", "PYTHONSTARTUP", "PYTHONHOME", "HTTPS_PROXY", "MEDMINT_HOME"],
)  # fmt: skip
def test_a_variable_is_held_back(name):
    assert name not in worker_environment({name: "canary"}, Path("tmp"))


@pytest.mark.parametrize(
    "name", ["PATH", "HOME", "LANG", "LC_ALL", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS"]
)
def test_a_variable_is_passed_on(name):
    assert worker_environment({name: "value"}, Path("tmp"))[name] == "value"
