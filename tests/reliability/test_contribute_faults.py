"""R14, R18: whatever fails on the way to Zenodo and GitHub, there is one record and one issue."""

import _thread
import hashlib
import logging
import os
import random
import signal
import threading
import traceback
from dataclasses import dataclass, field

import pytest

from medmint.errors import PublishError
from tests.fakes.deposits import ACTIONS, WRITE, DepositZenodo
from tests.fakes.faults import Answer, Fault, always, every_second, first
from tests.fakes.github import GitHub
from tests.packages.contributing import BODY, MODEL_ID, REPOSITORY, Nursery, Place, contribute

CANARY, GITHUB_CANARY = "canary-token-4711", "canary-token-4712"
SHA256 = hashlib.sha256(BODY).hexdigest()
#: The requests of a contribution to which nothing happens, in their order.
REQUESTS = {
    "find": r"^GET .*/depositions$",
    "create": r"^POST .*/depositions$",
    "upload": r"^PUT /api/files/",
    "describe": r"^PUT .*/depositions/\d+$",
    "look": r"^GET .*/depositions/\d+$",
    "publish": r"/actions/publish$",
    "find the repository": r"^GET /repos/[^/]+/[^/]+$",
    "search for the issue": r"^GET .*/issues$",
    "open the issue": r"^POST .*/issues$",
}
WRITING = ["create", "upload", "describe", "publish", "open the issue"]


@dataclass
class Bench:
    """Both services, a package, and what was said on the way."""

    zenodo: DepositZenodo
    github: GitHub
    place: Place
    texts: list = field(default_factory=list)

    @property
    def issues(self):
        return self.github.repositories[REPOSITORY].issues

    @property
    def log(self):
        return self.zenodo.log + self.github.log

    def misbehave(self, fault, request, when):
        for service in (self.zenodo, self.github):
            service.misbehave(fault, REQUESTS.get(request, request), when)

    def attempt(self, **how):
        """Contribute; return the error, or None."""
        try:
            contribute(self.place, **how)
        except PublishError as error:
            self.texts += said_by(error)
            return error
        return None

    def repeat(self):
        """Contribute without faults, and hold that everything is there once."""
        self.zenodo.behave()
        self.github.behave()
        placed, issue = contribute(self.place)
        self.hold()
        assert [placed.number] == self.zenodo.published
        assert issue.number == 1
        return placed

    def hold(self):
        (number,) = self.zenodo.published
        assert self.zenodo.in_vain == []
        assert self.zenodo.uploaded_again == []
        assert list(self.zenodo.drafts) == [number]
        assert self.zenodo.records[number].files == {f"{MODEL_ID}.zip": BODY}
        (issue,) = self.issues
        assert issue["body"].count(SHA256) == 1


def said_by(error):
    """Return everything that an error shows, also to tools that print the variables of frames."""
    while error is not None:
        yield f"{error!s} {error!r} {error.args!r} {vars(error)!r}"
        yield "".join(traceback.format_exception(error))
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if "medmint" in frame.f_code.co_filename and "tests" not in frame.f_code.co_filename:
                yield repr(frame.f_locals)
        error = error.__context__


def assert_no_canary(bench, caplog, folder):
    texts = [*bench.texts, caplog.text, *map(str, folder.rglob("*"))]
    texts += [path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file()]
    for request in bench.log:
        headers = {k: v for k, v in request.headers.items() if k != "authorization"}
        texts.append(f"{request.target} {headers} {request.body!r}")
        elsewhere = request.port not in {
            int(service.url.rpartition(":")[2]) for service in (bench.zenodo, bench.github)
        }
        assert not (elsewhere and "authorization" in request.headers)
    assert not [text for text in texts if CANARY in text or GITHUB_CANARY in text]


