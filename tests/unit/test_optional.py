"""Optional dependencies: imported where they are, asked for where they are not."""

import sys

import pytest

from medmint.errors import MissingExtraError
from medmint.optional import require


def test_what_is_there_is_imported():
    assert require("json.decoder", extra="notebook") is sys.modules["json.decoder"]


@pytest.mark.parametrize("module", ["no_such_module", "no_such_package.part"])
def test_what_is_missing_is_named_with_its_extra(module):
    with pytest.raises(MissingExtraError) as caught:
        require(module, extra="dicom")
    assert (caught.value.module, caught.value.extra) == (module, "dicom")
    assert "python -m pip install 'medmint[dicom]'" in str(caught.value)


def test_what_is_missing_inside_a_dependency_is_its_own_fault(tmp_path, monkeypatch):
    (tmp_path / "half_there.py").write_text("import something_else_missing")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="something_else_missing") as caught:
        require("half_there", extra="dicom")
    assert not isinstance(caught.value, MissingExtraError)
