"""What needs a CUDA device: run with ``python -m pytest -m gpu`` where there is one."""

import subprocess

import numpy as np
import pytest

from medmint import Generators
from medmint.errors import DeviceError

pytestmark = pytest.mark.gpu

MODEL = 10002


@pytest.fixture
def generators():
    with Generators() as made:
        yield made


def device_of(generators, device):
    """Return the device that the warm worker says it is on."""
    generators.generate(MODEL, 1, save_images=False, seed=1, device=device)
    (idle,) = generators._pool._idle
    return idle.worker.device, idle.worker.pid


def memory_used_by(pid):
    """Return the MiB of GPU memory that the driver counts for a process, 0 if it knows none."""
    query = ["nvidia-smi", "--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits"]
    lines = subprocess.run(query, check=True, capture_output=True, text=True).stdout.splitlines()
    used = [int(line.split(",")[1]) for line in lines if int(line.split(",")[0]) == pid]
    return sum(used)


def test_auto_takes_the_gpu_and_cpu_leaves_it_alone(generators):
    assert device_of(generators, "auto")[0] == "cuda:0"
    assert device_of(generators, "cpu")[0] == "cpu"


def test_cuda_means_the_first_card(generators):
    assert device_of(generators, "cuda")[0] == device_of(generators, "cuda:0")[0] == "cuda:0"


def test_a_card_that_is_not_there_is_named_with_those_that_are(generators):
    with pytest.raises(DeviceError, match=r"cuda:99.*cuda:0"):
        generators.generate(MODEL, 1, save_images=False, device="cuda:99")


def test_memory_is_given_back_on_close(generators):
    _, pid = device_of(generators, "cuda:0")
    assert memory_used_by(pid) > 0
    generators.close()
    assert memory_used_by(pid) == 0


def test_cpu_and_gpu_agree(generators):
    cpu = generators.generate(MODEL, 40, save_images=False, seed=3, device="cpu")
    gpu = generators.generate(MODEL, 40, save_images=False, seed=3, device="cuda:0")
    images = [np.stack([image for image, _ in samples]).astype(int) for samples in (cpu, gpu)]
    masks = [np.stack([mask for _, mask in samples]) for samples in (cpu, gpu)]
    # TF32 is off by default for matrix products but on for convolutions: ten bits of mantissa.
    assert np.abs(images[0] - images[1]).max() <= 8
    assert np.abs(images[0] - images[1]).mean() <= 0.5
    assert (masks[0] == masks[1]).mean() >= 0.998


def test_manifest_says_where_samples_were_made(generators, tmp_path):
    generators.generate(MODEL, 2, tmp_path / "run", seed=1, device="cuda")
    assert '"device": "cuda"' in (tmp_path / "run" / "manifest.jsonl").read_text()