@pytest.fixture
def bench(tmp_path, caplog, monkeypatch):
    caplog.set_level(logging.DEBUG)
    for name in ("ZENODO_ACCESS_TOKEN", "GITHUB_TOKEN"):
        monkeypatch.setenv(name, CANARY)
    with DepositZenodo() as zenodo, GitHub() as github:
        zenodo.tokens = {CANARY: {WRITE, ACTIONS}}
        github.tokens = {GITHUB_CANARY: "jane"}
        github.add_repository(REPOSITORY)
        place = Place(str(tmp_path), zenodo.url, github.url, CANARY, GITHUB_CANARY)
        place.archive.write_bytes(BODY)
        made = Bench(zenodo, github, place)
        yield made
        assert any("authorization" in request.headers for request in made.log) or not made.log
        place.archive.unlink()
        assert_no_canary(made, caplog, tmp_path)


def status(code, retry_after=None):
    return Fault("status", code, retry_after=retry_after)


# R14: each step fails in each way

FAULTS = {
    "400": status(400),
    "401": status(401),
    "403": status(403),
    "409": status(409),
    "413": status(413),
    "429": status(429, "7"),
    "500": status(500),
    "504 but done": Fault("done", 504),
    "reset before": Fault("unheard"),
    "reset after": Fault("lost"),
}
PERMANENT = {"400", "401", "403", "409", "413"}
DONE = {"504 but done", "reset after"}


@pytest.mark.family("R14")
@pytest.mark.parametrize("when", [first, always])
@pytest.mark.parametrize("what", FAULTS)
@pytest.mark.parametrize("step", WRITING)
def test_a_step_fails(step, what, when, bench):
    bench.misbehave(FAULTS[what], step, when)
    error = bench.attempt()
    seen = what in DONE and step != "describe"
    assert (error is None) == (seen or (what not in PERMANENT and when is first)), error
    if error is not None:
        assert error.step == step
        if what not in DONE | {"reset before"}:
            assert error.status == int(what)
    bench.repeat()


@pytest.mark.family("R14")
@pytest.mark.parametrize("step", REQUESTS)
def test_an_interruption_at_each_step(step, bench):
    bench.misbehave(Fault("lost", call=_thread.interrupt_main), step, first)
    with pytest.raises(KeyboardInterrupt):
        contribute(bench.place)
    bench.repeat()


@pytest.mark.family("R14")
def test_the_same_call_again_writes_nothing(bench):
    contribute(bench.place)
    bench.zenodo.log.clear()
    bench.github.log.clear()
    bench.repeat()
    assert [request.method for request in bench.log] == ["GET"]


@pytest.mark.family("R14")
def test_a_lost_journal_makes_nothing_twice(bench):
    contribute(bench.place)
    bench.place.journal.clear()
    bench.repeat()


@pytest.mark.family("R14")
def test_without_a_yes_nothing_is_published(bench):
    for _ in range(3):
        placed, issue = contribute(bench.place, publish=False)
        assert (placed.is_published, issue) == (False, None)
    assert bench.zenodo.published == []
    assert bench.zenodo.asked("publish") == []
    assert bench.github.log == []
    assert len(bench.zenodo.drafts) == 1
    bench.repeat()


@pytest.mark.family("R14")
@pytest.mark.parametrize("always_wrong", [False, True])
def test_a_wrong_checksum_in_the_answer_is_looked_into(always_wrong, bench):
    bench.zenodo.wrong_md5 = True
    if always_wrong:
        # The look says the same as the answer: something else has arrived.
        bench.misbehave(status(404), "look", always)
    error = bench.attempt()
    assert (error is not None) == always_wrong
    if always_wrong:
        assert (error.step, "arrived" in str(error)) == ("upload", True)
        assert bench.zenodo.published == []
        bench.zenodo.uploaded_again.clear()  # it had to be sent again
    bench.zenodo.wrong_md5 = False
    bench.repeat()


@pytest.mark.family("R14")
@pytest.mark.parametrize("step", ["publish", "open the issue"])
def test_a_step_that_is_never_answered(step, bench):
    bench.misbehave(Fault("silent", seconds=30), step, first)
    assert bench.attempt() is None
    bench.repeat()


