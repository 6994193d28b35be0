"""Wrong calls: a typed error in Python, one line and exit code 2 on the command line, no trace."""

import json
import re
import shutil
import subprocess
import sys

import pytest

from medmint import Generators
from medmint.cli.main import main
from medmint.errors import (
    ArgumentError,
    DeviceError,
    IntegrityError,
    InvalidRecordError,
    OutputError,
    UnknownModelError,
    WriterError,
)
from medmint.resources import config_file, template_folder

MODEL = 10001


def content(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def work(tmp_path, monkeypatch):
    """An empty working directory."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def command(capsys):
    """Run a command; return its exit code and the lines of both outputs."""

    def run(*arguments):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        return code, captured.out.splitlines(), captured.err.splitlines()

    return run


def assert_refused(answer, *parts):
    code, out, err = answer
    assert (code, out) == (2, [])
    assert len(err) == 1, err
    assert err[0].startswith("medmint: ")
    assert [part for part in parts if part not in err[0]] == []


@pytest.mark.parametrize("given", [0, -1, 2.5, "3", True, None])
def test_num_samples(work, given):
    with Generators() as generators, pytest.raises(ArgumentError) as caught:
        generators.generate(MODEL, num_samples=given)
    assert (caught.value.argument, caught.value.given) == ("num_samples", given)
    assert list(work.iterdir()) == []


@pytest.mark.parametrize("given", ["0", "-1", "2.5", "three", "True", ""])
def test_num_samples_on_the_command_line(work, command, given):
    assert_refused(command("generate", MODEL, f"--num-samples={given}"), "num", given)
    assert list(work.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "near"),
    [
        ("10_FASTGAN", "00010_FASTGAN_POLYP_PATCHES_W_MASKS"),
        ("fastgan_polyps", "00010_FASTGAN_POLYP_PATCHES_W_MASKS"),
        (10006, "10005_VOLUME_MRI_HIPPOCAMPUS"),
    ],
)
def test_unknown_models(work, command, given, near):
    with Generators() as generators, pytest.raises(UnknownModelError) as caught:
        generators.generate(given)
    assert near in caught.value.near_matches
    for verb in ("generate", "info", "cite", "preview"):
        assert_refused(command(verb, given), str(given), near)
    assert list(work.iterdir()) == []


def test_unknown_options(work, command):
    with Generators() as generators, pytest.raises(ArgumentError, match=r"10001.*: noise"):
        generators.generate(MODEL, nosie=3)
    assert_refused(command("generate", MODEL, "--option", "nosie=3"), "nosie", "noise")
    assert_refused(command("generate", MODEL, "--option", "noise"), "NAME=VALUE")
    assert list(work.iterdir()) == []


@pytest.mark.parametrize("name", ["seed", "num_samples", "model_id", "output_path", "device"])
def test_options_of_generate_itself_are_no_options_of_the_model(work, command, name):
    assert_refused(command("generate", MODEL, "--option", f"{name}=3"), name)
    assert list(work.iterdir()) == []


def test_a_folder_with_another_run(work, command):
    assert command("generate", MODEL, "--num-samples", 2, "--seed", 1, "--output", "run")[0] == 0
    before = content(work)
    with Generators() as generators, pytest.raises(OutputError, match="seed: 1 there, 2 asked"):
        generators.generate(MODEL, 2, "run", seed=2)
    answer = command("generate", MODEL, "--num-samples", 2, "--seed", 2, "--output", "run")
    assert_refused(answer, "run", "seed: 1 there, 2 asked", "overwrite")
    assert content(work) == before


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_a_folder_with_something_else(work, command, overwrite):
    (work / "thesis.txt").write_text("mine")
    assert_refused(command("generate", MODEL, "--output", ".", *overwrite), "thesis.txt")
    assert_refused(command("generate", MODEL, "--output", "thesis.txt", *overwrite), "a file")
    assert content(work) == {"thesis.txt": b"mine"}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc takes no folders")
@pytest.mark.parametrize("folder", ["/proc/medmint", "/proc/self/medmint/run"])
def test_a_folder_that_cannot_be_written(work, command, folder):
    with Generators() as generators, pytest.raises(WriterError) as caught:
        generators.generate(MODEL, 2, folder)
    assert str(caught.value.path).startswith("/proc")
    assert_refused(command("generate", MODEL, "--output", folder), "/proc")
    assert list(work.iterdir()) == []


FULL = """
import resource, sys
from medmint.cli.main import main
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
sys.exit(main(sys.argv[2:]))
"""


@pytest.fixture
def small_package(tmp_path):
    """The minimal package, giving images that PNG can hold."""
    package = shutil.copytree(template_folder("minimal"), tmp_path / "package")
    metadata = package / "metadata.json"
    text = metadata.read_text(encoding="utf-8").replace('"float32"', '"uint8"')
    metadata.write_text(re.sub(r'"value_range": \[[^]]*\]', '"value_range": [0, 255]', text))
    return package


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_a_disk_that_fills_up(work, command, small_package):
    call = ["generate", "--package", str(small_package), "--num-samples=24", "--seed=1"]
    call += ["--batch-size=8", "--output"]
    assert command(*call, "whole")[0] == 0
    whole = content(work / "whole")
    lines = whole["manifest.jsonl"].splitlines(keepends=True)
    finished = b"".join(lines[:17])
    # Not even the header fits; the header and images fit, and the lines of two batches.
    for limit, left in ((100, None), (len(finished) + 10, finished)):
        done = subprocess.run(
            [sys.executable, "-c", FULL, str(limit), *call, "full"],
            check=False,
            capture_output=True,
            text=True,
        )
        answer = done.returncode, done.stdout.splitlines(), done.stderr.splitlines()
        assert_refused(answer, "full", "file too large")
        assert content(work).get("full/manifest.jsonl") == left
        assert (work / "full").exists() == (left is not None)
    assert command(*call, "full")[0] == 0
    assert content(work / "full") == whole


@pytest.mark.parametrize(
    ("text", "fault"),
    [("{", "JSON"), ("[]", "object"), ('{"10": {}}', "/10"), ("\0\1", "JSON"), ("", "JSON")],
)
def test_a_catalogue_that_is_none(work, command, tmp_path, text, fault):
    file = tmp_path / "catalogue.json"
    file.write_text(text)
    with pytest.raises(InvalidRecordError) as caught:
        Generators(catalogue=file).list_models()
    assert fault in str(caught.value)
    assert_refused(command("list", "--catalogue", file), str(file))


def test_a_catalogue_that_is_not_there(work, command, tmp_path):
    assert_refused(command("list", "--catalogue", tmp_path / "none.json"), "none.json")


def test_a_catalogue_with_faults_lists_them_all(command, tmp_path):
    catalogue = json.loads(config_file("global.json").read_text(encoding="utf-8"))
    first, second, *_ = catalogue
    del catalogue[first]["execution"]["package_link"]
    catalogue[second]["execution"]["image_size"] = "large"
    catalogue[second]["selection"]["organ"] = 5
    file = tmp_path / "catalogue.json"
    file.write_text(json.dumps(catalogue))
    with pytest.raises(InvalidRecordError) as caught:
        Generators(catalogue=file).list_models()
    faults = "\n".join(caught.value.faults)
    assert len(caught.value.faults) == 3
    for path in (f"/{first}/execution", f"/{second}/execution/image_size", "selection/organ"):
        assert path in faults
    assert_refused(command("list", "--catalogue", file), str(file), "3 faults")


def test_truncated_weights(work, command, tmp_path):
    package = shutil.copytree(template_folder("minimal"), tmp_path / "package")
    weights = package / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with Generators() as generators, pytest.raises(IntegrityError):
        generators.generate(None, 2, package=package)
    assert_refused(command("generate", "--package", package), "weights.safetensors", "bytes")
    assert list(work.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"1234567", b"\xff" * 40, b"\0" * 40])
def test_weights_that_are_none(work, command, tmp_path, content):
    package = shutil.copytree(template_folder("minimal"), tmp_path / "package")
    (package / "weights.safetensors").write_bytes(content)
    assert_refused(command("generate", "--package", package), "weights.safetensors")
    assert list(work.iterdir()) == []


def test_a_device_that_is_not_there(work, command):
    with Generators() as generators, pytest.raises(DeviceError):
        generators.generate(MODEL, 2, device="cuda:99")
    assert_refused(command("generate", MODEL, "--device", "cuda:99"), "cuda:99", "cpu")
    assert_refused(command("generate", MODEL, "--device", "gpu"), "device: got 'gpu'")
    assert list(work.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--seed", "-1"], "seed"),
        (["--batch-size", "0"], "batch_size"),
        (["--format", "jpg"], "output_format"),
        (["--isolation", "some"], "isolation"),
        (["--output", ""], "output_path"),
        (["--condition", "polyp"], "condition"),
        (["--latents", "none.json"], "latents"),
        (["--weights", "none.pt"], "weights"),
        (["--package", "none"], "package"),
    ],
)
def test_other_arguments(work, command, arguments, named):
    assert_refused(command("generate", MODEL, *arguments), named)
    assert list(work.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [[], ["generat"], ["list", "--jsn"], ["generate", "1", "2"], ["preview", "10001", "-n", "x"]],
)
def test_commands_that_there_are_not(command, arguments):
    code, out, err = command(*arguments)
    assert (code, out) == (2, [])
    assert len(err) == 1
    assert re.match("medmint", err[0])


def test_the_command_line_names_its_own_flags(command, work):
    command("generate", MODEL, "--num-samples", 1, "--seed", 1, "--output", "run")
    code, _, err = command("generate", MODEL, "--num-samples", 1, "--seed", 2, "--output", "run")
    assert code == 2
    assert "pass --overwrite" in err[0]
    assert "overwrite=True" not in err[0]
