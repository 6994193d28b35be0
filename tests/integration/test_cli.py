"""The command line: each command does its job and says so, for people and for programs."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medmint import Generators, __version__
from medmint.cli.main import main

MODEL, MODEL_ID = 10001, "10001_PHANTOM_CT_HEAD_SLICE"
COMMANDS = ["list", "info", "cite", "generate", "preview", "visualize", "demo", "doctor"]


@pytest.fixture
def command(capsys, tmp_path, monkeypatch):
    """Run a command that has to succeed in an empty folder; return what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        assert main([str(argument) for argument in arguments]) == 0
        captured = capsys.readouterr()
        assert captured.err == ""
        return captured.out

    return run


def shell(*arguments, **options):
    """Start the command line as a process of its own."""
    command = [sys.executable, "-m", "medmint.cli", *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def test_list_has_a_line_for_every_model(command):
    header, *lines = command("list").splitlines()
    assert header.split() == ["model_id", "type", "size", "title"]
    assert [line.split()[0] for line in lines] == Generators().list_models()
    assert [row["model_id"] for row in json.loads(command("list", "--json"))] == (
        Generators().list_models()
    )


def test_info_says_what_the_facade_says(command):
    assert json.loads(command("info", MODEL, "--json")) == Generators().info(MODEL)
    text = command("info", MODEL)
    assert text.startswith("model_id")
    assert "noise: 8.0" in text


def test_cite_prints_bibtex(command):
    assert command("cite", "10001") == Generators().cite(MODEL) + "\n"


def test_generate_goes_on_and_tells_the_seed(command, tmp_path):
    arguments = ("generate", MODEL, "--num-samples", 2, "--output", "run")
    text = command(*arguments)
    seed = int(re.fullmatch(r"2 samples in run \(seed (\d+)\)\n", text)[1])
    again = json.loads(command(*arguments, "--json"))
    assert again == {"folder": "run", "count": 2, "seed": seed}
    assert len(list((tmp_path / "run" / "images").iterdir())) == 2


def test_generate_takes_what_the_facade_takes(command, tmp_path):
    np.save("z.npy", np.zeros((2, 32)))
    command(
        *("generate", MODEL, "--latents", "z.npy", "--output", "run", "--format", "npy"),
        *("--option", "noise=0.0", "--batch-size", 1, "--isolation", "none", "--device", "cpu"),
    )
    one, other = (np.load(tmp_path / "run" / "images" / f"00000{i}.npy") for i in (0, 1))
    np.testing.assert_array_equal(one, other)


def test_preview_saves_a_picture(command, tmp_path):
    text = command("preview", MODEL, "-n", 4, "--seed", 1, "--output", "picture.png")
    assert text == "saved picture.png\n"
    with Image.open(tmp_path / "picture.png") as image:
        assert min(image.size) > 500
        assert len(image.convert("L").getcolors()) > 50


def test_demo_makes_sixteen_polyps_and_a_sheet(command, tmp_path):
    facts = json.loads(command("demo", "--json"))
    assert facts["count"] == 16
    folder = tmp_path / facts["folder"]
    assert len(list((folder / "images").iterdir())) == len(list((folder / "masks").iterdir())) == 16
    with Image.open(tmp_path / facts["sheet"]) as sheet:
        assert sheet.size == (4 * 130 - 2, 4 * 130 - 2)
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_doctor_prints_json(command):
    assert isinstance(json.loads(command("doctor", "--json")), dict)
    assert isinstance(json.loads(command("doctor", MODEL, "--json")), dict)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(capsys, name):
    with pytest.raises(SystemExit) as stop:
        main([name, "--help"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: medmint {name}")


def test_version_and_help(capsys):
    for option, text in (("--version", f"medmint {__version__}"), ("--help", "usage: medmint")):
        with pytest.raises(SystemExit) as stop:
            main([option])
        assert stop.value.code == 0
        output = capsys.readouterr().out
        assert output.startswith(text)
    assert [name for name in COMMANDS if name not in output] == []


@pytest.mark.skipif(sys.platform == "win32", reason="pipes close otherwise on Windows")
@pytest.mark.parametrize("arguments", [["list"], ["list", "--json"], ["info", "10001"], ["--help"]])
def test_a_reader_that_goes_away_is_no_fault(arguments):
    process = shell(*arguments)
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert (process.wait(), errors) == (0, "")


def test_a_command_that_is_not_there_prints_one_line(tmp_path):
    process = shell("genrate", cwd=tmp_path)
    out, err = process.communicate()
    assert (process.returncode, out) == (2, "")
    assert err.count("\n") == 1
    assert "genrate" in err


def test_an_unwritable_picture_is_one_line(tmp_path):
    process = shell("preview", MODEL, "-n", 1, "--output", "none/picture.png", cwd=tmp_path)
    out, err = process.communicate()
    assert (process.returncode, out) == (2, "")
    assert err.count("\n") == 1
    assert "none/picture.png" in err


def test_output_that_is_no_terminal_is_text_alone(tmp_path):
    process = shell("generate", MODEL, "--num-samples", 3, "--seed", 1, cwd=tmp_path)
    out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    assert out == f"3 samples in {Path('output') / MODEL_ID / 'run-001'} (seed 1)\n"


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell that closes streams")
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("list >&-", 0),
        ("list --json >&- 2>&-", 0),
        ("info nothing 2>&-", 2),
        (f"preview {MODEL} -n 1 --output picture.png <&- >&- 2>&-", 0),
        ("contribute . --token-stdin <&-", 2),
        ("list > /dev/full", 1),
        ("list > /dev/full 2> /dev/full", 1),
    ],
)
def test_streams_that_are_closed_or_full(tmp_path, arguments, code):
    if "/dev/full" in arguments and not Path("/dev/full").exists():
        pytest.skip("this system has no device that is always full")
    done = subprocess.run(
        ["sh", "-c", f"exec '{sys.executable}' -m medmint.cli {arguments}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") <= 1
    assert (tmp_path / "picture.png").exists() == ("picture.png" in arguments)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps a folder that is in use")
@pytest.mark.parametrize(
    "arguments",
    [
        *("demo", f"preview {MODEL} -n 1", "template minimal x", "contribute . --dry-run"),
        *("contribute x --status", f"generate {MODEL} --num-samples 1"),
    ],
)
def test_a_working_directory_that_is_gone(tmp_path, arguments):
    gone = tmp_path / "gone"
    gone.mkdir()
    script = f"rmdir ../gone; exec '{sys.executable}' -m medmint.cli {arguments}"
    done = subprocess.run(
        ["sh", "-c", script], cwd=gone, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "no such file or directory" in done.stderr.lower()


@pytest.mark.parametrize("arguments", [("preview", MODEL, "-n", 1), ("visualize", MODEL)])
def test_a_backend_that_is_none_is_named(tmp_path, arguments):
    process = shell(*arguments, cwd=tmp_path, env=os.environ | {"MPLBACKEND": "nonsense"})
    out, err = process.communicate()
    assert (process.returncode, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("medmint: MPLBACKEND: got 'nonsense'")
