"""Files that a model is given to work on, named so that its worker finds them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medmint.catalogue.records import ModelRecord
from medmint.errors import ArgumentError


def with_absolute_paths(
    options: Mapping[str, Any], given: Mapping[str, Any], record: ModelRecord, root: Path
) -> dict[str, Any]:
    """Return options with their paths absolute, as the worker has a working directory of its own.

    Options with ``path`` in their name hold paths, or lists of them. What the user gave counts
    from the user's working directory, what the record gives from the package; in both,
    ``models/<model_id>/`` stands for the package.

    Parameters
    ----------
    options : mapping
        All options of the model.
    given : mapping
        Those that the user gave.
    record : ModelRecord
    root : Path
        Folder of the package.

    Raises
    ------
    ArgumentError
        If the user named something that does not exist.
    """
    prefix = f"models/{record.model_id}/"

    def absolute(name: str, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [absolute(name, item) for item in value]
        if not isinstance(value, str | Path):
            return value
        text = str(value)
        if text.startswith(prefix):
            return str(root / text.removeprefix(prefix))
        if "path" not in name.lower():
            return value
        if name not in given:
            return str(root / text) if (root / text).exists() else text
        path = Path(text).expanduser().absolute()
        if not path.exists():
            raise ArgumentError(name, text, "an existing file or folder")
        return str(path)

    return {name: absolute(name, value) for name, value in options.items()}
