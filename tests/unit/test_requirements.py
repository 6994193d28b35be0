"""Requirements compared with what an interpreter has."""

import importlib.metadata
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement

from medmint.errors import ArgumentError
from medmint.packages.environments.requirements import check_requirements, dependency_error
from tests.fakes.wheels import make_wheel

NUMPY = importlib.metadata.version("numpy")


@pytest.mark.parametrize(
    ("requirement", "state", "installed"),
    [
        ("numpy", "met", NUMPY),
        (f"numpy=={NUMPY}", "met", NUMPY),
        ("NumPy>=1.0", "met", NUMPY),
        ("numpy<1", "conflicting", NUMPY),
        ("no-such-package-of-medmint", "missing", None),
    ],
)
@pytest.mark.parametrize("python", [None, Path(sys.executable)], ids=["running", "asked"])
def test_state_of_a_requirement(requirement, state, installed, python):
    (status,) = check_requirements([requirement], python=python).statuses
    assert (status.state, status.installed) == (state, installed)


def test_names_are_compared_in_any_spelling():
    assert check_requirements(["Typing_Extensions", "typing.extensions"]).is_met


def test_markers_decide_whether_a_requirement_counts():
    requirements = ["absent-one; python_version < '3'", "absent-two; python_version >= '3'"]
    report = check_requirements(requirements)
    assert report.unmet == ["absent-two; python_version >= '3'"]


def test_requirements_of_an_extra_count(tmp_path, monkeypatch):
    extra = ["absent-one>=2; extra == 'more'", "absent-two; extra == 'other'", "numpy"]
    _install(tmp_path, "medmint_fake", requires=extra)
    monkeypatch.syspath_prepend(tmp_path)
    assert check_requirements(["medmint_fake"]).is_met
    report = check_requirements(["medmint_fake[more]>=1"])
    assert report.unmet == ["absent-one>=2"]
    assert report.statuses[-1].asked_by == "medmint_fake[more]>=1"


def test_extras_that_ask_for_each_other_end(tmp_path, monkeypatch):
    extra = ["medmint_fake[b]; extra == 'a'", "medmint_fake[a]; extra == 'b'"]
    _install(tmp_path, "medmint_fake", requires=extra)
    monkeypatch.syspath_prepend(tmp_path)
    assert check_requirements(["medmint_fake[a]"]).is_met


def test_package_without_version_is_missing(tmp_path, monkeypatch):
    (tmp_path / "medmint_fake-1.0.dist-info").mkdir()
    (tmp_path / "medmint_fake-1.0.dist-info/METADATA").write_text("Name: medmint_fake\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert check_requirements(["medmint_fake"]).unmet == ["medmint_fake"]


def test_requirements_that_no_tool_understands_are_passed_over(tmp_path, monkeypatch):
    _install(tmp_path, "medmint_fake", requires=["what (is this", "absent; extra == 'more'"])
    monkeypatch.syspath_prepend(tmp_path)
    assert check_requirements(["medmint_fake[more]"]).unmet == ["absent"]


def test_python_version_is_a_requirement_too():
    report = check_requirements(["numpy"], python_requires="<3")
    assert not report.is_met
    assert report.unmet == []
    error = dependency_error("00001_ONE", report)
    assert error.missing == ["Python <3"]
    assert "Run medmint with a Python that fits" in str(error)


def test_error_names_what_is_missing_and_the_command():
    report = check_requirements(["numpy<1", "absent-one", "scipy"])
    error = dependency_error("00001_ONE", report)
    assert error.missing == ["numpy<1", "absent-one"]
    assert f"numpy<1 conflicts with the installed version {NUMPY}" in str(error)
    assert 'python -m pip install "numpy<1" "absent-one"' in str(error)
    assert "install_dependencies=True" in str(error)


@pytest.mark.parametrize("text", ["", "two words", "-e .", "--index-url=http://x", "numpy=>1"])
def test_what_is_no_requirement_is_refused(text):
    with pytest.raises(ArgumentError, match="requirement"):
        check_requirements([text])


def test_false_python_specifier_is_refused():
    with pytest.raises(ArgumentError, match="Python versions"):
        check_requirements([], python_requires="three")


def test_interpreter_that_does_not_start_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match="working Python"):
        check_requirements([], python=tmp_path / "python")


@given(specifier=st.sampled_from(["<1", ">=1", f"=={NUMPY}", f"!={NUMPY}", "<2,>=1.20", "~=1.0"]))
def test_state_agrees_with_packaging(specifier):
    fits = Requirement(f"numpy{specifier}").specifier.contains(NUMPY)
    assert check_requirements([f"numpy{specifier}"]).is_met == fits


def _install(folder, name, *, requires):
    import zipfile

    with zipfile.ZipFile(make_wheel(folder / "built", name, "1.0", requires=requires)) as wheel:
        wheel.extractall(folder)
