"""What an earlier training left, and what the networks see because of it: pixels or latents."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from autoencoder import Latents, Pixels, read_autoencoder
from safetensors import SafetensorError, safe_open
from torch import Tensor

from medmint.errors import ArgumentError, TrainingError
from medmint.model_trainer.checkpoints import UNREADABLE

#: Parts of a checkpoint that another training can start from.
NETWORKS = ("seen", "generator", "average", "discriminator")
#: Side of the images whose latents are 8 x 8, the least that a generator draws.
LEAST_LATENT_SIZE = 64
FACTS = ("conditions", "latents", "channels")


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """What an earlier training left: facts, and weights by part."""

    path: Path
    facts: Mapping[str, str]
    parts: Mapping[str, Mapping[str, Tensor]]


def read_earlier(path: Path) -> Earlier:
    """Read weights, or for the discriminator too a checkpoint.

    Raises
    ------
    TrainingError
        If it is none of these.
    """
    try:
        facts, parts = (_checkpoint if path.suffix == ".pt" else _weights)(path)
    except (*UNREADABLE, SafetensorError) as error:
        raise TrainingError(path, "these are no weights and no checkpoint of a GAN") from error
    if not _are_facts(facts) or not all(map(_is_state, parts.values())):
        raise TrainingError(path, "these are no weights of this GAN")
    return Earlier(path=path, facts=facts, parts=parts)


def _checkpoint(path: Path) -> tuple[Any, dict[str, Any]]:
    """Return settings and networks of a checkpoint, whatever they may be."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    return state["settings"], {name: state["parts"][name] for name in NETWORKS}


def _weights(path: Path) -> tuple[Any, dict[str, Any]]:
    """Return facts and networks of a file of weights."""
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        facts = file.metadata()
    generator, seen = (
        {k.removeprefix(name): v for k, v in tensors.items() if k.startswith(name)}
        for name in ("generator.", "seen.")
    )
    return facts, {"generator": generator, "average": generator, "seen": seen}


def _are_facts(given: object) -> bool:
    """Tell whether these are facts that a GAN leaves, as text."""
    if not isinstance(given, Mapping) or not all(isinstance(given.get(k), str) for k in FACTS):
        return False
    channels: str = given["channels"]
    # Networks of a number of more digits fit into no memory.
    return channels.isdecimal() and len(channels) <= 3 and int(channels) > 0


def _is_state(given: object) -> bool:
    """Tell whether these are tensors by name, as a network holds them."""
    return isinstance(given, Mapping) and all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in given.items()
    )


def new_seen(options: argparse.Namespace, earlier: Earlier | None) -> Pixels | Latents:
    """Return what the GAN is to see: latents if an autoencoder is given, or was given earlier.

    Raises
    ------
    ArgumentError
        If latents cannot be what is asked for.
    TrainingError
        If the file is not that of an autoencoder.
    """
    if options.autoencoder is not None:
        seen = _given_autoencoder(options.autoencoder)
    elif earlier is not None and earlier.facts["latents"] == "1":
        seen = Latents(int(earlier.facts["channels"]))
    else:
        return Pixels(1 + options.masks)
    if options.masks:
        raise ArgumentError("--masks", "with latents", "none: the autoencoder has no masks")
    if options.size < LEAST_LATENT_SIZE:
        raise ArgumentError("--size", options.size, f"{LEAST_LATENT_SIZE} or more for latents")
    return seen


def _given_autoencoder(path: Path) -> Latents:
    try:
        return read_autoencoder(path)
    except (OSError, KeyError, RuntimeError, SafetensorError) as error:
        raise TrainingError(path, "these are no weights of the autoencoder") from error
