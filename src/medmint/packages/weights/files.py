"""Find the pickles in a file of weights, whatever kind of file it is.

The kind is told by the content. A file that two readers could take for different things is refused.
"""

from __future__ import annotations

import ast
import json
import math
import re
import struct
import tarfile
import zipfile
import zlib
from typing import IO, Any, cast

from medmint.packages.weights.pickles import (
    LONGEST_ARGUMENT,
    Findings,
    UnreadableError,
    Window,
    scan_stream,
)

#: Bytes of one element of each kind of PyTorch storage.
STORAGE_SIZES = {"Double": 8, "Float": 4, "Half": 2, "BFloat16": 2, "Long": 8, "Int": 4, "Short": 2}
STORAGE_SIZES |= {"Char": 1, "Byte": 1, "Bool": 1, "ComplexDouble": 16, "ComplexFloat": 8}
STORAGE_SIZES |= {"QUInt8": 1, "QInt8": 1, "QInt32": 4, "QUInt4x2": 1, "QUInt2x4": 1}

_SAFETENSORS_SIZES = {"BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "U16": 2, "I16": 2}
_SAFETENSORS_SIZES |= {
    "F16": 2,
    "BF16": 2,
    "U32": 4,
    "I32": 4,
    "F32": 4,
    "U64": 8,
    "I64": 8,
    "F64": 8,
}

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_STREAMS = 5
_LEGACY_TAR = frozenset({"sys_info", "pickle", "tensors", "storages"})
_LONGEST_JSON = 25 * 10**6
_LONGEST_NPY_HEADER = 2**16
_LONGEST_DIRECTORY = 8 * 2**20
_LARGEST_RATIO, _FREE_BYTES = 100, 64 * 2**20
_STEPS_OF_A_GUESS = 100_000
_END_OF_ZIP = struct.Struct("<4s4H2LH")
_END_LOCATOR = struct.Struct("<4sLQL")
_END_OF_ZIP64 = struct.Struct("<4sQ2H2L4Q")
_NPY_ELEMENT = re.compile(r"[<>=|]?[biufcSUVmM]\d+(\[\w+\])?|[<>=|]?\?")


def scan_file(file: IO[bytes], size: int, findings: Findings) -> None:
    """Follow every pickle in a file of weights.

    Parameters
    ----------
    file : binary file
        Seekable, at its start.
    size : int
        Its length, bytes.
    findings : Findings
        Filled on the way.

    Raises
    ------
    UnreadableError
        If it is no known kind of file, broken, or could be taken for two kinds.
    """
    head = file.read(16)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        _scan_zip(file, size, findings)
        return
    if zipfile.is_zipfile(file):
        raise UnreadableError("a zip archive follows other bytes")
    file.seek(0)
    if head.startswith(b"\x93NUMPY"):
        _scan_npy(Window(file, size), findings)
    elif _is_tar(file):
        _scan_tar(file, findings)
        _scan_as_pickle_too(file, size, findings)
    elif _is_safetensors(head, size):
        _check_safetensors(Window(file, size))
        _scan_as_pickle_too(file, size, findings)
    else:
        _scan_pickles(Window(file, size), findings)


def _scan_pickles(window: Window, findings: Findings) -> None:
    """Scan pickles one after the other, or the streams of a PyTorch file from before 1.6."""
    if scan_stream(window, findings) == _LEGACY_MAGIC:
        for _ in range(_LEGACY_STREAMS - 1):
            scan_stream(window, findings)
        _guess(window, findings)
        return
    while window.left:
        scan_stream(window, findings)


def _scan_as_pickle_too(file: IO[bytes], size: int, findings: Findings) -> None:
    """Look at a file of another kind as an unpickler would: it might be both."""
    file.seek(0)
    _guess(Window(file, size), findings)


def _guess(window: Window, findings: Findings) -> None:
    """Scan bytes that should be numbers. Those often start like a pickle and go on as none."""
    if not window.left:
        return
    guess = Findings(most_steps=_STEPS_OF_A_GUESS)
    try:
        scan_stream(window, guess)
        findings.oddities |= guess.oddities
        findings.imports |= guess.imports
    except UnreadableError:
        findings.imports |= guess.importable()


def _scan_npy(window: Window, findings: Findings) -> None:
    window.skip(6)
    form = "<H" if window.exactly(2)[0] == 1 else "<I"
    (length,) = struct.unpack(form, window.exactly(struct.calcsize(form)))
    if length > _LONGEST_NPY_HEADER:
        raise UnreadableError("its NumPy header is too long")
    try:
        header = ast.literal_eval(window.exactly(length).decode("utf-8").strip())
        plain = _is_plain_dtype(header["descr"])
    except UnreadableError:
        raise
    except (ValueError, SyntaxError, LookupError, TypeError, RecursionError, MemoryError) as error:
        raise UnreadableError("its NumPy header makes no sense") from error
    if not plain:
        findings.oddities.add("a NumPy array of Python objects")


def _is_plain_dtype(description: Any) -> bool:
    if isinstance(description, str):
        return _NPY_ELEMENT.fullmatch(description) is not None
    if isinstance(description, list):
        return all(_is_plain_dtype(field[1]) for field in description)
    return isinstance(description, tuple) and _is_plain_dtype(description[0])


def _is_safetensors(head: bytes, size: int) -> bool:
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= size - 8


def _check_safetensors(window: Window) -> None:
    length = int.from_bytes(window.exactly(8), "little")
    if length > _LONGEST_JSON:
        raise UnreadableError("its safetensors header is too long")
    text = window.exactly(length)
    try:
        tensors = {
            name: facts for name, facts in json.loads(text).items() if name != "__metadata__"
        }
        for facts in tensors.values():
            begin, end = facts["data_offsets"]
            expected = math.prod(facts["shape"]) * _SAFETENSORS_SIZES[facts["dtype"]]
            if not (0 <= begin <= end <= window.left and end - begin == expected):
                raise UnreadableError("a tensor lies outside its data")
    except UnreadableError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UnreadableError("its safetensors header makes no sense") from error


def _scan_zip(file: IO[bytes], size: int, findings: Findings) -> None:
    start, count = _directory_of_zip(file, size)
    try:
        with zipfile.ZipFile(file) as archive:
            if (archive.start_dir, len(archive.infolist())) != (start, count):
                raise UnreadableError("its zip directory contradicts itself")
            _check_members(archive.infolist(), size)
            known = [_scan_member(archive, member, findings) for member in archive.infolist()]
    except UnreadableError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise UnreadableError(f"its zip archive is broken ({error})") from error
    except (ValueError, RuntimeError, OverflowError, struct.error) as error:
        raise UnreadableError(f"its zip archive is of an unknown kind ({error})") from error
    if not any(known):
        raise UnreadableError("no member of its zip archive holds weights")


def _directory_of_zip(file: IO[bytes], size: int) -> tuple[int, int]:
    """Return where the zip directory starts and its number of entries, if all records agree."""
    file.seek(max(0, size - _END_OF_ZIP.size - _END_LOCATOR.size - _END_OF_ZIP64.size))
    tail = file.read()
    end = size - _END_OF_ZIP.size
    if len(tail) < _END_OF_ZIP.size or tail[-_END_OF_ZIP.size :][:4] != b"PK\x05\x06":
        raise UnreadableError("its zip archive is cut off, or bytes follow it")
    count, length, start = _END_OF_ZIP.unpack(tail[-_END_OF_ZIP.size :])[4:7]
    large = tail[_END_OF_ZIP64.size :]
    if large.startswith(b"PK\x06\x07"):
        end -= _END_LOCATOR.size + _END_OF_ZIP64.size
        fields = _END_OF_ZIP64.unpack(tail[: _END_OF_ZIP64.size])
        promised = _END_LOCATOR.unpack(large[: _END_LOCATOR.size])[2]
        agree = all(
            small in (0xFFFF, 0xFFFFFFFF, wide)
            for small, wide in zip((count, length, start), fields[7:], strict=True)
        )
        if fields[0] != b"PK\x06\x06" or promised != end or not agree:
            raise UnreadableError("its zip archive contradicts itself about its end")
        count, length, start = fields[7:]
    if start + length != end or length > _LONGEST_DIRECTORY:
        raise UnreadableError("its zip directory is not where it should be, or too long")
    file.seek(0)
    return start, count


def _check_members(members: list[zipfile.ZipInfo], size: int) -> None:
    if min((member.header_offset for member in members), default=0) != 0:
        raise UnreadableError("other bytes stand before the first member of its zip archive")
    if len({member.filename.casefold() for member in members}) != len(members):
        raise UnreadableError("two members of its zip archive have the same name")
    if sum(member.file_size for member in members) > size * _LARGEST_RATIO + _FREE_BYTES:
        raise UnreadableError("its zip archive grows too much when it is unpacked")
    for member in members:
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UnreadableError(f"member {member.filename!r} is compressed in an unusual way")


def _scan_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, findings: Findings) -> bool:
    """Scan a member and check its sum. True if it holds weights of a known kind."""
    name = member.filename.casefold()
    if name.split("/")[1:2] == ["code"]:
        findings.oddities.add("a TorchScript program")
    with archive.open(member) as stream:
        head = cast(zipfile.ZipExtFile, stream).peek(16)
        window = Window(stream, member.file_size)
        is_array = head.startswith(b"\x93NUMPY")
        is_pickle = name.endswith((".pkl", ".pickle"))
        if head.startswith(b"PK\x03\x04"):
            raise UnreadableError(f"member {member.filename!r} is an archive itself")
        if is_pickle:
            _scan_pickles(window, findings)
        elif is_array:
            _scan_npy(window, findings)
        else:
            _guess(window, findings)
        # The sum is compared by the read that finds the end.
        window.skip(window.left)
        stream.read(1)
    return is_pickle or is_array


