import socket
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest

from medmint.errors import ArgumentError, OfflineError, PublishError
from medmint.publishing import LONGEST_BODY, Announcement, Journal, Token, announce, issue_form
from tests.fakes.faults import Answer, Fault, always, first
from tests.fakes.github import TOKEN, GitHub
from tests.fakes.virtual_time import VirtualTime

REPOSITORY = "owner/models"
NEWS = Announcement("90001_X", "ab" * 32, "New model", "Look:\n", ("model",), ("Jane",))


@pytest.fixture
def github():
    with GitHub() as server:
        server.add_repository(REPOSITORY)
        yield server


@pytest.fixture
def settings(settings, github):
    return replace(settings, github_url=github.url, github_repository=REPOSITORY)


@pytest.fixture
def time():
    return VirtualTime()


@pytest.fixture
def open_issue(settings, time, tmp_path):
    """Return a function that announces; its keywords change the settings."""
    journal = Journal.beside(tmp_path / "package")

    def call(news=NEWS, token=TOKEN, **changes):
        patience = time.patience(read=0.5, tries=3)
        changed = replace(settings, **changes)
        return announce(changed, Token(token), news, journal=journal, patience=patience)

    call.journal = journal
    return call


def test_an_issue_is_opened_with_its_mark(open_issue, github):
    issue = open_issue()
    assert (issue.number, issue.missing) == (1, ())
    assert issue.url == f"{github.url}/{REPOSITORY}/issues/1"
    (opened,) = github.repositories[REPOSITORY].issues
    assert opened["title"] == "New model"
    mark = f"<!-- medmint-model-id: 90001_X sha256: {'ab' * 32} -->"
    assert opened["body"] == f"Look:\n\n{mark}\n"
    assert [label["name"] for label in opened["labels"]] == ["model"]
    assert [person["login"] for person in opened["assignees"]] == ["Jane"]


def test_who_asks_and_how(open_issue, github):
    open_issue()
    assert [request.method for request in github.log] == ["GET", "GET", "POST"]
    for request in github.log:
        assert request.headers["user-agent"].startswith("medmint/")
        assert request.headers["accept"] == "application/vnd.github+json"
        assert request.headers["x-github-api-version"] == "2022-11-28"
        assert "authorization" in request.headers


def test_a_second_call_asks_nothing(open_issue, github):
    issue = open_issue()
    github.log.clear()
    assert open_issue() == issue
    assert github.log == []


def test_an_issue_is_found_whoever_opened_it_and_whatever_became_of_it(open_issue, github):
    open_issue()
    issues = github.repositories[REPOSITORY].issues
    issues[0]["state"] = "closed"
    issues += [
        issues[0] | {"number": n, "body": None, "html_url": "https://github.com/x"}
        for n in range(2, 252)
    ]
    open_issue.journal.clear()
    assert open_issue().number == 1
    assert len(issues) == 251


def test_a_pull_request_is_no_issue(open_issue, github):
    open_issue()
    github.repositories[REPOSITORY].issues[0]["pull_request"] = {}
    open_issue.journal.clear()
    assert open_issue().number == 2


def test_another_package_of_the_same_model_is_announced_anew(open_issue):
    assert open_issue().number == 1
    assert open_issue(replace(NEWS, sha256="cd" * 32)).number == 2


def test_labels_that_were_dropped_are_told(open_issue, github, caplog):
    github.repositories[REPOSITORY].can_push = False
    assert open_issue().missing == ("model", "Jane")
    assert "left out model, Jane" in caplog.text
    assert open_issue().missing == ("model", "Jane")


def test_without_a_repository_nothing_is_asked(open_issue, github):
    assert open_issue(github_repository=None) is None
    assert github.log == []


@pytest.mark.parametrize("name", ["models", "a/b/c", "a b/c", "../x", "owner/", "https://x/y"])
def test_a_repository_has_an_owner_and_a_name(name, open_issue, github):
    with pytest.raises(ArgumentError, match="MEDMINT_GITHUB_REPOSITORY"):
        open_issue(github_repository=name)
    assert github.log == []


