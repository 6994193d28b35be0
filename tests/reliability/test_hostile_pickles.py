"""R8: hostile weights are never taken for tensors, harmless ones always are."""

import collections
import io
import pickle
import struct
import subprocess
import sys
import tarfile
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from medmint.packages.weights.scan import scan_weights

pytestmark = pytest.mark.family("R8")


def _text(value):
    """SHORT_BINUNICODE."""
    return b"\x8c" + bytes([len(value)]) + value.encode()


def _call(module, name, argument="id"):
    """Protocol 2: import module.name and call it with one text."""
    return f"\x80\x02c{module}\n{name}\n".encode("latin-1") + _text(argument) + b"\x85R."


def _reduced(protocol):
    class Evil:
        def __reduce__(self):
            return eval, ("1 + 1",)

    return pickle.dumps({"weights": Evil()}, protocol=protocol)


def _torch_zip(pickled, members=(), top="archive"):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(f"{top}/data.pkl", pickled)
        for name, data in members:
            archive.writestr(name, data)
    return buffer.getvalue()


def _harmless_torch_file():
    buffer = io.BytesIO()
    torch.save({"weight": torch.ones(4)}, buffer)
    return buffer.getvalue()


EVIL = _call("os", "system")
HARMLESS = pickle.dumps({"a": 1}, protocol=2)


def _with_other_local_name():
    data = bytearray(_torch_zip(HARMLESS, [("archive/x", b"1")]))
    place = data.index(b"archive/data.pkl")
    data[place : place + 16] = b"archive/evil.pkl"
    return bytes(data)


def _with_bad_sum():
    data = bytearray(_torch_zip(HARMLESS, [("archive/data/0", b"A" * 64)]))
    data[data.index(b"A" * 64)] ^= 1
    return bytes(data)


def _with_encryption_flag():
    data = bytearray(_torch_zip(HARMLESS))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def _with_two_directories():
    """Readers that trust the offset in the end record see the first archive, others the second."""
    return _torch_zip(EVIL) + _torch_zip(HARMLESS)


def _with_equal_names():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _torch_zip(HARMLESS, [("archive/data.pkl", EVIL)])


def _deflated_bomb():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", HARMLESS)
        archive.writestr("archive/data/0", bytes(200 * 2**20))
    return buffer.getvalue()


def _legacy(pickled):
    magic = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)
    head = magic + pickle.dumps(1001, protocol=2) + pickle.dumps({}, protocol=2)
    return head + pickled + pickle.dumps([], protocol=2)


