"""Packages of the published kind that are not what their record says, and what they are told."""

import copy

import pytest

from medmint import Generators
from medmint.cli.main import main
from medmint.errors import ContractError, DownloadError, GenerationError, MedmintError
from medmint.settings import Settings
from tests.fakes.faults import Fault
from tests.fakes.wheels import make_wheel, use_wheels
from tests.fakes.zenodo import Zenodo
from tests.packages.builders import catalogue_of, write_package

RESULTS = {
    "nothing": "None",
    "too few": "images[:-1]",
    "ragged": "[image[: 4 - i] for i, image in enumerate(images)]",
    "something else": "'done'",
}


@pytest.mark.parametrize("what", RESULTS)
def test_a_function_that_returns(what, tmp_path):
    package = write_package(tmp_path / "package", contract="generate", result=RESULTS[what])
    with Generators() as generators, pytest.raises((ContractError, GenerationError)) as caught:
        generators.generate(None, 3, save_images=False, package=package, seed=1)
    assert "90100_ODD" in str(caught.value)
    assert "expected" in str(caught.value)


@pytest.fixture
def without_function(tmp_path):
    package = write_package(tmp_path / "package", contract="generate")
    (package / "__init__.py").write_text("def produce(): ...\n")
    return package


def test_a_package_without_its_function(without_function):
    with Generators() as generators, pytest.raises(ContractError, match="generate"):
        generators.generate(None, 3, save_images=False, package=without_function, seed=1)


def test_a_package_without_its_function_on_the_command_line(
    without_function, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(["generate", "--package", str(without_function), "--num-samples=2"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("medmint: ")
    assert "generate" in line


def test_an_input_folder_that_is_not_there(tmp_path):
    in_call = "os.listdir(options['input_path'])"
    package = write_package(
        tmp_path / "package", contract="generate", in_call=in_call, options={"input_path": "input"}
    )
    with Generators() as generators, pytest.raises(MedmintError) as caught:
        generators.generate(
            None, 1, save_images=False, package=package, input_path=str(tmp_path / "none")
        )
    assert str(tmp_path / "none") in str(caught.value)


def test_a_proxy_that_wants_credentials(tmp_path):
    entry = catalogue_of(write_package(tmp_path / "package"))["90100_ODD"]
    with Zenodo() as zenodo:
        entry["execution"]["package_link"] = zenodo.plain("/model.zip", lambda: b"PK")
        zenodo.misbehave(Fault("status", 407))
        settings = Settings(home=tmp_path / "home", zenodo_url=zenodo.url)
        generators = Generators(catalogue={"90100_ODD": entry}, settings=settings)
        with pytest.raises(DownloadError, match="HTTPS_PROXY"):
            generators.install(90100)


@pytest.mark.slow
def test_two_models_with_two_versions_of_a_package(tmp_path, monkeypatch):
    from importlib import metadata

    wheels = use_wheels(monkeypatch, tmp_path)
    catalogue = {}
    for number, version in ((90101, "1.0"), (90102, "2.0")):
        make_wheel(wheels, "medmint_fake", version)
        folder = write_package(
            tmp_path / f"p{number}",
            contract="generate",
            number=number,
            at_import="import medmint_fake",
            result="[(image, medmint_fake.VERSION) for image in images]",
        )
        entry = copy.deepcopy(catalogue_of(folder)[f"{number}_ODD"])
        entry["execution"]["dependencies"] = ["numpy", f"medmint_fake=={version}"]
        catalogue[f"{number}_ODD"] = entry
    before = sorted((one.name, one.version) for one in metadata.distributions())
    settings = Settings(home=tmp_path / "home")
    with Generators(catalogue=catalogue, settings=settings) as generators:
        for _ in range(2):
            for number, version in ((90101, "1.0"), (90102, "2.0")):
                ((_, label),) = generators.generate(
                    number, 1, save_images=False, seed=1, install_dependencies=True
                )
                assert label == version
    assert sorted((one.name, one.version) for one in metadata.distributions()) == before
    assert "medmint_fake" not in {name for name, _ in before}
