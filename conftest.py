"""What holds for every test and doctest: no home folder, no tokens, nothing leaves this machine."""

from __future__ import annotations

import ipaddress
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from medmint.settings import Settings

_TOKENS = frozenset(
    {"ZENODO_ACCESS_TOKEN", "ZENODO_SANDBOX_ACCESS_TOKEN", "GITHUB_TOKEN", "GH_TOKEN"}
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return settings with a home below the folder of this test; the home itself is not made."""
    return Settings(home=tmp_path / "medmint-home")


@pytest.fixture(autouse=True)
def clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no setting, token or proxy of the user in, and nothing out into the home folder."""
    for name in list(os.environ):
        if name.startswith("MEDMINT_") or name in _TOKENS or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MEDMINT_HOME", str(tmp_path / "medmint-home"))


@pytest.fixture(autouse=True)
def only_this_machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse connections and name look-ups that leave the machine, except in network tests."""
    if request.node.get_closest_marker("network"):
        return
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def guarded_connect(self: socket.socket, address: Any) -> None:
        # Addresses of other families, such as paths of Unix sockets, cannot leave the machine.
        if self.family in (socket.AF_INET, socket.AF_INET6):
            _refuse_foreign(address[0])
        connect(self, address)

    def guarded_look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        _refuse_foreign(host)
        return look_up(host, *args, **kwargs)

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_look_up)


def _refuse_foreign(host: str | bytes | None) -> None:
    name = host.decode() if isinstance(host, bytes) else host or "localhost"
    if name == "localhost" or _is_loopback(name):
        return
    pytest.fail(f"This test tried to reach {name}; tests stay on this machine.")


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
