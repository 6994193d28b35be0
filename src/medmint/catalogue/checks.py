"""Is this a catalogue? Strict reading of JSON, and every fault with its path.

``jsonschema`` is imported by the full check alone: listing and searching do without it.
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from medmint.errors import InvalidRecordError
from medmint.resources import config_file

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import ValidationError

MODEL_ID = re.compile(r"[0-9]{5}_[A-Za-z0-9_-]+")
#: Objects and lists inside each other; the shipped records need eight.
MAX_DEPTH = 64
#: A catalogue of 100,000 models takes about half of it.
MAX_BYTES = 1 << 30
_SECTIONS = ("execution", "selection", "description")
_LONGEST = 160
_SURROGATE = re.compile("[\ud800-\udfff]")


@lru_cache(maxsize=1)
def schema() -> dict[str, Any]:
    """Return the JSON Schema of the catalogue."""
    loaded: dict[str, Any] = json.loads(config_file("schema.json").read_text(encoding="utf-8"))
    return loaded


def read_catalogue(path: Path) -> dict[str, Any]:
    """Read a catalogue file and check its outer shape.

    Raises
    ------
    InvalidRecordError
        If the file cannot be read, is not strict JSON (UTF-8, no byte order mark, no repeated
        keys, no NaN) or does not hold records by model id.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise InvalidRecordError(path, [f"the file has {size} bytes, more than {MAX_BYTES}"])
        raw = path.read_bytes()
    except OSError as error:
        raise InvalidRecordError(path, [f"cannot be read: {error.strerror or error}"]) from error
    return parse_catalogue(raw, path)


def parse_catalogue(raw: bytes, source: object) -> dict[str, Any]:
    """Turn bytes into a catalogue whose outer shape is right; ``source`` names it in errors.

    Raises
    ------
    InvalidRecordError
        As :func:`read_catalogue`.
    """
    try:
        data = json.loads(
            raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant
        )
    except RecursionError as error:
        raise InvalidRecordError(source, ["objects or lists are nested too deeply"]) from error
    except ValueError as error:
        raise InvalidRecordError(source, [f"not valid JSON: {error}"]) from error
    if faults := shape_faults(data):
        raise InvalidRecordError(source, faults)
    checked: dict[str, Any] = data
    return checked


def shape_faults(data: object) -> list[str]:
    """Check ids and sections only: quick enough for a catalogue of any size."""
    if not isinstance(data, Mapping):
        return [f"/: expected an object with model ids as keys, got {_kind(data)}"]
    faults = []
    by_number = defaultdict(list)
    for model_id, record in data.items():
        if not (isinstance(model_id, str) and MODEL_ID.fullmatch(model_id)):
            faults.append(f"/{model_id}: expected an id such as 00010_NAME, five digits and a name")
            continue
        by_number[model_id[:5]].append(model_id)
        if not isinstance(record, dict):
            faults.append(f"/{model_id}: expected an object, got {_kind(record)}")
            continue
        for section in _SECTIONS:
            if not isinstance(record.get(section), dict):
                found = _kind(record[section]) if section in record else "nothing"
                faults.append(f"/{model_id}/{section}: expected an object, got {found}")
    for number, ids in by_number.items():
        if len(ids) > 1:
            faults.append(f"/: the number {number} is used by {' and '.join(ids)}")
    return faults


def record_faults(model_id: object, record: object) -> list[str]:
    """Check one record in full.

    Returns
    -------
    list of str
        Every fault as ``/<model id>/<path>: <what is wrong>``; empty if the record is valid.

    Examples
    --------
    >>> record_faults("00010_NAME", {"execution": {}, "selection": {}, "description": 7})[0]
    '/00010_NAME/description: expected an object, got int'
    """
    return shape_faults({model_id: record}) or _content_faults(model_id, record)


def catalogue_faults(data: object) -> list[str]:
    """Check a whole catalogue in full; see :func:`record_faults`."""
    faults = shape_faults(data)
    if isinstance(data, Mapping):
        for model_id, record in data.items():
            if not shape_faults({model_id: record}):
                faults += _content_faults(model_id, record)
    return faults


def validate_catalogue(data: object, source: object) -> None:
    """Check a whole catalogue in full.

    Parameters
    ----------
    data : object
        What should be a mapping of model ids to records.
    source : object
        Where it came from, for the message.

    Raises
    ------
    InvalidRecordError
        With all faults and their paths.
    """
    if faults := catalogue_faults(data):
        raise InvalidRecordError(source, faults)


def _content_faults(model_id: object, record: object) -> list[str]:
    try:
        faults = _plain_faults(record)
    except _NotJsonError as error:
        # The schema check would itself not end well on these.
        return [f"/{model_id}{error}"]
    faults += [_describe(error) for error in _validator().iter_errors(record)]
    return [f"/{model_id}{fault}" for fault in sorted(faults)]


class _NotJsonError(Exception):
    """A tree that no JSON text could have given."""


def _plain_faults(tree: object) -> list[str]:
    """Find values that JSON cannot hold: NaN, infinity, torn surrogate pairs."""
    faults = []
    pending: list[tuple[str, object, int]] = [("", tree, 0)]
    while pending:
        path, node, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise _NotJsonError(f"{path[:_LONGEST]}: nested more than {MAX_DEPTH} deep")
        if isinstance(node, dict):
            if odd := [key for key in node if not isinstance(key, str)]:
                raise _NotJsonError(f"{path}: the key {odd[0]!r} is not text")
            pending += [(f"{path}/{_escape(key)}", item, depth + 1) for key, item in node.items()]
        elif isinstance(node, list):
            pending += [(f"{path}/{index}", item, depth + 1) for index, item in enumerate(node)]
        elif isinstance(node, float) and not math.isfinite(node):
            faults.append(f"{path}: expected a finite number, got {node}")
        elif isinstance(node, str) and _SURROGATE.search(node):
            faults.append(f"{path}: holds half of a surrogate pair, which is no text")
        elif not (node is None or isinstance(node, str | int | float)):
            raise _NotJsonError(f"{path}: expected a JSON value, got {_kind(node)}")
    return faults


@lru_cache(maxsize=1)
def _validator() -> Draft202012Validator:
    from jsonschema import Draft202012Validator

    return Draft202012Validator({"$ref": "#/$defs/record", "$defs": schema()["$defs"]})


def _describe(error: ValidationError) -> str:
    path = "".join(f"/{_escape(part)}" for part in error.absolute_path)
    rule: Any = error.schema
    text = error.message
    if error.validator == "anyOf":
        text = f"got {error.instance!r}, expected: {rule['description']}"
    elif error.validator == "type":
        wanted = rule["type"] if isinstance(rule["type"], str) else " or ".join(rule["type"])
        text = f"got {error.instance!r}, expected {wanted}"
    return f"{path}: {text if len(text) <= _LONGEST else text[: _LONGEST - 3] + '...'}"


def _escape(part: object) -> str:
    return str(part).replace("~", "~0").replace("/", "~1")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    items = dict(pairs)
    if len(items) != len(pairs):
        seen: set[str] = set()
        repeated = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {repeated!r} occurs twice in one object")
    return items


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _kind(value: object) -> str:
    return type(value).__name__
