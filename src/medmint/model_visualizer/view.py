"""What is looked at: a point of the latent space, moved by sliders, and how it is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medmint.errors import ArgumentError


@dataclass(frozen=True, slots=True)
class Group:
    """Neighbouring latent variables that one slider moves: ``first`` to ``stop - 1``."""

    first: int
    stop: int

    @property
    def label(self) -> str:
        """Name for people, who count from 1.

        Examples
        --------
        >>> Group(0, 10).label, Group(12, 13).label
        ('z 1-10', 'z 13')
        """
        last = "" if self.stop == self.first + 1 else f"-{self.stop}"
        return f"z {self.first + 1}{last}"


def groups_of(size: int, slider_grouper: int) -> tuple[Group, ...]:
    """Share all latent variables out among sliders, none to two of them.

    Parameters
    ----------
    size : int
        Length of a latent vector.
    slider_grouper : int
        Latent variables of a slider; the last one takes what is left.

    Raises
    ------
    ArgumentError
        If it is not a whole number from 1 to ``size``.

    Examples
    --------
    >>> groups_of(8, 3)
    (Group(first=0, stop=3), Group(first=3, stop=6), Group(first=6, stop=8))
    """
    is_whole = isinstance(slider_grouper, int | np.integer) and not isinstance(slider_grouper, bool)
    if not is_whole or not 1 <= slider_grouper <= size:
        raise ArgumentError(
            "slider_grouper", slider_grouper, f"a whole number from 1 to {size}, the latent size"
        )
    return tuple(
        Group(first, min(first + int(slider_grouper), size))
        for first in range(0, size, int(slider_grouper))
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class View:
    """All that one picture depends on; each move makes a new one.

    Attributes
    ----------
    seed : int
        Seed of the draw, and of what a model draws by itself.
    draw : ndarray of float32, shape (size,), or None
        A true draw from the prior, where the sliders stand at 0; None for models without latents.
    groups : tuple of Group
        What each slider moves.
    shifts : tuple of float
        How far each group is moved.
    offset : float
        How far all latent variables are moved.
    condition : str or None
        Wanted class.
    options : mapping
        The model's own options that were changed.
    source : Path or None
        Image that is translated.
    """

    seed: int
    draw: NDArray[np.float32] | None = None
    groups: tuple[Group, ...] = ()
    shifts: tuple[float, ...] = ()
    offset: float = 0.0
    condition: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    source: Path | None = None

    @property
    def latent(self) -> NDArray[np.float32] | None:
        """The latent vector that the model gets, float32 of shape (size,).

        Examples
        --------
        >>> draw = np.zeros(3, np.float32)
        >>> view = View(seed=1, draw=draw, groups=groups_of(3, 2), shifts=(0.5, 0), offset=1)
        >>> view.latent.tolist()
        [1.5, 1.5, 1.0]
        """
        if self.draw is None:
            return None
        moved = self.draw + np.float32(self.offset)
        for group, shift in zip(self.groups, self.shifts, strict=True):
            moved[group.first : group.stop] += np.float32(shift)
        return moved

    @property
    def is_moved(self) -> bool:
        """Whether a slider is away from 0."""
        return bool(self.offset or any(self.shifts))

    def shifted(self, number: int, value: float) -> View:
        """Return a view with the slider of a group at a value."""
        shifts = (*self.shifts[:number], float(value), *self.shifts[number + 1 :])
        return replace(self, shifts=shifts)

    def with_option(self, name: str, value: Any) -> View:
        """Return a view with an option of the model changed."""
        return replace(self, options={**self.options, name: value})

    def at(self, seed: int, draw: NDArray[np.float32] | None) -> View:
        """Return a view of another draw, all sliders at 0."""
        return replace(self, seed=seed, draw=draw).reset()

    def reset(self) -> View:
        """Return the view of the draw itself."""
        return replace(self, shifts=(0.0,) * len(self.groups), offset=0.0)
