import socket
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medmint.errors import ArgumentError, DownloadError, OfflineError
from medmint.settings import Settings
from medmint.transport import (
    PROGRESS,
    Bearer,
    Client,
    Effort,
    Patience,
    TransportError,
    check_address,
    read,
    redact,
    redirected,
    scrub,
)
from tests.fakes.faults import Answer, Fault, always, first, http_date
from tests.fakes.server import StandIn
from tests.fakes.virtual_time import VirtualTime

SECRET = "s3cret-value"


class Service(StandIn):
    """Answers with what it was asked; ``/to/URL`` redirects."""

    def answer(self, request):
        if request.path.startswith("/to/"):
            return Answer(302, b"", {"Location": request.path.removeprefix("/to/")})
        return Answer.of_json({"path": request.path})


@pytest.fixture
def service():
    with Service() as running:
        yield running


@pytest.fixture
def time():
    return VirtualTime()


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path)


@pytest.fixture
def client(settings, time):
    with Client(settings, patience=time.patience()) as made:
        yield made


def chain_of(error):
    found = [error]
    while found[-1].__context__ is not None:
        found.append(found[-1].__context__)
    return " ".join(f"{link} {link!r} {link.args} {vars(link)}" for link in found)


def test_it_says_who_asks_and_asks_for_plain_bytes(client, service):
    client.get_json(service.url)
    headers = service.log[0].headers
    assert headers["user-agent"].startswith("medmint/")
    assert headers["accept-encoding"] == "identity"
    assert headers["accept"] == "application/json"


def test_offline_opens_no_socket(tmp_path, monkeypatch):
    def refuse(*_args, **_more):
        pytest.fail("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    with (
        Client(Settings(home=tmp_path, offline=True)) as client,
        pytest.raises(OfflineError, match="MEDMINT_OFFLINE"),
    ):
        client.get_json("https://zenodo.org/api/records/1?x=1")


def test_a_token_goes_to_its_own_host_alone(settings, service):
    with Client(settings, token=Bearer(SECRET)) as client:
        client.get_json(f"{service.url}/to/{service.url}/same")
        client.get_json(f"{service.url}/to/{service.other_url}/other")
    shown = [(request.path, "authorization" in request.headers) for request in service.log]
    assert [is_shown for path, is_shown in shown if path == "/other"] == [False]
    assert [is_shown for path, is_shown in shown if path == "/same"] == [True]
    assert SECRET not in repr(client.__dict__)


