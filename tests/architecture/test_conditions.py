"""The conditions that conftest.py promises to every test."""

import os
import socket
from pathlib import Path

import pytest
import requests

from medmint.settings import Settings


@pytest.mark.parametrize("address", [("192.0.2.1", 80), ("medmint.example", 443)])
def test_foreign_addresses_are_refused(address):
    with pytest.raises(pytest.fail.Exception, match="stay on this machine"):
        socket.create_connection(address, timeout=1)


def test_requests_cannot_leave_the_machine_either():
    with pytest.raises(pytest.fail.Exception, match=r"192\.0\.2\.1"):
        requests.get("http://192.0.2.1/", timeout=1)


def test_loopback_is_allowed():
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
        server.accept()[0] as accepted,
    ):
        client.sendall(b"mint")
        assert accepted.recv(4) == b"mint"


def test_home_is_below_the_folder_of_the_test(tmp_path: Path, settings: Settings):
    assert Settings.from_environment() == settings
    assert settings.home.is_relative_to(tmp_path)
    assert not settings.home.exists()


def test_tokens_are_gone():
    assert not {"ZENODO_ACCESS_TOKEN", "GITHUB_TOKEN"} & set(os.environ)
