"""Items, their order, their mixture and the place of a loader, without a model."""

import pickle
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, default_collate
from torch.utils.data.distributed import DistributedSampler

from medmint.catalogue.records import OutputSpec
from medmint.errors import ArgumentError, MedmintError, SampleIndexError
from medmint.synthetic_dataset import (
    MixedDataset,
    SyntheticDataset,
    SyntheticLoader,
    SyntheticStream,
    balancing_classes,
)
from medmint.synthetic_dataset.items import ItemMaker
from tests.packages.training import CountingSource, as_pair, plus_one

GREY = OutputSpec("uint8", channels=1, spatial_dims=2, value_range=(0, 255))
RGB = OutputSpec("uint8", channels=3, spatial_dims=2, value_range=(0, 255))


def dataset(count=10, **arguments):
    return SyntheticDataset(CountingSource(), count, **arguments)


def numbers(batches):
    """Return which samples are in batches, in order."""
    return [int(value) for batch in batches for value in batch["sample"][:, 0, 0, 0]]


# Items


def test_an_item_has_the_names_that_medigan_gives():
    image, mask = np.zeros((4, 6), np.uint8), np.ones((4, 6), np.uint8)
    extra = np.full((2, 2), 7, np.uint8)
    row = {"image": image, "mask": mask, "extra_1": extra, "label": 2}
    item = ItemMaker().item(row)
    assert list(item) == ["sample", "mask", "other_imaging_output", "label"]
    assert item["sample"] is image
    assert item["other_imaging_output"] is extra
    assert list(ItemMaker().item({"image": image})) == ["sample"]
    both = ItemMaker().item(row | {"extra_2": image})["other_imaging_output"]
    assert list(both) == ["extra_1", "extra_2"]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([0, 2], torch.tensor([0, 2])),
        (["benign", "malignant"], ["benign", "malignant"]),
        ([torch.tensor(0), torch.tensor(3)], torch.tensor([0, 3])),
        ([torch.tensor([0.0, 1.0])] * 2, torch.tensor([[0.0, 1.0]] * 2)),
    ],
)
def test_labels_of_every_kind_survive_into_a_batch(labels, expected):
    rows = [{"image": np.zeros((2, 2), np.uint8), "label": label} for label in labels]
    batch = default_collate([ItemMaker().item(row) for row in rows])
    if isinstance(expected, list):
        assert batch["label"] == expected
    else:
        torch.testing.assert_close(batch["label"], expected)


@pytest.mark.parametrize(
    ("spec", "array", "shape", "low", "high"),
    [
        (RGB, np.array([[[0, 51, 255]]], np.uint8), (3, 1, 1), 0, 1),
        (None, np.array([[0, 255]], np.uint8), (1, 1, 2), 0, 1),
        (
            OutputSpec("int16", channels=1, spatial_dims=2, value_range=(-1024, 3071)),
            np.array([[-1024, 3071]], np.int16),
            (1, 1, 2),
            0,
            1,
        ),
        (
            OutputSpec("uint16", channels=1, spatial_dims=3),
            np.full((2, 3, 4), 65535, np.uint16),
            (1, 2, 3, 4),
            1,
            1,
        ),
        (OutputSpec("float32"), np.array([[0.25, 0.75]], np.float32), (1, 1, 2), 0.25, 0.75),
    ],
)
def test_tensors_have_channels_first_and_lie_in_zero_to_one(spec, array, shape, low, high):
    maker = ItemMaker(output="tensor", specs={} if spec is None else {"image": spec})
    sample = maker.item({"image": array})["sample"]
    assert (sample.shape, sample.dtype) == (shape, torch.float32)
    assert (sample.min(), sample.max()) == (low, high)


def test_masks_of_two_values_and_label_maps_as_tensors():
    image = np.zeros((4, 6), np.uint8)
    yes_or_no = {"image": image, "mask": np.full((4, 6), 255, np.uint8)}
    mask = ItemMaker(output="tensor", specs={"mask": GREY}).item(yes_or_no)["mask"]
    assert (mask.shape, mask.dtype, mask.max()) == ((1, 4, 6), torch.float32, 1)
    spec = OutputSpec("uint8", channels=1, spatial_dims=2, value_range=(0, 2))
    classes = {"image": image, "mask": np.full((4, 6), 2, np.uint8)}
    mask = ItemMaker(output="tensor", specs={"mask": spec}).item(classes)["mask"]
    assert (mask.shape, mask.dtype, mask.max()) == ((4, 6), torch.int64, 2)


# Transforms


def test_a_transform_is_applied_once_to_image_and_mask():
    item = dataset(transform=plus_one)[5]
    assert (item["sample"] == 6).all()
    assert (item["mask"] == 255).all()
    assert item["label"] == "class 2"


