"""A running average of weights: steadier samples than those of any single step."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn


class Average:
    """A copy of a network whose weights follow those of the original slowly.

    Parameters
    ----------
    network : Module
        The network in training.
    decay : float
        Share of the average that is kept at each update, less at first.

    Examples
    --------
    >>> network = nn.Linear(1, 1)
    >>> average = Average(network, 0.999)
    >>> average.update(network, step=0)
    >>> bool(average.network.weight == network.weight)
    True
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(requires_grad=False)
        self.decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Move the average towards a network; step counts from 0."""
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        current = network.state_dict()
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                value.lerp_(current[name], share)
            else:
                value.copy_(current[name])

    def state_dict(self) -> dict[str, Any]:
        """Return the averaged weights."""
        return self.network.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from averaged weights."""
        self.network.load_state_dict(state)
