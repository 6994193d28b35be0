"""The process that runs model code.

One file that needs nothing but the standard library and numpy, because it also runs inside the
private environments of models. medmint starts it as
``python -s -P -B -X utf8 worker.py OWNER SCRATCH``: the process id of whoever asked for it, and the
temporary folder to remove if that process vanishes. The flags are those of ``-I``, except that
PYTHONHASHSEED counts: sets in model code keep their order from run to run.

Standard input and output carry frames: four bytes of length (big endian), a JSON object, then the
raw bytes of the arrays that the object describes. Nothing is ever pickled. What model code prints
goes to standard error, which medmint has pointed at a log file.
"""

from __future__ import annotations

import contextlib
import copy
import faulthandler
import importlib.util
import inspect
import json
import os
import queue
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, NamedTuple

import numpy as np

PROTOCOL = 1
DTYPES = frozenset(
    {"bool", "uint8", "uint16", "int16", "int32", "int64", "float16", "float32", "float64"}
)
_READABLE = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".npy"})
LARGEST_MESSAGE = 1 << 24
LARGEST_ARRAY = 1 << 33
LARGEST_LOG = 1 << 26
WATCH_SECONDS = 1.0
#: By this name published packages take latent vectors.
LATENT_ARGUMENT = "input_latent_vector"

Arrays = dict[str, np.ndarray]


class ProtocolError(Exception):
    """The other side sent something that is not a frame."""


class Frame(NamedTuple):
    """One message with its arrays."""

    message: dict[str, Any]
    arrays: Arrays


