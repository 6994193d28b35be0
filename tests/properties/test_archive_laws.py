"""Whatever is in a folder comes out of its zip again; no member lands elsewhere."""

import io
import zipfile

from hypothesis import given, settings
from hypothesis import strategies as st

from medmint.errors import PackageError
from medmint.packages.archive.unpacking import unpack
from tests.fakes.archives import Member, build

PARTS = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=8)
PATHS = st.lists(PARTS, min_size=1, max_size=3).map("/".join)
FILES = st.dictionaries(PATHS, st.binary(max_size=2000), min_size=1, max_size=6)
NAMES = st.lists(st.sampled_from(["..", ".", "a", "b", "", "C:", "\\"]), min_size=1, max_size=4)


def zipped(files, method):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@settings(max_examples=60)
@given(FILES, st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
def test_zip_and_unpack_is_identity_or_a_refusal(tmp_path_factory, files, method):
    folder = tmp_path_factory.mktemp("law")
    archive = folder / "model.zip"
    archive.write_bytes(zipped(files, method))
    try:
        unpack(archive, folder / "files")
    except PackageError:
        # Names that clash on some file system; that those alone are refused is tested by example.
        assert list(folder.iterdir()) == [archive]
        return
    found = {
        path.relative_to(folder / "files").as_posix(): path.read_bytes()
        for path in (folder / "files").rglob("*")
        if path.is_file()
    }
    assert found == files


@settings(max_examples=60)
@given(st.lists(NAMES.map("/".join), min_size=1, max_size=4))
def test_no_member_lands_outside(tmp_path_factory, names):
    folder = tmp_path_factory.mktemp("law")
    archive = folder / "model.zip"
    archive.write_bytes(build([Member(name) for name in names]))
    try:
        unpack(archive, folder / "files")
    except PackageError:
        assert list(folder.iterdir()) == [archive]
    else:
        assert {path.name for path in folder.iterdir()} == {"model.zip", "files"}
