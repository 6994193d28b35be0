"""The part of the facade that publishes models: to Zenodo, and to everybody's catalogue."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medmint.errors import ArgumentError
from medmint.generators.adding import Adding, PathLike
from medmint.home import user_path

if TYPE_CHECKING:
    from medmint.model_contributor import Contribution, Question
    from medmint.publishing import Creator, Token

#: What medigan calls makers who are not named.
UNKNOWN_NAME, UNKNOWN_AFFILIATION = "unknown name", "unknown affiliation"


class Sharing(Adding):
    """Contribute models; ContributionFlow says more."""

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
        from medmint.model_contributor import ContributionFlow, Terms, texts
        from medmint.publishing import github_token

        token = github_token(github_access_token)
        del github_access_token  # tracebacks can show arguments
        logins = texts("assignees", assignees)
        terms = Terms(github_token=token, assignees=logins, sandbox=sandbox)
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
        from medmint.model_contributor import ContributionFlow, Given, Terms, read_creators, texts
        from medmint.publishing import github_token, zenodo_token

        is_known = overwrite_existing_metadata or new_version_of is not None
        terms = Terms(
            output=_path_or_none("output_path", output_path, "a folder"),
            publish=publish,
            dry_run=dry_run,
            sandbox=sandbox,
            creators=read_creators(creators, creator_name, creator_affiliation),
            text=model_description,
            allow=texts("allow", allow),
            assignees=texts("assignees", assignees),
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
            metadata_file_path=_path_or_none("metadata_file_path", metadata_file_path, "a record"),
            model_weights_name=model_weights_name,
            model_weights_extension=model_weights_extension,
            generate_method_name=generate_method_name,
            dependencies=dependencies,
            fields=fields or {},
        )
        contributor = self.add_model_contributor(model_id, init_py_path, is_known=is_known)
        flow = ContributionFlow(contributor, terms, settings=self.settings, tell=tell)
        return flow.run(given, ask=ask if fill_more_fields_interactively else None)


def _path_or_none(argument: str, given: PathLike | None, what: str) -> Path | None:
    return None if given is None else user_path(argument, given, what)
