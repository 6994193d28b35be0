"""Read pickle streams without running them, to see what each one would import and call.

A pickle is a program for a small stack machine. Its opcodes are followed here with the strings
and imports on the stack tracked, so that an import is recognised however its name got there
(by way of the memo, a copy of the stack top, or an old protocol), and nothing is ever imported.
"""

from __future__ import annotations

import pickletools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any, NamedTuple, Protocol, cast

#: Longest text or line that is read whole. Longer runs of bytes are passed over unread.
LONGEST_ARGUMENT = 64 * 2**20
#: Steps that one file may take: some seconds. State dicts of large models take ten times fewer.
MOST_STEPS = 5_000_000

_LONGEST_NAME = 1000
_CHUNK = 2**20
_IMPORTABLE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)* [^\W\d]\w*(\.[^\W\d]\w*)*")
_INTEGERS = frozenset({"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"})
_TEXTS = frozenset({"STRING", "BINSTRING", "SHORT_BINSTRING"})
_TEXTS |= {"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"}
_GET = frozenset({"GET", "BINGET", "LONG_BINGET"})
_PUT = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})
_CONSTANTS = _INTEGERS | _TEXTS
_EXTENSIONS = frozenset({"EXT1", "EXT2", "EXT4"})
#: How deep below the top the thing lies that an opcode calls.
_CALLS = {"REDUCE": 2, "NEWOBJ": 2, "NEWOBJ_EX": 3}


class UnreadableError(ValueError):
    """These bytes are not what they should be."""


class Source(Protocol):
    """What a window reads from: a file, a member of an archive, bytes in memory."""

    def read(self, size: int, /) -> bytes:
        """Read up to ``size`` bytes."""

    def readline(self, size: int, /) -> bytes:
        """Read a line, or ``size`` bytes of it."""


class Imported(NamedTuple):
    """Something that a pickle imports, as its place on the stack shows it."""

    name: str


@dataclass(slots=True)
class Findings:
    """What was met on the way.

    Attributes
    ----------
    imports : set of str
        ``"module name"``, with a space between them as pickletools writes it.
    oddities : set of str
        Steps whose effect cannot be told without running them.
    steps : int
        Opcodes read so far.
    most_steps : int
        How many may be read.
    """

    imports: set[str] = field(default_factory=set)
    oddities: set[str] = field(default_factory=set)
    steps: int = 0
    most_steps: int = MOST_STEPS

    def add(self, other: Findings) -> None:
        """Take over what another scan has found."""
        self.imports |= other.imports
        self.oddities |= other.oddities
        self.steps += other.steps

    def importable(self) -> set[str]:
        """Return those imports whose names Python could import at all."""
        return {name for name in self.imports if _IMPORTABLE.fullmatch(name)}


class Window:
    """A stretch of a source, read forward only, with every single read bounded.

    Parameters
    ----------
    source : Source
        Stands at the first byte of the stretch.
    size : int
        Length of the stretch, bytes.
    """

    def __init__(self, source: Source, size: int) -> None:
        self._source = source
        self._size = size
        self._position = 0

    @property
    def left(self) -> int:
        """Bytes not yet read."""
        return self._size - self._position

    def tell(self) -> int:
        """Return the number of bytes read so far."""
        return self._position

    def read(self, size: int) -> bytes | range:
        """Read ``size`` bytes; of a long run only the length, as a range, comes back."""
        wanted = min(size, self.left)
        if wanted > LONGEST_ARGUMENT:
            self.skip(wanted)
            return range(wanted)
        data = self._source.read(wanted)
        self._position += len(data)
        return data

    def readline(self) -> bytes:
        """Read up to and with the next line feed."""
        data = self._source.readline(min(self.left, LONGEST_ARGUMENT))
        self._position += len(data)
        return data

    def exactly(self, size: int) -> bytes:
        """Read ``size`` bytes (a few), or fail."""
        data = self.read(size)
        if not isinstance(data, bytes) or len(data) != size:
            raise UnreadableError("it ends too early")
        return data

    def skip(self, size: int) -> None:
        """Pass over ``size`` bytes, or fail."""
        end = self._position + size
        while self._position < end:
            chunk = self._source.read(min(_CHUNK, end - self._position, self.left))
            if not chunk:
                raise UnreadableError("it ends too early")
            self._position += len(chunk)


def scan_stream(window: Window, findings: Findings) -> object:
    """Follow one pickle from here to its STOP.

    Parameters
    ----------
    window : Window
        Stands at the first opcode; afterwards behind the STOP.
    findings : Findings
        Filled on the way, so that they tell the truth even where the stream breaks off.

    Returns
    -------
    object
        The result where it is a number, a text or an import, otherwise None.

    Raises
    ------
    UnreadableError
        If the bytes are not one complete pickle.

    Examples
    --------
    >>> import io, pickle
    >>> data = pickle.dumps({"weights": print})
    >>> findings = Findings()
    >>> scan_stream(Window(io.BytesIO(data), len(data)), findings)
    >>> findings.imports
    {'builtins print'}
    """
    machine = _Machine(findings)
    for opcode, argument in _opcodes(window):
        findings.steps += 1
        if findings.steps > findings.most_steps:
            raise UnreadableError(f"it takes more than {findings.most_steps} steps")
        machine.step(opcode, argument)
    return machine.result


