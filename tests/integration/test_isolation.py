"""Whatever model code does, the caller's process stays as it was and gets samples or an error."""

import os
import random
import signal
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from medmint import Generators
from medmint.errors import ContractError, GenerationError
from medmint.packages.workers import worker
from tests.packages.builders import write_package
from tests.packages.children import is_running, wait_for, workers_below

pytestmark = pytest.mark.family("R11")

CANARY = "canary-of-the-isolation-tests"

#: Things that model code may do and still give its samples.
HARMLESS = {
    "prints": "print('noise', flush=True); sys.stderr.write('noise')",
    "writes to the descriptor of stdout": "os.write(1, b'x' * 100_000)",
    "reads from stdin": "assert sys.stdin.read() == ''",
    "closes stdin": "sys.stdin.closed or os.close(0); sys.stdin.close()",
    "closes stdout": "sys.stdout.close()",
    "closes stderr": "sys.stderr.close()",
    "replaces stdout": "import io; sys.stdout = sys.stderr = io.StringIO(); print('noise')",
    "changes directory": "os.chdir('/')",
    "removes its directory": "os.rmdir(os.getcwd()) if not os.listdir() else None",
    "edits sys.path": "sys.path[:] = ['/nowhere']",
    "edits sys.argv": "sys.argv[:] = ['train.py', '--epochs', '3']",
    "reads sys.argv": "import argparse; argparse.ArgumentParser().parse_args()",
    "edits the environment": "os.environ.clear(); os.environ['CANARY'] = 'x'",
    "seeds random generators": "import random; random.seed(0); np.random.seed(0)",
    "sets signal handlers": """
        import signal
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        """,
    "catches interruptions": "os.kill(os.getpid(), 0)",
    "forks a child that comes back": "os.fork()",
    "forks a child that exits": "os.waitpid(os.fork() or os._exit(3), 0)",
    "starts a thread that stays": """
        import threading, time
        threading.Thread(target=time.sleep, args=(600,)).start()
        """,
    "starts a pool of processes": """
        import multiprocessing
        with multiprocessing.get_context('fork').Pool(2) as pool:
            assert pool.map(abs, [-1, -2]) == [1, 2]
        """,
    "warns": "import warnings; warnings.warn('old')",
    "turns warnings into errors": "import warnings; warnings.simplefilter('error')",
    "limits recursion": "sys.setrecursionlimit(200)",
}

