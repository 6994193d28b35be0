import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import namedtuple
from pathlib import Path

import pytest

import medmint
from medmint.errors import (
    ArgumentError,
    DownloadError,
    IntegrityError,
    OfflineError,
    WriterError,
)
from medmint.packages.download import partials
from medmint.packages.download.sources import Expected
from medmint.packages.download.transfer import fetch, fetch_with
from medmint.settings import Settings
from medmint.transport import Client
from tests.fakes.faults import Fault, first
from tests.fakes.virtual_time import VirtualTime
from tests.fakes.zenodo import Zenodo

BODY = b"PK\x03\x04" + os.urandom(400_000)
SHA256 = hashlib.sha256(BODY).hexdigest()
NAME = "00001_X.zip"
ANYTHING = Expected()
FETCH = """
import sys
from pathlib import Path
from medmint.packages.download.transfer import fetch
from medmint.settings import Settings
home, url, link, target = sys.argv[1:]
print(fetch(link, Path(target), settings=Settings(home=Path(home), zenodo_url=url)).sha256)
"""
LITTLE_ROOM = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (90_000, 90_000))\n"


@pytest.fixture
def zenodo():
    with Zenodo() as running:
        yield running


@pytest.fixture
def record(zenodo):
    return zenodo.add_record({NAME: BODY})


@pytest.fixture
def settings(zenodo, tmp_path):
    return Settings(home=tmp_path / "home", zenodo_url=zenodo.url)


@pytest.fixture
def target(tmp_path):
    return tmp_path / "downloads" / "model.zip"


@pytest.fixture
def client(settings):
    with Client(settings, patience=VirtualTime().patience()) as made:
        yield made


