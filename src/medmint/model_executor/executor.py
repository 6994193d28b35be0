"""From a model record to samples: the whole recipe, one step a method."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from medmint.catalogue.records import ModelRecord
from medmint.errors import GenerationError
from medmint.generation_request import GenerationRequest
from medmint.model_executor.asking import ask
from medmint.model_executor.batch_size import default_batch_size
from medmint.model_executor.plan import Plan, Planner
from medmint.model_executor.session import Session
from medmint.model_executor.source import CHUNK_MEMORY, SampleSource
from medmint.model_executor.starting import start_worker, worker_key
from medmint.packages.contract import read_batch
from medmint.packages.package import Package
from medmint.packages.workers.pool import WorkerPool
from medmint.packages.workers.process import OutOfMemoryError, Worker
from medmint.progress import Progress, progress_bar
from medmint.samples import Batch, GenerationResult
from medmint.settings import Settings
from medmint.writers.formats import WRITERS, default_format
from medmint.writers.run_folder import RunFolder, new_run_folder

logger = logging.getLogger(__name__)


class ModelExecutor:
    """Runs one model.

    Parameters
    ----------
    record : ModelRecord
        The model.
    settings : Settings
        Where packages are kept.
    pool : WorkerPool
        Where warm workers come from.
    python : Path, optional
        The interpreter to run the model with. Default: one that meets its requirements.
    """

    def __init__(
        self,
        record: ModelRecord,
        *,
        settings: Settings,
        pool: WorkerPool,
        python: Path | None = None,
    ) -> None:
        self.record = record
        self._planner = Planner(record, settings, python)
        self._pool = pool

    @property
    def model_id(self) -> str:
        """Full id of the model."""
        return self.record.model_id

    def check(self, *, install_dependencies: bool = False) -> None:
        """See to the model's requirements without running it.

        Raises
        ------
        DependencyError
            If they are not met and not to be installed.
        """
        self._planner.interpreter(install=install_dependencies)

    def install(self, *, install_dependencies: bool = False) -> Package:
        """Bring the package here; nothing happens where it is already.

        Parameters
        ----------
        install_dependencies : bool
            Build the private environment as well, where the model needs one.
        """
        if install_dependencies:
            self.check(install_dependencies=True)
        return self._planner.package(GenerationRequest())

    def load(self, request: GenerationRequest) -> None:
        """Import the package and load its weights in a worker, without generating anything.

        Raises
        ------
        GenerationError, ContractError
            If that fails.
        """
        with self._loaded(self._planner.settle(request)):
            pass

    def generate(self, request: GenerationRequest) -> GenerationResult | list[Any]:
        """Generate samples, into a folder or as a list.

        Returns
        -------
        GenerationResult
            If samples are saved.
        list
            Else: arrays of shape (height, width[, channels]), or tuples (image, mask[, label]).
        """
        if request.save_images:
            return self._save(request)
        plan = self._planner.settle(request)
        with progress_bar("samples") as progress:
            return [s for batch in self._stream(plan, progress) for s in batch.samples()]

    def function(self, request: GenerationRequest) -> Callable[..., GenerationResult | list[Any]]:
        """Return a function that carries out a request, with changes for one call at a time."""

        def generate(**changes: Any) -> GenerationResult | list[Any]:
            return self.generate(request.changed(**changes))

        return generate

    def stream(
        self, request: GenerationRequest, *, package: Package | None = None
    ) -> Iterator[Batch]:
        """Yield batch after batch in sample order, keeping none.

        Parameters
        ----------
        request : GenerationRequest
        package : Package, optional
            What :meth:`locate` gave for the same package and weights; it is not read again.
        """
        yield from self._stream(self._planner.settle(request, package=package))

    def source(
        self, request: GenerationRequest, sessions: MutableMapping[Hashable, Session]
    ) -> SampleSource:
        """Return what gives the samples of a request by index, in any order.

        Parameters
        ----------
        request : GenerationRequest
            Nothing of it that is about files counts.
        sessions : mutable mapping
            Workers that are shared with other sources; a new one is entered.
        """
        plan = self._planner.settle(request)
        if request.batch_size is None:
            # Chunks must be the same on every machine, so they cannot depend on its memory.
            sides = self.record.execution.image_size
            plan = replace(plan, batch_size=default_batch_size(sides, CHUNK_MEMORY))
        key = (plan.device, worker_key(plan))
        session = sessions.get(key)
        if session is None:
            session = sessions[key] = Session(plan)
        return SampleSource(plan, session)

    def locate(self, request: GenerationRequest) -> Package:
        """Return the package that a request runs, brought here and checked."""
        return self._planner.settle(request).package

    def _save(self, request: GenerationRequest) -> GenerationResult:
        """Generate into the folder that was named, or into a new one."""
        output_format = request.output_format or default_format(self.record)
        writer = WRITERS[output_format](self.record)
        if request.output_path is None:
            plan = self._planner.settle(request)
            with self._loaded(plan) as worker:
                folder = new_run_folder(Path("output") / self.model_id)
                return self._write(plan, worker, RunFolder(folder, writer), output_format)
        output = RunFolder(Path(request.output_path).expanduser(), writer)
        with output.only_writer():
            plan = self._planner.settle(request, None if request.overwrite else output.header())
            with self._loaded(plan) as worker:
                return self._write(plan, worker, output, output_format, request.overwrite)

    def _write(
        self,
        plan: Plan,
        worker: Worker,
        output: RunFolder,
        output_format: str,
        overwrite: bool = False,
    ) -> GenerationResult:
        """Write the samples that the folder does not have yet."""
        header = plan.header(output_format, worker.device)
        start = output.begin(header, plan.num_samples, overwrite=overwrite)
        plan = replace(plan, batch_size=output.batch_size)
        with progress_bar("samples") as progress:
            for batch in self._batches(plan, worker, start, output.halve):
                output.write(batch)
                progress(batch.start + len(batch), plan.num_samples, self.model_id)
        output.finish()
        logger.info("Wrote %d samples of %s to %s", plan.num_samples, self.model_id, output.folder)
        return GenerationResult(output.folder, plan.num_samples, plan.seed)

    def _stream(self, plan: Plan, progress: Progress | None = None) -> Iterator[Batch]:
        with self._loaded(plan) as worker:
            for batch in self._batches(plan, worker, 0, _keep_size):
                yield batch
                if progress is not None:
                    progress(batch.start + len(batch), plan.num_samples, self.model_id)

    @contextmanager
    def _loaded(self, plan: Plan) -> Iterator[Worker]:
        """Borrow a worker that has the package loaded."""
        start = partial(start_worker, plan)
        with self._pool.lend(plan.device, worker_key(plan), start) as worker:
            yield worker

    def _batches(
        self, plan: Plan, worker: Worker, start: int, halve: Callable[[int, int], None]
    ) -> Iterator[Batch]:
        """Yield batches; while one is being used, the worker already makes the next.

        A batch that does not fit into memory is tried again in halves.
        """
        if start == plan.num_samples:
            return
        size = plan.batch_size

        def asked(start: int) -> int:
            return ask(plan, worker, range(start, min(start + size, plan.num_samples)))

        ahead = asked(start)
        while start < plan.num_samples:
            stop = min(start + size, plan.num_samples)
            try:
                frame = worker.reply(ahead)
            except OutOfMemoryError:
                if stop - start == 1:
                    raise
                size = (stop - start + 1) // 2
                logger.warning("Memory ran out: going on in batches of %d", size)
                halve(start, size)
                ahead = asked(start)
                continue
            except GenerationError as error:
                error.first_sample = start
                raise
            if stop < plan.num_samples:
                ahead = asked(stop)
            yield read_batch(plan.record, frame, start, stop - start)
            start = stop


def _keep_size(start: int, batch_size: int) -> None:
    """Nothing has to be noted where samples are not saved."""
