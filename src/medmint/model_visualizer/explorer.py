"""The moves that a window and a notebook share: each changes the view and has it drawn."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medmint.catalogue.records import ModelRecord
from medmint.errors import ArgumentError, MedmintError, WriterError
from medmint.generation_request import GenerationRequest, read_latents
from medmint.model_visualizer.display import Display, Picture
from medmint.model_visualizer.inputs import Inputs, input_option, read_picture
from medmint.model_visualizer.painting import Painter
from medmint.model_visualizer.view import View, groups_of
from medmint.samples import Array, Batch, draw_conditions, draw_seed, latent_vectors

if TYPE_CHECKING:
    from medmint.model_executor import ModelExecutor


@dataclass(frozen=True, slots=True)
class Drawn:
    """A view and what the model made of it; ``seconds`` from asking to having."""

    view: View
    batch: Batch
    seconds: float


@dataclass(frozen=True, slots=True)
class Setting:
    """An option of the model that can be changed while looking, and its values if they are few."""

    name: str
    value: Any
    choices: tuple[Any, ...] = ()
    help: str = ""


class Explorer:
    """Looks at one model from any point of its latent space, or at any of its input images.

    Parameters
    ----------
    executor : ModelExecutor
        Runs the model.
    request : GenerationRequest
        How to run it: device, weights, options, a seed or a latent vector to begin with.
    slider_grouper : int
        Latent variables that one slider moves.

    Raises
    ------
    ArgumentError
        If the model has neither a latent vector nor input images, or the grouping is impossible.
    """

    def __init__(
        self, executor: ModelExecutor, request: GenerationRequest, *, slider_grouper: int = 10
    ) -> None:
        self.record = executor.record
        self._executor = executor
        self.size = latent_size(self.record)
        groups = groups_of(self.size, slider_grouper) if self.size else ()
        if not self.size and input_option(self.record) is None:
            raise no_latents(self.record)
        self.conditions = class_names(self.record)
        seed = draw_seed() if request.seed is None else int(request.seed)
        given = read_latents(request.latents, self.record)
        self._package = executor.locate(request)
        self._inputs = None if self.size else Inputs(self.record, request, package=self._package)
        self.settings = settings_of(self.record, request.options)
        self._request = replace(request, num_samples=1, save_images=False, options={})
        self.view = View(
            seed=seed,
            draw=self._draw(seed) if given is None else given[0],
            groups=groups,
            shifts=(0.0,) * len(groups),
            condition=self._first_condition(request.condition, seed),
            options=dict(request.options),
            source=self._inputs.files[0] if self._inputs else None,
        )
        #: Numbers of the groups in the order in which their sliders are shown.
        self.order = tuple(range(len(groups)))
        self.display = Display(self.record)
        self.painter: Painter[View, Drawn] = Painter(self.draw)
        self.drawn: Drawn | None = None

    @property
    def sources(self) -> list[Path]:
        """Input images to choose from."""
        return self._inputs.files if self._inputs else []

    def draw(self, view: View) -> Drawn:
        """Run the model for a view, in the thread of the caller."""
        start = time.perf_counter()
        inputs = self._inputs.arguments(view.source) if self._inputs and view.source else {}
        request = self._request.changed(
            seed=view.seed,
            latents=view.latent,
            condition=view.condition,
            **{**view.options, **inputs},
        )
        (batch,) = self._executor.stream(request, package=self._package)
        return Drawn(view, batch, time.perf_counter() - start)

    def begin(self) -> None:
        """Draw the first picture, so that whatever is wrong is raised here."""
        self.drawn = self.draw(self.view)
        self.display.fit(list(self.drawn.batch.arrays["image"]))

    def update(self) -> MedmintError | None:
        """Take what was drawn since; return what went wrong, if anything did."""
        result = self.painter.take()
        if isinstance(result, Drawn):
            self.drawn = result
        return result if isinstance(result, MedmintError) else None

    def panes(self, position: float = 0.5) -> dict[str, Picture]:
        """Return the newest pictures by name: input, image, mask."""
        if self.drawn is None:
            return {}
        arrays, panes = self.drawn.batch.arrays, {}
        if self.drawn.view.source is not None:
            panes["input"] = Display(self.record).image(read_picture(self.drawn.view.source))
        panes["image"] = self.display.image(arrays["image"][0], position)
        if "mask" in arrays:
            panes["mask"] = self.display.mask(arrays["mask"][0], position)
        return panes

    @property
    def is_volume(self) -> bool:
        """Whether the model makes volumes, so that slices have to be chosen."""
        images: Iterable[Array] = self.drawn.batch.arrays["image"] if self.drawn else ()
        return any(self.display.is_volume(image) for image in images)

    @property
    def caption(self) -> str:
        """Which picture is shown: the seed, whether sliders moved it, the label."""
        if self.drawn is None:
            return ""
        view, labels = self.drawn.view, self.drawn.batch.labels
        parts = [f"seed {view.seed}"]
        parts += ["moved"] if view.is_moved else []
        if labels is not None:
            named = isinstance(labels[0], int) and labels[0] < len(self.conditions)
            parts.append(f"label {self.conditions[int(labels[0])] if named else labels[0]}")
        return " · ".join(parts)

    def look(self, view: View) -> None:
        """Have a view drawn; of several in quick succession the last one is."""
        self.view = view
        self.painter.ask(view)

    def shift(self, number: int, value: float) -> None:
        """Move the slider of a group."""
        self.look(self.view.shifted(number, value))

    def move_all(self, value: float) -> None:
        """Move the offset slider."""
        self.look(replace(self.view, offset=float(value)))

    def choose(self, condition: str) -> None:
        """Ask for a class."""
        self.look(replace(self.view, condition=condition))

    def set_option(self, name: str, value: Any) -> None:
        """Change an option of the model."""
        self.look(self.view.with_option(name, value))

    def translate(self, source: Path) -> None:
        """Choose an input image."""
        self.look(replace(self.view, source=source))

    def reseed(self, seed: int | None = None) -> None:
        """Go to another random latent vector, or to that of a seed; all sliders at 0."""
        seed = draw_seed() if seed is None else seed
        self.look(self.view.at(seed, self._draw(seed)))

    def reset(self) -> None:
        """Go back to the draw."""
        self.look(self.view.reset())

    def save(self, folder: Path) -> list[Path]:
        """Save the newest pictures as PNG and their view as JSON, under names of their own.

        Returns
        -------
        list of Path
            The JSON file, which ``generate(latents=...)`` takes, and the pictures.

        Raises
        ------
        WriterError
            If they cannot be written.
        """
        from PIL import Image

        if self.drawn is None:
            return []
        text = json.dumps(describe(self.record, self.drawn.view), indent=1)
        pictures = {"" if k == "image" else f"_{k}": p for k, p in self.panes().items()}
        stem = _free_name(folder, f"{self.record.model_id}_seed{self.drawn.view.seed}")
        saved = [stem.with_name(f"{stem.name}.json")]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with saved[0].open("x", encoding="utf-8") as file:
                file.write(text)
            for suffix, picture in pictures.items():
                saved.append(stem.with_name(f"{stem.name}{suffix}.png"))
                Image.fromarray(picture).save(saved[-1])
        except OSError as error:
            for path in saved:
                with contextlib.suppress(OSError):
                    path.unlink()
            raise WriterError(saved[-1], error.strerror or str(error)) from error
        return saved

    def close(self) -> None:
        """Stop drawing."""
        self.painter.close()

    def _draw(self, seed: int) -> NDArray[np.float32] | None:
        return latent_vectors(seed, 0, 1, self.size)[0] if self.size else None

    def _first_condition(self, given: Any, seed: int) -> str | None:
        """Return the class that was asked for, or the one that ``generate`` draws for the seed."""
        if not self.conditions:
            return None
        if given is None:
            drawn = drawn_classes(self.record, seed, 1)
            return self.conditions[0 if drawn is None else int(drawn[0])]
        if isinstance(given, int) and 0 <= given < len(self.conditions):
            return self.conditions[given]
        if given not in self.conditions:
            raise ArgumentError("condition", given, f"one of {', '.join(self.conditions)}")
        return str(given)


def latent_size(record: ModelRecord) -> int:
    """Return the length of a model's latent vector, 0 where it has none."""
    return record.execution.generate_method.input_latent_vector_size or 0