class _BoundedReads:
    """A file for tarfile, which would read an extended header of any length into memory."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek = file.seek
        self.tell = file.tell

    def read(self, size: int) -> bytes:
        if not 0 <= size <= LONGEST_ARGUMENT + tarfile.BLOCKSIZE:
            raise UnreadableError("its tar archive has a header that is too long")
        return self._file.read(size)


def _open_tar(file: IO[bytes]) -> tarfile.TarFile:
    return tarfile.open(fileobj=cast(IO[bytes], _BoundedReads(file)), mode="r:")


def _is_tar(file: IO[bytes]) -> bool:
    try:
        _open_tar(file).close()
    except tarfile.TarError:
        return False
    finally:
        file.seek(0)
    return True


def _scan_tar(file: IO[bytes], findings: Findings) -> None:
    """Scan the tar archive of the very first PyTorch releases."""
    try:
        with _open_tar(file) as archive:
            members = archive.getmembers()
            names = {member.name for member in members}
            plain = all(member.isreg() for member in members) and len(names) == len(members)
            if not plain or not {"pickle"} <= names <= _LEGACY_TAR:
                raise UnreadableError("its tar archive is not one of PyTorch")
            for member in members:
                stream = cast(IO[bytes], archive.extractfile(member))
                _scan_tar_member(member.name, Window(stream, member.size), findings)
    except tarfile.TarError as error:
        raise UnreadableError(f"its tar archive is broken ({error})") from error


def _scan_tar_member(name: str, window: Window, findings: Findings) -> None:
    if name in ("storages", "tensors"):
        count = scan_stream(window, findings)
        if not isinstance(count, int):
            raise UnreadableError(f"{name} does not start with a number")
        for _ in range(count):
            entry = Findings(most_steps=findings.most_steps - findings.steps)
            try:
                scan_stream(window, entry)
            finally:
                findings.add(entry)
            window.skip(
                _tensor_length(window) if name == "tensors" else _storage_length(window, entry)
            )
    while window.left:
        scan_stream(window, findings)


def _tensor_length(window: Window) -> int:
    dimensions = int.from_bytes(window.exactly(8)[:4], "little")
    return 16 * dimensions + 8


def _storage_length(window: Window, entry: Findings) -> int:
    matches = [re.fullmatch(r"torch(?:\.cuda)? (\w+)Storage", name) for name in entry.imports]
    sizes = [STORAGE_SIZES.get(match[1], 0) for match in matches if match]
    if len(sizes) != 1 or not sizes[0]:
        raise UnreadableError("it holds a storage of an unknown kind")
    return int.from_bytes(window.exactly(8), "little") * sizes[0]
