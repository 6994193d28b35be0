"""What an earlier training left, and what the networks see because of it: pixels or latents."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError

import torch
from autoencoder import Latents, Pixels, read_autoencoder
from safetensors import SafetensorError, safe_open
from torch import Tensor

from medmint.errors import ArgumentError, TrainingError

#: Parts of a checkpoint that another training can start from.
NETWORKS = ("seen", "generator", "average", "discriminator")
#: Side of the images whose latents are 8 x 8, the least that a generator draws.
LEAST_LATENT_SIZE = 64


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
        if path.suffix == ".pt":
            state = torch.load(path, map_location="cpu", weights_only=True)
            parts = {name: state["parts"][name] for name in NETWORKS}
            return Earlier(path=path, facts=state["settings"], parts=parts)
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            facts = file.metadata()
    except (OSError, KeyError, TypeError, RuntimeError, SafetensorError, UnpicklingError) as error:
        raise TrainingError(path, "these are no weights and no checkpoint of a GAN") from error
    if not facts or not facts.keys() >= {"conditions", "latents", "channels"}:
        raise TrainingError(path, "these are no weights of this GAN")
    generator, seen = (
        {k.removeprefix(name): v for k, v in tensors.items() if k.startswith(name)}
        for name in ("generator.", "seen.")
    )
    parts = {"generator": generator, "average": generator, "seen": seen}
    return Earlier(path=path, facts=facts, parts=parts)


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
