"""The weights of a package: which file they are, and whether it holds what it may."""

from __future__ import annotations

from pathlib import Path

from medmint.catalogue.records import ModelRecord
from medmint.errors import ContractError
from medmint.packages.package import check_weights, find_weights
from medmint.packages.weights.scan import scan_weights

WEIGHTS_ENDINGS = (
    ".safetensors",
    ".pth.tar",
    ".pt",
    ".pth",
    ".ckpt",
    ".pkl",
    ".h5",
    ".bin",
    ".npz",
)


def weights_here(folder: Path) -> tuple[str, str]:
    """Return name and extension of the one file that can be the weights, empty if there is none.

    Raises
    ------
    ContractError
        If there are several.
    """
    found = [
        (path.relative_to(folder).as_posix().removesuffix(ending), ending)
        for path in sorted(folder.rglob("*"))
        for ending in WEIGHTS_ENDINGS
        if path.name.lower().endswith(ending) and path.is_file()
    ]
    # .pth.tar and .tar: the longer ending says more, and stands first in the list.
    names = list({name + ending: (name, ending) for name, ending in reversed(found)}.values())
    if len(names) > 1:
        listed = ", ".join(sorted(name + ending for name, ending in names))
        raise ContractError(
            folder.name,
            "one file of weights",
            listed,
            "Say which one: model_weights_name and model_weights_extension.",
        )
    return names[0] if names else ("", "")


def check_own_weights(model: ModelRecord, folder: Path) -> None:
    """See that the weights are there, whole, and hold what the contract allows.

    Raises
    ------
    ContractError
        If they hold more than tensors, or are of a form that could.
    PackageError
        If they are missing or damaged.
    """
    weights = find_weights(model, folder, folder)
    if weights is None:
        return
    check_weights(weights)
    if model.execution.contract == "sampler" and weights.suffix != ".safetensors":
        raise ContractError(
            model.model_id,
            "weights of a sampler package in a safetensors file",
            f"{weights.name}, which may be pickled and run code",
            "Save them with safetensors, or use the contract 'generate'.",
        )
    report = scan_weights(weights)
    if report.verdict != "tensors-only" and not model.execution.requires_pickle:
        raise ContractError(
            model.model_id,
            f"{weights.name} to hold tensors alone",
            f"something else. {report.detail.rstrip('.')}",
            "Save a state_dict, or state requires_pickle: true in the record.",
        )
