"""How much of an image an autoencoder keeps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from medmint.metrics.similarity import ms_ssim, ms_ssim_scales, mse, psnr
from medmint.model_trainer.judging.evidence import Evidence
from medmint.model_trainer.judging.model import Bytes
from medmint.model_trainer.judging.numbers import Cell, Section, Table


def reconstruction(
    evidence: Evidence, reconstruct: Callable[[Bytes], Bytes], *, note: str = ""
) -> Section:
    """Compare real images with what an autoencoder makes of them.

    Parameters
    ----------
    evidence : Evidence
    reconstruct : callable
        Maps images, uint8 of shape (n, height, width[, 3]), to images of the same kind.
    note : str
        What a reader should know besides.
    """
    rows: list[tuple[Cell, ...]] = []
    for split in dict.fromkeys(("train", evidence.split)):
        real = evidence.real(split).images
        found = np.array(
            [_measures(one, other) for one, other in zip(real, reconstruct(real), strict=True)]
        )
        cells: list[Cell] = []
        for column in found.T:
            # An image that comes back as it was has no finite ratio of signal to noise.
            is_finite = bool(np.isfinite(column).all())
            cells += [float(column.mean()), float(column.std(ddof=1))] if is_finite else [None] * 2
        rows.append((f"{split}, {len(real)} images", *cells))
    side = evidence.real().images.shape[1:3]
    return Section(
        title="Fidelity of the autoencoder",
        about=(
            "Real images against their reconstructions, mean and standard deviation over the "
            f"images. MS-SSIM over {ms_ssim_scales(side)} scales, MSE of grey levels from 0 to 1, "
            "PSNR in dB."
        ),
        tables=(
            Table(
                columns=("", "MS-SSIM", "deviation", "MSE", "deviation", "PSNR", "deviation"),
                rows=tuple(rows),
                caption=note,
            ),
        ),
    )


def _measures(real: Bytes, other: Bytes) -> tuple[float, float, float]:
    axis = -1 if real.ndim == 3 and real.shape[-1] == 3 else None
    return (
        ms_ssim(real, other, data_range=255, channel_axis=axis),
        mse(real, other) / 255**2,
        psnr(real, other, data_range=255),
    )
