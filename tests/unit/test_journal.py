import json
import threading

import pytest

from medmint.errors import PublishError, WriterError
from medmint.publishing import Journal, Token


@pytest.fixture
def journal(tmp_path):
    return Journal.beside(tmp_path / "my_model")


def test_it_stands_beside_the_package_and_the_sandbox_has_its_own(tmp_path):
    package = tmp_path / "my_model"
    paths = {Journal.beside(package).path, Journal.beside(package, sandbox=True).path}
    assert {path.parent for path in paths} == {tmp_path}
    assert {path.name for path in paths} == {
        ".my_model.contribution.json",
        ".my_model.sandbox.json",
    }


def test_nothing_is_there_before_something_is_noted(journal):
    assert (journal.steps, journal.facts("create"), journal.done("create")) == ({}, {}, False)
    journal.clear()
    assert not journal.path.exists()


def test_steps_are_kept_in_their_order(journal):
    journal.record("create", deposition_id=7)
    journal.record("upload", md5="a", names=["x"])
    journal.record("create", deposition_id=8)
    assert list(journal.steps) == ["create", "upload"]
    assert Journal(journal.path).facts("create") == {"deposition_id": 8}


def test_a_step_is_done_with_its_facts(journal):
    journal.record("describe", deposition_id=7, digest="a")
    assert journal.done("describe", deposition_id=7)
    assert journal.done("describe", deposition_id=7, digest="a")
    assert not journal.done("describe", deposition_id=8)
    assert not journal.done("describe", other=None)


def test_a_cleared_journal_begins_anew(journal):
    journal.record("create")
    journal.clear()
    assert not journal.path.exists()
    assert journal.steps == {}


def test_noting_the_same_again_writes_nothing(journal):
    journal.record("create", deposition_id=7)
    before = journal.path.stat().st_mtime_ns
    journal.record("create", deposition_id=7)
    assert journal.path.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b"{}",
        b"\xff\xfe",
        b'{"version": 2, "steps": {}}',
        b'{"version": 1, "steps": []}',
        b'{"version": 1, "steps": {"create": 7}}',
        b"[" * 100_000,
    ],
)
def test_a_file_that_is_no_journal_is_not_taken_for_an_empty_one(journal, content):
    journal.path.write_bytes(content)
    for use in (lambda: journal.steps, lambda: journal.record("create")):
        with pytest.raises(PublishError, match="Look on Zenodo") as caught:
            use()
        assert str(journal.path) in str(caught.value)
    assert journal.path.read_bytes() == content


def test_a_folder_in_its_place_is_an_error(journal):
    journal.path.mkdir()
    with pytest.raises(PublishError):
        journal.facts("create")
    with pytest.raises(PublishError):
        journal.clear()


def test_a_place_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises((WriterError, PublishError)):
        Journal.beside(tmp_path / "file" / "package").record("create")


def test_a_token_cannot_get_into_it(journal):
    with pytest.raises(TypeError):
        journal.record("create", token=Token("s3cret"))
    assert not list(journal.path.parent.iterdir())


def test_it_can_be_read_by_people(journal):
    journal.record("create", deposition_id=7)
    assert json.loads(journal.path.read_text()) == {
        "version": 1,
        "steps": {"create": {"deposition_id": 7}},
    }


def test_a_second_call_waits_for_the_first(journal, settings):
    order = []

    def second():
        with journal.locked(settings):
            order.append("second")

    with journal.locked(settings):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
