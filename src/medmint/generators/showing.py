"""The part of the facade that shows what a model draws."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from medmint.errors import ArgumentError
from medmint.generators.foundation import Foundation, refuse
from medmint.home import user_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from medmint.generation_request import GenerationRequest
    from medmint.model_visualizer.notebook import Panel
    from medmint.model_visualizer.sensitivity import LatentSensitivity
    from medmint.model_visualizer.window import Window

#: Arguments of generate that mean nothing where samples are shown.
_OF_FILES = ("num_samples", "output_path", "save_images", "output_format", "overwrite")


class Showing(Foundation):
    """Move through what a model can draw, save pictures of it, measure how far it varies."""

    def visualize(
        self,
        model_id: int | str,
        slider_grouper: int = 10,
        auto_close: bool = False,
        install_dependencies: bool = False,
        *,
        seed: int | None = None,
        sensitivity: LatentSensitivity | None = None,
        folder: str | os.PathLike[str] = ".",
        **arguments: Any,
    ) -> Window | Panel:
        """Look at a model with sliders over its latent space, in a window or in a notebook.

        Every slider moves a group of latent variables away from a draw, one moves all of them.
        Seed goes to another draw, Reset back to this one, Save writes the pictures as PNG and the
        latent vector as JSON, which ``generate(..., latents=FILE)`` takes. Image-to-image models
        show input and output beside each other.

        Parameters
        ----------
        model_id : int or str
        slider_grouper : int
            Latent variables of a slider, from 1 to the latent size.
        auto_close : bool
            Close the window after a second.
        install_dependencies : bool
            Build a private environment where the model needs packages that are not here.
        seed : int, optional
            Seed of the first picture, which is that of ``generate(model_id, 1, seed=seed)``.
        sensitivity : LatentSensitivity, optional
            What :meth:`latent_sensitivity` gave: the sliders stand in order of their effect.
        folder : path
            Where the Save button saves.
        **arguments
            Further arguments of :meth:`generate`; with ``latents`` it begins there.

        Returns
        -------
        Window or Panel
            What is shown; a window that blocks has been closed by then.

        Raises
        ------
        ArgumentError
            If the model has neither a latent vector nor input images, or an argument is wrong.
        DisplayError
            If there is neither a display nor a notebook; :meth:`preview` needs none.
        MissingExtraError
            If this is a notebook and ipywidgets is not installed.
        """
        from medmint.model_visualizer import ModelVisualizer

        request = _request(seed=seed, install_dependencies=install_dependencies, **arguments)
        visualizer = ModelVisualizer(self._executor(model_id, request.package))
        return visualizer.visualize(
            request,
            slider_grouper=slider_grouper,
            sensitivity=sensitivity,
            folder=user_path("folder", folder, "a folder"),
            auto_close=auto_close,
        )

    def preview(
        self,
        model_id: int | str,
        n: int = 16,
        kind: str = "grid",
        seed: int | None = None,
        *,
        path: str | os.PathLike[str] | None = None,
        slider_grouper: int = 10,
        **arguments: Any,
    ) -> Figure:
        """Draw a still picture; needs no display.

        Parameters
        ----------
        model_id : int or str
        n : int
            Pictures of a grid, frames of an interpolation, pictures in each row of a traversal,
            rows of conditions.
        kind : {"grid", "interpolation", "traversal", "conditions"}
            Random samples with the masks outlined in green (of an image-to-image model, inputs
            beside outputs); the way from one draw to another along the sphere; a row for each
            latent group, moved from -3 to 3; a column for each class.
        seed : int, optional
            Seed of the draws; it is written into the title.
        path : path, optional
            Save the picture there as well; with ``.gif`` or ``.apng`` an interpolation moves.
        slider_grouper : int
            Latent variables of a row of a traversal.
        **arguments
            Further arguments of :meth:`generate`.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ArgumentError
            If the model lacks what the picture needs, or an argument is wrong.
        WriterError
            If the picture cannot be saved.

        Examples
        --------
        >>> from medmint import Generators
        >>> with Generators() as generators:
        ...     figure = generators.preview(10001, n=2, seed=1)
        >>> figure.get_suptitle().splitlines()[1]
        '10001_PHANTOM_CT_HEAD_SLICE · seed 1'
        """
        from medmint.model_visualizer import ModelVisualizer

        request = _request(seed=seed, **arguments)
        target = None if path is None else user_path("path", path, "a picture")
        visualizer = ModelVisualizer(self._executor(model_id, request.package))
        still = visualizer.preview(request, n, kind, slider_grouper=slider_grouper, target=target)
        figure = still.figure()
        if target is not None:
            still.save(target, figure)
        return figure

    def latent_sensitivity(
        self,
        model_id: int | str,
        slider_grouper: int = 10,
        *,
        samples: int = 16,
        distance: float = 3.0,
        seed: int | None = None,
        **arguments: Any,
    ) -> LatentSensitivity:
        """Measure how far the output varies when the latent vector moves by a fixed distance.

        Parameters
        ----------
        model_id : int or str
        slider_grouper : int
            Latent variables of a group.
        samples : int
            Draws from the prior that are moved, once for each group.
        distance : float
            Euclidean length of the moves.
        seed : int, optional
            Seed of draws and directions.
        **arguments
            Further arguments of :meth:`generate`.

        Returns
        -------
        LatentSensitivity
            Mean and variance of the feature distance per latent group, overall and, to compare
            with, between independent samples; ``order`` has the groups of largest effect first.

        Raises
        ------
        ArgumentError
            If the model has no latent vector, or an argument is wrong.

        Examples
        --------
        >>> from medmint import Generators
        >>> with Generators() as generators:
        ...     found = generators.latent_sensitivity(10001, 16, samples=2, seed=1)
        >>> [effect.label for effect in found.groups], sorted(found.order)
        (['z 1-16', 'z 17-32'], [0, 1])
        """
        from medmint.model_visualizer import ModelVisualizer

        if "latents" in arguments:
            raise ArgumentError("latents", "some", "none: the draws are those of the seed")
        request = _request(seed=seed, **arguments)
        return ModelVisualizer(self._executor(model_id, request.package)).latent_sensitivity(
            request, slider_grouper=slider_grouper, samples=samples, distance=distance
        )


def _request(**arguments: Any) -> GenerationRequest:
    from medmint.generation_request import GenerationRequest

    allowed = "an argument that counts where samples are shown and not saved"
    refuse(_OF_FILES, arguments, allowed)
    return GenerationRequest.of(**arguments)
