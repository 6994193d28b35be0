"""Batches fit into the memory that is there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medmint.model_executor import batch_size
from medmint.model_executor.batch_size import default_batch_size, free_memory

GIB = 1 << 30


@given(st.lists(st.integers(1, 4096), min_size=1, max_size=3), st.integers(0, 1 << 45))
def test_it_is_a_power_of_two_and_no_larger_with_less_memory(sides, free):
    size = default_batch_size(sides, free)
    assert size in {1, 2, 4, 8, 16, 32}
    assert default_batch_size(sides, free // 2) <= size
    assert default_batch_size([side * 2 for side in sides], free) <= size


def test_memory_that_is_not_known_changes_nothing():
    assert default_batch_size((4096, 4096), None) == 32


def test_a_small_machine_gets_small_batches_of_large_images():
    assert default_batch_size((1332, 800), 2 * GIB) == 1
    assert default_batch_size((1332, 800), 32 * GIB) == 8
    assert default_batch_size((64, 64), GIB // 2) == 32


def test_the_limit_of_a_container_counts(tmp_path, monkeypatch):
    files = {"_MEMORY_FACTS": "MemTotal: 9 kB\nMemAvailable:   4096 kB\n"}
    files |= {"_GROUP_LIMIT": f"{3 << 20}\n", "_GROUP_USE": f"{1 << 20}\n"}
    for name, text in files.items():
        path = tmp_path / name
        path.write_text(text)
        monkeypatch.setattr(batch_size, name, path)
    assert free_memory() == 2 << 20
    (tmp_path / "_GROUP_LIMIT").write_text("max\n")
    assert free_memory() == 4 << 20
    (tmp_path / "_GROUP_USE").unlink()
    assert free_memory() == 4 << 20


@pytest.mark.parametrize("text", [None, "", "MemAvailable:\n", "MemAvailable: much kB\n"])
def test_a_system_that_does_not_say_is_not_known(text, tmp_path, monkeypatch):
    path = tmp_path / "meminfo"
    if text is not None:
        path.write_text(text)
    monkeypatch.setattr(batch_size, "_MEMORY_FACTS", path)
    assert free_memory() is None
