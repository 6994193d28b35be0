"""The commands that begin, contribute and check packages."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medmint import Generators
from medmint.cli.flags import read_value
from medmint.errors import ArgumentError, InvalidRecordError
from medmint.home import user_path
from medmint.tables import format_facts

if TYPE_CHECKING:
    from medmint.model_contributor import Contribution, Question
    from medmint.publishing import Token


def run_template(generators: Generators, options: argparse.Namespace) -> None:
    """Copy a reference package into a new folder, renamed and ready to train."""
    from medmint.model_contributor import copy_template

    folder = user_path("DIR", options.folder, "a folder")
    taken = generators.list_models()
    model_id = copy_template(options.name, folder, taken=taken, model_id=options.id)
    print(f"{model_id} in {folder}. Replace its weights, metadata.json and MODEL_CARD.md, then:")
    if (folder / "train.py").is_file():
        print(f"  python {folder / 'train.py'} --data FOLDER --out RUN")
    print(f"  medmint generate --package {folder}")
    print(f"  medmint contribute {folder} --dry-run")


def run_contribute(generators: Generators, options: argparse.Namespace) -> None:
    """Check, test, pack and publish a package; the same command again goes on where it ended."""
    folder = user_path("DIR", options.folder, "a folder")
    if options.status:
        _print_status(folder, options)
    elif options.abandon:
        _abandon(generators, folder, options)
    else:
        zenodo, github = _tokens(options)
        contribution = generators.contribute(
            options.id,
            folder,
            github,
            zenodo,
            options.metadata,
            overwrite_existing_metadata=options.overwrite,
            output_path=options.output,
            model_description=options.description,
            install_dependencies=options.install_dependencies,
            publish=options.yes,
            dry_run=options.dry_run,
            sandbox=options.sandbox,
            creators=[_creator(text) for text in options.creator],
            fields=dict(_field(text) for text in options.field),
            allow=options.allow,
            assignees=options.assignee,
            new_version_of=options.new_version_of,
            num_samples=options.num_samples,
            ask=_ask if options.interactive else None,
            tell=_tell,
        )
        _print_contribution(contribution, options)


def run_check_record(generators: Generators, options: argparse.Namespace) -> None:
    """Validate a contributed record or issue, download its package, verify and test it.

    The result is printed as Markdown, for a comment; exit code 2 says that something is to be
    mended.
    """
    checked = generators.check_record(
        options.file,
        num_samples=options.num_samples,
        install_dependencies=options.install_dependencies,
    )
    if options.json:
        facts = {
            "model_id": checked.model_id,
            "passed": checked.is_passed,
            "checks": list(checked.checks),
            "faults": list(checked.faults),
            "remarks": list(checked.remarks),
        }
        print(format_facts(facts, as_json=True))
    else:
        print(checked.to_markdown(), end="")
    if not checked.is_passed:
        raise InvalidRecordError(options.file, checked.faults)


def add_template_arguments(command: argparse.ArgumentParser) -> None:
    """Describe the arguments of ``medmint template``."""
    command.add_argument("name", metavar="NAME", help="reference package, such as fastgan_polyp")
    command.add_argument("folder", metavar="DIR", help="new folder")
    command.add_argument("--id", metavar="ID", help="id of the new model (a free one)")


def add_check_record_arguments(command: argparse.ArgumentParser) -> None:
    """Describe the arguments of ``medmint check-record``."""
    command.add_argument("file", metavar="FILE", help="record as JSON, or the text of its issue")
    _add_test_arguments(command)


def add_contribute_arguments(command: argparse.ArgumentParser) -> None:
    """Describe the arguments of ``medmint contribute``."""
    add = command.add_argument
    add("folder", metavar="DIR", help="the package")
    add("--id", metavar="ID", help="id of the model (that of metadata.json)")
    instead = command.add_mutually_exclusive_group().add_argument
    instead("--dry-run", action="store_true", help="do all that needs no network")
    instead("--status", action="store_true", help="say what is done")
    instead("--abandon", action="store_true", help="delete the draft on Zenodo, begin anew")
    add("--output", metavar="OUT", help="folder for archive and texts (beside the package)")
    add("--sandbox", action="store_true", help="use sandbox.zenodo.org")
    add("--yes", action="store_true", help="publish, which cannot be undone; else leave a draft")
    add("--interactive", action="store_true", help="ask for what the record leaves open")
    add("--metadata", metavar="FILE", help="record to use instead of metadata.json")
    add("--description", default="", metavar="TEXT", help="text for the page on Zenodo")
    add("--overwrite", action="store_true", help="the catalogue may have this id already")
    add("--new-version-of", type=int, metavar="N", help="Zenodo record that this replaces")
    add(
        "--token-stdin",
        action="store_true",
        help="read the Zenodo token and, in a second line, the GitHub token from standard input",
    )
    _add_repeated(command)
    _add_test_arguments(command)


def _add_repeated(command: argparse.ArgumentParser) -> None:
    repeated = {
        "--creator": ("NAME", "'Family, Given; affiliation; ORCID', one for each maker"),
        "--field": ("PATH=VALUE", "a part of the record, such as selection.license=MIT"),
        "--allow": ("FILE", "publish this file whatever it looks like"),
        "--assignee": ("LOGIN", "GitHub login for the issue"),
    }
    for name, (metavar, text) in repeated.items():
        command.add_argument(name, action="append", default=[], metavar=metavar, help=text)


def _add_test_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("--num-samples", type=int, default=3, metavar="N", help="samples (3)")
    command.add_argument(
        "--install-dependencies", action="store_true", help="build a private environment if needed"
    )


def _tokens(options: argparse.Namespace) -> tuple[Token | None, Token | None]:
    """Return the tokens for Zenodo and GitHub; never from the command line, which others see."""
    if not options.token_stdin:
        return None, None
    if options.interactive:
        raise ArgumentError("--token-stdin", "with --interactive", "one of them: both read input")
    from medmint.publishing import Token

    zenodo, github = (sys.stdin.readline().strip() for _ in range(2))
    if not zenodo and not github:
        raise ArgumentError("--token-stdin", "nothing", "a token on standard input")
    return (Token(zenodo) if zenodo else None), (Token(github) if github else None)


def _creator(text: str) -> dict[str, str]:
    parts = [part.strip() for part in text.split(";")]
    if len(parts) > 3 or not parts[0]:
        raise ArgumentError("--creator", text, "'Family, Given; affiliation; ORCID'")
    return dict(zip(("name", "affiliation", "orcid"), parts, strict=False))


def _field(text: str) -> tuple[str, Any]:
    path, equals, value = text.partition("=")
    if not equals or "." not in path:
        raise ArgumentError("--field", text, "PATH=VALUE, such as selection.license=MIT")
    return path, read_value(value)


def _ask(question: Question) -> str:
    form = {"text": "", "list": " (separated by commas)", "number": " (a number)"}[question.kind]
    print(f"{question.text}{form} ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline()


def _tell(step: str) -> None:
    print(f"{step} ...", file=sys.stderr)


def _print_contribution(contribution: Contribution, options: argparse.Namespace) -> None:
    if options.json:
        print(format_facts(contribution.facts(), as_json=True))
        return
    for check in contribution.checks:
        print(f"ok: {check}")
    if contribution.left_out:
        print(f"left out: {', '.join(contribution.left_out)}")
    for warning in contribution.warnings:
        print(f"note: {warning}")
    print(f"{contribution.archive} ({contribution.size_bytes:,} bytes)")
    print(f"sha256 {contribution.sha256}")
    if contribution.is_published:
        print(f"published: {contribution.page}")
    if contribution.issue_url:
        print(f"announced: {contribution.issue_url}")
    if contribution.advice:
        print(f"\n{contribution.advice}")


def _print_status(folder: Path, options: argparse.Namespace) -> None:
    from medmint.model_contributor import contribution_status

    steps = contribution_status(folder, sandbox=options.sandbox)
    if options.json:
        print(format_facts(steps, as_json=True))
        return
    if not steps:
        print(f"nothing is done yet for {folder}")
    for step, facts in steps.items():
        shown = ", ".join(f"{k} {v}" for k, v in facts.items() if v and "\n" not in str(v))
        print(f"{step}: {shown}")


def _abandon(generators: Generators, folder: Path, options: argparse.Namespace) -> None:
    from medmint.model_contributor import abandon_contribution
    from medmint.publishing import zenodo_token

    token = zenodo_token(_tokens(options)[0], sandbox=options.sandbox)
    number = abandon_contribution(
        folder, settings=generators.settings, token=token, sandbox=options.sandbox
    )
    print("forgotten; there was no draft" if number is None else f"draft {number} is deleted")
