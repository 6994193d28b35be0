"""A folder becomes a zip: what is in it, and that it is the same every time."""

import json
import os
import random
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medmint.errors import ArgumentError, ContractError
from medmint.model_contributor.packing import select_files, write_zip
from medmint.packages.archive.unpacking import inspect, unpack


def fill(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


FILES = {"__init__.py": b"x = 1\n", "sub/network.py": b"y = 2\n", "weights.safetensors": b"w" * 99}


def test_caches_version_control_and_hidden_files_stay_out(tmp_path):
    left_out = {
        ".git/config": b"[remote]\nurl = https://jane:secret-of-jane@git.example/x\n",
        "__pycache__/a.pyc": b"x",
        "sub/.DS_Store": b"x",
        "old.py~": b"x",
        "my.egg-info/PKG-INFO": b"x",
        "Thumbs.db": b"x",
    }
    selection = select_files(fill(tmp_path, FILES | left_out))
    assert list(selection.files) == sorted(FILES)
    assert selection.left_out == (
        ".git/",
        "Thumbs.db",
        "__pycache__/",
        "my.egg-info/",
        "old.py~",
        "sub/.DS_Store",
    )


def test_the_archive_is_one_that_can_be_installed(tmp_path):
    selection = select_files(fill(tmp_path / "package", FILES))
    target = tmp_path / "out" / "model.zip"
    write_zip(selection, target, extra={"metadata.json": b"{}", "sub/network.py": b"z = 3\n"})
    assert [member.name for member in inspect(target).files] == sorted([*FILES, "metadata.json"])
    unpack(target, tmp_path / "unpacked")
    assert (tmp_path / "unpacked" / "sub" / "network.py").read_bytes() == b"z = 3\n"
    assert [path.name for path in target.parent.iterdir()] == ["model.zip"]


@settings(max_examples=25, deadline=None)
@given(
    files=st.dictionaries(
        st.text("abcd", min_size=1, max_size=6), st.text("0123 \n"), min_size=1, max_size=6
    ),
    seed=st.integers(0, 1000),
)
def test_times_modes_and_order_of_creation_do_not_matter(tmp_path_factory, files, seed):
    digests = set()
    for shuffled in (False, True):
        folder = tmp_path_factory.mktemp("package")
        names = sorted(files)
        if shuffled:
            random.Random(seed).shuffle(names)
        for name in names:
            path = folder / f"{name}.dat"
            path.write_text(files[name], encoding="ascii")
            if shuffled:
                path.chmod(0o755)
                os.utime(path, (1e9 + seed, 1e9 + seed))
        digests.add(write_zip(select_files(folder), folder.parent / "x.zip", extra={}))
    assert len(digests) == 1


def test_one_changed_byte_is_another_archive(tmp_path):
    folder = fill(tmp_path / "package", FILES)
    first = write_zip(select_files(folder), tmp_path / "one.zip", extra={})
    (folder / "weights.safetensors").write_bytes(b"w" * 98 + b"v")
    assert write_zip(select_files(folder), tmp_path / "two.zip", extra={}) != first


def test_notebooks_lose_what_they_printed(tmp_path):
    cell = {
        "cell_type": "code",
        "execution_count": 7,
        "metadata": {"execution": {"t": 1}},
        "outputs": [{"text": "Jane Doe was here"}],
        "source": "print(name)",
    }
    text = {"cell_type": "markdown", "metadata": {}, "source": "Words stay."}
    notebook = {"cells": [cell, text], "metadata": {"widgets": {"Jane": 1}}, "nbformat": 4}
    folder = fill(tmp_path / "package", {"try.ipynb": json.dumps(notebook).encode()})
    write_zip(select_files(folder), tmp_path / "x.zip", extra={})
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        packed = json.loads(archive.read("try.ipynb"))
    assert "Jane" not in json.dumps(packed)
    assert [one["source"] for one in packed["cells"]] == ["print(name)", "Words stay."]
    assert "Jane Doe" in (folder / "try.ipynb").read_text()


def test_all_faults_are_named_at_once(tmp_path):
    fill(tmp_path, FILES | {".env": b"A=1", "a.dcm": b"x", "sub/id_rsa": b"x"})
    with pytest.raises(ContractError) as caught:
        select_files(tmp_path)
    assert all(name in str(caught.value) for name in (".env", "a.dcm", "sub/id_rsa"))


def test_only_what_is_there_can_be_allowed(tmp_path):
    fill(tmp_path, FILES)
    with pytest.raises(ArgumentError, match="allow"):
        select_files(tmp_path, allow=["../secret"])
