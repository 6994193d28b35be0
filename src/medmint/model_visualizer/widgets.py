"""Controls that matplotlib lacks, and how all of them look."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from matplotlib.widgets import Button, Slider, TextBox

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, QUIET, ACCENT, ALARM = "#22313a", "#6b7a83", "#00796b", "#b3261e"
PAPER, TRACK, FACE, HOVER = "#f6f8f8", "#d7dfe0", "#e6ecec", "#d2dddd"
BACK = "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}"
FORTH = "\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}"
#: Longest name that fits beside a control.
_LONGEST = 20


@dataclass(frozen=True, slots=True)
class Place:
    """Where a control is, in fractions of the figure, and how large its letters are, in points."""

    figure: Figure
    size: float
    left: float
    bottom: float
    width: float
    height: float

    def axes(self) -> Axes:
        """Add empty axes there."""
        axes = self.figure.add_axes((self.left, self.bottom, self.width, self.height))
        for spine in axes.spines.values():
            spine.set_color(TRACK)
        return axes

    def part(self, start: float, stop: float) -> Place:
        """Return the part between two fractions of the width."""
        width = (stop - start) * self.width
        return replace(self, left=self.left + start * self.width, width=width)


def shortened(name: str, longest: int = _LONGEST) -> str:
    """Cut a name that would run into its neighbour.

    Examples
    --------
    >>> shortened("num_inpaints_per_sample")
    'num_inpaints_per_sa…'
    """
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


class Stepper:
    """Goes through a few values, one step back or forth, with the value between two arrows.

    Parameters
    ----------
    place : Place
    name : str
        Written to the left.
    values : sequence of str
    chosen : int
        Number of the value to begin with.
    changed : callable
        Gets the number of a new value.
    """

    def __init__(
        self,
        place: Place,
        name: str,
        *,
        values: Sequence[str],
        chosen: int,
        changed: Callable[[int], None],
    ) -> None:
        self.values = list(values)
        self.chosen = chosen
        self._changed = changed
        axes = place.axes()
        axes.set_axis_off()
        write_name(axes, name, place.size)
        self._text = axes.text(0.5, 0.5, "", size=place.size, color=INK, ha="center", va="center")
        self.buttons = [
            push_button(place.part(0, 0.12), BACK, pushed=self.back),
            push_button(place.part(0.88, 1), FORTH, pushed=self.forth),
        ]
        self.axes = [axes, *(button.ax for button in self.buttons)]
        self._write()

    def back(self) -> None:
        """Go to the value before; before the first comes the last."""
        self.set_val((self.chosen - 1) % len(self.values))

    def forth(self) -> None:
        """Go to the next value; behind the last comes the first."""
        self.set_val((self.chosen + 1) % len(self.values))

    def set_val(self, number: int) -> None:
        """Choose a value by its number."""
        self.chosen = number
        self._write()
        self._changed(number)

    def disconnect_events(self) -> None:
        """Listen no more."""
        for button in self.buttons:
            button.disconnect_events()

    def _write(self) -> None:
        place = f"  ({self.chosen + 1}/{len(self.values)})" if len(self.values) > 2 else ""
        self._text.set_text(shortened(self.values[self.chosen], 28) + place)


def push_button(place: Place, text: str, *, pushed: Callable[[], None]) -> Button:
    """Make a button."""
    button = Button(place.axes(), text, color=FACE, hovercolor=HOVER)
    button.label.set(size=place.size * 1.1, color=INK)
    button.on_clicked(lambda _: pushed())
    return button


def value_slider(
    place: Place,
    name: str,
    *,
    limits: tuple[float, float],
    value: float,
    changed: Callable[[float], None],
) -> Slider:
    """Make a slider with its name on the left and its value on the right."""
    slider = Slider(
        place.axes(),
        "",
        *limits,
        # Marked on the track: where a slider with two sides changes nothing.
        valinit=sum(limits) / 2,
        valfmt="%+.2f" if limits[0] < 0 else "%.2f",
        color=TRACK,
        track_color=TRACK,
        initcolor=QUIET,
        handle_style={"facecolor": ACCENT, "edgecolor": "white", "size": place.size},
    )
    write_name(slider.ax, name, place.size)
    slider.valtext.set(size=place.size, color=QUIET)
    slider.set_val(value)
    slider.on_changed(changed)
    return slider


def value_box(place: Place, name: str, *, value: Any, changed: Callable[[Any], None]) -> TextBox:
    """Make a field for a value as JSON, or as text where it is none."""
    field = TextBox(place.axes(), "", initial=as_text(value), color="white", hovercolor="white")
    field.text_disp.set(size=place.size, color=INK)
    write_name(field.ax, name, place.size)
    field.on_submit(lambda text: changed(from_text(text)))
    return field


def write_name(axes: Axes, name: str, size: float) -> None:
    """Write what a control is for to the left of it."""
    text = axes.text(-0.04, 0.5, shortened(name), size=size, color=INK)
    text.set(transform=axes.transAxes, ha="right", va="center")


def as_text(value: Any) -> str:
    """Write a value for a text field; nothing stands for None.

    Examples
    --------
    >>> as_text(8.0), as_text("T1"), as_text(None), as_text([5])
    ('8.0', 'T1', '', '[5]')
    """
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def from_text(text: str) -> Any:
    """Read a value from a text field.

    Examples
    --------
    >>> from_text("8"), from_text("T1"), from_text(" "), from_text("true")
    (8, 'T1', None, True)
    """
    if not text.strip():
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
