"""The test of a model that is to be contributed includes the GPU where there is one."""

import pytest

from medmint import Generators
from medmint.model_contributor import copy_template

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("name", ["fastgan_polyp", "minimal_generate"])
def test_a_model_is_tried_on_the_card(tmp_path, name):
    model_id = copy_template(name, tmp_path / "package", taken=[])
    with Generators() as generators:
        contribution = generators.contribute(
            model_id, tmp_path / "package", dry_run=True, output_path=tmp_path / "out"
        )
    assert "3 samples on the GPU" in contribution.checks
