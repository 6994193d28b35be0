"""R15: samples depend on model, seed and index, and on nothing about how they are asked for."""

import hashlib

import numpy as np
import pytest
from torch.utils.data.distributed import DistributedSampler

from medmint import Generators

pytestmark = [
    pytest.mark.family("R15"),
    # Python 3.12 and newer warn of any fork beside threads, here those of torch.
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]

PHANTOM, POLYPS, SEED, COUNT, POLYP_COUNT = 10001, 10002, 11, 33, 12


@pytest.fixture(scope="module")
def generators():
    with Generators() as made:
        yield made


@pytest.fixture(scope="module")
def expected(generators):
    """The hashes of a sequential run of ``generate``."""
    return [
        digest(image, mask)
        for image, mask in generators.generate(PHANTOM, COUNT, save_images=False, seed=SEED)
    ]


def digest(image, mask):
    return hashlib.sha256(image.tobytes() + mask.tobytes()).hexdigest()


def shard(generators, dataset, rank, shards, **arguments):
    """Return the positions of one shard and the hashes of its samples, in their order."""
    sampler = DistributedSampler(dataset, shards, rank, shuffle=True, seed=1)
    loader = generators.get_as_torch_dataloader(dataset, sampler=sampler, **arguments)
    hashes = [
        digest(image, mask)
        for batch in loader
        for image, mask in zip(batch["sample"].numpy(), batch["mask"].numpy(), strict=True)
    ]
    return list(sampler), hashes


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("shards", [1, 4])
@pytest.mark.parametrize("batch_size", [1, 7, 32])
def test_hashes_are_those_of_a_sequential_run(generators, expected, batch_size, shards, workers):
    dataset = generators.get_as_torch_dataset(PHANTOM, COUNT, seed=SEED, device="cpu")
    found = {}
    for rank in range(shards):
        # One worker serves this process; of two, each serves a loader process of its own.
        num_workers = 0 if workers == 1 else workers
        positions, hashes = shard(
            generators, dataset, rank, shards, batch_size=batch_size, num_workers=num_workers
        )
        found |= dict(zip(positions, hashes, strict=True))
    assert [found[index] for index in range(COUNT)] == expected


@pytest.mark.parametrize("batch_size", [1, 7, 12])
def test_a_network_on_the_cpu_stays_within_rounding(generators, batch_size):
    run = generators.generate(POLYPS, POLYP_COUNT, save_images=False, seed=SEED, device="cpu")
    loader = generators.get_as_torch_dataloader(
        model_id=POLYPS, num_samples=POLYP_COUNT, batch_size=batch_size, seed=SEED, device="cpu"
    )
    index = 0
    for batch in loader:
        for image, mask in zip(batch["sample"].numpy(), batch["mask"].numpy(), strict=True):
            assert np.abs(image.astype(int) - run[index][0]).max() <= 1
            assert (mask != run[index][1]).mean() <= 0.001
            index += 1
    assert index == POLYP_COUNT
