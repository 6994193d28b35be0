"""Run a command and turn errors into one line."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Callable, Sequence

from medmint import Generators
from medmint.cli.flags import as_flags
from medmint.cli.parser import USER_ERROR, build_parser
from medmint.errors import MedmintError

INTERRUPTED = 130
OUTPUT_ERROR = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 0, or 2 where the user can mend what is wrong."""
    _open_standard_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that lacks a letter shows a question mark instead of a traceback.
            stream.reconfigure(errors="replace")
    options = build_parser().parse_args(arguments)
    try:
        with Generators(catalogue=options.catalogue) as generators:
            run: Callable[[Generators, argparse.Namespace], None] = options.run
            run(generators, options)
            sys.stdout.flush()
    except MedmintError as error:
        text = as_flags(str(error))
        print(f"medmint: {text if options.verbose else _one_line(text)}", file=sys.stderr)
        return USER_ERROR
    except BrokenPipeError:
        # The reader of our output has gone, as in "medmint list | head": nothing is wrong.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        with contextlib.suppress(OSError):
            print(f"medmint: {_place(error)} ({error.strerror})", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OUTPUT_ERROR
    except KeyboardInterrupt:
        print("medmint: interrupted; what was written so far is kept.", file=sys.stderr)
        return INTERRUPTED
    return 0


def _open_standard_streams() -> None:
    """Let streams that were closed lead nowhere; else files that are opened would take their place.

    What is printed is lost then, as whoever closed them has wanted.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(nowhere, mode, encoding="utf-8"))


def _place(error: OSError) -> str:
    """Say where something went wrong that has no error of its own in medmint."""
    if error.filename is not None:
        return f"{error.filename} cannot be used"
    if isinstance(error, FileNotFoundError):
        return "the working directory is gone: change to another one"
    return "the output could not be printed"


def _one_line(text: str) -> str:
    """Return an error's first line, and the first fault where it lists several."""
    first, *more = text.splitlines()
    faults = [line.strip() for line in more if line.startswith("  ") and "|" not in line[:4]]
    return " ".join([first, *faults[:1], *(["(all with --verbose)"] if more else [])])
