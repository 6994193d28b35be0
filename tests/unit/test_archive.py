import os
import shutil
import stat
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

import medmint
from medmint.errors import IntegrityError, OutputError, UnsafeArchiveError, WriterError
from medmint.packages.archive.unpacking import Member as ReportedMember
from medmint.packages.archive.unpacking import inspect, unpack
from medmint.packages.download import partials
from tests.fakes.archives import Member, build, harmless, package

LITTLE_ROOM = """
import resource, sys
from pathlib import Path
from medmint.errors import WriterError
from medmint.packages.archive.unpacking import unpack
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    unpack(Path(sys.argv[1]), Path(sys.argv[2]))
except WriterError as error:
    print("MEDMINT_HOME" in str(error))
"""


@pytest.fixture
def archive(tmp_path):
    def write(content):
        path = tmp_path / "model.zip"
        path.write_bytes(content)
        return path

    return write


def test_a_report_says_what_is_inside(archive):
    report = inspect(archive(harmless()["native code"]))
    assert report.files[0] == ReportedMember("package/__init__.py", 6)
    assert report.size == sum(member.size for member in report.files)
    assert report.native == ("package/ext.so",)
    assert report.byte_code == ("package/__pycache__/x.cpython-311.pyc",)
    assert inspect(archive(harmless()["zip in a zip"])).archives == ("package/inner.zip",)


def test_looking_writes_nothing(archive, tmp_path):
    path = archive(package())
    inspect(path)
    assert list(tmp_path.iterdir()) == [path]


def test_contents_come_out_as_they_went_in(archive, tmp_path):
    data = os.urandom(3_000_000) + bytes(3_000_000)
    unpack(archive(package(Member("package/big.npy", data))), tmp_path / "files")
    assert (tmp_path / "files/package/big.npy").read_bytes() == data


@pytest.mark.skipif(os.name == "nt", reason="modes are of POSIX")
def test_modes_of_the_archive_are_not_taken_over(archive, tmp_path):
    before = os.umask(0o022)
    try:
        unpack(archive(harmless()["set-uid and executable"]), tmp_path / "files")
    finally:
        os.umask(before)
    paths = [tmp_path / "files", *(tmp_path / "files").rglob("*")]
    modes = {path.is_dir(): set() for path in paths}
    for path in paths:
        modes[path.is_dir()].add(stat.S_IMODE(path.stat().st_mode))
    assert modes == {True: {0o755}, False: {0o644}}


def test_inner_archives_stay_closed(archive, tmp_path):
    unpack(archive(harmless()["zip in a zip"]), tmp_path / "files")
    assert (tmp_path / "files/package/inner.zip").is_file()


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch, lambda path: path.symlink_to("nowhere")])
def test_what_is_there_is_not_written_over(archive, tmp_path, make):
    make(tmp_path / "files")
    with pytest.raises(OutputError, match="exists"):
        unpack(archive(package()), tmp_path / "files")


def test_a_declared_size_is_the_limit(archive):
    path = archive(package(Member("package/big.npy", os.urandom(5000))))
    size = inspect(path).size
    assert inspect(path, size_limit=size).size == size
    with pytest.raises(UnsafeArchiveError, match="more than"):
        inspect(path, size_limit=size - 1)
    with pytest.raises(UnsafeArchiveError, match="larger than 4,000 bytes"):
        inspect(path, size_limit=4000)


def test_errors_say_which_member_and_which_rule(archive):
    path = archive(build([Member("a.py"), Member("../evil.py")]))
    with pytest.raises(UnsafeArchiveError) as caught:
        inspect(path)
    assert caught.value.member == "../evil.py"
    assert caught.value.rule == "has '..' in its path"
    assert caught.value.archive == str(path)


def test_space_is_checked_before_anything_is_written(archive, tmp_path, monkeypatch):
    path = archive(package(Member("package/big.npy", bytes(9 << 20))))
    usage = namedtuple("usage", "total used free")(1 << 30, 0, 20 << 20)
    monkeypatch.setattr(partials.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(WriterError, match="are free"):
        unpack(path, tmp_path / "files")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="limits of files are of POSIX")
def test_a_disk_that_fills_up_is_left_as_it_was(archive, tmp_path):
    path = archive(package(Member("package/big.npy", os.urandom(5000))))
    source = str(Path(medmint.__file__).parents[1])
    command = [sys.executable, "-c", LITTLE_ROOM, str(path), str(tmp_path / "files")]
    environment = os.environ | {"PYTHONPATH": source}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    assert done.stdout == "True\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_an_error_with_advice(archive, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(WriterError, match="MEDMINT_HOME"):
        unpack(archive(package()), tmp_path / "file" / "files")


def test_damage_found_late_leaves_nothing(archive, tmp_path):
    content = bytearray(package(Member("package/big.npy", os.urandom(5000), method=0)))
    content[content.index(b"package/big.npy") + 2000] ^= 1
    path = archive(bytes(content))
    inspect(path)
    with pytest.raises(IntegrityError, match=r"big\.npy"):
        unpack(path, tmp_path / "files")
    assert list(tmp_path.iterdir()) == [path]


def test_an_archive_made_by_python_is_understood(archive, tmp_path):
    source = tmp_path / "source" / "package"
    source.mkdir(parents=True)
    (source / "__init__.py").write_text("x = 1\n")
    made = shutil.make_archive(str(tmp_path / "made"), "zip", tmp_path / "source")
    unpack(Path(made), tmp_path / "files")
    assert (tmp_path / "files/package/__init__.py").read_text() == "x = 1\n"
