"""The samples of a model as a torch dataset that holds none of them."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from torch import distributed
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from medmint.catalogue.records import OutputSpec
from medmint.errors import SampleIndexError
from medmint.synthetic_dataset.items import Item, ItemMaker, Transform


class Source(Protocol):
    """Something that gives the samples of a model by index."""

    model_id: str
    seed: int
    outputs: Mapping[str, OutputSpec]

    def samples_at(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """Return the arrays, and the label if any, of each sample."""

    def prefetch(self, indices: Sequence[int]) -> None:
        """Begin with samples that will be asked for next, if that can be done."""


class _FromSource:
    """What is known of samples by where they come from."""

    _source: Source

    @property
    def model_id(self) -> str:
        """Full id of the model."""
        return self._source.model_id

    @property
    def seed(self) -> int:
        """Seed of the samples, drawn where none was given."""
        return self._source.seed


class SyntheticDataset(_FromSource, Dataset[Item]):
    """A fixed number of samples, each made when it is asked for.

    An item is a dict: ``sample``, and where the model gives them ``mask``, ``label`` and
    ``other_imaging_output``. The same index gives the same item, in whatever order, batch,
    process or shard it is asked for. A batch of indices takes one run of the model. Copies in
    other processes start workers of their own.

    Parameters
    ----------
    source : Source
        Where the samples come from.
    num_samples : int
        Length of the dataset.
    transform : callable, optional
        Called once per item, ``transform(image)`` or, where there is a mask,
        ``transform(image, mask)``; it returns as many.
    output : {"numpy", "tensor"}
        ``numpy``: arrays of shape (height, width[, channels]) or (height, width, depth[, channels])
        in the type that the record states. ``tensor``: images as float32 of shape
        (channels, height, width[, depth]) in [0, 1] over the range that the record states, masks
        of two values likewise with one channel, label maps as int64 of shape (height, width[,
        depth]).

    Raises
    ------
    ArgumentError
        If an argument is not one of these.
    """

    def __init__(
        self,
        source: Source,
        num_samples: int,
        *,
        transform: Transform | None = None,
        output: str = "numpy",
    ) -> None:
        self._source = source
        self._num_samples = num_samples
        self._maker = ItemMaker(output=output, transform=transform, specs=source.outputs)

    def __len__(self) -> int:
        return self._num_samples

    def __getitem__(self, index: int) -> Item:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Item]:
        """Return the items of several indices, made together.

        Parameters
        ----------
        indices : sequence of int
            From ``-len(self)`` to ``len(self) - 1``.

        Raises
        ------
        SampleIndexError
            If an index is none of the dataset's.
        ArgumentError
            If the transform does not keep image and mask together.
        GenerationError, ContractError
            If the model fails.
        """
        rows = self._source.samples_at([self._position(index) for index in indices])
        return [self._maker.item(row) for row in rows]

    def prefetch(self, indices: Sequence[int]) -> None:
        """Let the model begin with items that will be asked for next."""
        self._source.prefetch([self._position(index) for index in indices])

    def _position(self, index: int) -> int:
        try:
            # Samplers give numbers of NumPy and of torch as well.
            position = operator.index(index)
        except TypeError:
            position = self._num_samples
        if not -self._num_samples <= position < self._num_samples:
            raise SampleIndexError(index, self._num_samples)
        return position % self._num_samples

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.model_id}, {len(self)} samples, seed {self.seed})"


class SyntheticStream(_FromSource, IterableDataset[Item]):
    """Samples without end, in order.

    Loader processes share the blocks of a stream among themselves in turn, which is the order in
    which a loader takes them: it gives samples 0, 1, 2, ... with any number of processes.

    Parameters
    ----------
    source : Source
        Where the samples come from.
    block_size : int
        Samples that are made together: the batch size of the loader.
    shard : tuple of two int
        Which part of how many this stream is; parts have no sample in common.
    transform, output
        As for :class:`SyntheticDataset`.

    Attributes
    ----------
    first_block : int
        Number of the block, among those of this shard, that the next iteration begins with.
    """

    def __init__(
        self,
        source: Source,
        *,
        block_size: int = 1,
        shard: tuple[int, int] = (0, 1),
        transform: Transform | None = None,
        output: str = "numpy",
    ) -> None:
        self.first_block = 0
        self._source = source
        self._block_size = block_size
        self._shard = shard
        self._maker = ItemMaker(output=output, transform=transform, specs=source.outputs)

    def __iter__(self) -> Iterator[Item]:
        info = get_worker_info()
        part, parts = (0, 1) if info is None else (info.id, info.num_workers)
        blocks = map(self._indices, itertools.count(self.first_block + part, parts))
        for indices, following in itertools.pairwise(blocks):
            self._source.prefetch(indices)
            self._source.prefetch(following)
            for row in self._source.samples_at(indices):
                yield self._maker.item(row)

    def _indices(self, block: int) -> list[int]:
        """Return the indices of a block of this shard."""
        part, parts = self._shard
        start = (block * parts + part) * self._block_size
        return list(range(start, start + self._block_size))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.model_id}, seed {self.seed})"


def shard_of_process() -> tuple[int, int]:
    """Return rank and number of the processes that train together, (0, 1) for one alone."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1
