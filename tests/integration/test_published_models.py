"""All 23 published models: as they are asked for, and run through the path of production."""

import copy

import numpy as np
import pytest

from medmint import Generators
from medmint.errors import DependencyError
from medmint.packages.environments.building import explain
from medmint.settings import Settings
from tests.fakes import published
from tests.fakes.zenodo import Zenodo

MODELS = list(published.RECORDS)
COUNT = 3


@pytest.fixture(scope="module")
def zenodo():
    with Zenodo() as server:
        for model_id in MODELS:
            link = published.RECORDS[model_id]["execution"]["package_link"]
            number = int(link.split("/files/")[0].rsplit("/", 1)[1])
            server.add_record(
                {published.zip_name(model_id): published.build_zip(model_id)}, number=number
            )
        yield server


@pytest.fixture(scope="module")
def generators(zenodo, tmp_path_factory):
    """All records, their dependencies cut to what the stand-in packages import."""
    records = copy.deepcopy(published.RECORDS)
    for model_id, record in records.items():
        record["execution"]["dependencies"] = published.dependencies(model_id)
    settings = Settings(home=tmp_path_factory.mktemp("home"), zenodo_url=zenodo.url)
    with Generators(catalogue=records, settings=settings) as made:
        yield made


def names_and_arrays(model_id, sample):
    """Pair the parts of a sample with the names that the stand-in gives them."""
    package = published.PACKAGES[published.number_of(model_id)]
    parts = sample if isinstance(sample, tuple) else (sample,)
    names = [*package.gives, *(["label"] if package.labels else [])]
    return dict(zip(names, parts, strict=True))


@pytest.mark.parametrize("model_id", MODELS)
def test_published_record_is_refused_just_as_doctor_predicts(model_id, tmp_path):
    settings = Settings(home=tmp_path / "home", offline=True)
    record = published.RECORDS[model_id]["execution"]
    explanation = explain(record["dependencies"], settings=settings, model_id=model_id)
    generators = Generators(settings=settings)
    if explanation.report.is_met:
        assert {"numpy", "torch", "tqdm"} >= set(record["dependencies"])
        return
    with pytest.raises(DependencyError) as caught:
        generators.generate(model_id, 1, save_images=False)
    assert explanation.without_install == f"DependencyError: {caught.value}"
    assert caught.value.missing == explanation.report.unmet
    assert not (tmp_path / "home").exists()


def test_a_plain_machine_lacks_something_for_20_of_the_23():
    plain = {"numpy", "torch", "tqdm"}
    needy = [m for m, r in published.RECORDS.items() if set(r["execution"]["dependencies"]) - plain]
    assert len(needy) == 20


@pytest.mark.parametrize("model_id", MODELS)
def test_published_model_gives_what_its_package_gives(model_id, generators, tmp_path):
    # One test a model: its worker stays warm from the first call to the last.
    package = published.PACKAGES[published.number_of(model_id)]
    samples = generators.generate(model_id, COUNT, save_images=False, seed=5)
    assert len(samples) == COUNT
    for sample in samples:
        parts = names_and_arrays(model_id, sample)
        if package.labels:
            assert parts.pop("label") in package.labels
        assert {name: part.shape for name, part in parts.items()} == published.shapes_of(model_id)
        assert all(part.dtype == np.uint8 for part in parts.values())
        assert len(np.unique(parts["image"])) > 2
    once = generators.generate(model_id, COUNT, tmp_path / "once", seed=5)
    generators.generate(model_id, COUNT, tmp_path / "twice", seed=5)
    lines = list(once.samples())
    assert [line["index"] for line in lines] == list(range(COUNT))
    assert all(set(package.gives) <= set(line) for line in lines)
    files = sorted(p.relative_to(once.folder) for p in once.folder.rglob("*") if p.is_file())
    assert len(files) == COUNT * len(package.gives) + 1
    for file in files:
        assert (tmp_path / "once" / file).read_bytes() == (tmp_path / "twice" / file).read_bytes()


@pytest.mark.parametrize(
    ("model_id", "options"),
    [
        (3, {"translate_all_images": True}),
        (4, {"gpu_id": 1, "ssim_threshold": 0.5}),
        (7, {"num_inpaints_per_sample": 1, "radius_1": 4}),
        (8, {"condition": "malignant", "is_cbisddsm_training_data": False}),
        (9, {"save_option": "image_only"}),
        (10, {"save_option": "mask_only", "gpu_id": "0"}),
        (11, {"gen_start_scale": 1}),
        (14, {"low_to_high": False}),
        (20, {"resize_pixel_dim": [64, 64]}),
        (21, {"T1_to_T2": False}),
        (22, {"aging_input": [5], "view": "sa"}),
    ],
)
@pytest.mark.slow
def test_published_model_takes_its_own_options(model_id, options, generators):
    samples = generators.generate(model_id, 2, save_images=False, seed=1, **options)
    assert len(samples) == 2


def test_condition_of_a_published_model_reaches_it(generators):
    samples = generators.generate(8, 4, save_images=False, seed=1, condition="malignant")
    assert [label for _, label in samples] == ["malignant"] * 4


def test_two_packages_with_siblings_of_the_same_names_in_one_session(generators):
    first = generators.generate(3, 1, save_images=False, seed=1)
    second = generators.generate(13, 1, save_images=False, seed=1)
    assert first[0].shape == second[0].shape == (1332, 800)


def test_user_images_are_translated(generators, tmp_path):
    from PIL import Image

    Image.fromarray(np.full((8, 8), 200, np.uint8)).save(tmp_path / "mine.png")
    (own,) = generators.generate(3, 1, save_images=False, seed=1, input_path=str(tmp_path))
    (default,) = generators.generate(3, 1, save_images=False, seed=1)
    assert np.unique(own[8:-8, 8:-8]).size == 1
    assert np.unique(default).size > 2


def test_each_package_was_downloaded_once(generators, zenodo):
    generators.install(5)
    before = len(zenodo.log)
    generators.generate(5, 1, save_images=False, seed=1)
    assert len(zenodo.log) == before
