"""R13: a private environment is there whole or not at all, and touches nothing else."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from medmint.errors import DependencyError, IntegrityError
from medmint.packages.environments.building import build_environment, find_environment
from medmint.packages.environments.installers import PipInstaller, UvInstaller, find_installer
from medmint.packages.environments.store import list_environments, verify_environment
from medmint.settings import Settings
from tests.fakes.wheels import make_wheel, use_wheels, wheel_index
from tests.packages.children import wait_for

pytestmark = pytest.mark.family("R13")

MODEL = "00001_ONE"
ONE = ["medmint_fake==1.0"]
INSTALLERS = [
    pytest.param(
        "uv", marks=pytest.mark.skipif(find_spec("uv") is None, reason="uv is not installed")
    ),
    "pip",
]

#: Builds the environment of ONE in another process; arguments: home, installer, where to die.
BUILDER = """
import os, signal, sys
from pathlib import Path
from medmint.packages.environments.building import build_environment
from medmint.packages.environments.installers import PipInstaller, find_installer
from medmint.settings import Settings

home, name, point = sys.argv[1:]

def die_at(here):
    if here == point:
        os.kill(os.getpid(), signal.SIGKILL)

inner = PipInstaller() if name == "pip" else find_installer()

class Dying:
    name = inner.name

    def create(self, folder, scratch):
        die_at("before creation")
        inner.create(folder, scratch)
        die_at("after creation")

    def install(self, folder, requirements, scratch):
        die_at("before installation")
        inner.install(folder, requirements, scratch)
        die_at("after installation")

def progress(done, total, label):
    die_at({2: "before recording", 3: "after publishing"}.get(done, "no point"))

