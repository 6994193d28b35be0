import hashlib
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from medmint.errors import ArgumentError, InvalidRecordError, OfflineError, PublishError
from medmint.packages.download.sources import Expected
from medmint.packages.download.transfer import fetch_with
from medmint.publishing import (
    Archive,
    Journal,
    Parcel,
    Token,
    ZenodoDeposits,
    abandon,
    deposit_address,
    publish_package,
)
from medmint.transport import Client
from tests.fakes.deposits import TOKEN, WRITE, DepositZenodo, Draft
from tests.fakes.faults import Answer, Fault, first
from tests.fakes.virtual_time import VirtualTime
from tests.packages.contributing import BODY, DESCRIPTION, MODEL_ID

OTHER_BODY = BODY + b"newer"


@pytest.fixture
def zenodo():
    with DepositZenodo() as server:
        yield server


@pytest.fixture
def settings(settings, zenodo):
    return replace(settings, zenodo_url=zenodo.url, zenodo_deposit_url=zenodo.url)


@pytest.fixture
def deposits(settings):
    patience = VirtualTime().patience(read=0.5, tries=3)
    with ZenodoDeposits(settings, Token(TOKEN), patience=patience) as made:
        yield made


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / f"{MODEL_ID}.zip"
    path.write_bytes(BODY)
    return path


@pytest.fixture
def parcel(archive):
    return Parcel(MODEL_ID, archive, DESCRIPTION)


@pytest.fixture
def journal(tmp_path):
    return Journal.beside(tmp_path / "package")


def steps_of(zenodo):
    """Return what was asked, with numbers and names left out."""
    return [
        " ".join([request.method, *request.path.split("/")[2:3], request.path.split("/")[-1][:11]])
        for request in zenodo.log
    ]


# One call


def test_a_package_becomes_a_record_with_a_doi(deposits, parcel, journal, zenodo):
    placed = publish_package(deposits, parcel, journal=journal, publish=True)
    assert placed.is_published
    assert placed.doi == f"10.5281/zenodo.{placed.number}"
    assert placed.page == f"{zenodo.url}/records/{placed.number}"
    assert placed.sha256 == hashlib.sha256(BODY).hexdigest()
    assert placed.size_bytes == len(BODY)
    described = zenodo.drafts[placed.number].metadata
    assert described["license"] == "mit"
    assert described["notes"] == f"medmint-model-id: {MODEL_ID} sha256: {placed.sha256}"


def test_the_link_is_one_that_medmint_downloads(deposits, parcel, journal, settings, tmp_path):
    placed = publish_package(deposits, parcel, journal=journal, publish=True)
    target = tmp_path / "downloaded.zip"
    with Client(settings) as client:
        fetch_with(client, placed.file_url, target, Expected(placed.sha256))
    assert target.read_bytes() == BODY


def test_without_a_word_it_stays_a_draft(deposits, parcel, journal, zenodo):
    placed = publish_package(deposits, parcel, journal=journal)
    assert not placed.is_published
    assert placed.page == f"{zenodo.url}/uploads/{placed.number}"
    assert placed.doi == f"10.5281/zenodo.{placed.number}"
    assert (zenodo.published, zenodo.asked("publish")) == ([], [])


def test_what_is_asked_and_how(deposits, parcel, journal, zenodo):
    publish_package(deposits, parcel, journal=journal, publish=True)
    assert steps_of(zenodo) == [
        "GET deposit depositions",
        "POST deposit depositions",
        "PUT files 90001_TEST_",
        "PUT deposit 542201",
        "GET deposit 542201",
        "POST deposit publish",
    ]
    for request in zenodo.log:
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
        assert request.headers["user-agent"].startswith("medmint/")
        assert "token" not in request.target
    (upload,) = zenodo.asked("^PUT /api/files")
    assert upload.headers["content-type"] == "application/octet-stream"
    assert upload.headers["content-length"] == str(len(BODY))


def test_an_upload_is_streamed_and_says_how_far_it_is(deposits, journal, parcel, archive):
    archive.write_bytes(BODY * 30)
    seen = []
    publish_package(deposits, parcel, journal=journal, progress=lambda *words: seen.append(words))
    done = [one[0] for one in seen]
    assert done == sorted(done)
    assert max(b - a for a, b in pairwise(done)) < 1 << 20
    assert seen[-1] == (30 * len(BODY), 30 * len(BODY), f"uploading {MODEL_ID}.zip")


