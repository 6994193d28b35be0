"""Everything that medigan's facade has is here, under its names and in its order."""

import copy
import inspect
from pathlib import Path

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from medmint import Generators
from medmint.model_visualizer import surfaces
from medmint.settings import Settings
from tests.fakes import published
from tests.fakes.deposits import TOKEN, DepositZenodo
from tests.fakes.github import TOKEN as GITHUB_TOKEN
from tests.fakes.github import GitHub
from tests.packages.folders import PLAIN_ID, plain_package

SEARCH = "values target_values_operator are_keys_also_matched is_case_sensitive"
GENERATE = "num_samples output_path is_gen_function_returned install_dependencies"
RANK = "metric order"
#: The 32 public methods of medigan 1.0.0 with their arguments; ``**`` where it takes more by name.
METHODS = {
    "list_models": "",
    "get_config_by_id": "model_id config_key",
    "is_model_metadata_valid": "model_id metadata is_local_model",
    "add_model_to_config": "model_id metadata is_local_model overwrite_existing_metadata "
    "store_new_config",
    "get_selection_criteria_by_id": "model_id is_model_id_removed",
    "get_selection_criteria_by_ids": "model_ids are_model_ids_removed",
    "get_selection_keys": "model_id",
    "get_selection_values_for_key": "key model_id",
    "get_models_by_key_value_pair": "key1 value1 is_case_sensitive",
    "find_matching_models_by_values": SEARCH,
    "rank_models_by_performance": "model_ids metric order",
    "find_models_and_rank": f"{SEARCH} {RANK}",
    "find_models_rank_and_generate": f"{SEARCH} {RANK} {GENERATE} **",
    "find_model_and_generate": f"{SEARCH} {GENERATE} **",
    "generate": "model_id num_samples output_path save_images is_gen_function_returned "
    "install_dependencies **",
    "get_generate_function": "model_id num_samples output_path install_dependencies **",
    "get_as_torch_dataset": "model_id num_samples install_dependencies transform **",
    "get_as_torch_dataloader": "dataset model_id num_samples install_dependencies transform "
    "batch_size shuffle sampler batch_sampler num_workers collate_fn pin_memory drop_last timeout "
    "worker_init_fn prefetch_factor persistent_workers **",
    "visualize": "model_id slider_grouper auto_close install_dependencies",
    "add_all_model_executors": "",
    "add_model_executor": "model_id install_dependencies",
    "get_model_executor": "model_id install_dependencies",
    "find_model_executor_by_id": "model_id",
    "is_model_executor_already_added": "model_id",
    "add_model_contributor": "model_id init_py_path",
    "get_model_contributor_by_id": "model_id",
    "add_metadata_from_file": "model_id metadata_file_path",
    "add_metadata_from_input": "model_id model_weights_name model_weights_extension "
    "generate_method_name dependencies fill_more_fields_interactively output_path",
    "test_model": "model_id is_local_model overwrite_existing_metadata store_new_config "
    "num_samples install_dependencies",
    "push_to_zenodo": "model_id zenodo_access_token creator_name creator_affiliation "
    "model_description",
    "push_to_github": "model_id github_access_token package_link creator_name "
    "creator_affiliation model_description",
    "contribute": "model_id init_py_path github_access_token zenodo_access_token "
    "metadata_file_path model_weights_name model_weights_extension generate_method_name "
    "dependencies fill_more_fields_interactively overwrite_existing_metadata output_path "
    "creator_name creator_affiliation model_description install_dependencies",
}
POLYPS = "00010_FASTGAN_POLYP_PATCHES_W_MASKS"


class Canvas(FigureCanvasAgg):
    """Stands in for that of a window: draws when it is asked to."""

    def draw_idle(self):
        pass


def positional(method):
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    found = inspect.signature(method).parameters.values()
    return [one.name for one in found if one.kind in kinds and one.name != "self"]


def test_there_are_32():
    assert len(METHODS) == 32


@pytest.mark.parametrize("name", METHODS)
def test_a_method_has_its_arguments_in_their_order(name):
    *names, last = METHODS[name].split() or [""]
    wanted = names if last in {"**", ""} else [*names, last]
    method = getattr(Generators, name)
    assert positional(method)[: len(wanted)] == wanted
    if last == "**":
        kinds = {one.kind for one in inspect.signature(method).parameters.values()}
        assert inspect.Parameter.VAR_KEYWORD in kinds


@pytest.mark.parametrize("name", METHODS)
def test_what_is_added_has_to_be_named(name):
    known = METHODS[name].replace("**", "").split()
    # pin_memory_device came to medigan behind its release.
    assert set(positional(getattr(Generators, name))) - {"pin_memory_device"} == set(known)


def test_the_constructor_takes_what_medigans_takes():
    wanted = ["config_manager", "model_selector", "model_executors", "model_contributors"]
    assert positional(Generators.__init__) == [*wanted, "initialize_all_models"]


def serve(zenodo: DepositZenodo, model_id: str, record: dict) -> None:
    """Put the stand-in of a published package on Zenodo, where its record says that it is."""
    number = int(record["execution"]["package_link"].split("/files/")[0].rpartition("/")[2])
    archive = published.build_zip(model_id)
    zenodo.add_record({published.zip_name(model_id): archive}, number=number)
    record["execution"]["dependencies"] = published.dependencies(model_id)


class TestThePapersSnippets:
    """The five code examples of the paper, against stand-ins for both services."""

    @pytest.fixture
    def generators(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        best = Generators().find_models_and_rank(["mammography"], metric="FID")[0]["model_id"]
        catalogue = copy.deepcopy(published.RECORDS)
        with DepositZenodo() as zenodo, GitHub() as github:
            github.add_repository("owner/models")
            for model_id in {POLYPS, best}:
                serve(zenodo, model_id, catalogue[model_id])
            settings = Settings(
                home=tmp_path / "home",
                zenodo_url=zenodo.url,
                zenodo_deposit_url=zenodo.url,
                github_url=github.url,
                github_repository="owner/models",
            )
            with Generators(catalogue=catalogue, settings=settings) as facade:
                yield facade

    def test_1_search(self, generators):
        values = ["patches", "mammography"]
        found = generators.find_model(values=values, operator="AND")
        assert found.model_ids

    def test_2_generate(self, generators):
        generators.generate(model_id=10, num_samples=100)
        run = Path("output") / POLYPS / "run-001"
        assert len(list((run / "images").iterdir())) == 100

    def test_3_search_rank_and_generate(self, generators):
        result = generators.find_models_rank_and_generate(values=["mammography"], metric="FID")
        best = generators.find_models_and_rank(["mammography"], metric="FID")[0]["model_id"]
        assert result.count == 30
        assert best in str(result.folder)

    def test_4_visualize(self, generators, monkeypatch):
        figure, shown = Figure(), []
        Canvas(figure)
        monkeypatch.setattr(surfaces, "open_figure", lambda: figure)
        monkeypatch.setattr(surfaces, "show_figure", lambda one, **_: shown.append(one))
        generators.visualize(model_id=10, slider_grouper=10)
        assert shown == [figure]
        assert figure.axes

    def test_5_contribute(self, generators, tmp_path):
        contribution = generators.contribute(
            model_id=PLAIN_ID,
            init_py_path=plain_package(tmp_path / "model") / "__init__.py",
            generate_method_name="generate",
            model_weights_name="my_weights",
            model_weights_extension=".npz",
            dependencies=["numpy"],
            zenodo_access_token=TOKEN,
            github_access_token=GITHUB_TOKEN,
            publish=True,
        )
        assert contribution.is_published
        assert contribution.issue_url
