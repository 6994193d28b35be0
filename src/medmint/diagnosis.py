"""What this installation has, and what a model would need of it."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from medmint.catalogue.records import ModelRecord
from medmint.packages.environments.building import explain
from medmint.packages.store import PackageStore
from medmint.settings import Settings, usable_threads
from medmint.version import __version__

_SHOWN = ("torch", "numpy", "scipy", "pillow", "safetensors", "uv")


def describe_installation(settings: Settings) -> dict[str, Any]:
    """Return versions, folders and devices of this installation.

    Parameters
    ----------
    settings : Settings

    Returns
    -------
    dict
        Plain values.
    """
    return {
        "medmint": __version__,
        "python": f"{platform.python_version()} ({sys.executable})",
        "system": platform.platform(),
        "packages": {name: _version(name) for name in _SHOWN},
        "devices": _devices(),
        "threads": usable_threads(),
        "home": str(settings.home),
        "offline": settings.offline,
    }


def describe_needs(record: ModelRecord, settings: Settings) -> dict[str, Any]:
    """Return what a model needs, what of it is here, and what a call would do.

    Parameters
    ----------
    record : ModelRecord
    settings : Settings

    Returns
    -------
    dict
        Plain values. Nothing is downloaded, installed or changed.
    """
    explanation = explain(
        record.execution.dependencies,
        settings=settings,
        model_id=record.model_id,
        python_requires=record.execution.python,
    )
    return {
        "model_id": record.model_id,
        "package": record.execution.package_link,
        "installed": _whereabouts(record, settings),
        "python": str(explanation.report.python or "any that medmint runs on"),
        "requirements": [str(status) for status in explanation.report.statuses],
        "generate": explanation.without_install,
        "with install_dependencies": explanation.with_install,
    }


def _whereabouts(record: ModelRecord, settings: Settings) -> str:
    """Say whether a package is here, and what would have to happen if it is not."""
    if PackageStore(settings).is_installed(record):
        return "yes"
    if settings.offline:
        return "no, and MEDMINT_OFFLINE forbids to download it"
    size = record.execution.size_bytes
    return f"no, {f'{size / 1e6:.1f} MB' if size else 'it'} would be downloaded"


def _devices() -> list[str]:
    import torch

    cards = range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
    names = [f"cuda:{i} ({torch.cuda.get_device_name(i)})" for i in cards]
    return [*names, *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
