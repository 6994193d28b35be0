"""The part of the facade that adds models: to the own catalogue, to Zenodo, to everybody's."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medmint.errors import ArgumentError
from medmint.generators.foundation import Foundation

if TYPE_CHECKING:
    from medmint.model_contributor import (
        Contribution,
        ModelContributor,
        ModelReport,
        Question,
        RecordCheck,
    )
    from medmint.publishing import Creator, Token

PathLike = str | os.PathLike[str]
#: What medigan calls makers who are not named.
UNKNOWN_NAME, UNKNOWN_AFFILIATION = "unknown name", "unknown affiliation"


class Sharing(Foundation):
    """Add models, test them, contribute them; ModelContributor and ContributionFlow say more."""

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

        given = Given(metadata_file_path=Path(metadata_file_path).expanduser())
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
            write_json(Path(output_path).expanduser() / f"{model_id}.json", metadata)
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
            Path(path).expanduser(),
            executor_of=self._executor_of,
            num_samples=num_samples,
            install_dependencies=install_dependencies,
        )

    def push_to_zenodo(
        self,
        model_id: str,
        zenodo_access_token: str | Token | None = None,
        creator_name: str = UNKNOWN_NAME,
        creator_affiliation: str = UNKNOWN_AFFILIATION,
        model_description: str = "",
        *,
        publish: bool = False,
        creators: Sequence[Creator | Mapping[str, str] | str] = (),
        sandbox: bool = False,
    ) -> str:
        """Bring a contributed model to Zenodo; return the address of the draft or record.

        Parameters
        ----------
        model_id : str
        zenodo_access_token : str, optional
            Default: ``ZENODO_ACCESS_TOKEN``.
        creator_name, creator_affiliation : str
            Who made the model, as ``Family, Given``.
        model_description : str
            Text for the page, default: the record's comment.
        publish : bool
            Publish, which cannot be undone; else a draft is left.
        creators : sequence, optional
            Further makers; mappings with name, affiliation and orcid.
        sandbox : bool
            Use sandbox.zenodo.org.

        Raises
        ------
        ArgumentError
            If there is no token.
        PublishError
            If Zenodo does not do as it is asked; the same call goes on there.
        """
        from medmint.model_contributor import ContributionFlow, Terms, read_creators
        from medmint.publishing import zenodo_token

        token = zenodo_token(zenodo_access_token, sandbox=sandbox)
        del zenodo_access_token  # tracebacks can show arguments
        if token is None:
            raise ArgumentError("zenodo_access_token", None, "a token of your Zenodo account")
        terms = Terms(
            zenodo_token=token,
            creators=read_creators(creators, creator_name, creator_affiliation),
            text=model_description,
            publish=publish,
            sandbox=sandbox,
        )
        contributor = self.add_model_contributor(model_id)
        flow = ContributionFlow(contributor, terms, settings=self.settings)
        return flow.run().page

    def push_to_github(
        self,
        model_id: str,
        github_access_token: str | Token | None = None,
        package_link: str | None = None,
        creator_name: str = "",
        creator_affiliation: str = "",
        model_description: str = "",
        *,
        assignees: Sequence[str] = (),
        sandbox: bool = False,
    ) -> str | None:
        """Open the issue that offers a published model; return its address.

        Parameters
        ----------
        model_id : str
        github_access_token : str, optional
            Default: ``GITHUB_TOKEN``.
        package_link : str, optional
            Direct link of the archive, default: on Zenodo, where `push_to_zenodo` published it.
        creator_name, creator_affiliation, model_description : str
            Kept from medigan: the issue shows the record, which says all that.
        assignees : sequence of str
            Logins of those who take models in.
        sandbox : bool
            The package is on sandbox.zenodo.org.

        Returns
        -------
        str or None
            None where ``MEDMINT_GITHUB_REPOSITORY`` names no repository.

        Raises
        ------
        ArgumentError
            If there is no token, or the package is not published.
        PublishError
            If GitHub does not do as it is asked; the same call goes on there.
        """
        del creator_name, creator_affiliation, model_description
        from medmint.model_contributor import ContributionFlow, Terms
        from medmint.publishing import github_token

        token = github_token(github_access_token)
        del github_access_token  # tracebacks can show arguments
        terms = Terms(github_token=token, assignees=tuple(assignees), sandbox=sandbox)
        contributor = self.add_model_contributor(model_id)
        flow = ContributionFlow(contributor, terms, settings=self.settings)
        issue = flow.announce_published(package_link)
        return None if issue is None else issue.url

    def contribute(
        self,
        model_id: str | None,
        init_py_path: PathLike,
        github_access_token: str | Token | None = None,
        zenodo_access_token: str | Token | None = None,
        metadata_file_path: PathLike | None = None,
        model_weights_name: str | None = None,
        model_weights_extension: str | None = None,
        generate_method_name: str | None = None,
        dependencies: Sequence[str] | None = None,
        fill_more_fields_interactively: bool = True,
        overwrite_existing_metadata: bool = False,
        output_path: PathLike | None = None,
        creator_name: str = UNKNOWN_NAME,
        creator_affiliation: str = UNKNOWN_AFFILIATION,
        model_description: str = "",
        install_dependencies: bool = False,
        *,
        publish: bool = False,
        dry_run: bool = False,
        sandbox: bool = False,
        creators: Sequence[Creator | Mapping[str, str] | str] = (),
        fields: Mapping[str, Any] | None = None,
        allow: Collection[str] = (),
        assignees: Sequence[str] = (),
        new_version_of: int | None = None,
        num_samples: int = 3,
        ask: Callable[[Question], str] | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> Contribution:
        """Check, test, pack and publish a model, and offer it to a catalogue.

        The same call again goes on where an earlier one ended: nothing is uploaded, published or
        announced twice. Without a token for Zenodo it ends with the files and with instructions
        for the web forms.

        Parameters
        ----------
        model_id : str or None
            A new id: five digits and a name. None takes that of the package's ``metadata.json``.
        init_py_path : path
            The package's ``__init__.py``, or its folder.
        github_access_token, zenodo_access_token : str, optional
            Default: ``GITHUB_TOKEN`` and ``ZENODO_ACCESS_TOKEN``.
        metadata_file_path : path, optional
            A record to use instead of the package's ``metadata.json``.
        model_weights_name, model_weights_extension, generate_method_name, dependencies
            As for :meth:`add_metadata_from_input`.
        fill_more_fields_interactively : bool
            Put open questions to ``ask``. Without that function nobody is asked.
        overwrite_existing_metadata : bool
            The catalogue may have this id: the package is a newer version of that model.
        output_path : path, optional
            Folder for archive, record and texts; default: beside the package.
        creator_name, creator_affiliation, model_description
            As for :meth:`push_to_zenodo`.
        install_dependencies : bool
            Build a private environment where the model needs packages that are not here.
        publish : bool
            Publish on Zenodo, which cannot be undone, and open the issue. Else a draft is left.
        dry_run : bool
            Do all that needs no network and no new environment.
        sandbox : bool
            Use sandbox.zenodo.org, which has tokens of its own.
        creators : sequence, optional
            Further makers; mappings with name, affiliation and orcid.
        fields : mapping of str to value, optional
            Further parts of the record by dotted path.
        allow : collection of str
            Files of the package that are published whatever they look like.
        assignees : sequence of str
            GitHub logins of those who take models in.
        new_version_of : int, optional
            Number of the Zenodo record that this is a newer version of.
        num_samples : int
            How many samples each check generates.
        ask, tell : callable, optional
            Called with open questions, and with the name of each step before it begins. Answers
            are kept in the package's ``metadata.json``.

        Returns
        -------
        Contribution
            Archive, record, checks, DOI, address of the issue, and what is left to be done.

        Raises
        ------
        ArgumentError, InvalidRecordError, ContractError
            If id, record, code or files are not as they have to be.
        GenerationError, DependencyError
            If the model cannot be run.
        PublishError
            If Zenodo or GitHub does not do as it is asked; the same call goes on there.
        """
        from medmint.model_contributor import ContributionFlow, Given, Terms, read_creators
        from medmint.publishing import github_token, zenodo_token

        is_known = overwrite_existing_metadata or new_version_of is not None
        terms = Terms(
            output=None if output_path is None else Path(output_path).expanduser(),
            publish=publish,
            dry_run=dry_run,
            sandbox=sandbox,
            creators=read_creators(creators, creator_name, creator_affiliation),
            text=model_description,
            allow=tuple(allow),
            assignees=tuple(assignees),
            new_version_of=new_version_of,
            num_samples=num_samples,
            install_dependencies=install_dependencies,
            overwrite=is_known,
            zenodo_token=zenodo_token(zenodo_access_token, sandbox=sandbox),
            github_token=github_token(github_access_token),
        )
        # Tracebacks can show arguments: from here on the tokens are in the terms alone.
        del zenodo_access_token, github_access_token
        given = Given(
            metadata_file_path=None
            if metadata_file_path is None
            else Path(metadata_file_path).expanduser(),
            model_weights_name=model_weights_name,
            model_weights_extension=model_weights_extension,
            generate_method_name=generate_method_name,
            dependencies=dependencies,
            fields=fields or {},
        )
        contributor = self.add_model_contributor(model_id, init_py_path, is_known=is_known)
        flow = ContributionFlow(contributor, terms, settings=self.settings, tell=tell)
        return flow.run(given, ask=ask if fill_more_fields_interactively else None)
