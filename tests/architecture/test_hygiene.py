"""Calls that have no place in the library: each can run foreign code or hang, or hides a fault."""

import ast
from pathlib import Path

import pytest

import medmint

pytestmark = pytest.mark.family("R17")

ROOT = Path(medmint.__file__).parent
SOURCES = [path for path in sorted(ROOT.rglob("*.py")) if "_data" not in path.parts]
FORBIDDEN_CALLS = {
    "eval",
    "exec",
    "input",
    "pickle.load",
    "pickle.loads",
    "pickle.Unpickler",
    "marshal.loads",
    "os.system",
    "os.popen",
    "sys.path.insert",
    "sys.path.append",
    "os.chdir",
    "np.random.seed",
    "random.seed",
    "torch.manual_seed",
}
FORBIDDEN_KEYWORDS = {"shell": True, "verify": False, "allow_pickle": True}
#: The worker is the process that model code owns, so there it may set these things up.
WORKER_ONLY = {
    "sys.path.insert",
    "sys.path.append",
    "os.chdir",
    "np.random.seed",
    "random.seed",
    "torch.manual_seed",
}
#: A training script owns its process, too; the loop around it restores what it seeds.
SEEDING = {"model_trainer/options.py", "model_trainer/run.py"}
#: Where any fault of model code (in the worker, or beside the user's with isolation="none") or of a
#: command becomes a message, and where a fault of a user's feature extractor costs one metric.
BORDERS = {
    "packages/workers/worker.py",
    "packages/workers/process.py",
    "model_evaluator/running.py",
}


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def faults(source: str, *, allowed: set[str] = frozenset(), border: bool = False) -> list[str]:
    """Return what a source does that it should not, with line numbers."""
    forbidden = FORBIDDEN_CALLS - allowed
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            found += [f"{node.lineno}: {name}()"] * (name in forbidden)
            found += [
                f"{node.lineno}: {k.arg}={ast.unparse(k.value)}" for k in node.keywords if is_bad(k)
            ]
        elif isinstance(node, ast.Assert):
            found.append(f"{node.lineno}: assert")
        elif isinstance(node, ast.ExceptHandler) and not border and is_broad(node):
            found.append(f"{node.lineno}: except {ast.unparse(node.type) if node.type else ''}")
        elif isinstance(node, ast.ImportFrom) and node.module == "pickle":
            found.append(f"{node.lineno}: from pickle import")
    return found


def is_bad(keyword: ast.keyword) -> bool:
    value = keyword.value
    return (
        keyword.arg in FORBIDDEN_KEYWORDS
        and isinstance(value, ast.Constant)
        and value.value is FORBIDDEN_KEYWORDS[keyword.arg]
    )


def is_broad(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    names = {ast.unparse(part) for part in getattr(handler.type, "elts", [handler.type])}
    reraised = isinstance(handler.body[-1], ast.Raise) and handler.body[-1].exc is None
    return bool(names & {"Exception", "BaseException"}) and not reraised


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_no_dangerous_call(path):
    source = path.read_text(encoding="utf-8")
    name = relative(path)
    allowed = WORKER_ONLY if name == "packages/workers/worker.py" else set()
    if name in SEEDING:
        allowed = {"torch.manual_seed"}
    found = faults(source, allowed=allowed, border=name in BORDERS)
    assert not found, f"{name}: {found}"


@pytest.mark.parametrize(
    "source",
    [
        "eval('1')",
        "pickle.loads(b'')",
        "subprocess.run('ls', shell=True)",
        "requests.get(url, verify=False)",
        "np.load(path, allow_pickle=True)",
        "answer = input('?')",
        "assert x",
        "try:\n    x()\nexcept Exception:\n    pass",
        "try:\n    x()\nexcept:\n    pass",
        "from pickle import loads",
        "torch.manual_seed(0)",
    ],
)
def test_each_fault_is_seen(source):
    assert len(faults(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "subprocess.run(['ls'], shell=False)",
        "try:\n    x()\nexcept BaseException:\n    tidy()\n    raise",
        "torch.load(path, weights_only=True)",
    ],
)
def test_clean_code_passes(source):
    assert faults(source) == []
