"""Ids, code, records and environments of packages that are to be contributed."""

import contextlib
import json
import subprocess
import sys
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medmint.config_manager import ConfigManager
from medmint.errors import ArgumentError, ContractError, MedmintError, OutputError
from medmint.model_contributor import Given, copy_template, template_names
from medmint.model_contributor.announcement import announcement, record_in
from medmint.model_contributor.identity import check_model_id, free_number, proposed_id
from medmint.model_contributor.licences import licence_of
from medmint.model_contributor.metadata import build_record, read_metadata
from medmint.model_contributor.package_code import PackageCode
from medmint.model_contributor.questions import QUESTIONS, answer, open_questions
from medmint.model_contributor.stated import unstated
from medmint.model_trainer.judging import Texts
from medmint.packages.environments.linked import closure, linked_environment
from medmint.publishing import LONGEST_BODY
from medmint.resources import template_folder
from tests.packages.folders import plain_package

WITH_CARD_TEXTS = [n for n in template_names() if (template_folder(n) / "card.toml").is_file()]
numbers = st.sets(st.integers(0, 99_999), max_size=20)


class TestIds:
    @given(numbers)
    def test_the_free_number_is_free(self, used):
        number = free_number(f"{one:05d}_X" for one in used)
        assert len(number) == 5
        assert int(number) not in used

    @given(st.text(max_size=80), numbers)
    def test_what_is_proposed_is_accepted(self, name, used):
        taken = [f"{one:05d}_X" for one in used]
        assert check_model_id(proposed_id(name, taken), taken)

    @pytest.mark.parametrize(
        "wrong", ["1_MODEL_OF_MINE", "00100 MODEL MINE", "", None, 7, "00100_"]
    )
    def test_what_breaks_the_convention_is_refused_with_an_example(self, wrong):
        with pytest.raises(ArgumentError, match="such as 00001_"):
            check_model_id(wrong, [])

    def test_a_taken_number_is_named_with_a_free_one(self):
        with pytest.raises(ArgumentError, match=r"00007_SEVEN has this one\. 00008_MY_"):
            check_model_id("00007_MY_MODEL", ["00007_SEVEN"])


def package(folder: Path, code: str, **files: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "__init__.py").write_text(code, encoding="utf-8")
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return folder