def test_without_a_mask_a_transform_gets_the_image_alone():
    maker = ItemMaker(transform=lambda image: image * 2)
    assert maker.item({"image": np.ones((2, 2))})["sample"].sum() == 8


@pytest.mark.parametrize(
    "transform",
    [
        lambda image, mask: (image[:2], mask[:2]),
        lambda image, mask: (torch.from_numpy(image.copy()).permute(2, 0, 1), mask),
        lambda image, mask: (image.transpose(2, 0, 1), mask[None]),
        lambda image, mask: [image[:, :3], mask[:, :3, None]],
    ],
)
def test_a_transform_may_change_both_sides_and_the_place_of_channels(transform):
    assert set(dataset(transform=transform)[0]) == {"sample", "mask", "label"}


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (lambda image, mask: (image[:2], mask), r"image of shape \(2, 6, 3\) and a mask of shape"),
        (lambda image, mask: (image, mask[:, :3]), "both the same sides"),
        (lambda image, _: (image, None), "both the same sides"),
        (lambda image, _: image, "returns ndarray., expected one that returns"),
        (lambda *_: None, "returns None"),
    ],
)
def test_a_transform_that_parts_image_and_mask_is_an_error(transform, message):
    with pytest.raises(ArgumentError, match=message):
        dataset(transform=transform)[0]


@pytest.mark.parametrize("wrong", [{"output": "pil"}, {"transform": "flip"}])
def test_other_outputs_and_transforms_are_refused_at_once(wrong):
    with pytest.raises(ArgumentError, match=next(iter(wrong))):
        dataset(**wrong)


# Indices


@pytest.mark.parametrize("index", [10, -11, 2.0, "3", None, slice(2)])
def test_an_index_that_is_none_of_the_datasets(index):
    with pytest.raises(SampleIndexError, match=r"index: got .* from -10 to 9") as raised:
        dataset()[index]
    assert isinstance(raised.value, IndexError)
    assert isinstance(raised.value, MedmintError)


def test_indices_of_numpy_and_torch_and_from_the_end():
    items = dataset().__getitems__([np.int64(3), torch.tensor(4), -1])
    assert [int(item["sample"][0, 0, 0]) for item in items] == [3, 4, 9]


def test_a_batch_of_indices_is_one_request():
    made = dataset()
    made.__getitems__([7, 1, 4])
    assert made._source.asked == [[7, 1, 4]]


def test_iterating_ends_with_the_last_item():
    assert [int(item["sample"][0, 0, 0]) for item in dataset()] == list(range(10))


def test_it_pickles():
    copy = pickle.loads(pickle.dumps(dataset(transform=plus_one)))
    assert (len(copy), copy.seed, copy.model_id) == (10, 7, "90300_COUNTING")
    assert repr(copy) == "SyntheticDataset(90300_COUNTING, 10 samples, seed 7)"


# The loader


def test_the_next_batch_is_announced_before_one_is_asked_for():
    made = dataset(8)
    batches = iter(SyntheticLoader(made, batch_size=2))
    next(batches)
    assert made._source.prefetched == [[0, 1], [2, 3]]
    assert made._source.asked == [[0, 1]]
    assert numbers(batches) == [2, 3, 4, 5, 6, 7]
    assert made._source.prefetched == made._source.asked == [[0, 1], [2, 3], [4, 5], [6, 7]]


@pytest.mark.parametrize(("factor", "ahead"), [(0, 0), (1, 2), (3, 4)])
def test_prefetch_factor_says_how_far_ahead(factor, ahead):
    made = dataset(20)
    next(iter(SyntheticLoader(made, batch_size=2, prefetch_factor=factor)))
    assert len(made._source.prefetched) == ahead


@pytest.mark.parametrize(
    "arguments",
    [
        {"batch_size": 4},
        {"batch_size": 4, "drop_last": True},
        {"batch_size": None},
        {"batch_sampler": [[3, 1], [2]]},
        {"batch_size": 3, "sampler": [9, 1, 5, 5]},
        {"batch_size": 3, "collate_fn": len},
        {"batch_size": 3, "num_workers": 1, "prefetch_factor": 4, "timeout": 60},
    ],
)
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_it_gives_what_torchs_own_loader_gives(arguments):
    ours, theirs = SyntheticLoader(dataset(), **arguments), DataLoader(dataset(), **arguments)
    assert len(ours) == len(theirs)
    assert ours.batch_size == theirs.batch_size
    for one, other in zip(ours, theirs, strict=True):
        if isinstance(one, dict):
            assert one.pop("label") == other.pop("label")
        torch.testing.assert_close(one, other)


