"""The commands and their arguments."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from medmint import __version__
from medmint.cli import commands, evaluate_commands, look_commands, share_commands

USER_ERROR = 2


class Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line; sub-commands inherit it."""

    def error(self, message: str) -> NoReturn:
        """End with exit code 2."""
        self.exit(USER_ERROR, f"medmint: {message} (see {self.prog} --help)\n")


def build_parser() -> Parser:
    """Describe all commands."""
    parser = Parser(
        prog="medmint", description="Pretrained generative models for medical image synthesis."
    )
    parser.add_argument("--version", action="version", version=f"medmint {__version__}")
    common = Parser(add_help=False)
    common.add_argument(
        "--catalogue", metavar="FILE", help="use this catalogue instead of the shipped one"
    )
    common.add_argument(
        "--verbose", action="store_true", help="say all there is to say about an error"
    )
    listing = Parser(add_help=False)
    listing.add_argument("--json", action="store_true", help="print JSON for other programs")
    sub = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(run: Any, help_text: str, *parents: Parser) -> Parser:
        name = run.__name__.removeprefix("run_").replace("_", "-")
        command = sub.add_parser(
            name, help=help_text, description=run.__doc__, parents=[common, *parents]
        )
        command.set_defaults(run=run)
        return command

    add(commands.run_list, "list all models", listing)
    _add_search(add(commands.run_search, "find models by words and fields", listing))
    rank = add(commands.run_rank, "put models in order of a metric", listing)
    rank.add_argument("metric", nargs="?", default="FID", help="metric (FID)")
    rank.add_argument("--order", choices=("asc", "desc"), help="default: best first")
    _add_model(add(commands.run_info, "what to know about a model", listing))
    _add_model(add(commands.run_cite, "BibTeX entry and licence of a model"))
    _add_generate(add(commands.run_generate, "generate samples into a folder", listing))
    install = add(commands.run_install, "bring packages here for use offline")
    install.add_argument("models", nargs="+", metavar="MODEL", help="number or id")
    install.add_argument(
        "--install-dependencies", action="store_true", help="build private environments if needed"
    )
    _add_remove(add(commands.run_remove, "remove an installed package"))
    _add_model(add(commands.run_verify, "check every file of an installed package"))
    copy = add(commands.run_copy, "copy a package into a folder for editing")
    _add_model(copy)
    copy.add_argument("folder", metavar="DIR", help="new folder")
    catalogue = add(commands.run_catalogue, "fetch a newer catalogue")
    catalogue.add_argument("action", choices=("update",), help="what to do")
    _add_cache(add(commands.run_cache, "what medmint keeps on this machine", listing))
    preview = add(look_commands.run_preview, "save a picture of samples")
    _add_model(preview)
    look_commands.add_preview_arguments(preview)
    visualize = add(look_commands.run_visualize, "sliders over the latent space in a window")
    _add_model(visualize)
    look_commands.add_visualize_arguments(visualize)
    evaluate = add(evaluate_commands.run_evaluate, "judge models beside real images", listing)
    evaluate_commands.add_evaluate_arguments(evaluate)
    suitability = add(
        evaluate_commands.run_suitability, "does a model's output fit your images", listing
    )
    evaluate_commands.add_suitability_arguments(suitability)
    add(commands.run_demo, "generate 16 polyp images with masks, offline", listing)
    share = share_commands
    share.add_template_arguments(add(share.run_template, "begin a package from a reference one"))
    share.add_contribute_arguments(
        add(share.run_contribute, "check, pack and publish a package", listing)
    )
    share.add_check_record_arguments(
        add(share.run_check_record, "check a contributed record", listing)
    )
    doctor = add(commands.run_doctor, "what is installed, and what a model would need", listing)
    doctor.add_argument("model", nargs="?", metavar="MODEL", help="number or id")
    return parser


def _add_model(command: argparse.ArgumentParser) -> None:
    command.add_argument("model", metavar="MODEL", help="number or id, such as 10002")


def _add_remove(command: argparse.ArgumentParser) -> None:
    _add_model(command)
    command.add_argument(
        "--record", action="store_true", help="remove what the catalogue says of your own model"
    )


def _add_search(command: argparse.ArgumentParser) -> None:
    command.add_argument("values", nargs="*", metavar="VALUE", help="words to look for")
    command.add_argument("--operator", default="AND", help="AND, OR or XOR")
    command.add_argument("--rank", metavar="METRIC", help="order by this metric, best first")
    command.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="a condition, such as modality=MRI, height=128 or fid__lt=100",
    )


def _add_cache(command: argparse.ArgumentParser) -> None:
    command.add_argument("action", choices=("list", "clean", "path"), help="what to do")
    command.add_argument(
        "--environments", action="store_true", help="with clean: private environments as well"
    )


def _add_generate(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("model", nargs="?", metavar="MODEL", help="number or id (left out with --package)")
    add("--num-samples", type=int, default=30, metavar="N", help="how many samples (30)")
    add("--output", metavar="DIR", help="folder; the same command again goes on there")
    add("--seed", type=int, help="fixes the samples")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:0, mps")
    add("--batch-size", type=int, metavar="N", help="samples per forward pass (32)")
    formats = "png, npy, npz, tiff, dicom or nifti (png, for volumes npy)"
    add("--format", metavar="NAME", help=formats)
    add("--condition", help="wanted class, by name or number")
    add("--latents", metavar="FILE", help="JSON or NPY file of latent vectors")
    add("--weights", metavar="FILE", help="weights to use instead of the package's own")
    add("--package", metavar="DIR", help="run this package folder")
    add("--isolation", default="worker", help="worker or none")
    add("--install-dependencies", action="store_true", help="build a private environment if needed")
    add("--allow-pickle", action="store_true", help="let weights run code")
    add("--overwrite", action="store_true", help="replace another run in the folder")
    add(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option of the model; VALUE as JSON, else as text",
    )