def test_names_are_quoted_in_addresses(deposits, parcel, journal, tmp_path, zenodo):
    path = tmp_path / "a b#c?.zip"
    path.write_bytes(BODY)
    placed = publish_package(deposits, replace(parcel, archive=path), journal=journal, publish=True)
    assert list(zenodo.records[placed.number].files) == ["a b#c?.zip"]
    assert placed.file_url.endswith("/files/a%20b%23c%3F.zip?download=1")


# A second call


def test_a_second_call_goes_on_from_the_draft(deposits, parcel, journal, zenodo):
    draft = publish_package(deposits, parcel, journal=journal)
    zenodo.log.clear()
    placed = publish_package(deposits, parcel, journal=journal, publish=True)
    assert (placed.number, placed.is_published) == (draft.number, True)
    assert steps_of(zenodo) == [
        "GET deposit 542201",
        "GET deposit 542201",
        "POST deposit publish",
    ]


def test_another_description_is_sent_again(deposits, parcel, journal, zenodo):
    draft = publish_package(deposits, parcel, journal=journal)
    titled = replace(parcel, metadata=replace(DESCRIPTION, title="Another title"))
    publish_package(deposits, titled, journal=journal)
    assert zenodo.drafts[draft.number].metadata["title"] == "Another title"
    assert zenodo.uploaded_again == []


def test_another_package_replaces_the_one_in_the_draft(deposits, parcel, journal, zenodo):
    draft = publish_package(deposits, parcel, journal=journal)
    parcel.archive.write_bytes(OTHER_BODY)
    placed = publish_package(deposits, parcel, journal=journal, publish=True)
    assert placed.number == draft.number
    assert zenodo.records[placed.number].files == {f"{MODEL_ID}.zip": OTHER_BODY}
    assert placed.sha256 in zenodo.drafts[placed.number].metadata["notes"]


def test_a_draft_that_was_deleted_is_made_anew(deposits, parcel, journal, zenodo):
    draft = publish_package(deposits, parcel, journal=journal)
    del zenodo.drafts[draft.number]
    placed = publish_package(deposits, parcel, journal=journal, publish=True)
    assert placed.number != draft.number
    assert zenodo.published == [placed.number]


def test_a_record_that_is_not_shown_is_not_made_anew(deposits, parcel, journal, zenodo):
    placed = publish_package(deposits, parcel, journal=journal, publish=True)
    del zenodo.drafts[placed.number]
    with pytest.raises(PublishError, match="exists and is not shown") as caught:
        publish_package(deposits, parcel, journal=journal, publish=True)
    assert caught.value.deposition_id == placed.number
    assert zenodo.published == [placed.number]


def test_files_that_the_user_added_stay(deposits, parcel, journal, zenodo):
    draft = publish_package(deposits, parcel, journal=journal)
    zenodo.drafts[draft.number].files["paper.pdf"] = b"%PDF"
    publish_package(deposits, parcel, journal=journal, publish=True)
    assert set(zenodo.records[draft.number].files) == {f"{MODEL_ID}.zip", "paper.pdf"}


def test_a_draft_is_found_among_many(deposits, parcel, journal, zenodo):
    draft = publish_package(deposits, parcel, journal=journal)
    journal.clear()
    zenodo.drafts |= {
        number: Draft(number, number - 1, {"title": "Another"}) for number in range(600000, 600250)
    }
    placed = publish_package(deposits, parcel, journal=journal, publish=True)
    assert placed.number == draft.number
    assert zenodo.uploaded_again == []


def test_a_journal_of_another_service_is_not_used(deposits, parcel, journal, settings):
    journal.record("deposit", deposition_id=7, service="https://zenodo.org")
    with pytest.raises(PublishError, match="not to http://127") as caught:
        publish_package(deposits, parcel, journal=journal)
    assert (caught.value.step, caught.value.deposition_id) == ("journal", 7)