def encode_frame(
    message: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> list[bytes | memoryview]:
    """Turn a message and its arrays into what is sent; the order of the arrays is kept.

    Raises
    ------
    ProtocolError, TypeError, ValueError
        If something in it cannot be sent. Nothing was sent then, so the stream stays in use.
    """
    described, parts = [], []
    for name, given in arrays.items():
        if given.dtype.name not in DTYPES:
            raise ProtocolError(f"{name} is of type {given.dtype}, which cannot be sent")
        array = np.asarray(given, dtype=given.dtype.newbyteorder("="), order="C")
        if array.nbytes > LARGEST_ARRAY:
            raise ProtocolError(f"{name} has {array.nbytes} bytes, more than {LARGEST_ARRAY}")
        described.append([name, array.dtype.name, list(array.shape)])
        if array.size:
            parts.append(array.data.cast("B"))
    header = json.dumps({**message, "arrays": described}, allow_nan=False).encode()
    if len(header) > LARGEST_MESSAGE:
        raise ProtocolError(f"a message of {len(header)} bytes, more than {LARGEST_MESSAGE}")
    return [len(header).to_bytes(4, "big") + header, *parts]


def write_frame(stream: BinaryIO, parts: list[bytes | memoryview]) -> None:
    """Send an encoded frame."""
    for part in parts:
        view = memoryview(part)
        while view:
            view = view[stream.write(view) :]
    stream.flush()


def read_frame(stream: BinaryIO) -> Frame | None:
    """Receive a frame, or None where the stream has ended between two frames."""
    prefix = stream.read(4)
    if not prefix:
        return None
    while len(prefix) < 4:
        more = stream.read(4 - len(prefix))
        if not more:
            raise EOFError
        prefix += more
    length = int.from_bytes(prefix, "big")
    if length > LARGEST_MESSAGE:
        raise ProtocolError(f"a message of {length} bytes")
    header = bytearray(length)
    _read_all(stream, memoryview(header))
    try:
        message = json.loads(header)
        described = message.pop("arrays")
        arrays = {str(name): _read_array(stream, dtype, shape) for name, dtype, shape in described}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ProtocolError(f"a frame that cannot be read ({error})") from error
    return Frame(message, arrays)


def _read_array(stream: BinaryIO, dtype: str, shape: list[int]) -> np.ndarray:
    if dtype not in DTYPES or not all(isinstance(side, int) and side >= 0 for side in shape):
        raise ProtocolError(f"an array of type {dtype} and shape {shape}")
    if np.dtype(dtype).itemsize * int(np.prod(shape, dtype=object)) > LARGEST_ARRAY:
        raise ProtocolError(f"an array of shape {shape}, larger than {LARGEST_ARRAY} bytes")
    array = np.empty(shape, dtype)
    if array.size:
        _read_all(stream, array.data.cast("B"))
    return array


def _read_all(stream: Any, view: memoryview) -> None:
    while view:
        count = stream.readinto(view)
        if not count:
            raise EOFError
        view = view[count:]


class RefusalError(Exception):
    """Something to tell the owner in a structured way: ``kind`` and ``facts``."""

    def __init__(self, kind: str, **facts: Any) -> None:
        super().__init__(kind)
        self.kind = kind
        self.facts = facts


class Runner:
    """A package, loaded once, called for each batch. Also used in the user's own process."""

    def __init__(self, job: Mapping[str, Any]) -> None:
        self.job = job
        self.device = _choose_device(job) if job["uses_torch"] else _only_cpu(job["device"])
        self._loads = KeptLoads()
        # Packages import their siblings by bare name, some of them only when they are called.
        sys.path.insert(0, job["root"])
        with self._loads:
            self.module = _import_package(Path(job["root"]), job["alias"])
            is_sampler = job["contract"] == "sampler"
            self.call = self._load_sampler() if is_sampler else self._find_function()

    def run(self, request: Mapping[str, Any], arrays: Arrays) -> tuple[dict[str, Any], Arrays]:
        """Generate one batch; return labels that are no arrays, and arrays of equal length."""
        with self._loads, _inference_mode():
            return self.call(request, arrays)

    def _load_sampler(self) -> Callable[..., tuple[dict[str, Any], Arrays]]:
        load = getattr(self.module, "load", None)
        if not callable(load):
            raise RefusalError(
                "contract", expected="a function load(weights, device)", found="none"
            )
        self.sampler = load(self.job["weights"], self.device)
        if not callable(getattr(self.sampler, "sample", None)):
            found = f"an object of type {type(self.sampler).__name__}"
            raise RefusalError(
                "contract", expected="load() to return an object with sample()", found=found
            )
        return self._sample

    def _sample(self, request: Mapping[str, Any], arrays: Arrays) -> tuple[dict[str, Any], Arrays]:
        condition = arrays.get("condition")
        outputs = self.sampler.sample(arrays["latents"], condition, **request["options"])
        if not isinstance(outputs, Mapping) or "image" not in outputs:
            keys = f" with {sorted(map(str, outputs))}" if isinstance(outputs, Mapping) else ""
            found = f"{type(outputs).__name__}{keys}"
            raise RefusalError(
                "contract", expected="sample() to return a dict with 'image'", found=found
            )
        table = {f"table.{name}": column for name, column in (outputs.get("table") or {}).items()}
        named = {name: value for name, value in outputs.items() if name != "table"} | table
        return {}, {str(name): _as_array(name, value) for name, value in named.items()}

    def _find_function(self) -> Callable[..., tuple[dict[str, Any], Arrays]]:
        name = self.job["function"]
        if not callable(getattr(self.module, name, None)):
            raise RefusalError("contract", expected=f"a function {name}()", found="none")
        return self._generate

    def _generate(
        self, request: Mapping[str, Any], arrays: Arrays
    ) -> tuple[dict[str, Any], Arrays]:
        _seed_everything(request["seed"])
        function = getattr(self.module, self.job["function"])
        options = dict(request["options"])
        if "latents" in arrays:
            _check_takes(function, LATENT_ARGUMENT)
            # As convolutions take them: one pixel with a channel for each value.
            options[LATENT_ARGUMENT] = arrays["latents"][:, :, None, None]
        with tempfile.TemporaryDirectory(prefix="medmint-output-") as folder:
            samples = function(
                model_file=self.job["weights"],
                num_samples=request["num_samples"],
                output_path=folder,
                save_images=False,
                **options,
            )
            # Some packages write their files although they were asked to return samples.
            return stack_samples(samples if _is_filled(samples) else read_written(Path(folder)))


def _check_takes(function: Callable[..., Any], argument: str) -> None:
    """Refuse a function that has no such argument."""
    parameters = inspect.signature(function).parameters
    takes_all = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
    if argument not in parameters and not takes_all:
        expected = f"a function {function.__name__}() with the argument {argument}"
        raise RefusalError("contract", expected=expected, found="one without")


class KeptLoads:
    """Stands in for ``torch.load`` and keeps what was read: packages load for every batch anew.

    Each caller gets a copy of the top level. The weights were scanned before, or the user allows
    them to hold anything, so they may hold more than PyTorch accepts by default.
    """

    def __init__(self) -> None:
        self._kept: dict[Any, dict[Any, Any]] = {}
        self._original: Callable[..., Any] | None = None

    def __enter__(self) -> None:
        torch: Any = sys.modules.get("torch")
        if torch is not None:
            self._original, torch.load = torch.load, self

    def __exit__(self, *_: object) -> None:
        torch: Any = sys.modules.get("torch")
        if self._original is not None:
            torch.load, self._original = self._original, None

    def __call__(self, source: Any, *args: Any, **options: Any) -> Any:
        """Load a file as ``torch.load`` does, or return what it held when it was read."""
        import torch

        if options.get("weights_only") is None:
            options["weights_only"] = False
        if not isinstance(source, str | os.PathLike):
            return torch.serialization.load(source, *args, **options)
        state = Path(source).stat()
        key = (os.fspath(source), state.st_mtime_ns, state.st_size, repr((args, options)))
        if key not in self._kept:
            loaded = torch.serialization.load(source, *args, **options)
            if not isinstance(loaded, dict):
                # Whole networks may be changed by their users: only tables of tensors are kept.
                return loaded
            self._kept[key] = loaded
        return copy.copy(self._kept[key])


def read_written(folder: Path) -> list[tuple[np.ndarray, ...]]:
    """Read the samples that a package wrote: pictures or arrays, those named as masks behind."""
    files = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in _READABLE]
    masks = [path for path in files if "mask" in path.stem.lower()]
    images = [path for path in files if path not in masks]
    columns = [images, masks] if len(masks) == len(images) else [images]
    return [tuple(_read_file(path) for path in row) for row in zip(*columns, strict=True)]