def test_credentials_of_netrc_are_not_used(client, service, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text(f"machine 127.0.0.1 login jane password {SECRET}\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    client.get_json(service.url)
    assert "authorization" not in service.log[0].headers


@pytest.mark.parametrize("hops", [5, 6])
def test_redirects_are_limited(client, service, hops):
    url = "/to/" * hops + service.url
    if hops == 5:
        assert client.get_json(service.url + url)["path"] == "/"
        return
    with pytest.raises(DownloadError, match="redirects more than 5 times"):
        client.get_json(service.url + url)
    assert len(service.log) == 6


@pytest.mark.parametrize(
    "location", ["http://192.0.2.1/x", "ftp://127.0.0.1/x", "file:///etc/passwd", "https://a:b@c/"]
)
def test_redirects_to_unsafe_addresses_are_refused(client, service, location):
    with pytest.raises(DownloadError, match="not safe") as caught:
        client.get_json(f"{service.url}/to/{location}")
    assert caught.value.attempts == 1


def test_https_never_becomes_http_not_even_on_this_machine():
    assert redirected("http://127.0.0.1:1/a", "http://127.0.0.1:2/b") == "http://127.0.0.1:2/b"
    with pytest.raises(ArgumentError):
        redirected("https://zenodo.org/a", "http://127.0.0.1/b")


def test_uploads_are_not_redirected(client, service):
    with pytest.raises(TransportError, match="redirects an upload"):
        client.request("POST", f"{service.url}/to/{service.url}/x", body=b"{}")


@pytest.mark.parametrize(
    ("status", "header", "waits"),
    [
        (429, "7", [7.5]),
        (503, "7", [7.5]),
        (429, None, [0.5]),
        (429, "-3", [0.5]),
        (429, "soon", [0.5]),
        (500, "7", [0.5]),
        (408, "7", [0.5]),
    ],
)
def test_retry_after_counts_with_429_and_503_alone(client, service, time, status, header, waits):
    service.misbehave(Fault("status", status, retry_after=header), when=first)
    assert client.get_json(service.url) == {"path": "/"}
    assert time.waits == waits


def test_retry_after_may_be_a_date_by_the_clock_of_the_server(client, service, time):
    service.misbehave(Fault("status", 503, retry_after=http_date(40)), when=first)
    client.get_json(service.url)
    assert time.waits[0] == pytest.approx(40.5, abs=1.1)


def test_retry_after_in_the_past_means_now(client, service, time):
    past = formatdate(0, usegmt=True)
    service.misbehave(Fault("status", 429, retry_after=past), when=first)
    client.get_json(service.url)
    assert time.waits == [0.5]


def test_a_wait_beyond_the_time_left_is_not_begun(client, service, time):
    service.misbehave(Fault("status", 429, retry_after="86400"))
    with pytest.raises(DownloadError, match="asks to wait 86400 s") as caught:
        client.get_json(service.url)
    assert time.waits == []
    assert caught.value.status == 429


def test_waits_grow_to_their_limit(settings, service, time):
    service.misbehave(Fault("status", 500), when=always)
    patience = time.patience(first_wait=2.0, longest_wait=10.0, tries=6)
    with (
        Client(settings, patience=patience) as client,
        pytest.raises(DownloadError, match="after 6 attempts"),
    ):
        client.get_json(service.url)
    assert time.waits == [1.0, 2.0, 4.0, 5.0, 5.0]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 407, 410, 415, 501])
def test_what_will_not_get_better_is_asked_once(client, service, status):
    service.misbehave(Fault("status", status))
    with pytest.raises(DownloadError) as caught:
        client.get_json(service.url)
    assert (caught.value.status, len(service.log)) == (status, 1)


def test_the_message_of_the_server_is_passed_on_without_secrets(client, service):
    class Talkative(Service):
        def answer(self, request):
            return Answer.of_json({"message": f"no such token=abc, Bearer {SECRET}"}, 400)

    with Talkative() as talkative, pytest.raises(DownloadError, match="no such") as caught:
        client.get_json(talkative.url)
    assert SECRET not in chain_of(caught.value)


def test_addresses_in_errors_have_no_query(settings, time):
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with (
        Client(settings, patience=time.patience(tries=2)) as client,
        pytest.raises(DownloadError, match="no connection") as caught,
    ):
        client.get_json(f"http://127.0.0.1:{port}/x?key={SECRET}")
    assert caught.value.url == f"http://127.0.0.1:{port}/x"
    assert SECRET not in chain_of(caught.value)


def test_a_proxy_that_wants_credentials_is_named(client, service, monkeypatch):
    service.misbehave(Fault("status", 407))
    monkeypatch.setenv("https_proxy", service.url)
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(DownloadError, match=r"proxy wants credentials \(407\).*HTTPS_PROXY"):
        client.get_json("https://192.0.2.1/x")


def test_silence_ends_a_try(settings, service, time):
    service.misbehave(Fault("stall", at=3), when=first)
    with Client(settings, patience=time.patience(read=0.1)) as client:
        assert client.get_json(service.url) == {"path": "/"}
    assert len(service.log) == 2


def test_what_is_not_json_is_asked_for_again(client, service):
    service.misbehave(Fault("page"), when=first)
    assert client.get_json(service.url) == {"path": "/"}


