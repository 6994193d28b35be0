"""What is kept, how large it is, and what can go: in Python and on the command line."""

import json
import os
import subprocess
import sys

import pytest

from medmint.cache import clean, contents, readable_size, size_of
from medmint.cli.main import main
from medmint.errors import IntegrityError
from medmint.packages.environments.building import build_environment
from medmint.packages.environments.store import verify_environment
from medmint.packages.store import PackageStore
from medmint.packages.unfinished import unfinished_folder
from tests.fakes.wheels import make_wheel, use_wheels
from tests.packages.archives import FILES, record_of, sha256, zip_of

ZIP = zip_of()


@pytest.fixture
def installed(settings, tmp_path):
    """The package of two models, and what an interrupted download has left."""
    (tmp_path / "model.zip").write_bytes(ZIP)
    store = PackageStore(settings)
    for number in (90009, 90010):
        store.install(record_of(tmp_path / "model.zip", number=number))
    (settings.home / "downloads").mkdir()
    partial = settings.home / "downloads" / ".90011_X.zip.0123.0123456789ab.part"
    partial.write_bytes(bytes(5000))
    return store


def forget(settings):
    for file in (settings.home / "receipts").iterdir():
        file.unlink()


def run(capsys, *arguments):
    code = main(["cache", *arguments])
    captured = capsys.readouterr()
    assert (code, captured.err) == (0, "")
    return captured.out


def test_nothing_is_kept_before_anything_was_done(settings):
    assert contents(settings) == []
    assert clean(settings) == 0
    assert not settings.home.exists()


def test_contents(settings, installed):
    folder = settings.home / "packages" / sha256(ZIP)[:16]
    package, download = contents(settings)
    assert package["kind"] == "package"
    assert package["name"] == "90009_TEST_MODEL, 90010_TEST_MODEL"
    assert package["path"] == str(folder)
    marker = (folder / "installed.json").stat().st_size
    assert package["bytes"] == sum(map(len, FILES.values())) + marker
    assert (download["kind"], download["bytes"]) == ("download", 5000)


def test_clean_keeps_what_is_used(settings, installed):
    assert clean(settings) == 5000
    assert [row["kind"] for row in contents(settings)] == ["package"]
    forget(settings)
    assert contents(settings)[0]["name"] == "of no model"
    assert clean(settings) > sum(map(len, FILES.values()))
    assert contents(settings) == []


@pytest.mark.skipif(os.name == "nt", reason="processes cannot be asked there")
def test_clean_lets_work_alone_and_clears_up_after_a_crash(settings, installed):
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    with unfinished_folder(settings.home / "packages") as at_work:
        host = at_work.name.partition("-")[0]
        crashed = at_work.with_name(f"{host}-{ended.pid}-0123456789ab")
        (crashed / "files").mkdir(parents=True)
        clean(settings)
        assert list(at_work.parent.iterdir()) == [at_work]
    assert not at_work.exists()


def test_private_environments_go_only_when_asked(settings, tmp_path, monkeypatch):
    make_wheel(use_wheels(monkeypatch, tmp_path), "medmint_fake", "1.0")
    made = build_environment(["medmint_fake"], settings=settings, model_id="90001_X")
    clean(settings)
    assert made.path.exists()
    (made.path / "pyvenv.cfg").write_text("changed")
    with pytest.raises(IntegrityError, match="medmint cache clean --environments"):
        verify_environment(made)
    assert clean(settings, environments=True) > 0
    assert not made.path.exists()


def test_size_of_files_folders_and_nothing(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").write_bytes(bytes(7))
    (tmp_path / "a" / "d").write_bytes(bytes(5))
    (tmp_path / "a" / "link").symlink_to(tmp_path / "a" / "d")
    assert size_of(tmp_path / "a") == 12
    assert size_of(tmp_path / "a" / "d") == 5
    assert size_of(tmp_path / "none") == 0


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (52_400_000, "52.4 MB"), (3e15, "3000.0 TB")],
)
def test_readable_size(count, text):
    assert readable_size(count) == text


def test_the_command_line(settings, installed, capsys):
    assert run(capsys, "path") == f"{settings.home}\n"
    listing = run(capsys, "list")
    assert "90009_TEST_MODEL, 90010_TEST_MODEL" in listing
    assert "5.0 kB" in listing
    assert [row["bytes"] for row in json.loads(run(capsys, "list", "--json"))][1] == 5000
    assert run(capsys, "clean") == f"5.0 kB freed in {settings.home}\n"
    assert "download" not in run(capsys, "list")