def _read_file(path: Path) -> np.ndarray:
    if path.suffix == ".npy":
        return np.asarray(np.load(path, allow_pickle=False))
    from PIL import Image

    return np.asarray(Image.open(path))


def _is_filled(samples: Any) -> bool:
    return samples is not None and (not isinstance(samples, list) or bool(samples))


def stack_samples(samples: Any) -> tuple[dict[str, Any], Arrays]:
    """Turn what a generate function returned into arrays of equal length.

    Samples are arrays or tuples of an image, then, in the order found, a mask and other arrays;
    a text or a number in a tuple is the label. Nested lists of samples are flattened.
    """
    rows = [_parts(sample) for sample in _flatten(samples)]
    if not rows:
        found = f"{type(samples).__name__} without any"
        raise RefusalError("contract", expected="a list of arrays", found=found)
    most = max(len(images) for images, _ in rows)
    names = ["image", "mask", *(f"extra_{i}" for i in range(1, most - 1))]
    stacked = {}
    for position, name in zip(range(most), names, strict=False):
        column = [images[position] if position < len(images) else None for images, _ in rows]
        shapes = sorted({"none" if part is None else str(part.shape) for part in column})
        if len(shapes) > 1:
            found = " and ".join(shapes)
            raise RefusalError("contract", expected=f"{name} of one shape", found=found)
        stacked[name] = np.stack([part for part in column if part is not None])
    labels = [label for _, label in rows]
    values = {"label": labels} if any(label is not None for label in labels) else {}
    return values, stacked


