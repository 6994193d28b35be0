"""The rules that a zip archive keeps, or is refused before a byte of it is written."""

from __future__ import annotations

import os
import stat
import struct
import zipfile
from pathlib import Path
from typing import IO

from medmint.errors import IntegrityError, UnsafeArchiveError
from medmint.packages.archive.members import Entry, content
from medmint.packages.archive.names import Names, name_fault

MOST_MEMBERS = 20_000
LARGEST_MEMBER = 4 << 30
LARGEST_TOTAL = 20 << 30
#: Deflate cannot do better than 1032 : 1; weights and code stay below 10 : 1.
HIGHEST_RATIO = 200
_RATIO_MATTERS_FROM = 10 << 20
_LARGEST_DIRECTORY = MOST_MEMBERS * 512
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_HAS_DESCRIPTOR = 0x8
_REPARSE_POINT = 0x400
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_END = struct.Struct("<4s4H2IH")
_END_64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR_64 = struct.Struct("<4sIQI")
_LONGEST_COMMENT = 0xFFFF


class Inspection:
    """One look at an archive: `entries` returns its members, or raises the rule that is broken."""

    def __init__(self, archive: Path, file: IO[bytes], size_limit: int | None) -> None:
        self._archive = archive
        self._file = file
        self._file_size = os.fstat(file.fileno()).st_size
        self._total_limit = LARGEST_TOTAL if size_limit is None else size_limit
        self._member_limit = LARGEST_MEMBER if size_limit is None else size_limit

    def entries(self) -> list[Entry]:
        """Return all members, folders included, or raise what is wrong with them."""
        infos, directory = self._directory()
        self._check_names(infos)
        self._check_sizes(infos)
        entries = [self._entry(info, directory) for info in infos]
        self._check_places(entries)
        for entry in entries:
            if entry.name.lower().endswith(".pth"):
                self._refuse_path_file(entry)
        return entries

    def _directory(self) -> tuple[list[zipfile.ZipInfo], int]:
        """Return the listed members and the place where the list begins."""
        size, count = self._end_record()
        if count > MOST_MEMBERS or size > _LARGEST_DIRECTORY:
            raise self._unsafe("(all)", f"is one of more than {MOST_MEMBERS} members")
        try:
            with zipfile.ZipFile(self._file) as opened:
                infos, directory = opened.infolist(), opened.start_dir
        except (
            zipfile.BadZipFile,
            NotImplementedError,
            ValueError,
            OSError,
            struct.error,
        ) as error:
            raise self._damaged(f"a damaged one ({error})") from error
        if len(infos) != count:
            raise self._damaged(f"one with {len(infos)} members that announces {count}")
        if not infos:
            raise self._damaged("an empty one")
        return infos, directory

    def _end_record(self) -> tuple[int, int]:
        """Return size and count of the member list before anything of that size is read."""
        start = max(0, self._file_size - _END.size - _LONGEST_COMMENT)
        tail = self._bytes_at(start, self._file_size - start)
        place = tail.rfind(b"PK\x05\x06")
        if place < 0 or place + _END.size > len(tail):
            raise self._damaged(f"something else (it begins with {self._bytes_at(0, 16)!r})")
        *_, count, size, _, _ = _END.unpack_from(tail, place)
        place += start - _LOCATOR_64.size
        if self._bytes_at(place, 4) == b"PK\x06\x07":
            end = self._bytes_at(place - _END_64.size, _END_64.size)
            if not end.startswith(b"PK\x06\x06"):
                raise self._damaged("a damaged one (its end record is not where it should be)")
            *_, count, size, _ = _END_64.unpack(end)
        return size, count

    def _check_names(self, infos: list[zipfile.ZipInfo]) -> None:
        names = Names()
        for info in infos:
            name, is_folder = info.orig_filename, info.orig_filename.endswith("/")
            rule = name_fault(name) or names.add(name) or _kind_fault(info, is_folder=is_folder)
            if rule:
                raise self._unsafe(name, rule)

    def _check_sizes(self, infos: list[zipfile.ZipInfo]) -> None:
        total = 0
        for info in infos:
            total += info.file_size
            if info.file_size > self._member_limit:
                limit = self._member_limit
                raise self._unsafe(info.orig_filename, f"is larger than {limit:,} bytes")
            if total > self._total_limit:
                rule = f"brings all files together to more than {self._total_limit:,} bytes"
                raise self._unsafe(info.orig_filename, rule)
            if _is_bomb(info.file_size, info.compress_size):
                rule = f"unpacks to more than {HIGHEST_RATIO} times its size"
                raise self._unsafe(info.orig_filename, rule)
        if total > 10 * _RATIO_MATTERS_FROM and _is_bomb(total, self._file_size):
            rule = f"and the others unpack to more than {HIGHEST_RATIO} times their size"
            raise self._unsafe(infos[-1].orig_filename, rule)

    def _entry(self, info: zipfile.ZipInfo, directory: int) -> Entry:
        """Compare the header in front of a member with what the directory says of it."""
        name = info.orig_filename
        header = self._bytes_at(info.header_offset, _LOCAL_HEADER.size)
        if len(header) < _LOCAL_HEADER.size or not header.startswith(b"PK\x03\x04"):
            raise self._unsafe(name, "is not where the archive's directory says")
        _, _, flags, method, _, _, crc, packed, size, n_name, n_extra = _LOCAL_HEADER.unpack(header)
        local_name = self._bytes_at(info.header_offset + _LOCAL_HEADER.size, n_name)
        encoding = "utf-8" if info.flag_bits & 0x800 else "cp437"
        if local_name.decode(encoding, errors="replace") != name:
            raise self._unsafe(name, "has another name in its own header")
        if method != info.compress_type or (flags ^ info.flag_bits) & _ENCRYPTED:
            raise self._unsafe(name, "is stored otherwise than its directory entry says")
        is_told = not flags & _HAS_DESCRIPTOR and 0xFFFFFFFF not in {packed, size}
        listed = (info.CRC, info.compress_size, info.file_size)
        if is_told and (crc, packed, size) != listed:
            raise self._unsafe(name, "has another size or checksum in its own header")
        start = info.header_offset + _LOCAL_HEADER.size + n_name + n_extra
        if start + info.compress_size > directory:
            raise self._unsafe(name, "reaches beyond the members of the archive")
        if method == zipfile.ZIP_STORED and info.compress_size != info.file_size:
            raise self._unsafe(name, "is not compressed and yet has two sizes")
        return Entry(
            name=name,
            size=info.file_size,
            compressed=info.compress_size,
            crc=info.CRC,
            method=method,
            header=info.header_offset,
            start=start,
        )

    def _check_places(self, entries: list[Entry]) -> None:
        end = 0
        for entry in sorted(entries, key=lambda entry: entry.header):
            if entry.header < end:
                raise self._unsafe(entry.name, "overlaps another member")
            end = entry.start + entry.compressed

    def _refuse_path_file(self, entry: Entry) -> None:
        """Tell weights called .pth from the text files of that name that Python executes."""
        beginning = next(content(entry, self._archive, self._file), b"")[:64]
        text = beginning.decode("utf-8", errors="ignore")
        if text and all(character.isprintable() or character in "\t\r\n\f" for character in text):
            raise self._unsafe(entry.name, "is a path file, which Python would execute")

    def _bytes_at(self, start: int, size: int) -> bytes:
        if not 0 <= start <= self._file_size:
            return b""
        self._file.seek(start)
        return self._file.read(size)

    def _unsafe(self, member: str, rule: str) -> UnsafeArchiveError:
        return UnsafeArchiveError(self._archive, member, rule)

    def _damaged(self, found: str) -> IntegrityError:
        return IntegrityError(self._archive, "a zip archive", found, "Download it again.")


def _kind_fault(info: zipfile.ZipInfo, *, is_folder: bool) -> str:
    """Return which rule a member breaks by what it is, or nothing."""
    kind = stat.S_IFMT(info.external_attr >> 16)
    is_link = kind == stat.S_IFLNK or bool(info.external_attr & _REPARSE_POINT)
    broken = {
        "is a link": is_link,
        "is a device, a pipe or a socket": kind
        not in {0, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK},
        "is a folder by its name and has content": is_folder and info.file_size > 0,
        "is a folder by its name and a file by its mode": is_folder and kind == stat.S_IFREG,
        "is a file by its name and a folder by its mode": not is_folder and kind == stat.S_IFDIR,
        "is encrypted": bool(info.flag_bits & _ENCRYPTED),
        "is compressed by a method other than deflate": info.compress_type not in _METHODS,
    }
    return next((rule for rule, is_broken in broken.items() if is_broken), "")


def _is_bomb(size: int, compressed: int) -> bool:
    return size > _RATIO_MATTERS_FROM and size > HIGHEST_RATIO * compressed