def test_offline_opens_no_socket(open_issue, monkeypatch):
    def refuse(*_args, **_more):
        pytest.fail("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(OfflineError):
        open_issue(offline=True)


def test_an_address_that_is_not_safe_is_refused(open_issue):
    with pytest.raises(ArgumentError, match="github_url"):
        open_issue(github_url="http://api.github.com")


# What GitHub refuses


def test_a_wrong_token(open_issue):
    with pytest.raises(PublishError, match="Bad credentials") as caught:
        open_issue(token="other-token")
    error = caught.value
    assert (error.service, error.step, error.status) == ("GitHub", "find the repository", 401)
    assert "other-token" not in str(error)


def test_a_repository_that_is_not_there(open_issue):
    with pytest.raises(PublishError, match="MEDMINT_GITHUB_REPOSITORY") as caught:
        open_issue(github_repository="owner/other")
    assert (caught.value.status, "owner/other" in str(caught.value)) == (404, True)


def test_a_repository_without_issues(open_issue, github):
    github.repositories[REPOSITORY].has_issues = False
    with pytest.raises(PublishError, match="takes no issues") as caught:
        open_issue()
    assert (caught.value.step, caught.value.status) == ("search for the issue", 410)


def test_a_token_that_may_not_open_issues(open_issue, github):
    github.repositories[REPOSITORY].can_write = False
    with pytest.raises(PublishError, match="Resource not accessible") as caught:
        open_issue()
    assert (caught.value.step, caught.value.status) == ("open the issue", 403)
    assert len(github.asked("POST")) == 1


def test_what_is_wrong_with_a_field_is_told(open_issue, github, monkeypatch):
    errors = [{"resource": "Issue", "field": "labels", "code": "invalid"}]
    content = {"message": "Validation Failed", "errors": errors}
    answer = github.answer
    monkeypatch.setattr(
        github,
        "answer",
        lambda asked: Answer.of_json(content, 422) if asked.method == "POST" else answer(asked),
    )
    with pytest.raises(PublishError, match="Validation Failed") as caught:
        open_issue()
    assert "labels: invalid" in str(caught.value)


def test_a_body_that_is_too_long_is_refused_before_anything_is_sent():
    room = LONGEST_BODY - len(NEWS.text) + len(NEWS.body)
    longest = replace(NEWS, body="x" * (room - 1))
    assert len(longest.text) == LONGEST_BODY
    with pytest.raises(ArgumentError, match="at most 65536"):
        replace(NEWS, body="x" * room)
    with pytest.raises(ArgumentError, match="title"):
        replace(NEWS, title=" ")


def test_the_longest_body_is_taken(open_issue):
    room = LONGEST_BODY - len(NEWS.text) + len(NEWS.body)
    assert open_issue(replace(NEWS, body="x" * (room - 1))).number == 1


# Limits and lost answers

SECONDARY = "You have exceeded a secondary rate limit."


SPENT = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1090"}


@pytest.mark.parametrize(
    ("limit", "waits"),
    [
        ((403, {"Retry-After": "7"}, SECONDARY), 7),
        ((429, {"Retry-After": "7"}, ""), 7),
        ((403, {}, SECONDARY), 60),
        ((429, {}, ""), 60),
        ((403, SPENT, "API rate limit exceeded"), 90),
    ],
)
def test_a_limit_is_waited_for(limit, waits, open_issue, github, time, monkeypatch):
    status, headers, message = limit
    monkeypatch.setattr("medmint.publishing.github.time.time", lambda: 1000.0)
    answer, limited = github.answer, []

    def once(asked):
        if asked.method == "POST" and not limited:
            limited.append(asked)
            refusal = Answer.of_json({"message": message}, status)
            refusal.headers |= headers
            return refusal
        return answer(asked)

    monkeypatch.setattr(github, "answer", once)
    assert open_issue().number == 1
    assert [wait for wait in time.waits if wait >= 1] == [waits + 0.5]


def test_a_limit_that_is_too_long_is_told(open_issue, github):
    github.misbehave(Fault("status", 429, retry_after="3600"), "POST")
    with pytest.raises(PublishError, match="asks to wait 3600 s"):
        open_issue()
    assert len(github.asked("POST")) == 1


def test_before_each_repetition_it_is_looked_for(open_issue, github):
    github.misbehave(Fault("status", 502), "POST", always)
    with pytest.raises(PublishError) as caught:
        open_issue()
    assert caught.value.status == 502
    asked = [request.method for request in github.log]
    assert asked == ["GET", "GET", "POST", "GET", "POST", "GET", "POST", "GET"]


@pytest.mark.parametrize("fault", [Fault("done", 502), Fault("lost"), Fault("page")])
def test_an_answer_that_was_lost(fault, open_issue, github):
    github.misbehave(fault, "POST", first)
    assert open_issue().number == 1
    assert len(github.repositories[REPOSITORY].issues) == 1


@pytest.mark.parametrize("kind", ["page", "short", "reset", "unheard", "silent"])
@pytest.mark.parametrize("request_path", ["/repos/owner/models$", "^GET .*/issues$"])
def test_a_question_is_asked_again(kind, request_path, open_issue, github):
    github.misbehave(Fault(kind, seconds=2), request_path, first)
    assert open_issue().number == 1


@pytest.mark.parametrize(
    "content", [None, 7, "text", [], [7], {"message": 7}, [{"body": NEWS.text}]]
)
@pytest.mark.parametrize("status", [200, 400])
def test_answers_of_another_kind_are_typed_errors(content, status, open_issue, github, monkeypatch):
    monkeypatch.setattr(github, "answer", lambda _: Answer.of_json(content, status))
    with pytest.raises(PublishError):
        open_issue()


# Other places


def test_a_repository_that_was_renamed(open_issue, github):
    github.moved["owner/old"] = REPOSITORY
    assert open_issue(github_repository="owner/old").number == 1
    assert len(github.repositories[REPOSITORY].issues) == 1


def test_a_redirect_to_another_server_is_not_followed(open_issue, github):
    answer = Answer(301, b"", {"Location": "https://192.0.2.1/repos/owner/models"})
    github.answer = lambda _: answer
    with pytest.raises(PublishError, match="redirects to another server"):
        open_issue()


def test_a_path_before_the_interface_is_kept(open_issue, github):
    answer = github.answer
    github.answer = lambda asked: answer(
        replace(asked, path=asked.path.removeprefix("/api/v3"))
        if asked.path.startswith("/api/v3/")
        else asked
    )
    assert open_issue(github_url=f"{github.url}/api/v3").number == 1
    assert all(request.path.startswith("/api/v3/repos/") for request in github.log)


@pytest.mark.parametrize(
    ("url", "start"),
    [
        ("https://api.github.com", "https://github.com/owner/models/issues/new?"),
        ("https://git.example/api/v3", "https://git.example/owner/models/issues/new?"),
    ],
)
def test_a_form_for_those_without_a_token(url, start, settings):
    address = issue_form(replace(settings, github_url=url), NEWS)
    assert address.startswith(start)
    fields = parse_qs(urlsplit(address).query)
    assert fields == {"title": ["New model"], "labels": ["model"], "body": [NEWS.text]}


def test_a_form_is_no_longer_than_browsers_take(settings):
    address = issue_form(settings, replace(NEWS, body="x" * 9000))
    assert "body" not in parse_qs(urlsplit(address).query)
    assert issue_form(replace(settings, github_repository=None), NEWS) is None
