"""The InceptionV3 network, with the layer names under which its weights are published."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from medmint.errors import MetricError

#: Classes of the network of 2015-12-05, among them some that are never used.
CLASSES = 1008
Kernel = int | tuple[int, int]


class Step(NamedTuple):
    """One convolution: the name of its weights, its channels and its kernel."""

    name: str
    channels: int
    kernel: Kernel


#: Stages one after another; the steps of a stage see the same input, side by side.
Branch = tuple[tuple[Step, ...], ...]


class Convolution(nn.Module):
    """A convolution without bias, batch normalisation, rectified."""

    def __init__(
        self, inputs: int, outputs: int, kernel: Kernel, *, stride: int = 1, pad: bool = False
    ) -> None:
        super().__init__()
        sides = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (sides[0] // 2, sides[1] // 2) if pad else (0, 0)
        self.conv = nn.Conv2d(inputs, outputs, sides, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the activations."""
        activations: torch.Tensor = self.bn(self.conv(pixels))
        return functional.relu(activations)


class Mixed(nn.Module):
    """Branches of convolutions and a pooling branch, side by side along the channels.

    Parameters
    ----------
    inputs : int
        Channels.
    branches : tuple of Branch
    pool : Module
        What the last branch begins with.
    pool_channels : int
        Channels of the convolution behind the pooling; 0: there is none, and the block halves
        the image: the last step of each branch has a stride of 2 and no padding.
    """

    def __init__(
        self, inputs: int, branches: tuple[Branch, ...], pool: nn.Module, pool_channels: int
    ) -> None:
        super().__init__()
        self.branches = branches
        self.pool = pool
        for branch in branches:
            width = inputs
            for stage in branch:
                halves = not pool_channels and stage is branch[-1]
                for step in stage:
                    layer = Convolution(
                        width, step.channels, step.kernel, stride=1 + halves, pad=not halves
                    )
                    self.add_module(step.name, layer)
                width = sum(step.channels for step in stage)
        if pool_channels:
            self.branch_pool = Convolution(inputs, pool_channels, 1)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return all branches, one after another along the channels."""
        outputs = []
        for branch in self.branches:
            values = pixels
            for stage in branch:
                parts = [self.get_submodule(step.name)(values) for step in stage]
                values = parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
            outputs.append(values)
        pooled = self.pool(pixels)
        outputs.append(self.branch_pool(pooled) if hasattr(self, "branch_pool") else pooled)
        return torch.cat(outputs, dim=1)


class InceptionV3(nn.Module):
    """InceptionV3 up to the mean over space: 2,048 features per image.

    Parameters
    ----------
    fid : bool
        The network of 2015-12-05 whose features the FID is defined by: pooling leaves out the
        padding, the last block takes a maximum, and there is a classifier of 1,008 classes.
        False: the common network, as torchvision names its layers, without a classifier.

    References
    ----------
    Szegedy et al., CVPR 2016 (arXiv:1512.00567), table 1 and figures 5 to 7.

    Examples
    --------
    >>> network = InceptionV3(fid=True)
    >>> sum(weights.numel() for weights in network.parameters())
    23850960
    """

    def __init__(self, *, fid: bool) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Convolution(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = Convolution(32, 32, 3)
        self.Conv2d_2b_3x3 = Convolution(32, 64, 3, pad=True)
        self.maxpool1 = nn.MaxPool2d(3, stride=2)
        self.Conv2d_3b_1x1 = Convolution(64, 80, 1)
        self.Conv2d_4a_3x3 = Convolution(80, 192, 3)
        self.maxpool2 = nn.MaxPool2d(3, stride=2)
        mean = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=not fid)
        half = nn.MaxPool2d(3, stride=2)
        last = nn.MaxPool2d(3, stride=1, padding=1) if fid else mean
        self.Mixed_5b = Mixed(192, _BLOCK_A, mean, 32)
        self.Mixed_5c = Mixed(256, _BLOCK_A, mean, 64)
        self.Mixed_5d = Mixed(288, _BLOCK_A, mean, 64)
        self.Mixed_6a = Mixed(288, _BLOCK_B, half, 0)
        self.Mixed_6b = Mixed(768, _block_c(128), mean, 192)
        self.Mixed_6c = Mixed(768, _block_c(160), mean, 192)
        self.Mixed_6d = Mixed(768, _block_c(160), mean, 192)
        self.Mixed_6e = Mixed(768, _block_c(192), mean, 192)
        self.Mixed_7a = Mixed(768, _BLOCK_D, half, 0)
        self.Mixed_7b = Mixed(1280, _BLOCK_E, mean, 192)
        self.Mixed_7c = Mixed(2048, _BLOCK_E, last, 192)
        if fid:
            self.fc = nn.Linear(2048, CLASSES)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return features of shape (n, 2048) of images (n, 3, height, width), sides from 75 up."""
        for name, layer in self.named_children():
            if name != "fc":
                pixels = layer(pixels)
        return pixels.mean(dim=(2, 3))

    def unbiased_logits(self, features: torch.Tensor) -> torch.Tensor:
        """Return what the inception score is taken of: class scores without their bias.

        Parameters
        ----------
        features : tensor, shape (n, 2048)

        Returns
        -------
        tensor, shape (n, 1008)
        """
        return features @ self.fc.weight.T


