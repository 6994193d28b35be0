"""What doctor says of a model."""

from dataclasses import replace

import pytest

from medmint import Generators
from medmint.diagnosis import describe_installation, describe_needs
from tests.packages.archives import record_of, zip_of


@pytest.mark.parametrize(
    ("changes", "offline", "expected"),
    [
        ({}, False, "no, it would be downloaded"),
        ({"size_bytes": 52_400_000}, False, "no, 52.4 MB would be downloaded"),
        ({"size_bytes": 52_400_000}, True, "no, and MEDMINT_OFFLINE forbids to download it"),
    ],
)
def test_it_says_what_a_package_would_cost(settings, changes, offline, expected):
    record = record_of("https://zenodo.org/records/1/files/a.zip")
    record = replace(record, execution=replace(record.execution, **changes))
    facts = describe_needs(record, replace(settings, offline=offline))
    assert facts["installed"] == expected
    assert not settings.home.exists()


def test_a_package_that_is_here_is_here(settings, tmp_path):
    (tmp_path / "model.zip").write_bytes(zip_of())
    record = record_of(tmp_path / "model.zip")
    with Generators(catalogue={record.model_id: record.to_dict()}, settings=settings) as generators:
        generators.install(record.model_id)
    assert describe_needs(record, settings)["installed"] == "yes"


def test_an_installation_names_its_versions_and_folders(settings):
    facts = describe_installation(settings)
    assert facts["home"] == str(settings.home)
    assert facts["devices"][-1] == "cpu"
    assert set(facts["packages"]) >= {"torch", "numpy", "safetensors"}
