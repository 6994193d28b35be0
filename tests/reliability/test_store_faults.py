"""R4 to R6, R10, R18: whatever happens to an install, a package is whole or not there."""

import contextlib
import logging
import os
import random
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

import medmint
from medmint import Generators
from medmint.errors import ArgumentError, MedmintError, WriterError
from medmint.packages.download.sources import Expected
from medmint.packages.download.transfer import fetch_with
from medmint.packages.store import PackageStore
from medmint.transport import Bearer, Client
from tests.fakes.faults import Fault, always, every_second, first
from tests.fakes.virtual_time import VirtualTime
from tests.fakes.zenodo import Zenodo
from tests.packages.archives import FILES, record_of, sha256, zip_of
from tests.packages.installing import run_together, start

CANARY = "canary-token-4711"
WEIGHTS = random.Random(3).randbytes(3_000_000)
FILES_OF_ONE = FILES | {"weights.pt": WEIGHTS, "data/a.txt": b"a", "data/b.txt": b"b"}
ZIP = zip_of(FILES_OF_ONE, top="package/")
SHA256 = sha256(ZIP)
CONTENT = r"/content$"


@pytest.fixture
def zenodo():
    with Zenodo() as server:
        yield server


@pytest.fixture
def link(zenodo):
    return zenodo.add_record({"model.zip": ZIP}).link("model.zip")


@pytest.fixture
def store(settings, zenodo):
    settings = replace(settings, zenodo_url=zenodo.url)
    return PackageStore(settings, patience=VirtualTime().patience(read=0.3))


@pytest.fixture
def record(link):
    return record_of(link)


def home_of(store):
    return store._settings.home


def broken_packages(home):
    """Return folders that look like packages and are not whole."""

    def is_broken(folder):
        marker = folder / "installed.json"
        # Asked twice: it may be removed and come again between two looks.
        return not (marker.exists() or not folder.exists() or marker.exists())

    return [folder for folder in (home / "packages").glob("[0-9a-f]*") if is_broken(folder)]


def leftovers_of(home):
    folders = [home / "packages" / ".unfinished", home / "downloads"]
    found = [path for folder in folders if folder.exists() for path in folder.iterdir()]
    return [*found, *(home / "receipts").glob(".*")]


def assert_recovers(store, record):
    """After whatever happened: nothing broken is seen, and one fault-free call succeeds."""
    home = home_of(store)
    assert broken_packages(home) == []
    if store.is_installed(record):
        assert store.verify(record) == SHA256
    assert store.install(record).sha256 == SHA256
    assert store.verify(record) == SHA256
    store.clean()
    assert leftovers_of(home) == []
    assert store.verify(record) == SHA256


# R4: killed at any moment


def moments(chance, count, changes):
    """Draw moments to die at: before a change on disk, or within the download."""
    for _ in range(count):
        if chance.random() < 0.75:
            yield {"die_at": chance.randint(1, changes)}
        else:
            yield {"die_after": chance.randint(1, len(ZIP))}


def kill_at_moments(zenodo, store, record, seed, count, record_property):
    (result,) = run_together([start(store, record, ["install"])])
    assert result[0] == SHA256
    changes = result[1]
    killed, failed = 0, []
    for moment in moments(random.Random(f"kill {seed}"), count, changes):
        store.remove(record)
        store.clean()
        killed += run_together([start(store, record, ["install"], **moment)]) == [None]
        try:
            assert_recovers(store, record)
        except (AssertionError, MedmintError) as error:
            failed.append((moment, repr(error)))
    record_property("cases", (count - len(failed), count))
    assert changes > 20
    assert not failed, f"seed {seed}: {failed[:3]}"
    assert killed > count * 0.8


@pytest.mark.family("R4")
def test_killed_at_some_moments(zenodo, store, record, fuzz_seed, record_property):
    kill_at_moments(zenodo, store, record, fuzz_seed, 8, record_property)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.family("R4")
def test_killed_at_a_hundred_moments(zenodo, store, record, fuzz_seed, record_property):
    kill_at_moments(zenodo, store, record, fuzz_seed + 1, 100, record_property)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.family("R4")
def test_killed_before_every_change_on_disk(store, record, record_property):
    (result,) = run_together([start(store, record, ["install"])])
    for moment in range(1, result[1] + 1):
        store.remove(record)
        store.clean()
        run_together([start(store, record, ["install"], die_at=moment)])
        assert_recovers(store, record)
    record_property("cases", (result[1], result[1]))


