"""Imports point down only, and components of one layer do not know each other."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import medmint

ROOT = Path(medmint.__file__).parent

#: What stands above layer 0. Every other module may be used by all, and uses only its like.
LAYERS = {
    "cli": 4,
    "generators": 3,
    "config_manager": 2,
    "model_selector": 2,
    "model_executor": 2,
    "model_info": 2,
    "diagnosis": 2,
    "cache": 2,
    "model_visualizer": 2,
    "model_contributor": 2,
    "model_evaluator": 2,
    "model_trainer": 2,
    "synthetic_dataset": 2,
    "packages": 1,
    "writers": 1,
    "metrics": 1,
    "publishing": 1,
}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


#: All modules below the package; the package itself only forwards names.
MODULES = {
    module_name(path): path
    for path in sorted(ROOT.rglob("*.py"))
    if "_data" not in path.parts and path != ROOT / "__init__.py"
}


def imported_modules(path: Path) -> set[str]:
    """Return what a file imports when it runs; from a package, the module that is meant."""
    found = set()
    for node in running_nodes(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}:{node.lineno}: imports are absolute"
            members = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= members if members <= set(MODULES) else {*members, node.module}
    return found


def running_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Walk a tree, leaving out what only type checkers read."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield node
            yield from running_nodes(node)


def component(module: str) -> str:
    return module.split(".")[1]


def is_allowed(module: str, imported: str) -> bool:
    above, below = component(module), component(imported)
    if above == below:
        return True
    return layer(above) > layer(below) or layer(above) == layer(below) == 0


def layer(name: str) -> int:
    return LAYERS.get(name, 0)


def inner_modules(names: set[str]) -> set[str]:
    """Keep the modules of medmint among imported names, without classes and functions."""
    return names & set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module):
    upwards = {
        imported
        for imported in inner_modules(imported_modules(MODULES[module]))
        if not is_allowed(module, imported)
    }
    assert not upwards, f"{module} imports {sorted(upwards)}"


def test_there_is_no_import_cycle():
    graph = {name: inner_modules(imported_modules(path)) for name, path in MODULES.items()}
    while graph:
        leaves = {name for name, below in graph.items() if not below & set(graph)}
        assert leaves, f"import cycle among {sorted(graph)}"
        graph = {name: below for name, below in graph.items() if name not in leaves}


def test_worker_runs_without_medmint():
    imported = imported_modules(MODULES["medmint.packages.workers.worker"])
    assert not {name for name in imported if name.split(".")[0] == "medmint"}


def test_the_walk_sees_an_upward_import(tmp_path):
    module = tmp_path / "module.py"
    module.write_text("def late():\n    from medmint.generators import Generators\n")
    assert inner_modules(imported_modules(module)) <= {"medmint.generators"}
    assert not is_allowed("medmint.catalogue.records", "medmint.generators")
    assert not is_allowed("medmint.writers.arrays", "medmint.packages.store")
    assert not is_allowed("medmint.metrics.features", "medmint.packages.download.transfer")
