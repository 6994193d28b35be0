"""Real and synthetic data in one dataset, at a chosen ratio and with balanced classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

from torch.utils.data import Dataset

from medmint.errors import ArgumentError, SampleIndexError


class MixedDataset(Dataset[Any]):
    """All of a real dataset, and as many synthetic items as make up a chosen share.

    The synthetic items are spread evenly among the real ones, so that batches in order hold the
    share as well; with ``shuffle=True`` they hold it on average.

    Parameters
    ----------
    real : map-style dataset
        Any object with ``len`` and items by index.
    synthetic : map-style dataset
        Long enough for the share, most often a :class:`SyntheticDataset`. Its first items are
        taken.
    synthetic_share : float
        Share of synthetic items among all, from 0 (none) to below 1; 0.5 is one for each real one.
    convert : callable, optional
        Brings a synthetic item into the form of the real ones, such as
        ``lambda item: (item["sample"], item["mask"])``. Loader processes that are spawned need a
        function with a name.

    Raises
    ------
    ArgumentError
        If a dataset has no length or too few items, or the share is none.

    Examples
    --------
    >>> mixed = MixedDataset(["a", "b", "c"], [0, 1, 2, 3], synthetic_share=0.5)
    >>> [mixed[i] for i in range(len(mixed))]
    ['a', 0, 'b', 1, 'c', 2]
    """

    def __init__(
        self,
        real: Any,
        synthetic: Any,
        *,
        synthetic_share: float = 0.5,
        convert: Callable[[Any], Any] | None = None,
    ) -> None:
        is_number = isinstance(synthetic_share, int | float)
        if not is_number or not 0 <= synthetic_share < 1:
            raise ArgumentError("synthetic_share", synthetic_share, "a number from 0 to below 1")
        if convert is not None and not callable(convert):
            raise ArgumentError("convert", convert, "a function of a synthetic item")
        self._real, self._synthetic, self._convert = real, synthetic, convert
        self._real_count = _length("real", real)
        self._count = round(self._real_count * synthetic_share / (1 - synthetic_share))
        if _length("synthetic", synthetic) < self._count:
            given = f"a dataset of {len(synthetic)} items"
            needed = (
                f"at least {self._count}, for a share of {synthetic_share:g} "
                f"beside {self._real_count} real ones"
            )
            raise ArgumentError("synthetic", given, needed)

    def __len__(self) -> int:
        return self._real_count + self._count

    def is_synthetic(self, index: int) -> bool:
        """Tell whether the item at an index is a synthetic one."""
        before, after = self._synthetic_before(index), self._synthetic_before(index + 1)
        return after > before

    def __getitem__(self, index: int) -> Any:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """Return the items of several indices; the synthetic ones are made together."""
        positions = [self._position(index) for index in indices]
        synthetic = self._synthetic_part(positions)
        made = iter(_items(self._synthetic, synthetic))
        real = iter(_items(self._real, self._real_part(positions)))
        return [
            self._converted(next(made)) if self.is_synthetic(position) else next(real)
            for position in positions
        ]

    def prefetch(self, indices: Sequence[int]) -> None:
        """Let the model begin with items that will be asked for next."""
        prefetch = getattr(self._synthetic, "prefetch", None)
        synthetic = self._synthetic_part([self._position(index) for index in indices])
        if prefetch is not None and synthetic:
            prefetch(synthetic)

    def _synthetic_part(self, positions: Sequence[int]) -> list[int]:
        return [self._synthetic_before(p) for p in positions if self.is_synthetic(p)]

    def _real_part(self, positions: Sequence[int]) -> list[int]:
        return [p - self._synthetic_before(p) for p in positions if not self.is_synthetic(p)]

    def _synthetic_before(self, position: int) -> int:
        return position * self._count // max(len(self), 1)

    def _converted(self, item: Any) -> Any:
        return item if self._convert is None else self._convert(item)

    def _position(self, index: int) -> int:
        if not -len(self) <= index < len(self):
            raise SampleIndexError(index, len(self))
        return int(index) % len(self)


def balancing_classes(
    labels: Iterable[Hashable], num_samples: int, classes: Sequence[Hashable] | None = None
) -> list[Hashable]:
    """Choose the class of each synthetic sample so that all data together are balanced.

    Every sample goes to the class that is rarest so far, in the real data and before it.

    Parameters
    ----------
    labels : iterable
        Classes of the real data, by the names or numbers that the model knows.
    num_samples : int
        How many synthetic samples there will be.
    classes : sequence, optional
        Classes to balance, default: those of the real data in order of appearance.

    Returns
    -------
    list
        For ``condition=`` of ``get_as_torch_dataset`` or ``generate``.

    Raises
    ------
    ArgumentError
        If there is no class at all.

    Examples
    --------
    >>> balancing_classes(["healthy", "healthy", "ill"], 3)
    ['ill', 'healthy', 'ill']
    """
    counts = Counter(labels)
    wanted = list(dict.fromkeys(counts if classes is None else classes))
    if not wanted:
        raise ArgumentError("labels", "none", "the classes of the real data, or classes=[...]")
    chosen = []
    for _ in range(num_samples):
        rarest = min(wanted, key=counts.__getitem__)
        counts[rarest] += 1
        chosen.append(rarest)
    return chosen


def _length(name: str, dataset: Any) -> int:
    try:
        return len(dataset)
    except TypeError as error:
        given = f"a {type(dataset).__name__} without a length"
        raise ArgumentError(name, given, "a map-style dataset") from error


def _items(dataset: Any, indices: list[int]) -> list[Any]:
    together = getattr(dataset, "__getitems__", None)
    if together is None or not indices:
        return [dataset[index] for index in indices]
    items: list[Any] = together(indices)
    return items