@pytest.mark.family("R4")
def test_killed_while_removing(store, record):
    store.install(record)
    (result,) = run_together([start(store, record, ["remove"])])
    chance = random.Random(4)
    for moment in sorted(chance.sample(range(1, result[1] + 1), 3)):
        store.install(record)
        run_together([start(store, record, ["remove"], die_at=moment)])
        assert_recovers(store, record)


# R5: many at once


@pytest.mark.family("R5")
@pytest.mark.parametrize("known", [True, False], ids=["with hash", "without hash"])
def test_sixteen_processes_need_one_download(known, zenodo, store, link):
    record = record_of(link, sha256=SHA256 if known else None) if known else record_of(link)
    results = run_together([start(store, record, ["install", "verify"]) for _ in range(16)])
    assert [result[:2] for result in results] == [[SHA256, SHA256]] * 16
    assert len(zenodo.asked(CONTENT)) == 1
    assert_recovers(store, record)


@pytest.mark.family("R5")
def test_sixteen_threads_need_one_download(zenodo, store, record):
    packages, errors = [], []

    def install():
        try:
            packages.append(store.install(record))
        except MedmintError as error:
            errors.append(error)

    threads = [threading.Thread(target=install) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert len(set(packages)) == 1
    assert len(zenodo.asked(CONTENT)) == 1


@pytest.mark.family("R5")
def test_eight_processes_bring_eight_models(zenodo, store):
    records = []
    for number in range(8):
        body = zip_of(FILES | {"weights.pt": b"%d" % number})
        link = zenodo.add_record({"model.zip": body}).link("model.zip")
        records.append((record_of(link, number=90020 + number), sha256(body)))
    results = run_together([start(store, one, ["install", "verify"]) for one, _ in records])
    assert [result[:2] for result in results] == [[digest] * 2 for _, digest in records]
    assert len(store.folders()) == 8


@pytest.mark.family("R5")
def test_without_locks_that_work_all_succeed(zenodo, store, record):
    processes = [start(store, record, ["install", "verify"], no_locks=True) for _ in range(8)]
    results = run_together(processes)
    assert [result[:2] for result in results] == [[SHA256, SHA256]] * 8
    assert len(zenodo.asked(CONTENT)) <= 8
    assert_recovers(store, record)


class Watcher(threading.Thread):
    """Looks all the time for packages that are not whole."""

    def __init__(self, home):
        super().__init__()
        self.home, self.broken, self.looks = home, [], 0
        self._over = threading.Event()

    def run(self):
        while not self._over.wait(0.002):
            self.broken += broken_packages(self.home)
            self.looks += 1

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self.join()


def mix(zenodo, store, link, seed, rounds, **how):
    chance = random.Random(seed)
    # Two models share one package; each process works at one of them.
    records = [record_of(link, number=90020 + i % 2, sha256=SHA256) for i in range(6)]
    kinds = ["install", "install", "verify", "remove", "clean"]
    actions = [chance.choices(kinds, k=rounds) for _ in records]
    orders = zip(records, actions, strict=True)
    with Watcher(home_of(store)) as watcher:
        results = run_together([start(store, one, asked, **how) for one, asked in orders])
    assert watcher.looks > 10
    assert watcher.broken == []
    for asked, result in zip(actions, results, strict=True):
        for action, outcome in zip(asked, result[:-1], strict=True):
            allowed = {
                "install": outcome == SHA256,
                "verify": outcome == SHA256 or "is not installed" in str(outcome),
                "remove": outcome in {True, False},
                "clean": outcome is None,
            }
            assert allowed[action], (action, outcome)
    for one in records[:2]:
        assert_recovers(store, one)


@pytest.mark.family("R5")
@pytest.mark.parametrize("no_locks", [False, True], ids=["locks", "no locks"])
def test_install_remove_and_clean_at_once(no_locks, zenodo, store, link, fuzz_seed):
    mix(zenodo, store, link, fuzz_seed, 8, no_locks=no_locks)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.family("R5")
@pytest.mark.parametrize("no_locks", [False, True], ids=["locks", "no locks"])
@pytest.mark.parametrize("number", range(5))
def test_install_remove_and_clean_at_once_for_long(number, no_locks, zenodo, store, link):
    mix(zenodo, store, link, number, 60, no_locks=no_locks)


# Random faults of the server, through install and verify; R18: the canary shows nowhere

KINDS = ["status", "blocked", "page", "loop", "ignore-range", "wrong-start", "wrong-total"]
KINDS += ["no-content-range", "new-version", "reset", "short", "long", "corrupt", "gzip", "chunked"]
CODES = [403, 404, 408, 410, 416, 429, 500, 502, 503, 504]


def random_faults(zenodo, chance):
    for _ in range(chance.randint(1, 4)):
        numbers = set(chance.choices(range(1, 8), k=chance.randint(1, 5)))
        fault = Fault(chance.choice(KINDS), chance.choice(CODES), at=chance.random())
        when = chance.choice([numbers.__contains__, first, every_second, always])
        zenodo.misbehave(fault, chance.choice(["", CONTENT, r"/api/records/\d+$"]), when)


def chain_of(error):
    while error is not None:
        yield f"{error!s} {error!r} {error.args!r} {vars(error)!r}"
        error = error.__context__


def assert_no_canary(zenodo, home, caplog, texts):
    assert CANARY not in caplog.text
    assert not [text for text in texts if CANARY in text]
    files = [path for path in home.rglob("*") if path.is_file()]
    assert not [path for path in files if CANARY.encode() in path.read_bytes()]
    assert not [path for path in home.rglob("*") if CANARY in path.name]
    for request in zenodo.log:
        headers = {k: v for k, v in request.headers.items() if k != "authorization"}
        assert CANARY not in f"{request.target} {headers} {request.body!r}"


def run_schedules(zenodo, store, record, seed, numbers, record_property):
    failed, texts = [], []
    for number in numbers:
        zenodo.behave()
        store.remove(record)
        random_faults(zenodo, random.Random(f"install {seed} {number}"))
        try:
            try:
                store.install(record)
            except MedmintError as error:
                texts += chain_of(error)
                assert not store.is_installed(record)
            else:
                assert store.verify(record) == SHA256
            zenodo.behave()
            assert_recovers(store, record)
        except Exception as error:
            failed.append((number, repr(error)))
    record_property("cases", (len(numbers) - len(failed), len(numbers)))
    assert not failed, f"seed {seed}: {failed[:3]}"
    return texts


@pytest.fixture
def canary(monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    for name in ("ZENODO_ACCESS_TOKEN", "GITHUB_TOKEN", "HF_TOKEN"):
        monkeypatch.setenv(name, CANARY)


@pytest.fixture
def schedules(canary, zenodo, store, record, record_property, caplog):
    """Return a function that runs schedules and returns the texts of all errors."""

    def run(seed, numbers):
        texts = run_schedules(zenodo, store, record, seed, numbers, record_property)
        assert_no_canary(zenodo, home_of(store), caplog, texts)
        return texts

    return run


@pytest.mark.family("R1 install")
def test_random_faults(schedules, fuzz_seed):
    assert schedules(fuzz_seed, range(25))


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.family("R1 install")
def test_many_random_faults(schedules, fuzz_seed):
    schedules(fuzz_seed, range(25, 325))


@pytest.mark.family("R18")
@pytest.mark.parametrize("kind", KINDS)
def test_a_token_is_seen_by_its_own_server_alone(kind, canary, zenodo, store, link, caplog):
    caplog.set_level(logging.DEBUG)
    home = home_of(store)
    zenodo.misbehave(Fault(kind, 503, retry_after=CANARY), "", always)
    client = Client(store._settings, patience=VirtualTime().patience(tries=3), token=Bearer(CANARY))
    texts = [repr(client._token), str(client.__dict__)]
    with client:
        try:
            fetch_with(client, link, home / "model.zip", Expected())
        except MedmintError as error:
            texts += chain_of(error)
    assert any("authorization" in request.headers for request in zenodo.log)
    home.mkdir(exist_ok=True)
    assert_no_canary(zenodo, home, caplog, texts)


@pytest.mark.family("R18")
@pytest.mark.parametrize(
    "form", ["https://user:{0}@zenodo.org/record/1", "https://zenodo.org/a?access_token={0}"]
)
def test_a_token_in_an_address_is_refused(form, canary, zenodo, store, caplog):
    with pytest.raises(ArgumentError) as caught:
        store.install(record_of(form.format(CANARY)))
    assert zenodo.log == []
    assert_no_canary(zenodo, home_of(store), caplog, list(chain_of(caught.value)))


# R6: disks that are full or closed


@pytest.mark.family("R6")
@pytest.mark.parametrize("size", [0, 10, 100, 4096, 1_000_000, 2_999_999, 3_000_000])
def test_an_install_that_cannot_be_written_leaves_nothing(size, store, record, files_of_at_most):
    with files_of_at_most(size), pytest.raises(WriterError, match="Make room"):
        store.install(record)
    assert leftovers_of(home_of(store)) == []
    assert_recovers(store, record)


@pytest.mark.family("R6")
@pytest.mark.parametrize("size", [0, 10, 100])
def test_a_receipt_that_cannot_be_written_leaves_a_package_for_the_next_call(
    size, store, record, tmp_path, files_of_at_most
):
    # The package is here already: only the receipt has to be written.
    (tmp_path / "model.zip").write_bytes(ZIP)
    twin = record_of(tmp_path / "model.zip", number=90010)
    store.install(record)
    with files_of_at_most(size), pytest.raises(WriterError, match="Make room"):
        store.install(twin)
    assert not store.is_installed(twin)
    assert_recovers(store, twin)
    assert store.verify(record) == SHA256


ON_A_CLOSED_DISK = """
import sys
from tests.packages.archives import record_of
from pathlib import Path
from medmint.errors import MedmintError
from medmint.packages.store import PackageStore
from medmint.settings import Settings
store = PackageStore(Settings(home=Path(sys.argv[1])))
here, absent = record_of(sys.argv[2]), record_of(sys.argv[2], number=90010)
print(store.install(here).sha256 == store.verify(here), store.is_installed(here))
for action in (store.install, store.remove, lambda _: store.clean()):
    try:
        print(action(absent))
    except MedmintError as error:
        print(type(error).__name__, "MEDMINT_HOME" in str(error))
"""


@pytest.mark.family("R6")
def test_a_home_that_can_only_be_read_serves_what_is_in_it(store, tmp_path):
    archive = tmp_path / "model.zip"
    archive.write_bytes(ZIP)
    store.install(record_of(archive))
    home = home_of(store)
    mount = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"'
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, "sh", home]
    command += [sys.executable, "-c", ON_A_CLOSED_DISK, home, archive]
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(Path(medmint.__file__).parents[1]), str(root)])
    environment = os.environ | {"PYTHONPATH": path}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("this system has no unshare")
    if done.returncode:
        pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
    # Nothing of the second model is there: there is nothing to remove, and nothing to clean.
    assert done.stdout == "True True\nWriterError True\nFalse\nNone\n"


