"""The stand-ins for depositing and for issues behave as the real services are known to."""

import hashlib

import pytest
import requests

from tests.fakes import deposits, github
from tests.fakes.deposits import ACTIONS, WRITE, DepositZenodo
from tests.fakes.github import GitHub

BODY = b"PK\x03\x04 a package"
METADATA = {
    "title": "A model",
    "upload_type": "software",
    "description": "<p>A model.</p>",
    "creators": [{"name": "Doe, Jane", "orcid": "0000-0002-1825-0097"}],
    "publication_date": "2026-01-02",
    "license": "mit",
}


@pytest.fixture
def zenodo():
    with DepositZenodo() as server:
        yield server


@pytest.fixture
def ask(zenodo):
    """Return a function that asks with the token; paths are below the depositions."""

    def call(method, path="", *, token=deposits.TOKEN, **how):
        url = path if "://" in path else f"{zenodo.url}/api/deposit/depositions{path}"
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return requests.request(
            method, url, headers=headers | how.pop("headers", {}), timeout=5, **how
        )

    return call


@pytest.fixture
def draft(ask):
    return ask("POST", json={"metadata": METADATA}).json()


def test_a_draft_is_described_as_zenodo_does(draft, ask, zenodo):
    number = draft["id"]
    assert (type(number), draft["record_id"]) == (int, number)
    assert (draft["state"], draft["submitted"], draft["files"]) == ("unsubmitted", False, [])
    doi = {"doi": f"10.5281/zenodo.{number}", "recid": number}
    assert draft["metadata"]["prereserve_doi"] == doi
    assert not {"doi", "doi_url", "conceptdoi"} & set(draft)
    assert not {"record", "record_html"} & set(draft["links"])
    assert ask("GET", f"/{number}").json() == draft
    assert ask("GET").json() == [draft]
    assert requests.get(f"{zenodo.url}/api/records/{number}", timeout=5).status_code == 404


def test_the_way_from_a_draft_to_a_record(draft, ask, zenodo):
    number = draft["id"]
    stored = ask("PUT", f"{draft['links']['bucket']}/m.zip", data=BODY)
    assert stored.status_code == 201
    assert stored.json()["checksum"] == f"md5:{hashlib.md5(BODY).hexdigest()}"
    assert (stored.json()["key"], stored.json()["size"]) == ("m.zip", len(BODY))
    (file,) = ask("GET", f"/{number}").json()["files"]
    assert (file["filename"], file["filesize"]) == ("m.zip", len(BODY))
    assert file["checksum"] == hashlib.md5(BODY).hexdigest()
    answer = ask("POST", f"/{number}/actions/publish")
    published = answer.json()
    assert (answer.status_code, published["state"], published["submitted"]) == (202, "done", True)
    assert published["links"]["record_html"] == f"{zenodo.url}/records/{number}"
    record = requests.get(f"{zenodo.url}/api/records/{number}", timeout=5).json()
    assert (record["doi"], record["title"]) == (published["doi"], "A model")
    assert requests.get(record["files"][0]["links"]["self"], timeout=5).content == BODY


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/{0}/actions/publish", 404),
        ("PUT", "/{0}", 404),
        ("DELETE", "/{0}", 404),
        ("PUT", "{1}/other.zip", 403),
        ("DELETE", "{1}/m.zip", 403),
        ("GET", "/{0}", 200),
        ("POST", "/{0}/actions/edit", 201),
    ],
)
def test_what_is_published_stays(method, path, status, draft, ask, zenodo):
    bucket = draft["links"]["bucket"]
    ask("PUT", f"{bucket}/m.zip", data=BODY)
    ask("POST", f"/{draft['id']}/actions/publish")
    json = {"json": {}} if path == "/{0}" and method == "PUT" else {}
    data = {"data": BODY} if "other" in path else {}
    assert ask(method, path.format(draft["id"], bucket), **json, **data).status_code == status
    assert zenodo.published == [draft["id"]]
    assert zenodo.in_vain == [draft["id"]] * path.endswith("publish")


def test_a_newer_version_has_the_files_and_no_date(draft, ask):
    ask("PUT", f"{draft['links']['bucket']}/m.zip", data=BODY)
    ask("POST", f"/{draft['id']}/actions/publish")
    newer = ask("POST", f"/{draft['id']}/actions/newversion")
    found = newer.json()
    assert (newer.status_code, found["conceptrecid"]) == (201, draft["conceptrecid"])
    assert [file["filename"] for file in found["files"]] == ["m.zip"]
    assert "publication_date" not in found["metadata"]
    assert ask("POST", f"/{found['id']}/actions/publish").status_code == 400
    assert ask("POST", f"/{draft['id']}/actions/newversion").json()["id"] == found["id"]


