"""Folders of one process: unseen, gone at the end."""

import pytest

from medmint.errors import WriterError
from medmint.packages.unfinished import clear_abandoned, unfinished_folder


def test_it_is_gone_at_the_end(tmp_path):
    with unfinished_folder(tmp_path) as folder:
        (folder / "a").mkdir()
        (folder / "a" / "b").touch()
        clear_abandoned(tmp_path)
        assert (folder / "a" / "b").exists()
    assert not folder.exists()
    assert folder.parent.name.startswith(".")


def test_two_at_once_are_two(tmp_path):
    with unfinished_folder(tmp_path) as one, unfinished_folder(tmp_path) as two:
        assert one != two


@pytest.mark.parametrize("fault", [ValueError("x"), KeyboardInterrupt()])
def test_it_is_gone_after_a_fault(tmp_path, fault):
    folders = []

    def work():
        with unfinished_folder(tmp_path) as folder:
            folders.append(folder)
            (folder / "a").touch()
            raise fault

    with pytest.raises(type(fault)):
        work()
    assert not folders[0].exists()


def test_trouble_with_the_disk_is_named(tmp_path):
    with pytest.raises(WriterError, match="Make room"), unfinished_folder(tmp_path):
        raise OSError(28, "No space left on device")
    (tmp_path / "file").touch()
    with pytest.raises(WriterError, match="MEDMINT_HOME"), unfinished_folder(tmp_path / "file"):
        pass


def test_names_of_others_are_let_alone(tmp_path):
    young = tmp_path / ".unfinished" / "another-host-1-abc"
    young.mkdir(parents=True)
    clear_abandoned(tmp_path)
    assert young.exists()
    clear_abandoned(tmp_path / "none")
