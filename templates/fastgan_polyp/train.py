"""Train the polyp GAN: ``python train.py --data FOLDER --out FOLDER``.

FOLDER holds ``images/NAME.png`` (RGB), ``masks/NAME.png`` (0 / 255), ``split_train.txt`` and
``split_val.txt`` (one file name a line). The command writes checkpoints, losses, the Frechet
distance to the val split and sample sheets while it runs; the same command again goes on from
the last checkpoint. It ends with ``weights.safetensors``, the averaged weights of the step that
was best on the val split, in half precision, with the sharpening that was best for them.

The random numbers of a step come from (seed, step), so a run that was cut off and resumed draws
the same ones as an uninterrupted run.
"""

from __future__ import annotations

import argparse
import copy
import csv
import sys
from pathlib import Path

import numpy as np
import torch
from network import LATENT_SIZE, Discriminator, Generator, sharpen
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from medmint.metrics.distances import frechet_distance
from medmint.metrics.features import SeededConvolution, standardise

AVERAGING = 0.999
GENERATOR_RATE = 2e-4
#: Lower, or the discriminator is soon too sure for its gradients to be of use.
DISCRIMINATOR_RATE = 1e-4
BETAS = (0.5, 0.999)
FEWEST_IMAGES = 32
#: Amounts of sharpening to choose from on the val split.
SHARPENINGS = (0.0, 0.02, 0.04, 0.06, 0.08)


def read_split(folder: Path, split: str, size: int) -> np.ndarray:
    """Read frames and masks of one split as uint8 of shape (n, size, size, 4)."""
    names = (folder / f"split_{split}.txt").read_text().split()
    if len(names) < FEWEST_IMAGES:
        sys.exit(
            f"{folder}: split {split} has {len(names)} images, at least {FEWEST_IMAGES} are needed."
        )
    rows = []
    for name in names:
        image = (
            Image.open(folder / "images" / name)
            .convert("RGB")
            .resize((size, size), Image.Resampling.BOX)
        )
        mask = (
            Image.open(folder / "masks" / name)
            .convert("L")
            .resize((size, size), Image.Resampling.BOX)
        )
        rows.append(np.dstack([np.asarray(image), np.asarray(mask)]))
    return np.stack(rows)


def augment(images: Tensor, random: torch.Generator) -> Tensor:
    """Apply one differentiable augmentation to real and generated images alike.

    Colour changes touch the frame only; the shift and the cut-out move frame and mask together.
    After Zhao et al., "Differentiable Augmentation for Data-Efficient GAN Training", NeurIPS 2020.
    """
    n = len(images)

    def draw(low: float, high: float) -> Tensor:
        return torch.rand(n, 1, 1, 1, generator=random) * (high - low) + low

    frame, mask = images[:, :3], images[:, 3:]
    frame = frame + draw(-0.5, 0.5)
    grey = frame.mean(dim=1, keepdim=True)
    frame = (frame - grey) * draw(0.0, 2.0) + grey
    level = frame.mean(dim=(1, 2, 3), keepdim=True)
    frame = (frame - level) * draw(0.5, 1.5) + level
    changed = _cut_out(_shift(torch.cat([frame, mask], dim=1), random), random)
    return changed.contiguous(memory_format=torch.channels_last)


def _shift(images: Tensor, random: torch.Generator) -> Tensor:
    n, _, height, width = images.shape
    reach = height // 8
    padded = functional.pad(images, (reach, reach, reach, reach))
    moves = torch.randint(0, 2 * reach + 1, (n, 2), generator=random).tolist()
    return torch.stack(
        [padded[i, :, y : y + height, x : x + width] for i, (y, x) in enumerate(moves)]
    )


