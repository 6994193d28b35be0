"""Where the axes of an array lead in a patient."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Axis of the patient, and the sign, that each letter stands for: counted to the right,
#: anterior and superior, as NIfTI does.
_DIRECTIONS = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}


def affine_of(spacing: tuple[float, ...], orientation: str) -> NDArray[np.float64]:
    """Return the matrix that leads from indices to millimetres.

    Parameters
    ----------
    spacing : tuple of 3 float
        Distance of neighbours along each axis, in millimetres.
    orientation : str
        A letter for each axis of the array: where it leads, one of R, L, A, P, S, I. Empty where
        that is not known. A picture gets the direction that is left as its third.

    Returns
    -------
    ndarray of float64, shape (4, 4)

    Examples
    --------
    >>> affine_of((0.5, 0.7, 1.0), "PL")[:3, :3].tolist()
    [[0.0, -0.7, 0.0], [-0.5, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    left = [letter for letter in "RAS" if _DIRECTIONS[letter][0] not in _axes(orientation)]
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for column, letter in enumerate((*orientation, *left)[:3]):
        axis, sign = _DIRECTIONS[letter]
        affine[axis, column] = sign * spacing[column]
    return affine


def _axes(orientation: str) -> set[int]:
    return {_DIRECTIONS[letter][0] for letter in orientation}
