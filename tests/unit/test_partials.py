import hashlib
import os
import shutil
import subprocess
import sys
import threading
from collections import namedtuple
from pathlib import Path

import pytest

from medmint.errors import IntegrityError, WriterError
from medmint.packages.download import partials
from medmint.packages.download.partials import Partial, check_space, leftovers

IDENTITY = "0123456789abcdef"
OTHER = "fedcba9876543210"
OWNED_BY_THE_DEAD = """
import os, signal, sys
from pathlib import Path
from medmint.packages.download.partials import Partial
partial = Partial(Path(sys.argv[1]), sys.argv[2])
partial.write(b"left behind")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def target(tmp_path):
    return tmp_path / "model[1]*.zip"


def leave(target, content, identity=IDENTITY):
    with Partial(target, identity) as partial:
        partial.write(content)


def size_taken_over(target, identity=IDENTITY):
    with Partial(target, identity) as partial:
        return partial.size


def interrupt(target, error):
    with Partial(target, IDENTITY) as partial:
        partial.write(b"some")
        raise error


def test_it_becomes_the_target_at_the_end(target):
    with Partial(target, IDENTITY) as partial:
        partial.write(b"first ")
        partial.write(b"second")
        assert not target.exists()
        partial.publish()
    assert target.read_bytes() == b"first second"
    assert partial.sha256() == hashlib.sha256(b"first second").hexdigest()
    assert partial.md5() == hashlib.md5(b"first second").hexdigest()
    assert list(target.parent.iterdir()) == [target]


def test_what_was_left_is_taken_over_with_its_hashes(target):
    leave(target, b"first ")
    with Partial(target, IDENTITY) as partial:
        assert partial.size == 6
        partial.write(b"second")
        partial.publish()
    assert target.read_bytes() == b"first second"
    assert partial.sha256() == hashlib.sha256(b"first second").hexdigest()


def test_the_largest_one_is_taken_over_and_the_others_go(target):
    running = [Partial(target, IDENTITY) for _ in range(3)]
    for partial, size in zip(running, (5, 50, 20), strict=True):
        with partial:
            partial.write(bytes(size))
    with Partial(target, IDENTITY) as partial:
        assert partial.size == 50
        partial.publish()
    assert list(target.parent.iterdir()) == [target]


def test_versions_and_files_are_kept_apart(target):
    leave(target, b"another version", OTHER)
    leave(target.with_name(f"{target.name}.sig"), b"another file")
    assert size_taken_over(target) == 0


def test_without_identity_nothing_is_kept_or_taken(target):
    leave(target, b"unknown", "")
    assert list(target.parent.iterdir()) == []
    leave(target, b"known")
    assert size_taken_over(target, "") == 0


def test_wrong_bytes_and_a_full_disk_leave_nothing(target):
    for error in (IntegrityError("x", "a", "b"), WriterError(target, "full")):
        with pytest.raises(type(error)):
            interrupt(target, error)
    assert list(target.parent.iterdir()) == []


def test_an_interrupt_leaves_it_for_the_next(target):
    with pytest.raises(KeyboardInterrupt):
        interrupt(target, KeyboardInterrupt())
    assert size_taken_over(target) == 4


def test_one_of_a_living_owner_is_left_alone(target):
    with Partial(target, IDENTITY) as owner:
        owner.write(b"mine")
        with Partial(target, IDENTITY) as second:
            assert second.size == 0
            second.write(b"whole")
            second.publish()
        owner.write(b" and mine")
        owner.publish()
    assert target.read_bytes() == b"mine and mine"


def test_a_killed_process_leaves_its_bytes_to_the_next(target):
    command = [sys.executable, "-c", OWNED_BY_THE_DEAD, str(target), IDENTITY]
    assert subprocess.run(command, check=False, env=environment()).returncode == -9
    assert leftovers(target.parent) == list(target.parent.iterdir())
    with Partial(target, IDENTITY) as partial:
        assert partial.size == len(b"left behind")


def environment():
    source = Path(partials.__file__).parents[2]
    return os.environ | {"PYTHONPATH": str(source)}


def foreign(target):
    leave(target, b"far away")
    free = next(path for path in target.parent.iterdir() if path.suffix == ".part")
    return free.rename(free.with_name(free.name.replace(".part", ".00000000-1.part")))


def test_one_of_another_machine_is_left_alone_while_it_may_live(target):
    owned = foreign(target)
    assert leftovers(target.parent) == []
    with Partial(target, IDENTITY) as partial:
        assert partial.size == 0
        partial.write(b"x")
        partial.publish()
    assert owned.exists()


def test_one_of_another_machine_is_copied_after_an_hour(target):
    owned = foreign(target)
    with owned.open("r+b") as still_open:
        os.utime(owned, (0, 0))
        with Partial(target, IDENTITY) as partial:
            assert partial.size == len(b"far away")
            partial.write(b"!")
            partial.publish()
        # Its owner wakes up: what it writes must not reach the published file.
        still_open.write(b"FAR AWAY")
    assert target.read_bytes() == b"far away!"
    assert list(target.parent.iterdir()) == [target]


def test_exactly_one_of_many_takes_it_over(target):
    leave(target, bytes(1000))
    barrier, sizes, claimed = threading.Barrier(8), [], []

    def claim():
        barrier.wait()
        partial = Partial(target, IDENTITY)
        claimed.append(partial)
        sizes.append(partial.size)

    threads = [threading.Thread(target=claim) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(sizes) == [0] * 7 + [1000]
    for partial in claimed:
        with partial:
            pass


def test_a_file_that_was_deleted_meanwhile_is_noticed(target):
    with Partial(target, IDENTITY) as partial:
        partial.write(b"x")
        shutil.rmtree(target.parent)
        with pytest.raises(WriterError) as caught:
            partial.publish()
        assert isinstance(caught.value.__cause__, FileNotFoundError)
        partial.restart()
        partial.write(b"again")
        partial.publish()
    assert target.read_bytes() == b"again"


def test_restart_forgets_everything(target):
    with Partial(target, IDENTITY) as partial:
        partial.write(b"wrong")
        partial.restart()
        assert (partial.size, partial.sha256()) == (0, hashlib.sha256(b"").hexdigest())


def test_the_beginning_can_be_looked_at(target):
    with Partial(target, IDENTITY) as partial:
        partial.write(b"<html>")
        assert partial.beginning(3) == b"<ht"
        partial.write(b"...")
        partial.publish()
    assert target.read_bytes() == b"<html>..."


def test_a_folder_that_cannot_be_made_is_an_error_with_advice(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(WriterError, match="MEDMINT_HOME"):
        Partial(tmp_path / "file" / "model.zip", IDENTITY)


def test_files_of_others_are_no_leftovers(tmp_path):
    for name in ("model.zip", ".model.zip.part", ".x.zip.zz.0123456789ab.part", ".part"):
        (tmp_path / name).write_bytes(b"")
    assert leftovers(tmp_path) == []


def test_space_is_checked_on_the_disk_of_the_nearest_folder(tmp_path, monkeypatch):
    asked, usage = [], namedtuple("usage", "total used free")

    def disk_usage(folder):
        asked.append(folder)
        return usage(100 << 20, 0, 100 << 20)

    monkeypatch.setattr(partials.shutil, "disk_usage", disk_usage)
    check_space(tmp_path / "a" / "b", 50 << 20)
    with pytest.raises(WriterError, match=r"104\.9 MB are free"):
        check_space(tmp_path / "a" / "b", 100 << 20)
    assert set(asked) == {tmp_path}