def test_a_draft_that_is_listed_and_not_shown_is_not_made_anew(deposits, parcel, journal, zenodo):
    draft = publish_package(deposits, parcel, journal=journal)
    journal.clear()
    zenodo.misbehave(Fault("status", 404), rf"GET .*/{draft.number}$")
    with pytest.raises(PublishError, match="exists and is not shown"):
        publish_package(deposits, parcel, journal=journal)
    assert list(zenodo.drafts) == [draft.number]


def test_a_record_that_only_claims_to_hold_the_package_is_not_taken_for_it(
    deposits, parcel, journal, zenodo
):
    placed = publish_package(deposits, parcel, journal=journal, publish=True)
    journal.clear()
    zenodo.drafts[placed.number].files = {"another.zip": OTHER_BODY}
    with pytest.raises(PublishError, match="with another package"):
        publish_package(deposits, parcel, journal=journal, publish=True)


def test_a_record_is_not_published_again(deposits, parcel, journal, zenodo):
    placed = publish_package(deposits, parcel, journal=journal, publish=True)
    assert deposits.publish(placed.number, Archive.of(parcel.archive)).is_published
    assert (len(zenodo.asked("publish")), zenodo.in_vain) == (1, [])


def test_an_answer_that_speaks_of_a_draft_is_no_publication(
    deposits, parcel, journal, zenodo, monkeypatch
):
    monkeypatch.setattr(
        zenodo,
        "_publish",
        lambda _, number: Answer.of_json(zenodo._described(zenodo.drafts[int(number)]), 202),
    )
    with pytest.raises(PublishError, match="is no published record") as caught:
        publish_package(deposits, parcel, journal=journal, publish=True)
    assert caught.value.step == "publish"
    assert not journal.done("publish")


# Newer versions


@pytest.mark.parametrize("answers", ["draft", "original"])
@pytest.mark.parametrize("has_journal", [True, False])
def test_a_newer_version_shares_the_concept(
    has_journal, answers, deposits, parcel, journal, zenodo
):
    zenodo.newversion_answers = answers
    old = publish_package(deposits, parcel, journal=journal, publish=True)
    if not has_journal:
        journal.clear()
    path = parcel.archive.with_name("newer.zip")
    path.write_bytes(OTHER_BODY)
    newer = replace(parcel, archive=path, new_version_of=old.number)
    draft = publish_package(deposits, newer, journal=journal)
    placed = publish_package(deposits, newer, journal=journal, publish=True)
    again = publish_package(deposits, newer, journal=journal, publish=True)
    assert draft.number == placed.number == again.number != old.number
    assert zenodo.published == [old.number, placed.number]
    records = zenodo.records
    assert records[placed.number].concept == records[old.number].concept
    assert records[placed.number].files == {"newer.zip": OTHER_BODY}
    assert records[old.number].files == {f"{MODEL_ID}.zip": BODY}


def test_a_changed_package_of_a_published_model_wants_a_newer_version(
    deposits, parcel, journal, zenodo
):
    old = publish_package(deposits, parcel, journal=journal, publish=True)
    parcel.archive.write_bytes(OTHER_BODY)
    with pytest.raises(PublishError, match="newer version of record") as caught:
        publish_package(deposits, parcel, journal=journal, publish=True)
    assert caught.value.deposition_id == old.number
    assert zenodo.published == [old.number]


def test_a_version_of_nothing_is_refused(deposits, parcel, journal):
    with pytest.raises(PublishError) as caught:
        publish_package(deposits, replace(parcel, new_version_of=7), journal=journal)
    assert (caught.value.step, caught.value.status) == ("new version", 404)


def test_a_newer_version_that_does_not_show(deposits, parcel, journal, zenodo):
    old = publish_package(deposits, parcel, journal=journal, publish=True)
    parcel.archive.write_bytes(OTHER_BODY)
    zenodo.misbehave(Fault("status", 404), rf"GET .*/{old.number + 10}$")
    with pytest.raises(PublishError, match="leads to no draft") as caught:
        publish_package(deposits, replace(parcel, new_version_of=old.number), journal=journal)
    assert caught.value.deposition_id == old.number


# Giving up


def test_an_abandoned_draft_is_gone(deposits, parcel, journal, zenodo):
    draft = publish_package(deposits, parcel, journal=journal)
    assert abandon(deposits, journal) == draft.number
    assert (zenodo.drafts, journal.steps) == ({}, {})
    assert abandon(deposits, journal) is None