class TestCode:
    @pytest.mark.parametrize(
        ("code", "contract"),
        [
            ("def load(weights, device): ...", "sampler"),
            ("from .network import load", "sampler"),
            ("def generate(**options): ...", "generate"),
            ("generate = print", "generate"),
            ("from .network import *", "generate"),
        ],
    )
    def test_the_contract_is_that_of_the_function(self, tmp_path, code, contract):
        assert PackageCode(package(tmp_path, code)).contract() == contract

    @pytest.mark.parametrize(
        "code",
        ["x = " + "-" * 100_000 + "1", "(" * 3000 + ")" * 3000, "x = " + "1" * 10_000, "a\0b"],
    )
    def test_what_no_parser_takes_is_refused(self, tmp_path, code):
        folder = package(tmp_path / "odd", "def load(weights, device): ...", network=code)
        with pytest.raises(
            ContractError, match=r"Python that can be parsed, found .*network\.py|deep"
        ):
            PackageCode(folder)

    def test_a_package_without_either_is_refused(self, tmp_path):
        with pytest.raises(ContractError, match="found helper"):
            PackageCode(package(tmp_path, "def helper(): ...")).contract()

    @pytest.mark.parametrize(
        "code",
        [
            "def load(weights=None, device='cpu', *, size=8): ...",
            "def load(*arguments): ...",
            "from .network import load",
            "from network import build as load",
            "load = lambda weights, device: None",
        ],
    )
    def test_a_function_that_can_be_called_passes(self, tmp_path, code):
        sibling = "def load(weights, device): ...\ndef build(weights, device): ..."
        PackageCode(package(tmp_path, code, network=sibling)).check_function("sampler", "load", [])

    @pytest.mark.parametrize(
        "code",
        [
            "def load(): ...",
            "def load(weights): ...",
            "def load(weights, device, size): ...",
            "def load(weights, device, *, size): ...",
            "from .network import load",
        ],
    )
    def test_one_that_cannot_is_refused(self, tmp_path, code):
        sibling = "def load(weights, device, size): ..."
        with pytest.raises(ContractError, match=r"load\(weights, device\)"):
            PackageCode(package(tmp_path, code, network=sibling)).check_function(
                "sampler", "load", []
            )

    def test_the_options_are_the_defaults_that_json_can_hold(self, tmp_path):
        code = (
            "def generate(model_file, num_samples, output_path, save_images=False,\n"
            "             size=(4, 4), *, gpu_id=None, scale=1.5, kind=print): ..."
        )
        options = PackageCode(package(tmp_path, code)).options("generate")
        assert options == {"size": (4, 4), "gpu_id": None, "scale": 1.5, "kind": None}

    def test_only_what_is_needed_to_run_counts_as_imported(self, tmp_path):
        code = (
            "import os\nimport numpy.linalg\nfrom .network import f\nimport helper\n"
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pandas\n"
            "try:\n    import tqdm\nexcept ImportError:\n    tqdm = None\n"
        )
        folder = package(
            tmp_path,
            code,
            network="def f():\n    from scipy import stats\n",
            helper="import PIL",
            train="import wandb",
        )
        assert PackageCode(folder).imported() == {
            "numpy": "__init__.py",
            "PIL": "helper.py",
            "scipy": "network.py",
        }

    def test_a_requirement_that_is_not_here_excuses_what_is_not_here(self):
        imported = {"numpy": "a.py", "cv2": "a.py"}
        assert unstated(imported, ["numpy", "opencv-python-of-nobody"]) == []
        assert unstated(imported, ["numpy"]) == ["cv2 (a.py)"]
        assert unstated(imported, ["opencv-python-of-nobody"]) == ["numpy (a.py)"]


