"""What generate takes, and how it says no."""

import json
from pathlib import Path

import numpy as np
import pytest

from medmint.errors import ArgumentError
from medmint.generation_request import (
    GenerationRequest,
    read_condition,
    read_latents,
)
from medmint.samples import LARGEST_SEED
from tests.packages.records import record

CLASSES = ["benign", "malignant", "normal"]


@pytest.mark.parametrize(
    ("argument", "given"),
    [
        *(("num_samples", given) for given in (0, -1, 2.5, 2.0, "3", True, None, [1], np.nan)),
        *(("batch_size", given) for given in (0, -1, 2.5, "3", False)),
        *(("seed", given) for given in (-1, 1.5, "7", True, LARGEST_SEED + 1)),
        *(("device", given) for given in ("gpu", "cuda:", "cuda:x", "cpu:0", "", 0, None)),
        *(("output_format", given) for given in ("jpg", "PNG", "", 1, np.array(["png"]))),
        *(("isolation", given) for given in ("process", "", None, True)),
        *(("output_path", given) for given in ("", 5, True, b"out", "a\0b", "~nobody-at-all/x")),
    ],
)
def test_wrong_arguments_are_named(argument, given):
    with pytest.raises(ArgumentError) as caught:
        GenerationRequest(**{argument: given})
    assert caught.value.argument == argument
    assert str(caught.value).startswith(f"{argument}: got {given!r}, expected ")


@pytest.mark.parametrize(
    "arguments",
    [
        {"num_samples": np.int64(3), "batch_size": np.int32(2), "seed": np.uint64(LARGEST_SEED)},
        {"seed": 0, "device": "cuda:11"},
        {"device": "mps", "isolation": "none", "output_format": "npy"},
        {"output_path": "out"},
        {"output_path": Path("out")},
    ],
)
def test_right_arguments_are_taken(arguments):
    request = GenerationRequest(**arguments)
    assert {name: getattr(request, name) for name in arguments} == arguments


def write_json(path, content):
    path.write_text(json.dumps(content))
    return path


def test_latents_come_from_arrays_lists_and_files(tmp_path):
    vectors = np.arange(16, dtype=np.float64).reshape(2, 8)
    npy, listed = tmp_path / "z.npy", write_json(tmp_path / "z.json", vectors.tolist())
    named = write_json(tmp_path / "named.json", {"latents": vectors.tolist()})
    np.save(npy, vectors)
    for given in (vectors, vectors.tolist(), npy, str(npy), listed, named):
        latents = read_latents(given, record())
        assert latents.dtype == np.float32
        np.testing.assert_array_equal(latents, vectors)


def test_one_latent_vector_is_one_sample():
    assert read_latents(np.zeros(8), record()).shape == (1, 8)
    assert read_latents(None, record()) is None


@pytest.mark.parametrize(
    "given",
    [
        np.zeros((2, 7)),
        np.zeros((0, 8)),
        np.zeros((1, 2, 8)),
        np.full((1, 8), np.nan),
        np.full((1, 8), 1e300),
        [[0.0] * 8, [0.0] * 7],
        "no such file.json",
        {"latents": []},
        [["a"] * 8],
        5.0,
    ],
)
def test_wrong_latents_are_refused(given):
    with pytest.raises(ArgumentError, match=r"shape \(n, 8\)"):
        read_latents(given, record())


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"{", b"[1, 2", b"{}", b"\xff\xfe", b"3"])
@pytest.mark.parametrize("suffix", [".npy", ".json"])
def test_broken_latent_files_are_refused(tmp_path, content, suffix):
    path = tmp_path / f"z{suffix}"
    path.write_bytes(content)
    with pytest.raises(ArgumentError, match="latents"):
        read_latents(path, record())


def test_pickled_latents_are_refused(tmp_path):
    np.save(tmp_path / "z.npy", np.array([{}] * 8, dtype=object), allow_pickle=True)
    with pytest.raises(ArgumentError, match="latents"):
        read_latents(tmp_path / "z.npy", record())


@pytest.mark.parametrize("model", [record("generate", latent_size=None), record(latent_size=None)])
def test_models_without_latents_take_none(model):
    with pytest.raises(ArgumentError, match="takes none"):
        read_latents(np.zeros((1, 8)), model)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("malignant", [1, 1, 1]),
        (2, [2, 2, 2]),
        (np.int64(0), [0, 0, 0]),
        (["normal"], [2, 2, 2]),
        (["benign", 2, "malignant"], [0, 2, 1]),
        ((0, 1, 2), [0, 1, 2]),
        (np.array([2, 1, 0]), [2, 1, 0]),
        (range(3), [0, 1, 2]),
    ],
)
def test_classes_are_names_or_numbers(given, expected):
    classes = read_condition(given, record(conditions=CLASSES), 3)
    assert classes.dtype == np.int64
    assert classes.tolist() == expected


@pytest.mark.parametrize(
    "given", ["other", 3, -1, 1.0, True, [0, 1], [], {"a": 1}, [[0], [1], [2]]]
)
def test_wrong_classes_are_refused(given):
    with pytest.raises(ArgumentError, match="condition") as caught:
        read_condition(given, record(conditions=CLASSES), 3)
    assert "'malignant' (1)" in str(caught.value) or "3: one a sample" in str(caught.value)


def test_a_model_without_classes_takes_no_condition():
    assert read_condition(None, record(), 3) is None
    with pytest.raises(ArgumentError, match="has no conditions"):
        read_condition(0, record(), 3)
