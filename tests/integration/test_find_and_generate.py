"""Search, rank and generate in one call, against the stand-in for Zenodo."""

import copy

import pytest

from medmint import Generators
from medmint.errors import SelectionError
from medmint.settings import Settings
from tests.fakes import published
from tests.fakes.zenodo import Zenodo


@pytest.fixture
def generators(tmp_path):
    """All published records, their dependencies cut to what the stand-in packages import."""
    records = copy.deepcopy(published.RECORDS)
    with Zenodo() as zenodo:
        for model_id, record in records.items():
            record["execution"]["dependencies"] = published.dependencies(model_id)
            link = record["execution"]["package_link"]
            number = int(link.split("/files/")[0].rsplit("/", 1)[1])
            name = published.zip_name(model_id)
            zenodo.add_record({name: published.build_zip(model_id)}, number=number)
        settings = Settings(home=tmp_path / "home", zenodo_url=zenodo.url)
        with Generators(catalogue=records, settings=settings) as made:
            yield made


def test_the_best_model_of_a_search_generates(generators):
    ranking = generators.find_models_and_rank(["endoscopy"], metric="FID")
    assert ranking[0]["model_id"].startswith("00010")
    samples = generators.find_models_rank_and_generate(
        values=["endoscopy"], metric="FID", num_samples=2, save_images=False
    )
    assert [image.shape for image, mask in samples] == [(256, 256, 3)] * 2


def test_the_snippets_of_the_paper_run(generators, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = ["dcgan", "mMg", "ClF", "modality"]
    found = generators.find_model(values=values, operator="OR")
    assert len(found) > 3
    result = generators.find_models_rank_and_generate(
        values=["mammography"], metric="FID", num_samples=2
    )
    assert result.folder.parts[0] == "output"
    assert result.folder.parts[1].startswith("00001")
    assert result.count == 2


def test_one_match_generates_and_several_are_named(generators):
    samples = generators.find_model_and_generate(
        ["fastgan", "polyp"], num_samples=1, save_images=False
    )
    assert len(samples) == 1
    with pytest.raises(SelectionError, match=r"00009_PGGAN.*00010_FASTGAN.*call generate"):
        generators.find_model_and_generate(["polyp"], num_samples=1, save_images=False)
    with pytest.raises(SelectionError, match="found 0"):
        generators.find_model_and_generate(["polyp", "mammography"], num_samples=1)


def test_nothing_ranked_is_said_with_the_models_that_were_found(generators):
    with pytest.raises(SelectionError, match="00022_WGAN_CARDIAC_AGING"):
        generators.find_models_rank_and_generate(["cardiac", "aging"], metric="FID")