class TestRecord:
    def test_it_is_made_of_what_the_package_shows(self, tmp_path):
        folder = plain_package(tmp_path / "plain")
        (folder / "requirements.txt").write_text("# two\nnumpy>=1.26\n-i x\ntorch  # cpu\n")
        record = build_record("00031_PLAIN_MODEL", PackageCode(folder), Given())
        execution = record["execution"]
        assert execution["dependencies"] == ["numpy>=1.26", "torch"]
        assert (execution["model_name"], execution["extension"]) == ("my_weights", ".npz")
        assert execution["generate_method"]["args"]["custom"] == {"steepness": 1.0}
        assert record["selection"]["license"] == "MIT"
        assert record["description"]["title"] == "PLAIN MODEL"

    def test_what_is_said_counts_more(self, tmp_path):
        folder = plain_package(tmp_path / "plain")
        given = Given(
            model_weights_name="other",
            model_weights_extension=".pth.tar",
            dependencies=["torch"],
            fields={"selection.license": "CC-BY-4.0", "selection.organ": ["colon"]},
        )
        record = build_record("00031_PLAIN_MODEL", PackageCode(folder), given)
        assert record["execution"]["extension"] == ".pth.tar"
        assert record["execution"]["dependencies"] == ["torch"]
        assert record["selection"] | {"performance": {}} == {
            "performance": {},
            "license": "CC-BY-4.0",
            "organ": ["colon"],
        }

    @pytest.mark.parametrize(
        "path", ["selection", "colour.red", "description.title.x", "selection..x", "selection.", 5]
    )
    def test_fields_have_a_place(self, tmp_path, path):
        folder = plain_package(tmp_path / "plain")
        with pytest.raises(ArgumentError, match="dotted path"):
            build_record("00031_PLAIN_MODEL", PackageCode(folder), Given(fields={path: 1}))

    @pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
    def test_requirements_are_read_as_editors_save_them(self, tmp_path, mark):
        folder = plain_package(tmp_path / "plain")
        (folder / "requirements.txt").write_bytes(mark + b"numpy # for arrays\r\n\r\n# more\r\n")
        record = build_record("00031_PLAIN_MODEL", PackageCode(folder), Given())
        assert record["execution"]["dependencies"] == ["numpy"]
        (folder / "requirements.txt").write_bytes("numpy".encode("utf-16"))
        with pytest.raises(ContractError, match=r"requirements\.txt in UTF-8"):
            build_record("00031_PLAIN_MODEL", PackageCode(folder), Given())

    def test_a_file_of_another_model_is_refused(self):
        with pytest.raises(ArgumentError, match="90001_MINIMAL_SAMPLER, as"):
            read_metadata("90002_OTHER_MODEL", template_folder("minimal"))

    def test_no_odd_record_gives_anything_but_an_error_of_ours(self, tmp_path):
        folder = tmp_path / "odd"
        model_id = copy_template("minimal_generate", folder, taken=[])
        record = json.loads((folder / "metadata.json").read_text())[model_id]
        code, manager = PackageCode(folder), ConfigManager()
        for path in paths(record):
            for odd in (None, 7, "x", [], {}, [[]], True):
                changed = json.loads(json.dumps(record))
                place = changed
                for key in path[:-1]:
                    place = place[key]
                place[path[-1]] = odd
                (folder / "metadata.json").write_text(json.dumps({model_id: changed}))
                with contextlib.suppress(MedmintError):
                    made = build_record(model_id, code, Given())
                    manager.metadata_faults(model_id, made)

    @pytest.mark.parametrize(
        ("text", "licence"),
        [
            ("MIT License\n", "MIT"),
            ("Apache License\n   Version 2.0, January 2004", "Apache-2.0"),
            ("Creative Commons Attribution 4.0 International", "CC-BY-4.0"),
            ("CC BY-SA 4.0", "CC-BY-SA-4.0"),
            ("All rights reserved.", None),
        ],
    )
    def test_usual_licences_are_recognised(self, tmp_path, text, licence):
        (tmp_path / "LICENSE.txt").write_text(text)
        assert licence_of(tmp_path) == licence

    def test_each_question_can_be_answered(self):
        record = {"selection": {}, "description": {}}
        for question in open_questions(record):
            answer(record, question, "7")
        assert open_questions(record) == []
        with pytest.raises(ArgumentError, match="whole number"):
            answer(record, next(q for q in QUESTIONS if q.kind == "number"), "some")


def paths(node, path=()):
    """Yield the path of every part of a record."""
    if path:
        yield path
    for key, part in node.items() if isinstance(node, dict) else ():
        yield from paths(part, (*path, key))


def public(**description: object) -> dict:
    execution = {"package_link": "https://x.example/a.zip", "sha256": "0" * 64, "size_bytes": 7}
    return {"execution": execution, "selection": {"license": "MIT"}, "description": description}


class TestIssue:
    @given(st.text(max_size=300), st.text("`~\n abc", max_size=60))
    def test_the_record_comes_out_of_the_text_as_it_went_in(self, title, comment):
        record = public(title=title, comment=comment)
        text = announcement("00031_PLAIN_MODEL", record, checks=["it runs"]).text
        assert json.loads(record_in(text)) == {"00031_PLAIN_MODEL": record}
        assert json.loads(record_in(text.replace("\n", "\r\n")))

    def test_a_record_that_is_too_long_is_pointed_to(self):
        record = public(title="Long", limits="x" * LONGEST_BODY)
        issue = announcement("00031_PLAIN_MODEL", record)
        assert len(issue.text) < LONGEST_BODY
        assert "metadata.json" in issue.text
        assert "0" * 64 in issue.text