#: Things after which there are no samples: the code, the exit code of the worker, part of the text.
FATAL = {
    "raises": ("raise ValueError('bad size')", None, "ValueError: bad size"),
    "raises an error of its own": (
        "raise type('Odd', (Exception,), {})('x', 1)",
        None,
        r"Odd: \('x', 1\)",
    ),
    "raises an error that has no text": (
        "raise type('Odd', (Exception,), {'__str__': lambda self: 1 / 0})",
        1,
        "ended with code 1",
    ),
    "raises an interruption": ("raise KeyboardInterrupt", None, "KeyboardInterrupt"),
    "calls sys.exit": ("sys.exit('done')", None, "SystemExit: done"),
    "calls os._exit": ("os._exit(7)", 7, "ended with code 7"),
    "exits as if all were well": ("os._exit(0)", 0, "ended with code 0"),
    "kills itself": ("os.kill(os.getpid(), 9)", -9, "signal 9"),
    "kills its process group": ("os.killpg(0, 15)", -15, "signal 15"),
    "segfaults": ("import ctypes; ctypes.string_at(0)", -11, "signal 11"),
    "aborts": ("os.abort()", -6, "signal 6"),
    "closes all descriptors": ("os.closerange(0, 100)", 1, "ended with code 1"),
    "recurses": ("(f := lambda: f())()", None, "RecursionError"),
    "fills memory": ("bytearray(1 << 60)", None, "memory ran out"),
    "dies after a fork": (
        "import time; os.fork() or time.sleep(600); os._exit(5)",
        5,
        "ended with code 5",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def generators(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch, Generators() as made:
        patch.setenv("MEDMINT_HOME", str(home))
        yield made


def run(generators, package, number=90100, count=3, **arguments):
    return generators.generate(
        number, count, package=package, save_images=False, seed=1, **arguments
    )


def state_of_the_caller():
    return {
        "directory": Path.cwd(),
        "sys.path": list(sys.path),
        "sys.argv": list(sys.argv),
        "modules": set(sys.modules),
        "environment": {n: v for n, v in os.environ.items() if n != "PYTEST_CURRENT_TEST"},
        "random": random.getstate(),
        "numpy": np.random.get_state()[1].tolist(),  # noqa: NPY002 - the state of the user
        "torch": torch.get_rng_state().tolist(),
        "signals": [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)],
        "streams": (sys.stdin, sys.stdout, sys.stderr),
        "recursion": sys.getrecursionlimit(),
        "threads": threading.active_count(),
    }


@pytest.fixture
def unchanged(generators, tmp_path):
    """Fail if anything about this process is another after the test."""
    # The first run of all imports what medmint needs for any.
    run(generators, write_package(tmp_path / "normal"), isolation="none")
    before = state_of_the_caller()
    yield
    after = state_of_the_caller()
    assert after.pop("modules") ^ before.pop("modules") == set()
    assert {name: after[name] for name in after if after[name] != before[name]} == {}


@pytest.mark.skipif(os.name == "nt", reason="some of these calls exist on POSIX alone")
@pytest.mark.parametrize("contract", ["sampler", "generate"])
@pytest.mark.parametrize("code", HARMLESS.values(), ids=HARMLESS)
def test_model_code_may(generators, tmp_path, contract, code, unchanged, capfd):
    package = write_package(tmp_path / "odd", contract=contract, in_call=code)
    assert [image.shape for image in run(generators, package)] == [(4, 4)] * 3
    assert len(run(generators, package, batch_size=1)) == 3
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(os.name == "nt", reason="some of these calls exist on POSIX alone")
@pytest.mark.parametrize("contract", ["sampler", "generate"])
@pytest.mark.parametrize("name", FATAL)
def test_it_is_an_error_if_model_code(generators, tmp_path, contract, name, unchanged, capfd):
    code, exit_code, text = FATAL[name]
    in_call = f"print('last words')\n{code}"
    package = write_package(tmp_path / "odd", contract=contract, in_call=in_call)
    with pytest.raises(GenerationError, match=text) as caught:
        run(generators, package)
    assert caught.value.model_id == "90100_ODD"
    assert caught.value.exit_code == exit_code
    tail = caught.value.log_tail
    assert any(
        words in tail for words in ("last words", "Traceback", "Fatal Python error", "Error:")
    )
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("code", ["sys.exit(3)", "os._exit(3)", "1 / 0", "import nowhere"])
def test_it_is_an_error_if_a_package_fails_to_load(generators, tmp_path, code, unchanged):
    package = write_package(tmp_path / "odd", at_import=f"print('last words')\n{code}")
    with pytest.raises(GenerationError) as caught:
        run(generators, package)
    assert "last words" in caught.value.log_tail


IN_PROCESS = [
    "prints", "changes directory", "edits sys.path", "edits sys.argv", "edits the environment",
    "seeds random generators",
]  # fmt: skip


@pytest.mark.parametrize("contract", ["sampler", "generate"])
@pytest.mark.parametrize("name", IN_PROCESS)
def test_even_without_isolation_model_code_may(generators, tmp_path, contract, name, unchanged):
    package = write_package(tmp_path / "odd", contract=contract, in_call=HARMLESS[name])
    images = run(generators, package, isolation="none")
    assert np.array_equal(run(generators, package), images)


@pytest.mark.parametrize("name", ["raises", "calls sys.exit", "recurses", "fills memory"])
def test_even_without_isolation_it_is_an_error_if_model_code(generators, tmp_path, name, unchanged):
    code, _, text = FATAL[name]
    package = write_package(tmp_path / "odd", in_call=code)
    with pytest.raises(GenerationError, match=text):
        run(generators, package, isolation="none")


@pytest.mark.parametrize("isolation", ["worker", "none"])
def test_modules_of_a_package_may_have_any_name(generators, tmp_path, isolation, unchanged):
    for name, offset in (("one", 1), ("two", 2)):
        package = write_package(
            tmp_path / name,
            at_import="import utils",
            in_call="from models import net",
            result='{"image": np.full_like(images, (net.offset + utils.offset) / 255)}',
        )
        (package / "models").mkdir()
        (package / "models" / "net.py").write_text(f"offset = {offset}\n")
        (package / "utils.py").write_text("offset = 10\n")
        assert run(generators, package, isolation=isolation)[0].max() == 10 + offset


@pytest.mark.parametrize("isolation", ["worker", "none"])
@pytest.mark.parametrize(
    ("contract", "result", "text"),
    [
        ("sampler", '{"image": images[:-1]}', "3 samples"),
        ("sampler", '{"image": np.concatenate([images, images])}', "3 samples"),
        ("sampler", '{"image": images[0, 0, 0, 0]}', "3 samples"),
        ("sampler", '{"image": images, "mask": images[:1]}', "3 samples"),
        ("sampler", '{"image": images * np.nan}', "finite"),
        ("sampler", '{"image": images / 0}', "finite"),
        ("sampler", '{"image": images * 1e30}', r"\[0, 1\]"),
        ("sampler", '{"image": images.astype(object)}', "type object"),
        ("sampler", '{"image": images.astype(str)}', "type <U"),
        ("sampler", '{"image": images.astype(complex)}', "type complex"),
        ("sampler", '{"image": images.astype("int64")}', "uint8"),
        ("sampler", '{"image": None}', "type object"),
        ("sampler", "images", "a dict"),
        ("generate", "images[:-1]", "3 samples"),
        ("generate", "[]", "a list of arrays"),
        ("generate", "None", "a list of arrays"),
        ("generate", "{}", "type object"),
        ("generate", "['text'] * 3", "an image"),
        ("generate", "[object()] * 3", "type object"),
        ("generate", "[image / 0.0 for image in images]", "finite"),
        ("generate", "[np.zeros((i + 1, 4)) for i in range(3)]", "one shape"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_samples_that_break_the_contract_are_an_error(
    generators, tmp_path, isolation, contract, result, text
):
    package = write_package(tmp_path / "odd", contract=contract, result=result)
    with pytest.raises(ContractError, match=text) as caught:
        run(generators, package, isolation=isolation)
    assert "90100_ODD" in str(caught.value)


def test_more_samples_than_asked_are_cut_where_packages_balance_classes(generators, tmp_path):
    package = write_package(tmp_path / "odd", contract="generate", result="images * 2")
    assert len(run(generators, package, count=5, batch_size=2)) == 5


@pytest.mark.parametrize("name", ["ZENODO_ACCESS_TOKEN", "GITHUB_TOKEN", "HF_TOKEN", "MY_SECRET"])
def test_secrets_do_not_reach_model_code(tmp_path, monkeypatch, name):
    monkeypatch.setenv(name, CANARY)
    look = f"""
        found = [name for name, value in os.environ.items() if {CANARY!r} in value]
        raise RuntimeError(f"found {{found}}, path {{'PATH' in os.environ}}")
        """
    package = write_package(tmp_path / "odd", in_call=look)
    with Generators() as generators, pytest.raises(GenerationError) as caught:
        run(generators, package)
    assert "found [], path True" in str(caught.value)


def test_the_log_of_a_model_that_prints_without_end_stays_short(tmp_path, monkeypatch, generators):
    """The limit is looked after once a second, so the model goes on until it was."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    in_call = f"""
        import time
        sizes = [0]
        while sizes[-1] >= sizes[-2:][0]:
            os.write(1, b"x" * (1 << 22))
            sizes.append(os.fstat(1).st_size)
            time.sleep(0.001)
        assert max(sizes) >= {worker.LARGEST_LOG}
        raise ValueError("after all")
        """
    package = write_package(tmp_path / "odd", in_call=in_call)
    with pytest.raises(GenerationError, match="after all") as caught:
        run(generators, package)
    assert len(str(caught.value)) < 10_000


@pytest.mark.skipif(os.name == "nt", reason="fork")
@pytest.mark.parametrize(
    "start",
    [
        "subprocess.Popen(['sleep', '600']).pid",
        "os.fork() or time.sleep(600)",
        # A grandchild whose parent is gone.
        "int(subprocess.check_output(['sh', '-c', 'sleep 600 >/dev/null 2>&1 & echo $!']))",
    ],
    ids=["program", "fork", "orphan"],
)
def test_what_a_model_started_ends_with_its_worker(tmp_path, start):
    note = tmp_path / "pid"
    in_call = f"""
        import subprocess, time
        pid = {start}
        open({str(note)!r}, "w").write(str(pid))
        """
    package = write_package(tmp_path / "odd", in_call=in_call)
    with Generators() as generators:
        run(generators, package)
        pid = int(note.read_text())
        assert is_running(pid)
    assert wait_for(lambda: not is_running(pid))


def test_a_failing_model_leaves_no_process_and_no_folder(tmp_path, monkeypatch):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    descriptors = psutil.Process().num_fds() if os.name == "posix" else 0
    package = write_package(tmp_path / "odd", in_call="os._exit(3)")
    with Generators() as generators:
        for _ in range(3):
            with pytest.raises(GenerationError):
                run(generators, package)
        assert workers_below() == []
        assert list(temporary.iterdir()) == []
    assert (psutil.Process().num_fds() if os.name == "posix" else 0) <= descriptors
