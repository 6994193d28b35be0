"""The ways of looking at a model: moving through it, still pictures, one measure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medmint.errors import ArgumentError, ContractError, DisplayError
from medmint.generation_request import GenerationRequest, read_latents
from medmint.model_visualizer.display import Display, Picture
from medmint.model_visualizer.explorer import (
    Explorer,
    class_names,
    drawn_classes,
    latent_size,
    no_latents,
)
from medmint.model_visualizer.inputs import Inputs, input_option, read_picture
from medmint.model_visualizer.sensitivity import LatentSensitivity, measure_effects
from medmint.model_visualizer.stills import Still, file_format, interpolate
from medmint.model_visualizer.surfaces import check_backend
from medmint.model_visualizer.view import Group, groups_of
from medmint.progress import progress_bar
from medmint.samples import Batch, draw_seed, latent_vectors
from medmint.sheets import outlined

if TYPE_CHECKING:
    from medmint.model_executor import ModelExecutor
    from medmint.model_visualizer.notebook import Panel
    from medmint.model_visualizer.window import Window

PREVIEWS = ("grid", "interpolation", "traversal", "conditions")
_AUTO_CLOSE_SECONDS = 1.0
#: No draw from a prior is further from another one, and no latent vector overflows.
_FURTHEST = 1e6
#: More pictures than a screen has room for, or samples than a measure has use for.
_MOST = 4096

Latents = NDArray[np.float32]


class ModelVisualizer:
    """Draws samples of one model.

    Parameters
    ----------
    executor : ModelExecutor
        Runs the model.
    """

    def __init__(self, executor: ModelExecutor) -> None:
        self._executor = executor
        self._record = executor.record

    def visualize(
        self,
        request: GenerationRequest,
        *,
        slider_grouper: int = 10,
        sensitivity: LatentSensitivity | None = None,
        folder: Path = Path(),
        auto_close: bool = False,
    ) -> Window | Panel:
        """Open a window, or display widgets in a notebook, and return it.

        Parameters
        ----------
        request : GenerationRequest
            How to run the model, and where to begin.
        slider_grouper : int
            Latent variables that one slider moves.
        sensitivity : LatentSensitivity, optional
            Puts the sliders in order of their effect.
        folder : Path
            Where the Save button saves.
        auto_close : bool
            Close the window after a second.

        Raises
        ------
        DisplayError
            If there is neither a display nor a notebook.
        """
        from medmint.model_visualizer.surfaces import is_notebook, open_figure, show_figure

        check_backend()

        figure = open_figure()
        if figure is None and not is_notebook():
            raise DisplayError(self._record.model_id)
        try:
            explorer = self.explorer(
                request, slider_grouper=slider_grouper, sensitivity=sensitivity
            )
            explorer.begin()
            if figure is None:
                return _panel(explorer, folder)
            from medmint.model_visualizer.window import Window

            window = Window(explorer, figure, folder=folder)
        except BaseException:
            show_figure(figure, seconds=0)
            raise
        show_figure(figure, seconds=_AUTO_CLOSE_SECONDS if auto_close else None)
        return window

    def explorer(
        self,
        request: GenerationRequest,
        *,
        slider_grouper: int = 10,
        sensitivity: LatentSensitivity | None = None,
    ) -> Explorer:
        """Return the state that windows and notebooks show, the sliders in the wanted order."""
        explorer = Explorer(self._executor, request, slider_grouper=slider_grouper)
        if sensitivity is not None:
            if not isinstance(sensitivity, LatentSensitivity):
                raise ArgumentError("sensitivity", sensitivity, "what latent_sensitivity() gave")
            measured = (sensitivity.model_id, sensitivity.slider_grouper)
            wanted = (self._record.model_id, slider_grouper)
            if measured != wanted:
                expected = f"that of {wanted[0]} with slider_grouper={wanted[1]}"
                raise ArgumentError("sensitivity", measured, expected)
            explorer.order = sensitivity.order
        return explorer

    def preview(
        self,
        request: GenerationRequest,
        n: int,
        kind: str = "grid",
        *,
        slider_grouper: int = 10,
        target: Path | None = None,
    ) -> Still:
        """Draw still pictures; needs no display.

        Parameters
        ----------
        request : GenerationRequest
            How to run the model; its seed, or one that is drawn, is written into the title.
        n : int
            Pictures of a grid, frames of an interpolation, pictures in each row of a traversal,
            rows of conditions.
        kind : {"grid", "interpolation", "traversal", "conditions"}
            What to draw.
        slider_grouper : int
            Latent variables of a row of a traversal.
        target : Path, optional
            Where the picture is going to be saved: a name that cannot be is refused at once.

        Raises
        ------
        ArgumentError
            If there is no such kind, or the model lacks what it needs.
        """
        if not isinstance(kind, str) or kind not in PREVIEWS:
            raise ArgumentError("kind", kind, " or ".join(map(repr, PREVIEWS)))
        check_backend()
        _check_count("n", n, least=2 if kind in ("interpolation", "traversal") else 1)
        if target is not None:
            file_format(target, is_sequence=kind == "interpolation")
        seed = draw_seed() if request.seed is None else request.seed
        request = replace(request, seed=seed, save_images=False)
        title = f"{self._record.title}\n{self._record.model_id} · seed {seed}"
        if kind == "grid":
            return self._grid(request, n, title)
        if kind == "interpolation":
            return self._interpolation(request, n, title)
        if kind == "traversal":
            return self._traversal(request, n, title, slider_grouper=slider_grouper)
        return self._conditions(request, n, title)

    def latent_sensitivity(
        self,
        request: GenerationRequest,
        *,
        slider_grouper: int = 10,
        samples: int = 16,
        distance: float = 3.0,
    ) -> LatentSensitivity:
        """Measure how far the output varies at a fixed latent distance.

        Parameters
        ----------
        request : GenerationRequest
            How to run the model.
        slider_grouper : int
            Latent variables of a group.
        samples : int
            Draws from the prior that are moved, at least 2.
        distance : float
            Euclidean length of the moves; a group of k variables whose slider goes one up moves
            by the square root of k.

        Raises
        ------
        ArgumentError
            If the model has no latent vector.
        """
        size = self._latent_size()
        _check_count("samples", samples, least=2)
        is_number = isinstance(distance, int | float | np.number) and distance is not True
        if not is_number or not 0 < distance <= _FURTHEST:
            raise ArgumentError("distance", distance, f"a number above 0, of {_FURTHEST:g} at most")
        groups = groups_of(size, slider_grouper)
        seed = draw_seed() if request.seed is None else request.seed
        request = self._with_classes(replace(request, seed=seed, save_images=False), samples)
        display = Display(self._record)
        with progress_bar("groups") as progress:
            *effects, independent = measure_effects(
                lambda latents: self._images(replace(request, latents=latents), display),
                latent_vectors(seed, 0, samples, size),
                groups=(*groups, Group(0, size)),
                distance=distance,
                seed=seed,
                progress=progress,
            )
        return LatentSensitivity(
            model_id=self._record.model_id,
            slider_grouper=slider_grouper,
            distance=float(distance),
            samples=samples,
            seed=seed,
            groups=tuple(effects[:-1]),
            overall=effects[-1],
            between_samples=independent,
        )

    def _grid(self, request: GenerationRequest, n: int, title: str) -> Still:
        if input_option(self._record) and not latent_size(self._record):
            return self._translations(request, n, title)
        if request.latents is None:
            request = replace(request, num_samples=n)
        return Still(title=title, pictures=self._pictures(request))

    def _translations(self, request: GenerationRequest, n: int, title: str) -> Still:
        """Show input images beside what the model makes of them."""
        inputs = Inputs(self._record, request, package=self._executor.locate(request))
        display, pictures = Display(self._record), []
        for source in inputs.files[:n]:
            one = request.changed(num_samples=1, **inputs.arguments(source))
            before = Display(self._record).image(read_picture(source))
            pictures += [before, *self._pictures(one, display)]
        side = pictures[1].shape
        names = [source.name for source in inputs.files[:n]]
        return Still(
            title=title,
            pictures=[_resized(picture, side) for picture in pictures],
            columns=2,
            row_names=names,
            column_names=["input", "output"],
        )

    def _interpolation(self, request: GenerationRequest, n: int, title: str) -> Still:
        start, end = self._latents(request, 2)
        request = self._with_classes(request, 1)
        pictures = self._pictures(replace(request, latents=interpolate(start, end, steps=n)))
        return Still(title=title, pictures=pictures, columns=min(n, 8), is_sequence=True)

    def _traversal(
        self, request: GenerationRequest, n: int, title: str, *, slider_grouper: int
    ) -> Still:
        groups = groups_of(self._latent_size(), slider_grouper)
        (start,) = self._latents(request, 1)
        request = self._with_classes(request, 1)
        shifts = np.linspace(-3, 3, n, dtype=np.float32)
        latents = np.repeat(start[None], len(groups) * n, axis=0)
        for row, group in enumerate(groups):
            latents[row * n : (row + 1) * n, group.first : group.stop] += shifts[:, None]
        return Still(
            title=title,
            pictures=self._pictures(replace(request, latents=latents)),
            columns=n,
            row_names=[group.label for group in groups],
            column_names=[f"{shift:+.1f}" for shift in shifts],
        )

    def _conditions(self, request: GenerationRequest, n: int, title: str) -> Still:
        classes = class_names(self._record)
        if not classes:
            raise ArgumentError(
                "kind", "conditions", f"another: {self._record.model_id} has no classes"
            )
        if latent_size(self._record):
            request = replace(request, latents=self._latents(request, n))
        request, display = replace(request, num_samples=n), Display(self._record)
        columns = [self._pictures(replace(request, condition=one), display) for one in classes]
        return Still(
            title=title,
            pictures=[picture for row in zip(*columns, strict=True) for picture in row],
            columns=len(classes),
            column_names=classes,
        )

    def _with_classes(self, request: GenerationRequest, count: int) -> GenerationRequest:
        """Hold on to the classes of the first samples, whatever is drawn of them."""
        if request.condition is not None:
            return request
        return replace(request, condition=drawn_classes(self._record, request.seed or 0, count))

    def _latent_size(self) -> int:
        size = latent_size(self._record)
        if not size:
            raise no_latents(self._record)
        return size

    def _latents(self, request: GenerationRequest, count: int) -> Latents:
        """Return so many latent vectors: those that were given, then draws of the seed."""
        drawn = latent_vectors(request.seed or 0, 0, count, self._latent_size())
        given = read_latents(request.latents, self._record)
        return drawn if given is None else np.concatenate([given, drawn])[:count]

    def _images(self, request: GenerationRequest, display: Display) -> list[Picture]:
        return [display.image(image) for image, _ in self._samples(request, display)]

    def _pictures(
        self, request: GenerationRequest, display: Display | None = None
    ) -> list[Picture]:
        """Generate and return pictures, masks outlined."""
        display = display or Display(self._record)
        pictures = []
        for image, mask in self._samples(request, display):
            picture = display.image(image)
            if mask is not None:
                inside = display.mask_values(mask)
                if inside.shape != picture.shape[:2]:
                    expected, found = "masks as large as the images", f"{mask.shape}"
                    raise ContractError(self._record.model_id, expected, found)
                picture = outlined(picture, inside)
            pictures.append(picture)
        return pictures

    def _samples(self, request: GenerationRequest, display: Display) -> Iterator[tuple[Any, Any]]:
        if request.latents is not None:
            latents = read_latents(request.latents, self._record)
            request = replace(request, num_samples=0 if latents is None else len(latents))
        for batch in self._executor.stream(request):
            images: Sequence[Any] = list(batch.arrays["image"])
            display.fit(images)
            yield from zip(images, _masks(batch), strict=True)


def _masks(batch: Batch) -> Sequence[Any]:
    return list(batch.arrays["mask"]) if "mask" in batch.arrays else [None] * len(batch)


def _panel(explorer: Explorer, folder: Path) -> Panel:
    from medmint.model_visualizer.notebook import Panel

    panel = Panel(explorer, folder=folder)
    panel.show()
    return panel


def _resized(picture: Picture, shape: tuple[int, ...]) -> Picture:
    if picture.shape == shape:
        return picture
    from PIL import Image

    return np.asarray(Image.fromarray(picture).resize((shape[1], shape[0])))


def _check_count(name: str, value: Any, *, least: int) -> None:
    is_whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not is_whole or not least <= value <= _MOST:
        raise ArgumentError(name, value, f"a whole number from {least} to {_MOST}")
