import copy
import json
import multiprocessing
import subprocess
import sys
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from medmint.config_manager import ConfigManager
from medmint.errors import (
    ArgumentError,
    DownloadError,
    InvalidRecordError,
    MedmintError,
    OfflineError,
    UnknownModelError,
    WriterError,
)
from medmint.settings import Settings
from tests.fakes.virtual_time import VirtualTime

PHANTOM = "10001_PHANTOM_CT_HEAD_SLICE"
MINE = "20001_MY_MODEL"


@pytest.fixture
def manager(settings):
    return ConfigManager(settings=settings)


@pytest.fixture
def metadata(settings):
    return ConfigManager(settings=settings).get_config_by_id(PHANTOM)


# Loading


def test_nothing_happens_before_the_first_use(settings, tmp_path):
    manager = ConfigManager(tmp_path / "none.json", settings=settings)
    assert repr(manager) == "ConfigManager(private, not loaded)"
    with pytest.raises(InvalidRecordError, match="cannot be read"):
        _ = manager.model_ids


def test_looking_makes_no_folder(manager):
    assert len(manager.model_ids) == len(manager) == 28
    manager.record(1)
    assert not manager.settings.home.exists()


def test_looking_imports_neither_jsonschema_nor_http(tmp_path):
    code = (
        "import sys; from medmint.config_manager import ConfigManager; m = ConfigManager();"
        "m.record(10); m.get_config_by_id(10);"
        "print([n for n in ('jsonschema', 'http.client', 'filelock') if n in sys.modules])"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_later_layers_win(manager, metadata):
    folder = manager.settings.home / "catalogue"
    folder.mkdir(parents=True)
    for name, title in (("remote.json", "far"), ("local.json", "near")):
        layer = {MINE: copy.deepcopy(metadata), PHANTOM: copy.deepcopy(metadata)}
        layer[PHANTOM]["description"]["title"] = title
        if name == "local.json":
            del layer[MINE]
        (folder / name).write_text(json.dumps(layer), encoding="utf-8")
    assert manager.model_ids[-1] == MINE
    assert manager.record(PHANTOM).title == "near"


def test_a_private_catalogue_replaces_all(settings, metadata, tmp_path):
    path = tmp_path / "private.json"
    path.write_text(json.dumps({MINE: metadata}), encoding="utf-8")
    for catalogue in (path, str(path), {MINE: metadata}):
        assert ConfigManager(catalogue, settings=settings).model_ids == [MINE]


@pytest.mark.parametrize("catalogue", [5, ["global.json"], True])
def test_what_is_neither_path_nor_mapping_is_no_catalogue(settings, catalogue):
    with pytest.raises(ArgumentError, match="path of a JSON file"):
        len(ConfigManager(catalogue, settings=settings))


def test_an_empty_private_catalogue_is_one(settings):
    assert ConfigManager({}, settings=settings).model_ids == []


def test_a_private_catalogue_is_checked_in_full(settings, metadata):
    metadata["execution"]["image_size"] = []
    with pytest.raises(InvalidRecordError, match=f"/{MINE}/execution/image_size"):
        len(ConfigManager({MINE: metadata}, settings=settings))


def test_a_large_one_is_checked_record_by_record(settings, metadata):
    broken = copy.deepcopy(metadata)
    broken["execution"]["image_size"] = []
    catalogue = {f"{number:05}_M": metadata for number in range(5_000)} | {MINE: broken}
    manager = ConfigManager(catalogue, settings=settings)
    assert len(manager) == 5_001
    assert manager.record(17).model_id == "00017_M"
    with pytest.raises(InvalidRecordError, match="image_size"):
        manager.record(MINE)


def test_a_damaged_local_file_is_named(manager):
    path = manager.settings.home / "catalogue" / "local.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"20001_X": ')
    with pytest.raises(InvalidRecordError, match=r"local\.json"):
        manager.resolve(1)


# Ids


@pytest.mark.parametrize(
    "form", [10, "10", "010", "00010", "00010_FASTGAN_POLYP_PATCHES_W_MASKS", np.int64(10)]
)
def test_all_forms_of_an_id_mean_the_same_model(manager, form):
    full_id = "00010_FASTGAN_POLYP_PATCHES_W_MASKS"
    assert manager.resolve(form) == manager.match_model_id(form) == full_id
    assert manager.record(form).model_id == full_id
    assert manager.get_config_by_id(form) == manager[form]
    assert manager.is_model_in_config(form)


@pytest.mark.parametrize(
    "garbage",
    [
        True,
        False,
        -1,
        0,
        999,
        100_010,
        10.0,
        None,
        "",
        " 10",
        "+10",
        "1e1",
        "٣",
        "000010",
        [],
        np.array([1, 2]),
        "nope",
    ],
)
def test_anything_else_is_unknown(manager, garbage):
    with pytest.raises(UnknownModelError):
        manager.resolve(garbage)
    assert not manager.is_model_in_config(garbage)
    assert garbage not in manager


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("00010_FASTGAN_POLYP_PATCHES", "00010_FASTGAN_POLYP_PATCHES_W_MASKS"),
        ("fastgan_polyp_patches", "00010_FASTGAN_POLYP_PATCHES_W_MASKS"),
        ("10001_phantom_ct_head_slice", PHANTOM),
        (10006, "10005_VOLUME_MRI_HIPPOCAMPUS"),
    ],
)
def test_near_matches_are_named(manager, wrong, near):
    with pytest.raises(UnknownModelError, match="Did you mean") as caught:
        manager.resolve(wrong)
    assert near in caught.value.near_matches