def _cut_out(images: Tensor, random: torch.Generator) -> Tensor:
    n, _, height, width = images.shape
    side = height // 2
    corners = torch.randint(-side // 2, height - side // 2, (n, 2), generator=random)
    keep = torch.ones(n, 1, height, width)
    for i, (y, x) in enumerate(corners.tolist()):
        keep[i, :, max(y, 0) : y + side, max(x, 0) : x + side] = 0
    return images * keep


class Trainer:
    """Networks, optimisers and the running average, as one thing to save and to resume."""

    def __init__(self, images: np.ndarray, options: argparse.Namespace) -> None:
        seed, size, batch = options.seed, options.size, options.batch
        torch.manual_seed(seed)
        layout = torch.channels_last
        self.images, self.seed, self.batch = torch.from_numpy(images), seed, batch
        self.generator = Generator(size).to(memory_format=layout)
        self.discriminator = Discriminator(size).to(memory_format=layout)
        self.average = copy.deepcopy(self.generator).eval().requires_grad_(requires_grad=False)
        self.generator_optimiser = torch.optim.Adam(
            self.generator.parameters(), GENERATOR_RATE, BETAS
        )
        self.discriminator_optimiser = torch.optim.Adam(
            self.discriminator.parameters(), DISCRIMINATOR_RATE, BETAS
        )
        self.step = 0
        self.best = float("inf")
        self._parts = {
            name: getattr(self, name)
            for name in (
                "generator",
                "discriminator",
                "average",
                "generator_optimiser",
                "discriminator_optimiser",
            )
        }

    def state(self) -> dict[str, object]:
        """Return all that a resumed run needs."""
        parts: dict[str, object] = {name: part.state_dict() for name, part in self._parts.items()}
        return parts | {
            "step": self.step,
            "best": self.best,
            "seed": self.seed,
            "batch": self.batch,
        }

    def load(self, state: dict[str, object]) -> None:
        """Go on from a state of the same seed, batch and architecture."""
        if (state["seed"], state["batch"]) != (self.seed, self.batch):
            sys.exit(
                "The checkpoint was made with another --seed or --batch: choose another --out."
            )
        for name, part in self._parts.items():
            part.load_state_dict(state[name])
        self.step, self.best = state["step"], state["best"]

    def advance(self) -> tuple[float, float]:
        """Take one step of both networks; return the losses of discriminator and generator."""
        random = torch.Generator().manual_seed(self.seed * 10_000_019 + self.step)
        rows = torch.randint(0, len(self.images), (self.batch,), generator=random)
        real = self.images[rows].permute(0, 3, 1, 2).float() / 127.5 - 1
        latents = torch.randn(self.batch, LATENT_SIZE, generator=random)
        quadrant = int(torch.randint(0, 4, (1,), generator=random))

        with torch.autocast("cpu", dtype=torch.bfloat16):
            fake = self.generator(latents)
        fake = fake.float()
        self.discriminator_optimiser.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            seen = augment(real, random)
            real_scores, error = self.discriminator.score_and_reconstruct(seen, quadrant)
            fake_scores = self.discriminator(augment(fake.detach(), random))
        hinge = (1 - real_scores.float()).relu().mean() + (1 + fake_scores.float()).relu().mean()
        (hinge + error).backward()
        self.discriminator_optimiser.step()

        self.generator_optimiser.zero_grad()
        self.discriminator.requires_grad_(requires_grad=False)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            scores = self.discriminator(augment(fake, random))
        loss = -scores.float().mean()
        loss.backward()
        self.discriminator.requires_grad_(requires_grad=True)
        self.generator_optimiser.step()
        self._update_average()
        self.step += 1
        return float(hinge.detach()), float(loss.detach())

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = min(AVERAGING, (1 + self.step) / (10 + self.step))
        current = self.generator.state_dict()
        for name, value in self.average.state_dict().items():
            if value.is_floating_point():
                value.lerp_(current[name], 1 - decay)
            else:
                value.copy_(current[name])

    @torch.inference_mode()
    def sample(self, count: int, seed: int) -> Tensor:
        """Draw ``count`` samples of the averaged generator, shape (n, 4, size, size) in [-1, 1]."""
        random = torch.Generator().manual_seed(seed)
        latents = torch.randn(count, LATENT_SIZE, generator=random)
        return torch.cat([self.average(part) for part in latents.split(32)])


def to_bytes(pixels: Tensor) -> np.ndarray:
    """Turn values in [-1, 1] into uint8, channels last."""
    return ((pixels + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()


def save_sheet(samples: np.ndarray, path: Path, columns: int = 8) -> None:
    """Save frames with their masks beneath them, row by row."""
    rows = []
    for start in range(0, len(samples) - columns + 1, columns):
        part = samples[start : start + columns]
        rows.append(np.concatenate(list(part[..., :3]), axis=1))
        rows.append(np.concatenate([np.repeat(s[..., 3:], 3, axis=2) for s in part], axis=1))
    Image.fromarray(np.concatenate(rows)).save(path)


def save_checkpoint(trainer: Trainer, path: Path) -> None:
    """Replace the checkpoint in one step, so that a cut never leaves half of one."""
    partial = path.with_suffix(".partial")
    torch.save(trainer.state(), partial)
    partial.replace(path)


def validate(trainer: Trainer, real_features: np.ndarray, out: Path) -> float:
    """Measure against the val split, save a sheet, and keep the weights if they are the best."""
    samples = trainer.sample(len(real_features), seed=1)
    extract = SeededConvolution()

    def distance_at(amount: float) -> float:
        frames = to_bytes(sharpen(samples[:, :3], amount))
        return frechet_distance(*standardise(real_features, extract(frames)))

    distance, amount = min((distance_at(amount), amount) for amount in SHARPENINGS)
    save_sheet(to_bytes(samples[:32]), out / f"samples_{trainer.step:06d}.png")
    if distance < trainer.best:
        trainer.best = distance
        weights = {name: t.half().contiguous() for name, t in trainer.average.state_dict().items()}
        facts = {"size": str(trainer.average.size), "sharpening": str(amount)}
        save_file(weights, out / "weights.safetensors", metadata=facts)
    return distance


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with images, masks and splits"
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for checkpoints and weights"
    )
    parser.add_argument("--size", type=int, default=128, choices=(64, 128))
    parser.add_argument("--steps", type=int, default=12_000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--validate-every", type=int, default=500)
    return parser.parse_args()


def main() -> None:
    """Train, validating and saving a checkpoint every so many steps."""
    options = parse_arguments()
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    train = read_split(options.data, "train", options.size)
    real_features = SeededConvolution()(read_split(options.data, "val", options.size)[..., :3])
    trainer = Trainer(train, options)
    checkpoint = options.out / "checkpoint.pt"
    if checkpoint.exists():
        trainer.load(torch.load(checkpoint, weights_only=True))
        print(f"resumed at step {trainer.step}")
    log = options.out / "log.csv"
    if not log.exists():
        log.write_text("step,discriminator,generator,val_frechet_distance\n")
    progress = tqdm(range(trainer.step, options.steps), initial=trainer.step, total=options.steps)
    for _ in progress:
        losses = trainer.advance()
        if trainer.step % options.validate_every == 0 or trainer.step == options.steps:
            distance = validate(trainer, real_features, options.out)
            with log.open("a", newline="") as file:
                csv.writer(file).writerow(
                    [trainer.step, *(f"{v:.4f}" for v in losses), f"{distance:.3f}"]
                )
            save_checkpoint(trainer, checkpoint)
            progress.set_postfix(val=f"{distance:.1f}", best=f"{trainer.best:.1f}")


if __name__ == "__main__":
    main()
