"""Pictures of what a model generates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from medmint.errors import ArgumentError, WriterError
from medmint.generation_request import GenerationRequest
from medmint.samples import draw_seed
from medmint.sheets import contact_sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from medmint.model_executor import ModelExecutor

PREVIEWS = ("grid",)
_INCHES = 8.0


class ModelVisualizer:
    """Draws samples of one model.

    Parameters
    ----------
    executor : ModelExecutor
        Runs the model.
    """

    def __init__(self, executor: ModelExecutor) -> None:
        self._executor = executor

    def save_preview(self, figure: Figure, path: Path) -> None:
        """Save a picture in the format that its name ends with.

        Raises
        ------
        WriterError
            If it cannot be written there, or there is no such format.
        """
        if not path.suffix:
            raise WriterError(path, "its name has no ending that says the format, such as .png")
        try:
            figure.savefig(path, dpi=150)
        except (OSError, ValueError) as error:
            raise WriterError(path, str(error)) from error

    def preview(self, n: int = 16, kind: str = "grid", **request: Any) -> Figure:
        """Draw a still picture; needs no display.

        Parameters
        ----------
        n : int
            Number of samples.
        kind : {"grid"}
            Random samples, masks outlined.
        **request
            Further arguments of ``generate``, such as ``seed``.

        Returns
        -------
        matplotlib.figure.Figure
        """
        if kind not in PREVIEWS:
            raise ArgumentError("kind", kind, " or ".join(map(repr, PREVIEWS)))
        from matplotlib.figure import Figure

        seed = draw_seed() if request.get("seed") is None else request["seed"]
        given = {"num_samples": n, "save_images": False, "seed": seed}
        asked = GenerationRequest.of(**{**request, **given})
        images, masks = [], []
        for batch in self._executor.stream(asked):
            images += list(batch.arrays["image"])
            masks += list(batch.arrays.get("mask", []))
        record = self._executor.record
        spec = record.execution.output.get("image")
        sheet = contact_sheet(images, masks or None, window=spec.window if spec else None)
        height, width = sheet.shape[:2]
        figure = Figure(figsize=(_INCHES, _INCHES * height / width + 0.4), layout="constrained")
        axes = figure.subplots()
        axes.imshow(sheet, interpolation="nearest")
        axes.set_axis_off()
        figure.suptitle(f"{record.model_id}\n{record.title} (seed {seed})", fontsize=9, wrap=True)
        return figure