def _flatten(samples: Any) -> Iterator[Any]:
    if isinstance(samples, list):
        for item in samples:
            yield from _flatten(item)
    elif getattr(samples, "ndim", 0) > 3:
        yield from samples
    elif samples is not None:
        yield samples


def _parts(sample: Any) -> tuple[list[np.ndarray], Any]:
    images, label = [], None
    for part in sample if isinstance(sample, tuple) else (sample,):
        if isinstance(part, str):
            label = str(part)
        elif part is not None:
            array = _as_array("a sample", part)
            # A class may come as a tensor of one number; pictures have two sides or more.
            if array.ndim > 1 or array.size != 1:
                images.append(array)
            else:
                label = array.item()
    if not images:
        found = type(sample).__name__
        raise RefusalError("contract", expected="samples with an image", found=found)
    return images, label


def _as_array(name: str, value: Any) -> np.ndarray:
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    array = np.asarray(value)
    if array.dtype.name not in DTYPES:
        expected = f"{name} as an array of one of the types {', '.join(sorted(DTYPES))}"
        raise RefusalError("contract", expected=expected, found=f"type {array.dtype}")
    return array


def _import_package(root: Path, alias: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        alias, root / "__init__.py", submodule_search_locations=[str(root)]
    )
    if spec is None or spec.loader is None or not (root / "__init__.py").is_file():
        raise RefusalError("contract", expected="a file __init__.py", found=f"none in {root.name}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[alias] = module
    spec.loader.exec_module(module)
    return module


def _choose_device(job: Mapping[str, Any]) -> str:
    import torch

    device: str = job["device"]
    cards = (
        [f"cuda:{i}" for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    )
    available = [*cards, *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]
    if device == "auto":
        return available[0]
    # Generate functions take the first card they see: the owner shows them only the one asked for.
    sees_one = job["contract"] == "generate" and not job["inline"]
    wanted = "cuda:0" if device == "cuda" or (sees_one and device.startswith("cuda:")) else device
    if wanted not in available:
        raise RefusalError("device", device=device, available=available)
    return wanted


def _only_cpu(device: str) -> str:
    if device not in ("auto", "cpu"):
        raise RefusalError(
            "device", device=device, available=["cpu (this model runs on nothing else)"]
        )
    return "cpu"


def _inference_mode() -> contextlib.AbstractContextManager[Any]:
    torch = sys.modules.get("torch")
    return torch.inference_mode() if torch is not None else contextlib.nullcontext()


def _seed_everything(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - published packages draw from the global state
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)


def describe_failure(error: BaseException) -> dict[str, Any]:
    """Put an error of model code into words that fit into a frame."""
    if isinstance(error, RefusalError):
        return {"kind": error.kind, **error.facts}
    kind = "out_of_memory" if _is_out_of_memory(error) else "failed"
    text = str(error).strip().splitlines()
    reason = f"{type(error).__name__}: {text[0][:500]}" if text else type(error).__name__
    return {"kind": kind, "reason": reason}


def _print_error(error: BaseException) -> None:
    """Print a traceback that begins where model code does: its last lines go to the user."""
    place = error.__traceback__
    while place is not None and place.tb_frame.f_code.co_filename == __file__:
        place = place.tb_next
    traceback.print_exception(error.with_traceback(place or error.__traceback__))
    sys.stderr.flush()


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    # torch has no type of its own for a failed allocation on the CPU or inside a CUDA library.
    text = str(error)
    return isinstance(error, RuntimeError) and (
        "allocate memory" in text or "out of memory" in text or "ALLOC_FAILED" in text
    )


class Tie:
    """What ties this process to its owner: their pipes, and the reasons to end."""

    def __init__(self, owner: int, scratch: str) -> None:
        self.owner = owner
        self.scratch = scratch
        self.inbox: queue.SimpleQueue[Frame] = queue.SimpleQueue()
        self._requests = os.fdopen(os.dup(0), "rb", buffering=0)
        self._replies = os.fdopen(os.dup(1), "wb", buffering=0)
        self._log = os.dup(2)
        self._pid = os.getpid()
        self._end_of_rest: float | None = None
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(2, 1)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=lambda: self._let_go(null))
        for task in (self._watch, self._receive):
            threading.Thread(target=task, daemon=True).start()

    def send(self, parts: list[bytes | memoryview]) -> None:
        """Send an encoded frame to the owner."""
        if os.getpid() != self._pid:
            # Model code forked, and its child came back to here.
            os._exit(0)
        try:
            write_frame(self._replies, parts)
        except BrokenPipeError:
            self.leave()

    def leave(self) -> None:
        """End at once, whatever model code is doing, with all that it started."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        if os.name == "posix" and os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(0)

    def _let_go(self, null: int) -> None:
        """Keep a fork out of the conversation: the owner waits for the end of these pipes."""
        os.dup2(null, self._requests.fileno())
        os.dup2(null, self._replies.fileno())

    def _watch(self) -> None:
        """End this process with its owner or when it rested for long, and keep its log short."""
        pause = threading.Event()
        while not pause.wait(WATCH_SECONDS):
            # On Windows the parent may be a launcher of the interpreter; there, the closed pipe
            # tells.
            is_orphan = os.name == "posix" and os.getppid() != self.owner
            end = self._end_of_rest
            if is_orphan or (end is not None and time.monotonic() > end):
                self.leave()
            with contextlib.suppress(OSError):
                if os.fstat(self._log).st_size > LARGEST_LOG:
                    os.ftruncate(self._log, 0)

    def _receive(self) -> None:
        """Read requests while model code runs, so that a vanished owner is noticed at once."""
        try:
            while (frame := read_frame(self._requests)) is not None:
                if frame.message["op"] == "rest":
                    self._end_of_rest = time.monotonic() + frame.message["seconds"]
                else:
                    self._end_of_rest = None
                    self.inbox.put(frame)
        finally:
            self.leave()


class Service:
    """Answers requests, one after another."""

    def __init__(self) -> None:
        self._runner: Runner | None = None
        self._home = os.getcwd()  # noqa: PTH109 - model code may remove it

    def answer(self, frame: Frame) -> list[bytes | memoryview]:
        """Carry out a request and return the encoded reply, whatever model code does."""
        number = frame.message["id"]
        try:
            values, arrays = self._carry_out(*frame)
            return encode_frame({"id": number, "ok": True, "values": values}, arrays)
        except BaseException as error:
            # Model code may have closed the log.
            with contextlib.suppress(OSError, ValueError):
                _print_error(error)
            failure = describe_failure(error)
            return encode_frame({"id": number, "ok": False, "failure": failure}, {})
        finally:
            with contextlib.suppress(OSError):
                os.chdir(self._home)

    def _carry_out(self, request: dict[str, Any], arrays: Arrays) -> tuple[dict[str, Any], Arrays]:
        if request["op"] == "wake":
            return {}, {}
        if request["op"] == "load":
            self._runner = Runner(request["job"])
            return {"device": self._runner.device}, {}
        if self._runner is None:
            raise RefusalError("failed", reason="a batch was asked for before a package was loaded")
        return self._runner.run(request, arrays)


def main() -> None:
    """Serve requests until the owner ends this process, vanishes, or lets it rest for long."""
    owner, scratch = int(sys.argv[1]), sys.argv[2]
    sys.argv[1:] = []
    tie, service = Tie(owner, scratch), Service()
    # What was printed last shall be in the log when the process dies.
    faulthandler.enable(all_threads=False)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    tie.send(encode_frame({"op": "hello", "protocol": PROTOCOL}, {}))
    while True:
        tie.send(service.answer(tie.inbox.get()))


if __name__ == "__main__":
    try:
        main()
    except BaseException:
        with contextlib.suppress(OSError, ValueError):
            traceback.print_exc()
    finally:
        # Threads that model code left behind must not keep this process alive.
        os._exit(1)
