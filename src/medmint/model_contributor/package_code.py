"""What can be said of a package's code without running it."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from medmint.errors import ContractError

BASE_ARGUMENTS = ("model_file", "num_samples", "output_path", "save_images")
_DEEPEST = 5

Contract = Literal["generate", "sampler"]
Function = ast.FunctionDef | ast.AsyncFunctionDef


class PackageCode:
    """The Python files of a package, parsed and not imported.

    Parameters
    ----------
    folder : Path
        With ``__init__.py`` in it.

    Raises
    ------
    ContractError
        If ``__init__.py`` is missing, or a file cannot be parsed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not (folder / "__init__.py").is_file():
            found = ", ".join(sorted(path.name for path in folder.iterdir())) or "nothing"
            raise ContractError(folder.name, "a file __init__.py", f"only {found}")
        self._trees = {path: self._parse(path) for path in sorted(folder.rglob("*.py"))}

    def contract(self, function: str | None = None) -> Contract:
        """Return which contract the package keeps, by the function that is there.

        Parameters
        ----------
        function : str, optional
            Name of the function that generates, where it is not ``generate``.

        Raises
        ------
        ContractError
            If there is neither.
        """
        names = self._names(self._trees[self.folder / "__init__.py"])
        if "load" in names and function in {None, "load"}:
            return "sampler"
        if (function or "generate") in names or "*" in names:
            return "generate"
        wanted = function or "load(weights, device), or generate(...)"
        found = ", ".join(sorted(names)) or "no names at all"
        raise ContractError(self.folder.name, f"a function {wanted} in __init__.py", found)

    def check_function(self, contract: Contract, name: str, options: Sequence[str]) -> None:
        """See that the function takes what it is called with.

        A function that is not defined by ``def`` in the package is left to the import test.

        Raises
        ------
        ContractError
            If an argument is missing, or one more is demanded.
        """
        init = self.folder / "__init__.py"
        names = self._names(self._trees[init])
        if name not in names and "*" not in names:
            found = ", ".join(sorted(names)) or "no names at all"
            raise ContractError(self.folder.name, f"a function {name} in __init__.py", found)
        function = self._find(init, name, _DEEPEST)
        if function is None:
            return
        if contract == "sampler":
            given, fault = ["weights", "device"], _sampler_fault(function)
        else:
            given = [*BASE_ARGUMENTS, *options]
            fault = _call_fault(function, given)
        if fault:
            expected = f"{name}({', '.join(given)}) in __init__.py"
            raise ContractError(self.folder.name, expected, fault)

    def options(self, name: str) -> dict[str, Any]:
        """Return the further arguments of a generate function, with defaults that JSON can hold."""
        function = self._find(self.folder / "__init__.py", name, _DEEPEST)
        if function is None:
            return {}
        arguments = function.args
        positional = [*arguments.posonlyargs, *arguments.args]
        with_default = positional[len(positional) - len(arguments.defaults) :]
        pairs: list[tuple[ast.arg, ast.expr | None]] = []
        pairs += zip(with_default, arguments.defaults, strict=True)
        pairs += zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        values = {one.arg: _literal(default) for one, default in pairs if default is not None}
        return {
            argument: value for argument, value in values.items() if argument not in BASE_ARGUMENTS
        }

    def imported(self) -> dict[str, str]:
        """Return the foreign modules that are needed to run, each with the file that imports it.

        Only files that ``__init__.py`` leads to are looked at, not those of training; what is
        imported in a ``try`` that can do without it is left out.
        """
        found: dict[str, str] = {}
        for path in sorted(self._reached()):
            for module in _imports(self._trees[path]):
                if module not in sys.stdlib_module_names and not self._local(module, self.folder):
                    found.setdefault(module, path.relative_to(self.folder).as_posix())
        return found

    def constant(self, name: str) -> int | None:
        """Return the value of a whole number that ``__init__.py`` assigns to a name, if it does."""
        for node in self._trees[self.folder / "__init__.py"].body:
            if isinstance(node, ast.Assign) and len(node.targets) == 1:
                values = _assigned(node.targets[0], node.value)
                if isinstance(values.get(name), int):
                    return values[name]
        return None

    def _parse(self, path: Path) -> ast.Module:
        name = path.relative_to(self.folder).as_posix()
        try:
            return ast.parse(path.read_bytes(), filename=name)
        except SyntaxError as error:
            found = f"{error.msg} in {name}, line {error.lineno}"
            raise ContractError(self.folder.name, "Python that can be parsed", found) from error
        except (ValueError, RecursionError, MemoryError, OSError) as error:
            # Of what is nested too deeply, the parser says that memory has run out.
            found = f"{name}: {error or 'something nested too deeply'}"
            raise ContractError(self.folder.name, "Python that can be parsed", found) from error

    def _names(self, tree: ast.Module) -> set[str]:
        names: set[str] = set()
        for node in tree.body:
            if isinstance(node, Function | ast.ClassDef):
                names.add(node.name)
            elif isinstance(node, ast.Import | ast.ImportFrom):
                names |= {alias.asname or alias.name for alias in node.names}
            elif isinstance(node, ast.Assign):
                names |= {one.id for one in node.targets if isinstance(one, ast.Name)}
        return names

    def _find(self, path: Path, name: str, depth: int) -> Function | None:
        """Find where a function is defined, along the imports inside the package."""
        for node in self._trees[path].body:
            if isinstance(node, Function) and node.name == name:
                return node
            if isinstance(node, ast.ImportFrom) and depth:
                for alias in node.names:
                    source = self._local(node.module or "", self._root(path, node))
                    if (alias.asname or alias.name) == name and source is not None:
                        return self._find(source, alias.name, depth - 1)
        return None

    def _root(self, path: Path, node: ast.ImportFrom) -> Path:
        return path.parents[node.level - 1] if node.level else self.folder

    def _local(self, module: str, root: Path) -> Path | None:
        """Return the file of a module of the package, None for one from elsewhere."""
        place = root.joinpath(*module.split(".")) if module else root
        candidates = (place / "__init__.py", place.with_name(f"{place.name}.py"))
        return next((path for path in candidates if path in self._trees), None)

    def _reached(self) -> set[Path]:
        """Return the files that are imported with the package."""
        reached: set[Path] = set()
        pending = [self.folder / "__init__.py"]
        while pending:
            path = pending.pop()
            if path not in reached:
                reached.add(path)
                pending += filter(None, self._siblings(path))
        return reached

    def _siblings(self, path: Path) -> Iterator[Path | None]:
        for node in ast.walk(self._trees[path]):
            if isinstance(node, ast.Import):
                yield from (self._local(alias.name, self.folder) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                root, module = self._root(path, node), node.module or ""
                yield self._local(module, root)
                for alias in node.names:
                    yield self._local(f"{module}.{alias.name}".strip("."), root)


def _imports(tree: ast.AST) -> Iterator[str]:
    """Yield the top names of foreign modules that a file imports, functions included."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module.partition(".")[0]
        elif not _is_optional(node):
            yield from _imports(node)


def _is_optional(node: ast.AST) -> bool:
    """Tell what is done without where it fails, and what type checkers alone read."""
    if isinstance(node, ast.If):
        return ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}
    caught = [h.type for h in node.handlers if h.type] if isinstance(node, ast.Try) else []
    return any("ImportError" in ast.unparse(t) or "NotFound" in ast.unparse(t) for t in caught)


def _sampler_fault(function: Function) -> str:
    """Return why ``load(weights, device)`` would fail, or nothing."""
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    if len(positional) < 2 and arguments.vararg is None:
        return f"load({', '.join(one.arg for one in positional)}), which takes fewer"
    return _demanded(function, [one.arg for one in positional[:2]])


def _call_fault(function: Function, given: Sequence[str]) -> str:
    """Return why a call with these named arguments would fail, or nothing."""
    arguments = function.args
    takes = {one.arg for one in [*arguments.args, *arguments.kwonlyargs]}
    missing = [name for name in given if name not in takes]
    if missing and arguments.kwarg is None:
        return f"a function that does not take {', '.join(missing)}"
    return _demanded(function, given)


def _demanded(function: Function, given: Sequence[str]) -> str:
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    without = positional[: len(positional) - len(arguments.defaults)]
    pairs = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    needed = [one.arg for one in without] + [one.arg for one, default in pairs if default is None]
    more = [name for name in needed if name not in given]
    return f"a function that demands {', '.join(more)} as well" if more else ""


def _assigned(target: ast.expr, value: ast.expr) -> dict[str, int]:
    """Return the whole numbers in ``A = 8`` and ``A, B = 8, 32``."""
    pairs = [(target, value)]
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        pairs = list(zip(target.elts, value.elts, strict=False))
    return {
        name.id: number.value
        for name, number in pairs
        if isinstance(name, ast.Name)
        and isinstance(number, ast.Constant)
        and isinstance(number.value, int)
    }


def _literal(node: ast.expr) -> Any:
    """Return the value of a default where JSON can hold it, else None."""
    try:
        value = ast.literal_eval(node)
        json.dumps(value, allow_nan=False)
    except (ValueError, TypeError, RecursionError):
        return None
    return value
