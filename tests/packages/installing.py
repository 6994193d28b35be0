"""Processes that install, remove and clean, and that can be killed on the way.

Run as a script with one argument, JSON: home, url, record, actions; ``die_at`` (the number of the
change on disk before which it kills itself), ``die_after`` (bytes of the download), ``no_locks``.
It says ``ready``, waits for a line, and prints a JSON list of results.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from medmint.catalogue.records import ModelRecord
from medmint.errors import MedmintError
from medmint.packages.store import PackageStore
from medmint.settings import Settings

ROOT = Path(__file__).parents[2]
_CHANGES = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.move", "shutil.rmtree"}


def start(store, record, actions, **how):
    """Start a process that waits for its signal to begin."""
    settings = store._settings
    order = {"home": str(settings.home), "url": settings.zenodo_url, "actions": actions, **how}
    order["record"] = [record.model_id, record.to_dict()]
    path = os.pathsep.join([str(Path(sys.modules["medmint"].__file__).parents[1]), str(ROOT)])
    return subprocess.Popen(
        [sys.executable, "-m", "tests.packages.installing", json.dumps(order)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": path},
    )


def run_together(processes):
    """Let processes begin at once; return their results, None for one that was killed."""
    for process in processes:
        assert process.stdout.readline() == "ready\n", process.stderr.read()
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=300) for process in processes]
    for process, (_, errors) in zip(processes, answers, strict=True):
        assert process.returncode in {0, -signal.SIGKILL}, errors
    return [json.loads(out) if out else None for out, _ in answers]


class Dying:
    """Counts changes on disk below a folder, and kills this process before one of them."""

    def __init__(self, folder, die_at):
        self.count = 0
        self._folder, self._die_at = folder, die_at

    def __call__(self, event, arguments):
        writes = event == "open" and bool(arguments[2] & (os.O_WRONLY | os.O_RDWR))
        if (writes or event in _CHANGES) and str(arguments[0]).startswith(self._folder):
            self.count += 1
            if self.count == self._die_at:
                os.kill(os.getpid(), signal.SIGKILL)


def _carry_out(store, record, action):
    try:
        if action == "install":
            return store.install(record).sha256
        if action == "verify":
            return store.verify(record)
        if action == "remove":
            return store.remove(record)
        return store.clean()
    except MedmintError as error:
        return f"{type(error).__name__}: {error}"


def main():
    order = json.loads(sys.argv[1])
    if order.get("no_locks"):
        import filelock

        def refuse(self, *_, **__):
            raise NotImplementedError("no locks here")

        filelock.FileLock.acquire = refuse

    def progress(done, _total, _label):
        if done >= order.get("die_after", 1 << 60):
            os.kill(os.getpid(), signal.SIGKILL)

    settings = Settings(home=Path(order["home"]), zenodo_url=order["url"])
    store, record = PackageStore(settings, progress), ModelRecord.from_dict(*order["record"])
    # What is imported on the way is no change on disk.
    import medmint.packages.archive.unpacking
    import medmint.packages.download.transfer  # noqa: F401

    dying = Dying(order["home"], order.get("die_at", 0))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    sys.addaudithook(dying)
    results = [_carry_out(store, record, action) for action in order["actions"]]
    sys.stdout.write(json.dumps([*results, dying.count]))


if __name__ == "__main__":
    main()
