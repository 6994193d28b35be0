"""The controls as ipywidgets, for notebooks."""

from __future__ import annotations

import html
import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medmint.errors import MedmintError
from medmint.model_visualizer.controls import REACH, ROWS_PER_PAGE, Controls
from medmint.model_visualizer.explorer import Explorer, Setting
from medmint.model_visualizer.widgets import as_text, from_text
from medmint.optional import require

if TYPE_CHECKING:
    from medmint.model_visualizer.display import Picture

_STYLE, _LAYOUT = {"description_width": "120px"}, {"width": "380px"}
_PANE_PIXELS = 320


class Panel(Controls):
    """A box of widgets with the newest pictures and the controls of an explorer.

    Parameters
    ----------
    explorer : Explorer
        Has drawn its first picture.
    folder : Path
        Where the Save button saves.

    Raises
    ------
    MissingExtraError
        If ipywidgets is not installed.
    """

    def __init__(self, explorer: Explorer, *, folder: Path) -> None:
        self._widgets = require("ipywidgets", extra="notebook")
        super().__init__(explorer, folder=folder)
        self._is_following = True
        self._title = self._widgets.HTML()
        self._status = self._widgets.HTML()
        self._pictures = self._widgets.HBox()
        self._rows = self._widgets.VBox()
        pinned = self._pin_controls()
        for number in explorer.order:
            self._slider(explorer.view.groups[number].label, partial(explorer.shift, number))
        for setting in explorer.settings:
            self._option(setting)
        self._pages = [name for name in self.controls if name not in pinned]
        left = self._widgets.VBox([self._pictures, self._buttons(), self._status])
        right = self._widgets.VBox([*(self.controls[name] for name in pinned), self._rows])
        self.box = self._widgets.VBox([self._title, self._widgets.HBox([left, right])])
        self._turn(1)
        self._show()
        explorer.painter.finished = self._update

    def finish(self, seconds: float | None = 60.0) -> bool:
        """Wait until the newest view is drawn and shown; False if that takes longer."""
        return self.explorer.painter.wait(seconds)

    def close(self) -> None:
        """Stop drawing and take the widgets out of the notebook."""
        self.explorer.close()
        self.box.close()

    def show(self) -> None:
        """Display the widgets under the cell that is running."""
        require("IPython.display", extra="notebook").display(self.box)

    def _ipython_display_(self) -> None:
        """Display nothing: the widgets are there already when this object ends a cell."""

    def _pin_controls(self) -> list[str]:
        """Make the controls that are always to be seen; return their names."""
        explorer, widgets = self.explorer, self._widgets
        if explorer.size:
            self._slider("offset", explorer.move_all)
        if explorer.conditions:
            self._dropdown("class", explorer.conditions, explorer.view.condition, explorer.choose)
        if explorer.sources:
            files = [(path.name, path) for path in explorer.sources]
            self._dropdown("input", files, explorer.view.source, explorer.translate)
        if explorer.is_volume:
            self._slider("slice", self._slice, limits=(0.0, 1.0), value=0.5)
        count = -(-(len(explorer.order) + len(explorer.settings)) // ROWS_PER_PAGE)
        if count > 1:
            self._add("page", widgets.IntSlider(value=1, min=1, max=count), self._turn)
        return list(self.controls)

    def _slider(
        self,
        name: str,
        moved: Callable[[float], None],
        *,
        limits: tuple[float, float] = (-REACH, REACH),
        value: float = 0.0,
    ) -> None:
        low, high = limits
        slider = self._widgets.FloatSlider(value=value, min=low, max=high, step=0.01)
        self._add(name, slider, moved)

    def _dropdown(self, name: str, options: Any, value: Any, chosen: Callable[[Any], None]) -> None:
        self._add(name, self._widgets.Dropdown(options=options, value=value), chosen)

    def _option(self, setting: Setting) -> None:
        widgets, change = self._widgets, partial(self.explorer.set_option, setting.name)
        name, value = f"option {setting.name}", setting.value
        if setting.choices:
            listed = setting.choices if value in setting.choices else (value, *setting.choices)
            self._dropdown(name, listed, value, change)
        elif isinstance(value, bool):
            self._add(name, widgets.Checkbox(value=value), change)
        else:
            field = widgets.Text(value=as_text(value), continuous_update=False)
            self._add(name, field, lambda text: change(from_text(text)))
        self.controls[name].description = setting.name
        self.controls[name].description_tooltip = setting.help

    def _add(self, name: str, widget: Any, changed: Callable[[Any], None]) -> None:
        def observed(change: dict[str, Any]) -> None:
            if self._is_following:
                changed(change["new"])

        widget.description = name
        widget.style, widget.layout = _STYLE, _LAYOUT
        widget.observe(observed, names="value")
        self.controls[name] = widget

    def _buttons(self) -> Any:
        for name, pushed in (("Seed", self._seed), ("Reset", self._reset), ("Save", self._save)):
            button = self._widgets.Button(description=name)
            button.on_click(lambda _, pushed=pushed: pushed())
            self.controls[name] = button
        return self._widgets.HBox([self.controls[name] for name in ("Seed", "Reset", "Save")])

    def _turn(self, page: int) -> None:
        names = self._pages[(page - 1) * ROWS_PER_PAGE : page * ROWS_PER_PAGE]
        self._rows.children = [self.controls[name] for name in names]

    def _put_sliders(self) -> None:
        view, self._is_following = self.explorer.view, False
        values = {g.label: shift for g, shift in zip(view.groups, view.shifts, strict=True)}
        for name, value in (values | {"offset": view.offset}).items():
            if name in self.controls:
                self.controls[name].value = value
        self._is_following = True

    def _update(self) -> None:
        """Show what was drawn; called by the thread that draws."""
        error = self.explorer.update()
        if error is None:
            self._show()
        else:
            self._say(error)

    def _show(self) -> None:
        panes = self.explorer.panes(self._position)
        if len(self._pictures.children) != len(panes):
            layout = {"width": f"{_PANE_PIXELS}px", "object_fit": "contain", "margin": "2px"}
            self._pictures.children = [
                self._widgets.Image(format="png", layout=layout) for _ in panes
            ]
        for widget, (name, picture) in zip(self._pictures.children, panes.items(), strict=True):
            widget.value = _png(picture)
            widget.alt = name
        record = self.explorer.record
        self._title.value = (
            f"<b>{html.escape(record.title)}</b><br>"
            f"<small>{record.model_id} · {html.escape(self.explorer.caption)}</small>"
        )
        self._say_how_long()

    def _say(self, message: str | MedmintError) -> None:
        first = html.escape(str(message).partition("\n")[0])
        colour = "#b3261e" if isinstance(message, MedmintError) else "#6b7a83"
        self._status.value = f'<small style="color: {colour}">{first}</small>'


def _png(picture: Picture) -> bytes:
    """Encode a picture, small ones enlarged by whole pixels so that browsers do not blur them."""
    from PIL import Image

    factor = max(1, -(-2 * _PANE_PIXELS // picture.shape[1]))
    buffer = io.BytesIO()
    Image.fromarray(picture.repeat(factor, 0).repeat(factor, 1)).save(
        buffer, "png", compress_level=1
    )
    return buffer.getvalue()
