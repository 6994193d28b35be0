"""R1 to R3: whatever the server does, a call ends in the verified file or in one typed error."""

import hashlib
import random
import threading
from dataclasses import dataclass

import pytest

from medmint.errors import DownloadError, IntegrityError, MedmintError
from medmint.packages.download.partials import Partial
from medmint.packages.download.sources import Expected
from medmint.packages.download.transfer import fetch_with
from medmint.settings import Settings
from medmint.transport import MOST_REDIRECTS, Client
from tests.fakes.faults import Fault, always, every_second, first, http_date
from tests.fakes.virtual_time import SharedTime, VirtualTime
from tests.fakes.zenodo import Zenodo

BODY = b"PK\x03\x04" + random.Random(1).randbytes(300_000)
SHA256 = hashlib.sha256(BODY).hexdigest()
KNOWN = Expected(SHA256, None, len(BODY))
NAME = "00001_X.zip"
CONTENT = r"/content$"
CANARY = "canary-token-4711"
TRIES = 6
TOTAL = 600.0
SAMPLE, FULL = 40, 1000


@dataclass
class Bench:
    """A server, a record on it, a place for the file, and time that passes without waiting."""

    zenodo: Zenodo
    settings: Settings
    target: object
    time: VirtualTime
    seconds_per_chunk: float = 1.0

    def __post_init__(self):
        self.record = self.zenodo.add_record({NAME: BODY})
        self.link = self.record.link(NAME)
        self.seen = []

    def fetch(self, source=None, expected=KNOWN, *, read=5.0, target=None, tries=TRIES):
        def progress(done, total, label):
            self.seen.append(done)
            self.time.now += self.seconds_per_chunk  # a dripping server uses time up

        patience = self.time.patience(read=read, total=TOTAL, tries=tries)
        with Client(self.settings, patience=patience) as client:
            return fetch_with(
                client, source or self.link, target or self.target, expected, progress
            )

    def attempt(self, **how):
        """Fetch; return the error, or None; hold every promise that does not depend on it."""
        started = self.time.now
        try:
            fetched = self.fetch(**how)
        except MedmintError as error:
            self.check_error(error)
            outcome = error
        else:
            assert fetched.sha256 == SHA256
            outcome = None
        assert self.time.now - started < TOTAL + 60
        files = list(self.target.parent.iterdir())
        assert all(path == self.target or path.name.endswith(".part") for path in files)
        assert self.target.exists() == (outcome is None)
        if outcome is None:
            assert files == [self.target]
            assert hashlib.sha256(self.target.read_bytes()).hexdigest() == SHA256
        return outcome

    def check_error(self, error):
        chain = [error]
        while chain[-1].__context__ is not None:
            chain.append(chain[-1].__context__)
        texts = [f"{link!s} {link!r} {link.args!r}" for link in chain]
        assert isinstance(error, (DownloadError, IntegrityError)), error
        assert error.__cause__ is None or isinstance(error.__cause__, Exception)
        assert not any(CANARY in text or "download=1" in text for text in texts)

    def check_recovery(self):
        """After the faults: the same call succeeds, whatever was left."""
        self.zenodo.behave()
        self.target.unlink(missing_ok=True)
        assert self.attempt() is None


@pytest.fixture
def bench(tmp_path, monkeypatch):
    monkeypatch.setenv("ZENODO_ACCESS_TOKEN", CANARY)
    with Zenodo() as zenodo:
        settings = Settings(home=tmp_path / "home", zenodo_url=zenodo.url)
        folder = tmp_path / "downloads"
        folder.mkdir()
        yield Bench(zenodo, settings, folder / "model.zip", VirtualTime())
        assert not any(CANARY in f"{request}" for request in zenodo.log)
        agents = {request.headers["user-agent"] for request in zenodo.log}
        assert all(agent.startswith("medmint/") and "(+http" in agent for agent in agents)


def status(code, retry_after=None):
    return Fault("status", code, retry_after=retry_after)


