"""Train a small U-Net on real and synthetic polyps, and test it on real ones.

``python notebooks/train_with_synthetic_data.py [--real FOLDER] [--share 0.5] [--epochs 30]``

The folder has ``images/``, ``masks/`` (same file names) and the lists ``split_train.txt`` and
``split_val.txt``. Without one, the 32 frames that medmint's tests use are taken. ``--share 0``
trains on real data alone, for comparison. The same ``--seed`` repeats a run.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from medmint import Generators
from medmint.synthetic_dataset import MixedDataset

SMALL = Path(__file__).resolve().parents[1] / "tests" / "data" / "hyperkvasir_polyps"
MODEL = 10002


class RealPolyps(Dataset[tuple[Tensor, Tensor]]):
    """Frames, float32 of shape (3, height, width) in [0, 1], with masks of one channel."""

    def __init__(self, folder: Path, split: str) -> None:
        self.folder = folder
        self.names = (folder / f"split_{split}.txt").read_text(encoding="utf-8").split()

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        name = self.names[index]
        image, mask = (
            np.array(Image.open(self.folder / kind / name).convert(mode))
            for kind, mode in (("images", "RGB"), ("masks", "L"))
        )
        return torch.from_numpy(image).permute(2, 0, 1) / 255, torch.from_numpy(mask)[None] / 255


def as_pair(item: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Bring a synthetic item into the form of the real ones."""
    return item["sample"], item["mask"]


def with_synthetic(
    generators: Generators, real: RealPolyps, *, share: float, seed: int
) -> MixedDataset:
    """Return all real pairs and as many synthetic ones as make up a share of the whole."""
    needed = max(1, round(len(real) * share / (1 - share)))
    synthetic = generators.get_as_torch_dataset(MODEL, needed, output="tensor", seed=seed)
    return MixedDataset(real, synthetic, synthetic_share=share, convert=as_pair)


class UNet(nn.Module):
    """Levels of half the resolution each, and back, with skip connections."""

    def __init__(self, widths: tuple[int, ...] = (12, 24, 48, 96)) -> None:
        super().__init__()
        inputs = (3, *widths[:-1])
        self.down = nn.ModuleList(_block(i, o) for i, o in zip(inputs, widths, strict=True))
        pairs = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.up = nn.ModuleList(_block(deep + wide, wide) for deep, wide in pairs)
        self.head = nn.Conv2d(widths[0], 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Map images of shape (n, 3, height, width) to logits of shape (n, 1, height, width)."""
        levels: list[Tensor] = []
        features = images
        for level, block in enumerate(self.down):
            features = block(functional.max_pool2d(features, 2) if level else features)
            levels.append(features)
        for block, skip in zip(self.up, levels[-2::-1], strict=True):
            wider = functional.interpolate(features, scale_factor=2.0)
            features = block(torch.cat([wider, skip], dim=1))
        logits: Tensor = self.head(features)
        return logits


def _block(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [nn.Conv2d(channels, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs)]
        layers.append(nn.ReLU())
    return nn.Sequential(*layers)


def halved(images: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Halve the resolution, which is enough to find polyps and four times as fast."""
    return functional.avg_pool2d(images, 2), functional.max_pool2d(masks, 2)


def mirrored(images: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Mirror a batch along each axis, or not, by chance: 24 frames are few."""
    axes = [axis for axis in (-1, -2) if torch.rand(()) < 0.5]
    return images.flip(axes), masks.flip(axes)


def dice_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Return cross entropy plus one minus the soft Dice coefficient."""
    found = torch.sigmoid(logits)
    overlap = 2 * (found * masks).sum() / (found.sum() + masks.sum() + 1)
    return functional.binary_cross_entropy_with_logits(logits, masks) + 1 - overlap


@torch.no_grad()
def dice(network: nn.Module, dataset: Dataset[Any]) -> float:
    """Return the mean Dice coefficient over the frames of a dataset."""
    network.eval()
    scores = []
    for batch in DataLoader(dataset, batch_size=8):
        images, masks = halved(*batch)
        found = (network(images) > 0).float()
        overlap = 2 * (found * masks).sum(dim=(1, 2, 3))
        scores += (overlap / (found + masks).sum(dim=(1, 2, 3)).clamp(min=1)).tolist()
    network.train()
    return float(np.mean(scores))


def train(network: nn.Module, loader: DataLoader[Any], epochs: int) -> list[float]:
    """Train and return the mean loss of each epoch."""
    optimiser = torch.optim.Adam(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-2, epochs * len(loader))
    history = []
    for epoch in range(epochs):
        losses = []
        for batch in loader:
            images, masks = mirrored(*halved(*batch))
            loss = dice_loss(network(images), masks)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
        history.append(float(np.mean(losses)))
        print(f"epoch {epoch + 1:3d}: loss {history[-1]:.3f}")
    return history


def main() -> None:
    """Train and print the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--real", type=Path, default=SMALL, metavar="FOLDER")
    parser.add_argument("--share", type=float, default=0.5, help="of synthetic pairs, below 1")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    real, held_out = (RealPolyps(options.real, split) for split in ("train", "val"))
    with Generators() as generators:
        mixed = with_synthetic(generators, real, share=options.share, seed=options.seed)
        loader = generators.get_as_torch_dataloader(mixed, batch_size=8, shuffle=True)
        print(f"{len(real)} real and {len(mixed) - len(real)} synthetic pairs")
        network = UNet()
        history = train(network, loader, options.epochs)
    print(
        f"seed {options.seed}: loss {history[0]:.3f} -> {history[-1]:.3f}, "
        f"Dice on {len(held_out)} held-out real frames {dice(network, held_out):.3f}"
    )


if __name__ == "__main__":
    main()
