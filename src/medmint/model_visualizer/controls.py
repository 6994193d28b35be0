"""What the controls of a window and of a notebook do alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from medmint.errors import MedmintError
from medmint.model_visualizer.explorer import Explorer

#: How far a slider goes to each side, in standard deviations of a latent variable.
REACH = 3.0
ROWS_PER_PAGE = 14


class Controls(ABC):
    """The controls of an explorer, by name, and its newest pictures.

    Parameters
    ----------
    explorer : Explorer
        Has drawn its first picture.
    folder : Path
        Where the Save button saves.
    """

    def __init__(self, explorer: Explorer, *, folder: Path) -> None:
        self.explorer = explorer
        self.controls: dict[str, Any] = {}
        self._folder = folder
        self._position = 0.5

    @abstractmethod
    def _show(self) -> None:
        """Put the newest pictures into their panes."""

    @abstractmethod
    def _say(self, message: str | MedmintError) -> None:
        """Write a line below the pictures, or the first line of an error."""

    @abstractmethod
    def _put_sliders(self) -> None:
        """Put all sliders where the view has them, as if nobody had moved them."""

    def _seed(self) -> None:
        self.explorer.reseed()
        self._put_sliders()

    def _reset(self) -> None:
        self.explorer.reset()
        self._put_sliders()

    def _save(self) -> None:
        try:
            saved = self.explorer.save(self._folder)
        except MedmintError as error:
            self._say(error)
        else:
            self._say(f"saved {', '.join(path.name for path in saved)}")

    def _slice(self, position: float) -> None:
        self._position = position
        self._show()

    def _say_how_long(self) -> None:
        drawn = self.explorer.drawn
        self._say(f"drawn in {drawn.seconds * 1000:.0f} ms" if drawn else "")