# R10: without a network

OFFLINE = {
    "list": lambda g, _: g.list_models(),
    "search": lambda g, _: g.find_models("polyp"),
    "rank": lambda g, _: g.rank_models("FID"),
    "info": lambda g, _: g.info(90009),
    "cite": lambda g, _: g.cite(90009),
    "install": lambda g, _: g.install(90009),
    "verify": lambda g, _: g.verify(90009),
    "copy": lambda g, folder: g.copy(90009, folder / "copy"),
    "generate": lambda g, folder: g.generate(10001, 2, folder / "run", output_format="npy"),
    "stream": lambda g, _: g.generate(10001, 2, save_images=False),
    "refused": lambda g, _: g.install(90010),
    "remove": lambda g, _: g.remove(90009),
}


@pytest.mark.family("R10")
@pytest.mark.parametrize("offline", [True, False], ids=["offline", "no network"])
def test_what_is_here_needs_no_network(offline, store, record, tmp_path, monkeypatch):
    store.install(record)
    shipped = Generators().config_manager
    entries = {one: shipped.record(one).to_dict() for one in shipped.model_ids}
    entries |= {record.model_id: record.to_dict(), "90010_ABSENT": record.to_dict()}
    attempts = []

    def no_socket(*arguments, **_):
        attempts.append(arguments)
        raise OSError("no network")

    settings = replace(store._settings, offline=offline)
    with Generators(catalogue=entries, settings=settings) as generators:
        monkeypatch.setattr(socket, "socket", no_socket)
        monkeypatch.setattr(socket, "getaddrinfo", no_socket)
        for name, action in OFFLINE.items():
            if name == "refused" and not offline:
                continue
            with contextlib.ExitStack() as stack:
                if name == "refused":
                    stack.enter_context(pytest.raises(MedmintError, match="MEDMINT_OFFLINE"))
                action(generators, tmp_path)
    assert attempts == []
