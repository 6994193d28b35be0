"""The part of the facade that fetches and runs models."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medmint.generators.foundation import Foundation

if TYPE_CHECKING:
    from medmint.samples import GenerationResult


class Generating(Foundation):
    """Generate samples; install, check, copy and remove packages."""

    def generate(
        self,
        model_id: int | str | None,
        num_samples: int = 30,
        output_path: str | os.PathLike[str] | None = None,
        save_images: bool = True,
        is_gen_function_returned: bool = False,
        install_dependencies: bool = False,
        *,
        seed: int | None = None,
        device: str = "auto",
        batch_size: int | None = None,
        output_format: str | None = None,
        condition: Any = None,
        latents: Any = None,
        weights: str | os.PathLike[str] | None = None,
        package: str | os.PathLike[str] | None = None,
        isolation: str = "worker",
        allow_pickle: bool = False,
        overwrite: bool = False,
        **options: Any,
    ) -> GenerationResult | list[Any] | Callable[..., GenerationResult | list[Any]]:
        """Generate samples with a model.

        Parameters
        ----------
        model_id : int or str
            A number such as ``10``, or the full id; None where ``package`` has a record.
        num_samples : int
            How many samples, exactly.
        output_path : path, optional
            Folder for the samples. The same call again goes on where it was interrupted, a larger
            ``num_samples`` extends it. Default: a new folder ``output/<model_id>/run-NNN``.
        save_images : bool
            Write files; else return the samples.
        is_gen_function_returned : bool
            Return a function that generates, see :meth:`get_generate_function`.
        install_dependencies : bool
            Build a private environment where the model needs packages that are not here.
        seed : int, optional
            From 0 to 2**63 - 1. Fixes the samples; drawn and recorded where it is left out.
        device : str
            ``auto``, ``cpu``, ``cuda``, ``cuda:0`` and so on, or ``mps``.
        batch_size : int, optional
            Samples per forward pass, 32 by default. Halved when memory runs out.
        output_format : {"png", "npy", "npz", "tiff", "dicom", "nifti"}, optional
            Format of the files; the last two need the extras of their names. Default: png, or npy
            where a PNG file cannot hold what the model gives, such as volumes.
        condition : int, str or sequence of them, optional
            Wanted class, one for all samples or one for each.
        latents : array_like of float, shape (n, latent size), or path, optional
            Latent vectors to use instead of drawn ones.
        weights : path, optional
            Weights to use instead of the package's own.
        package : path, optional
            Folder of a package to run instead of the installed one.
        isolation : {"worker", "none"}
            Run model code in a process of its own, or in this one.
        allow_pickle : bool
            Let the weights hold more than tensors, which means that they can run code.
        overwrite : bool
            Replace another run that is in ``output_path``.
        **options
            The model's own options, as :meth:`info` lists them.

        Returns
        -------
        GenerationResult
            If samples are saved: folder, count, seed and paths.
        list
            Else: arrays of shape (height, width[, channels]) in the type that the record states,
            or tuples (image, mask[, label]) for models that give more than an image.

        Raises
        ------
        ArgumentError, UnknownModelError
            If the call is wrong; nothing was started.
        OutputError, WriterError
            If the folder holds something else or cannot be written.
        DependencyError, PackageError, DeviceError, GenerationError
            If the model cannot be had or fails.
        """
        from medmint.generation_request import GenerationRequest

        request = GenerationRequest(
            num_samples=num_samples,
            output_path=output_path,
            save_images=save_images,
            install_dependencies=install_dependencies,
            seed=seed,
            device=device,
            batch_size=batch_size,
            output_format=output_format,
            condition=condition,
            latents=latents,
            weights=weights,
            package=package,
            isolation=isolation,
            allow_pickle=allow_pickle,
            overwrite=overwrite,
            options=options,
        )
        executor = self._executor(model_id, request.package)
        if is_gen_function_returned:
            return executor.function(request)
        return executor.generate(request)

    def get_generate_function(
        self,
        model_id: int | str,
        num_samples: int = 30,
        output_path: str | os.PathLike[str] | None = None,
        install_dependencies: bool = False,
        **arguments: Any,
    ) -> Callable[..., Any]:
        """Return a function that generates with these arguments of :meth:`generate`.

        The function takes any of them anew for one call; later calls are as if that had not been.
        It returns samples unless ``save_images=True`` or an ``output_path`` says otherwise.

        Examples
        --------
        >>> from medmint import Generators
        >>> function = Generators().get_generate_function(10001, num_samples=2, seed=1)
        >>> len(function()), len(function(num_samples=1)), len(function())
        (2, 1, 2)
        """
        arguments.setdefault("save_images", output_path is not None)
        return self.generate(  # type: ignore[return-value]
            model_id,
            num_samples,
            output_path,
            install_dependencies=install_dependencies,
            is_gen_function_returned=True,
            **arguments,
        )

    def install(self, model_id: int | str, install_dependencies: bool = False) -> Path:
        """Bring a model's package here, so that it can be used offline from then on.

        Parameters
        ----------
        model_id : int or str
        install_dependencies : bool
            Build its private environment as well, where it needs one.

        Returns
        -------
        Path
            Folder of the package; not to be written to, see :meth:`copy`.

        Raises
        ------
        PackageError, OfflineError
            If it cannot be had.
        """
        executor = self._executor(model_id)
        return executor.install(install_dependencies=install_dependencies).root

    def remove(self, model_id: int | str) -> bool:
        """Remove a model's installed package; return False where there was none."""
        return self._store().remove(self.config_manager.record(model_id))

    def verify(self, model_id: int | str) -> str:
        """Read every file of an installed package again; return the sha256 of the package.

        So is every file of its private environment, where it has one. A package that is used where
        it is, such as a shipped one, has nothing to compare with.

        Raises
        ------
        IntegrityError
            If a file is not as it was.
        PackageError
            If the package is not installed.
        """
        from medmint.packages.environments.building import find_environment
        from medmint.packages.environments.store import verify_environment

        record = self.config_manager.record(model_id)
        sha256 = self._store().verify(record)
        if environment := find_environment(record.execution.dependencies, self.settings):
            verify_environment(environment)
        return sha256

    def copy(self, model_id: int | str, folder: str | os.PathLike[str]) -> Path:
        """Copy a model's package into a new folder for editing.

        Run the copy with ``generate(model_id, package=folder)``; manifests mark it as modified.

        Raises
        ------
        OutputError
            If the folder exists and is not empty.
        """
        from medmint.home import user_path

        target = user_path("folder", folder, "a new folder")
        return self._store().copy(self.config_manager.record(model_id), target)
