"""Private environments: found, explained, refused. Building them is in tests/reliability."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from medmint.errors import DependencyError, OfflineError, WriterError
from medmint.packages.environments.building import build_environment, explain, find_environment
from medmint.packages.environments.installers import PipInstaller, packages_folder
from medmint.packages.environments.interpreters import package_folders
from medmint.packages.environments.requirements import check_requirements, dependency_error
from medmint.packages.environments.store import (
    clear_abandoned_builds,
    list_environments,
    read_environment,
    remove_environment,
)
from medmint.processes import machine
from medmint.settings import Settings
from tests.fakes.wheels import make_wheel, use_wheels

MODEL = "00001_ONE"
ABSENT = ["medmint_fake>=1", "numpy"]


class _NeverAsked:
    """An installer that may not be needed."""

    name = "never"

    def create(self, folder, scratch):
        raise AssertionError("an installer was started")

    install = create


class _Failing(PipInstaller):
    """An installer that writes to its log and fails."""

    def install(self, folder, requirements, scratch):
        (scratch / "installer.log").write_text("one\nhttps://jane:s3cret@mirror/ does not answer\n")
        raise subprocess.CalledProcessError(3, ["pip"])


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path / "home")


@pytest.fixture
def wheels(monkeypatch, tmp_path):
    folder = use_wheels(monkeypatch, tmp_path)
    make_wheel(folder, "medmint_fake", "1.0")
    return folder


def test_nothing_is_there_at_first_and_asking_makes_nothing(settings):
    assert find_environment(ABSENT, settings) is None
    assert list_environments(settings) == []
    assert not settings.home.exists()


def test_environment_is_made_once_and_found_again(settings, wheels):
    steps = []
    progress = lambda done, total, label: steps.append((done, total, label))  # noqa: E731
    made = build_environment(
        ABSENT, settings=settings, model_id=MODEL, progress=progress, installer=PipInstaller()
    )
    assert [step[:2] for step in steps] == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert made.installed == ("medmint_fake==1.0",)
    assert made.requirements == tuple(ABSENT)
    assert find_environment(ABSENT, settings) == made
    assert find_environment(ABSENT[::-1], settings) == made
    assert find_environment(["medmint_fake>=2"], settings) is None
    again = build_environment(ABSENT, settings=settings, model_id=MODEL, installer=_NeverAsked())
    assert again == made
    assert list_environments(settings) == [made]
    _check_explanation_of_existing(settings, made)
    made.python.unlink()
    assert find_environment(ABSENT, settings) is None, "its interpreter is gone"
    remove_environment(made)
    assert list_environments(settings) == []
    assert not any((settings.home / "environments/.unfinished").iterdir())


def _check_explanation_of_existing(settings, made):
    explanation = explain(ABSENT, settings=settings, model_id=MODEL)
    assert explanation.environment == made
    assert str(made.path) in explanation.without_install
    assert explanation.without_install == explanation.with_install


def test_failed_installation_leaves_nothing_and_shows_the_log(settings):
    with pytest.raises(DependencyError) as caught:
        build_environment(ABSENT, settings=settings, model_id=MODEL, installer=_Failing())
    assert caught.value.model_id == MODEL
    assert caught.value.missing == ["medmint_fake>=1"]
    assert "exit code 3" in str(caught.value)
    assert "  | https://mirror/ does not answer" in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert not any((settings.home / "environments/.unfinished").iterdir())
    assert list_environments(settings) == []


def test_installation_that_does_not_help_is_a_failure(settings, monkeypatch):
    monkeypatch.setattr(_Failing, "install", lambda *_: None)
    with pytest.raises(DependencyError, match=r"medmint_fake>=1 is still unmet"):
        build_environment(ABSENT, settings=settings, model_id=MODEL, installer=_Failing())
    assert list_environments(settings) == []


def test_home_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "home").write_text("a file")
    settings = Settings(home=tmp_path / "home")
    with pytest.raises(WriterError, match=r"Not a directory|File exists"):
        build_environment(ABSENT, settings=settings, model_id=MODEL, installer=_NeverAsked())


def test_offline_is_refused_before_anything_starts(tmp_path):
    settings = Settings(home=tmp_path / "home", offline=True)
    with pytest.raises(OfflineError, match=r"medmint_fake>=1"):
        build_environment(ABSENT, settings=settings, model_id=MODEL, installer=_NeverAsked())
    assert not settings.home.exists()


def test_explanation_predicts_the_error(settings):
    explanation = explain(ABSENT, settings=settings, model_id=MODEL)
    error = dependency_error(MODEL, check_requirements(ABSENT))
    assert explanation.without_install == f"DependencyError: {error}"
    assert "medmint_fake>=1 into a private environment" in explanation.with_install
    text = str(explanation)
    assert "medmint_fake>=1: missing (not installed)" in text
    assert "numpy: met" in text
    assert not settings.home.exists()


def test_explanation_when_all_is_met(settings):
    explanation = explain(["numpy"], settings=settings, model_id=MODEL)
    assert explanation.report.is_met
    assert "runs in this Python" in explanation.without_install


def test_explanation_when_the_python_is_wrong(settings):
    explanation = explain(ABSENT, settings=settings, model_id=MODEL, python_requires="<3.2")
    assert "Python <3.2" in explanation.with_install
    assert explanation.with_install == explanation.without_install
    assert "the model asks for Python <3.2" in str(explanation)


def test_explanation_when_offline(tmp_path):
    settings = Settings(home=tmp_path / "home", offline=True)
    explanation = explain(ABSENT, settings=settings, model_id=MODEL)
    assert explanation.with_install.startswith("OfflineError: MEDMINT_OFFLINE is set")


def test_abandoned_builds_are_removed_and_running_ones_kept(settings):
    building = settings.home / "environments" / ".unfinished"
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    host = machine()
    names = {
        f"{host}-{os.getpid()}-00000000": True,
        f"{host}-{ended.pid}-00000000": False,
        f"elsewhere-{ended.pid}-00000000": True,
        "elsewhere-1-11111111": False,
    }
    for name in names:
        (building / name / "environment").mkdir(parents=True)
    os.utime(building / "elsewhere-1-11111111", (0, 0))
    clear_abandoned_builds(settings)
    assert {path.name for path in building.iterdir()} == {name for name in names if names[name]}


@pytest.mark.parametrize("text", ["", "[]", "{}", "{", '{"requirements": []}'])
def test_folder_without_a_whole_marker_is_no_environment(tmp_path, text):
    (tmp_path / "ready.json").write_text(text)
    assert read_environment(tmp_path) is None


def test_folders_of_packages_are_those_of_the_interpreter(tmp_path, monkeypatch):
    sources, installed = tmp_path / "sources", tmp_path / "installed"
    sources.mkdir()
    (installed / "some-1.0.dist-info").mkdir(parents=True)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(sources), str(installed), ""]))
    monkeypatch.syspath_prepend(tmp_path)
    folders = package_folders()
    assert folders[0] == installed
    assert sources not in folders
    assert tmp_path not in folders
    assert any((folder / "numpy").is_dir() for folder in folders)


def test_packages_folder_is_where_an_environment_looks(tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "one"], check=True)
    python = tmp_path / "one" / ("Scripts" if os.name == "nt" else "bin") / "python"
    answer = subprocess.check_output(
        [python, "-I", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
    )
    assert Path(answer.strip()) == packages_folder(tmp_path / "one")
