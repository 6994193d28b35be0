"""The scan of pickled weights: what it recognises, and how it says so."""

import io
import json
import pickle
import struct
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from medmint.packages.weights.pickles import Findings, UnreadableError, Window, scan_stream
from medmint.packages.weights.scan import scan_weights


class _Call:
    """Pickles as a call of any function."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def _scan(tmp_path, data):
    path = tmp_path / "weights.bin"
    path.write_bytes(data)
    return scan_weights(path)


def test_report_names_what_goes_beyond_tensors(tmp_path):
    report = _scan(tmp_path, pickle.dumps({"a": np.zeros(2), "b": _Call(print, "hello")}))
    assert report.verdict == "needs-code"
    assert report.needs == ("builtins.print",)
    assert "numpy.dtype" in report.globals_found
    assert report.detail == "Loading it needs builtins.print."


def test_report_of_many_names_stays_short(tmp_path):
    functions = [print, len, abs, min, max, sum, any, all]
    report = _scan(tmp_path, pickle.dumps([_Call(function, []) for function in functions]))
    assert len(report.needs) == 8
    assert report.detail.endswith("and 3 more.")


def test_code_counts_although_the_file_is_broken_behind_it(tmp_path):
    report = _scan(tmp_path, pickle.dumps(_Call(print))[:-1])
    assert report.verdict == "needs-code"
    assert "broken" in report.detail


def test_missing_file_is_unreadable(tmp_path):
    assert scan_weights(tmp_path / "absent.pt").verdict == "unreadable"


@pytest.mark.parametrize("data", [b"", b"hello world", b"\0" * 2000, b"PK\x05\x06" + b"\0" * 18])
def test_other_files_are_unreadable(tmp_path, data):
    assert _scan(tmp_path, data).verdict == "unreadable"


def test_whole_module_needs_code(tmp_path):
    path = tmp_path / "module.pt"
    torch.save(torch.nn.Linear(2, 2), path)
    report = scan_weights(path)
    assert report.verdict == "needs-code"
    assert "torch.nn.modules.linear.Linear" in report.needs


def test_torchscript_needs_code(tmp_path):
    path = tmp_path / "program.pt"
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("program/data.pkl", pickle.dumps({}, protocol=2))
        file.writestr("program/code/__torch__.py", "def forward(self): ...")
    path.write_bytes(archive.getvalue())
    assert scan_weights(path).needs == ("a TorchScript program",)


def test_numpy_object_array_needs_code(tmp_path):
    np.save(tmp_path / "plain.npy", np.arange(4.0))
    np.save(tmp_path / "objects.npy", np.array([{}, []], dtype=object), allow_pickle=True)
    fields = np.zeros(2, dtype=[("image", "f4", (3,)), ("name", "U5")])
    np.savez_compressed(tmp_path / "plain.npz", a=np.ones(3), b=fields)
    hidden = np.zeros(2, dtype=[("image", "f4"), ("other", "O")])
    np.savez(tmp_path / "objects.npz", a=np.ones(3), b=hidden)
    verdicts = {path.name: scan_weights(path).verdict for path in tmp_path.iterdir()}
    assert verdicts == {
        "plain.npy": "tensors-only",
        "plain.npz": "tensors-only",
        "objects.npy": "needs-code",
        "objects.npz": "needs-code",
    }


def _safetensors(header, data=b"\0" * 16):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def test_safetensors_is_recognised(tmp_path):
    weights = {"a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}
    assert _scan(tmp_path, _safetensors(weights)).verdict == "tensors-only"


@pytest.mark.parametrize(
    "header",
    [
        {"a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 16]}},
        {"a": {"dtype": "F32", "shape": [8], "data_offsets": [0, 32]}},
        {"a": {"dtype": "F99", "shape": [2], "data_offsets": [0, 16]}},
        {"a": 3},
        b"{not json",
        b'{"a":' * 5000,
    ],
)
def test_safetensors_with_a_false_header_is_unreadable(tmp_path, header):
    assert _scan(tmp_path, _safetensors(header)).verdict == "unreadable"


def test_huge_array_in_a_pickle_is_passed_over_unread(tmp_path):
    path = tmp_path / "large.pkl"
    with path.open("wb") as file:
        file.write(b"\x80\x04\x8e" + struct.pack("<Q", 200 * 2**20))
        file.seek(200 * 2**20, 1)
        file.write(b".")
    assert scan_weights(path).verdict == "tensors-only"


def test_endless_program_is_given_up():
    data = b"N" * 500 + b"."
    with pytest.raises(UnreadableError, match="more than 100 steps"):
        scan_stream(Window(io.BytesIO(data), len(data)), Findings(most_steps=100))


# Whoever puts the end mark of a zip archive into a pickle is refused, so leave it out.
_bytes = st.binary().filter(lambda data: b"PK\x05\x06" not in data)
_plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | _bytes,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.frozensets(st.text()),
    max_leaves=20,
)


@given(value=_plain, protocol=st.integers(0, 5))
def test_plain_values_of_any_protocol_are_tensors_only(tmp_path_factory, value, protocol):
    path = tmp_path_factory.getbasetemp() / "value.pkl"
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    assert scan_weights(path).verdict == "tensors-only"


@given(value=_plain, protocol=st.integers(0, 5), data=st.data())
def test_a_call_is_found_wherever_it_is(tmp_path_factory, value, protocol, data):
    wrapped = data.draw(st.permutations([value, _Call(eval, "1"), value]))
    path = tmp_path_factory.getbasetemp() / "call.pkl"
    path.write_bytes(pickle.dumps(wrapped, protocol=protocol))
    report = scan_weights(path)
    assert report.verdict == "needs-code"
    assert {"builtins.eval", "__builtin__.eval"} & set(report.needs)


@given(garbage=st.binary(max_size=400))
def test_random_bytes_are_answered(tmp_path_factory, garbage):
    path = tmp_path_factory.getbasetemp() / "garbage.bin"
    path.write_bytes(garbage)
    assert scan_weights(path).verdict in ("tensors-only", "needs-code", "unreadable")


@given(position=st.integers(0, 10**6), byte=st.integers(0, 255))
def test_a_changed_byte_in_a_torch_file_never_escapes_as_another_error(
    tmp_path_factory, position, byte
):
    buffer = io.BytesIO()
    torch.save({"a": torch.ones(3)}, buffer)
    data = bytearray(buffer.getvalue())
    data[position % len(data)] = byte
    path = tmp_path_factory.getbasetemp() / "changed.pt"
    path.write_bytes(data)
    assert scan_weights(path).verdict in ("tensors-only", "needs-code", "unreadable")


def test_bytes_that_look_like_odd_escapes_warn_nobody(tmp_path):
    assert _scan(tmp_path, b"c\\\xa4\nx\n.").verdict == "unreadable"