#: Fault, and what it leads to when it strikes once, every second time, always.
GOOD, BAD, EITHER = "good", "bad", "either"
TRANSIENT, PERMANENT = (GOOD, GOOD, BAD), (BAD, BAD, BAD)
FAULTS = {
    "403": (status(403), PERMANENT),
    "404": (status(404), PERMANENT),
    "410": (status(410), PERMANENT),
    "408": (status(408), TRANSIENT),
    "416": (status(416), PERMANENT),
    "429": (status(429), TRANSIENT),
    "429 with seconds": (status(429, "7"), TRANSIENT),
    "429 with a date": (status(429, http_date(20)), TRANSIENT),
    "429 with an absurd wait": (status(429, "99999999999"), PERMANENT),
    "500": (status(500), TRANSIENT),
    "502": (status(502), TRANSIENT),
    "503": (status(503, "3"), TRANSIENT),
    "504 with a page": (status(504), TRANSIENT),
    "reset at once": (Fault("reset", at=0), TRANSIENT),
    "reset after a byte": (Fault("reset", at=1), TRANSIENT),
    "reset at 50 %": (Fault("reset", at=0.5), (GOOD, GOOD, EITHER)),
    "reset at 99 %": (Fault("reset", at=0.99), (GOOD, GOOD, EITHER)),
    "short body": (Fault("short"), TRANSIENT),
    "long body": (Fault("long"), TRANSIENT),
    "wrong bytes": (Fault("corrupt"), TRANSIENT),
    "stall": (Fault("stall"), (GOOD, GOOD, EITHER)),
    "drip": (Fault("drip", seconds=0.001), PERMANENT),
    "page with 200": (Fault("page"), TRANSIENT),
    "gzip": (Fault("gzip"), TRANSIENT),
    "chunked": (Fault("chunked"), (GOOD, GOOD, GOOD)),
    "redirect loop": (Fault("loop"), TRANSIENT),
    "redirect to http": (Fault("redirect", location="http://192.0.2.1/x"), PERMANENT),
    "redirect elsewhere": (Fault("redirect"), (GOOD, GOOD, GOOD)),
}
SCHEDULES = {"first": first, "every second": every_second, "always": always}


@pytest.mark.family("R1")
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("what", FAULTS)
def test_a_fault_on_the_way(what, schedule, bench):
    fault, outcomes = FAULTS[what]
    if what == "redirect elsewhere":
        elsewhere = f"{bench.zenodo.other_url}/records/{bench.record.number}/files/{NAME}"
        fault = Fault("redirect", location=elsewhere)
    bench.zenodo.misbehave(fault, CONTENT, SCHEDULES[schedule])
    error = bench.attempt(read=0.4 if what == "stall" else 5.0)
    wanted = outcomes[list(SCHEDULES).index(schedule)]
    assert wanted == EITHER or (error is None) == (wanted == GOOD), error
    requests = bench.zenodo.asked()
    assert len(requests) <= TRIES + MOST_REDIRECTS + 1
    if what in {"403", "404", "410", "416"}:
        assert len(requests) == 1
        assert error.status == int(what)
    assert not any("authorization" in request.headers for request in requests)
    bench.check_recovery()


@pytest.mark.parametrize("place", [0.5, 0.99])
def test_what_has_arrived_is_not_sent_again(place, bench):
    bench.zenodo.misbehave(Fault("reset", at=place), CONTENT, first)
    bench.fetch()
    asked = [request.headers.get("range") for request in bench.zenodo.asked(CONTENT)]
    done = max(size for size in bench.seen if size < len(BODY) and f"bytes={size}-" == asked[1])
    assert asked == [None, f"bytes={done}-"]


def left_behind(bench, content):
    """Leave a partial file as an interrupted call does."""
    with Partial(bench.target, SHA256[:16]) as partial:
        partial.write(content)


RANGES = {
    "206": None,
    "200 in place of 206": Fault("ignore-range"),
    "wrong start": Fault("wrong-start"),
    "wrong total": Fault("wrong-total"),
    "no Content-Range": Fault("no-content-range"),
}


@pytest.mark.family("R2")
@pytest.mark.parametrize("what", RANGES)
def test_a_range_is_appended_only_where_it_belongs(what, bench):
    left_behind(bench, BODY[:100_000])
    if RANGES[what]:
        bench.zenodo.misbehave(RANGES[what], CONTENT, first)
    assert bench.attempt() is None
    requests = bench.zenodo.asked(CONTENT)
    assert requests[0].headers["range"] == "bytes=100000-"
    sent = sum(request.sent for request in requests)
    assert (sent == len(BODY) - 100_000) == (what == "206")


@pytest.mark.family("R2")
def test_a_complete_partial_file_is_recognised_by_416(bench):
    left_behind(bench, BODY)
    assert bench.attempt(expected=Expected(SHA256)) is None
    assert [request.status for request in bench.zenodo.asked(CONTENT)] == [416]


@pytest.mark.family("R2")
def test_two_versions_of_a_file_are_never_joined(bench):
    # A plain address, of which nothing is known beforehand but what the server says of versions.
    source = f"{bench.zenodo.url}/plain/{NAME}"
    bodies = iter([b"PK" + bytes(300_000), BODY])
    bench.zenodo.plain(f"/plain/{NAME}", lambda: next(bodies))
    bench.zenodo.misbehave(Fault("reset", at=0.5), r"/plain/", first)
    assert bench.attempt(source=source, expected=Expected()) is None
    second = bench.zenodo.asked(r"/plain/")[1]
    assert second.headers["if-range"].startswith('"md5:')
    assert second.status == 200


