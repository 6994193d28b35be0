"""One small callback for everything that takes long, and a bar that presents it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

#: Called with what is done, the total (0 where unknown) and what is being done.
Progress: TypeAlias = Callable[[int, int, str], None]


def _show_nothing(done: int, total: int, label: str) -> None:
    """Stand in for a bar."""


@contextmanager
def progress_bar(unit: str, *, scale: bool = False) -> Iterator[Progress]:
    """Show a bar on standard error while the body runs; nothing where that is no terminal.

    Parameters
    ----------
    unit : str
        What is counted, such as ``"samples"``.
    scale : bool
        Print kilo, mega and giga, as for bytes.

    Yields
    ------
    Progress
    """
    if sys.stderr is None or not sys.stderr.isatty():
        yield _show_nothing
        return
    from tqdm import tqdm

    with tqdm(unit=f" {unit}", unit_scale=scale, file=sys.stderr, leave=False) as bar:

        def show(done: int, total: int, label: str) -> None:
            bar.total = total or None
            bar.set_description(label, refresh=False)
            bar.update(done - bar.n)

        yield show
