from dataclasses import replace
from datetime import date

import pytest

from medmint.errors import ArgumentError, InvalidRecordError
from medmint.publishing import Creator, DepositMetadata, RelatedIdentifier, is_orcid, licence_id

JANE = Creator("Doe, Jane", "A University", "https://orcid.org/0000-0002-1825-0097")
PAPER = RelatedIdentifier("10.1117/1.JMI.10.6.061403", "isSupplementTo", "publication-article")
METADATA = DepositMetadata(
    title=" Polyps ",
    description="<p>A model.</p>",
    creators=(JANE, Creator("Roe, Richard")),
    license="CC BY 4.0",
    version="1.0.0",
    keywords=("synthetic data",),
    related_identifiers=(PAPER,),
    publication_date="2026-01-02",
)


def test_it_is_sent_by_the_names_of_zenodo():
    assert METADATA.to_dict() == {
        "title": "Polyps",
        "upload_type": "software",
        "description": "<p>A model.</p>",
        "creators": [
            {
                "name": "Doe, Jane",
                "affiliation": "A University",
                "orcid": "0000-0002-1825-0097",
            },
            {"name": "Roe, Richard"},
        ],
        "access_right": "open",
        "license": "cc-by-4.0",
        "publication_date": "2026-01-02",
        "version": "1.0.0",
        "keywords": ["synthetic data"],
        "related_identifiers": [
            {
                "identifier": "10.1117/1.JMI.10.6.061403",
                "relation": "isSupplementTo",
                "resource_type": "publication-article",
            }
        ],
    }


def test_without_a_date_it_is_today():
    fields = replace(METADATA, publication_date="").to_dict()
    assert fields["publication_date"] == date.today().isoformat()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"title": " "}, "title"),
        ({"description": ""}, "description"),
        ({"creators": ()}, "creators"),
        ({"creators": (Creator(" "),)}, "creators[0].name"),
        ({"creators": (JANE, Creator("A", orcid="0000-0002-1825-0098"))}, "creators[1].orcid"),
        ({"creators": (Creator("A", orcid="jane"),)}, "creators[0].orcid"),
        ({"license": "free"}, "license"),
        ({"license": ""}, "license"),
        ({"keywords": ("a", "")}, "keywords[1]"),
        ({"upload_type": "model"}, "upload_type"),
        ({"publication_date": "2026-02-30"}, "publication_date"),
        ({"publication_date": "20260201"}, "publication_date"),
        (
            {"related_identifiers": (RelatedIdentifier("the paper", "cites"),)},
            "related_identifiers[0].identifier",
        ),
        (
            {"related_identifiers": (RelatedIdentifier("10.1117/1.x", "explains"),)},
            "related_identifiers[0].relation",
        ),
    ],
)
def test_what_zenodo_would_refuse_is_named(change, field):
    metadata = replace(METADATA, **change)
    (fault,) = metadata.faults()
    assert fault.startswith(f"{field}: ")
    with pytest.raises(InvalidRecordError, match="1 fault"):
        metadata.to_dict()


def test_all_faults_are_named_at_once():
    assert len(replace(METADATA, title="", creators=(), license="?").faults()) == 3


# ORCIDs that their organisation shows as examples, and one that ends with X.
@pytest.mark.parametrize(
    "orcid", ["0000-0002-1825-0097", "0000-0001-5109-3700", "0000-0002-1694-233X"]
)
def test_an_orcid_has_a_check_character(orcid):
    assert is_orcid(orcid)
    digits = [place for place, character in enumerate(orcid) if character.isdecimal()]
    for place in digits:
        other = str((int(orcid[place]) + 1) % 10)
        assert not is_orcid(orcid[:place] + other + orcid[place + 1 :])


@pytest.mark.parametrize(
    ("text", "licence"),
    [
        ("MIT", "mit"),
        ("apache-2.0", "apache-2.0"),
        ("CC BY-SA 4.0", "cc-by-sa-4.0"),
        ("CC0-1.0", "cc0-1.0"),
        ("BSD-3-Clause", "bsd-3-clause"),
        ("GPL-3.0-or-later", "gpl-3.0-or-later"),
    ],
)
def test_licences_are_known_in_any_spelling(text, licence):
    assert licence_id(text) == licence


@pytest.mark.parametrize("text", ["", "MIT AND Apache-2.0", "(MIT)", "LicenseRef-mine", "free"])
def test_a_licence_is_one_of_spdx(text):
    with pytest.raises(ArgumentError, match="SPDX"):
        licence_id(text)
