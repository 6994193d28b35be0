"""Zip archives built field by field: hostile ones, and harmless ones that look like them.

>>> "symbolic link" in hostile(), "weights named .pth" in harmless()
(True, True)
"""

from __future__ import annotations

import bz2
import io
import lzma
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

STORED, DEFLATED, BZIP2, LZMA = 0, 8, 12, 14
UNIX, DOS = 3, 0
_UTF8 = 0x800


@dataclass(frozen=True)
class Member:
    """One member, with everything that an archive can say about it, true or not."""

    name: str
    data: bytes = b"x = 1\n"
    mode: int = stat.S_IFREG | 0o644
    attributes: int = 0
    method: int = DEFLATED
    flags: int = 0
    system: int = UNIX
    said_size: int | None = None
    said_crc: int | None = None
    said_compressed: int | None = None
    local_name: str | None = None
    local_size: int | None = None
    local_method: int | None = None
    packed: bytes | None = None
    place: int | None = None  # offset in the directory, where it is not the true one


def build(
    members: Sequence[Member], *, count: int | None = None, directory_size: int | None = None
) -> bytes:
    """Write an archive as it is described."""
    body, directory = bytearray(), bytearray()
    for member in members:
        packed = _packed(member) if member.packed is None else member.packed
        size = len(member.data) if member.said_size is None else member.said_size
        crc = zlib.crc32(member.data) if member.said_crc is None else member.said_crc
        n_packed = len(packed) if member.said_compressed is None else member.said_compressed
        name = member.name.encode()
        local = name if member.local_name is None else member.local_name.encode()
        flags = member.flags | (0 if member.name.isascii() else _UTF8)
        place = len(body) if member.place is None else member.place
        local_size = size if member.local_size is None else member.local_size
        local_method = member.method if member.local_method is None else member.local_method
        fields = (20, flags, local_method, 0, 0x21, crc, n_packed, local_size, len(local), 0)
        body += struct.pack("<4s5H3I2H", b"PK\x03\x04", *fields) + local + packed
        external = member.mode << 16 | member.attributes
        fields = (20 | member.system << 8, 20, flags, member.method, 0, 0x21, crc, n_packed, size)
        directory += struct.pack("<4s6H3I", b"PK\x01\x02", *fields)
        directory += struct.pack("<5H2I", len(name), 0, 0, 0, 0, external, place) + name
    number = (len(members) if count is None else count) & 0xFFFF
    length = len(directory) if directory_size is None else directory_size
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, number, number, length, len(body), 0)
    return bytes(body + directory + end)


def _packed(member: Member) -> bytes:
    if member.method == DEFLATED:
        deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        return deflater.compress(member.data) + deflater.flush()
    if member.method == BZIP2:
        return bz2.compress(member.data)
    return lzma.compress(member.data) if member.method == LZMA else member.data


def package(*extra: Member) -> bytes:
    """Return a package with further members."""
    return build([Member("package/__init__.py"), Member("package/weights.pt", bytes(300)), *extra])


def names(*members: str) -> bytes:
    """Return a package with further members of these names."""
    return package(*(Member(name) for name in members))


def hostile() -> dict[str, tuple[bytes, str]]:
    """Return hostile archives by what is wrong, each with words of the rule that it breaks."""
    return _bad_names() | _bad_kinds() | _clashes() | _bad_sizes() | _bad_structure()


