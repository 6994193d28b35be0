"""What all parts of the facade stand on: catalogue, executors, warm workers."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from medmint.catalogue.ids import five_digits
from medmint.config_manager import ConfigManager
from medmint.errors import ArgumentError, MedmintError
from medmint.model_selector.selector import ModelSelector
from medmint.settings import Settings

if TYPE_CHECKING:
    from medmint.catalogue.records import ModelRecord
    from medmint.model_contributor import ModelContributor
    from medmint.model_executor import ModelExecutor
    from medmint.packages.store import PackageStore
    from medmint.packages.workers.pool import WorkerPool

logger = logging.getLogger(__name__)


class Foundation:
    """Catalogue, executors and workers of a :class:`medmint.Generators`."""

    def __init__(
        self,
        config_manager: ConfigManager | None = None,
        model_selector: ModelSelector | None = None,
        model_executors: list[ModelExecutor] | None = None,
        model_contributors: list[ModelContributor] | None = None,
        initialize_all_models: bool = False,
        *,
        catalogue: str | os.PathLike[str] | Mapping[str, Any] | None = None,
        settings: Settings | None = None,
    ) -> None:
        if config_manager is not None and catalogue is not None:
            raise ArgumentError(
                "catalogue", catalogue, "None beside a config_manager, which has one"
            )
        if settings is None and config_manager is not None:
            settings = config_manager.settings
        self.settings = settings or Settings.from_environment()
        self.config_manager = config_manager or ConfigManager(catalogue, settings=self.settings)
        self.model_selector = model_selector or ModelSelector(self.config_manager)
        self.model_executors: list[ModelExecutor] = list(model_executors or [])
        self.model_contributors: list[ModelContributor] = list(model_contributors or [])
        self._pool: WorkerPool | None = None
        if initialize_all_models:
            self.add_all_model_executors()

    def add_model_executor(self, model_id: int | str, install_dependencies: bool = False) -> None:
        """Install a model's package and see to its requirements; nothing where that is done."""
        if not self.is_model_executor_already_added(model_id):
            executor = self._executor_of(self.config_manager.record(model_id))
            executor.check(install_dependencies=install_dependencies)
            executor.install()
            self.model_executors.append(executor)

    def add_all_model_executors(self) -> dict[str, MedmintError]:
        """Do so for every model; return the errors of those that failed, by model id."""
        failures: dict[str, MedmintError] = {}
        for model_id in self.config_manager.model_ids:
            try:
                self.add_model_executor(model_id)
            except MedmintError as error:
                logger.warning("%s was passed over: %s", model_id, error)
                failures[model_id] = error
        return failures

    def get_model_executor(
        self, model_id: int | str, install_dependencies: bool = False
    ) -> ModelExecutor:
        """Return the executor of a model, added if it was not."""
        self.add_model_executor(model_id, install_dependencies)
        return self._executor(model_id)

    def find_model_executor_by_id(self, model_id: int | str) -> ModelExecutor | None:
        """Return the executor of a model if it was added, else None."""
        full_id = self.config_manager.resolve(model_id)
        return next((one for one in self.model_executors if one.model_id == full_id), None)

    def is_model_executor_already_added(self, model_id: int | str) -> bool:
        """Tell whether a model's executor was added."""
        return self.find_model_executor_by_id(model_id) is not None

    def close(self) -> None:
        """End the worker processes that are kept warm. The object can still be used."""
        if self._pool is not None:
            self._pool.close()

    def _store(self) -> PackageStore:
        from medmint.packages.store import PackageStore

        return PackageStore(self.settings)

    def _executor(
        self, model_id: int | str | None, package: str | os.PathLike[str] | None = None
    ) -> ModelExecutor:
        """Return the executor of a model, or of a package folder that brings its own record."""
        if package is not None:
            from medmint.packages.package import package_record

            if record := package_record(Path(package).expanduser()):
                _check_same(model_id, record)
                return self._executor_of(record)
        if model_id is None:
            raise ArgumentError("model_id", None, "a number or id, or a package with metadata.json")
        return self.find_model_executor_by_id(model_id) or self._executor_of(
            self.config_manager.record(model_id)
        )

    def _executor_of(self, record: ModelRecord, python: Path | None = None) -> ModelExecutor:
        from medmint.model_executor import ModelExecutor
        from medmint.packages.workers.pool import WorkerPool

        if self._pool is None:
            self._pool = WorkerPool()
        return ModelExecutor(record, settings=self.settings, pool=self._pool, python=python)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self.model_executors)

    def __getitem__(self, index: int) -> ModelExecutor:
        return self.model_executors[index]

    def __bool__(self) -> bool:
        # Without this, an object without executors would count as False.
        return True

    def __repr__(self) -> str:
        return f"Generators({len(self.config_manager)} models, {len(self)} executors)"


def _check_same(model_id: int | str | None, record: ModelRecord) -> None:
    """Refuse a package that says it is of another model than the one that was asked for."""
    is_same = model_id is None or str(model_id) == record.model_id
    if not is_same and five_digits(model_id) != record.model_id[:5]:
        expected = f"{record.model_id}, as metadata.json of the package says, or None"
        raise ArgumentError("model_id", model_id, expected)


def refuse(names: Iterable[str], arguments: Mapping[str, Any], allowed: str) -> None:
    """Refuse arguments of ``generate`` that mean nothing where they were given."""
    for name in names:
        if name in arguments:
            raise ArgumentError(name, arguments[name], allowed)