# Parts of a record


def test_a_part_is_found_by_its_path(manager):
    assert manager.get_config_by_id(1, "execution.image_size") == [128, 128]
    assert manager.get_config_by_id(1, "selection.performance.FID") == 67.6


def test_a_part_is_a_copy(manager):
    manager.get_config_by_id(1)["selection"]["organ"].append("liver")
    manager.config_dict.clear()
    assert "liver" not in manager.get_config_by_id(1, "selection.organ")
    with pytest.raises(TypeError):
        manager.entries["x"] = {}


@pytest.mark.parametrize("key", ["", "nope", "execution.nope", "execution.extension.x", "."])
def test_an_unknown_part_names_the_known_ones(manager, key):
    with pytest.raises(ArgumentError, match="config_key"):
        manager.get_config_by_id(1, key)


# Additions


@pytest.mark.parametrize("wrapped", [False, True])
def test_an_added_model_is_there_at_once_and_later(manager, metadata, wrapped):
    before = manager.revision
    assert manager.add_model_to_config(MINE, {MINE: metadata} if wrapped else metadata)
    assert manager.revision > before
    assert manager.resolve(20001) == MINE
    assert manager.record(MINE).to_dict() == metadata
    assert ConfigManager(settings=manager.settings).get_config_by_id(MINE) == metadata


def test_an_added_model_need_not_be_stored(manager, metadata):
    manager.add_model_to_config(MINE, metadata, store_new_config=False)
    assert MINE in manager
    assert not manager.settings.home.exists()
    other = copy.deepcopy(metadata)
    manager.add_model_to_config("20002_OTHER", other, store_new_config=False)
    assert {MINE, "20002_OTHER"} <= set(manager.model_ids)


def test_what_is_added_is_a_copy(manager, metadata):
    manager.add_model_to_config(MINE, metadata, store_new_config=False)
    metadata["execution"]["extension"] = ".changed"
    assert manager.get_config_by_id(MINE, "execution.extension") == ""


def test_an_existing_model_is_replaced_only_on_request(manager, metadata):
    metadata["description"]["title"] = "Better"
    with pytest.raises(ArgumentError, match="overwrite_existing_metadata"):
        manager.add_model_to_config(PHANTOM, metadata)
    manager.add_model_to_config(PHANTOM, metadata, overwrite_existing_metadata=True)
    assert manager.record(10001).title == "Better"


@pytest.mark.parametrize("stored", [True, False])
def test_a_model_that_was_added_can_be_taken_out(manager, metadata, settings, stored):
    manager.add_model_to_config(MINE, metadata, store_new_config=stored)
    manager.add_model_to_config("20002_OTHER", metadata)
    assert manager.remove_model_from_config(20001) == MINE
    assert MINE not in manager
    assert "20002_OTHER" in ConfigManager(settings=settings)
    assert MINE not in ConfigManager(settings=settings)
    with pytest.raises(UnknownModelError):
        manager.remove_model_from_config(MINE)


def test_a_shipped_model_stays_and_comes_back(manager, metadata, settings):
    with pytest.raises(ArgumentError, match="was added on this machine"):
        manager.remove_model_from_config(10001)
    metadata["description"]["title"] = "Changed"
    manager.add_model_to_config(PHANTOM, metadata, overwrite_existing_metadata=True)
    manager.remove_model_from_config(10001)
    assert manager.get_config_by_id(10001, "description.title") != "Changed"