@pytest.mark.family("R14")
def test_labels_that_were_dropped_are_told(bench, caplog):
    bench.github.repositories[REPOSITORY].can_push = False
    for _ in range(2):
        _, issue = contribute(bench.place)
        assert issue.missing == ("model", "maintainer")
    assert "left out model, maintainer" in caplog.text
    bench.hold()


@pytest.mark.family("R14")
def test_the_issue_was_opened_by_a_502(bench):
    bench.misbehave(Fault("done", 502), "open the issue", always)
    assert bench.attempt() is None
    bench.repeat()


@pytest.mark.family("R14")
@pytest.mark.parametrize("service", ["zenodo", "github"])
def test_a_token_that_is_not_known(service, bench):
    stand_in = getattr(bench, service)
    known, stand_in.tokens = stand_in.tokens, {}
    error = bench.attempt()
    assert (error.service.lower(), error.status) == (service, 403 if service == "zenodo" else 401)
    assert "token" in str(error)
    stand_in.tokens = known
    bench.repeat()


@pytest.mark.family("R14")
@pytest.mark.parametrize("what", FAULTS)
@pytest.mark.parametrize("step", ["/actions/newversion$", "^DELETE /api/files/"])
def test_a_step_of_a_newer_version_fails(step, what, bench):
    placed, _ = contribute(bench.place)
    bench.place.archive.write_bytes(BODY + b"newer")
    # The file of the version before has another name, and is to be taken out.
    files = bench.zenodo.drafts[placed.number].files
    files["older.zip"] = files.pop(bench.place.archive.name)
    bench.misbehave(FAULTS[what], step, first)
    error = bench.attempt(new_version_of=placed.number)
    assert (error is None) == (what not in PERMANENT), error
    bench.zenodo.behave()
    newer, issue = contribute(bench.place, new_version_of=placed.number)
    assert bench.zenodo.published == [placed.number, newer.number]
    assert list(bench.zenodo.drafts) == bench.zenodo.published
    assert bench.zenodo.records[newer.number].files == {f"{MODEL_ID}.zip": BODY + b"newer"}
    assert (issue.number, len(bench.issues)) == (2, 2)
    assert bench.zenodo.in_vain == bench.zenodo.uploaded_again == []


# Killed, and twice at once

POSIX = pytest.mark.skipif(os.name == "nt", reason="no fork and no SIGKILL there")


@POSIX
@pytest.mark.family("R14 killed")
@pytest.mark.parametrize("kind", ["unheard", "lost"])
def test_killed_at_each_request(kind, bench, record_property):
    with Nursery() as nursery:
        kill = Fault(kind, call=lambda: os.kill(nursery.pid, signal.SIGKILL))
        for step in REQUESTS:
            start_anew(bench)
            bench.misbehave(kill, step, first)
            assert nursery.run(bench.place) == -signal.SIGKILL, step
            bench.repeat()
    record_property("cases", (len(REQUESTS), len(REQUESTS)))


