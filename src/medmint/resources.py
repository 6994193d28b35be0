"""The one place that knows where the catalogue and the reference packages are.

In an installed wheel they are package data under ``medmint/_data``; in an editable install they
are ``config/`` and ``templates/`` at the root of the repository.
"""

from __future__ import annotations

from pathlib import Path

from medmint.errors import PackageError

_PACKAGED = Path(__file__).resolve().parent / "_data"
_REPOSITORY = Path(__file__).resolve().parents[2]


def config_file(name: str) -> Path:
    """Return the path of a file of ``config/``, such as ``global.json``."""
    return _locate("config", name)


def template_folder(name: str) -> Path:
    """Return the folder of a reference package of ``templates/``, such as ``phantom_ct_head``."""
    return _locate("templates", name)


def _locate(kind: str, name: str) -> Path:
    for root in (_PACKAGED, _REPOSITORY):
        path = root / kind / name
        if path.exists():
            return path
    raise PackageError(
        f"{kind}/{name} is not part of this installation of medmint. "
        "Reinstall it: python -m pip install --force-reinstall medmint"
    )
