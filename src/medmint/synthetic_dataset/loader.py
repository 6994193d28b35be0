"""A torch loader that lets the model work ahead, and whose place in an epoch can be saved."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from inspect import signature
from itertools import islice
from typing import Any

import torch
from torch.utils.data import DataLoader

from medmint.errors import ArgumentError
from medmint.synthetic_dataset.dataset import SyntheticStream

#: Arguments of a loader that say which indices it takes in which batches.
_ORDER = ("batch_size", "shuffle", "sampler", "batch_sampler", "drop_last")
#: What a stream has no use for, because it fixes the order itself or begins anew each time.
_NOT_FOR_STREAMS = ("shuffle", "sampler", "batch_sampler", "persistent_workers")


class SyntheticLoader(DataLoader[Any]):
    """A ``DataLoader`` for synthetic data, alone or mixed with real data.

    It differs from torch's own in three things. Without loader processes, the model makes the
    next batches in the background while one is in use. A stream goes on where the last loop over
    it stopped. And the place in an epoch can be saved and returned to.

    Parameters
    ----------
    dataset : SyntheticDataset, SyntheticStream, MixedDataset or another dataset
    prefetch_factor : int, optional
        How many batches ahead: 1 without loader processes, with them 2 for each.
    **arguments
        All others of ``torch.utils.data.DataLoader``.

    Raises
    ------
    ArgumentError
        If a stream is to be shuffled or the like.

    Notes
    -----
    Where no ``generator`` is given it gets one of its own, seeded from torch's global one, so that
    the order of an epoch can be repeated.
    """

    def __init__(
        self, dataset: Any, *, prefetch_factor: int | None = None, **arguments: Any
    ) -> None:
        self._is_stream = isinstance(dataset, SyntheticStream)
        if self._is_stream:
            _check_for_stream(arguments)
        if arguments.get("generator") is None:
            arguments["generator"] = torch.Generator()
            arguments["generator"].manual_seed(int(torch.randint(2**62, ())))
        depth = _depth(prefetch_factor, arguments.get("num_workers", 0))
        if arguments.get("num_workers"):
            arguments["prefetch_factor"] = prefetch_factor
        super().__init__(dataset, **arguments)
        batches: Any = self.sampler if self.batch_sampler is None else self.batch_sampler
        prefetch = getattr(dataset, "prefetch", None) if depth else None
        self._plan = _Plan(batches, prefetch, depth)
        self._done = 0
        self._order: torch.Tensor | None = None
        self._resumes = False
        if not self._is_stream:
            rest = {name: value for name, value in arguments.items() if name not in _ORDER}
            if self.batch_sampler is None:
                rest |= {"sampler": self._plan, "batch_size": None}
            else:
                rest["batch_sampler"] = self._plan
            #: Does the loading, in the order of the plan.
            self._inner: DataLoader[Any] = DataLoader(dataset, **rest)

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """Yield batches: those of an epoch, what is left of one, or a stream's from here on."""
        if self._is_stream:
            self.dataset.first_block = self._done  # type: ignore[attr-defined]
            batches: Iterator[Any] = super().__iter__()
        else:
            if not self._resumes:
                self._done, self._order = 0, None
            self._resumes = False
            batches = self._begin()
        for batch in batches:
            self._done += 1
            yield batch
        self._done, self._order = 0, None

    def state_dict(self) -> dict[str, Any]:
        """Return the place in the epoch or stream, for :meth:`load_state_dict`.

        Returns
        -------
        dict
            ``batches`` that were yielded, ``order`` (state of the random generator at the start of
            the epoch, a tensor, None for a stream), and ``batch_size`` and ``seed`` to compare.

        Raises
        ------
        ArgumentError
            If the sampler draws from torch's global random numbers, so that its order is lost.
        """
        order = None
        if not self._is_stream:
            order = self._random().get_state() if self._order is None else self._order
        return {"batches": self._done, "order": order, **self._facts()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on, with the next loop, where a loader like this one was.

        The batches before that place are passed over without being made. Random numbers that a
        transform draws, and the epoch of a ``DistributedSampler``, are the caller's to restore.

        Raises
        ------
        ArgumentError
            If the state is not one of such a loader.
        """
        expected = self._facts()
        found = {name: state.get(name) for name in expected}
        if found != expected:
            raise ArgumentError("state", found, f"the state of a loader with {expected}")
        batches, order = state.get("batches"), state.get("order")
        if not isinstance(batches, int) or batches < 0 or (order is None) != self._is_stream:
            raise ArgumentError("state", sorted(state), "what state_dict() returned")
        self._done, self._order, self._resumes = batches, order, True

    def _begin(self) -> Iterator[Any]:
        """Start the epoch in its order, behind the batches that are done."""
        if self._order is not None:
            self._random().set_state(self._order)
        elif (generator := self._generator()) is not None:
            self._order = generator.get_state()
        self._plan.skip = self._done
        return iter(self._inner)

    def _facts(self) -> dict[str, Any]:
        """Return what two loaders must have in common to share a state."""
        return {"batch_size": self.batch_size, "seed": getattr(self.dataset, "seed", None)}

    def _generator(self) -> torch.Generator | None:
        """Return what the order is drawn from, None for torch's global random numbers."""
        batches = self.sampler if self.batch_sampler is None else self.batch_sampler
        sampler = getattr(batches, "sampler", batches)
        found: torch.Generator | None = getattr(sampler, "generator", self.generator)
        return found

    def _random(self) -> torch.Generator:
        generator = self._generator()
        if generator is None:
            raise ArgumentError(
                "sampler",
                "one that draws from torch's global random numbers",
                "one made with generator=torch.Generator(), whose order can be repeated",
            )
        return generator


def split_arguments(arguments: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tell the arguments of this torch's ``DataLoader`` from others.

    Examples
    --------
    >>> split_arguments({"generator": None, "seed": 7})
    ({'generator': None}, {'seed': 7})
    """
    names = set(signature(DataLoader.__init__).parameters)
    mine = {name: value for name, value in arguments.items() if name in names}
    return mine, {name: value for name, value in arguments.items() if name not in names}


class _Plan:
    """Batches of indices, the first ones left out, the next ones announced to the dataset."""

    def __init__(
        self, batches: Any, prefetch: Callable[[list[int]], None] | None, depth: int
    ) -> None:
        self.skip = 0
        self._batches = batches
        self._prefetch = prefetch
        self._depth = depth

    def __iter__(self) -> Iterator[Any]:
        ahead: deque[Any] = deque()
        for indices in islice(iter(self._batches), self.skip, None):
            if self._prefetch is not None:
                self._prefetch(list(indices) if isinstance(indices, Iterable) else [indices])
            ahead.append(indices)
            if len(ahead) > self._depth:
                yield ahead.popleft()
        yield from ahead

    def __len__(self) -> int:
        return len(self._batches)


def _depth(prefetch_factor: int | None, num_workers: int) -> int:
    """Return how many batches this process lets the model work ahead."""
    if num_workers:
        return 0
    if prefetch_factor is None:
        return 1
    if not isinstance(prefetch_factor, int) or prefetch_factor < 0:
        raise ArgumentError("prefetch_factor", prefetch_factor, "a whole number of at least 0")
    return prefetch_factor


def _check_for_stream(arguments: Mapping[str, Any]) -> None:
    for name in _NOT_FOR_STREAMS:
        if arguments.get(name):
            allowed = "nothing of it where num_samples is None: samples come in order, without end"
            raise ArgumentError(name, arguments[name], allowed)
