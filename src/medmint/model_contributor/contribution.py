"""All steps of a contribution, one after another; a second call goes on where the first ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from medmint.errors import ArgumentError
from medmint.home import make_folder, write_file, write_json
from medmint.model_contributor.announcement import (
    NUMBER,
    announcement,
    deposit_metadata,
    draft_advice,
    issue_advice,
    public_record,
    upload_advice,
)
from medmint.model_contributor.contributor import ModelContributor
from medmint.model_contributor.licences import licence_doubt
from medmint.model_contributor.metadata import Given
from medmint.model_contributor.packing import Selection
from medmint.model_contributor.questions import Question
from medmint.model_contributor.template_copies import borrowed_words
from medmint.model_contributor.terms import (
    UNKNOWN_AFFILIATION,
    UNKNOWN_NAME,
    Contribution,
    Terms,
)
from medmint.packages.package import hash_file
from medmint.progress import progress_bar
from medmint.publishing import (
    Announcement,
    Creator,
    Deposited,
    DepositMetadata,
    Issue,
    Journal,
    Parcel,
    ZenodoDeposits,
    announce,
    check_repository,
    deposit_address,
    file_link,
    issue_form,
    publish_package,
)
from medmint.settings import Settings

Ask = Callable[[Question], str]
Tell = Callable[[str], None]


class ContributionFlow:
    """Carries out the steps of one contribution.

    Parameters
    ----------
    contributor : ModelContributor
    terms : Terms
    settings : Settings
    tell : callable, optional
        Called with the name of each step before it begins.
    """

    def __init__(
        self,
        contributor: ModelContributor,
        terms: Terms,
        *,
        settings: Settings,
        tell: Tell | None = None,
    ) -> None:
        self.contributor = contributor
        self.terms = terms
        self.settings = settings
        self._tell = tell or (lambda _step: None)
        self._warnings: list[str] = []
        self._left_out: tuple[str, ...] = ()
        folder = contributor.folder
        self.output = (terms.output or folder.with_name(f"{folder.name}-contribution")).absolute()
        if self.output.resolve().is_relative_to(folder):
            raise ArgumentError("output_path", str(self.output), f"a folder outside {folder}")
        # Known before anything is published, not after.
        check_repository(settings)
        self.journal = Journal.beside(folder, sandbox=terms.sandbox)

    def run(self, given: Given | None = None, *, ask: Ask | None = None) -> Contribution:
        """Go through all steps that are not done yet.

        Parameters
        ----------
        given : Given, optional
            Default: what the contributor was given before.
        ask : callable, optional
            Called with each open question; the answer goes into the record, an empty one does not.
            The record is then kept in the package, unless this is a dry run.

        Raises
        ------
        MedmintError
            At the first step that fails; the same call again goes on there.
        """
        archive, metadata, checks = self._prepare(given, ask)
        return self._send(archive, metadata, checks)

    def announce_published(self, link: str | None = None) -> Issue | None:
        """Open the issue for a package that is published already.

        Parameters
        ----------
        link : str, optional
            Where the archive is; default: on Zenodo, where this contribution put it.

        Returns
        -------
        Issue or None
            None where the settings name no repository.

        Raises
        ------
        ArgumentError
            If the package is not published yet, or there is no token.
        """
        archive, _, checks = self._prepare(None, None)
        noted = self.journal.facts("publish")
        if link is None and not noted:
            raise ArgumentError("package_link", None, "a link, or a package that is published")
        if self.terms.github_token is None:
            raise ArgumentError("github_access_token", None, "a token, or GITHUB_TOKEN to be set")
        page = "" if link else self._page(noted["deposition_id"])
        link = link or file_link(page, archive.name)
        record = self._public_record(archive, link, doi=str(noted["doi"]) if page else "")
        text = self._issue_text(record, page, checks)
        self._tell("GitHub")
        return announce(self.settings, self.terms.github_token, text, journal=self.journal)

    def _prepare(
        self, given: Given | None, ask: Ask | None
    ) -> tuple[Path, DepositMetadata, tuple[str, ...]]:
        """Carry out all steps that need no network; return archive, description and checks."""
        self._tell("code")
        self.contributor.check_code()
        self._tell("metadata")
        metadata = self._metadata(given, ask)
        self._tell("files")
        selection = self.contributor.check_files(self.terms.allow)
        self._left_out = selection.left_out
        if not self.terms.dry_run:
            self._tell("catalogue")
            self.contributor.add_to_catalogue(overwrite=self.terms.overwrite)
        archive, checks = self._archive(selection)
        return archive, metadata, checks

    @property
    def _zenodo(self) -> str:
        return deposit_address(self.settings, sandbox=self.terms.sandbox)

    def _page(self, number: int | str) -> str:
        return f"{self._zenodo}/records/{number}"

    def _metadata(self, given: Given | None, ask: Ask | None) -> DepositMetadata:
        contributor, terms = self.contributor, self.terms
        contributor.use_running_interpreter(whatever=terms.dry_run)
        contributor.build_metadata(given)
        if ask is not None and contributor.ask(ask) and not terms.dry_run:
            contributor.keep_record()
        record = contributor.packed_metadata()
        metadata = deposit_metadata(contributor.model_id, record, self._creators(), text=terms.text)
        metadata.check()
        doubts = borrowed_words(contributor.model_id, record), licence_doubt(record)
        self._warnings += filter(None, doubts)
        if unmet := contributor.unmet_requirements():
            self._warnings += [f"not met here: {one}" for one in unmet if terms.dry_run]
        return metadata

    def _creators(self) -> Sequence[Creator]:
        """Return who made the model; those whom the record cites may have made its data alone."""
        if self.terms.creators:
            return self.terms.creators
        if self.terms.zenodo_token and not self.terms.dry_run:
            self._warnings.append(f"No creator is named: Zenodo will show {UNKNOWN_NAME!r}.")
        return [Creator(UNKNOWN_NAME, UNKNOWN_AFFILIATION)]

    def _archive(self, selection: Selection) -> tuple[Path, tuple[str, ...]]:
        """Test and pack, unless the very same files were tested and packed before."""
        contributor, terms = self.contributor, self.terms
        archive = self.output / f"{contributor.model_id}.zip"
        inputs = contributor.inputs_digest(selection)
        known = {} if terms.dry_run else self.journal.facts("pack")
        is_packed = known.get("inputs") == inputs and archive.is_file()
        if is_packed and hash_file(archive) == known.get("sha256"):
            return archive, tuple(str(known.get("checks", "")).splitlines())
        self._tell("import")
        contributor.check_import(install_dependencies=terms.install_dependencies)
        self._tell("test")
        report = contributor.test(
            num_samples=terms.num_samples,
            install_dependencies=terms.install_dependencies,
            is_isolated=not terms.dry_run,
        )
        self._tell("package")
        extra = contributor.companions(report)
        sha256 = contributor.pack(selection, archive, extra=extra)
        for name, content in extra.items():
            _write(self.output / name, content)
        if not terms.dry_run:
            checks = "\n".join(report.checks)
            self.journal.record("pack", inputs=inputs, sha256=sha256, checks=checks)
        return archive, report.checks

    def _send(
        self, archive: Path, metadata: DepositMetadata, checks: tuple[str, ...]
    ) -> Contribution:
        deposited = self._deposit(archive, metadata)
        if deposited is None:
            record = self._public_record(archive, file_link(self._page(NUMBER), archive.name))
        else:
            record = self._public_record(archive, deposited.file_url, doi=deposited.doi)
        issue_text = self._issue_text(record, deposited.page if deposited else "", checks)
        write_json(self.output / "record.json", {self.contributor.model_id: record})
        write_json(self.output / "zenodo.json", {"metadata": metadata.to_dict()})
        _write(self.output / "issue.md", issue_text.text.encode())
        issue = self._announce(issue_text, deposited)
        advice = self._advice(archive, metadata, deposited, issue, issue_text)
        _write(self.output / "NEXT_STEPS.txt", f"{advice or 'Everything is done.'}\n".encode())
        return Contribution(
            model_id=self.contributor.model_id,
            folder=self.output,
            archive=archive,
            sha256=record["execution"]["sha256"],
            size_bytes=record["execution"]["size_bytes"],
            record={self.contributor.model_id: record},
            checks=checks,
            left_out=self._left_out,
            warnings=tuple(self._warnings),
            deposited=deposited,
            issue=issue,
            advice=advice,
        )

    def _deposit(self, archive: Path, metadata: DepositMetadata) -> Deposited | None:
        terms = self.terms
        if terms.dry_run or terms.zenodo_token is None:
            return None
        self._tell("Zenodo")
        parcel = Parcel(self.contributor.model_id, archive, metadata, terms.new_version_of)
        with (
            ZenodoDeposits(self.settings, terms.zenodo_token, sandbox=terms.sandbox) as deposits,
            progress_bar("B", scale=True) as progress,
        ):
            return publish_package(
                deposits, parcel, journal=self.journal, publish=terms.publish, progress=progress
            )

    def _announce(self, text: Announcement, deposited: Deposited | None) -> Issue | None:
        """Open the issue, once there is something to announce and someone to tell."""
        token = self.terms.github_token
        if deposited is None or not deposited.is_published or token is None:
            return None
        self._tell("GitHub")
        issue = announce(self.settings, token, text, journal=self.journal)
        if issue is not None and issue.missing:
            left_out = ", ".join(issue.missing)
            self._warnings.append(f"GitHub left out {left_out}: the token may not set them.")
        return issue

    def _public_record(self, archive: Path, link: str, doi: str = "") -> dict[str, Any]:
        return public_record(
            self.contributor.packed_metadata(),
            link=link,
            sha256=hash_file(archive),
            size_bytes=archive.stat().st_size,
            doi=doi,
        )

    def _issue_text(self, record: dict[str, Any], page: str, checks: Sequence[str]) -> Announcement:
        return announcement(
            self.contributor.model_id,
            record,
            page=page,
            checks=checks,
            assignees=self.terms.assignees,
        )

    def _advice(
        self,
        archive: Path,
        metadata: DepositMetadata,
        deposited: Deposited | None,
        issue: Issue | None,
        text: Announcement,
    ) -> str:
        """Say what is left to be done, empty where nothing is."""
        if deposited is not None and not deposited.is_published:
            return draft_advice(deposited)
        if issue is not None:
            return ""
        by_hand = issue_advice(issue_form(self.settings, text))
        if deposited is not None:
            return by_hand
        advice = upload_advice(archive.name, metadata, address=self._zenodo)
        return f"{advice}\n\n{by_hand}"


def _write(path: Path, content: bytes) -> None:
    make_folder(path.parent)
    write_file(path, content)
