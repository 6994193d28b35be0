"""Images that look like tissue: smooth random texture with a few bright discs."""

import numpy as np


def textures(count, *, side=48, seed=0, colour=False, discs=2):
    """Return uint8 images (n, side, side[, 3]) that differ in structure, brightness and grain."""
    random = np.random.default_rng(seed)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.rfftfreq(side), indexing="ij"))
    images = np.empty((count, side, side))
    rows, columns = np.mgrid[:side, :side]
    for number in range(count):
        slope = random.uniform(1.6, 2.2)
        noise = np.fft.rfft2(random.normal(size=(side, side)))
        field = np.fft.irfft2(noise / np.maximum(frequency, 1 / side) ** slope, s=(side, side))
        images[number] = 110 + 30 * (field - field.mean()) / field.std() + random.normal(0, 10)
        for _ in range(discs):
            top, left = random.uniform(0, side, 2)
            radius = random.uniform(side / 16, side / 6)
            images[number] += 35 * (np.hypot(rows - top, columns - left) < radius)
    if colour:
        images = images[..., None] * random.uniform(0.7, 1.0, (count, 1, 1, 3))
    return np.clip(images, 0, 255).astype(np.uint8)


def disc_images(count, *, side=32, seed=0):
    """Return images of one disc on texture, and its mask."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side]
    images = textures(count, side=side, seed=seed + 1000, discs=0).astype(float) * 0.5
    masks = np.zeros((count, side, side), dtype=np.uint8)
    for image, mask in zip(images, masks, strict=True):
        top, left = random.uniform(side / 4, 3 * side / 4, 2)
        inside = np.hypot(rows - top, columns - left) < random.uniform(side / 8, side / 4)
        image[inside] += 90
        mask[inside] = 255
    return np.clip(images, 0, 255).astype(np.uint8), masks
