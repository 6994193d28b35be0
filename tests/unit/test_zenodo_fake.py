"""The stand-in behaves as the documented and observed Zenodo does."""

import hashlib
import io
import struct
import zipfile

import pytest
import requests

from tests.fakes.faults import Fault, every_second, first
from tests.fakes.zenodo import Zenodo

BODY = b"PK" + bytes(range(256)) * 200


@pytest.fixture
def zenodo():
    with Zenodo() as running:
        yield running


@pytest.fixture
def record(zenodo):
    return zenodo.add_record({"a b.zip": BODY, "LICENSE": b"MIT"}, number=7031735, concept=5187713)


def get(url, **how):
    how = {"allow_redirects": False, "timeout": 5, "headers": {}} | how
    return requests.get(url, **how)


def test_old_links_are_moved_and_lose_their_query(zenodo, record):
    answer = get(f"{zenodo.url}/record/7031735/files/a%20b.zip?download=1")
    assert answer.status_code == 301
    assert answer.headers["Location"] == f"{zenodo.url}/records/7031735/files/a%20b.zip"
    assert get(f"{zenodo.url}/record/7031735").headers["Location"].endswith("/records/7031735")


def test_files_have_the_headers_that_were_observed(zenodo, record):
    url = f"{zenodo.url}/records/7031735/files/a%20b.zip"
    answer = get(f"{url}?download=1")
    assert (answer.status_code, answer.content) == (200, BODY)
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert answer.headers["ETag"] == f'"md5:{hashlib.md5(BODY).hexdigest()}"'
    head = requests.head(url, timeout=5)
    assert head.headers["Content-Length"] == str(len(BODY))
    assert "Accept-Ranges" not in head.headers


def test_ranges_are_served(zenodo, record):
    url = f"{zenodo.url}/api/records/7031735/files/a%20b.zip/content"
    part = get(url, headers={"Range": "bytes=100-"})
    assert (part.status_code, part.content) == (206, BODY[100:])
    assert part.headers["Content-Range"] == f"bytes 100-{len(BODY) - 1}/{len(BODY)}"
    beyond = get(url, headers={"Range": f"bytes={len(BODY)}-"})
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, f"bytes */{len(BODY)}")
    other = get(url, headers={"Range": "bytes=100-", "If-Range": '"md5:other"'})
    assert (other.status_code, other.content) == (200, BODY)


def test_a_record_is_described(zenodo, record):
    found = get(f"{zenodo.url}/api/records/7031735").json()
    assert (found["id"], found["recid"], found["conceptrecid"]) == (7031735, "7031735", "5187713")
    assert found["doi"] == "10.5281/zenodo.7031735"
    file = found["files"][0]
    assert (file["key"], file["size"]) == ("a b.zip", len(BODY))
    assert file["checksum"] == f"md5:{hashlib.md5(BODY).hexdigest()}"
    assert get(file["links"]["self"]).content == BODY
    entry = get(f"{zenodo.url}/api/records/7031735/files").json()["entries"][0]
    assert get(entry["links"]["self"]).json() == entry
    assert get(entry["links"]["content"]).content == BODY


def test_a_concept_leads_to_its_newest_version(zenodo, record):
    newer = zenodo.add_record({"a b.zip": BODY}, number=8000000, concept=5187713)
    moved = get(f"{zenodo.url}/api/records/5187713")
    assert (moved.status_code, moved.headers["Location"][-7:]) == (302, str(newer.number))
    latest = get(f"{zenodo.url}/api/records/7031735/versions/latest")
    assert (latest.status_code, latest.json()["status"]) == (301, 301)
    lost = get(f"{zenodo.url}/records/5187713/files/a%20b.zip")
    assert lost.headers["Location"] == f"{zenodo.url}/records/8000000"
    zenodo.concept_answers = 404
    assert get(f"{zenodo.url}/api/records/5187713").status_code == 404


def test_a_restricted_record_shows_no_files(zenodo):
    secret = zenodo.add_record({"a.zip": BODY}, restricted=True)
    assert get(f"{zenodo.url}/api/records/{secret.number}").json()["files"] == []
    content = get(f"{zenodo.url}/api/records/{secret.number}/files/a.zip/content")
    assert (content.status_code, content.json()["message"]) == (403, "Permission denied.")


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/api/records/1", 404, "The persistent identifier does not exist."),
        ("/api/records/7031735/files/x", 404, "Record '7031735' has no file 'x'."),
        ("/api/records?size=26", 400, "Invalid querystring parameters."),
        ("/nowhere", 404, "The requested URL was not found on the server."),
    ],
)
def test_errors_are_json(zenodo, record, path, status, message):
    answer = get(zenodo.url + path)
    assert (answer.status_code, answer.json()) == (status, {"status": status, "message": message})