class TestLinkedEnvironment:
    def test_it_has_what_was_stated_and_nothing_else(self, tmp_path):
        python = linked_environment(["jsonschema"], tmp_path / "environment")
        code = "import importlib.util as u; print([bool(u.find_spec(m)) for m in {!r}])"
        modules = ["jsonschema", "referencing", "numpy", "PIL", "scipy", "torch", "medmint"]
        done = subprocess.run(
            [python, "-I", "-c", code.format(modules)], capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == str([True] * 4 + [False] * 3)
        check = "import numpy, PIL.Image, jsonschema; numpy.ones(3).sum()"
        subprocess.run([python, "-I", "-c", check], check=True)

    def test_markers_and_extras_are_followed(self):
        assert "no-such" not in closure(["no-such; python_version < '3'"])
        assert "pytest" not in closure(["jsonschema"])
        with pytest.raises(ArgumentError, match="dependencies"):
            closure(["numpy>>1"])


class TestTemplates:
    @pytest.mark.parametrize("name", template_names())
    def test_a_copy_has_its_own_name_everywhere(self, tmp_path, name):
        folder = tmp_path / "my polyps"
        model_id = copy_template(name, folder, taken=["00023_OTHER"])
        assert model_id == "00024_MY_POLYPS"
        ((found, record),) = json.loads((folder / "metadata.json").read_text()).items()
        assert found == model_id
        assert record["execution"]["package_name"] == "my polyps"
        assert record["selection"]["performance"] == {}
        old = next(iter(json.loads((template_folder(name) / "metadata.json").read_text())))
        card = (folder / "MODEL_CARD.md").read_text()
        assert card.startswith(f"# {model_id}\n\n> Copied from {old}")
        assert not list(folder.rglob("__pycache__"))
        assert not (folder / "numbers.json").exists()

    @pytest.mark.parametrize("name", WITH_CARD_TEXTS)
    def test_a_card_of_a_copy_tells_of_the_networks_alone(self, tmp_path, name):
        copy_template(name, tmp_path / "new", taken=[])
        before, after = (
            tomllib.loads((folder / "card.toml").read_text(encoding="utf-8"))
            for folder in (template_folder(name), tmp_path / "new")
        )
        assert after["architecture"].endswith(before["architecture"])
        assert after["architecture"].startswith("*Of the model that this package was copied from")
        assert {key for key, value in after.items() if value} == {"architecture", "references"}
        assert after.keys() == {field.name for field in fields(Texts)}

    def test_a_wrong_name_or_place_is_refused(self, tmp_path):
        with pytest.raises(ArgumentError, match="minimal_generate"):
            copy_template("maximal", tmp_path / "new", taken=[])
        (tmp_path / "file").write_text("x")
        with pytest.raises(OutputError, match="not empty"):
            copy_template("minimal", tmp_path, taken=[])
        with pytest.raises(ArgumentError, match="model_id"):
            copy_template("minimal", tmp_path / "new", taken=[], model_id="x")
        assert not (tmp_path / "new").exists()

    @pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
    def test_on_a_full_disk_nothing_is_left(self, tmp_path):
        code = (
            "import resource; from medmint.cli.main import main\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (9000, resource.RLIM_INFINITY))\n"
            "raise SystemExit(main(['template', 'minimal', 'new']))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("medmint: Could not write new: [Errno 27] File too large")
        assert list(tmp_path.iterdir()) == []

    def test_an_empty_folder_is_filled(self, tmp_path, monkeypatch):
        (tmp_path / "my polyps").mkdir()
        monkeypatch.chdir(tmp_path / "my polyps")
        assert copy_template("minimal", Path(), taken=[]) == "00001_MY_POLYPS"
        assert Path("metadata.json").is_file()

    def test_a_copy_generates_at_once(self, tmp_path):
        copy_template("minimal", tmp_path / "mine", taken=[])
        command = [sys.executable, "-m", "medmint.cli", "generate", "--num-samples", "2"]
        done = subprocess.run(
            [*command, "--package", tmp_path / "mine", "--output", tmp_path / "out"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert len(list((tmp_path / "out" / "images").iterdir())) == 2
