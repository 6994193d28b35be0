"""Memory depends on the batch, not on how many samples are asked for."""

import subprocess
import sys

import pytest

PEAK = """
import resource, sys
from medmint import Generators
with Generators() as generators:
    generators.generate(10001, int(sys.argv[1]), sys.argv[2], seed=1)
who = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
print(*(resource.getrusage(one).ru_maxrss for one in who))
"""


def peaks(count, folder):
    command = [sys.executable, "-c", PEAK, str(count), str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return [int(text) for text in done.stdout.split()]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no resource module")
def test_saving_4096_samples_takes_no_more_memory_than_saving_512(tmp_path):
    few = peaks(512, tmp_path / "few")
    many = peaks(4096, tmp_path / "many")
    for who, small, large in zip(("owner", "worker"), few, many, strict=True):
        assert large <= 1.1 * small, f"{who}: {small} for 512, {large} for 4096"
