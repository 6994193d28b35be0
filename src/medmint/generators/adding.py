"""The part of the facade that takes new models in: package, record, tests, catalogue."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from medmint.errors import ArgumentError
from medmint.generators.foundation import Foundation
from medmint.home import user_path

if TYPE_CHECKING:
    from medmint.model_contributor import ModelContributor, ModelReport, Question, RecordCheck

PathLike = str | os.PathLike[str]


class Adding(Foundation):
    """Add models on this machine, make their records, test them; ModelContributor says more."""

    def add_model_to_config(
        self,
        model_id: str,
        metadata: Mapping[str, Any],
        is_local_model: bool | None = None,
        overwrite_existing_metadata: bool = False,
        store_new_config: bool = True,
    ) -> bool:
        """Add a model to the catalogue: it can be listed, found and used at once.

        Raises
        ------
        InvalidRecordError
            If the metadata are no valid record; all faults are listed.
        ArgumentError
            If the id or its number is taken.
        """
        return self.config_manager.add_model_to_config(
            model_id, metadata, is_local_model, overwrite_existing_metadata, store_new_config
        )

    def remove_model_from_config(self, model_id: int | str) -> str:
        """Take a model that was added here out of the catalogue; return its full id.

        Raises
        ------
        ArgumentError
            If it was not added here but comes with the catalogue.
        """
        return self.config_manager.remove_model_from_config(model_id)

    def is_model_metadata_valid(
        self, model_id: str, metadata: Mapping[str, Any], is_local_model: bool = True
    ) -> bool:
        """Tell whether metadata make a valid record; the log says why not."""
        return self.config_manager.is_model_metadata_valid(model_id, metadata, is_local_model)

    def add_model_contributor(
        self,
        model_id: str | None,
        init_py_path: PathLike | None = None,
        *,
        is_known: bool = False,
    ) -> ModelContributor:
        """Take in a package that is to be contributed, and return what has a method for each step.

        Parameters
        ----------
        model_id : str or None
            A new id: five digits and a name. None takes that of the package's ``metadata.json``.
        init_py_path : path, optional
            The package's ``__init__.py`` or folder; not needed if it was added before.
        is_known : bool
            The catalogue may have this id: the package is a newer version of that model.

        Raises
        ------
        ArgumentError
            If the id is taken or does not keep the convention (a free one is named), or there is
            no such package.
        """
        known = None if model_id is None else self.get_model_contributor_by_id(model_id)
        if init_py_path is None:
            if known is None:
                raise ArgumentError("init_py_path", None, "the __init__.py of the package")
            return known
        from medmint.model_contributor import ModelContributor

        contributor = ModelContributor(
            model_id,
            init_py_path,
            config_manager=self.config_manager,
            executor_of=self._executor_of,
            is_known=is_known,
        )
        if known is not None and known.folder == contributor.folder:
            return known
        self.model_contributors = [
            one for one in self.model_contributors if one.model_id != contributor.model_id
        ]
        self.model_contributors.append(contributor)
        return contributor

    def get_model_contributor_by_id(self, model_id: str) -> ModelContributor | None:
        """Return the contributor that was added for a model, else None."""
        return next((one for one in self.model_contributors if one.model_id == model_id), None)

    def add_metadata_from_file(self, model_id: str, metadata_file_path: PathLike) -> dict[str, Any]:
        """Read the record of a contributed model from a file, or from a folder's metadata.json.

        Returns
        -------
        dict
            The record under its id; sizes and types that it does not state are those of a sample.

        Raises
        ------
        ArgumentError, InvalidRecordError, ContractError
            If the file is of another model, or what it says is not so.
        """
        from medmint.model_contributor import Given

        file = user_path("metadata_file_path", metadata_file_path, "a record")
        given = Given(metadata_file_path=file)
        return {model_id: self.add_model_contributor(model_id).build_metadata(given)}

    def add_metadata_from_input(
        self,
        model_id: str,
        model_weights_name: str | None = None,
        model_weights_extension: str | None = None,
        generate_method_name: str | None = None,
        dependencies: Sequence[str] | None = None,
        fill_more_fields_interactively: bool = True,
        output_path: PathLike | None = None,
        *,
        fields: Mapping[str, Any] | None = None,
        ask: Callable[[Question], str] | None = None,
    ) -> dict[str, Any]:
        """Make the record of a contributed model from what is said here and what its package shows.

        Parameters
        ----------
        model_id : str
        model_weights_name, model_weights_extension : str, optional
            File name of the weights, its extension apart.
        generate_method_name : str, optional
            Function of the package that generates.
        dependencies : sequence of str, optional
            Requirements as pip takes them.
        fill_more_fields_interactively : bool
            Put open questions to ``ask``. Without that function nobody is asked.
        output_path : path, optional
            Folder to write ``<model_id>.json`` to.
        fields : mapping of str to value, optional
            Further parts by dotted path, such as ``{"selection.license": "MIT"}``.
        ask : callable, optional
            Called with each open question, returns the answer, empty for none.

        Returns
        -------
        dict
            The record under its id.

        Raises
        ------
        InvalidRecordError, ContractError
            As `add_metadata_from_file`.
        """
        from medmint.home import write_json
        from medmint.model_contributor import Given

        contributor = self.add_model_contributor(model_id)
        given = Given(
            model_weights_name=model_weights_name,
            model_weights_extension=model_weights_extension,
            generate_method_name=generate_method_name,
            dependencies=dependencies,
            fields=fields or {},
        )
        contributor.build_metadata(given)
        if fill_more_fields_interactively and ask is not None:
            contributor.ask(ask)
        metadata = {model_id: contributor.metadata}
        if output_path is not None:
            folder = user_path("output_path", output_path, "a folder")
            write_json(folder / f"{model_id}.json", metadata)
        return metadata

    def test_model(
        self,
        model_id: int | str,
        is_local_model: bool = True,
        overwrite_existing_metadata: bool = False,
        store_new_config: bool = True,
        num_samples: int = 3,
        install_dependencies: bool = False,
    ) -> ModelReport:
        """Generate in all ways that have to work, and compare with what the record promises.

        Samples on the CPU and, where there is one, on a GPU; the same seed twice; batches of 1 and
        5; and, for a model that is being contributed, in an environment with nothing but its stated
        requirements.

        Parameters
        ----------
        model_id : int or str
            A model that is being contributed, or one of the catalogue.
        is_local_model : bool
            False takes the model of the catalogue, whatever is being contributed.
        overwrite_existing_metadata, store_new_config : bool
            How the contributed model comes into the catalogue, see :meth:`add_model_to_config`.
        num_samples : int
        install_dependencies : bool
            Build a private environment where the model needs packages that are not here.

        Returns
        -------
        ModelReport
            The samples, and each check in words.

        Raises
        ------
        ContractError, GenerationError, DependencyError
            If the model does not do what its record says.
        """
        from medmint.model_contributor import ModelTest

        contributor = self.get_model_contributor_by_id(str(model_id)) if is_local_model else None
        if contributor is None:
            record = self.config_manager.record(model_id)
            test = ModelTest(record, self._executor_of, num_samples=num_samples)
            return test.run(install_dependencies=install_dependencies)
        contributor.add_to_catalogue(overwrite=overwrite_existing_metadata, store=store_new_config)
        return contributor.test(num_samples=num_samples, install_dependencies=install_dependencies)

    def check_record(
        self, path: PathLike, *, num_samples: int = 3, install_dependencies: bool = False
    ) -> RecordCheck:
        """Validate a contributed record or issue, download its package, verify and test it.

        Parameters
        ----------
        path : path
            A JSON file with one record under its id, or the text of an issue that holds it.
        num_samples : int
            How many samples each check generates.
        install_dependencies : bool
            Build a private environment where the model needs packages that are not here.

        Returns
        -------
        RecordCheck
            What is right, what has to be mended, what someone should look at.

        Raises
        ------
        ArgumentError
            If the file cannot be read.
        """
        from medmint.model_contributor import check_record

        return check_record(
            user_path("path", path, "a record or an issue"),
            executor_of=self._executor_of,
            num_samples=num_samples,
            install_dependencies=install_dependencies,
        )
