"""Run a command and turn errors into one line."""

from __future__ import annotations

import argparse
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
        # What medmint itself writes has errors of its own: this is the terminal or a pipe.
        print(f"medmint: the output could not be printed ({error.strerror})", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OUTPUT_ERROR
    except KeyboardInterrupt:
        print("medmint: interrupted; what was written so far is kept.", file=sys.stderr)
        return INTERRUPTED
    return 0


def _one_line(text: str) -> str:
    """Return an error's first line, and the first fault where it lists several."""
    first, *more = text.splitlines()
    faults = [line.strip() for line in more if line.startswith("  ") and "|" not in line[:4]]
    return " ".join([first, *faults[:1], *(["(all with --verbose)"] if more else [])])