@POSIX
@pytest.mark.family("R14")
def test_two_calls_at_once_make_one_record(bench):
    with Nursery() as one, Nursery() as another:
        threads = [
            threading.Thread(target=nursery.run, args=(bench.place,)) for nursery in (one, another)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    bench.hold()
    assert len(bench.zenodo.asked("/actions/publish$")) == 1
    assert len(bench.github.asked("^POST")) == 1


# Random schedules of faults

KINDS = ["status", "status", "page", "loop", "redirect", "reset", "short", "long", "gzip"]
KINDS += ["chunked", "unheard", "lost", "lost", "done", "done", "done", "silent"]
CODES = [400, 401, 403, 404, 408, 409, 410, 413, 429, 500, 502, 503, 504]


def random_faults(bench, chance, kill):
    for _ in range(chance.randint(1, 4)):
        numbers = set(chance.choices(range(1, 6), k=chance.randint(1, 4)))
        fault = Fault(
            chance.choice(KINDS),
            chance.choice(CODES),
            at=chance.random(),
            retry_after=chance.choice([None, "1", "4000"]),
            location=f"{bench.zenodo.other_url}/elsewhere",
            seconds=1.5,
        )
        when = chance.choice([numbers.__contains__, first, every_second, always])
        bench.misbehave(fault, chance.choice(["", *REQUESTS.values()]), when)
    if chance.random() < 0.4:
        fault = Fault(chance.choice(["unheard", "lost"]), call=kill)
        when = {chance.randint(1, 3)}.__contains__
        # First in line, so that no other fault is in its way.
        for service in (bench.zenodo, bench.github):
            service.misbehave(fault, chance.choice(list(REQUESTS.values())), when)
            service._rules.insert(0, service._rules.pop())


def start_anew(bench):
    bench.zenodo.behave()
    bench.github.behave()
    bench.place.journal.clear()
    bench.zenodo.drafts.clear()
    bench.zenodo.records.clear()
    for made in (bench.zenodo.published, bench.zenodo.in_vain, bench.zenodo.uploaded_again):
        made.clear()
    bench.issues.clear()


def run_schedules(bench, seed, numbers, record_property):
    failed, ends = [], []
    with Nursery() as nursery:
        for number in numbers:
            start_anew(bench)
            chance = random.Random(f"contribute {seed} {number}")
            random_faults(bench, chance, lambda: os.kill(nursery.pid, signal.SIGKILL))
            try:
                for _ in range(chance.randint(1, 3)):
                    ends.append(nursery.run(bench.place))
                    assert len(bench.zenodo.published) <= 1
                    assert len(bench.issues) <= 1
                bench.repeat()
            except Exception as error:
                failed.append((number, repr(error)))
    record_property("cases", (len(numbers) - len(failed), len(numbers)))
    assert not failed, f"seed {seed}: {failed[:3]}"
    return ends


@POSIX
@pytest.mark.family("R14 random")
def test_some_random_schedules(bench, fuzz_seed, record_property):
    ends = run_schedules(bench, fuzz_seed, range(25), record_property)
    assert {0, 1, -signal.SIGKILL} == set(ends)


@POSIX
@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.family("R14 random")
def test_five_hundred_random_schedules(bench, fuzz_seed, record_property):
    run_schedules(bench, fuzz_seed, range(25, 525), record_property)


# R18: servers that say what they should not


class Echo:
    """Refuses a request with the token in every place that a message could be made of."""

    def __init__(self, service, canary, status):
        self.canary, self.status, self.answer = canary, status, service.answer

    def __call__(self, request):
        if request.method == "GET":
            return self.answer(request)
        words = f"No: Bearer {self.canary} and {self.canary}"
        errors = [{"field": self.canary, "messages": [words], "message": words}]
        content = {"status": 400, "message": words, "errors": errors}
        return Answer.of_json(content, self.status, Retry_After=self.canary)


@pytest.mark.family("R18")
@pytest.mark.parametrize("code", [400, 401, 403, 429, 500, 503])
@pytest.mark.parametrize("service", ["zenodo", "github"])
def test_a_server_that_repeats_the_token(service, code, bench, monkeypatch):
    stand_in = getattr(bench, service)
    canary = CANARY if service == "zenodo" else GITHUB_CANARY
    monkeypatch.setattr(stand_in, "answer", Echo(stand_in, canary, code))
    error = bench.attempt()
    assert "<token>" in str(error)
    assert error.status == code


@pytest.mark.family("R18")
def test_a_token_does_not_follow_a_redirect(bench):
    bench.zenodo.misbehave(Fault("redirect", location=f"{bench.zenodo.other_url}/x"), "^GET", first)
    bench.github.misbehave(Fault("redirect", location=f"{bench.github.other_url}/x"), "^GET", first)
    assert bench.attempt() is not None
    other = int(bench.zenodo.other_url.rpartition(":")[2])
    (seen,) = [request for request in bench.zenodo.log if request.port == other]
    assert "authorization" not in seen.headers
    assert bench.attempt() is not None  # now GitHub's
    bench.repeat()