def _opcodes(window: Window) -> Iterator[tuple[pickletools.OpcodeInfo, Any]]:
    source = cast(IO[bytes], window)
    try:
        for opcode, argument, _ in pickletools.genops(source):
            yield opcode, argument
    except UnreadableError:
        raise
    except (ValueError, TypeError, OverflowError) as error:
        raise UnreadableError(f"it is not a complete pickle ({error})") from error


class _Machine:
    """The stack and the memo of an unpickler, with None for whatever does not matter here."""

    def __init__(self, findings: Findings) -> None:
        self.findings = findings
        self.result: object = None
        self._stack: list[object] = []
        self._memo: dict[int, object] = {}
        self._special: dict[str, Callable[[str, Any], None]] = {
            **dict.fromkeys(_GET, self._get),
            **dict.fromkeys(_PUT, self._put),
            **dict.fromkeys(_EXTENSIONS, self._extension),
            "MEMOIZE": lambda _name, _: self._put(_name, len(self._memo)),
            "DUP": lambda _name, _: self._stack.append(self._peek(1)),
            "POP": lambda _name, _: self._pop(1),
            "STOP": self._stop,
            "GLOBAL": lambda _name, argument: self._import(argument),
            "STACK_GLOBAL": self._stack_global,
        }

    def step(self, opcode: pickletools.OpcodeInfo, argument: Any) -> None:
        """Do to the stack what the opcode would do to it."""
        name = opcode.name
        special = self._special.get(name)
        if special is not None:
            special(name, argument)
            return
        self._look_at_call(name, argument)
        before, after = opcode.stack_before, opcode.stack_after
        if pickletools.markobject in before:
            self._pop_to_mark()
            self._pop(before.index(pickletools.markobject))
        else:
            self._pop(len(before))
        if pickletools.markobject in after:
            self._stack.append(pickletools.markobject)
        else:
            known = name in _CONSTANTS and _is_short(argument)
            self._stack.extend([argument if known else None] * len(after))

    def _look_at_call(self, name: str, argument: Any) -> None:
        if name == "INST":
            self.findings.imports.add(argument)
        elif name in _CALLS:
            self._must_be_import(self._peek(_CALLS[name]))
        elif name == "OBJ":
            self._must_be_import(self._first_above_mark())
        elif name == "BUILD" and isinstance(self._peek(2), Imported):
            self.findings.oddities.add(f"a change of {_dotted(self._peek(2))} itself")

    def _must_be_import(self, called: object) -> None:
        if not isinstance(called, Imported):
            self.findings.oddities.add("a call of something that is computed on the way")

    def _import(self, name: str) -> None:
        self.findings.imports.add(name)
        self._stack.append(Imported(name))

    def _stack_global(self, _name: str, _argument: Any) -> None:
        module, attribute = self._peek(2), self._peek(1)
        self._pop(2)
        if isinstance(module, str) and isinstance(attribute, str):
            self._import(f"{module} {attribute}")
        else:
            self.findings.oddities.add("an import whose name is computed on the way")
            self._stack.append(None)

    def _extension(self, _name: str, argument: int) -> None:
        self.findings.oddities.add(f"extension code {argument}")
        self._stack.append(None)

    def _get(self, _name: str, argument: int) -> None:
        if argument not in self._memo:
            raise UnreadableError(f"it asks for memo {argument}, which it never filled")
        self._stack.append(self._memo[argument])

    def _put(self, _name: str, argument: int) -> None:
        self._memo[argument] = self._peek(1)

    def _stop(self, _name: str, _argument: Any) -> None:
        self.result = self._peek(1)

    def _peek(self, depth: int) -> object:
        if len(self._stack) < depth:
            raise UnreadableError("it takes more from its stack than there is")
        return self._stack[-depth]

    def _pop(self, count: int) -> None:
        if not count:
            return
        self._peek(count)
        del self._stack[-count:]

    def _mark(self) -> int:
        for index in range(len(self._stack) - 1, -1, -1):
            if self._stack[index] is pickletools.markobject:
                return index
        raise UnreadableError("it looks for a mark that was never set")

    def _first_above_mark(self) -> object:
        return self._peek(len(self._stack) - self._mark() - 1)

    def _pop_to_mark(self) -> None:
        del self._stack[self._mark() :]


def _is_short(argument: object) -> bool:
    if isinstance(argument, str):
        return len(argument) <= _LONGEST_NAME
    return isinstance(argument, int) and argument.bit_length() <= _LONGEST_NAME


def _dotted(imported: object) -> str:
    return imported.name.replace(" ", ".", 1) if isinstance(imported, Imported) else "something"
