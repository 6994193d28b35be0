from pathlib import PurePosixPath, PureWindowsPath

from hypothesis import given
from hypothesis import strategies as st

from medmint.packages.archive.names import Names, name_fault

PARTS = st.sampled_from(["..", ".", "", "a", "C:", "con", "b.py", " ", "x\\y", "é", "\0", "-"])
AWKWARD = st.lists(PARTS, max_size=5).map("/".join)


@given(st.text(max_size=40) | AWKWARD)
def test_an_accepted_name_stays_inside_on_every_system(name):
    if name_fault(name):
        return
    for kind in (PurePosixPath, PureWindowsPath):
        path = kind(name)
        assert not path.is_absolute()
        assert not path.drive
        assert ".." not in path.parts
        assert "/".join(path.parts) == name.removesuffix("/")


@given(st.lists(AWKWARD | st.text(alphabet="aAbBéÉ\u017fs/", min_size=1), max_size=12))
def test_accepted_names_are_different_files_everywhere(names):
    known, accepted = Names(), []
    for name in names:
        if not name_fault(name) and not known.add(name):
            accepted.append(name)
    folded = [name.casefold() for name in accepted if not name.endswith("/")]
    assert len(set(folded)) == len(folded)
    folders = {str(parent) for name in folded for parent in PurePosixPath(name).parents}
    assert not folders & set(folded)


def test_the_order_of_a_folder_and_its_files_does_not_matter():
    for order in (["a/", "a/b.py"], ["a/b.py", "a/"]):
        names = Names()
        assert [names.add(name) for name in order] == ["", ""]
