"""R7: archives made to do harm are refused, and nothing of them lands anywhere."""

import random
import re
import struct
import time

import psutil
import pytest

from medmint.errors import IntegrityError, PackageError, UnsafeArchiveError
from medmint.packages.archive.unpacking import inspect, unpack
from tests.fakes.archives import STORED, Member, build, harmless, hostile

HOSTILE = hostile()
HARMLESS = harmless()
SAMPLE, FULL = 40, 1000
LONGEST = 5.0
MOST_MEMORY = 200 << 20


def everything_below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.family("R7")
@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_archive_is_refused_and_leaves_nothing(what, tmp_path):
    content, rule = HOSTILE[what]
    archive = tmp_path / "model.zip"
    archive.write_bytes(content)
    before = everything_below(tmp_path.parent)
    with pytest.raises((UnsafeArchiveError, IntegrityError), match=re.escape(rule)) as caught:
        unpack(archive, tmp_path / "files")
    assert str(archive) in str(caught.value)
    assert everything_below(tmp_path.parent) == before


@pytest.mark.family("R7")
@pytest.mark.parametrize("what", HARMLESS)
def test_a_harmless_look_alike_is_unpacked_whole(what, tmp_path):
    archive = tmp_path / "model.zip"
    archive.write_bytes(HARMLESS[what])
    report = unpack(archive, tmp_path / "files")
    written = [path for path in (tmp_path / "files").rglob("*") if path.is_file()]
    names = {path.relative_to(tmp_path / "files").as_posix() for path in written}
    assert names == {member.name for member in report.files}
    assert sum(path.stat().st_size for path in written) == report.size


def test_there_are_enough_cases():
    assert len(HOSTILE) >= 40
    assert len(HARMLESS) >= 25


def base_archive() -> bytes:
    return build(
        [
            Member("package/__init__.py", b"def generate():\n    return []\n" * 20),
            Member("package/weights.pt", random.Random(1).randbytes(3000), method=STORED),
            Member("package/models/__init__.py", b""),
            Member("package/zeros.npy", bytes(20_000)),
        ]
    )


def flips(data, places, chance, count):
    for place in chance.choices(places, k=count):
        data[place] ^= 1 << chance.randrange(8)


def marks(data, signature):
    return [match.start() for match in re.finditer(re.escape(signature), bytes(data))]


def in_headers(signature, first, last):
    """Return a mutation that flips bits at these places of all headers of one kind."""

    def mutate(data, chance):
        starts = marks(data, signature)
        places = [start + place for start in starts for place in range(first, last)]
        flips(data, [place for place in places if place < len(data)], chance, chance.randint(1, 4))

    return mutate


def replaced_field(signature, place, form, values):
    """Return a mutation that writes an extreme value into one field of a header."""

    def mutate(data, chance):
        start = chance.choice(marks(data, signature))
        struct.pack_into(form, data, start + place, chance.choice(values))

    return mutate


def flipped_anywhere(data, chance):
    flips(data, range(len(data)), chance, chance.randint(1, 20))


def truncated(data, chance):
    del data[chance.randrange(len(data)) :]


def with_bytes_in_between(data, chance):
    place = chance.randrange(len(data))
    data[place:place] = chance.randbytes(chance.randint(1, 64))


def spliced(data, chance):
    start, end = sorted(chance.choices(range(len(data)), k=2))
    place = chance.randrange(len(data))
    data[place:place] = data[start:end]


LOCAL, DIRECTORY, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
EXTREMES = (0, 1, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)
MUTATIONS = {
    "local headers": in_headers(LOCAL, 4, 30),
    "local names": in_headers(LOCAL, 30, 48),
    "directory": in_headers(DIRECTORY, 4, 46),
    "directory names": in_headers(DIRECTORY, 46, 64),
    "end record": in_headers(END, 4, 22),
    "sizes": replaced_field(DIRECTORY, 24, "<I", EXTREMES),
    "offsets": replaced_field(DIRECTORY, 42, "<I", (*range(0, 4000, 31), *EXTREMES)),
    "anywhere": flipped_anywhere,
    "lengths": truncated,
    "splices": lambda data, chance: chance.choice((spliced, with_bytes_in_between))(data, chance),
}


def unpacked_safely(content, folder):
    """Tell whether an archive is either refused, with nothing left, or unpacked as reported."""
    folder.mkdir()
    archive, files = folder / "model.zip", folder / "files"
    archive.write_bytes(content)
    started = time.monotonic()
    try:
        declared = inspect(archive).size
        report = unpack(archive, files)
    except PackageError:
        is_good = everything_below(folder) == ["model.zip"]
    else:
        found = list(files.rglob("*"))
        size = sum(path.stat().st_size for path in found if path.is_file())
        is_good = size == report.size == declared and not any(path.is_symlink() for path in found)
        is_good = is_good and {path.name for path in folder.iterdir()} == {"model.zip", "files"}
    return is_good and time.monotonic() - started < LONGEST


def run_mutations(kind, number, seed, tmp_path, record_property):
    chance = random.Random(f"{seed} {kind}")
    process, base = psutil.Process(), base_archive()
    memory = process.memory_info().rss
    failures = []
    for case in range(number):
        data = bytearray(base)
        MUTATIONS[kind](data, chance)
        if not unpacked_safely(bytes(data), tmp_path / str(case)):
            failures.append(case)
    record_property("cases", (number - len(failures), number))
    assert not failures, f"seed {seed}, {kind}: cases {failures[:10]}"
    assert process.memory_info().rss - memory < MOST_MEMORY
    assert {path.name for path in tmp_path.iterdir()} == {str(case) for case in range(number)}


@pytest.mark.family("R7 fuzz")
@pytest.mark.parametrize("kind", MUTATIONS)
def test_a_damaged_archive_is_refused_or_unpacked_as_it_says(
    kind, fuzz_seed, tmp_path, record_property
):
    run_mutations(kind, SAMPLE, fuzz_seed, tmp_path, record_property)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.family("R7 fuzz")
@pytest.mark.parametrize("kind", MUTATIONS)
def test_a_thousand_damaged_archives_of_each_kind(kind, fuzz_seed, tmp_path, record_property):
    run_mutations(kind, FULL, fuzz_seed, tmp_path, record_property)