def _bad_names() -> dict[str, tuple[bytes, str]]:
    found = {
        "parent folder": ("../evil.py", "'..'"),
        "parent folder inside": ("package/../../evil.py", "'..'"),
        "parent folder at the end": ("package/..", "'..'"),
        "absolute path": ("/etc/evil.py", "absolute"),
        "network path": ("//server/share/evil.py", "absolute"),
        "drive with backslash": ("C:\\evil.py", "backslash"),
        "drive with slash": ("C:/evil.py", "drive letter"),
        "drive without slash": ("C:evil.py", "drive letter"),
        "other stream of a file": ("package/__init__.py:evil", "colon"),
        "parent folder with backslashes": ("..\\..\\evil.py", "backslash"),
        "backslash": ("package\\evil.py", "backslash"),
        "null byte": ("package/evil.py\0.txt", "control character"),
        "line break": ("package/evil\n.py", "control character"),
        "escape": ("package/\x1b[2Jevil.py", "control character"),
        "no name": ("", "no name"),
        "slash alone": ("/", "no name"),
        "empty part": ("package//evil.py", "empty"),
        "dot as a part": ("package/./evil.py", "empty"),
        "device": ("CON", "reserved"),
        "device with suffix": ("package/aux.txt", "reserved"),
        "device as a folder": ("nul/evil.py", "reserved"),
        "numbered device": ("package/Com1.py", "reserved"),
        "device with a raised digit": ("package/lpt¹.py", "reserved"),
        "device with a space": ("package/nul .txt", "reserved"),
        "dot at the end": ("package/evil.py.", "Windows"),
        "space at the end": ("package/evil.py ", "Windows"),
        "space at the end of a folder": ("package /evil.py", "Windows"),
        "wildcard": ("package/evil?.py", "Windows"),
        "long name": (f"package/{'e' * 200}", "characters"),
        "long name in bytes": (f"package/{'模' * 100}", "too long"),
        "deep path": ("e/" * 21 + "evil.py", "deep"),
        "sitecustomize": ("package/sitecustomize.py", "executes"),
        "usercustomize": ("UserCustomize.py", "executes"),
    }
    return {what: (names(name), rule) for what, (name, rule) in found.items()} | {
        "path file": (package(Member("package/evil.pth", b"import os\n")), "path file"),
        "path file without line break": (package(Member("x.PTH", b"import os")), "path file"),
        "path file in stored form": (
            package(Member("x.pth", b"\tmodels\r\n", method=STORED)),
            "path file",
        ),
    }


def _bad_kinds() -> dict[str, tuple[bytes, str]]:
    link = Member("package/data", b"../../..", mode=stat.S_IFLNK | 0o777)
    kinds = {"pipe": stat.S_IFIFO, "socket": stat.S_IFSOCK}
    kinds |= {"character device": stat.S_IFCHR, "block device": stat.S_IFBLK}
    special = {
        what: (package(Member("package/evil", b"", mode=kind | 0o644)), "device, a pipe")
        for what, kind in kinds.items()
    }
    return special | {
        "symbolic link": (package(link), "link"),
        "symbolic link and a file behind it": (package(link, Member("package/data/x.py")), "link"),
        "reparse point": (
            package(Member("package/data", attributes=0x400, mode=0, system=DOS)),
            "link",
        ),
        "folder with content": (package(Member("package/sub/", mode=0)), "has content"),
        "folder by name, file by mode": (package(Member("package/sub/", b"")), "file by its mode"),
        "file by name, folder by mode": (
            package(Member("package/sub", b"", mode=stat.S_IFDIR | 0o755)),
            "folder by its mode",
        ),
        "encrypted": (package(Member("package/x.py", flags=1)), "encrypted"),
        "encrypted strongly": (package(Member("package/x.py", flags=0x41)), "encrypted"),
        "encrypted directory": (package(Member("package/x.py", flags=0x2000)), "encrypted"),
        "bzip2": (package(Member("package/x.py", method=BZIP2)), "method"),
        "lzma": (package(Member("package/x.py", method=LZMA)), "method"),
        "unknown method": (package(Member("package/x.py", method=99)), "method"),
    }


