"""Weights as they leave a training, and as another one starts from them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from medmint.errors import TrainingError
from medmint.home import write_file


def save_weights(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, str]) -> None:
    """Write tensors in half precision, whole numbers as they are; the same give the same bytes.

    Raises
    ------
    WriterError
        If the file cannot be written; what was there before stays.
    """
    halves = {
        name: (t.half() if t.is_floating_point() else t).detach().cpu().contiguous()
        for name, t in tensors.items()
    }
    write_file(path, _in_order(save(halves, metadata=dict(facts))))


def _in_order(content: bytes) -> bytes:
    """Sort the facts in the header of a file, which safetensors writes in an order of chance.

    References
    ----------
    Format: https://github.com/huggingface/safetensors#format
    """
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[start:]


def start_from(path: Path, network: nn.Module, prefix: str = "") -> None:
    """Load weights of an earlier training into a network, to go on from on other images.

    Parameters
    ----------
    path : Path
        File as `save_weights` writes it.
    network : Module
        Network of the same architecture.
    prefix : str
        What names of this network begin with in the file.

    Raises
    ------
    TrainingError
        If it is no such file or of another architecture.
    """
    if not path.is_file():
        raise _refusal(path, "there is no such file")
    try:
        with safe_open(path, framework="pt") as file:
            names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118
            tensors = {name.removeprefix(prefix): file.get_tensor(name) for name in names}
    except (OSError, SafetensorError) as error:
        raise _refusal(path, "it is no readable safetensors file") from error
    if difference := _difference(tensors, network.state_dict()):
        raise _refusal(path, f"{prefix}{difference}")
    network.load_state_dict(tensors)


def _refusal(path: Path, reason: str) -> TrainingError:
    return TrainingError(
        path,
        f"these are no weights of this network: {reason}",
        "Give a .safetensors file, with the size and widths that it was trained with.",
    )


def _difference(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str | None:
    """Name the first tensor that weights lack, have in another shape, or have beyond a network."""
    for name, tensor in wanted.items():
        if name not in found:
            return f"{name} is not in it"
        if found[name].shape != tensor.shape:
            return f"{name} has shape {tuple(found[name].shape)}, expected {tuple(tensor.shape)}"
    return next((f"{name} is nothing of it" for name in found if name not in wanted), None)
