"""A contribution to the stand-ins, in this process or in one that can be killed on the way.

Run as a script it is a nursery: for each line of JSON it forks a child that waits for its signal,
contributes and says how it ended. Forks are cheap, as what they need is imported once.
"""

import json
import logging
import os
import subprocess
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

from medmint.errors import PublishError
from medmint.publishing import (
    Announcement,
    Creator,
    DepositMetadata,
    Journal,
    Parcel,
    Token,
    ZenodoDeposits,
    announce,
    publish_package,
)
from medmint.settings import Settings
from tests.fakes.virtual_time import VirtualTime

ROOT = Path(__file__).parents[2]
MODEL_ID = "90001_TEST_MODEL"
REPOSITORY = "owner/models"
BODY = b"PK\x03\x04" + bytes(range(256)) * 300
DESCRIPTION = DepositMetadata(
    title="A model of tests",
    description="<p>A model.</p>",
    creators=(Creator("Doe, Jane", "A University", "0000-0002-1825-0097"),),
    license="MIT",
    version="1.0.0",
    keywords=("synthetic data",),
)


@dataclass(frozen=True)
class Place:
    """Where a contribution comes from and goes to."""

    folder: str
    zenodo: str
    github: str
    zenodo_token: str
    github_token: str

    @property
    def settings(self):
        return Settings(
            home=Path(self.folder) / "home",
            zenodo_url=self.zenodo,
            zenodo_deposit_url=self.zenodo,
            github_url=self.github,
            github_repository=REPOSITORY,
        )

    @property
    def journal(self):
        return Journal.beside(Path(self.folder) / "package")

    @property
    def archive(self):
        return Path(self.folder) / f"{MODEL_ID}.zip"

    def deposits(self, **limits):
        patience = VirtualTime().patience(**{"read": 0.3, "tries": 3, **limits})
        return ZenodoDeposits(self.settings, Token(self.zenodo_token), patience=patience)


def contribute(place, *, publish=True, new_version_of=None, **limits):
    """Bring the package of a place to Zenodo and GitHub; return both answers."""
    parcel = Parcel(MODEL_ID, place.archive, DESCRIPTION, new_version_of)
    with place.deposits(**limits) as deposits:
        placed = publish_package(deposits, parcel, journal=place.journal, publish=publish)
    if not placed.is_published:
        return placed, None
    text = f"The package is at {placed.file_url}."
    news = Announcement(MODEL_ID, placed.sha256, "New model", text, ("model",), ("maintainer",))
    patience = VirtualTime().patience(**{"read": 0.3, "tries": 3, **limits})
    token = Token(place.github_token)
    return placed, announce(place.settings, token, news, journal=place.journal, patience=patience)


class Nursery:
    """A process that forks contributions; ``pid`` is the one that runs."""

    def __init__(self):
        path = os.pathsep.join([str(Path(sys.modules["medmint"].__file__).parents[1]), str(ROOT)])
        self.pid = None
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.packages.contributing"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": path},
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.communicate(timeout=30)

    def run(self, place):
        """Contribute from a child; return its exit status, negative if it was killed."""
        self._say(vars(place))
        self.pid = int(self._process.stdout.readline())
        self._say("go")
        return int(self._process.stdout.readline())

    def _say(self, words):
        self._process.stdin.write(f"{json.dumps(words)}\n")
        self._process.stdin.flush()


def _child(place, signal):
    os.read(signal, 1)
    log = Path(place.folder) / "log.txt"
    logging.basicConfig(filename=log, level=logging.DEBUG, force=True)
    try:
        contribute(place)
    except PublishError:
        with log.open("a") as file:
            traceback.print_exc(file=file)
        return 1
    return 0


def main():
    # What a contribution needs is imported here, once for all children.
    import filelock  # noqa: F401
    import github  # noqa: F401
    import packaging.licenses  # noqa: F401
    import requests  # noqa: F401

    for line in sys.stdin:
        place = Place(**json.loads(line))
        waiting, releasing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os._exit(_child(place, waiting))
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
        sys.stdin.readline()
        os.write(releasing, b"x")
        _, status = os.waitpid(pid, 0)
        os.close(waiting)
        os.close(releasing)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