def no_latents(record: ModelRecord) -> ArgumentError:
    """Say that there is nothing to move."""
    allowed = "a model with a latent vector or with input images (info() names the latent size)"
    return ArgumentError("model_id", record.model_id, allowed)


def class_names(record: ModelRecord) -> tuple[str, ...]:
    """Return the classes of a model; some published ones list them with their option condition."""
    if record.execution.conditions:
        return record.execution.conditions
    return tuple(map(str, _choices(record).get("condition", ())))


def drawn_classes(record: ModelRecord, seed: int, count: int) -> NDArray[np.int64] | None:
    """Return the classes that ``generate`` draws for the first samples of a seed, if it does."""
    classes = record.execution.conditions
    return draw_conditions(seed, 0, count, len(classes)) if classes else None


def settings_of(record: ModelRecord, given: Mapping[str, Any]) -> list[Setting]:
    """Return the options that can be changed while looking, with their values."""
    values = record.execution.generate_method.custom.thawed() | dict(given)
    helps = {one["name"]: one.get("help", "") for one in _parameters(record)}
    # What the window has controls of its own for, under the names of published models.
    hidden = {"condition", "z", input_option(record)}
    return [
        Setting(name, value, tuple(_choices(record).get(name, ())), helps.get(name, ""))
        for name, value in values.items()
        if name not in hidden
    ]


def describe(record: ModelRecord, view: View) -> dict[str, Any]:
    """Return a view as JSON has it; ``generate`` reads its latent vector."""
    facts: dict[str, Any] = {"model_id": record.model_id, "seed": view.seed}
    latent = view.latent
    if latent is not None:
        facts["latents"] = [[float(value) for value in latent]]
    if view.condition is not None:
        facts["condition"] = view.condition
    if view.source is not None:
        facts["input"] = view.source.name
    return facts | {"options": dict(view.options)}


def _parameters(record: ModelRecord) -> Sequence[Mapping[str, Any]]:
    listed: Sequence[Mapping[str, Any]] = record.description.get("parameters") or ()
    return listed


def _choices(record: ModelRecord) -> dict[str, Sequence[Any]]:
    return {one["name"]: one["choices"] for one in _parameters(record) if one.get("choices")}


def _free_name(folder: Path, name: str) -> Path:
    """Return a path whose name no file begins with, numbered where there are some."""
    number = 1
    while True:
        stem = folder / (name if number == 1 else f"{name}-{number}")
        if not stem.with_name(f"{stem.name}.json").exists():
            return stem
        number += 1
