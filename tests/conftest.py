"""Counts the reliability families: ``pytest tests`` ends with a line for each.

A test says its family by ``@pytest.mark.family("R7")`` and counts as one case; one that loops over
many says so by ``record_property("cases", (passed, total))``.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections import Counter

import pytest

SEED = int(os.environ.get("MEDMINT_FUZZ_SEED", "20230612"))


def pytest_configure(config):
    # A shell lets what it starts in the background ignore Ctrl-C, which some tests send themselves.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line(
        "markers", "family(name): a case of this family of the reliability list"
    )


def pytest_collection_modifyitems(items):
    for item in items:
        marker = item.get_closest_marker("family")
        if marker is not None:
            item.user_properties.append(("family", marker.args[0]))


@pytest.fixture
def fuzz_seed(record_property):
    """Return the seed of this run; MEDMINT_FUZZ_SEED sets another."""
    record_property("seed", SEED)
    return SEED


@pytest.fixture
def files_of_at_most():
    """Return a context in which the system makes no file any larger, as on a disk that is full."""
    resource = pytest.importorskip("resource", reason="limits of files are of POSIX")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    @contextlib.contextmanager
    def limit(size):
        # Only for a moment: where the output of the tests goes to a file, that is limited too.
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limit


def pytest_terminal_summary(terminalreporter):
    passed, total, seeds = Counter(), Counter(), {}
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, []):
            # Files that cannot be collected have reports of another kind, without properties.
            facts = dict(getattr(report, "user_properties", ()))
            if "family" not in facts or (outcome == "passed" and report.when != "call"):
                continue
            good, cases = facts.get("cases", (outcome == "passed", 1))
            passed[facts["family"]] += good
            total[facts["family"]] += cases
            if "seed" in facts:
                seeds[facts["family"]] = facts["seed"]
    if total:
        terminalreporter.section("reliability")
    for family in sorted(total, key=lambda name: (int("".join(filter(str.isdigit, name))), name)):
        seed = f"  (seed {seeds[family]})" if family in seeds else ""
        terminalreporter.write_line(f"{family:<10} {passed[family]}/{total[family]}{seed}")