def test_shuffling_follows_torchs_seed_and_leaves_the_users_generator_in_charge():
    orders = []
    for _ in range(2):
        torch.manual_seed(3)
        loader = SyntheticLoader(dataset(30), batch_size=7, shuffle=True)
        orders.append([numbers(loader), numbers(loader)])
    assert orders[0] == orders[1]
    assert orders[0][0] != orders[0][1]
    theirs = DataLoader(dataset(30), 7, shuffle=True, generator=torch.Generator().manual_seed(5))
    ours = SyntheticLoader(
        dataset(30), batch_size=7, shuffle=True, generator=torch.Generator().manual_seed(5)
    )
    assert numbers(ours) == numbers(theirs)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 60), st.booleans(), st.integers(0, 3))
def test_a_loader_resumed_anywhere_goes_on_as_if_not_interrupted(
    count, size, stop, is_shuffled, factor
):
    def loader(seed):
        return SyntheticLoader(
            dataset(count),
            batch_size=size,
            shuffle=is_shuffled,
            prefetch_factor=factor,
            generator=torch.Generator().manual_seed(seed),
        )

    def epochs(made, number):
        return numbers(batch for _ in range(number) for batch in made)

    first, second = loader(1), loader(2)
    stop = min(stop, 2 * len(first))
    seen = numbers(islice((batch for _ in range(2) for batch in first), stop))
    second.load_state_dict(first.state_dict())
    # An epoch whose last batch was the last one seen has a rest of none.
    ended = (stop - 1) // len(first) if stop else 0
    assert seen + epochs(second, 2 - ended) == epochs(loader(1), 2)


def test_a_state_travels_through_a_file_and_batches_before_it_are_not_made(tmp_path):
    first = SyntheticLoader(dataset(20), batch_size=4, shuffle=True)
    seen = numbers(islice(first, 3))
    torch.save(first.state_dict(), tmp_path / "state.pt")
    made = dataset(20)
    second = SyntheticLoader(made, batch_size=4, shuffle=True)
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert second.state_dict()["batches"] == 3
    assert sorted(seen + numbers(second)) == list(range(20))
    assert len(made._source.asked) == 2
    assert sorted(numbers(second)) == list(range(20))


def test_a_sampler_with_a_generator_can_be_resumed_and_one_without_says_so():
    def loader(**arguments):
        sampler = RandomSampler(range(12), **arguments)
        return SyntheticLoader(dataset(12), batch_sampler=BatchSampler(sampler, 3, drop_last=False))

    first = loader(generator=torch.Generator().manual_seed(1))
    seen = numbers(islice(first, 2))
    second = loader(generator=torch.Generator().manual_seed(2))
    second.load_state_dict(first.state_dict())
    assert sorted(seen + numbers(second)) == list(range(12))
    without = loader()
    assert sorted(numbers(without)) == list(range(12))
    with pytest.raises(ArgumentError, match="generator=torch"):
        without.state_dict()


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"batches": 1, "order": None, "batch_size": 5, "seed": 7},
        {"batches": 1, "order": None, "batch_size": 4, "seed": 8},
        {"batches": 1, "order": None, "batch_size": 4, "seed": 7},
        {"batches": -1, "order": torch.zeros(1), "batch_size": 4, "seed": 7},
    ],
)
def test_a_state_of_something_else_is_refused(state):
    with pytest.raises(ArgumentError, match="state"):
        SyntheticLoader(dataset(20), batch_size=4).load_state_dict(state)


@pytest.mark.parametrize("is_shuffled", [False, True])
def test_three_shards_have_every_item_once(is_shuffled):
    seen = []
    for rank in range(3):
        sampler = DistributedSampler(dataset(30), 3, rank, shuffle=is_shuffled, seed=4)
        sampler.set_epoch(1)
        seen += numbers(SyntheticLoader(dataset(30), batch_size=4, sampler=sampler))
    assert sorted(seen) == list(range(30))
    assert seen != sorted(seen)


# Streams


def stream(**arguments):
    return SyntheticStream(CountingSource(), block_size=4, **arguments)


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_stream_goes_on_in_order_through_breaks_and_restarts(num_workers):
    loader = SyntheticLoader(stream(), batch_size=4, num_workers=num_workers)
    assert numbers(islice(loader, 3)) == list(range(12))
    assert numbers(islice(loader, 2)) == list(range(12, 20))
    other = SyntheticLoader(stream(), batch_size=4)
    other.load_state_dict(loader.state_dict())
    assert numbers(islice(other, 2)) == list(range(20, 28))


def test_a_stream_announces_the_next_block():
    made = stream()
    next(iter(SyntheticLoader(made, batch_size=4)))
    assert made._source.prefetched == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert made._source.asked == [[0, 1, 2, 3]]


