"""Images that image-to-image models translate: which there are, and how a model gets one."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any

import numpy as np

from medmint.catalogue.records import ModelRecord
from medmint.errors import ArgumentError
from medmint.generation_request import GenerationRequest
from medmint.packages.option_paths import with_absolute_paths
from medmint.packages.package import Package
from medmint.samples import Array

_PICTURES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"})


def input_option(record: ModelRecord) -> str | None:
    """Return the option that takes input images: a folder of them, or a list of files.

    Examples
    --------
    >>> from medmint.config_manager import ConfigManager
    >>> input_option(ConfigManager().record(3))
    'input_path'
    """
    for name, default in record.execution.generate_method.custom.items():
        words = name.lower().split("_")
        if "input" in words and {"path", "paths"} & set(words) and default:
            return name
    return None


class Inputs:
    """Input images of a model, handed to it one at a time.

    Parameters
    ----------
    record : ModelRecord
    request : GenerationRequest
        Its options may name another folder or other files than the record.
    package : Package
        Holds the images that came with the model.

    Raises
    ------
    ArgumentError
        If there are no images.
    """

    def __init__(
        self, record: ModelRecord, request: GenerationRequest, *, package: Package
    ) -> None:
        self._option = input_option(record) or ""
        defaults = record.execution.generate_method.custom.thawed()
        options = with_absolute_paths(
            defaults | dict(request.options), request.options, record, package.root
        )
        given = options[self._option]
        self._count = len(given) if isinstance(given, list) else 0
        self.files = _pictures(given)
        if not self.files:
            allowed = f"images ({', '.join(sorted(_PICTURES))})"
            raise ArgumentError(self._option, str(given), allowed)
        self._folder = Path(tempfile.mkdtemp(prefix="medmint-input-"))
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)

    def arguments(self, source: Path) -> dict[str, Any]:
        """Return the option that makes a model translate one image."""
        if self._count:
            return {self._option: [str(source)] * self._count}
        alone = self._folder / str(self.files.index(source))
        if not alone.exists():
            alone.mkdir()
            shutil.copyfile(source, alone / source.name)
        return {self._option: str(alone)}


def read_picture(path: Path) -> Array:
    """Read an input image, shape (height, width) or (height, width, 3).

    Raises
    ------
    ArgumentError
        If it is no picture.
    """
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return np.asarray(picture if picture.mode in ("L", "I;16") else picture.convert("RGB"))
    except (OSError, ValueError) as error:
        raise ArgumentError("input", str(path), f"a picture ({error})") from error


def _pictures(given: Any) -> list[Path]:
    if isinstance(given, list | tuple):
        return [Path(path) for path in dict.fromkeys(given)]
    folder = Path(str(given))
    if not folder.is_dir():
        return [folder] if folder.is_file() else []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in _PICTURES)