def test_a_number_belongs_to_one_model(manager, metadata):
    with pytest.raises(ArgumentError, match=PHANTOM):
        manager.add_model_to_config("10001_OTHER", metadata, overwrite_existing_metadata=True)


def test_invalid_metadata_are_refused_and_nothing_is_written(manager, metadata):
    del metadata["execution"]["package_name"]
    metadata["execution"]["dependencies"] = None
    with pytest.raises(InvalidRecordError) as caught:
        manager.add_model_to_config(MINE, metadata)
    assert len(caught.value.faults) == 2
    assert MINE not in manager
    assert not manager.settings.home.exists()


@pytest.mark.parametrize("metadata", [None, [], "text", {}, {"a": 1}, {1: 2}])
def test_what_is_no_record_at_all_is_refused(manager, metadata):
    with pytest.raises(InvalidRecordError):
        manager.add_model_to_config(MINE, metadata)
    assert not manager.is_model_metadata_valid(MINE, metadata)


@pytest.mark.parametrize(
    "model_id", ["", "mine", "20001", "1_X", "20001_ä", "20001_X/../Y", 7, None]
)
def test_ids_of_another_form_are_refused(manager, metadata, model_id):
    with pytest.raises(InvalidRecordError, match="expected an id"):
        manager.add_model_to_config(model_id, metadata)


def test_other_models_in_the_metadata_are_not_smuggled_in(manager, metadata):
    with pytest.raises(InvalidRecordError):
        manager.add_model_to_config(MINE, {MINE: metadata, PHANTOM: metadata})


def test_the_log_says_why_metadata_are_not_valid(manager, metadata, caplog):
    assert manager.is_model_metadata_valid(MINE, metadata)
    metadata["execution"]["package_link"] = "/no/such/folder"
    assert not manager.is_model_metadata_valid(MINE, metadata)
    assert "'/no/such/folder' does not exist" in caplog.text
    assert manager.metadata_faults(MINE, metadata)


def test_a_local_package_must_be_there_and_be_wanted(manager, metadata, tmp_path):
    metadata["execution"]["package_link"] = str(tmp_path)
    assert manager.is_model_metadata_valid(MINE, metadata)
    assert not manager.is_model_metadata_valid(MINE, metadata, is_local_model=False)


def test_every_shipped_model_is_valid(manager):
    assert not [
        key for key, value in manager.entries.items() if manager.metadata_faults(key, value)
    ]


def test_an_addition_to_a_private_file_goes_there(settings, metadata, tmp_path):
    path = tmp_path / "private.json"
    path.write_text(json.dumps({MINE: metadata}), encoding="utf-8")
    ConfigManager(path, settings=settings).add_model_to_config("20002_OTHER", metadata)
    assert list(json.loads(path.read_text())) == [MINE, "20002_OTHER"]


def test_an_addition_to_a_mapping_leaves_the_mapping_alone(settings, metadata):
    mapping = {MINE: metadata}
    manager = ConfigManager(mapping, settings=settings)
    manager.add_model_to_config("20002_OTHER", metadata)
    assert manager.model_ids == [MINE, "20002_OTHER"]
    assert list(mapping) == [MINE]
    assert not settings.home.exists()


def test_an_unwritable_home_is_an_error_and_adds_nothing(tmp_path, metadata):
    blocker = tmp_path / "file"
    blocker.write_text("")
    manager = ConfigManager(settings=Settings(home=blocker))
    with pytest.raises(WriterError):
        manager.add_model_to_config(MINE, metadata)
    assert MINE not in manager


def _add(home, number, metadata):
    ConfigManager(settings=Settings(home=home)).add_model_to_config(f"{number}_M", metadata)


