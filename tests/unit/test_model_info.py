"""What users are told about every model of the catalogue, and how they cite it."""

import json
import re

import pytest

from medmint.catalogue.records import ModelRecord, read_catalogue
from medmint.model_info import citation, summarise
from medmint.resources import config_file
from tests.packages.records import record

CATALOGUE = read_catalogue(config_file("global.json"))
RECORDS = {key: ModelRecord.from_dict(key, entry) for key, entry in CATALOGUE.items()}


@pytest.mark.parametrize("model_id", RECORDS)
def test_facts_are_plain_and_survive_json(model_id):
    facts = summarise(RECORDS[model_id])
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert facts["model_id"] == model_id
    assert facts["title"]
    assert all(int(side) > 0 for side in facts["size"])


def test_facts_can_be_changed_without_harm():
    model = record(options={"sizes": [1, 2], "more": {"a": 1}})
    first = summarise(model)
    first["options"]["sizes"].append(3)
    first["options"]["more"]["b"] = 2
    assert summarise(model)["options"] == {"sizes": [1, 2], "more": {"a": 1}}


def test_only_what_was_measured_is_shown():
    facts = summarise(RECORDS["10001_PHANTOM_CT_HEAD_SLICE"])
    assert facts["performance"] == {}
    assert facts["size"] == [256, 256]
    assert facts["options"] == {"noise": 8.0}
    published = summarise(next(iter(RECORDS.values())))["performance"]
    assert None not in published.values()
    assert published["FID"] == pytest.approx(67.60)


def entries(bibtex):
    """Read BibTeX written one field a line into (type, key, fields)."""
    found = []
    for kind, key, body in re.findall(r"@(\w+)\{([^,]+),\n(.*?)\n\}", bibtex, re.DOTALL):
        fields = dict(re.findall(r"^  (\w+) = \{(.*)\},$", body, re.MULTILINE))
        assert len(fields) == len(body.splitlines())
        found.append((kind, key, fields))
    return found


@pytest.mark.parametrize("model_id", RECORDS)
def test_every_model_can_be_cited_with_its_licence(model_id):
    found = entries(citation(RECORDS[model_id]))
    kind, key, itself = found[-1]
    assert (kind, key) == ("misc", model_id)
    assert "licence of the weights: " in itself["note"]
    assert len({key for _, key, _ in found}) == len(found)
    for _, _, fields in found:
        assert all(value.count("{") == value.count("}") for value in fields.values())
        prose = [value for name, value in fields.items() if name not in ("doi", "url")]
        assert not re.search(r"(?<!\\)[&%$#_]", " ".join(prose)), "LaTeX would stumble"


def test_works_come_first_and_authors_are_joined():
    works = entries(citation(RECORDS["10002_FASTGAN_ENDOSCOPY_POLYP_W_MASKS"]))
    assert [key for _, key, _ in works[:2]] == ["borgli2020", "liu2021"]
    assert works[0][2]["author"].startswith("Borgli, Hanna and Thambawita, Vajira")
    assert works[0][2]["author"].endswith("and others")
    assert "CC-BY-4.0" in works[-1][2]["note"]


def test_addresses_are_not_escaped():
    entry = record().to_dict()
    entry["description"]["citation"] = [
        {"type": "misc", "key": "k", "title": "R&D of 100 % pure_noise", "doi": "10.1000/a_b#c"}
    ]
    text = citation(ModelRecord.from_dict("90009_TEST_MODEL", entry))
    assert r"title = {R\&D of 100 \% pure\_noise}" in text
    assert "doi = {10.1000/a_b#c}" in text