def test_a_draft_whose_number_was_lost_is_abandoned_too(deposits, parcel, journal, zenodo):
    publish_package(deposits, parcel, journal=journal)
    journal.record("deposit")
    assert abandon(deposits, journal) == 542201
    assert zenodo.drafts == {}


@pytest.mark.parametrize("kind", ["lost", "unheard", "status"])
def test_abandoning_is_repeated_safely(kind, deposits, parcel, journal, zenodo):
    publish_package(deposits, parcel, journal=journal)
    zenodo.misbehave(Fault(kind, 502), "^DELETE", first)
    assert abandon(deposits, journal) == 542201
    assert zenodo.drafts == {}


def test_a_draft_that_is_gone_needs_no_discarding(deposits, zenodo):
    deposits.discard(7)
    assert zenodo.asked("^DELETE") == []


def test_a_page_in_place_of_an_answer_is_told(deposits, parcel, journal, zenodo):
    zenodo.misbehave(Fault("page"), "^GET")
    with pytest.raises(PublishError, match="its answer is not JSON"):
        publish_package(deposits, parcel, journal=journal)


def test_a_record_is_not_abandoned(deposits, parcel, journal, zenodo):
    placed = publish_package(deposits, parcel, journal=journal, publish=True)
    with pytest.raises(PublishError, match="a published record stays") as caught:
        abandon(deposits, journal)
    assert (caught.value.step, caught.value.deposition_id) == ("discard", placed.number)
    assert journal.done("publish")


# What Zenodo refuses


@pytest.mark.parametrize("listed", [True, False])
def test_errors_of_fields_are_ours(listed, deposits, zenodo):
    zenodo.messages = listed
    with pytest.raises(PublishError) as caught:
        deposits.create({"license": "my-own", "upload_type": "model"}, "0" * 64)
    assert "metadata.license: Invalid license provided: my-own" in str(caught.value)
    assert "metadata.upload_type: Invalid upload type." in str(caught.value)
    assert (caught.value.service, caught.value.step, caught.value.status) == (
        "Zenodo",
        "create",
        400,
    )


@pytest.mark.parametrize("status", [401, 403])
def test_an_unknown_token_is_explained(status, settings, parcel, journal, zenodo):
    zenodo.anonymous_status = status
    with (
        ZenodoDeposits(settings, Token("other-token")) as deposits,
        pytest.raises(PublishError, match="deposit:write and deposit:actions") as caught,
    ):
        publish_package(deposits, parcel, journal=journal)
    assert (caught.value.step, caught.value.status) == ("find", status)
    assert "other-token" not in str(caught.value)


def test_a_token_without_the_scope_to_publish(deposits, parcel, journal, zenodo):
    scopes, zenodo.tokens[TOKEN] = zenodo.tokens[TOKEN], {WRITE}
    with pytest.raises(PublishError, match="deposit:actions") as caught:
        publish_package(deposits, parcel, journal=journal, publish=True)
    assert (caught.value.step, caught.value.status) == ("publish", 403)
    assert caught.value.deposition_id == 542201
    assert "/uploads/542201" in str(caught.value)
    zenodo.tokens[TOKEN] = scopes
    assert publish_package(deposits, parcel, journal=journal, publish=True).is_published
    assert zenodo.uploaded_again == []


def test_a_quota_is_told(deposits, parcel, journal, zenodo):
    zenodo.quota = 10
    with pytest.raises(PublishError, match="Bucket quota exceeded") as caught:
        publish_package(deposits, parcel, journal=journal)
    assert (caught.value.step, caught.value.status) == ("upload", 400)


def test_a_limit_says_how_long_to_wait(deposits, parcel, journal, zenodo):
    zenodo.misbehave(Fault("status", 429, retry_after="86400"))
    with pytest.raises(PublishError, match="asks to wait 86400 s"):
        publish_package(deposits, parcel, journal=journal)
    assert len(zenodo.log) == 1


def test_faults_of_the_description_are_found_before_anything_is_sent(
    deposits, parcel, journal, zenodo
):
    faulty = replace(parcel, metadata=replace(DESCRIPTION, license="free", title=""))
    with pytest.raises(InvalidRecordError, match="2 faults"):
        publish_package(deposits, faulty, journal=journal)
    assert zenodo.log == []