def test_read_returns_bytes_as_they_come(client, service):
    class Large(Service):
        def answer(self, request):
            return Answer(200, bytes(10_000), has_length=False)

    with Large() as large, client.request("GET", large.url) as answer:
        chunks = list(iter(lambda: read(answer, 4096), b""))
    assert b"".join(chunks) == bytes(10_000)
    assert max(map(len, chunks)) <= 4096


@pytest.mark.parametrize(
    "url",
    [
        "https://jane:pw@zenodo.org/x",
        "https://jane@zenodo.org/x",
        "https://zenodo.org/x?access_token=abc",
        "https://zenodo.org/x?a=1&TOKEN=abc",
        "https://zenodo.org/x?X-Amz-Signature=abc",
    ],
)
def test_secrets_in_addresses_are_refused_and_not_repeated(url):
    with pytest.raises(ArgumentError, match="without user name, password or token") as caught:
        check_address("source", url)
    assert not {"jane", "pw", "abc"} & set(caught.value.message.replace("'", " ").split("/"))


@pytest.mark.parametrize(
    "url",
    [
        "http://zenodo.org/x",
        "ftp://zenodo.org",
        "file:///x",
        "zenodo.org",
        "",
        "https://",
        "https://[/",
        "https://zenodo.org:99999/x",
        "https://zenodo.org:x/",
        "https://zenodo.org:0/",
    ],
)
def test_other_addresses_than_https_are_refused(url):
    with pytest.raises(ArgumentError, match="https"):
        check_address("source", url)


def test_tokens_of_known_form_are_scrubbed():
    text = "ghp_abcDEF123 github_pat_11AA hf_xyz access_token=t1&x Bearer t2"
    assert not {"ghp_abcDEF123", "t1", "t2", "hf_xyz"} & set(scrub(text).split())


@given(st.text(alphabet="abc", min_size=1), st.text(alphabet="xyz", min_size=1))
def test_redaction_keeps_the_path_and_drops_the_rest(user, value):
    url = f"https://{user}:{value}@zenodo.org/records/1?token={value}#{value}"
    assert redact(url) == "https://zenodo.org/records/1"


@given(
    st.lists(st.sampled_from([0, 10, PROGRESS]), min_size=1, max_size=40),
    st.floats(0, 1, exclude_max=True),
)
def test_an_effort_ends_and_waits_within_its_bounds(gains, draw):
    time = VirtualTime()
    patience = Patience(
        tries=4, total=100, longest_wait=8, clock=time.clock, sleep=time.sleep, draw=lambda: draw
    )
    effort, misses = Effort("https://zenodo.org/x", patience), 0
    for gain in gains:
        effort.credit(gain)
        misses = 1 if gain >= PROGRESS else misses + 1
        failure = TransportError("https://zenodo.org/x", "it broke off", transient=True)
        if misses == 4:
            with pytest.raises(DownloadError):
                effort.fail(failure)
            return
        effort.fail(failure)
        assert time.waits[-1] <= min(8.0, 2.0 ** (misses - 1))


def test_an_effort_without_progress_ends_in_time(time):
    effort = Effort("https://zenodo.org/x", time.patience(total=50, slowest=100))
    effort.credit(1000)
    time.now += 59
    effort.credit(0)
    time.now += 2
    with pytest.raises(TransportError, match="took too long"):
        effort.credit(0)


def test_an_answer_without_end_is_not_read_for_ever(client):
    class Endless(Service):
        def answer(self, request):
            return Answer(200, bytes(17 << 20))

    with Endless() as endless, pytest.raises(DownloadError, match="larger than"):
        client.get_json(endless.url)


def test_a_body_is_sent(client):
    class Echo(Service):
        def answer(self, request):
            return Answer(201, request.body)

    with Echo() as echo, client.request("PUT", echo.url, body=b"bytes") as answer:
        assert (answer.status_code, read(answer, 99)) == (201, b"bytes")