def test_a_deleted_draft_is_gone(draft, ask):
    assert ask("DELETE", f"/{draft['id']}").status_code == 204
    assert ask("GET", f"/{draft['id']}").status_code == 404


@pytest.mark.parametrize(
    ("how", "status", "words"),
    [
        ({"json": {"files": []}}, 400, "validation error"),
        ({"data": b"{", "headers": {"Content-Type": "application/json"}}, 400, "decode JSON"),
        ({"data": b"{}", "headers": {"Content-Type": "text/plain"}}, 415, "Content-Type"),
        ({"json": {"metadata": {"license": "mine"}}}, 400, "Invalid license"),
        ({"json": {}, "token": None}, 403, "Permission denied"),
        ({"json": {}, "token": "other"}, 403, "Permission denied"),
    ],
)
def test_what_is_refused(how, status, words, ask, zenodo):
    answer = ask("POST", **how)
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert words in answer.text
    assert zenodo.drafts == {}


def test_scopes_are_two(draft, ask, zenodo):
    zenodo.tokens[deposits.TOKEN] = {WRITE}
    assert ask("POST", f"/{draft['id']}/actions/publish").status_code == 403
    zenodo.tokens[deposits.TOKEN] = {ACTIONS}
    assert ask("POST", json={}).status_code == 403


def test_a_draft_without_what_is_needed_is_not_published(ask, zenodo):
    number = ask("POST", json={}).json()["id"]
    answer = ask("POST", f"/{number}/actions/publish")
    fields = {error["field"] for error in answer.json()["errors"]}
    assert {"metadata.title", "metadata.creators", "files.enabled"} <= fields
    assert zenodo.published == []


@pytest.mark.parametrize("path", ["/files", "/files/x"])
def test_files_are_not_sorted_or_renamed(path, draft, ask):
    assert ask("PUT", f"/{draft['id']}{path}", json=[]).status_code == 405


@pytest.fixture
def hub():
    with GitHub() as server:
        server.add_repository("owner/models")
        yield server


@pytest.fixture
def ask_hub(hub):
    def call(method, path, *, token=github.TOKEN, **how):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return requests.request(
            method, hub.url + path, headers=headers | how.pop("headers", {}), timeout=5, **how
        )

    return call


def test_an_issue_is_opened_and_listed(ask_hub):
    content = {"title": "A", "body": "B", "labels": ["x"], "assignees": ["y"]}
    opened = ask_hub("POST", "/repos/owner/models/issues", json=content)
    assert (opened.status_code, opened.json()["number"]) == (201, 1)
    assert opened.headers["Location"] == opened.json()["url"]
    assert ask_hub("GET", "/repos/owner/models/issues").json() == [opened.json()]
    assert ask_hub("GET", "/repos/owner/models/issues/1").json() == opened.json()
    said = ask_hub("POST", "/repos/owner/models/issues/1/comments", json={"body": "well"})
    assert said.status_code == 201


def test_labels_are_dropped_without_a_word(hub, ask_hub):
    hub.repositories["owner/models"].can_push = False
    content = {"title": "A", "labels": ["x"], "assignees": ["y"]}
    opened = ask_hub("POST", "/repos/owner/models/issues", json=content)
    assert (opened.status_code, opened.json()["labels"], opened.json()["assignees"]) == (
        201,
        [],
        [],
    )


@pytest.mark.parametrize(
    ("method", "path", "how", "status"),
    [
        ("GET", "/repos/owner/models", {"token": "x"}, 401),
        ("GET", "/repos/owner/models", {"headers": {"User-Agent": ""}}, 403),
        ("GET", "/repos/owner/models", {"headers": {"X-GitHub-Api-Version": "1999"}}, 400),
        ("GET", "/repos/owner/other", {}, 404),
        ("GET", "/repos/owner/models/", {}, 404),
        ("POST", "/repos/owner/models/issues", {"json": {}}, 422),
        ("POST", "/repos/owner/models/issues", {"json": {"title": "A", "body": "x" * 65_537}}, 422),
        ("POST", "/repos/owner/models/issues", {"json": []}, 400),
        ("POST", "/repos/owner/models/issues", {"data": b"{"}, 400),
    ],
)
def test_what_github_refuses(method, path, how, status, ask_hub):
    answer = ask_hub(method, path, **how)
    assert answer.status_code == status
    assert answer.json()["message"]
    assert "Retry-After" not in answer.headers


def test_a_repository_without_issues_says_gone(hub, ask_hub):
    hub.repositories["owner/models"].has_issues = False
    assert ask_hub("GET", "/repos/owner/models/issues").status_code == 410
    assert ask_hub("GET", "/repos/owner/models").json()["has_issues"] is False
