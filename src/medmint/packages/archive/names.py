"""Names of archive members that mean the same file, and only that, on every system."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias
from unicodedata import category, normalize

LONGEST_NAME = 200
DEEPEST = 20
_DEVICES = {"con", "prn", "aux", "nul", "conin$", "conout$"}
_DEVICES |= {f"{port}{digit}" for port in ("com", "lpt") for digit in "0123456789¹²³"}
#: Files that Python executes when it finds them on its path.
_EXECUTED = {"sitecustomize.py", "usercustomize.py"}
_FORBIDDEN = re.compile(r'[<>"|?*]|[. ]$')
_CONTROL = {"Cc", "Cs"}

Rules: TypeAlias = tuple[tuple[Callable[[str], object], str], ...]
_NAME_RULES: Rules = (
    (lambda name: not name.strip("/"), "has no name"),
    (lambda name: _CONTROL & set(map(category, name)), "has a control character in its name"),
    (lambda name: "\\" in name, "has a backslash in its name"),
    (lambda name: ":" in name, "has a drive letter or a colon in its name"),
    (lambda name: name.startswith("/"), "has an absolute path"),
    (lambda name: len(name) > LONGEST_NAME, f"has more than {LONGEST_NAME} characters in its name"),
    (lambda name: name.count("/") > DEEPEST, f"is more than {DEEPEST} folders deep"),
)
_PART_RULES: Rules = (
    (lambda part: part == "..", "has '..' in its path"),
    (lambda part: part in {"", "."}, "has a part that is empty or '.' in its path"),
    (_FORBIDDEN.search, "has a name that Windows cannot store"),
    (lambda part: _stem(part) in _DEVICES, "has a name that is reserved on Windows"),
    (lambda part: part.casefold() in _EXECUTED, "has a name that Python executes by itself"),
    (lambda part: len(part.encode()) > 255, "has a name that is too long for a file system"),
)


def name_fault(name: str) -> str:
    """Return which rule a member's name breaks, or nothing.

    Examples
    --------
    >>> name_fault("package/../../evil.py")
    "has '..' in its path"
    >>> name_fault("package/weights..v2/model.pt")
    ''
    """
    fault = _first_broken(_NAME_RULES, name)
    parts = name.removesuffix("/").split("/")
    return fault or next(filter(None, (_first_broken(_PART_RULES, part) for part in parts)), "")


def _first_broken(rules: Rules, text: str) -> str:
    return next((fault for is_broken, fault in rules if is_broken(text)), "")


class Names:
    """The names of one archive, compared as the least exact file system would."""

    def __init__(self) -> None:
        self._files: dict[str, str] = {}
        self._folders: dict[str, str] = {}
        self._listed: set[str] = set()

    def add(self, name: str) -> str:
        """Take in one name; return which rule it breaks together with the others, or nothing.

        Examples
        --------
        >>> names = Names()
        >>> names.add("Readme.md"), names.add("README.md")
        ('', "differs from 'Readme.md' in case or accents alone")
        """
        path = name.removesuffix("/")
        parts = path.split("/")
        folders = ["/".join(parts[:depth]) for depth in range(1, len(parts))]
        folders += [path] if name.endswith("/") else []
        if path in self._listed:
            return "is there twice"
        self._listed.add(path)
        for folder in folders:
            fault = self._clash(folder, self._folders, self._files)
            if fault:
                return fault
            self._folders[_key(folder)] = folder
        if name.endswith("/"):
            return ""
        fault = self._clash(path, self._files, self._folders)
        self._files[_key(path)] = path
        return fault

    @staticmethod
    def _clash(path: str, same_kind: dict[str, str], other_kind: dict[str, str]) -> str:
        key = _key(path)
        if key in other_kind:
            return "is a file and a folder"
        known = same_kind.get(key, path)
        return "" if known == path else f"differs from {known!r} in case or accents alone"


def _key(path: str) -> str:
    return normalize("NFC", normalize("NFC", path).casefold())


def _stem(part: str) -> str:
    return part.partition(".")[0].rstrip(" ").casefold()