def start(settings, link, target, before=""):
    """Start a process that fetches."""
    command = [sys.executable, "-c", before + FETCH, settings.home, settings.zenodo_url, link]
    source = str(Path(medmint.__file__).parents[1])
    return subprocess.Popen(
        [*map(str, command), str(target)],
        env=os.environ | {"PYTHONPATH": source},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_file_arrives_whole_and_is_described(zenodo, record, settings, target):
    fetched = fetch(record.link(NAME), target, settings=settings)
    assert target.read_bytes() == BODY
    assert (fetched.path, fetched.size, fetched.sha256) == (target, len(BODY), SHA256)
    assert fetched.md5 == record.md5(NAME)
    assert fetched.url == f"{zenodo.url}/api/records/{record.number}/files/{NAME}/content"
    assert list(target.parent.iterdir()) == [target]


def test_a_known_file_costs_one_request(zenodo, record, settings, target):
    fetch(record.link(NAME), target, settings=settings, sha256=SHA256, size_bytes=len(BODY))
    assert [request.sent for request in zenodo.log] == [len(BODY)]


def test_a_file_of_any_address_is_checked_by_what_is_known(zenodo, client, target):
    url = zenodo.plain("/somewhere/weights.safetensors", lambda: BODY)
    assert fetch_with(client, url, target, ANYTHING).sha256 == SHA256
    with pytest.raises(IntegrityError, match=f"sha256:{'0' * 64}, found sha256:{SHA256}"):
        fetch_with(client, url, target.with_name("b"), Expected("0" * 64))
    assert list(target.parent.iterdir()) == [target]


def test_an_empty_file_is_a_file(zenodo, settings, target):
    record = zenodo.add_record({"empty.txt": b""})
    assert fetch(record.link("empty.txt"), target, settings=settings).size == 0
    assert target.read_bytes() == b""


def test_progress_is_told(record, settings, target):
    told = []
    fetch(record.doi, target, settings=settings, progress=lambda *what: told.append(what))
    done = [what[0] for what in told]
    assert done == sorted(done)
    assert told[-1] == (len(BODY), len(BODY), NAME)


def test_progress_without_a_length_has_no_total(zenodo, settings, target):
    zenodo.misbehave(Fault("chunked"))
    told = []
    url = zenodo.plain("/x.bin", lambda: BODY)
    fetch(url, target, settings=settings, progress=lambda *what: told.append(what))
    assert {what[1] for what in told} == {0}


def test_an_old_target_is_replaced_by_a_verified_file_alone(zenodo, record, client, target):
    target.parent.mkdir()
    target.write_bytes(b"old")
    zenodo.misbehave(Fault("status", 404))
    with pytest.raises(DownloadError):
        fetch_with(client, record.doi, target, ANYTHING)
    assert target.read_bytes() == b"old"
    zenodo.behave()
    fetch_with(client, record.doi, target, ANYTHING)
    assert target.read_bytes() == BODY


def test_a_page_in_place_of_a_zip_is_refused(zenodo, settings, client, target):
    page = b"<!DOCTYPE html><html>404</html>"
    url = zenodo.plain("/model.zip", lambda: page)
    with pytest.raises(IntegrityError, match=r"a zip archive.*web page"):
        fetch_with(client, url, target, ANYTHING)
    with pytest.raises(IntegrityError, match="web page"):
        fetch_with(client, url, target, Expected(SHA256))
    zenodo.misbehave(Fault("page"))
    with pytest.raises(DownloadError, match="a web page in place of the file"):
        fetch_with(client, url, target, ANYTHING)
    assert not list(target.parent.iterdir())


def test_the_720_octets_of_a_blocked_client_are_not_kept(zenodo, record, client, target):
    zenodo.misbehave(Fault("blocked", 403), "content")
    with pytest.raises(DownloadError, match=r"403.*turns this client away"):
        fetch_with(client, record.doi, target, ANYTHING)
    assert not list(target.parent.iterdir())


@pytest.mark.parametrize("size", [len(BODY) - 1, len(BODY) + 1])
def test_a_wrong_size_is_refused_before_the_bytes(zenodo, record, client, target, size):
    with pytest.raises(IntegrityError, match=f"{size} bytes, found {len(BODY)} bytes"):
        fetch_with(client, record.link(NAME), target, Expected(SHA256, None, size))
    assert len(zenodo.log) == 3


def test_offline_opens_no_socket(record, tmp_path, target, monkeypatch):
    def refuse(*_args, **_more):
        pytest.fail("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(OfflineError, match="MEDMINT_OFFLINE"):
        fetch(record.link(NAME), target, settings=Settings(home=tmp_path, offline=True))
    assert not target.parent.exists()


def test_a_token_in_the_address_is_refused(zenodo, settings, target):
    with pytest.raises(ArgumentError, match="password or token") as caught:
        fetch(f"{zenodo.url}/x.zip?access_token=s3cret", target, settings=settings)
    assert "s3cret" not in str(caught.value)
    assert zenodo.log == []


def test_space_is_checked_before_the_file_is_asked_for(
    zenodo, record, settings, target, monkeypatch
):
    usage = namedtuple("usage", "total used free")(1 << 30, 0, 16 << 20)
    monkeypatch.setattr(partials.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(WriterError, match=r"0\.4 MB are needed and 16\.8 MB are free"):
        fetch(record.link(NAME), target, settings=settings)
    assert zenodo.asked("content") == []
    assert not list(target.parent.iterdir())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="limits of files are of POSIX")
def test_a_disk_that_fills_up_is_left_as_it_was(record, settings, target):
    process = start(settings, record.link(NAME), target, LITTLE_ROOM)
    errors = process.communicate()[1]
    assert "WriterError" in errors
    assert "Make room" in errors
    assert not list(target.parent.iterdir())


def test_a_read_only_place_is_an_error_with_advice(record, settings, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(WriterError, match="MEDMINT_HOME"):
        fetch(record.link(NAME), tmp_path / "file" / "model.zip", settings=settings)


def test_an_interrupted_call_is_resumed_by_the_next(zenodo, record, settings, client, target):
    done = []

    def interrupt(size, _total, _label):
        done.append(size)
        if size > 100_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_with(client, record.link(NAME), target, ANYTHING, interrupt)
    assert not target.exists()
    fetch(record.link(NAME), target, settings=settings)
    assert target.read_bytes() == BODY
    assert zenodo.asked("content")[1].headers["range"] == f"bytes={done[-1]}-"


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is of POSIX")
def test_a_killed_process_is_resumed_by_another(zenodo, record, settings, target):
    zenodo.misbehave(Fault("stall", at=200_000, seconds=60), "content", first)
    process = start(settings, record.link(NAME), target)
    while not any(path.stat().st_size == 200_000 for path in target.parent.glob(".*.part")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    second = start(settings, record.link(NAME), target)
    assert second.communicate()[0].strip() == SHA256
    assert zenodo.asked("content")[1].headers["range"] == "bytes=200000-"
    assert zenodo.asked("content")[1].sent == len(BODY) - 200_000
    assert list(target.parent.iterdir()) == [target]


def test_eight_processes_may_bring_the_same_file_at_once(record, settings, target):
    processes = [start(settings, record.link(NAME), target) for _ in range(8)]
    outputs = [process.communicate() for process in processes]
    assert {output for output, _ in outputs} == {f"{SHA256}\n"}, outputs
    assert target.read_bytes() == BODY
    assert list(target.parent.iterdir()) == [target]


def test_threads_and_a_cleaner_do_not_disturb_each_other(record, settings, target):
    results = []

    def clean():
        for _ in range(8):
            time.sleep(0.01)
            for path in target.parent.glob(".*.part"):
                path.unlink(missing_ok=True)

    def bring():
        with Client(settings, patience=VirtualTime().patience(tries=20)) as client:
            results.append(fetch_with(client, record.link(NAME), target, ANYTHING).sha256)

    threads = [threading.Thread(target=bring) for _ in range(4)] + [threading.Thread(target=clean)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [SHA256] * 4
    assert target.read_bytes() == BODY
