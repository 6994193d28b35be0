"""Packages come from everywhere, once; they are whole, and can be checked, copied and removed."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from medmint.errors import (
    ArgumentError,
    ContractError,
    DownloadError,
    IntegrityError,
    MedmintError,
    OfflineError,
    OutputError,
    PackageError,
    UnsafeArchiveError,
    WriterError,
)
from medmint.packages import store as store_module
from medmint.packages.store import PackageStore
from medmint.resources import template_folder
from tests.fakes.archives import Member, build
from tests.fakes.faults import Fault
from tests.fakes.virtual_time import VirtualTime
from tests.fakes.zenodo import Zenodo
from tests.packages.archives import FILES, record_of, sha256, zip_of

ZIP = zip_of()
OTHER = zip_of(FILES | {"weights.pt": b"other weights"})


@pytest.fixture
def zenodo():
    with Zenodo() as server:
        yield server


@pytest.fixture
def published(zenodo):
    """The package as a record of Zenodo."""
    return zenodo.add_record({"model.zip": ZIP})


@pytest.fixture
def store(settings, zenodo):
    settings = replace(settings, zenodo_url=zenodo.url)
    return PackageStore(settings, patience=VirtualTime().patience())


@pytest.fixture
def local(tmp_path):
    archive = tmp_path / "model.zip"
    archive.write_bytes(ZIP)
    return record_of(archive)


def content(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def names(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def home_of(store):
    return store._settings.home


def assert_clean(store):
    """Nothing half-done is in the home."""
    home = home_of(store)
    assert names(home / "packages" / ".unfinished") == []
    assert names(home / "downloads") == []
    assert not list((home / "receipts").glob(".*"))


# Where packages come from


@pytest.mark.parametrize("form", ["record", "records", "doi", "doi address", "https"])
def test_a_package_is_installed_from_a_link(form, zenodo, published, store):
    link = {
        "record": published.link("model.zip"),
        "records": published.link("model.zip", legacy=False),
        "doi": published.doi,
        "doi address": f"https://doi.org/{published.doi}",
        "https": zenodo.plain("/elsewhere/model.zip", lambda: ZIP),
    }[form]
    record = record_of(link)
    assert not store.is_installed(record)
    package = store.install(record)
    assert store.is_installed(record)
    assert content(package.root) == FILES
    assert package.sha256 == sha256(ZIP) == store.verify(record)
    assert package.weights == package.root / "weights.pt"
    assert package.weights_sha256 == sha256(FILES["weights.pt"])
    assert not package.modified
    assert_clean(store)
    asked = len(zenodo.log)
    assert store.install(record) == package
    assert len(zenodo.log) == asked


def test_a_local_zip_is_installed_and_stays(local, store):
    package = store.install(local)
    assert content(package.root) == FILES
    assert package.sha256 == sha256(ZIP)
    assert Path(local.execution.package_link).read_bytes() == ZIP
    assert_clean(store)


def test_a_local_zip_that_was_changed_is_another_package(local, store):
    store.install(local)
    Path(local.execution.package_link).write_bytes(OTHER)
    assert not store.is_installed(local)
    assert store.install(local).sha256 == sha256(OTHER) == store.verify(local)


def test_a_local_folder_is_used_where_it_is(tmp_path, store):
    folder = tmp_path / "package"
    folder.mkdir()
    for name, data in FILES.items():
        (folder / name).write_bytes(data)
    record = record_of(folder)
    package = store.install(record)
    assert package.root == folder.resolve()
    assert store.is_installed(record)
    assert not home_of(store).exists()
    (folder / "__init__.py").write_bytes(b"# edited\n")
    assert store.verify(record) == store.install(record).sha256 != package.sha256
    assert not store.remove(record)
    assert folder.is_dir()


def test_a_bundled_package_is_used_where_it_is(store):
    record = record_of("bundled:minimal", model_name="weights", extension=".safetensors")
    package = store.install(record)
    assert package.root == template_folder("minimal").resolve()
    assert store.verify(record) == package.sha256
    assert not store.remove(record)
    assert not home_of(store).exists()


@pytest.mark.parametrize("top", ["", "inner/", "other-name/"])
def test_the_code_may_lie_in_a_top_folder(top, tmp_path, store):
    (tmp_path / "model.zip").write_bytes(zip_of(top=top))
    package = store.install(record_of(tmp_path / "model.zip", package_name="inner"))
    assert (package.root / "__init__.py").is_file()
    assert package.weights == package.root / "weights.pt"


# Receipts


def test_the_receipt_says_what_was_installed(published, store):
    record = record_of(published.link("model.zip"))
    store.install(record)
    receipt = json.loads((home_of(store) / "receipts" / f"{record.model_id}.json").read_text())
    assert receipt == {"source": published.link("model.zip"), "sha256": sha256(ZIP)}


def test_a_new_link_is_another_package(zenodo, published, store):
    first = record_of(published.link("model.zip"))
    store.install(first)
    newer = zenodo.add_record({"model.zip": OTHER}, concept=published.concept)
    second = record_of(newer.link("model.zip"))
    assert not store.is_installed(second)
    assert store.install(second).sha256 == sha256(OTHER)
    assert not store.is_installed(first)
    store.clean()
    assert names(home_of(store) / "packages") == [".unfinished", sha256(OTHER)[:16]]


def test_a_new_hash_in_the_record_is_another_package(zenodo, store):
    bodies = [ZIP]
    link = zenodo.plain("/model.zip", lambda: bodies[-1])
    store.install(record_of(link))
    bodies.append(OTHER)
    assert store.install(record_of(link)).sha256 == sha256(ZIP)
    assert store.install(record_of(link, sha256=sha256(OTHER))).sha256 == sha256(OTHER)


def test_the_receipt_pins_the_hash(zenodo, store):
    bodies = [ZIP]
    record = record_of(zenodo.plain("/model.zip", lambda: bodies[-1]))
    store.install(record)
    shutil.rmtree(home_of(store) / "packages")
    bodies.append(OTHER)
    with pytest.raises(IntegrityError, match=sha256(ZIP)):
        store.install(record)
    store.remove(record)
    assert store.install(record).sha256 == sha256(OTHER)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"source": 1, "sha256": 2}', "\0"])
def test_a_torn_receipt_is_none(text, local, store):
    store.install(local)
    (home_of(store) / "receipts" / f"{local.model_id}.json").write_text(text)
    assert not store.is_installed(local)
    assert store.folders() == [(home_of(store) / "packages" / sha256(ZIP)[:16], [])]
    assert store.install(local).sha256 == sha256(ZIP)
    assert store.is_installed(local)


@pytest.mark.parametrize("text", [None, "", "{}", '{"sha256": "other", "files": {}}'])
def test_a_folder_without_its_marker_is_installed_again(text, local, store):
    folder = store.install(local).root
    (folder / "weights.pt").write_bytes(b"half")
    marker = folder.parent / "installed.json"
    marker.unlink() if text is None else marker.write_text(text)
    assert not store.is_installed(local)
    assert content(store.install(local).root) == FILES
    assert store.verify(local) == sha256(ZIP)
    assert_clean(store)


# Removing, checking, copying


def test_remove_keeps_what_another_model_uses(local, store):
    twin = record_of(local.execution.package_link, number=90010)
    store.install(local)
    store.install(twin)
    folder = home_of(store) / "packages" / sha256(ZIP)[:16]
    assert store.folders() == [(folder, [local.model_id, twin.model_id])]
    assert store.remove(local)
    assert not store.is_installed(local)
    assert store.verify(twin) == sha256(ZIP)
    assert store.remove(twin)
    assert not folder.exists()
    assert not store.remove(twin)
    assert_clean(store)


def damaged(name, how):
    def damage(root):
        how(root / name)

    return damage


DAMAGE = {
    "changed": damaged("weights.pt", lambda path: path.write_bytes(b"the Weights")),
    "emptied": damaged("__init__.py", lambda path: path.write_bytes(b"")),
    "added": damaged("extra.py", lambda path: path.write_bytes(b"")),
    "removed": damaged("LICENSE", Path.unlink),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_verify_finds_a_file_that_was(what, local, store):
    twin = record_of(local.execution.package_link, number=90010)
    store.install(twin)
    DAMAGE[what](store.install(local).root)
    with pytest.raises(IntegrityError, match="medmint remove 90009_TEST_MODEL && medmint install"):
        store.verify(local)
    # What the message advises helps, even though another model uses the package.
    store.remove(local)
    store.install(local)
    assert store.verify(local) == store.verify(twin) == sha256(ZIP)


def test_verify_asks_for_an_installed_package(local, store):
    with pytest.raises(PackageError, match="Run: medmint install"):
        store.verify(local)


def test_byte_code_and_hidden_files_are_no_change(local, store):
    root = store.install(local).root
    (root / "__pycache__").mkdir()
    (root / "__pycache__" / "x.pyc").touch()
    (root / ".DS_Store").touch()
    assert store.verify(local) == sha256(ZIP)


def test_copy_makes_a_folder_that_runs_as_modified(local, store, tmp_path):
    copied = store.copy(local, tmp_path / "new" / "copy")
    assert content(copied) == FILES
    (copied / "__init__.py").write_bytes(b"# mine\n")
    package = store.locate(local, package=copied)
    assert package.modified
    assert package.root == copied
    assert package.sha256 != sha256(ZIP)
    assert store.verify(local) == sha256(ZIP)


def test_copy_takes_weights_that_lie_beside_the_code(tmp_path, store):
    files = {f"code/{name}": data for name, data in FILES.items() if name != "weights.pt"}
    (tmp_path / "model.zip").write_bytes(zip_of(files | {"data/weights.pt": b"w"}))
    record = record_of(tmp_path / "model.zip")
    copied = store.copy(record, tmp_path / "copy")
    package = store.locate(record, package=copied)
    assert package.weights == copied / "data" / "weights.pt"
    assert package.root == copied / "code"


@pytest.mark.parametrize("kind", ["file", "folder with something"])
def test_copy_asks_for_a_new_folder(kind, local, store, tmp_path):
    place = tmp_path / "place"
    if kind == "file":
        place.touch()
    else:
        place.mkdir()
        (place / "mine").touch()
    with pytest.raises(OutputError, match="Name a new folder"):
        store.copy(local, place)
    assert not home_of(store).exists()


def test_copy_to_where_nothing_can_be_written(local, store, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(WriterError):
        store.copy(local, tmp_path / "file" / "copy")


def test_weights_of_the_user_replace_those_of_the_package(local, store, tmp_path):
    mine = tmp_path / "mine.pt"
    mine.write_bytes(b"mine")
    package = store.locate(local, weights=mine)
    assert (package.weights, package.modified) == (mine, True)
    assert package.weights_sha256 == sha256(b"mine")


def test_package_and_weights_have_to_exist(local, store, tmp_path):
    with pytest.raises(ArgumentError, match="package"):
        store.locate(local, package=tmp_path / "none")
    with pytest.raises(ArgumentError, match="weights"):
        store.locate(local, weights=tmp_path / "none")
    assert not home_of(store).exists()


# What is no package


NO_PACKAGE = {
    "no code": (zip_of({"weights.pt": b""}), ContractError, "__init__.py"),
    "code too deep": (zip_of(top="a/b/"), ContractError, "__init__.py"),
    "no weights": (zip_of({"__init__.py": b""}), ContractError, "weights.pt"),
    "empty": (zip_of({}), PackageError, "(?i)empty|__init__"),
    "a web page": (b"<!DOCTYPE html><html>404</html>", PackageError, "zip"),
    "torn": (ZIP[:-30], PackageError, "zip"),
    "traversal": (build([Member("../__init__.py")]), UnsafeArchiveError, r"\.\./__init__"),
}


@pytest.mark.parametrize("source", ["local", "https"])
@pytest.mark.parametrize("what", NO_PACKAGE)
def test_it_is_no_package(what, source, zenodo, tmp_path, store):
    body, error, text = NO_PACKAGE[what]
    (tmp_path / "model.zip").write_bytes(body)
    link = zenodo.plain("/model.zip", lambda: body)
    record = record_of(tmp_path / "model.zip" if source == "local" else link)
    with pytest.raises(error, match=text):
        store.install(record)
    assert not store.is_installed(record)
    assert store.folders() == []
    assert_clean(store)
    good = zenodo.plain("/model.zip", lambda: ZIP)
    assert store.install(record_of(good)).sha256 == sha256(ZIP)


def test_a_wrong_hash_is_refused(local, zenodo, published, store):
    for link in (local.execution.package_link, published.link("model.zip")):
        record = record_of(link, sha256="0" * 64)
        with pytest.raises(IntegrityError, match="0" * 64):
            store.install(record)
        assert store.folders() == []
        assert_clean(store)


@pytest.mark.parametrize("name", ["../weights", "/etc/passwd", "a/../../weights"])
def test_names_of_a_record_stay_inside_the_package(name, tmp_path, store):
    (tmp_path / "weights.pt").write_bytes(b"outside")
    (tmp_path / "model.zip").write_bytes(ZIP)
    with pytest.raises(ContractError):
        store.install(record_of(tmp_path / "model.zip", model_name=name))
    with pytest.raises(ContractError):
        store.install(record_of(tmp_path / "model.zip", model_name=name, extension=""))


def test_a_file_that_is_not_there_is_named(tmp_path, store):
    with pytest.raises(PackageError, match=r"none\.zip.*no such folder or zip"):
        store.install(record_of(tmp_path / "none.zip"))


@pytest.mark.parametrize(
    "link",
    [
        "https://jane:s3cret@zenodo.org/record/1/files/a.zip",
        "https://zenodo.org/record/1/files/a.zip?access_token=s3cret",
        "https://example.org/a.zip?token=s3cret",
        "http://example.org/a.zip",
        "ftp://example.org/a.zip",
        "file:///etc/passwd",
    ],
)
def test_an_address_with_a_secret_or_without_safety_is_refused(link, zenodo, store):
    with pytest.raises(ArgumentError) as caught:
        store.install(record_of(link))
    assert "s3cret" not in f"{caught.value!s} {caught.value!r} {caught.value.__context__!r}"
    assert zenodo.log == []
    assert_clean(store)


@pytest.mark.parametrize("status", [404, 407])
def test_a_server_that_refuses(status, zenodo, published, store):
    zenodo.misbehave(Fault("status", status))
    with pytest.raises(DownloadError) as caught:
        store.install(record_of(published.link("model.zip")))
    assert caught.value.status == status
    assert {404: "Check the link", 407: "proxy"}[status] in str(caught.value)
    assert_clean(store)


# Offline, read-only, full


def test_offline_uses_what_is_here_and_asks_for_nothing_else(zenodo, published, store):
    record = record_of(published.link("model.zip"))
    offline = PackageStore(replace(store._settings, offline=True))
    with pytest.raises(OfflineError, match="MEDMINT_OFFLINE"):
        offline.install(record)
    assert zenodo.log == []
    package = store.install(record)
    asked = len(zenodo.log)
    assert offline.install(record) == package
    assert offline.verify(record) == package.sha256
    assert len(zenodo.log) == asked


def test_a_home_that_is_no_folder_is_reported(local, store, tmp_path):
    home_of(store).write_text("a file")
    with pytest.raises(WriterError, match="MEDMINT_HOME"):
        store.install(local)
    assert not store.is_installed(local)
    assert store.folders() == []


@pytest.mark.parametrize("part", ["packages", "receipts", "downloads", "locks"])
def test_a_part_of_the_home_that_is_no_folder_is_reported(part, published, store):
    home = home_of(store)
    home.mkdir()
    (home / part).write_text("a file")
    record = record_of(published.link("model.zip"))
    with pytest.raises(WriterError, match="MEDMINT_HOME"):
        store.install(record)
    (home / part).unlink()
    assert store.install(record).sha256 == sha256(ZIP)
    assert_clean(store)


def test_a_small_file_that_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(WriterError, match="Make room"):
        store_module.write_json(tmp_path / "receipt.json", {})
    assert list(tmp_path.iterdir()) == []


def test_damaged_weights_are_refused_wherever_they_come_from(tmp_path, store):
    files = FILES | {"weights.safetensors": b"\x08\0\0\0\0\0\0\0{}      more"}
    (tmp_path / "model.zip").write_bytes(zip_of(files))
    record = record_of(tmp_path / "model.zip", extension=".safetensors")
    with pytest.raises(IntegrityError, match="16 bytes"):
        store.install(record)
    assert issubclass(IntegrityError, MedmintError)


# Cleaning


def test_clean_removes_what_nobody_uses(zenodo, local, store):
    used = store.install(local)
    store.install(record_of(zenodo.plain("/o.zip", lambda: OTHER), number=90011))
    home = home_of(store)
    (home / "receipts" / "90011_TEST_MODEL.json").unlink()
    crashed = home / "packages" / ".unfinished" / "elsewhere-1-abc"
    crashed.mkdir()
    (home / "downloads" / ".90012_X.zip.0123.0123456789ab.part").write_bytes(b"half")
    store.clean()
    assert store.folders() == [(used.root.parent, [local.model_id])]
    assert names(home / "downloads") == []
    # Of another machine, and young: it may be at work.
    assert crashed.exists()


def test_clean_of_nothing(store):
    store.clean()
    assert not home_of(store).exists()
