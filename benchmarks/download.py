"""A verified download over loopback, against curl, sha256sum and md5sum one after the other.

Run from the root of the repository: ``python -m benchmarks.download [--repeats 5]``
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from medmint.packages.download.transfer import fetch
from medmint.settings import Settings
from tests.fakes.zenodo import Zenodo

LIMIT = 1.25


def main() -> None:
    """Print both times of each repeat and the ratio of their medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "source.bin"
        block = os.urandom(1_000_000)
        with source.open("wb") as file:
            for _ in range(options.megabytes):
                file.write(block)
        ours, theirs = [], []
        ours_end, server_end = multiprocessing.Pipe()
        server = multiprocessing.Process(target=serve, args=(source, server_end))
        server.start()
        url, link = ours_end.recv()
        settings = Settings(home=folder, zenodo_url=url)
        for _ in range(options.repeats):
            ours.append(timed(lambda: fetch(link, folder / "ours.bin", settings=settings)))
            theirs.append(timed(lambda: by_command_line(link, folder / "theirs.bin")))
            print(f"medmint {ours[-1]:6.2f} s    curl + sha256sum + md5sum {theirs[-1]:6.2f} s")
        ours_end.send("stop")
        server.join()
    ratio = statistics.median(ours) / statistics.median(theirs)
    print(f"ratio of the medians {ratio:.2f} (limit {LIMIT})")


def serve(source: Path, pipe: Connection) -> None:
    """Serve a file in a process of its own, so that its work is not ours."""
    with Zenodo() as zenodo:
        record = zenodo.add_record({"model.bin": source})
        record.md5("model.bin")
        pipe.send((zenodo.url, f"{zenodo.url}/records/{record.number}/files/model.bin"))
        pipe.recv()


def by_command_line(url: str, target: Path) -> None:
    """Do the same by the tools of the system."""
    subprocess.run(["curl", "-sS", "-o", target, url], check=True)
    for tool in ("sha256sum", "md5sum"):
        subprocess.run([tool, target], check=True, stdout=subprocess.DEVNULL)


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
