"""Settings are read from the environment, and only what is safe is taken."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from medmint.errors import ArgumentError
from medmint.settings import Settings, is_safe_address


def test_without_variables_the_real_services_are_meant():
    settings = Settings.from_environment({})
    assert not settings.offline
    assert settings.catalogue_url is None
    assert settings.github_repository is None
    assert settings.zenodo_url == settings.zenodo_deposit_url == "https://zenodo.org"
    assert settings.github_url == "https://api.github.com"
    assert settings.home.is_absolute()
    assert "medmint" in settings.home.parts


def test_every_variable_is_read():
    settings = Settings.from_environment(
        {
            "MEDMINT_HOME": "~/kept",
            "MEDMINT_OFFLINE": "Yes ",
            "MEDMINT_CATALOGUE_URL": "https://a.example/global.json",
            "MEDMINT_ZENODO_URL": "http://127.0.0.1:8080/",
            "MEDMINT_ZENODO_DEPOSIT_URL": "https://sandbox.example",
            "MEDMINT_GITHUB_URL": "http://localhost:99",
            "MEDMINT_GITHUB_REPOSITORY": "owner/name",
        }
    )
    assert settings == Settings(
        home=Path.home() / "kept",
        offline=True,
        catalogue_url="https://a.example/global.json",
        zenodo_url="http://127.0.0.1:8080",
        zenodo_deposit_url="https://sandbox.example",
        github_url="http://localhost:99",
        github_repository="owner/name",
    )


def test_deposits_go_where_records_are_read():
    settings = Settings.from_environment({"MEDMINT_ZENODO_URL": "https://sandbox.example"})
    assert settings.zenodo_deposit_url == "https://sandbox.example"


@pytest.mark.parametrize("text", ["1", "true", "TRUE", "on", "yes"])
def test_offline_is_switched_on(text):
    assert Settings.from_environment({"MEDMINT_OFFLINE": text}).offline


@pytest.mark.parametrize("text", ["", "0", "false", "No", "off", " "])
def test_offline_is_switched_off(text):
    assert not Settings.from_environment({"MEDMINT_OFFLINE": text}).offline


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MEDMINT_OFFLINE", "maybe"),
        ("MEDMINT_ZENODO_URL", "http://zenodo.org"),
        ("MEDMINT_ZENODO_DEPOSIT_URL", "ftp://zenodo.org"),
        ("MEDMINT_GITHUB_URL", "api.github.com"),
        ("MEDMINT_CATALOGUE_URL", "file:///etc/passwd"),
        ("MEDMINT_CATALOGUE_URL", "http://127.0.0.1.evil.example/"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(name, value):
    with pytest.raises(ArgumentError) as caught:
        Settings.from_environment({name: value})
    assert caught.value.argument == name
    assert caught.value.given.strip("/") == value.strip("/")


@pytest.mark.parametrize(
    ("url", "is_safe"),
    [
        ("https://a.example", True),
        ("http://127.0.0.1:1", True),
        ("http://[::1]:1", True),
        ("http://localhost", True),
        ("http://a.example", False),
        ("http://localhost.example", False),
        ("HTTP://a.example", False),
        ("", False),
    ],
)
def test_plain_http_stays_on_this_machine(url, is_safe):
    assert is_safe_address(url) is is_safe


def test_nothing_is_read_or_made_before_it_is_asked_for(tmp_path):
    code = (
        "import medmint.settings as s; s.Settings.from_environment(); print(s.Settings.__slots__)"
    )
    environment = {**os.environ, "MEDMINT_HOME": str(tmp_path / "home")}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, capture_output=True)
    assert list(tmp_path.iterdir()) == []
    broken = {**os.environ, "MEDMINT_OFFLINE": "maybe"}
    subprocess.run([sys.executable, "-c", "import medmint.settings"], check=True, env=broken)
