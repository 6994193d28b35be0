"""What must not be published by accident: secrets, and files that name a patient.

Files are recognised by what is in them, whatever they are called. A reason says where in the file
something was found, never what it was.
"""

from __future__ import annotations

import mmap
import re
from pathlib import Path

from medmint.model_contributor.patient_files import patient_trace

_SECRET_NAMES = re.compile(
    r"\.env(\..+)?|[._]netrc|\.pypirc|\.npmrc|\.git-credentials|\.htpasswd|\.dockercfg"
    r"|id_(rsa|dsa|ecdsa|ed25519)|.+\.(pem|key|p12|pfx|kdbx|keystore|jks)"
    r"|credentials(\.\w+)?|secrets?\.\w+|(access_)?tokens?(\.txt)?",
    re.IGNORECASE,
)
#: How known keys begin, and what must follow for it to be one.
_KEYS = {
    b"-----BEGIN ": (rb"-----BEGIN ([A-Z ]+ )?PRIVATE KEY", "a private key"),
    b"gh": (rb"gh[pousr]_[A-Za-z0-9]{20,}", "a GitHub token"),
    b"github_pat_": (rb"github_pat_\w{20,}", "a GitHub token"),
    b"glpat-": (rb"glpat-[\w-]{20,}", "a GitLab token"),
    b"hf_": (rb"hf_[A-Za-z0-9]{20,}", "a Hugging Face token"),
    b"AKIA": (rb"AKIA[0-9A-Z]{16}", "an AWS key"),
    b"ASIA": (rb"ASIA[0-9A-Z]{16}", "an AWS key"),
    b"AIza": (rb"AIza[\w-]{35}", "a Google key"),
    b"xox": (rb"xox[abeprs]-[\w-]{10,}", "a Slack token"),
    b"sk-": (rb"sk-[\w-]{20,}", "a service key"),
    b"Bearer ": (rb"Bearer [\w.~+/-]{20,}", "a bearer token"),
    b"access_token=": (rb"access_token=\w{16,}", "an access token"),
}
_KNOWN = {start: (re.compile(pattern), what) for start, (pattern, what) in _KEYS.items()}
_WORDS = rb"token|secret|passw(?:or)?d|api_?key|access_?key"
#: name = "value", where the value has a digit and no blank; NAME=value of a shell or .env file; a
#: password in an address; and a line that is a long word of mixed letters and digits, and no hash.
_ASSIGNED = re.compile(
    rb"(?i:\b\w*(?:%b)\w*[\"']?\s*[:=]\s*[bru]?[\"'](?=[^\"'\s]*\d)[\w+/=.-]{16,}[\"'])"
    rb"|(?m:^\s*(?:export\s+)?[A-Z0-9_]*(?:TOKEN|SECRET|PASSWORD|API_KEY|ACCESS_KEY)=[^\s$<{]{8,})"
    rb"|(?:https?|ftp)://[^\s/:@]+:[^\s/:@]{3,}@"
    rb"|(?m:^(?=\w*[a-z])(?=\w*[A-Z])(?=\w*\d)[A-Za-z0-9]{40,100}\s*$)" % _WORDS
)
_ARCHIVES = (b"PK\x03\x04", b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"7z\xbc\xaf\x27\x1c", b"Rar!")
#: Formats of arrays and weights that are archives by their first bytes.
_NO_ARCHIVES = (".pt", ".pth", ".ckpt", ".bin", ".npz", ".nii.gz", ".pkl", ".keras", ".pt.zip")
_TEXT_PROBE = 8192


def suspicion(path: Path, *, is_weights: bool = False) -> str:
    """Return why a file should not be published, or nothing.

    Parameters
    ----------
    path : Path
        An existing file.
    is_weights : bool
        The file holds the weights: it may be an archive.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "notes.txt"
    >>> _ = file.write_text("an afternoon's work")
    >>> suspicion(file)
    ''
    >>> _ = file.write_text("ghp_" + 36 * "a")
    >>> suspicion(file)
    'holds a GitHub token'
    """
    if _SECRET_NAMES.fullmatch(path.name):
        return "has the name of a file for passwords or keys"
    if path.stat().st_size == 0:
        return ""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        found = _secret(content) or patient_trace(path, content)
        may_be = not is_weights and not path.name.lower().endswith(_NO_ARCHIVES)
        is_archive = content[:6].startswith(_ARCHIVES) or content[257:262] == b"ustar"
        if not found and may_be and is_archive:
            return "is an archive, which is not looked into: put its files beside it"
        return found


def _secret(content: mmap.mmap) -> str:
    for start, (pattern, what) in _KNOWN.items():
        place = content.find(start)
        while place >= 0:
            begins = not content[max(0, place - 1) : place].isalnum()
            if begins and pattern.match(content, place):
                return f"holds {what}"
            place = content.find(start, place + 1)
    if b"\0" in content[:_TEXT_PROBE]:
        return ""
    match = _ASSIGNED.search(content)
    if match is None:
        return ""
    return f"holds what looks like a password or key, in line {_line(content, match.start())}"


def _line(content: mmap.mmap, place: int) -> int:
    return content[:place].count(b"\n") + 1
