"""The part of the facade that feeds training."""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from medmint.errors import ArgumentError
from medmint.generators.foundation import Foundation, refuse

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from medmint.generation_request import GenerationRequest
    from medmint.model_executor.session import Session
    from medmint.synthetic_dataset import SyntheticDataset, SyntheticLoader, SyntheticStream
    from medmint.synthetic_dataset.dataset import Source

#: Arguments of ``generate`` that a dataset has no use for.
_ABOUT_FILES = ("output_path", "save_images", "output_format")
_ALLOWED = "nothing: samples are made when they are wanted, or kept in cache_dir"


class Training(Foundation):
    """Hand out samples as torch datasets and loaders, made while training runs."""

    def get_as_torch_dataset(
        self,
        model_id: int | str | None,
        num_samples: int | None = 100,
        install_dependencies: bool = False,
        transform: Callable[..., Any] | None = None,
        *,
        output: str = "numpy",
        cache_dir: str | os.PathLike[str] | None = None,
        **arguments: Any,
    ) -> SyntheticDataset:
        """Return a torch dataset that makes each sample when it is asked for, and keeps none.

        Parameters
        ----------
        model_id : int or str
            A number such as ``10``, or the full id; None where ``package`` has a record.
        num_samples : int
            Length of the dataset.
        install_dependencies : bool
            Build a private environment where the model needs packages that are not here.
        transform : callable, optional
            Called once per item, ``transform(image)``, or ``transform(image, mask)`` for models
            with masks; it returns as many.
        output : {"numpy", "tensor"}
            Arrays of shape (height, width[, channels]) as the model gives them, or float32 tensors
            of shape (channels, height, width) in [0, 1].
        cache_dir : path, optional
            Folder in which the samples are kept as NPY files with a manifest. What it lacks is
            generated at once; later calls and other processes read it.
        **arguments
            ``seed``, ``device``, ``batch_size``, ``condition`` (one class, or one for each
            sample), ``latents``, ``weights``, ``package``, ``isolation``, ``allow_pickle`` and,
            for ``cache_dir``, ``overwrite`` as for :meth:`generate`; all others are the model's
            own options.

        Returns
        -------
        SyntheticDataset
            Items are dicts with ``sample``, and where the model gives them ``mask``, ``label`` and
            ``other_imaging_output``.

        Raises
        ------
        ArgumentError, UnknownModelError
            If the call is wrong; nothing was started.
        OutputError, WriterError
            If ``cache_dir`` holds something else or cannot be written.
        DependencyError, PackageError, DeviceError, GenerationError
            If the model cannot be had or fails.

        Examples
        --------
        >>> from medmint import Generators
        >>> dataset = Generators().get_as_torch_dataset(10001, num_samples=1000, seed=1)
        >>> item = dataset[999]
        >>> len(dataset), sorted(item), item["sample"].shape
        (1000, ['mask', 'sample'], (256, 256))
        """
        from medmint.synthetic_dataset import SyntheticDataset
        from medmint.synthetic_dataset.items import ItemMaker

        # Before a folder is filled with samples that could not be used.
        ItemMaker(output=output, transform=transform)
        if num_samples is None:
            allowed = "a whole number; get_as_torch_dataloader(num_samples=None) is without end"
            raise ArgumentError("num_samples", None, allowed)
        if cache_dir is None:
            refuse(("overwrite",), arguments, _ALLOWED)
        request = _request(num_samples, install_dependencies, arguments)
        source = self._source(model_id, request, cache_dir)
        return SyntheticDataset(source, num_samples, transform=transform, output=output)

    def get_as_torch_dataloader(
        self,
        dataset: Any = None,
        model_id: int | str | None = None,
        num_samples: int | None = 1000,
        install_dependencies: bool = False,
        transform: Callable[..., Any] | None = None,
        batch_size: int | None = 1,
        shuffle: bool = False,
        sampler: Any = None,
        batch_sampler: Any = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        **arguments: Any,
    ) -> SyntheticLoader:
        """Return a torch dataloader over synthetic samples, or over a dataset that has some.

        Without loader processes, the model makes the next batch in the background while one is in
        use; with them, each has a copy of the model.

        Parameters
        ----------
        dataset : dataset, optional
            From :meth:`get_as_torch_dataset`, mixed with real data, or any other. Else:
        model_id, num_samples, install_dependencies, transform
            As for :meth:`get_as_torch_dataset`; ``num_samples=None`` is a stream without end.
        batch_size, shuffle, sampler, batch_sampler, num_workers, collate_fn, pin_memory, drop_last
            As for ``torch.utils.data.DataLoader``.
        timeout, worker_init_fn, persistent_workers
            Likewise.
        prefetch_factor : int, optional
            Batches made ahead, by default 1, or 2 for each loader process.
        **arguments
            Further ones of ``DataLoader``, such as ``generator``; all others go to
            :meth:`get_as_torch_dataset`, such as ``seed``, ``output`` and ``device``.

        Returns
        -------
        SyntheticLoader
            A ``DataLoader`` with ``state_dict`` and ``load_state_dict``.

        Raises
        ------
        ArgumentError, UnknownModelError
            If the call is wrong; nothing was started.
        DependencyError, PackageError, DeviceError, GenerationError
            If the model cannot be had or fails.

        Examples
        --------
        >>> from medmint import Generators
        >>> loader = Generators().get_as_torch_dataloader(
        ...     model_id=10001, num_samples=None, batch_size=4, output="tensor", seed=1
        ... )
        >>> batch = next(iter(loader))
        >>> batch["sample"].shape, batch["mask"].dtype
        (torch.Size([4, 1, 256, 256]), torch.float32)
        """
        from medmint.synthetic_dataset.loader import SyntheticLoader, split_arguments

        for_loader, for_dataset = split_arguments(arguments)
        given = {"model_id": model_id, "transform": transform, **for_dataset}
        if dataset is not None:
            _check_alone(given)
        elif num_samples is None:
            dataset = self._stream(batch_size, install_dependencies, **given)
        else:
            given |= {"num_samples": num_samples, "install_dependencies": install_dependencies}
            dataset = self.get_as_torch_dataset(**given)
        return SyntheticLoader(
            dataset,
            batch_size=batch_size,
            shuffle=shuffle,
            sampler=sampler,
            batch_sampler=batch_sampler,
            num_workers=num_workers,
            collate_fn=collate_fn,
            pin_memory=pin_memory,
            drop_last=drop_last,
            timeout=timeout,
            worker_init_fn=worker_init_fn,
            prefetch_factor=prefetch_factor,
            persistent_workers=persistent_workers,
            **for_loader,
        )

    def close(self) -> None:
        """End the worker processes that are kept warm. The object can still be used."""
        for session in list(self._sessions.values()):
            session.close()
        super().close()

    @cached_property
    def _sessions(self) -> WeakValueDictionary[Hashable, Session]:
        """Workers of datasets that are in use, shared by those of one model."""
        return WeakValueDictionary()

    def _stream(
        self,
        batch_size: int | None,
        install_dependencies: bool,
        *,
        model_id: int | str | None,
        transform: Callable[..., Any] | None,
        output: str = "numpy",
        **arguments: Any,
    ) -> SyntheticStream:
        from medmint.synthetic_dataset.dataset import SyntheticStream, shard_of_process

        for name in ("cache_dir", "latents"):
            if (given := arguments.pop(name, None)) is not None:
                raise ArgumentError(name, given, "None where samples are without end")
        refuse(("overwrite",), arguments, _ALLOWED)
        request = _request(1, install_dependencies, arguments)
        return SyntheticStream(
            self._source(model_id, request),
            block_size=batch_size or 1,
            shard=shard_of_process(),
            transform=transform,
            output=output,
        )

    def _source(
        self,
        model_id: int | str | None,
        request: GenerationRequest,
        cache_dir: str | os.PathLike[str] | None = None,
    ) -> Source:
        """Return where the samples of a dataset come from: a worker, or a folder."""
        executor = self._executor(model_id, request.package)
        if cache_dir is None:
            return executor.source(request, self._sessions)
        from medmint.synthetic_dataset.folder import kept_samples

        return kept_samples(executor.generate, request, folder=cache_dir, record=executor.record)


def _request(
    num_samples: int, install_dependencies: bool, arguments: dict[str, Any]
) -> GenerationRequest:
    from medmint.generation_request import GenerationRequest

    refuse(_ABOUT_FILES, arguments, _ALLOWED)
    return GenerationRequest.of(
        num_samples=num_samples, install_dependencies=install_dependencies, **arguments
    )


def _check_alone(arguments: dict[str, Any]) -> None:
    """Refuse what a dataset that is already there was, or was not, made with."""
    for name, value in arguments.items():
        if value is not None:
            raise ArgumentError(name, value, "nothing of it beside a dataset, which has its own")