@pytest.mark.parametrize("content", [None, b""])
def test_an_archive_that_is_none(content, deposits, parcel, journal, zenodo):
    parcel.archive.unlink()
    if content is not None:
        parcel.archive.write_bytes(content)
    with pytest.raises(ArgumentError, match="archive"):
        publish_package(deposits, parcel, journal=journal)
    assert zenodo.log == []


def test_a_draft_with_another_file_than_ours_is_not_published(deposits, parcel, journal, zenodo):
    placed = publish_package(deposits, parcel, journal=journal)
    archive = Archive.of(parcel.archive)
    zenodo.drafts[placed.number].files[archive.name] = OTHER_BODY
    with pytest.raises(PublishError, match="does not hold"):
        deposits.publish(placed.number, archive)
    assert zenodo.published == []


# Where the token goes


class ElsewhereZenodo(DepositZenodo):
    """Tells an address elsewhere for the files."""

    def _described(self, draft):
        described = super()._described(draft)
        links = described["links"]
        links["bucket"] = links["bucket"].replace(self.url, self.other_url)
        return described


def test_files_are_sent_to_the_service_alone(settings, parcel, journal):
    with ElsewhereZenodo() as zenodo:
        settings = replace(settings, zenodo_deposit_url=zenodo.url)
        with (
            ZenodoDeposits(settings, Token(TOKEN)) as deposits,
            pytest.raises(PublishError, match="names no place for files") as caught,
        ):
            publish_package(deposits, parcel, journal=journal)
        assert caught.value.step == "upload"
        assert zenodo.asked("^PUT") == []


def test_an_upload_follows_no_redirect(deposits, parcel, journal, zenodo):
    zenodo.misbehave(Fault("redirect", location=f"{zenodo.other_url}/x"), "^PUT /api/files")
    with pytest.raises(PublishError, match="redirects an upload"):
        publish_package(deposits, parcel, journal=journal)
    assert not zenodo.asked("/x$")


def test_offline_nothing_is_asked(settings, parcel, journal, zenodo):
    offline = replace(settings, offline=True)
    with ZenodoDeposits(offline, Token(TOKEN)) as deposits, pytest.raises(OfflineError):
        publish_package(deposits, parcel, journal=journal)
    assert zenodo.log == []


def test_the_sandbox_has_an_address_unless_the_settings_name_one(settings):
    usual = replace(settings, zenodo_deposit_url="https://zenodo.org/")
    assert deposit_address(usual) == "https://zenodo.org"
    assert deposit_address(usual, sandbox=True) == "https://sandbox.zenodo.org"
    assert deposit_address(settings, sandbox=True) == settings.zenodo_deposit_url


@pytest.mark.parametrize("address", ["http://zenodo.org", "https://me:pw@zenodo.org", "ftp://x"])
def test_an_address_that_is_not_safe_is_refused(address):
    from medmint.settings import Settings

    with pytest.raises(ArgumentError, match="zenodo_deposit_url"):
        ZenodoDeposits(Settings(home=Path(), zenodo_deposit_url=address), Token(TOKEN))


@pytest.mark.parametrize(
    "content",
    [
        None,
        7,
        [],
        {},
        {"id": "7"},
        {"id": True},
        {"id": 7, "files": [7]},
        {"id": 7, "files": [{"filename": 7}]},
        {"id": 8},
    ],
)
def test_answers_that_are_no_depositions(content, deposits, zenodo, monkeypatch):
    monkeypatch.setattr(zenodo, "answer", lambda _: Answer.of_json(content))
    with pytest.raises(PublishError, match="is not the deposition"):
        deposits.read(7)
    monkeypatch.setattr(zenodo, "answer", lambda _: Answer.of_json({"hits": content}))
    with pytest.raises(PublishError, match="is no list of depositions"):
        deposits.find("0" * 64)


def test_an_answer_with_little_in_it_is_read(deposits, zenodo, monkeypatch):
    odd = {"id": 7, "files": None, "metadata": [], "links": 7, "submitted": "yes"}
    monkeypatch.setattr(zenodo, "answer", lambda _: Answer.of_json(odd))
    found = deposits.read(7)
    assert (found.is_published, found.files, found.doi, found.bucket) == (False, (), "", "")
