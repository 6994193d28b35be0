"""Still pictures: which latent vectors they show, and how they are laid out and saved."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medmint.errors import ArgumentError, WriterError
from medmint.home import write_file
from medmint.model_visualizer.display import Picture
from medmint.sheets import contact_sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

Latents = NDArray[np.float32]

#: Endings of animations.
ANIMATIONS = {".gif": "GIF", ".apng": "PNG"}
_GAP = 2
_FRAME_MILLISECONDS = 90
_SMALLEST_FRAME = 256
_DPI = 150
#: The longer side of the pictures, and what a title needs.
_LONGEST_INCHES, _TITLE_INCHES = 8.0, (4.8, 0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Still:
    """Pictures in rows, with what each row and column stands for.

    Attributes
    ----------
    title : str
        Written above.
    pictures : sequence of ndarray of uint8, shape (height, width, 3)
        In reading order, all of one size.
    columns : int or None
        Pictures of a row; None for as square as possible.
    row_names, column_names : sequence of str
        Written beside the rows and above the columns.
    is_sequence : bool
        Whether the pictures are frames that follow each other.
    """

    title: str
    pictures: Sequence[Picture]
    columns: int | None = None
    row_names: Sequence[str] = ()
    column_names: Sequence[str] = ()
    is_sequence: bool = False

    def figure(self) -> Figure:
        """Draw all pictures into one figure."""
        from matplotlib.figure import Figure

        sheet = contact_sheet(self.pictures, columns=self.columns)
        height, width = sheet.shape[:2]
        scale = _LONGEST_INCHES / max(width, height)
        inches = (
            max(width * scale + 0.09 * max(map(len, self.row_names), default=0), _TITLE_INCHES[0]),
            height * scale + _TITLE_INCHES[1] + 0.2 * bool(self.column_names),
        )
        figure = Figure(figsize=inches, dpi=_DPI, layout="constrained")
        axes = figure.subplots()
        axes.imshow(sheet, interpolation="nearest")
        side = self.pictures[0].shape
        rows, columns = (np.arange(n) for n in (len(self.row_names), len(self.column_names)))
        axes.set_yticks(rows * (side[0] + _GAP) + side[0] / 2, self.row_names, fontsize=8)
        axes.set_xticks(columns * (side[1] + _GAP) + side[1] / 2, self.column_names, fontsize=8)
        axes.tick_params(length=0, labeltop=True, labelbottom=False)
        for spine in axes.spines.values():
            spine.set_visible(False)
        figure.suptitle(self.title, fontsize=9, wrap=True)
        return figure

    def save(self, path: Path, figure: Figure) -> None:
        """Save the figure, or the animation if the path ends with ``.gif`` or ``.apng``.

        Raises
        ------
        ArgumentError
            If an animation is asked for and the pictures are no sequence.
        WriterError
            If it cannot be written there, or there is no such format. What was there stays.
        """
        kind = file_format(path, is_sequence=self.is_sequence)
        buffer = io.BytesIO()
        if kind not in ANIMATIONS.values():
            figure.savefig(buffer, format=kind)
        else:
            first, *others = self._frames()
            first.save(
                buffer,
                format=kind,
                save_all=True,
                append_images=others,
                duration=_FRAME_MILLISECONDS,
                loop=0,
            )
        write_file(path, buffer.getvalue())

    def _frames(self) -> list[Image]:
        """Return the pictures there and back, so that the animation has no jump."""
        from PIL import Image

        factor = max(1, -(-_SMALLEST_FRAME // min(self.pictures[0].shape[:2])))
        there = [one.repeat(factor, 0).repeat(factor, 1) for one in self.pictures]
        return [Image.fromarray(frame) for frame in [*there, *there[-2:0:-1]]]


def file_format(path: Path, *, is_sequence: bool) -> str:
    """Return the format that the name of a picture stands for; that of animations is in capitals.

    Raises
    ------
    ArgumentError
        If it is that of an animation and the pictures are no sequence.
    WriterError
        If there is no such format.

    Examples
    --------
    >>> file_format(Path("way.gif"), is_sequence=True), file_format(Path("a.PNG"), is_sequence=True)
    ('GIF', 'png')
    """
    from matplotlib.backend_bases import FigureCanvasBase

    ending = path.suffix.lower()
    if ending in ANIMATIONS and not is_sequence:
        allowed = "a picture such as .png: only kind='interpolation' moves"
        raise ArgumentError("path", str(path), allowed)
    if not ending:
        raise WriterError(path, "its name has no ending that says the format, such as .png")
    known = FigureCanvasBase.get_supported_filetypes()
    if ending not in ANIMATIONS and ending[1:] not in known:
        raise WriterError(
            path, f"{ending} is no format of pictures", "Use .png, .jpg, .pdf or .svg."
        )
    return ANIMATIONS.get(ending, ending[1:])


def interpolate(start: Latents, end: Latents, *, steps: int) -> Latents:
    """Go from one latent vector to another along the sphere on which draws of a prior lie.

    Parameters
    ----------
    start, end : ndarray of float32, shape (size,)
    steps : int
        Number of vectors, both ends among them; at least 2.

    Returns
    -------
    ndarray of float32, shape (steps, size)

    References
    ----------
    Shoemake, "Animating rotation with quaternion curves", SIGGRAPH 1985, section 3.3; for latent
    vectors White, arXiv:1609.04468, section 2.1.

    Examples
    --------
    >>> path = interpolate(np.float32([1, 0]), np.float32([0, 1]), steps=3)
    >>> path.astype(float).round(3).tolist()
    [[1.0, 0.0], [0.707, 0.707], [0.0, 1.0]]
    """
    a, b = start.astype(np.float64), end.astype(np.float64)
    share = np.linspace(0, 1, steps)[:, None]
    lengths = np.linalg.norm(a) * np.linalg.norm(b)
    angle = np.arccos(np.clip(a @ b / lengths, -1, 1)) if lengths > 0 else 0.0
    if np.sin(angle) < 1e-6:
        # One direction, or opposite ones that no arc of the sphere is nearest to.
        return ((1 - share) * a + share * b).astype(np.float32)
    path = (np.sin((1 - share) * angle) * a + np.sin(share * angle) * b) / np.sin(angle)
    path[0], path[-1] = a, b
    return np.asarray(path, dtype=np.float32)