def test_shards_of_a_stream_have_nothing_in_common():
    loaders = [SyntheticLoader(stream(shard=(part, 3)), batch_size=4) for part in range(3)]
    seen = [number for loader in loaders for number in numbers(islice(loader, 4))]
    assert sorted(seen) == list(range(48))


@pytest.mark.parametrize(
    "wrong",
    [
        {"shuffle": True},
        {"sampler": [1, 2]},
        {"batch_sampler": [[1]]},
        {"num_workers": 1, "persistent_workers": True},
    ],
)
def test_a_stream_has_no_order_to_choose(wrong):
    with pytest.raises(ArgumentError, match="without end"):
        SyntheticLoader(stream(), **wrong)


@pytest.mark.parametrize("factor", [-1, 0.5])
def test_a_prefetch_factor_is_a_whole_number(factor):
    with pytest.raises(ArgumentError, match="prefetch_factor"):
        SyntheticLoader(dataset(), prefetch_factor=factor)


# Real and synthetic


@given(st.integers(0, 60), st.floats(0, 0.95))
def test_a_mixture_has_all_real_items_and_the_share(count, share):
    mixed = MixedDataset(range(count), range(10_000), synthetic_share=share)
    kinds = [mixed.is_synthetic(index) for index in range(len(mixed))]
    assert [mixed[i] for i in range(len(mixed)) if not kinds[i]] == list(range(count))
    assert [mixed[i] for i in range(len(mixed)) if kinds[i]] == list(range(sum(kinds)))
    assert abs(sum(kinds) - share / (1 - share) * count) <= 0.5
    for stop in range(1, len(mixed) + 1):
        # Spread evenly: every beginning has the share too.
        assert abs(sum(kinds[:stop]) - stop * sum(kinds) / len(mixed)) < 1


def test_the_synthetic_part_of_a_batch_is_made_in_one_go_and_announced():
    made = dataset(40)
    real = [(np.full((4, 6, 3), 100 + i, np.uint8), np.zeros((4, 6), np.uint8)) for i in range(12)]
    mixed = MixedDataset(real, made, synthetic_share=0.25, convert=as_pair)
    images = [image for image, _ in SyntheticLoader(mixed, batch_size=8)]
    assert made._source.asked == made._source.prefetched == [[0, 1], [2, 3]]
    values = [int(image[0, 0, 0]) for batch in images for image in batch]
    assert [value for value in values if value >= 100] == list(range(100, 112))
    assert [value for value in values if value < 100] == [0, 1, 2, 3]


def test_a_mixture_can_be_resumed():
    def loader():
        mixed = MixedDataset(range(9), range(100), synthetic_share=0.5, convert=lambda i: 50 + i)
        return SyntheticLoader(mixed, batch_size=5, shuffle=True)

    first, second = loader(), loader()
    seen = torch.cat(list(islice(first, 2)))
    second.load_state_dict(first.state_dict())
    assert sorted(torch.cat([seen, *second]).tolist()) == [*range(9), *range(50, 59)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1], [1], 1.0), "synthetic_share: got 1.0"),
        (([1], [1], "half"), "synthetic_share"),
        (([1, 2], [1], 0.5), "dataset of 1 items.* at least 2, for a share of 0.5 beside 2"),
        ((iter([1]), [1], 0.5), "real: got .* without a length"),
        (([1], stream(), 0.5), "synthetic: got .* without a length"),
    ],
)
def test_mixtures_that_cannot_be(arguments, message):
    real, synthetic, share = arguments
    with pytest.raises(ArgumentError, match=message):
        MixedDataset(real, synthetic, synthetic_share=share)
    with pytest.raises(ArgumentError, match="convert"):
        MixedDataset([1], [1], convert=3)


@pytest.mark.parametrize("index", [4, -5])
def test_a_mixture_knows_its_length(index):
    with pytest.raises(SampleIndexError):
        MixedDataset([1, 2], [3, 4])[index]


@given(st.lists(st.sampled_from("abc"), max_size=30), st.integers(0, 60))
def test_balancing_makes_classes_as_even_as_the_number_allows(labels, count):
    chosen = balancing_classes(labels, count, ["a", "b", "c"])
    assert len(chosen) == count
    before = {name: labels.count(name) for name in "abc"}
    after = {name: before[name] + chosen.count(name) for name in "abc"}
    for name in set(chosen):
        # A class is added to only while no other has fewer.
        assert after[name] <= min(after.values()) + 1


def test_balancing_needs_a_class():
    with pytest.raises(ArgumentError, match="labels"):
        balancing_classes([], 3)
