"""From a folder on disk to a published model, one step a method."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Collection, Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medmint.catalogue.records import ModelRecord
from medmint.errors import ArgumentError, ContractError, InvalidRecordError
from medmint.generation_request import GenerationRequest
from medmint.home import user_path, write_json
from medmint.model_contributor.acceptance import MakeExecutor, ModelReport, ModelTest
from medmint.model_contributor.card import CARD_NAME, SHEET_NAME, model_card, sample_sheet
from medmint.model_contributor.identity import check_model_id
from medmint.model_contributor.licences import licence_fault
from medmint.model_contributor.metadata import (
    Given,
    build_record,
    read_metadata,
)
from medmint.model_contributor.package_code import PackageCode
from medmint.model_contributor.packing import Selection, check_readable, select_files, write_zip
from medmint.model_contributor.questions import Question, answer, open_questions
from medmint.model_contributor.stated import unstated
from medmint.model_contributor.weights import check_own_weights
from medmint.packages.environments.linked import linked_environment
from medmint.packages.environments.requirements import check_requirements
from medmint.packages.origin import own_folder
from medmint.packages.package import METADATA_NAME, hash_file

if TYPE_CHECKING:
    from medmint.config_manager import ConfigManager
    from medmint.model_executor import ModelExecutor


class ModelContributor:
    """A package on its way into a catalogue.

    Making one checks the id and the place; everything else is a step that is called for.

    Parameters
    ----------
    model_id : str or None
        The id of the new model; None takes that of the package's ``metadata.json``.
    init_py_path : path
        The package's ``__init__.py``, or its folder.
    config_manager : ConfigManager
        The catalogue that the model comes into.
    executor_of : MakeExecutor
        Makes what runs a record.
    is_known : bool
        The catalogue may have this very id: the package is a newer version.

    Attributes
    ----------
    model_id : str
    folder : Path
        The package.
    metadata : dict or None
        Its record, once there is one.

    Raises
    ------
    ArgumentError
        If the id does not keep the convention or is taken, or there is no such package.
    """

    def __init__(
        self,
        model_id: str | None,
        init_py_path: str | PathLike[str],
        *,
        config_manager: ConfigManager,
        executor_of: MakeExecutor,
        is_known: bool = False,
    ) -> None:
        self._is_known = is_known
        self.folder = _package_folder(init_py_path)
        self._config_manager = config_manager
        self._make_executor = executor_of
        self._python: Path | None = None
        self.metadata: dict[str, Any] | None = None
        self._given = Given()
        if model_id is None:
            if not (self.folder / METADATA_NAME).is_file():
                raise ArgumentError("model_id", None, f"an id, or {METADATA_NAME} in the package")
            model_id, _ = read_metadata(None, self.folder)
        self.model_id = self.validate_model_id(model_id)

    def validate_model_id(self, model_id: str) -> str:
        """Return an id that keeps the convention and is free, or is that of this very package.

        Raises
        ------
        ArgumentError
            With a free number where this one is taken.
        """
        taken = self._config_manager.model_ids
        others = [one for one in taken if one != model_id or not self._is_this(one)]
        return check_model_id(model_id, others)

    def check_code(self) -> PackageCode:
        """Parse the package's code without running it.

        Raises
        ------
        ContractError
            If ``__init__.py`` is missing, a file is no Python or cannot be read.
        """
        code = PackageCode(self.folder)
        check_readable(self.folder)
        return code

    def check_files(self, allow: Collection[str] = ()) -> Selection:
        """Decide which files are published.

        Raises
        ------
        ContractError
            If one of them looks as if it must not be, such as a key or a file of a patient.
        """
        weights = self._model(self.metadata).execution.weights_name if self.metadata else ""
        return select_files(self.folder, allow=allow, weights=weights)

    def build_metadata(self, given: Given | None = None) -> dict[str, Any]:
        """Put the record together and check it, samples aside.

        What nobody said is taken from the package: requirements, weights, licence, function and
        its options. Sizes and types of the output, where they are not stated, are those of a
        first sample. Without an argument, what was given before counts.

        Raises
        ------
        InvalidRecordError
            If something is missing or wrong; all faults are listed.
        ContractError
            If the function does not take what it is called with, or an imported module is in no
            stated requirement.
        """
        code = self.check_code()
        self._given = given or self._given
        record = build_record(self.model_id, code, self._given)
        self._check_record(record)
        execution = record["execution"]
        method = execution["generate_method"]
        code.check_function(execution["contract"], method["name"], [*method["args"]["custom"]])
        if missing := unstated(code.imported(), execution["dependencies"]):
            raise ContractError(
                self.model_id,
                "requirements that bring all that is imported",
                f"none for {', '.join(missing)}",
                "Name them in requirements.txt and in the dependencies of the record.",
            )
        check_own_weights(self._model(record), self.folder)
        self.metadata = record
        if "image_size" not in execution:
            self._observe(record)
        return record

    def ask(self, ask: Callable[[Question], str]) -> bool:
        """Put the questions that the record leaves open to a function, and check the record anew.

        Returns
        -------
        bool
            Whether one was answered.

        Raises
        ------
        InvalidRecordError, ArgumentError
            If the answers do not fit.
        """
        record = self._record().to_dict()
        answers = [(question, ask(question).strip()) for question in open_questions(record)]
        for question, text in answers:
            if text:
                answer(record, question, text)
        self._check_record(record)
        self.metadata = record
        return any(text for _, text in answers)

    def keep_record(self) -> None:
        """Write the record to where the next call reads it: the package's own, or the named file.

        Raises
        ------
        WriterError
            If it cannot be written.
        """
        path = self._given.metadata_file_path or self.folder
        file = path / METADATA_NAME if path.is_dir() else path
        write_json(file, {self.model_id: self.packed_metadata()})

    def add_to_catalogue(self, *, overwrite: bool = False, store: bool = True) -> None:
        """Make the model usable by its id on this machine, from its folder.

        Raises
        ------
        InvalidRecordError, ArgumentError, WriterError
            If the catalogue does not take it.
        """
        is_known = self.model_id in self._config_manager.model_ids
        self._config_manager.add_model_to_config(
            self.model_id,
            self._record().to_dict(),
            is_local_model=True,
            overwrite_existing_metadata=overwrite or is_known,
            store_new_config=store,
        )

    def check_import(self, *, install_dependencies: bool = False) -> None:
        """Import the package and load its weights, in a worker process.

        Raises
        ------
        GenerationError, ContractError, DependencyError
            If that cannot be done.
        """
        request = GenerationRequest(
            num_samples=1, device="cpu", install_dependencies=install_dependencies
        )
        self._executor_of(self._record()).load(request)

    def test(
        self,
        *,
        num_samples: int = 3,
        install_dependencies: bool = False,
        is_isolated: bool = True,
    ) -> ModelReport:
        """Generate in all ways that have to work; see `ModelTest`.

        Parameters
        ----------
        num_samples : int
        install_dependencies : bool
            Build a private environment where the model needs packages that are not here.
        is_isolated : bool
            Run it once more where nothing but its stated requirements is installed.

        Raises
        ------
        ContractError, GenerationError, DependencyError
            If the model does not do what its record says.
        """
        record = self._record()
        test = ModelTest(record, self._executor_of, num_samples=num_samples)
        execution = record.execution
        is_met = check_requirements(execution.dependencies, python_requires=execution.python).is_met
        if not (is_isolated and is_met):
            return test.run(install_dependencies=install_dependencies)
        with tempfile.TemporaryDirectory(
            prefix="medmint-isolated-", ignore_cleanup_errors=True
        ) as folder:
            python = linked_environment(execution.dependencies, Path(folder) / "environment")
            return test.run(install_dependencies=install_dependencies, isolated=python)

    def unmet_requirements(self) -> list[str]:
        """Return the stated requirements that the running interpreter does not meet."""
        execution = self._record().execution
        report = check_requirements(execution.dependencies, python_requires=execution.python)
        wrong_python = [] if report.fits_python else [str(report.python)]
        return [*report.unmet, *wrong_python]

    def use_running_interpreter(self, *, whatever: bool) -> None:
        """Run the model with the running interpreter, whatever it requires, or as it requires."""
        self._python = Path(sys.executable) if whatever else None

    def companions(self, report: ModelReport) -> dict[str, bytes]:
        """Make what goes beside the package's own files: sheet of samples, card, record."""
        record = self._record()
        own = {
            SHEET_NAME: sample_sheet(record, report),
            CARD_NAME: model_card(record, report).encode(),
        }
        made = {name: data for name, data in own.items() if not (self.folder / name).is_file()}
        return {**made, METADATA_NAME: _as_json({self.model_id: self.packed_metadata()})}

    def packed_metadata(self) -> dict[str, Any]:
        """Return the record as it goes into the archive: without folders of this machine."""
        record = self._record().to_dict()
        record["execution"]["package_link"] = f"{self.model_id}.zip"
        for name in ("sha256", "size_bytes"):
            record["execution"].pop(name, None)
        return record

    def inputs_digest(self, selection: Selection) -> str:
        """Return what identifies the content of the archive before it is made."""
        digest = hashlib.sha256(_as_json(self.packed_metadata()))
        for name, path in selection.files.items():
            digest.update(f"{name}\0{hash_file(path)}\n".encode())
        return digest.hexdigest()

    def pack(self, selection: Selection, target: Path, *, extra: Mapping[str, bytes]) -> str:
        """Write the archive and return its sha256: the same input gives the same bytes."""
        return write_zip(selection, target, extra=extra)

    def _executor_of(self, record: ModelRecord, python: Path | None = None) -> ModelExecutor:
        return self._make_executor(record, python or self._python)

    def _record(self) -> ModelRecord:
        return self._model(self.metadata or self.build_metadata())

    def _model(self, record: dict[str, Any]) -> ModelRecord:
        return ModelRecord.from_dict(self.model_id, _with_size(record))

    def _is_this(self, model_id: str) -> bool:
        """Tell whether a model of the catalogue is the package in this folder, or may be it."""
        if self._is_known:
            return True
        own = own_folder(self._config_manager.record(model_id), None)
        return own is not None and own[0] == self.folder

    def _check_record(self, record: dict[str, Any]) -> None:
        faults = self._config_manager.metadata_faults(
            self.model_id, _with_size(record), is_local_model=True
        )
        if fault := licence_fault(record):
            faults.append(f"/{self.model_id}/selection/license: {fault}")
        if faults:
            raise InvalidRecordError(f"Metadata of {self.model_id}", faults)

    def _observe(self, record: dict[str, Any]) -> None:
        """Take sizes and types of the output from a first sample."""
        execution = record["execution"]
        request = GenerationRequest(num_samples=1, save_images=False, seed=0, device="cpu")
        (batch,) = self._executor_of(self._model(record)).stream(request)
        shown = ModelReport(self.model_id, 0, batch.arrays, (), ())
        execution["image_size"] = [int(side) for side in batch.arrays["image"].shape[1:3]]
        if "output" not in execution:
            execution["output"] = shown.outputs()
        self._check_record(record)


def _package_folder(init_py_path: str | PathLike[str]) -> Path:
    path = user_path("init_py_path", init_py_path, "an existing __init__.py, or its folder")
    folder = path.parent if path.name == "__init__.py" else path
    if not os.access(folder / ".", os.R_OK | os.X_OK):
        raise ArgumentError("init_py_path", str(path), "an existing __init__.py, or its folder")
    return folder.resolve()


def _with_size(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record that says how large its images are, be it provisional until one is seen."""
    return {**record, "execution": {"image_size": [1], **record["execution"]}}


def _as_json(content: object) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()