def test_a_deleted_record_is_gone(zenodo, record):
    record.deleted = True
    answer = get(f"{zenodo.url}/api/records/7031735")
    assert (answer.status_code, "tombstone" in answer.json()) == (410, True)


def test_records_are_found(zenodo, record):
    zenodo.add_record({"a b.zip": BODY}, number=8000000, concept=5187713)
    assert get(f"{zenodo.url}/api/records/?q=model").status_code == 301
    found = get(f"{zenodo.url}/api/records?q=model&size=1").json()["hits"]
    assert (found["total"], [hit["id"] for hit in found["hits"]]) == (1, [8000000])
    assert get(f"{zenodo.url}/api/records?all_versions=true").json()["hits"]["total"] == 2


def test_all_files_come_as_one_archive_without_length(zenodo, record):
    answer = get(f"{zenodo.url}/api/records/7031735/files-archive")
    assert "Content-Length" not in answer.headers
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.read("LICENSE") == b"MIT"
        assert archive.getinfo("a b.zip").compress_type == zipfile.ZIP_STORED


def test_every_answer_tells_the_rate_limit(zenodo, record):
    for path in ("/api/records/7031735", "/records/7031735/files/LICENSE", "/nowhere"):
        assert {"X-RateLimit-Limit", "Retry-After"} <= set(get(zenodo.url + path).headers)


def test_the_limit_is_a_moving_window_per_client(zenodo, record):
    now = [0.0]
    zenodo.limit(2, 60.0, lambda: now[0])
    url = f"{zenodo.url}/api/records/7031735"
    assert [get(url).status_code for _ in range(3)] == [200, 200, 429]
    assert get(url, headers={"User-Agent": "another"}).status_code == 200
    assert int(get(url).headers["Retry-After"]) > 59
    now[0] = 61
    assert get(url).status_code == 200


def test_the_log_counts_what_was_sent(zenodo, record):
    get(f"{zenodo.url}/records/7031735/files/LICENSE?download=1", headers={"X-Who": "me"})
    request = zenodo.asked("LICENSE")[0]
    assert (request.method, request.status, request.sent) == ("GET", 200, 3)
    assert (request.query, request.headers["x-who"]) == ({"download": "1"}, "me")


def test_both_ports_answer(zenodo, record):
    get(f"{zenodo.other_url}/api/records/7031735")
    assert zenodo.other_url.endswith(f":{zenodo.log[0].port}")


def test_faults_strike_when_they_are_told_to(zenodo, record):
    zenodo.misbehave(Fault("status", 502), "LICENSE", every_second)
    url = f"{zenodo.url}/records/7031735/files/LICENSE"
    assert [get(url).status_code for _ in range(3)] == [502, 200, 502]
    assert get(f"{zenodo.url}/api/records/7031735").status_code == 200
    zenodo.behave()
    assert get(url).status_code == 200


BROKEN = requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError


@pytest.mark.parametrize("fault", [Fault("reset", at=1), Fault("short"), Fault("stall", at=1)])
def test_connections_break(zenodo, record, fault):
    zenodo.misbehave(fault, when=first)
    with pytest.raises(BROKEN):
        get(f"{zenodo.url}/records/7031735/files/LICENSE", timeout=0.2)


def test_wrong_bytes_have_the_right_length(zenodo, record):
    zenodo.misbehave(Fault("corrupt"))
    found = get(f"{zenodo.url}/records/7031735/files/a%20b.zip").content
    assert len(found) == len(BODY)
    assert sum(a != b for a, b in zip(found, BODY, strict=True)) == 1


def test_blocked_clients_get_720_octets(zenodo, record):
    zenodo.misbehave(Fault("blocked", 403))
    answer = get(f"{zenodo.url}/records/7031735/files/LICENSE")
    assert (answer.status_code, len(answer.content)) == (403, 720)
    assert answer.headers["Content-Type"] == "application/octet-stream"


def test_gzip_and_chunks(zenodo, record):
    url = f"{zenodo.url}/records/7031735/files/LICENSE"
    zenodo.misbehave(Fault("gzip"), when=first)
    zenodo.misbehave(Fault("chunked"))
    assert get(url).headers["Content-Encoding"] == "gzip"
    assert "Content-Length" not in get(url).headers


def test_the_bodies_of_files_may_be_on_disk(zenodo, tmp_path):
    path = tmp_path / "large.zip"
    path.write_bytes(struct.pack("<I", 7) * 1000)
    record = zenodo.add_record({"large.zip": path})
    url = f"{zenodo.url}/records/{record.number}/files/large.zip"
    assert get(url).content == path.read_bytes()
    assert get(url, headers={"Range": "bytes=3990-"}).content == path.read_bytes()[3990:]