def test_processes_that_add_at_once_keep_each_others_models(manager, metadata):
    spawn = multiprocessing.get_context("spawn")
    home = manager.settings.home
    workers = [spawn.Process(target=_add, args=(home, 30000 + i, metadata)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert {f"{30000 + i}_M" for i in range(4)} <= set(manager.model_ids)
    assert not [path for path in (home / "catalogue").iterdir() if path.name.startswith(".")]


# Refresh


class Server:
    """A catalogue over HTTP that says what it was asked and can be told to misbehave."""

    def __init__(self):
        self.body, self.etag, self.status = b"{}", '"1"', 200
        self.location, self.announced, self.asked = None, None, []
        self.failures = 0
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                owner.answer(self)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/global.json"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, handler):
        condition = handler.headers.get("If-None-Match")
        self.asked.append(condition)
        same = self.etag is not None and condition == self.etag
        failed = len(self.asked) <= self.failures
        handler.send_response(503 if failed else 304 if same else self.status)
        if self.etag:
            handler.send_header("ETag", self.etag)
        if self.location:
            handler.send_header("Location", self.location)
        if not same:
            handler.send_header("Content-Length", str(self.announced or len(self.body)))
        handler.end_headers()
        if not same:
            handler.wfile.write(self.body)


@pytest.fixture
def server():
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture
def connected(server, settings):
    return ConfigManager(settings=replace(settings, catalogue_url=server.url))


def update(manager):
    return manager.update(patience=VirtualTime().patience())


def test_a_refresh_tries_again_where_the_server_falters(server, connected, metadata):
    server.body = json.dumps({MINE: metadata}).encode()
    server.failures = 2
    assert update(connected).added == (MINE,)
    assert len(server.asked) == 3


def test_a_token_in_the_address_is_not_repeated(server, settings):
    server.status = 404
    address = f"{server.url}?access_token=canary-4711"
    with pytest.raises(MedmintError) as caught:
        update(ConfigManager(settings=replace(settings, catalogue_url=address)))
    assert "canary" not in f"{caught.value!s} {caught.value!r} {caught.value.__cause__!r}"


def test_a_refresh_brings_new_models_and_asks_only_for_newer_ones(server, connected, metadata):
    server.body = json.dumps({MINE: metadata}).encode()
    first = update(connected)
    assert (first.changed, first.added) == (True, (MINE,))
    assert connected.resolve(20001) == MINE
    assert connected.resolve(1)
    second = update(connected)
    assert not second.changed
    assert server.asked == [None, '"1"']
    metadata["description"]["title"] = "New"
    server.body, server.etag = json.dumps({MINE: metadata}).encode(), '"2"'
    assert update(connected).updated == (MINE,)
    assert connected.record(MINE).title == "New"
    server.body, server.etag = b"{}", None
    assert update(connected).removed == (MINE,)
    assert MINE not in connected


def test_a_damaged_copy_is_fetched_again(server, connected, metadata):
    server.body = json.dumps({MINE: metadata}).encode()
    path = update(connected).path
    path.write_bytes(path.read_bytes()[:-20])
    assert update(connected).changed
    assert server.asked == [None, None]
    assert MINE in connected


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"body": b"<html>"}, InvalidRecordError),
        ({"body": b'{"20002_X": {}}'}, InvalidRecordError),
        ({"status": 404}, DownloadError),
        ({"status": 500}, DownloadError),
        ({"announced": 10_000}, DownloadError),
        ({"status": 302, "location": "http://192.0.2.1/x"}, DownloadError),
        ({"status": 302, "location": "file:///etc/passwd"}, DownloadError),
    ],
    ids=str,
)
def test_a_failed_refresh_keeps_the_last_good_copy(server, connected, metadata, change, error):
    server.body = json.dumps({MINE: metadata}).encode()
    path = update(connected).path
    good = path.read_bytes()
    server.etag = '"2"'
    for name, value in change.items():
        setattr(server, name, value)
    with pytest.raises(error):
        update(connected)
    assert path.read_bytes() == good
    assert MINE in connected


def test_a_refreshed_catalogue_cannot_point_into_this_machine(
    server, connected, metadata, tmp_path
):
    metadata["execution"]["package_link"] = str(tmp_path)
    server.body = json.dumps({MINE: metadata}).encode()
    with pytest.raises(InvalidRecordError, match="package_link"):
        update(connected)


def test_a_refresh_is_limited_in_size(server, connected, monkeypatch):
    monkeypatch.setattr("medmint.catalogue.refresh.MAX_DOWNLOAD_BYTES", 1 << 10)
    server.body = b" " * (1 << 20)
    with pytest.raises(DownloadError, match="larger"):
        update(connected)


def test_offline_means_offline(server, settings):
    manager = ConfigManager(settings=replace(settings, catalogue_url=server.url, offline=True))
    with pytest.raises(OfflineError):
        manager.update()
    assert server.asked == []


def test_no_server_is_a_download_error(server, connected):
    server.http.shutdown()
    server.http.server_close()
    with pytest.raises(DownloadError):
        update(connected)


def test_without_an_address_or_for_a_private_catalogue_there_is_no_refresh(manager, settings):
    with pytest.raises(ArgumentError, match="MEDMINT_CATALOGUE_URL"):
        manager.update()
    with pytest.raises(ArgumentError, match="private"):
        ConfigManager({}, settings=settings).update()
