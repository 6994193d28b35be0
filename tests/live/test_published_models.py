"""The published models from the real Zenodo, for those who have a network (run nightly)."""

import pytest

from medmint import Generators
from medmint.errors import DependencyError
from medmint.packages.environments.building import explain
from tests.fakes import published

pytestmark = [pytest.mark.network, pytest.mark.timeout(3600)]
MODELS = list(published.RECORDS)


@pytest.fixture(scope="module")
def generators(tmp_path_factory):
    from medmint.settings import Settings

    with Generators(settings=Settings(home=tmp_path_factory.mktemp("home"))) as made:
        yield made


@pytest.mark.parametrize("model_id", MODELS)
def test_a_package_arrives_as_it_was_published(model_id, generators):
    assert (generators.install(model_id) / "__init__.py").is_file()
    assert len(generators.verify(model_id)) == 64


@pytest.mark.parametrize("model_id", MODELS)
def test_a_model_runs_or_says_what_it_lacks(model_id, generators):
    dependencies = published.RECORDS[model_id]["execution"]["dependencies"]
    settings = generators.settings
    explanation = explain(dependencies, settings=settings, model_id=model_id)
    if explanation.report.is_met:
        samples = generators.generate(model_id, 3, save_images=False, seed=5, allow_pickle=True)
        assert len(samples) == 3
        return
    with pytest.raises(DependencyError) as caught:
        generators.generate(model_id, 3, save_images=False)
    assert explanation.without_install == f"DependencyError: {caught.value}"


@pytest.mark.parametrize("model_id", MODELS)
def test_a_model_runs_in_a_private_environment(model_id, generators):
    try:
        samples = generators.generate(
            model_id, 3, save_images=False, seed=5, install_dependencies=True, allow_pickle=True
        )
    except DependencyError as error:
        pytest.xfail(f"its requirements cannot be had for this Python: {error.missing}")
    assert len(samples) == 3
