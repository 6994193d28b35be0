"""What medmint offers by name, and that all of it is explained."""

import importlib
import inspect
import pkgutil
import tomllib
from importlib.metadata import metadata, version
from pathlib import Path

import pytest

import medmint

ROOT = Path(__file__).parents[2]
MODULES = [
    name
    for _, name, _ in pkgutil.walk_packages(medmint.__path__, "medmint.")
    if "_data" not in name and not name.endswith("__main__")
]
KEPT = {
    "list_models",
    "info",
    "cite",
    "get_config_by_id",
    "generate",
    "get_generate_function",
    "preview",
    "visualize",
    "latent_sensitivity",
    "add_model_executor",
    "add_all_model_executors",
    "get_model_executor",
    "find_model_executor_by_id",
    "is_model_executor_already_added",
    "close",
}


def public_members(module):
    """Yield the public classes and functions that a module defines, and the methods of classes."""
    for name, member in vars(module).items():
        defined_here = getattr(member, "__module__", None) == module.__name__
        if name.startswith("_") or not defined_here:
            continue
        if inspect.isfunction(member):
            yield name, member
        elif inspect.isclass(member):
            yield name, member
            yield from (
                (f"{name}.{method}", value)
                for method, value in vars(member).items()
                if not method.startswith("_") and inspect.isroutine(value)
            )


def test_the_facade_has_its_methods():
    assert set(dir(medmint.Generators)) >= KEPT


def test_every_public_name_is_there_and_listed():
    assert medmint.__all__ == list(dict.fromkeys(medmint.__all__))
    for name in medmint.__all__:
        assert getattr(medmint, name) is not None
    assert set(medmint.__all__) <= set(dir(medmint))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="Generator"):
        _ = medmint.Generator


def test_the_version_has_one_source():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert medmint.__version__ == version("medmint") == project["version"]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {project['version']}\n" in citation


def test_the_licence_names_code_and_weights():
    assert metadata("medmint")["License-Expression"] == "MIT AND CC-BY-4.0"


@pytest.mark.parametrize("name", MODULES)
def test_public_things_have_a_summary_line(name):
    module = importlib.import_module(name)
    assert inspect.getdoc(module), f"{name} has no docstring"
    bare = [
        member_name
        for member_name, member in public_members(module)
        if not (inspect.getdoc(member) or "").split("\n")[0].strip()
    ]
    assert not bare, f"no docstring in {name}: {bare}"
