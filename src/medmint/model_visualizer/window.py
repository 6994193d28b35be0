"""The controls as a matplotlib window; any backend will do, also one without a display."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medmint.errors import MedmintError
from medmint.model_visualizer.controls import REACH, ROWS_PER_PAGE, Controls
from medmint.model_visualizer.explorer import Explorer, Setting
from medmint.model_visualizer.widgets import (
    ALARM,
    INK,
    PAPER,
    QUIET,
    Place,
    Stepper,
    push_button,
    shortened,
    value_box,
    value_slider,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from medmint.model_visualizer.display import Picture

#: Size of a new window, which fits on small screens, and that in which letters have their size.
_INCHES, _REFERENCE_INCHES = (11.0, 7.3), (12.0, 8.0)
POLL_MILLISECONDS = 10
_FONT = 9.0
#: Where the controls are: left end of the sliders, their width, the top row, the distance of rows.
_LEFT, _WIDTH, _TOP, _STEP = 0.735, 0.195, 0.865, 0.0425
#: Left, right, bottom and top of the pictures.
_PANES = (0.03, 0.585, 0.11, 0.87)


class Window(Controls):
    """A figure with the newest pictures and the controls of an explorer.

    Parameters
    ----------
    explorer : Explorer
        Has drawn its first picture.
    figure : Figure
        Empty; its window, where it has one, is that of the caller.
    folder : Path
        Where the Save button saves.
    """

    def __init__(self, explorer: Explorer, figure: Figure, *, folder: Path) -> None:
        super().__init__(explorer, folder=folder)
        self.figure = figure
        self.page = 0
        self._temporary: list[str] = []
        figure.set_size_inches(_INCHES)
        figure.set_facecolor(PAPER)
        self._timer = figure.canvas.new_timer(interval=POLL_MILLISECONDS)
        self._timer.add_callback(self.poll)
        # Functions, not methods: the canvas keeps those, and with them this window, alive.
        figure.canvas.mpl_connect("close_event", lambda _: self.close())
        figure.canvas.mpl_connect("resize_event", lambda _: self._fit())
        self._scale = self._wanted_scale()
        self._lay_out()

    def finish(self, seconds: float | None = 60.0) -> bool:
        """Wait until the newest view is drawn and show it; False if that takes longer."""
        is_done = self.explorer.painter.wait(seconds)
        self.poll()
        return is_done

    def close(self) -> None:
        """Stop drawing."""
        self._timer.stop()
        self.explorer.close()

    @property
    def pages(self) -> list[list[int | Setting]]:
        """What each page has controls for: numbers of latent groups, then options of the model."""
        rows: list[int | Setting] = [*self.explorer.order, *self.explorer.settings]
        count = max(1, -(-len(rows) // ROWS_PER_PAGE))
        length = -(-len(rows) // count)
        return [rows[i * length : (i + 1) * length] for i in range(count)]

    def _wanted_scale(self) -> float:
        """Return how much larger letters are to be than in a window of the reference size."""
        width, height = self.figure.get_size_inches()
        scale = min(width / _REFERENCE_INCHES[0], height / _REFERENCE_INCHES[1])
        return float(min(max(scale, 0.8), 1.6))

    def _fit(self) -> None:
        """Lay everything out again once the window has another size."""
        scale = self._wanted_scale()
        if abs(scale - self._scale) > 0.02:
            self._scale = scale
            self._lay_out()

    def _lay_out(self) -> None:
        for name in list(self.controls):
            self._remove(name)
        self.figure.clear()
        self._temporary = []
        record, size = self.explorer.record, _FONT * self._scale
        title = shortened(record.title, 92)
        self.figure.text(0.03, 0.955, title, size=size * 1.45, color=INK, weight="bold")
        self._caption = self.figure.text(0.03, 0.918, "", size=size * 1.05, color=QUIET)
        self._status = self.figure.text(0.03, 0.035, "", size=size, color=QUIET, va="center")
        self._images: dict[str, Any] = {}
        self._first_row = self._pin_controls()
        buttons = {"Seed": self._seed, "Reset": self._reset, "Save": self._save}
        for number, (name, pushed) in enumerate(buttons.items()):
            place = self._place(0.635 + number * 0.115, 0.035, 0.1, 0.048)
            self.controls[name] = push_button(place, name, pushed=pushed)
        self._turn(self.page)
        self._show()

    def _pin_controls(self) -> int:
        """Make the controls that every page has; return how many rows they take."""
        explorer, pinned = self.explorer, 0
        if explorer.size:
            self._slider(0, "offset", explorer.view.offset, explorer.move_all)
            pinned += 1
        choosers: list[tuple[str, list[str], int, Callable[[int], None]]] = []
        if explorer.conditions:
            names = list(explorer.conditions)
            chosen = names.index(explorer.view.condition or names[0])
            choosers.append(("class", names, chosen, self._choose))
        if explorer.sources:
            files = [path.name for path in explorer.sources]
            chosen = explorer.sources.index(explorer.view.source or explorer.sources[0])
            choosers.append(("input", files, chosen, self._translate))
        if len(self.pages) > 1:
            choosers.append(("page", self._names_of_pages(), self.page, self._turn))
        for name, values, chosen, changed in choosers:
            self.controls[name] = Stepper(
                self._row(pinned), name, values=values, chosen=chosen, changed=changed
            )
            pinned += 1
        return pinned

    def _turn(self, page: int) -> None:
        """Show the sliders and options of another page."""
        self.page = page
        for name in self._temporary:
            self._remove(name)
        self._temporary = []
        for number, row in enumerate(self.pages[page]):
            place = self._first_row + number
            if isinstance(row, Setting):
                self._temporary.append(f"option {row.name}")
                self._option(place, row)
            else:
                label = self.explorer.view.groups[row].label
                self._temporary.append(label)
                value = self.explorer.view.shifts[row]
                self._slider(place, label, value, partial(self.explorer.shift, row))
        self.figure.canvas.draw_idle()

    def _slider(self, row: int, name: str, value: float, moved: Callable[[float], None]) -> None:
        self.controls[name] = value_slider(
            self._row(row),
            name,
            limits=(-REACH, REACH),
            value=value,
            changed=self._then_poll(moved),
        )

    def _option(self, row: int, setting: Setting) -> None:
        name, place = setting.name, self._row(row)
        value = self.explorer.view.options.get(name, setting.value)
        change = self._then_poll(partial(self.explorer.set_option, name))
        if setting.choices or isinstance(value, bool):
            choices = setting.choices or (False, True)
            self.controls[f"option {name}"] = Stepper(
                place,
                name,
                values=[str(one) for one in choices],
                chosen=choices.index(value) if value in choices else 0,
                changed=lambda number: change(choices[number]),
            )
        else:
            self.controls[f"option {name}"] = value_box(place, name, value=value, changed=change)

    def _row(self, number: int) -> Place:
        return self._place(_LEFT, _TOP - (number + 1) * _STEP, _WIDTH, _STEP * 0.72)

    def _place(self, left: float, bottom: float, width: float, height: float) -> Place:
        return Place(self.figure, _FONT * self._scale, left, bottom, width, height)

    def _names_of_pages(self) -> list[str]:
        names, first = [], 1
        for page in self.pages:
            count = sum(not isinstance(row, Setting) for row in page)
            words = [f"sliders {first}-{first + count - 1}"] if count else []
            words += ["options"] if count < len(page) else []
            names.append(" and ".join(words))
            first += count
        return names

    def _remove(self, name: str) -> None:
        control = self.controls.pop(name)
        control.disconnect_events()
        for axes in getattr(control, "axes", None) or [control.ax]:
            axes.remove()

    def _then_poll(self, change: Callable[..., None]) -> Callable[..., None]:
        """Have what a change asks for shown when it is drawn."""

        def changed(value: Any) -> None:
            change(value)
            self._timer.start()

        return changed

    def _choose(self, number: int) -> None:
        self._then_poll(self.explorer.choose)(self.explorer.conditions[number])

    def _translate(self, number: int) -> None:
        self._then_poll(self.explorer.translate)(self.explorer.sources[number])

    def _put_sliders(self) -> None:
        if "offset" in self.controls:
            with _silent(self.controls["offset"]) as slider:
                slider.set_val(self.explorer.view.offset)
        self._turn(self.page)
        self._timer.start()

    def poll(self) -> None:
        """Show what was drawn since; called by a timer of the window while something is drawn."""
        is_idle = self.explorer.painter.is_idle
        before = self.explorer.drawn
        error = self.explorer.update()
        if error is not None:
            self._say(error)
        elif self.explorer.drawn is not before:
            self._show()
        if is_idle:
            self._timer.stop()

    def _show(self) -> None:
        panes = self.explorer.panes(self._position)
        shapes = {name: picture.shape for name, picture in panes.items()}
        if shapes != {name: image.get_array().shape for name, image in self._images.items()}:
            self._make_panes(panes)
        for name, picture in panes.items():
            self._images[name].set_data(picture)
        self._caption.set_text(f"{self.explorer.record.model_id} · {self.explorer.caption}")
        self._say_how_long()

    def _make_panes(self, panes: dict[str, Picture]) -> None:
        for image in self._images.values():
            image.axes.remove()
        size = _FONT * self._scale
        widest = max(picture.shape[1] / picture.shape[0] for picture in panes.values())
        left, right, bottom, top = _PANES
        room = 0.05 if self.explorer.is_volume else 0.0
        count = len(panes)
        rows, columns = (count, 1) if widest > 1.5 else (1, count)
        grid = self.figure.add_gridspec(
            rows,
            columns,
            left=left,
            right=right,
            bottom=bottom + room,
            top=top,
            wspace=0.04,
            hspace=0.12,
        )
        self._images = {}
        for number, (name, picture) in enumerate(panes.items()):
            axes = self.figure.add_subplot(grid[number])
            axes.set_axis_off()
            axes.set_anchor("NW")
            axes.set_title(name, size=size * 1.1, color=QUIET, loc="left", pad=4)
            self._images[name] = axes.imshow(picture, interpolation="nearest")
        if room and "slice" not in self.controls:
            self.controls["slice"] = value_slider(
                self._place(left + 0.06, bottom - 0.025, right - left - 0.12, _STEP * 0.72),
                "slice",
                limits=(0, 1),
                value=self._position,
                changed=self._slice,
            )

    def _say(self, message: str | MedmintError) -> None:
        first = str(message).splitlines()[0] if str(message) else ""
        is_error = isinstance(message, MedmintError)
        self._status.set(text=shortened(first, 92), color=ALARM if is_error else QUIET)
        self.figure.canvas.draw_idle()


@contextmanager
def _silent(control: Any) -> Iterator[Any]:
    """Let a control change without telling anyone."""
    control.eventson = False
    yield control
    control.eventson = True
