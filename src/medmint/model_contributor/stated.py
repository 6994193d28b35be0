"""Whether the stated requirements bring all that a package imports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.machinery import PathFinder

from medmint.packages.environments.interpreters import running_interpreter
from medmint.packages.environments.linked import closure, provided_modules


def unstated(imported: Mapping[str, str], requirements: Sequence[str]) -> list[str]:
    """Return the imported modules that the requirements do not bring.

    Parameters
    ----------
    imported : mapping of str to str
        Top names of modules, each with the file that imports it.
    requirements : sequence of str
        As pip takes them.

    Returns
    -------
    list of str
        Such as ``"scipy (network.py)"``, sorted. Where a requirement is not installed here, a
        module that is not here either may be its own, and is not listed.

    Raises
    ------
    ArgumentError
        If a requirement is none.

    Examples
    --------
    >>> unstated({"numpy": "__init__.py", "packaging": "io.py"}, ["numpy>=1.26"])
    ['packaging (io.py)']
    """
    here = running_interpreter()
    provided = provided_modules(requirements)
    is_all_here = all(here.find(name) for name in closure(requirements))
    return sorted(
        f"{module} ({file})"
        for module, file in imported.items()
        if module not in provided and (is_all_here or PathFinder.find_spec(module))
    )
