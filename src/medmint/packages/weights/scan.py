"""Tell whether a file of weights holds tensors alone, without loading it.

Lists of forbidden names always miss some, so this works the other way round: everything that a
file imports must be on a list of what tensors need. Whatever cannot be followed or read counts as
code. PyTorch files of all ages, plain pickles, NumPy files and safetensors are recognised by their
content; extensions do not matter.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from medmint.packages.weights.files import STORAGE_SIZES, scan_file
from medmint.packages.weights.pickles import Findings, UnreadableError

Verdict = Literal["tensors-only", "needs-code", "unreadable"]


def _allowed_imports() -> frozenset[str]:
    names = {
        "collections": "OrderedDict defaultdict Counter deque",
        "_codecs": "encode",
        "torch": "Size Tensor device bool qint8 quint8 qint32 quint4x2 quint2x4 bfloat16 "
        "float16 float32 float64 float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz "
        "half float double complex32 complex64 complex128 "
        "int8 int16 int32 int64 uint8 uint16 uint32 uint64 "
        "per_tensor_affine per_tensor_symmetric per_channel_affine per_channel_symmetric "
        "per_channel_affine_float_qparams",
        "torch.nn.parameter": "Parameter",
        "torch.serialization": "_get_layout",
        "torch.storage": "TypedStorage UntypedStorage _TypedStorage _UntypedStorage",
        "torch._tensor": "_rebuild_from_type_v2",
        "torch._utils": "_rebuild_tensor _rebuild_tensor_v2 _rebuild_tensor_v3 _rebuild_parameter "
        "_rebuild_parameter_with_state _rebuild_qtensor _rebuild_sparse_tensor "
        "_rebuild_meta_tensor_no_storage _rebuild_nested_tensor _rebuild_wrapper_subclass "
        "_rebuild_device_tensor_from_numpy _rebuild_device_tensor_from_cpu_tensor",
        "numpy": "ndarray dtype",
    }
    for core in ("numpy.core", "numpy._core"):
        names[f"{core}.multiarray"] = "_reconstruct scalar"
        names[f"{core}.numeric"] = "_frombuffer"
    for builtins in ("builtins", "__builtin__"):
        names[builtins] = "set frozenset bytearray bytes complex range xrange slice "
        names[builtins] += "list dict tuple int long float bool str unicode"
    allowed = {f"{module} {name}" for module, every in names.items() for name in every.split()}
    for module in ("torch", "torch.cuda"):
        for kind in STORAGE_SIZES:
            allowed |= {f"{module} {kind}Storage", f"{module} {kind}Tensor"}
            allowed.add(f"{module}.sparse {kind}Tensor")
    return frozenset(allowed)


#: All that tensors, arrays and plain containers need, as ``"module name"``.
TENSOR_IMPORTS = _allowed_imports()


@dataclass(frozen=True, slots=True)
class ScanReport:
    """What a file of weights asks for.

    Attributes
    ----------
    verdict : str
        ``"tensors-only"``; ``"needs-code"`` if loading it would run more than the rebuilding of
        tensors; ``"unreadable"`` if that cannot be told, to be treated like ``"needs-code"``.
    globals_found : tuple of str
        Everything that it imports, as ``module.name``, sorted.
    needs : tuple of str
        What of this goes beyond tensors, with further reasons in words, sorted.
    detail : str
        The finding in one sentence.
    """

    verdict: Verdict
    globals_found: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    detail: str = ""


def scan_weights(path: Path) -> ScanReport:
    """Scan one file of weights. Nothing in it is imported, unpickled or run.

    Parameters
    ----------
    path : Path
        The file. Memory stays bounded whatever is in it, and so does the time per byte.

    Returns
    -------
    ScanReport

    Examples
    --------
    >>> import pickle, tempfile
    >>> file = Path(tempfile.mkdtemp()) / "weights.pt"
    >>> _ = file.write_bytes(pickle.dumps({"scale": 2.0}))
    >>> scan_weights(file).verdict
    'tensors-only'
    >>> _ = file.write_bytes(pickle.dumps(print))
    >>> scan_weights(file).detail
    'Loading it needs builtins.print.'
    """
    findings = Findings()
    fault = ""
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            # What is tried as text and is none makes the decoder warn of its escape sequences.
            warnings.simplefilter("ignore", DeprecationWarning)
            scan_file(file, path.stat().st_size, findings)
    except (UnreadableError, OSError) as error:
        fault = str(error)
    return _report(findings, fault)


def _report(findings: Findings, fault: str) -> ScanReport:
    found = tuple(sorted(name.replace(" ", ".", 1) for name in findings.imports))
    foreign = (name.replace(" ", ".", 1) for name in findings.imports - TENSOR_IMPORTS)
    needs = tuple(sorted({*foreign, *findings.oddities}))
    if needs:
        shown = ", ".join(needs[:5]) + (f" and {len(needs) - 5} more" if len(needs) > 5 else "")
        broken = f" It is broken as well: {fault}." if fault else ""
        return ScanReport("needs-code", found, needs, f"Loading it needs {shown}.{broken}")
    if fault:
        return ScanReport("unreadable", found, (), f"It cannot be read to its end: {fault}.")
    return ScanReport("tensors-only", found, (), "It holds tensors and plain values alone.")
