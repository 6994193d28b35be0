"""PNG with 8 or 16 bits, grey or colour."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from medmint.catalogue.records import ModelRecord
from medmint.samples import Array
from medmint.writers.sample_writer import EncodedFile, Sample
from medmint.writers.whole_numbers import WholeNumbers

#: Level 1 of zlib: a third of the time of Pillow's default for files a tenth larger.
LEVEL = 1


class PngWriter:
    """A picture for each output.

    PNG knows neither negative nor real numbers: they are stored as 16 bits (colours as 8), and the
    manifest says how under ``offsets`` and ``scales``: value = stored * scale + offset.

    Raises
    ------
    ArgumentError
        If an output of the model is a volume, or real and without a range.
    """

    def __init__(self, record: ModelRecord) -> None:
        self._numbers = WholeNumbers(record, "png", channels=(1, 3, 4), volumes=False)

    def header(self) -> dict[str, Any]:
        """Return offsets and scales."""
        return self._numbers.header()

    def encode(self, sample: Sample) -> Iterator[EncodedFile]:
        """Yield a picture for each output."""
        for name, array in sample.arrays.items():
            yield EncodedFile((name,), ".png", encode_png(self._numbers.store(name, array)))


def encode_png(array: Array) -> bytes:
    """Return the file of an array of uint8, shape (H, W[, 3 or 4]), or of uint16, shape (H, W)."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "png", compress_level=LEVEL)
    return buffer.getvalue()