def _clashes() -> dict[str, tuple[bytes, str]]:
    composed = unicodedata.normalize("NFC", "package/müller.py")
    apart = unicodedata.normalize("NFD", composed)
    return {
        "same name twice": (names("package/x.py", "package/x.py"), "twice"),
        "same folder twice": (
            package(*[Member("sub/", b"", mode=stat.S_IFDIR | 0o755)] * 2),
            "twice",
        ),
        "other case": (names("package/A.txt", "package/a.txt"), "case or accents"),
        "other case of a folder": (names("Package/a.txt"), "case or accents"),
        "other form of an accent": (names(composed, apart), "case or accents"),
        "sharp s": (names("package/Straße.py", "package/STRASSE.py"), "case or accents"),
        "file and folder": (names("package/x", "package/x/y.py"), "file and a folder"),
        "folder and file": (names("package/x/y.py", "package/x"), "file and a folder"),
        "file and folder in other case": (names("package/X", "package/x/y"), "file and a folder"),
    }


def _bad_sizes() -> dict[str, tuple[bytes, str]]:
    zeros = bytes(50 << 20)
    bomb = Member("package/zeros.npy", zeros)
    parts = [Member(f"package/{i}.npy", bytes(9 << 20)) for i in range(12)]
    many = [Member(f"package/{i}.py", b"", method=STORED) for i in range(20_001)]
    text = b"print(1)\n" * 50
    return {
        "bomb": (package(bomb), "200 times"),
        "bomb in parts": (package(*parts), "200 times"),
        "too many members": (build(many), "more than 20000 members"),
        "too many members, hidden": (build(many, count=5), "announces 5"),
        "says less than it has": (package(Member("package/x.py", text, said_size=9)), "larger"),
        "says less, with the checksum of that": (
            package(Member("package/x.py", text, said_size=9, said_crc=zlib.crc32(text[:9]))),
            "larger",
        ),
        "says more than it has": (package(Member("package/x.py", text, said_size=999)), "smaller"),
        "bomb that says little": (
            package(Member("package/x.npy", zeros[: 9 << 20], said_size=10)),
            "larger",
        ),
        "larger than one file may be": (
            package(Member("package/x.npy", said_size=0xFFFFFFF0)),
            "200 times",
        ),
        "stored with two sizes": (
            package(Member("package/x.py", text, method=STORED, said_size=9)),
            "two sizes",
        ),
    }


