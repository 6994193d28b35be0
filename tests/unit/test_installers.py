"""What uv and pip are told: the user's sources, and nothing that leads elsewhere."""

import os

import pytest

from medmint.packages.environments import installers
from medmint.packages.environments.installers import (
    PipInstaller,
    UvInstaller,
    find_installer,
    pip_environment,
    uv_environment,
    uv_source_arguments,
)


@pytest.fixture(autouse=True)
def clean(monkeypatch, tmp_path):
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_", "SSL_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path / "system"))


def _pip_file(monkeypatch, tmp_path, text):
    path = tmp_path / "pip.conf"
    path.write_text(text)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(path))


def test_sources_of_the_pip_file_reach_both(monkeypatch, tmp_path):
    _pip_file(
        monkeypatch,
        tmp_path,
        "[global]\nindex-url = https://mirror/simple\ncert = /etc/ca.pem\ntimeout = 7\n"
        "[install]\nextra-index-url =\n  https://one/simple\n  https://two/simple\n",
    )
    pip, uv = pip_environment(), uv_environment()
    assert pip["PIP_INDEX_URL"] == uv["UV_DEFAULT_INDEX"] == "https://mirror/simple"
    assert pip["PIP_EXTRA_INDEX_URL"] == uv["UV_INDEX"] == "https://one/simple https://two/simple"
    assert pip["PIP_CERT"] == uv["SSL_CERT_FILE"] == "/etc/ca.pem"
    assert uv["UV_HTTP_TIMEOUT"] == "7"
    assert pip["PIP_CONFIG_FILE"] == os.devnull


def test_variable_wins_over_the_file(monkeypatch, tmp_path):
    _pip_file(monkeypatch, tmp_path, "[install]\nindex-url = https://file/simple\n")
    monkeypatch.setenv("PIP_INDEX_URL", "https://variable/simple")
    assert pip_environment()["PIP_INDEX_URL"] == "https://variable/simple"


def test_file_of_the_user_is_read(tmp_path):
    folder = tmp_path / "config" / "pip"
    folder.mkdir(parents=True)
    (folder / "pip.conf").write_text("[global]\nno-index = true\nfind-links = /wheels /more\n")
    assert uv_source_arguments() == ["--find-links=/wheels", "--find-links=/more", "--no-index"]


def test_broken_file_is_passed_over(monkeypatch, tmp_path):
    _pip_file(monkeypatch, tmp_path, "index-url = https://no.section/\n")
    assert "no.section" not in str(pip_environment().get("PIP_INDEX_URL"))


def test_relative_folders_are_made_absolute(monkeypatch, tmp_path):
    (tmp_path / "wheels").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PIP_FIND_LINKS", "wheels https://wheels/")
    expected = f"{tmp_path / 'wheels'} https://wheels/"
    assert pip_environment()["PIP_FIND_LINKS"] == expected


@pytest.mark.parametrize("name", ["PIP_USER", "PIP_TARGET", "PIP_PREFIX", "UV_SYSTEM_PYTHON"])
def test_settings_that_lead_elsewhere_are_held_back(monkeypatch, name):
    monkeypatch.setenv(name, "1")
    assert name not in pip_environment()
    assert name not in uv_environment()


@pytest.mark.parametrize("name", ["ZENODO_ACCESS_TOKEN", "GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY"])
def test_tokens_are_held_back(monkeypatch, name):
    monkeypatch.setenv(name, "canary")
    assert "canary" not in pip_environment().values()
    assert "canary" not in uv_environment().values()


def test_what_uv_is_told_itself_wins_over_pip(monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "https://pip/simple")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://uv/simple")
    monkeypatch.setenv("UV_INDEX_MIRROR_PASSWORD", "kept")
    environment = uv_environment()
    assert environment["UV_DEFAULT_INDEX"] == "https://uv/simple"
    assert environment["UV_INDEX_MIRROR_PASSWORD"] == "kept"
    assert uv_source_arguments() == []


@pytest.mark.parametrize(("text", "speaks"), [("[[index]]\n", True), ("offline = true\n", False)])
def test_settings_file_of_uv_wins_where_it_names_sources(monkeypatch, tmp_path, text, speaks):
    monkeypatch.setenv("PIP_INDEX_URL", "https://pip/simple")
    folder = tmp_path / "config" / "uv"
    folder.mkdir(parents=True)
    (folder / "uv.toml").write_text(text)
    assert ("UV_DEFAULT_INDEX" not in uv_environment()) == speaks


def test_uv_is_preferred_and_pip_is_always_there(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(installers.sys.modules, "uv", None)
    assert isinstance(find_installer(), PipInstaller)
    program = tmp_path / "uv"
    program.touch(mode=0o755)
    assert isinstance(find_installer(), UvInstaller)
