"""Shipped files are found, and one that is missing is named."""

import json

import pytest

from medmint.errors import PackageError
from medmint.resources import config_file, template_folder


@pytest.mark.parametrize("name", ["global.json", "schema.json"])
def test_the_catalogue_and_its_schema_are_there(name):
    assert json.loads(config_file(name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["phantom_ct_head", "fastgan_polyp", "minimal"])
def test_reference_packages_are_there(name):
    assert (template_folder(name) / "__init__.py").is_file()


def test_what_is_missing_is_named_with_the_way_out():
    with pytest.raises(PackageError, match=r"templates/nothing .* pip install --force-reinstall"):
        template_folder("nothing")
