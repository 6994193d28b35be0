"""R9: a catalogue of any content loads, or is refused with the place of each fault."""

import copy
import json
import random
import warnings

import pytest

from medmint import Generators
from medmint.errors import InvalidRecordError
from medmint.resources import config_file

CATALOGUE = json.loads(config_file("global.json").read_text(encoding="utf-8"))
IDS = list(CATALOGUE)
ODD = [None, True, 0, -1, 1.5, 10**30, "", " ", "x" * 10_000, "../x", "/etc/passwd", "file:///x"]
ODD += ["ftp://x/y", "http://x/y", "https://a:b@x/y", "https://xn--e1awd7f.com/x", "\ud800", "\0"]
ODD += ["https://zenodo.\u043erg/x", [], {}, [[]], {"": {}}, [None], {"type": "object"}, "NaN"]
BYTES = [b"NaN", b"Infinity", b"1e400", b"\xef\xbb\xbf", b"\xff", b"\0", b"{", b"]", b'"', b","]
BYTES += [b"-", b"\\u", b"\\ud800", b"[" * 10_000, b'{"a":' * 10_000, b"0", b"//", b"\n"]


def places(tree, path=()):
    """Yield the path of every node."""
    yield path
    if isinstance(tree, dict | list):
        for key, item in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from places(item, (*path, key))


def changed(tree, chance):
    """Return a tree with something in it replaced, removed, renamed, added or nested."""
    tree = copy.deepcopy(tree)
    path = chance.choice([place for place in places(tree) if place])
    parent = tree
    for key in path[:-1]:
        parent = parent[key]
    kind = chance.choice(["replace", "replace", "replace", "remove", "rename", "add", "nest"])
    if kind == "remove":
        del parent[path[-1]]
    elif kind == "rename" and isinstance(parent, dict):
        parent[chance.choice(["", "x", "__class__", "Execution"])] = parent.pop(path[-1])
    elif kind == "add" and isinstance(parent, dict):
        parent["unknown"] = chance.choice(ODD)
    elif kind == "nest":
        for _ in range(chance.choice([1, 70, 400])):
            parent[path[-1]] = [parent[path[-1]]]
    else:
        parent[path[-1]] = chance.choice(ODD)
    return tree


def mutated(chance):
    """Return the bytes of a small catalogue with up to three things wrong."""
    tree = {one: CATALOGUE[one] for one in chance.sample(IDS, 2)}
    for _ in range(chance.randint(0, 2)):
        tree = changed(tree, chance) if tree else tree
    text = json.dumps(tree).encode()
    if chance.random() < 0.5:
        place = chance.randrange(len(text))
        cut = chance.choice([place, place, place + 1, min(len(text), place + 50)])
        text = text[:place] + chance.choice([*BYTES, b""]) + text[cut:]
    return text


def use(file):
    """Do what a user does with a catalogue."""
    generators = Generators(catalogue=file)
    for model_id in generators.list_models():
        generators.info(model_id)
        generators.config_manager.record(model_id)
    generators.find_models("mammography")


def run(tmp_path, seed, numbers, record_property):
    file, refused, failed = tmp_path / "catalogue.json", 0, []
    for number in numbers:
        file.write_bytes(mutated(random.Random(f"catalogue {seed} {number}")))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                use(file)
        except InvalidRecordError as error:
            refused += 1
            if not error.faults:
                failed.append((number, "no fault is named"))
        except Exception as error:
            failed.append((number, repr(error)[:300]))
    record_property("cases", (len(numbers) - len(failed), len(numbers)))
    assert not failed, f"seed {seed}: {failed[:5]}"
    assert 0 < refused < len(numbers)


@pytest.mark.family("R9")
def test_sixty_mutations(tmp_path, fuzz_seed, record_property):
    run(tmp_path, fuzz_seed, range(60), record_property)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.family("R9")
def test_two_thousand_mutations(tmp_path, fuzz_seed, record_property):
    run(tmp_path, fuzz_seed, range(60, 2060), record_property)


@pytest.mark.family("R9")
@pytest.mark.parametrize("value", ODD, ids=range(len(ODD)))
@pytest.mark.parametrize("field", ["package_link", "package_name", "model_name", "extension"])
def test_odd_values_of_paths(field, value, tmp_path):
    one = IDS[0]
    tree = {one: copy.deepcopy(CATALOGUE[one])}
    tree[one]["execution"][field] = value
    file = tmp_path / "catalogue.json"
    file.write_text(json.dumps(tree))
    try:
        use(file)
    except InvalidRecordError as error:
        faults = error.faults
    else:
        faults = []
    is_text = isinstance(value, str) and "\ud800" not in value
    assert is_text or faults
    assert [fault for fault in faults if f"/{one}/execution/{field}" not in fault] == []
