"""Where pictures can be shown: in a window, in a notebook, or nowhere."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from medmint.errors import ArgumentError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def check_backend() -> None:
    """See that ``MPLBACKEND`` is one that there is; else matplotlib cannot even be imported.

    Raises
    ------
    ArgumentError
        If it names nothing.
    """
    try:
        import matplotlib  # noqa: F401
    except ValueError as error:
        backend = os.environ.get("MPLBACKEND")
        raise ArgumentError("MPLBACKEND", backend, "a backend of matplotlib, or nothing") from error


def is_notebook() -> bool:
    """Tell whether this is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return hasattr(shell, "kernel")


def open_figure() -> Figure | None:
    """Return a figure with a window, or None where the backend of matplotlib has no windows."""
    from matplotlib import pyplot
    from matplotlib.backend_bases import FigureManagerBase

    try:
        # Without the tools to pan, zoom and save, which are none for sliders.
        with pyplot.rc_context({"toolbar": "None"}):
            figure = pyplot.figure()
    except ImportError:
        # A backend that was asked for by name and that finds no display.
        return None
    manager = figure.canvas.manager
    if manager is None or type(manager) is FigureManagerBase:
        pyplot.close(figure)
        return None
    manager.set_window_title("medmint")
    return figure


def show_figure(figure: Figure | None, *, seconds: float | None = None) -> None:
    """Show a window until its user closes it, or for some seconds, and close it then."""
    if figure is None:
        return
    from matplotlib import pyplot

    if seconds is None:
        pyplot.show()
        return
    if seconds:
        figure.show()
        pyplot.pause(seconds)
    pyplot.close(figure)