def _tar(*, pax_headers=(), **members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.pax_headers = dict(pax_headers)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def _tar_with_link():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("pickle")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(member)
    return buffer.getvalue()


def _tar_that_is_a_pickle():
    """The first name, of an extended header that tar readers pass over, is a pickle."""
    data = bytearray(_tar(pickle=HARMLESS, pax_headers={"mtime": "1.5"}))
    data[:100] = EVIL.ljust(100, b"\0")
    data[148:156] = b" " * 8
    data[148:156] = f"{sum(data[:512]):06o}\0 ".encode()
    return bytes(data)


def _safetensors_that_is_a_pickle():
    """The length of the header reads as BINBYTES, which ends amid a text of the header."""
    skipped = 60
    length = ord("B") + (skipped << 8)
    start = '{"__metadata__": {"a": "'
    # A text of 32 letters twice, then BINPUT 0xd3 and STACK_GLOBAL, together one Cyrillic letter.
    program = "U a_module_of_exactly_32_characters"[:34] + "U " + "f" * 32 + "q\u04d3."
    text = start + "x" * (skipped - 3 - len(start)) + program + '"}}'
    return struct.pack("<Q", length) + text.encode().ljust(length)


def _object_array():
    buffer = io.BytesIO()
    np.save(buffer, np.array([{}], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def _nested():
    inner = b"B" + struct.pack("<I", len(EVIL)) + EVIL
    return b"\x80\x03c_pickle\nloads\n" + inner + b"\x85R."


HOSTILE = {
    # Functions that lists of forbidden names know, or have missed.
    "os.system": EVIL,
    "eval": _call("builtins", "eval"),
    "runpy": _call("runpy", "_run_code"),
    "collect_env": _call("torch.utils.collect_env", "run"),
    "spawnv_passfds": _call("multiprocessing.util", "spawnv_passfds"),
    "import_module": _call("importlib", "import_module"),
    "runstring": _call("numpy.testing._private.utils", "runstring"),
    "pip": _call("pip._internal.cli.main", "main"),
    "read_csv": _call("pandas", "read_csv", "https://127.0.0.1/"),
    "interpreters": _call("_interpreters", "create"),
    "unknown module": _call("mypkg.evil", "run"),
    "broken tail": EVIL[:-1] + b"\xff\xff",
    # Protocols.
    **{f"protocol {protocol}": _reduced(protocol) for protocol in range(6)},
    # Names that come by detours.
    "name from the memo": b"\x80\x04" + _text("os") + b"\x940" + _text("system") + b"\x940"
    b"h\x00h\x01\x93" + _text("id") + b"\x85R.",
    "name from a copy": b"\x80\x04" + _text("posix") + b"2\x93.",
    "name from a call": b"\x80\x04"
    + _text("os")
    + b"c_codecs\nencode\n"
    + _text("system")
    + b"\x85R\x93"
    + _text("id")
    + b"\x85R.",
    "dotted name": b"\x80\x04"
    + _text("torch._utils")
    + _text("_rebuild_tensor.__globals__")
    + b"\x93.",
    "INST": b"(S'id'\nios\nsystem\n.",
    "OBJ": b"(cos\nsystem\nS'id'\no.",
    "OBJ of something computed": b"((tS'id'\no.",
    "extension code": b"\x80\x02\x82\x01.",
    "BUILD of a class": b"\x80\x02ctorch._utils\n_rebuild_tensor\n}"
    + _text("__code__")
    + b"Ns}\x86b.",
    "call of a result": b"\x80\x02ctorch\nSize\n)R)R.",
    # Pickles in pickles, pickles after pickles.
    "pickle in a pickle": _nested(),
    "tensor storage from bytes": b"\x80\x03ctorch.storage\n_load_from_bytes\nC\x00\x85R.",
    "second stream": HARMLESS + EVIL,
    "second stream after junk": HARMLESS + b"\0\0" + EVIL,
    "legacy PyTorch": _legacy(EVIL),
    "legacy PyTorch, sixth stream": _legacy(HARMLESS) + EVIL,
    "cut off": HARMLESS[:-1],
    # Archives.
    "PyTorch zip": _torch_zip(EVIL),
    "upper-case name": _torch_zip(HARMLESS, [("archive/DATA.PKL", EVIL)]),
    "extension confusion": _torch_zip(HARMLESS, [("archive/README.txt", EVIL)]),
    "pickle as storage": _torch_zip(HARMLESS, [("archive/data/0", EVIL)]),
    "zip in a zip": _torch_zip(HARMLESS, [("archive/more", _torch_zip(EVIL))]),
    "other local name": _with_other_local_name(),
    "bad sum": _with_bad_sum(),
    "encrypted": _with_encryption_flag(),
    "cut-off zip": _harmless_torch_file()[:-30],
    "bytes after the zip": _harmless_torch_file() + EVIL,
    "zip after a pickle": EVIL + _harmless_torch_file(),
    "harmless pickle before a zip": HARMLESS + _torch_zip(EVIL),
    "two directories": _with_two_directories(),
    "equal names": _with_equal_names(),
    "bomb": _deflated_bomb,
    "tar": _tar(pickle=EVIL),
    "tar, storages": _tar(pickle=HARMLESS, storages=EVIL),
    "tar with a link": _tar_with_link(),
    "tar that is a pickle": _tar_that_is_a_pickle(),
    "safetensors that is a pickle": _safetensors_that_is_a_pickle(),
    "array of objects": _object_array(),
    "array of objects in a zip": _torch_zip(HARMLESS, [("a.npy", _object_array())]),
    "compressed": b"\x1f\x8b\x08" + EVIL,
}


def _bytes_of(case):
    return HOSTILE[case]() if callable(HOSTILE[case]) else HOSTILE[case]


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_weights_are_never_tensors_only(tmp_path, case):
    path = tmp_path / "weights.pt"
    path.write_bytes(_bytes_of(case))
    assert scan_weights(path).verdict != "tensors-only"


def _network():
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Linear(4, 2)
    )


def _trained():
    network = _network()
    optimizer = torch.optim.Adam(network.parameters())
    network[2](torch.ones(1, 4)).sum().backward()
    optimizer.step()
    return {"model": network.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}


def _save(value, **options):
    return lambda path: torch.save(value, path, **options)


def _pickled(value, protocol):
    return lambda path: path.write_bytes(pickle.dumps(value, protocol=protocol))


def _legacy_tar(path):
    """As PyTorch 0.1.1 wrote it: storages and tensors with raw numbers between pickles."""
    ones = np.ones(6, dtype="<f4").tobytes()
    storage = b"\x80\x02K\x01" + _text("cpu") + b"ctorch\nFloatStorage\n\x87."
    tensor = b"\x80\x02K\x02K\x01ctorch\nFloatTensor\n\x87."
    shape = struct.pack("<iiqqqqq", 2, 0, 2, 3, 3, 1, 0)
    path.write_bytes(
        _tar(
            sys_info=pickle.dumps({"protocol_version": 1000}, protocol=2),
            pickle=b"\x80\x02ccollections\nOrderedDict\n)R" + _text("weight") + b"K\x02Qs.",
            tensors=pickle.dumps(1, protocol=2) + tensor + shape,
            storages=pickle.dumps(1, protocol=2)
            + storage
            + struct.pack("<q", 6)
            + ones
            + pickle.dumps([], protocol=2),
        )
    )


STATE = _network().state_dict()
ARRAYS = {name: tensor.numpy() for name, tensor in STATE.items()}
OLD = {"_use_new_zipfile_serialization": False}
BENIGN = {
    "PyTorch zip": _save(STATE),
    **{f"PyTorch zip, protocol {n}": _save(STATE, pickle_protocol=n) for n in (3, 4, 5)},
    **{
        f"legacy PyTorch, protocol {n}": _save(STATE, pickle_protocol=n, **OLD) for n in range(2, 6)
    },
    "checkpoint with optimizer": _save(_trained()),
    "legacy checkpoint with optimizer": _save(_trained(), **OLD),
    "half precision": _save({name: tensor.half() for name, tensor in STATE.items()}),
    "bfloat16": _save({name: tensor.bfloat16() for name, tensor in STATE.items()}),
    "parameters": _save(list(_network().parameters())),
    "shared storage": _save({"all": torch.arange(10), "part": torch.arange(10)[2:5]}),
    "sparse": _save(torch.eye(3).to_sparse()),
    "complex and integers": _save([torch.ones(2, dtype=torch.complex64), torch.ones(2, dtype=int)]),
    "sizes, types, devices": _save([torch.Size([1, 2]), torch.float16, torch.device("cpu")]),
    "no storages": _save({}, **OLD),
    "many equal bytes": _save({"grey": torch.full((4096,), 40, dtype=torch.uint8)}),
    "line feeds and c": _save(torch.tensor([99, 10, 10, 10])),
    "NumPy scalars": _save({"loss": np.float64(0.5), "mean": np.ones(3)}),
    **{f"pickled arrays, protocol {n}": _pickled(ARRAYS, n) for n in range(6)},
    "pickled counters": _pickled([collections.Counter("aab"), collections.defaultdict(list)], 4),
    "npz": lambda path: np.savez(path.open("wb"), **ARRAYS),
    "safetensors": lambda path: save_file(STATE, path),
    "legacy tar": _legacy_tar,
}


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("case", BENIGN)
def test_harmless_weights_are_tensors_only(tmp_path, case):
    path = tmp_path / "weights.pt"
    BENIGN[case](path)
    report = scan_weights(path)
    assert report.verdict == "tensors-only", report


def test_the_legacy_tar_of_these_tests_is_one(tmp_path):
    path = tmp_path / "weights.pt"
    _legacy_tar(path)
    assert torch.equal(torch.load(path, weights_only=False)["weight"], torch.ones(2, 3))


def test_scanning_imports_nothing(tmp_path):
    for number, case in enumerate(HOSTILE):
        (tmp_path / f"{number}.pt").write_bytes(_bytes_of(case))
    script = (
        "import sys, pathlib\n"
        "from medmint.packages.weights.scan import scan_weights\n"
        "files = sorted(pathlib.Path(sys.argv[1]).iterdir())\n"
        # The first scan may load codecs and the like, as any first use of a module does.
        "[scan_weights(file) for file in files[:1]]\n"
        "before = set(sys.modules)\n"
        "[scan_weights(file) for file in files]\n"
        "new = {name for name in set(sys.modules) - before if not name.startswith('encodings.')}\n"
        "print(len(files), sorted(new), 'torch' in sys.modules, 'pickle' in sys.modules)\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=True
    )
    assert answer.stdout.split(maxsplit=1)[0] == str(len(HOSTILE))
    assert answer.stdout.strip().endswith("[] False True"), answer.stdout


def test_memory_is_bounded(tmp_path):
    """A bomb, a 600 MB array and an endless line are scanned in a small process."""
    resource = pytest.importorskip("resource")
    del resource
    (tmp_path / "bomb.pt").write_bytes(_deflated_bomb())
    with (tmp_path / "line.pt").open("wb") as file:
        file.write(b"V")
        file.truncate(600 * 2**20)
    with (tmp_path / "array.pt").open("wb") as file:
        file.write(b"\x80\x04\x8e" + struct.pack("<Q", 600 * 2**20))
        file.truncate(600 * 2**20 + 11)
    script = (
        "import sys, resource, pathlib\n"
        "from medmint.packages.weights.scan import scan_weights\n"
        "resource.setrlimit(resource.RLIMIT_AS, (450 * 2**20, 450 * 2**20))\n"
        "files = pathlib.Path(sys.argv[1]).iterdir()\n"
        "print({scan_weights(file).verdict for file in files})\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "{'unreadable'}"


def test_repository_holds_no_unpickling():
    """The scan itself must not be able to load what it looks at."""
    folder = Path(sys.modules["medmint.packages.weights.scan"].__file__).parent
    for name in ("scan.py", "pickles.py", "files.py"):
        text = (folder / name).read_text(encoding="utf-8")
        assert "import pickle\n" not in text
        assert "importlib" not in text