def _bad_structure() -> dict[str, tuple[bytes, str]]:
    text = b"print(1)\n" * 50
    kernel = Member("package/kernel.npy", bytes(5000))
    whole = package(kernel)
    first_header = 30 + len("package/__init__.py")
    wrong_crc = package(Member("package/x.py", text, said_crc=1))
    trailing = _packed(Member("x", text)) + b"more"
    quoted = build(
        [
            Member("a.npy", b"", packed=b"", said_compressed=200, said_size=300),
            Member("b.npy", bytes(300), method=STORED),
        ]
    )
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("package/__init__.py"))
    return {
        "one inside another": (quoted, "overlaps"),
        "two names for the same bytes": (
            package(Member("package/x.py", place=0, local_name="package/x.py")),
            "another name",
        ),
        "same header twice": (
            build([Member("a.py"), Member("b.py"), Member("c.py", place=0)]),
            "another name",
        ),
        "header elsewhere": (package(Member("package/x.py", place=first_header)), "not where"),
        "header behind the end": (package(Member("package/x.py", place=1 << 30)), "not where"),
        "other name in its header": (
            package(Member("package/x.py", local_name="package/y.py")),
            "another name",
        ),
        "other size in its header": (package(Member("package/x.py", local_size=7)), "another size"),
        "other method in its header": (
            package(Member("package/x.py", local_method=STORED)),
            "stored otherwise",
        ),
        "reaches into the directory": (
            package(Member("package/x.py", said_compressed=5000)),
            "reaches beyond",
        ),
        "bytes behind its end": (
            package(Member("package/x.py", text, packed=trailing)),
            "behind its end",
        ),
        "wrong checksum": (wrong_crc, "checksum"),
        "torn stream": (package(Member("package/x.py", text, packed=b"\xff\xff")), "damaged"),
        "truncated": (whole[:-40], "something else"),
        "half of it": (whole[: len(whole) // 2], "something else"),
        "announces more members": (build([Member("a.py")], count=2), "announces 2"),
        "directory larger than the file": (
            build([Member("a.py")], directory_size=0x7FFFFF),
            "a zip archive",
        ),
        "directory larger than memory": (
            build([Member("a.py")], directory_size=0xFFFFFFF0),
            "more than 20000 members",
        ),
        "comment like an end record": (_commented(b"PK\x05\x06"), "something else"),
        "web page": (b"<!DOCTYPE html><html>404</html>", "begins with b'<!DOCTYPE"),
        "nothing": (b"", "something else"),
        "no members": (build([]), "an empty one"),
        "tar": (tar.getvalue(), "something else"),
    }


def harmless() -> dict[str, bytes]:
    """Return archives that look like the hostile ones and break no rule."""
    folder = Member("package/empty/", b"", mode=stat.S_IFDIR | 0o755)
    torch = Member("package/net.pth", package())
    lines = {
        "flat": build([Member("__init__.py"), Member("weights.pt", bytes(99))]),
        "in a folder": package(),
        "in a folder with leading digits and hyphens": names("00008_C-DCGAN_MMG/__init__.py"),
        "two dots in a name": names("package/weights..v2/a..b.py"),
        "dots at the beginning": names("..package/...x", "package/.gitignore"),
        "names that begin like devices": names("package/console.py", "auxiliary.py", "com10.py"),
        "device as a suffix": names("package/x.con", "package/my.aux.py"),
        "space inside of a name": names("my package/a b.py"),
        "other scripts": names("模型/müller.py", "модель/файл.py"),
        "names that differ by an accent": names("package/cafe.py", "package/café.py"),
        "same name in two folders": names("a/models.py", "b/models.py", "a/A/models.py"),
        "name of 199 characters": names(f"package/{'n' * 191}"),
        "20 folders": names("d/" * 20 + "x.py"),
        "folders listed": package(folder, Member("package/empty/x.py")),
        "folder without mode": package(Member("package/empty/", b"", mode=0, system=DOS)),
        "empty file": package(Member("package/py.typed", b"")),
        "weights named .pth": package(torch),
        "old weights named .pth": package(Member("package/net.pth", b"\x80\x02}q\x00.")),
        "weights named .pth.tar": package(Member("package/net.pth.tar", b"\x80\x02}q\x00.")),
        "zip in a zip": package(Member("package/inner.zip", names("../evil.py"))),
        "set-uid and executable": package(Member("package/test.sh", mode=stat.S_IFREG | 0o6755)),
        "mode without a kind": package(Member("package/x.py", mode=0o644)),
        "made under DOS": package(Member("package/x.py", mode=0, attributes=0x20, system=DOS)),
        "stored": package(Member("package/x.py", method=STORED)),
        "many zeros, but not too many": package(Member("package/mask.npy", bytes(9 << 20))),
        "many members": build([Member(f"package/{i}.py", method=STORED) for i in range(300)]),
        "made on macOS": names("__MACOSX/package/._x.py", "package/.DS_Store"),
        "something in front": b"#!/bin/sh\n" + package(),
        "native code": names("package/ext.so", "package/__pycache__/x.cpython-311.pyc"),
    }
    return lines | {
        "streamed": _streamed(),
        "zip64": _zip64(),
        "with a comment": _commented(b"made by hand"),
    }


def _streamed() -> bytes:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: int) -> int:
            raise io.UnsupportedOperation

        def tell(self) -> int:
            raise io.UnsupportedOperation

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("package/__init__.py", "x = 1\n" * 99)
    return pipe.getvalue()


def _zip64() -> bytes:
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("package/__init__.py", "w", force_zip64=True) as member,
    ):
        member.write(b"x = 1\n")
    return buffer.getvalue()


def _commented(comment: bytes) -> bytes:
    buffer = io.BytesIO(package())
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.comment = comment
    return buffer.getvalue()
