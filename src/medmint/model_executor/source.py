"""Samples by index, in any order, as training takes them."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from medmint.catalogue.records import OutputSpec
from medmint.errors import GenerationError
from medmint.model_executor.asking import ask
from medmint.model_executor.plan import Plan
from medmint.model_executor.session import Ask, Session
from medmint.packages.contract import read_batch
from medmint.packages.workers.process import OutOfMemoryError
from medmint.samples import Batch

logger = logging.getLogger(__name__)

#: What the kept chunks of a generate package may take, and the free memory that the default size
#: of a chunk is meant for, in bytes.
KEPT_BYTES = 1 << 28
CHUNK_MEMORY = 8 << 30


class SampleSource:
    """The samples of one plan.

    Sampler packages make whatever samples are wanted in one forward pass; sample i depends on
    (seed, i) alone. Generate packages draw their own random numbers, so they make chunks of
    ``batch_size`` consecutive samples, and the same chunk has the same samples; chunks that were
    used last are kept.

    Parameters
    ----------
    plan : Plan
        What the samples depend on.
    session : Session
        Where they come from.

    Attributes
    ----------
    model_id : str
        Full id of the model.
    seed : int
        Seed of the samples, drawn where none was given.
    outputs : mapping of str to OutputSpec
        What the model's record says about its outputs.
    """

    def __init__(self, plan: Plan, session: Session) -> None:
        self.model_id = plan.record.model_id
        self.seed = plan.seed
        self.outputs: Mapping[str, OutputSpec] = plan.record.execution.output
        self._plan = plan
        self._session = session
        self._is_sampler = plan.record.execution.contract == "sampler"
        self._most = 1 << 31
        self._chunks: OrderedDict[int, Batch] = OrderedDict()
        #: Tells its requests from those of others; an id() could come again.
        self._token = object()

    def prefetch(self, indices: Sequence[int]) -> None:
        """Let the worker begin with samples that will be asked for next."""
        if self._is_sampler:
            for part in self._parts(indices):
                self._prefetch(part)
            return
        for chunk in self._chunks_of(indices):
            if chunk not in self._chunks:
                self._prefetch(self._indices_of(chunk))

    def samples_at(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """Return samples by index.

        Parameters
        ----------
        indices : sequence of int
            In any order, from 0 on.

        Returns
        -------
        list of dict
            For each sample its arrays by name, ``image`` first, and its ``label`` where the model
            gives one.

        Raises
        ------
        GenerationError, ContractError
            If the model fails.
        """
        if self._is_sampler:
            return [row for part in self._parts(indices) for row in self._make(part)]
        size = self._plan.batch_size
        return [_row(self._chunk(index // size), index % size) for index in indices]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_chunks": OrderedDict()}

    def _prefetch(self, indices: Sequence[int]) -> None:
        self._session.prefetch(self._key(indices), self._asking_for(indices))

    def _fetch(self, indices: Sequence[int]) -> Batch:
        try:
            frame = self._session.fetch(self._key(indices), self._asking_for(indices))
        except GenerationError as error:
            error.first_sample = indices[0]
            raise
        return read_batch(self._plan.record, frame, indices[0], len(indices))

    def _key(self, indices: Sequence[int]) -> Hashable:
        return self._token, tuple(indices)

    def _asking_for(self, indices: Sequence[int]) -> Ask:
        return lambda worker: ask(self._plan, worker, indices)

    # Sampler packages

    def _parts(self, indices: Sequence[int]) -> list[Sequence[int]]:
        """Split what does not fit into memory at once."""
        most = self._most
        return [indices[start : start + most] for start in range(0, len(indices), most)]

    def _make(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        try:
            batch = self._fetch(indices)
        except OutOfMemoryError:
            if len(indices) == 1:
                raise
            self._most = (len(indices) + 1) // 2
            logger.warning("Memory ran out: going on in batches of %d", self._most)
            return self.samples_at(indices)
        return [_row(batch, position) for position in range(len(batch))]

    # Generate packages

    def _chunks_of(self, indices: Sequence[int]) -> list[int]:
        return list(dict.fromkeys(index // self._plan.batch_size for index in indices))

    def _chunk(self, number: int) -> Batch:
        """Return a chunk, kept from before or made now."""
        batch = self._chunks.pop(number, None)
        if batch is None:
            batch = self._fetch(self._indices_of(number))
        self._chunks[number] = batch
        while len(self._chunks) > 1 and sum(map(_size, self._chunks.values())) > KEPT_BYTES:
            self._chunks.popitem(last=False)
        return batch

    def _indices_of(self, number: int) -> range:
        """Return the samples of a chunk, which do not depend on ``num_samples``."""
        size, latents = self._plan.batch_size, self._plan.latents
        stop = (number + 1) * size
        return range(number * size, stop if latents is None else min(stop, len(latents)))


def _row(batch: Batch, position: int) -> dict[str, Any]:
    row: dict[str, Any] = {name: array[position] for name, array in batch.arrays.items()}
    if batch.labels is not None:
        row["label"] = batch.labels[position]
    return row


def _size(batch: Batch) -> int:
    return sum(array.nbytes for array in batch.arrays.values())
