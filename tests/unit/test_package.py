"""Where code and weights are in a folder, and what tells one package from another."""

import json
import os
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medmint.errors import ContractError, IntegrityError, InvalidRecordError
from medmint.packages.package import (
    check_weights,
    find_root,
    find_weights,
    hash_file,
    hash_tree,
    package_record,
    walk,
)
from medmint.resources import template_folder
from tests.packages.archives import record_of, sha256


def tree(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return folder


@pytest.mark.parametrize(
    ("names", "root"),
    [
        (["__init__.py", "inner/__init__.py"], "."),
        (["inner/__init__.py"], "inner"),
        (["a/__init__.py", "named/__init__.py"], "named"),
        (["a/__init__.py", "b/__init__.py"], "a"),
        (["00019_PGGAN-1/__init__.py", "README"], "00019_PGGAN-1"),
    ],
)
def test_root(names, root, tmp_path):
    record = record_of("x.zip", package_name="named")
    assert find_root(record, tree(tmp_path, *names)) == tmp_path / root


def test_without_code_there_is_no_root(tmp_path):
    tree(tmp_path, "main.py", "a/b/__init__.py")
    with pytest.raises(ContractError, match=r"__init__\.py.*found a, main\.py\. Is the link"):
        find_root(record_of("x.zip"), tmp_path)
    with pytest.raises(ContractError, match="found nothing"):
        find_root(record_of("x.zip"), tmp_path / "none")


def test_the_root_is_never_outside(tmp_path):
    tree(tmp_path, "__init__.py", "package/README")
    with pytest.raises(ContractError):
        find_root(record_of("x.zip", package_name=".."), tmp_path / "package")


@pytest.mark.parametrize(
    ("model_name", "extension", "place"),
    [
        ("weights", ".pt", "weights.pt"),
        ("weights", "", "weights"),
        ("models/net_G", ".pth.tar", "models/net_G.pth.tar"),
        ("net_G", ".pth.tar", "checkpoints/deep/net_G.pth.tar"),
        ("w[1]*", ".pt", "deep/w[1]*.pt"),
    ],
)
def test_weights(model_name, extension, place, tmp_path):
    record = record_of("x.zip", model_name=model_name, extension=extension)
    tree(tmp_path, "__init__.py", "w1x.pt", place)
    assert find_weights(record, tmp_path, tmp_path) == tmp_path / place


def test_weights_beside_the_top_folder(tmp_path):
    tree(tmp_path, "code/__init__.py", "weights.pt")
    found = find_weights(record_of("x.zip"), tmp_path, tmp_path / "code")
    assert found == tmp_path / "weights.pt"


def test_a_model_without_weights_has_none(tmp_path):
    assert find_weights(record_of("x.zip", model_name="", extension=""), tmp_path, tmp_path) is None


def test_weights_that_are_missing_are_named(tmp_path):
    tree(tmp_path, "__init__.py", "other.pt")
    with pytest.raises(ContractError, match=r"weights weights\.pt, found only __init__.*complete"):
        find_weights(record_of("x.zip"), tmp_path, tmp_path)


def safetensors(header, size):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(size)


HEADER = {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "__metadata__": {}}


def test_whole_safetensors_pass(tmp_path):
    file = tmp_path / "weights.safetensors"
    file.write_bytes(safetensors(HEADER, 8))
    check_weights(file)
    check_weights(tmp_path / "anything.pt")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"1234567",
        b"\xff" * 40,
        safetensors(HEADER, 7),
        safetensors(HEADER, 9),
        safetensors({"a": {"data_offsets": [0, "8"]}}, 8),
        safetensors({"a": {"data_offsets": [0, None]}}, 8),
        safetensors({"a": {"data_offsets": [0]}}, 8),
        safetensors({"a": 3}, 8),
        safetensors([1], 8),
        safetensors(5, 8),
        safetensors(b"[" * 100_000, 8),
    ],
)
def test_other_safetensors_do_not(content, tmp_path):
    file = tmp_path / "weights.safetensors"
    file.write_bytes(content)
    with pytest.raises(IntegrityError, match="reinstall"):
        check_weights(file)


@given(st.binary(max_size=200))
def test_no_bytes_are_too_odd_to_be_checked(tmp_path_factory, content):
    file = tmp_path_factory.mktemp("w") / "weights.safetensors"
    file.write_bytes(content)
    try:
        check_weights(file)
    except IntegrityError:
        return
    assert len(content) >= 8


def test_hash_of_a_file(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert hash_file(tmp_path / "a") == sha256(b"abc")
    with pytest.raises(IntegrityError, match="readable"):
        hash_file(tmp_path / "none")


NAMES = st.lists(st.sampled_from(["a", "b", "c/d", "c/e", "f.py"]), unique=True, max_size=5)


@given(NAMES, NAMES)
def test_trees_have_the_same_hash_if_they_hold_the_same(tmp_path_factory, first, second):
    one, two = (
        tree(tmp_path_factory.mktemp("tree"), "__pycache__/x.pyc", *n) for n in (first, second)
    )
    assert (hash_tree(one) == hash_tree(two)) == (set(first) == set(second))


def test_a_file_that_moves_or_changes_makes_another_tree(tmp_path):
    hashes = set()
    for name, text in [("a", "1"), ("a", "2"), ("b", "1"), ("c/a", "1")]:
        folder = tmp_path / f"{len(hashes)}"
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(text)
        hashes.add(hash_tree(folder))
    assert len(hashes) == 4


def test_walk_passes_over_byte_code_and_hidden_files(tmp_path):
    tree(tmp_path, "b", "a/c", ".hidden", ".git/x", "__pycache__/b.pyc", "a/__pycache__/c.pyc")
    assert [name for name, _ in walk(tmp_path)] == ["a/c", "b"]


def test_the_record_that_a_package_brings(tmp_path):
    assert package_record(tmp_path) is None
    metadata = template_folder("minimal") / "metadata.json"
    (tmp_path / "metadata.json").write_text(metadata.read_text())
    assert package_record(tmp_path).model_id in metadata.read_text()
    (tmp_path / "metadata.json").write_text("{}")
    with pytest.raises(InvalidRecordError, match="holds 0 records"):
        package_record(tmp_path)


def test_folder_that_is_removed_while_it_is_walked(tmp_path, monkeypatch):
    tree(tmp_path, "a/1.txt", "b/2.txt")
    scan = os.scandir

    def remove_then_scan(folder):
        if str(folder) == str(tmp_path / "b"):
            shutil.rmtree(folder)
        return scan(folder)

    monkeypatch.setattr(os, "scandir", remove_then_scan)
    assert [name for name, _ in walk(tmp_path)] == ["a/1.txt"]