def load_network(state: Mapping[str, torch.Tensor], *, fid: bool, source: str) -> InceptionV3:
    """Return the network with these weights, ready to run.

    Parameters
    ----------
    state : mapping of str to tensor
        Names as published. Of the common network, classifiers (``fc``, ``AuxLogits``) are left
        out, and layers may be numbered (``backbone.0.conv.weight``) as RadImageNet has them.
    fid : bool
        Which network, as in `InceptionV3`.
    source : str
        Where the weights come from, for the error.

    Raises
    ------
    MetricError
        If tensors are missing, too many or of another shape.
    """
    network = InceptionV3(fid=fid)
    left_out = ("num_batches_tracked",) if fid else ("num_batches_tracked", "fc.", "AuxLogits.")
    layers = [name for name, _ in network.named_children()]
    given = {
        name: tensor
        for name, tensor in ((_named(name, layers), tensor) for name, tensor in state.items())
        if not any(name.startswith(part) or name.endswith(part) for part in left_out)
    }
    expected = {
        name: tensor
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    faults = [f"{name} is missing" for name in expected if name not in given]
    faults += [f"{name} is unknown" for name in given if name not in expected]
    faults += [
        f"{name} has shape {tuple(tensor.shape)}, not {tuple(expected[name].shape)}"
        for name, tensor in given.items()
        if name in expected and tensor.shape != expected[name].shape
    ]
    if faults:
        raise MetricError(
            "weights",
            f"{source} with {len(faults)} faults, such as: {'; '.join(faults[:3])}",
            "the state dict of an InceptionV3 with the layer names of torchvision",
        )
    network.load_state_dict(given, strict=False)
    return network.eval().requires_grad_(False)


def _named(name: str, layers: list[str]) -> str:
    """Return the name of a tensor whose layer is numbered in the order of the network."""
    prefix, _, rest = name.partition(".")
    number, _, inner = rest.partition(".")
    if prefix != "backbone" or not number.isdecimal() or int(number) >= len(layers):
        return name
    return f"{layers[int(number)]}.{inner}"


_BLOCK_A: tuple[Branch, ...] = (
    ((Step("branch1x1", 64, 1),),),
    ((Step("branch5x5_1", 48, 1),), (Step("branch5x5_2", 64, 5),)),
    (
        (Step("branch3x3dbl_1", 64, 1),),
        (Step("branch3x3dbl_2", 96, 3),),
        (Step("branch3x3dbl_3", 96, 3),),
    ),
)
_BLOCK_B: tuple[Branch, ...] = (
    ((Step("branch3x3", 384, 3),),),
    (
        (Step("branch3x3dbl_1", 64, 1),),
        (Step("branch3x3dbl_2", 96, 3),),
        (Step("branch3x3dbl_3", 96, 3),),
    ),
)
_BLOCK_D: tuple[Branch, ...] = (
    ((Step("branch3x3_1", 192, 1),), (Step("branch3x3_2", 320, 3),)),
    (
        (Step("branch7x7x3_1", 192, 1),),
        (Step("branch7x7x3_2", 192, (1, 7)),),
        (Step("branch7x7x3_3", 192, (7, 1)),),
        (Step("branch7x7x3_4", 192, 3),),
    ),
)
_BLOCK_E: tuple[Branch, ...] = (
    ((Step("branch1x1", 320, 1),),),
    (
        (Step("branch3x3_1", 384, 1),),
        (Step("branch3x3_2a", 384, (1, 3)), Step("branch3x3_2b", 384, (3, 1))),
    ),
    (
        (Step("branch3x3dbl_1", 448, 1),),
        (Step("branch3x3dbl_2", 384, 3),),
        (Step("branch3x3dbl_3a", 384, (1, 3)), Step("branch3x3dbl_3b", 384, (3, 1))),
    ),
)


def _block_c(width: int) -> tuple[Branch, ...]:
    return (
        ((Step("branch1x1", 192, 1),),),
        (
            (Step("branch7x7_1", width, 1),),
            (Step("branch7x7_2", width, (1, 7)),),
            (Step("branch7x7_3", 192, (7, 1)),),
        ),
        (
            (Step("branch7x7dbl_1", width, 1),),
            (Step("branch7x7dbl_2", width, (7, 1)),),
            (Step("branch7x7dbl_3", width, (1, 7)),),
            (Step("branch7x7dbl_4", width, (7, 1)),),
            (Step("branch7x7dbl_5", 192, (1, 7)),),
        ),
    )