settings = Settings(home=Path(home))
made = build_environment(
    ["medmint_fake==1.0"], settings=settings, model_id="1", progress=progress, installer=Dying()
)
print(made.path)
"""
POINTS = [
    "before creation",
    "after creation",
    "before installation",
    "after installation",
    "before recording",
    "after publishing",
]


@pytest.fixture
def wheels(monkeypatch, tmp_path):
    folder = use_wheels(monkeypatch, tmp_path)
    for version in ("1.0", "2.0"):
        make_wheel(folder, "medmint_fake", version)
    return folder


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path / "home")


@pytest.fixture(params=INSTALLERS)
def installer(request):
    return PipInstaller() if request.param == "pip" else find_installer()


@pytest.fixture(params=[INSTALLERS[0], pytest.param("pip", marks=pytest.mark.slow)])
def patient_installer(request):
    """pip takes seconds where several environments are made."""
    return PipInstaller() if request.param == "pip" else find_installer()


@pytest.fixture
def quick():
    """Whatever is fastest here."""
    return find_installer()


def _ask(environment, code):
    command = [environment.python, "-I", "-B", "-X", "utf8", "-c", code]
    return subprocess.check_output(command, text=True).strip()


def _start(home, name="uv", point="never"):
    command = [sys.executable, "-c", BUILDER, str(home), name, point]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _left_over(settings):
    return sorted((settings.home / "environments" / ".unfinished").glob("*"))


def _is_written_to(home):
    commands = (process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"]))
    return any(str(home) in part for command in commands for part in command)


def _assert_failure(settings, installer, requirements, *expected):
    with pytest.raises(DependencyError) as caught:
        build_environment(requirements, settings=settings, model_id=MODEL, installer=installer)
    assert caught.value.missing == requirements
    assert caught.value.log_tail
    assert any(text in str(caught.value) for text in expected), str(caught.value)
    assert list_environments(settings) == []
    assert _left_over(settings) == []


def test_two_versions_side_by_side_and_the_running_environment_unchanged(
    settings, wheels, patient_installer
):
    before = _snapshot()
    first, second = (
        build_environment(
            [f"medmint_fake=={v}"], settings=settings, model_id=MODEL, installer=patient_installer
        )
        for v in ("1.0", "2.0")
    )
    code = "import medmint_fake, numpy; print(medmint_fake.VERSION, numpy.__file__)"
    numpy = Path(find_spec("numpy").origin)
    assert _ask(first, code) == f"1.0 {numpy}"
    assert _ask(second, code) == f"2.0 {numpy}"
    assert find_spec("medmint_fake") is None
    assert _snapshot() == before
    verify_environment(first)
    verify_environment(second)


def _snapshot():
    """What the running environment has: by name and version, and by file."""
    freeze = "print(sorted((one.name, one.version) for one in distributions()))"
    code = f"from importlib.metadata import distributions; {freeze}"
    names = subprocess.check_output([sys.executable, "-I", "-B", "-c", code])
    site = Path(find_spec("numpy").origin).parents[1]
    tops = sorted((path.name, path.stat().st_mtime_ns) for path in site.iterdir())
    pip = sorted(path.name for path in (site / "pip").rglob("*.pyc"))
    return names, tops, pip


def test_what_the_running_environment_has_is_not_installed_again(
    settings, wheels, patient_installer
):
    make_wheel(wheels, "medmint_fake", "3.0", requires=["numpy", "packaging>=20", "medmint_other"])
    make_wheel(wheels, "medmint_other", "1.0")
    made = build_environment(
        ["medmint_fake==3.0"], settings=settings, model_id=MODEL, installer=patient_installer
    )
    assert made.installed == ("medmint_fake==3.0", "medmint_other==1.0")


def test_what_does_not_fit_behind_is_installed_in_front(settings, wheels, installer):
    """iniconfig, which pytest has brought, is too new for what is installed."""
    make_wheel(wheels, "medmint_fake", "3.0", requires=["iniconfig<1", "numpy"])
    make_wheel(wheels, "iniconfig", "0.5")
    made = build_environment(
        ["medmint_fake==3.0"], settings=settings, model_id=MODEL, installer=installer
    )
    assert made.installed == ("iniconfig==0.5", "medmint_fake==3.0")
    assert _ask(made, "import iniconfig; print(iniconfig.VERSION)") == "0.5"


def test_files_are_copies_that_no_other_environment_shares(settings, wheels, quick):
    made = build_environment(ONE, settings=settings, model_id=MODEL, installer=quick)
    module = next(made.path.rglob("medmint_fake/__init__.py"))
    assert module.stat().st_nlink == 1
    assert next(module.parent.rglob("*.pyc"), None), "workers write no byte code themselves"


def test_index_down(settings, wheels, installer, monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.delenv("PIP_NO_INDEX")
        monkeypatch.delenv("PIP_FIND_LINKS")
        address = f"http://jane:s3cret@127.0.0.1:{closed.getsockname()[1]}/simple"
        monkeypatch.setenv("PIP_INDEX_URL", address)
        with pytest.raises(DependencyError) as caught:
            build_environment(ONE, settings=settings, model_id=MODEL, installer=installer)
    assert "s3cret" not in str(caught.value)
    assert "127.0.0.1" in caught.value.log_tail
    assert list_environments(settings) == []
    assert _left_over(settings) == []


def test_hash_mismatch(settings, wheels, installer, monkeypatch):
    with wheel_index(wheels, false_hashes=True) as address:
        _use_index(monkeypatch, address)
        _assert_failure(settings, installer, ONE, "Hash mismatch", "HASH", "hash")


def test_index_of_the_pip_settings_is_used(
    settings, wheels, patient_installer, monkeypatch, tmp_path
):
    with wheel_index(wheels) as address:
        _use_index(monkeypatch, None)
        (tmp_path / "pip.conf").write_text(f"[global]\nindex-url = {address}\nuser = true\n")
        monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
        made = build_environment(
            ONE, settings=settings, model_id=MODEL, installer=patient_installer
        )
    assert made.installed == ("medmint_fake==1.0",)


def _use_index(monkeypatch, address):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    if address:
        monkeypatch.setenv("PIP_INDEX_URL", address)


def test_settings_of_the_user_for_uv_are_used(settings, wheels, monkeypatch, tmp_path):
    uv = find_installer()
    if not isinstance(uv, UvInstaller):
        pytest.skip("uv is not installed")
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    (tmp_path / "config" / "uv").mkdir(parents=True)
    text = f'no-index = true\nfind-links = ["{wheels.as_posix()}"]\n'
    (tmp_path / "config" / "uv" / "uv.toml").write_text(text)
    assert build_environment(ONE, settings=settings, model_id=MODEL, installer=uv).installed


def test_wheel_missing_for_this_python(settings, wheels, installer):
    make_wheel(wheels, "medmint_old", "1.0", tag="cp27-cp27m-win32")
    _assert_failure(settings, installer, ["medmint_old"], "medmint_old", "medmint-old")


def test_no_uv(settings, wheels, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "uv", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert build_environment(ONE, settings=settings, model_id=MODEL).installed == (
        "medmint_fake==1.0",
    )


def test_hostile_settings_in_the_working_directory(
    settings, wheels, patient_installer, monkeypatch, tmp_path
):
    trap = tmp_path / "trap"
    trap.mkdir()
    hostile = 'no-index = true\nfind-links = ["/nowhere"]\n[pip]\ntarget = "stolen"\n'
    (trap / "uv.toml").write_text(hostile)
    (trap / "pyproject.toml").write_text('[tool.uv]\nindex-url = "http://127.0.0.1:9/"\n')
    (trap / "pip.conf").write_text("[install]\ntarget = stolen\n")
    (trap / "setup.cfg").write_text("[install]\nprefix = stolen\n")
    (trap / "sitecustomize.py").write_text("raise SystemExit('hostile')\n")
    (trap / "pip.py").write_text("raise SystemExit('hostile')\n")
    (trap / "venv.py").write_text("raise SystemExit('hostile')\n")
    monkeypatch.chdir(trap)
    files = sorted(trap.iterdir())
    made = build_environment(ONE, settings=settings, model_id=MODEL, installer=patient_installer)
    assert made.installed == ("medmint_fake==1.0",)
    assert sorted(trap.iterdir()) == files


def test_relative_home(wheels, quick, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    settings = Settings(home=Path("here"))
    made = build_environment(ONE, settings=settings, model_id=MODEL, installer=quick)
    assert made.path.is_relative_to(tmp_path / "here")
    verify_environment(made)


def _change_byte(path):
    module = next(path.rglob("medmint_fake/__init__.py"))
    data = bytearray(module.read_bytes())
    data[0] ^= 1
    module.write_bytes(data)


def _change_byte_code(path):
    next(path.rglob("medmint_fake/**/*.pyc")).write_bytes(b"")


def _add_module(path):
    next(path.rglob("medmint_fake")).with_name("numpy.py").write_text("")


def _remove_file(path):
    next(path.rglob("medmint_fake/__init__.py")).unlink()


def _redirect_python(path):
    (path / "bin" / "python").unlink()
    (path / "bin" / "python").symlink_to("/bin/true")


def _change_record(path):
    (path / "files.json").write_text("{}")


CHANGES = [
    _change_byte,
    _change_byte_code,
    _add_module,
    _remove_file,
    _redirect_python,
    _change_record,
]


def test_poisoned_environment_is_detected(settings, wheels, quick, record_property):
    made = build_environment(ONE, settings=settings, model_id=MODEL, installer=quick)
    verify_environment(made)
    kept = settings.home / "kept"
    for change in CHANGES:
        subprocess.run(["cp", "-a", made.path, kept], check=True)
        change(made.path)
        with pytest.raises(IntegrityError, match="expected"):
            verify_environment(made)
        subprocess.run(["rm", "-r", made.path], check=True)
        kept.rename(made.path)
    verify_environment(made)
    record_property("cases", (len(CHANGES), len(CHANGES)))


@pytest.mark.parametrize("point", POINTS)
def test_interrupted_build_leaves_no_half_environment(settings, wheels, point):
    builder = _start(settings.home, point=point)
    builder.communicate()
    assert builder.returncode == -signal.SIGKILL
    complete = find_environment(ONE, settings)
    assert (complete is not None) == (point == "after publishing")
    if complete is not None:
        verify_environment(complete)
    made = build_environment(ONE, settings=settings, model_id=MODEL)
    verify_environment(made)
    if complete is not None:
        # Nothing was built, so nothing was cleaned either; the next build does it.
        build_environment(["medmint_fake==2.0"], settings=settings, model_id=MODEL)
    assert _left_over(settings) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", INSTALLERS)
def test_killed_at_random_moments(settings, wheels, name, record_property):
    generator, rounds = random.Random(20230612), 20
    for _ in range(rounds):
        builder = _start(settings.home, name)
        time.sleep(generator.uniform(0.0, 3.0))
        builder.kill()
        builder.communicate()
        for environment in list_environments(settings):
            verify_environment(environment)
            subprocess.run(["rm", "-r", environment.path], check=True)
    # An installer outlives its killed builder for a while, and goes on writing.
    assert wait_for(lambda: not _is_written_to(settings.home))
    verify_environment(build_environment(ONE, settings=settings, model_id=MODEL))
    assert _left_over(settings) == []
    record_property("cases", (rounds, rounds))


def test_two_processes_make_the_same_environment(settings, wheels):
    builders = [_start(settings.home) for _ in range(2)]
    answers = {builder.communicate()[0] for builder in builders}
    assert [builder.returncode for builder in builders] == [0, 0]
    assert len(answers) == 1
    (made,) = list_environments(settings)
    verify_environment(made)
    assert _left_over(settings) == []


def test_without_working_locks_all_succeed(settings, wheels, quick, monkeypatch):
    """A network file system may give a lock to everybody: the rename alone decides."""
    monkeypatch.setattr("filelock.FileLock.acquire", lambda *_, **__: None)
    build = lambda _: build_environment(ONE, settings=settings, model_id=MODEL, installer=quick)  # noqa: E731
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(build, range(2)))
    assert made[0] == made[1]
    verify_environment(made[0])
    assert _left_over(settings) == []


def test_environment_whose_python_is_gone_is_replaced(settings, wheels, quick):
    made = build_environment(ONE, settings=settings, model_id=MODEL, installer=quick)
    made.python.unlink()
    made.python.symlink_to("/nowhere/python")
    again = build_environment(ONE, settings=settings, model_id=MODEL, installer=quick)
    assert again.path == made.path
    verify_environment(again)
    assert _left_over(settings) == []


def test_full_disk_is_told(settings, wheels):
    class _Full(PipInstaller):
        def install(self, folder, requirements, scratch):
            raise OSError(28, os.strerror(28))

    with pytest.raises(DependencyError, match="No space left"):
        build_environment(ONE, settings=settings, model_id=MODEL, installer=_Full())
    assert _left_over(settings) == []
