"""What a run depends on, settled before anything is started."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medmint.catalogue.records import ModelRecord
from medmint.errors import ArgumentError, ContractError
from medmint.generation_request import (
    DEFAULT_NUM_SAMPLES,
    GenerationRequest,
    read_condition,
    read_latents,
)
from medmint.model_executor.batch_size import default_batch_size, free_memory
from medmint.packages.contract import checked_options
from medmint.packages.environments.building import build_environment, find_environment
from medmint.packages.environments.requirements import check_requirements, dependency_error
from medmint.packages.option_paths import with_absolute_paths
from medmint.packages.package import Package
from medmint.packages.store import PackageStore
from medmint.packages.weights.scan import scan_weights
from medmint.progress import progress_bar
from medmint.samples import draw_seed
from medmint.settings import Settings, usable_threads
from medmint.version import __version__


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A request with everything settled that the samples depend on."""

    record: ModelRecord
    package: Package
    python: Path
    num_samples: int
    seed: int
    batch_size: int
    threads: int
    device: str
    isolation: str
    options: Mapping[str, Any]
    latents: NDArray[np.float32] | None
    condition: NDArray[np.int64] | None

    def header(self, output_format: str, device: str) -> dict[str, Any]:
        """Describe all that the samples depend on, and the terms under which they may be used."""
        execution, entry = self.record.execution, self.record.to_dict()
        description, selection = entry["description"], entry["selection"]
        header: dict[str, Any] = {
            "medmint_manifest": 1,
            "medmint_version": __version__,
            "model_id": self.record.model_id,
            "package_sha256": self.package.sha256,
            "weights_sha256": self.package.weights_sha256,
            "modified": self.package.modified,
            "reproducible": "sample" if execution.contract == "sampler" else "batch",
            "seed": self.seed,
            "batch_size": self.batch_size,
            "threads": self.threads,
            "device": device.partition(":")[0],
            "output_format": output_format,
            "options": {name: _named(value) for name, value in self.options.items()},
            "license": description.get("weights_license") or selection.get("license"),
            "citation": description.get("citation") or description.get("doi"),
        }
        if execution.conditions:
            # What the labels of the samples count.
            header["conditions"] = list(execution.conditions)
        if self.condition is not None:
            classes = self.condition.tolist()
            # One class for all is written as one, so that the run can be extended.
            header["condition"] = classes[0] if len(set(classes)) == 1 else classes
        if self.latents is not None:
            header["latents_sha256"] = hashlib.sha256(self.latents.tobytes()).hexdigest()
        return header


class Planner:
    """Fills in what a request leaves open.

    Parameters
    ----------
    record : ModelRecord
        The model.
    settings : Settings
        Where packages and environments are kept.
    python : Path, optional
        The interpreter to use, whatever the record asks for.
    """

    def __init__(self, record: ModelRecord, settings: Settings, python: Path | None = None) -> None:
        self._record = record
        self._settings = settings
        self._python = python

    def settle(
        self,
        request: GenerationRequest,
        present: Mapping[str, Any] | None = None,
        *,
        package: Package | None = None,
    ) -> Plan:
        """Fill in what the user left open, from the run that is there or from the record.

        A package that is given was settled before and is not read again.
        """
        present = present or {}
        record = self._record
        latents = read_latents(request.latents, record)
        num_samples = _count(request, latents)
        given, condition = dict(request.options), request.condition
        if "condition" in record.execution.generate_method.custom and condition is not None:
            # Some published models have an option of this name: it is theirs.
            given["condition"], condition = condition, None
        options = checked_options(record, given)
        # First what costs nothing: no package is downloaded that could not be run.
        python = self.interpreter(install=request.install_dependencies)
        _check_isolation(request, python)
        if package is None:
            package = self.package(request)
            self._check_weights(package, allowed=request.allow_pickle)
        seed = present.get("seed") if request.seed is None else request.seed
        return Plan(
            record=record,
            package=package,
            python=python,
            num_samples=num_samples,
            seed=draw_seed() if seed is None else int(seed),
            batch_size=int(
                request.batch_size
                or present.get("batch_size")
                or default_batch_size(record.execution.image_size, free_memory())
            ),
            threads=int(present.get("threads") or usable_threads()),
            device=request.device,
            isolation=request.isolation,
            options=with_absolute_paths(options, given, record, package.root),
            latents=latents,
            condition=read_condition(condition, record, num_samples),
        )

    def package(self, request: GenerationRequest) -> Package:
        """Return the package to run, brought here where it is not."""
        with progress_bar("B", scale=True) as progress:
            store = PackageStore(self._settings, progress)
            package, weights = _path(request.package), _path(request.weights)
            return store.locate(self._record, package=package, weights=weights)

    def _check_weights(self, package: Package, *, allowed: bool) -> None:
        """Refuse weights that hold more than tensors and must not.

        Raises
        ------
        ContractError
            If the weights need more than tensors and neither record nor user allows it.
        """
        if package.weights is None or allowed or self._record.execution.requires_pickle:
            return
        report = scan_weights(package.weights)
        if report.verdict == "tensors-only":
            return
        raise ContractError(
            self._record.model_id,
            f"{package.weights.name} to hold tensors alone",
            f"something else. {report.detail.rstrip('.')}",
            "Loading it can run any code: if you trust its authors, pass allow_pickle=True.",
        )

    def interpreter(self, *, install: bool) -> Path:
        """Return the Python that meets the model's requirements: this one or a private one.

        Raises
        ------
        DependencyError
            If there is none, and none is to be made or it cannot be made.
        """
        if self._python is not None:
            return self._python
        model_id, execution = self._record.model_id, self._record.execution
        needed = execution.dependencies
        report = check_requirements(needed, python_requires=execution.python)
        if report.is_met:
            return Path(sys.executable)
        if not report.fits_python:
            raise dependency_error(model_id, report)
        environment = find_environment(needed, self._settings)
        if environment is None and not install:
            raise dependency_error(model_id, report)
        if environment is None:
            with progress_bar("steps") as progress:
                environment = build_environment(
                    needed, settings=self._settings, model_id=model_id, progress=progress
                )
        return environment.python


def _check_isolation(request: GenerationRequest, python: Path) -> None:
    if request.isolation == "none" and python != Path(sys.executable):
        raise ArgumentError(
            "isolation", "none", "'worker': the model needs a private environment, see doctor"
        )


def _named(value: Any) -> Any:
    """Leave folders of this machine out of what goes into a manifest."""
    if isinstance(value, list | tuple):
        return [_named(item) for item in value]
    if isinstance(value, str) and Path(value).is_absolute():
        return Path(value).name
    return value


def _count(request: GenerationRequest, latents: NDArray[np.float32] | None) -> int:
    if latents is None:
        return int(request.num_samples)
    if request.num_samples not in (DEFAULT_NUM_SAMPLES, len(latents)):
        raise ArgumentError(
            "num_samples", request.num_samples, f"{len(latents)}, one for each latent"
        )
    return len(latents)


def _path(given: str | os.PathLike[str] | None) -> Path | None:
    return None if given is None else Path(given).expanduser()
