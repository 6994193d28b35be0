"""Files that may say who a patient is: DICOM, image headers, tables with names.

References
----------
DICOM PS3.10, section 7.1 (preamble and prefix). NIfTI-1 and NIfTI-2 headers, nifti.nimh.nih.gov.
Analyze 7.5 header, Mayo Clinic. PNG specification, third edition, section 11.3.3.
"""

from __future__ import annotations

import gzip
import io
import re
import struct
import zlib
from collections.abc import Iterator
from itertools import islice
from mmap import mmap
from pathlib import Path

_DICOM_NAMES = re.compile(r"DICOMDIR|.+\.(dcm|dicom|ima)", re.IGNORECASE)
#: Without its preamble, a DICOM file begins with an element of group 2 or 8.
_DICOM_START = re.compile(
    rb"[\x02\x08]\x00..(UI|UL|CS|DA|TM|SH|LO|OB|ST|LT)|\x08\x00(\x05|\x08|\x16)\x00..\x00\x00",
    re.DOTALL,
)
_NAMES_SOMEONE = re.compile(
    r"(?i:patient|birth|\b(mrn|dob|ssn)\b|medical.?record)|[A-Za-z]\^[A-Za-z]"
    r"|\b[A-Z][a-z]{2,}, ?[A-Z][a-z]+\b"
)
_COLUMNS = re.compile(
    "(patients?)?(firstname|lastname|givenname|familyname|surname|birthdate|birthday|dateofbirth"
    "|dob|mrn|medicalrecordnumber|ssn|address|phone)|patients?(name|id|identifier|number|birth)"
)
_JSON_KEY = re.compile(rb'"([A-Za-z_ -]{2,40})"\s*:')
_PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"GIF8")
#: Colour profiles and the raw form of tags that are read one by one.
_NO_TEXTS = frozenset({"icc_profile", "exif"})
_TEXT = 1 << 16
_MOST_HEADER = 1 << 20
_EXTENSION_OF_DICOM = 2


def patient_trace(path: Path, content: mmap) -> str:
    """Return what in a file may name a patient, or nothing.

    Parameters
    ----------
    path : Path
        For its name.
    content : mmap
        Its bytes.

    Returns
    -------
    str
        A reason without the name itself.
    """
    if content[128:132] == b"DICM" or _DICOM_NAMES.fullmatch(path.name):
        return "is a DICOM file, which says whose image it is"
    if _DICOM_START.match(content[:8]):
        return "is a DICOM file without its preamble, which says whose image it is"
    head = _unzipped(content)
    if volume := _volume_trace(head):
        return volume
    if content[:8].startswith(_PICTURES):
        return _picture_trace(path)
    if head.startswith((b"NRRD000", b"ObjectType", b"NDims")):
        text = head[:_TEXT].partition(b"\n\n")[0].decode("latin-1")
        return _first_trace(("its header", line) for line in text.splitlines())
    return _table_trace(path, content)


def _unzipped(content: mmap) -> bytes:
    """Return the beginning of a file, or of what is in it where it is compressed by gzip."""
    if content[:2] != b"\x1f\x8b":
        return content[:_TEXT]
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content[:_MOST_HEADER])) as file:
            return file.read(_TEXT)
    except (OSError, EOFError, zlib.error):
        return b""


def _volume_trace(head: bytes) -> str:
    """Look into the header of a NIfTI or Analyze file; no other file is taken for one."""
    for order in "<>":
        size = struct.unpack(f"{order}i", head[:4])[0] if len(head) >= 348 else 0
        if size == 348:
            return _nifti_1(head, order)
        if size == 540 and head[4:7] in {b"n+2", b"ni2"}:
            fields = {"descrip": (240, 80), "aux_file": (320, 24), "intent_name": (508, 16)}
            return _fields(head, fields) or _extensions(head[540:], order)
    return ""


def _nifti_1(head: bytes, order: str) -> str:
    fields = {"descrip": (148, 80), "aux_file": (228, 24)}
    if _text(head, 14, 18):
        return "has a text in the field db_name of its header, where names of patients are kept"
    if head[344:347] in {b"n+1", b"ni1"}:
        fields |= {"intent_name": (328, 16)}
        return _fields(head, fields) or _extensions(head[348:], order)
    if _text(head, 283, 10):
        return "has a text in the field patient_id of its header"
    return _fields(head, fields)


def _fields(head: bytes, places: dict[str, tuple[int, int]]) -> str:
    texts = (
        (f"the field {name} of its header", _text(head, *place)) for name, place in places.items()
    )
    return _first_trace(texts)


def _text(head: bytes, start: int, size: int) -> str:
    return head[start : start + size].partition(b"\0")[0].decode("latin-1").strip()


def _extensions(rest: bytes, order: str) -> str:
    """Look into the extensions that may follow a NIfTI header."""
    if not rest[:1].strip(b"\0"):
        return ""
    place = 4
    while place + 8 <= len(rest):
        size, code = struct.unpack(f"{order}ii", rest[place : place + 8])
        if size < 8:
            break
        if code == _EXTENSION_OF_DICOM:
            return "carries a DICOM header inside its own"
        text = rest[place + 8 : place + size].decode("latin-1")
        if trace := _first_trace([("an extension of its header", text)]):
            return trace
        place += size
    return ""


def _picture_trace(path: Path) -> str:
    """Look at the texts that a picture carries beside its pixels."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            image.load()
            info = {key: value for key, value in image.info.items() if key not in _NO_TEXTS}
            texts = {f"the text {key!r}": value for key, value in info.items()}
            texts |= {f"the tag {tag}": value for tag, value in image.getexif().items()}
            tags = getattr(image, "tag_v2", None) or {}
            texts |= {f"the tag {tag}": value for tag, value in tags.items()}
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError):
        return "is a picture that cannot be read, so nobody can say what is in it"
    return _first_trace((place, f"{place} {_as_text(value)}") for place, value in texts.items())


def _as_text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _table_trace(path: Path, content: mmap) -> str:
    """Look at the names of columns and keys."""
    ending = path.suffix.lower()
    if ending in {".csv", ".tsv"}:
        line = content[:_TEXT].partition(b"\n")[0].decode("utf-8", errors="replace")
        names = re.split(r"[,;\t]", line)
    elif ending in {".json", ".jsonl"}:
        names = [match[1].decode() for match in islice(_JSON_KEY.finditer(content), _MOST_HEADER)]
    else:
        return ""
    named = (name for name in names if _COLUMNS.fullmatch(re.sub("[^a-z]", "", name.lower())))
    found = next(named, None)
    return f"has a column or key {found.strip()!r}, as tables of patients have" if found else ""


def _first_trace(texts: Iterator[tuple[str, str]] | list[tuple[str, str]]) -> str:
    for place, text in texts:
        if _NAMES_SOMEONE.search(text):
            return f"has what looks like a person's name or data in {place}"
    return ""
