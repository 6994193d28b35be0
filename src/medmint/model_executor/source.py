"""Samples by index, in any order, as training takes them."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medmint.catalogue.records import OutputSpec
from medmint.errors import GenerationError
from medmint.model_executor.plan import Plan
from medmint.model_executor.session import Ask, Session
from medmint.packages.contract import read_batch
from medmint.packages.workers.process import OutOfMemoryError, Worker
from medmint.samples import Batch, batch_seed, draw_conditions, latent_vectors

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
                self._session.prefetch(self._key(part), self._asking_for(part))
            return
        for chunk in self._chunks_of(indices):
            if chunk not in self._chunks:
                self._session.prefetch(self._key([chunk]), self._asking_for_chunk(chunk))

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

    def _key(self, numbers: Sequence[int]) -> Hashable:
        return self._token, tuple(numbers)

    # Sampler packages

    def _parts(self, indices: Sequence[int]) -> list[Sequence[int]]:
        """Split what does not fit into memory at once."""
        most = self._most
        return [indices[start : start + most] for start in range(0, len(indices), most)]

    def _make(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        try:
            frame = self._session.fetch(self._key(indices), self._asking_for(indices))
        except OutOfMemoryError:
            if len(indices) == 1:
                raise
            self._most = (len(indices) + 1) // 2
            logger.warning("Memory ran out: going on in batches of %d", self._most)
            return self.samples_at(indices)
        except GenerationError as error:
            error.first_sample = indices[0]
            raise
        batch = read_batch(self._plan.record, frame, indices[0], len(indices))
        return [_row(batch, position) for position in range(len(batch))]

    def _asking_for(self, indices: Sequence[int]) -> Ask:
        def ask(worker: Worker) -> int:
            arrays: dict[str, NDArray[Any]] = {"latents": self._latents(indices)}
            classes = self._classes(indices)
            if classes is not None:
                arrays["condition"] = classes
            return worker.request({"op": "batch", "options": dict(self._plan.options)}, arrays)

        return ask

    def _latents(self, indices: Sequence[int]) -> NDArray[np.float32]:
        plan = self._plan
        if plan.latents is not None:
            return plan.latents.take(indices, axis=0)
        size = plan.record.execution.generate_method.input_latent_vector_size or 0
        return np.concatenate([latent_vectors(plan.seed, i, i + 1, size) for i in indices])

    def _classes(self, indices: Sequence[int]) -> NDArray[np.int64] | None:
        plan = self._plan
        if plan.condition is not None:
            each = plan.condition
            return each[np.asarray(indices)] if len(each) > 1 else each.repeat(len(indices))
        count = len(plan.record.execution.conditions or ())
        if not count:
            return None
        return np.concatenate([draw_conditions(plan.seed, i, i + 1, count) for i in indices])

    # Generate packages

    def _chunks_of(self, indices: Sequence[int]) -> list[int]:
        return list(dict.fromkeys(index // self._plan.batch_size for index in indices))

    def _chunk(self, number: int) -> Batch:
        """Return a chunk, kept from before or made now."""
        batch = self._chunks.pop(number, None)
        if batch is None:
            start, count = self._extent(number)
            try:
                frame = self._session.fetch(self._key([number]), self._asking_for_chunk(number))
            except GenerationError as error:
                error.first_sample = start
                raise
            batch = read_batch(self._plan.record, frame, start, count)
        self._chunks[number] = batch
        while len(self._chunks) > 1 and sum(map(_size, self._chunks.values())) > KEPT_BYTES:
            self._chunks.popitem(last=False)
        return batch

    def _extent(self, number: int) -> tuple[int, int]:
        """Return first index and length of a chunk, which do not depend on ``num_samples``."""
        size, latents = self._plan.batch_size, self._plan.latents
        start = number * size
        return start, size if latents is None else min(size, len(latents) - start)

    def _asking_for_chunk(self, number: int) -> Ask:
        def ask(worker: Worker) -> int:
            plan = self._plan
            start, count = self._extent(number)
            given = {} if plan.latents is None else {"latents": plan.latents[start : start + count]}
            message = {"op": "batch", "options": dict(plan.options), "num_samples": count}
            return worker.request(message | {"seed": batch_seed(plan.seed, start)}, given)

        return ask


def _row(batch: Batch, position: int) -> dict[str, Any]:
    row: dict[str, Any] = {name: array[position] for name, array in batch.arrays.items()}
    if batch.labels is not None:
        row["label"] = batch.labels[position]
    return row


def _size(batch: Batch) -> int:
    return sum(array.nbytes for array in batch.arrays.values())
