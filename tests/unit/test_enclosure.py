"""A package in the user's own process leaves that process as it was."""

import os
import random
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from medmint.packages.workers.enclosure import Enclosure


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "package"
    folder.mkdir()
    return folder


def enter(enclosure, action):
    """Run an action of model code, as InlineWorker does."""
    with enclosure.entered():
        return action()


def state():
    return (
        Path.cwd(),
        list(sys.path),
        list(sys.argv),
        dict(os.environ),
        random.getstate(),
        np.random.get_state()[1].tolist(),  # noqa: NPY002 - the state of the user
        torch.get_rng_state().tolist(),
        set(sys.modules),
    )


def misbehave(root):
    os.chdir("/")
    sys.path.insert(0, "/nowhere")
    sys.argv[:] = ["train.py", "--gpu"]
    os.environ["CANARY"] = "x"
    os.environ.pop("PATH")
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - as packages do
    torch.manual_seed(0)
    sys.path.insert(0, str(root))
    import sibling_of_a_test  # noqa: F401


@pytest.mark.parametrize("fails", [False, True])
def test_everything_is_put_back(root, fails):
    (root / "sibling_of_a_test.py").write_text("")
    before = state()

    def action():
        misbehave(root)
        if fails:
            raise SystemExit

    if fails:
        with pytest.raises(SystemExit):
            enter(Enclosure(root), action)
    else:
        enter(Enclosure(root), action)
    assert state() == before


def test_siblings_and_paths_of_a_package_come_back_with_the_next_call(root):
    (root / "below").mkdir()
    (root / "below" / "counter_of_a_test.py").write_text("count = 0\n")

    def first():
        sys.path.insert(0, str(root / "below"))
        import counter_of_a_test

        counter_of_a_test.count += 1

    def second():
        import counter_of_a_test

        return counter_of_a_test.count, str(root / "below") in sys.path

    enclosure = Enclosure(root)
    enter(enclosure, first)
    assert enter(enclosure, second) == (1, True)


def test_a_module_of_the_user_with_the_same_name_is_hidden_and_comes_back(
    root, tmp_path, monkeypatch
):
    (tmp_path / "utils_of_a_test.py").write_text("owner = 'user'\n")
    (root / "utils_of_a_test.py").write_text("owner = 'package'\n")
    monkeypatch.syspath_prepend(tmp_path)
    import utils_of_a_test as mine

    def action():
        sys.path.insert(0, str(root))
        import utils_of_a_test

        return utils_of_a_test.owner

    assert enter(Enclosure(root), action) == "package"
    assert sys.modules.pop("utils_of_a_test") is mine


def test_two_packages_with_siblings_of_one_name_do_not_meet(tmp_path):
    owners = []
    for name in ("one", "two"):
        folder = tmp_path / name
        (folder / "network_of_a_test").mkdir(parents=True)
        (folder / "network_of_a_test" / "part.py").write_text(f"owner = {name!r}\n")

        def action(folder=folder):
            sys.path.insert(0, str(folder))
            from network_of_a_test import part

            return part.owner

        owners.append(enter(Enclosure(folder), action))
    assert owners == ["one", "two"]


def test_a_file_of_the_package_does_not_hide_the_standard_library(root):
    (root / "random.py").write_text("raise ImportError('wrong one')\n")
    assert enter(Enclosure(root), lambda: sys.modules["random"]) is random


def test_threads_take_turns(root):
    inside, faults = [], []
    enclosure = Enclosure(root)

    def action():
        inside.append(1)
        if len(inside) > 1:
            faults.append("two at once")
        threading.Event().wait(0.01)
        inside.pop()

    before = state()
    threads = [threading.Thread(target=enter, args=(enclosure, action)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    assert state() == before