@pytest.mark.family("R2")
def test_a_partial_file_larger_than_the_file_is_dropped(bench):
    left_behind(bench, BODY + b"more")
    assert bench.attempt() is None
    assert [request.headers.get("range") for request in bench.zenodo.asked(CONTENT)] == [None]


@pytest.mark.family("R3")
def test_two_hundred_requests_keep_the_limit(bench):
    bench.zenodo.limit(133, 60.0, bench.time.clock)
    bench.seconds_per_chunk = 0
    started = bench.time.now
    for number in range(200):
        assert bench.fetch(target=bench.target.with_name(f"{number}.zip")).sha256 == SHA256
    refused = [request for request in bench.zenodo.log if request.status == 429]
    windows = (bench.time.now - started) // 60 + 1
    assert len(refused) <= windows
    assert bench.time.now - started < 240


@pytest.mark.family("R3")
def test_a_hundred_tasks_share_the_limit(tmp_path):
    time, errors = SharedTime(100), []
    with Zenodo() as zenodo:
        zenodo.limit(133, 60.0, time.clock)
        link = zenodo.add_record({NAME: b"PK small"}).link(NAME)
        settings = Settings(home=tmp_path, zenodo_url=zenodo.url)

        def task(number):
            try:
                with Client(settings, patience=time.patience()) as client:
                    fetch_with(client, link, tmp_path / f"{number}.zip", Expected())
            except MedmintError as error:
                errors.append(error)
            finally:
                time.leave()

        threads = [threading.Thread(target=task, args=(number,)) for number in range(100)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors
        assert len(list(tmp_path.glob("*.zip"))) == 100
        # Whoever was told to wait comes back once: no storm.
        assert len(zenodo.log) <= 200 + 100
        assert time.now - 1000 < 180


KINDS = ["status", "blocked", "page", "loop", "redirect", "ignore-range", "wrong-start"]
KINDS += ["wrong-total", "no-content-range", "new-version", "reset", "short", "long", "corrupt"]
KINDS += ["stall", "gzip", "chunked"]
CODES = [403, 404, 408, 410, 416, 429, 500, 502, 503, 504]


def random_fault(chance, elsewhere):
    return Fault(
        chance.choice(KINDS),
        status=chance.choice(CODES),
        at=chance.choice([0, 1, chance.random(), chance.random(), chance.randrange(2000)]),
        retry_after=chance.choice([None, "0", "5", "120", "-3", "soon", http_date(9)]),
        location=chance.choice(["", elsewhere, "http://192.0.2.1/", "ftp://x/y", "//", "\t"]),
    )


def strikes_at(numbers):
    return lambda number: number in numbers


def random_schedule(bench, chance):
    elsewhere = f"{bench.zenodo.other_url}/records/{bench.record.number}/files/{NAME}"
    for _ in range(chance.randint(1, 5)):
        numbers = set(chance.choices(range(1, 8), k=chance.randint(1, 5)))
        when = chance.choice([strikes_at(numbers), strikes_at(numbers), every_second, always])
        path = chance.choice(["", CONTENT, r"/api/records/\d+$"])
        bench.zenodo.misbehave(random_fault(chance, elsewhere), path, when)
    return {
        "source": chance.choice(
            [bench.link, bench.record.doi, bench.record.link(NAME, legacy=False)]
        ),
        "expected": chance.choice([Expected(), KNOWN, Expected(SHA256)]),
        "read": 0.1,
    }


def run_schedules(bench, seed, numbers, record_property):
    failed = []
    for number in numbers:
        chance = random.Random(f"{seed} {number}")
        bench.zenodo.behave()
        bench.target.unlink(missing_ok=True)
        try:
            bench.attempt(**random_schedule(bench, chance))
            bench.check_recovery()
        except Exception as error:
            failed.append((number, repr(error)))
    record_property("cases", (len(numbers) - len(failed), len(numbers)))
    assert not failed, f"seed {seed}: {failed[:5]}"


@pytest.mark.family("R1 fuzz")
def test_random_faults(bench, fuzz_seed, record_property):
    run_schedules(bench, fuzz_seed, range(SAMPLE), record_property)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.family("R1 fuzz")
def test_a_thousand_schedules_of_random_faults(bench, fuzz_seed, record_property):
    run_schedules(bench, fuzz_seed, range(SAMPLE, SAMPLE + FULL), record_property)
