"""R6: a disk that is full or closed is reported before the first byte, or leaves nothing behind."""

import hashlib
import os
import random
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

import medmint
from medmint.errors import WriterError
from medmint.packages.archive.unpacking import unpack
from medmint.packages.download import partials
from medmint.packages.download.sources import Expected
from medmint.packages.download.transfer import fetch_with
from medmint.settings import Settings
from medmint.transport import Client
from tests.fakes.archives import Member, package
from tests.fakes.virtual_time import VirtualTime
from tests.fakes.zenodo import Zenodo

WEIGHTS = Member("package/weights.bin", random.Random(2).randbytes(300_000))
BODY = package(WEIGHTS)
KNOWN = Expected(hashlib.sha256(BODY).hexdigest(), None, len(BODY))
WRITE_POINTS = [0, 1, 4096, 150_000, 299_999]
ON_A_SMALL_DISK = """
import sys
from pathlib import Path
from medmint.errors import WriterError
from medmint.packages.download import partials
from medmint.packages.archive.unpacking import unpack
partials._SPARE = -1 << 40  # as if the space had been there when it was asked for
folder = Path(sys.argv[2])
try:
    unpack(Path(sys.argv[1]), folder / "files")
except WriterError as error:
    print("Make room" in str(error), "space left" in str(error), list(folder.iterdir()))
"""


@pytest.fixture
def place(tmp_path):
    """Return a function that brings the archive into a folder."""
    with Zenodo() as zenodo:
        link = zenodo.add_record({"model.zip": BODY}).link("model.zip")
        settings = Settings(home=tmp_path, zenodo_url=zenodo.url)

        def fetched(target):
            with Client(settings, patience=VirtualTime().patience()) as client:
                return fetch_with(client, link, target, KNOWN)

        fetched.zenodo = zenodo
        yield fetched


@pytest.mark.family("R6")
@pytest.mark.parametrize("size", WRITE_POINTS)
def test_a_download_that_cannot_be_written_leaves_nothing(size, place, tmp_path, files_of_at_most):
    target = tmp_path / "downloads" / "model.zip"
    with files_of_at_most(size), pytest.raises(WriterError, match="Make room"):
        place(target)
    assert not list(target.parent.iterdir())
    assert place(target).sha256 == KNOWN.sha256


@pytest.mark.family("R6")
@pytest.mark.parametrize("size", WRITE_POINTS)
def test_an_archive_that_cannot_be_written_leaves_nothing(size, tmp_path, files_of_at_most):
    archive = tmp_path / "model.zip"
    archive.write_bytes(BODY)
    with files_of_at_most(size), pytest.raises(WriterError, match="Make room"):
        unpack(archive, tmp_path / "files")
    assert list(tmp_path.iterdir()) == [archive]
    assert unpack(archive, tmp_path / "files").size > 300_000


@pytest.mark.family("R6")
def test_a_download_without_room_is_not_begun(place, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")(1 << 30, 0, 1 << 20)
    monkeypatch.setattr(partials.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(WriterError, match=r"are needed and 1\.0 MB are free"):
        place(tmp_path / "downloads" / "model.zip")
    assert place.zenodo.log == []
    assert not list((tmp_path / "downloads").iterdir())


@pytest.mark.family("R6")
@pytest.mark.parametrize("kind", ["download", "archive"])
def test_a_place_that_is_no_folder_is_reported(kind, place, tmp_path):
    (tmp_path / "file").touch()
    archive = tmp_path / "model.zip"
    archive.write_bytes(BODY)
    work = {
        "download": lambda: place(tmp_path / "file" / "model.zip"),
        "archive": lambda: unpack(archive, tmp_path / "file" / "files"),
    }
    with pytest.raises(WriterError, match="MEDMINT_HOME"):
        work[kind]()


@pytest.mark.family("R6")
def test_a_small_disk_runs_full_and_is_empty_again(tmp_path):
    archive, disk = tmp_path / "model.zip", tmp_path / "disk"
    archive.write_bytes(BODY)
    disk.mkdir()
    mount = 'mount -t tmpfs -o size=128k tmpfs "$1" && shift && exec "$@"'
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, "sh", disk]
    command += [sys.executable, "-c", ON_A_SMALL_DISK, archive, disk]
    environment = os.environ | {"PYTHONPATH": str(Path(medmint.__file__).parents[1])}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("this system has no unshare")
    if done.returncode:
        pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
    assert done.stdout == "True True []\n"
