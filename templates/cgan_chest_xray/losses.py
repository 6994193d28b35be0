"""The losses of the GAN study: small functions of scores, in a mapping by name.

Scores are what the discriminator gives, without a sigmoid, shape (n,).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

#: Weights of the critic are kept within this where the loss asks for it (Arjovsky et al., ICML
#: 2017, algorithm 1).
CLIP = 0.01
#: Weight of the gradient penalty of WGAN-GP (Gulrajani et al., equation 3).
PENALTY = 10.0


def dcgan_discriminator(real: Tensor, fake: Tensor, smoothing: float = 0.0) -> Tensor:
    """Binary cross entropy with 1 - smoothing for real and 0 for generated images.

    One-sided label smoothing: Salimans et al., "Improved Techniques for Training GANs", NIPS 2016.
    """
    wanted = torch.full_like(real, 1 - smoothing)
    judged = functional.binary_cross_entropy_with_logits
    return judged(real, wanted) + judged(fake, torch.zeros_like(fake))


def dcgan_generator(fake: Tensor) -> Tensor:
    """Return the non-saturating loss: binary cross entropy with 1 for generated images."""
    return functional.binary_cross_entropy_with_logits(fake, torch.ones_like(fake))


def lsgan_discriminator(real: Tensor, fake: Tensor, smoothing: float = 0.0) -> Tensor:
    """Squared distance to 1 - smoothing and to 0 (Mao et al., ICCV 2017, equation 9)."""
    return ((real - 1 + smoothing).square().mean() + fake.square().mean()) / 2


def lsgan_generator(fake: Tensor) -> Tensor:
    """Squared distance to 1 (equation 9)."""
    return (fake - 1).square().mean() / 2


def wgan_critic(real: Tensor, fake: Tensor) -> Tensor:
    """Return minus the difference of the means (Arjovsky et al., ICML 2017, equation 2)."""
    return fake.mean() - real.mean()


def raise_scores(fake: Tensor) -> Tensor:
    """Return minus the mean score: the generator's side of WGAN and of hinge."""
    return -fake.mean()


def hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Ask for 1 or more and -1 or less (Lim and Ye 2017; Miyato et al., ICLR 2018, equation 16)."""
    return (1 - real).relu().mean() + (1 + fake).relu().mean()


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What the two networks minimise.

    Attributes
    ----------
    discriminator : callable
        Of real and generated scores, and where ``smooths`` of a share of label smoothing.
    generator : callable
        Of generated scores.
    smooths : bool
        Whether there are labels that can be smoothed.
    critic_steps : int
        Steps of the discriminator for each one of the generator.
    clip : float, optional
        Where weights of the discriminator are cut after each step.
    penalty : float
        Weight of the gradient penalty between real and generated images.
    """

    discriminator: Callable[..., Tensor]
    generator: Callable[[Tensor], Tensor]
    smooths: bool = False
    critic_steps: int = 1
    clip: float | None = None
    penalty: float = 0.0


#: The number of critic steps is that of the papers.
LOSSES = {
    "dcgan": Loss(discriminator=dcgan_discriminator, generator=dcgan_generator, smooths=True),
    "lsgan": Loss(discriminator=lsgan_discriminator, generator=lsgan_generator, smooths=True),
    "wgan": Loss(discriminator=wgan_critic, generator=raise_scores, critic_steps=5, clip=CLIP),
    "wgan-gp": Loss(
        discriminator=wgan_critic, generator=raise_scores, critic_steps=5, penalty=PENALTY
    ),
    "hinge": Loss(discriminator=hinge_discriminator, generator=raise_scores),
}


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, random: torch.Generator
) -> Tensor:
    """Return the mean of (norm of the gradient - 1) squared on lines from real to generated images.

    Gulrajani et al., "Improved Training of Wasserstein GANs", NIPS 2017, equation 3.
    """
    place = torch.rand(len(real), 1, 1, 1, generator=random).to(real.device)
    between = torch.lerp(real, fake, place).detach().requires_grad_()
    return (_slopes(critic, between).sqrt() - 1).square().mean()


def real_penalty(critic: Callable[[Tensor], Tensor], real: Tensor) -> Tensor:
    """Return half the mean squared gradient on real images: R1.

    Mescheder, Geiger and Nowozin, "Which Training Methods for GANs do actually Converge?",
    ICML 2018, equation 9.
    """
    return _slopes(critic, real.detach().requires_grad_()).mean() / 2


def feature_distance(real: Tensor, fake: Tensor) -> Tensor:
    """Squared distance of mean features (Salimans et al., NIPS 2016, Section 3.1), per feature."""
    return (real.mean(dim=0) - fake.mean(dim=0)).square().mean()


def mode_seeking_loss(images: Tensor, latents: Tensor) -> Tensor:
    """Return how little images of one class differ, for how much their latent vectors do.

    Mao, Lee, Tseng, Ma and Yang, "Mode Seeking Generative Adversarial Networks for Diverse Image
    Synthesis", CVPR 2019 (arXiv:1903.05628), equation 4 as a quantity to make small: a generator
    that knows the class may otherwise draw one image of it, whatever the latent vector.

    Parameters
    ----------
    images : Tensor, shape (2n, channels, height, width)
        Image i is of the same class as image n + i.
    latents : Tensor, shape (2n, size)
    """
    apart, vectors_apart = ((a - b).abs().mean() for a, b in (images.chunk(2), latents.chunk(2)))
    return vectors_apart / (apart + 1e-3)


def clip_weights(network: nn.Module, limit: float) -> None:
    """Cut all weights to [-limit, limit], in place."""
    with torch.no_grad():
        for weight in network.parameters():
            weight.clamp_(-limit, limit)


def _slopes(critic: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Return the squared norm of the gradient of each image's score, differentiable."""
    (gradient,) = torch.autograd.grad(critic(images).sum(), images, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3))
