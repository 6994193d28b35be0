"""Small networks that are trained on the spot to find out what data are good for."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

_GROUPS = 8


class SmallUNet(nn.Module):
    """A U-Net of three levels; about 120,000 weights at a width of 16.

    Parameters
    ----------
    channels : int
        Channels of an image.
    width : int
        Channels of the first level, a multiple of 8; doubled at each further one.

    References
    ----------
    Ronneberger et al., "U-Net", MICCAI 2015.
    """

    def __init__(self, channels: int, width: int = 16) -> None:
        super().__init__()
        self.first = _block(channels, width)
        self.second = _block(width, 2 * width)
        self.third = _block(2 * width, 4 * width)
        self.joined_second = _block(6 * width, 2 * width)
        self.joined_first = _block(3 * width, width)
        self.last = nn.Conv2d(width, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Turn images (n, channels, side, side) into logits of the mask (n, side, side)."""
        first = self.first(images)
        second = self.second(nn.functional.max_pool2d(first, 2))
        third = self.third(nn.functional.max_pool2d(second, 2))
        joined = self.joined_second(torch.cat([_doubled(third), second], dim=1))
        logits: Tensor = self.last(self.joined_first(torch.cat([_doubled(joined), first], dim=1)))
        return logits[:, 0]


class SmallClassifier(nn.Module):
    """Four convolutional blocks and a linear layer on the mean of the last.

    Parameters
    ----------
    channels : int
        Channels of an image.
    classes : int
        How many classes to tell apart.
    width : int
        Channels of the first block, a multiple of 8; doubled at each further one.
    """

    def __init__(self, channels: int, classes: int, width: int = 16) -> None:
        super().__init__()
        widths = [channels, width, 2 * width, 4 * width, 8 * width]
        self.blocks = nn.ModuleList(_block(*pair) for pair in pairwise(widths))
        self.last = nn.Linear(widths[-1], classes)

    def forward(self, images: Tensor) -> Tensor:
        """Turn images (n, channels, side, side) into logits of the classes (n, classes)."""
        for number, block in enumerate(self.blocks):
            images = block(images if number == 0 else nn.functional.max_pool2d(images, 2))
        logits: Tensor = self.last(images.mean(dim=(2, 3)))
        return logits


def with_seeded_weights(network: nn.Module, seed: int) -> nn.Module:
    """Give a network made on the device ``meta`` its weights: He-scaled, from NumPy's PCG64.

    Torch's own random state is the user's and stays as it is.

    Parameters
    ----------
    network : torch.nn.Module
    seed : int

    Returns
    -------
    torch.nn.Module
        The same network, on the CPU.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    network.to_empty(device="cpu")
    with torch.no_grad():
        for name, weights in network.named_parameters():
            if weights.ndim > 1:
                fan_in = weights[0].numel()
                drawn = generator.standard_normal(weights.shape, dtype=np.float32)
                weights.copy_(torch.from_numpy(drawn * np.float32(np.sqrt(2 / fan_in))))
            else:
                # Scales of normalisation begin at 1, everything that is added at 0.
                weights.fill_(1.0 if name.endswith("norm.weight") else 0.0)
    return network


def _block(inputs: int, outputs: int) -> nn.Module:
    block = nn.Sequential()
    for number, size in enumerate((inputs, outputs)):
        block.add_module(f"{number}_conv", nn.Conv2d(size, outputs, 3, padding=1, bias=False))
        block.add_module(f"{number}_norm", nn.GroupNorm(_GROUPS, outputs))
        block.add_module(f"{number}_relu", nn.ReLU())
    return block


def _doubled(images: Tensor) -> Tensor:
    return nn.functional.interpolate(images, scale_factor=2.0, mode="nearest")
