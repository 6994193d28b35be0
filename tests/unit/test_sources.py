import pytest

from medmint.errors import ArgumentError, DownloadError
from medmint.packages.download.sources import Expected, locate
from medmint.settings import Settings
from medmint.transport import Client
from tests.fakes.virtual_time import VirtualTime
from tests.fakes.zenodo import Zenodo

ANYTHING = Expected()
NAME = "00001 (X)+.zip"
QUOTED = "00001%20(X)+.zip"


@pytest.fixture
def zenodo():
    with Zenodo() as running:
        yield running


@pytest.fixture
def client(zenodo, tmp_path):
    settings = Settings(home=tmp_path, zenodo_url=zenodo.url)
    with Client(settings, patience=VirtualTime().patience()) as made:
        yield made


@pytest.fixture
def record(zenodo):
    return zenodo.add_record({NAME: b"PK"}, number=7031735, concept=5187713)


@pytest.mark.parametrize(
    "form",
    [
        "https://zenodo.org/record/7031735/files/00001%20(X)+.zip?download=1",
        "https://zenodo.org/records/7031735/files/00001%20(X)+.zip?download=1",
        "https://zenodo.org/records/7031735/files/00001%20%28X%29%2B.zip",
        "https://www.zenodo.org/record/7031735",
        "https://zenodo.org/records/7031735/",
        "https://zenodo.org/doi/10.5281/zenodo.7031735",
        "https://zenodo.org/api/records/7031735/files/00001%20(X)+.zip/content",
        "https://zenodo.org/api/records/7031735",
        "https://doi.org/10.5281/zenodo.7031735",
        "https://dx.doi.org/10.5281/ZENODO.7031735",
        "doi:10.5281/zenodo.7031735",
        "10.5281/zenodo.7031735",
        "https://zenodo.org/records/5187713",
    ],
)
def test_every_form_means_the_same_file(form, client, zenodo, record):
    remote = locate(form, client, ANYTHING)
    assert remote.url == f"{zenodo.url}/api/records/7031735/files/{QUOTED}/content"
    assert remote.name == NAME
    assert remote.expected == Expected(None, record.md5(NAME), 2)


def test_a_known_hash_spares_the_question(client, zenodo, record):
    known = Expected("0" * 64)
    remote = locate(record.link(NAME), client, known)
    assert remote.url == f"{zenodo.url}/api/records/7031735/files/{QUOTED}/content"
    assert remote.expected == known
    assert zenodo.log == []


def test_other_addresses_are_taken_as_they_are(client, zenodo):
    url = "https://example.org/a/model%201.zip?version=2"
    remote = locate(url, client, ANYTHING)
    assert (remote.url, remote.name, zenodo.log) == (url, "model 1.zip", [])


def test_other_pages_of_zenodo_are_read_from_its_address_too(client, zenodo):
    remote = locate("https://zenodo.org/communities/x/file.zip?y=1", client, ANYTHING)
    assert remote.url == f"{zenodo.url}/communities/x/file.zip?y=1"


def test_what_the_caller_knows_comes_first(client, record):
    expected = Expected(None, "f" * 32, 99)
    assert locate(record.doi, client, expected).expected == expected


def test_of_several_files_the_archive_is_meant(client, zenodo):
    record = zenodo.add_record({"LICENSE": b"MIT", "model.zip": b"PK"})
    assert locate(record.doi, client, ANYTHING).name == "model.zip"


def test_of_several_archives_one_has_to_be_named(client, zenodo):
    record = zenodo.add_record({"a.zip": b"PK", "b.zip": b"PK"})
    with pytest.raises(ArgumentError, match=r"one file of the record: a\.zip, b\.zip"):
        locate(record.doi, client, ANYTHING)


def test_a_file_that_is_not_there_is_answered_with_those_that_are(client, record):
    link = record.link(NAME).replace("00001", "00002")
    with pytest.raises(DownloadError, match=r"has no file '00002 \(X\)\+\.zip', but '00001"):
        locate(link, client, ANYTHING)


def test_a_restricted_record_is_explained(client, zenodo):
    record = zenodo.add_record({NAME: b"PK"}, restricted=True)
    with pytest.raises(DownloadError, match=r"shows no files.*restricted"):
        locate(record.doi, client, ANYTHING)


def test_unknown_and_deleted_records(client, zenodo, record):
    with pytest.raises(DownloadError, match=r"404.*Check the link"):
        locate("10.5281/zenodo.1", client, ANYTHING)
    record.deleted = True
    with pytest.raises(DownloadError, match=r"410.*deleted by its owners"):
        locate(record.doi, client, ANYTHING)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ([{"filename": "a.zip", "checksum": "d" * 32, "size": 7}], Expected(None, "d" * 32, 7)),
        ([{"key": "a.zip", "checksum": "sha1:00", "size": "7"}], Expected()),
        ([{"key": "a.zip"}, "rubbish", {}], Expected()),
        ([{"key": "a.zip", "size": -1, "checksum": None}], Expected()),
    ],
)
def test_records_of_other_times_are_understood(client, zenodo, record, files, expected):
    zenodo.describe = lambda description: description | {"files": files}
    assert locate("10.5281/zenodo.7031735", client, ANYTHING).expected == expected


@pytest.mark.parametrize("description", [[], 7, None, {"files": None}, {"files": {"a": 1}}, {}])
def test_what_is_no_record_is_refused(client, zenodo, record, description):
    zenodo.describe = lambda _: description
    with pytest.raises(DownloadError, match="shows no files"):
        locate(record.doi, client, ANYTHING)


@pytest.mark.parametrize(
    "source",
    ["", "model.zip", "http://zenodo.org/record/1", "ftp://x/y", "10.1000/zenodo.1", "file:///x"],
)
def test_what_is_no_source_is_refused(client, source):
    with pytest.raises(ArgumentError, match="source"):
        locate(source, client, ANYTHING)


def test_a_token_in_a_link_is_refused(client, zenodo, record):
    with pytest.raises(ArgumentError, match="password or token") as caught:
        locate(record.link(NAME) + "&access_token=s3cret", client, ANYTHING)
    assert "s3cret" not in str(caught.value)
    assert zenodo.log == []


@pytest.mark.parametrize(
    "wrong", [{"sha256": "abc"}, {"sha256": "G" * 64}, {"md5": "0" * 31}, {"size_bytes": -1}]
)
def test_expectations_have_a_form(wrong):
    with pytest.raises(ArgumentError, match=next(iter(wrong))):
        Expected(**wrong)
