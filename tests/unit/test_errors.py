"""Errors as users meet them: what, where, what was expected, what to do next."""

import copy
import pickle
from pathlib import Path

import pytest

from medmint import errors
from medmint.errors import MedmintError

SAMPLES = [
    errors.MedmintError("It did not work. Try again."),
    errors.CatalogueError("It did not work."),
    errors.UnknownModelError("polyps", ["00010_A", "00011_B", "00012_C"]),
    errors.InvalidRecordError(Path("a.json"), ["/x: missing", "/y: 1 is no text"]),
    errors.SelectionError("It did not work."),
    errors.PackageError("It did not work."),
    errors.DownloadError(
        "https://a.example/b.zip", "refused", status=503, attempts=3, hint="Wait."
    ),
    errors.IntegrityError(Path("w.pt"), "10 bytes", "9 bytes", "Copy it again."),
    errors.UnsafeArchiveError(Path("a.zip"), "../x", "leaves the folder"),
    errors.ContractError("00001_A", "2 samples", "1", "Ask its author."),
    errors.DependencyError("00001_A", ["torch<2", "monai"], "Install them.", "line 1\nline 2"),
    errors.GenerationError("00001_A", "KeyError: 'x'", exit_code=-9, log_tail="a\nb"),
    errors.WriterError(Path("a.png"), "no space left on device", "Make room."),
    errors.TrainingError(Path("images"), "there are 3 images", "Give 64 or more."),
    errors.MetricError("real", "shape (1, 3)", "two rows"),
    errors.PublishError("Zenodo", "upload", "refused", status=500, deposition_id=7, hint="Go on."),
    errors.ArgumentError("num_samples", 0, "a whole number of at least 1"),
    errors.SampleIndexError(9, 8),
    errors.OutputError(Path("out"), "it holds another run", "Name another."),
    errors.OfflineError("https://a.example/b.zip"),
    errors.DeviceError("cuda:7", ["cuda:0", "cpu"]),
    errors.DisplayError("00001_A"),
    errors.MissingExtraError("pydicom", "dicom"),
]


def kinds(kind=MedmintError):
    return {kind} | {each for child in kind.__subclasses__() for each in kinds(child)}


def test_every_type_has_its_sample():
    own = {kind for kind in kinds() if kind.__module__ == errors.__name__}
    assert {type(error) for error in SAMPLES} == own


@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_facts_survive_the_way_between_processes(error, protocol):
    for twin in (pickle.loads(pickle.dumps(error, protocol)), copy.copy(error)):
        assert type(twin) is type(error)
        assert str(twin) == str(error) == error.message
        assert vars(twin) == vars(error)


@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: type(error).__name__)
def test_the_first_line_says_enough_on_its_own(error):
    first = str(error).splitlines()[0]
    assert first[0] != " "
    assert first[-1] in ".]'"


@pytest.mark.parametrize(
    ("kind", "parts"),
    [
        ("UnknownModelError", ["'polyps'", "00010_A, 00011_B or 00012_C?", "list_models()"]),
        ("InvalidRecordError", ["a.json: 2 faults", "  /x: missing", "  /y: 1 is no text"]),
        ("DownloadError", ["https://a.example/b.zip", "after 3 attempts: refused.", "Wait."]),
        ("IntegrityError", ["w.pt", "expected 10 bytes, found 9 bytes.", "Copy it again."]),
        ("UnsafeArchiveError", ["a.zip", "nothing of it was unpacked", "'../x'", "Ask"]),
        ("ContractError", ["00001_A", "expected 2 samples, found 1.", "Ask its author."]),
        ("DependencyError", ["00001_A needs torch<2, monai.", "Install them.", "  | line 2"]),
        ("GenerationError", ["00001_A failed: KeyError: 'x'.", "  | a\n  | b"]),
        ("WriterError", ["a.png: no space left on device.", "Make room."]),
        ("TrainingError", ["images: there are 3 images.", "Give 64 or more."]),
        ("MetricError", ["real: got shape (1, 3), expected two rows."]),
        ("PublishError", ["Zenodo stopped at 'upload': refused.", "Go on."]),
        ("ArgumentError", ["num_samples: got 0, expected a whole number of at least 1."]),
        ("OutputError", ["Output folder out: it holds another run.", "Name another."]),
        ("OfflineError", ["https://a.example/b.zip", "Unset MEDMINT_OFFLINE"]),
        ("DeviceError", ["'cuda:7'", "this machine has cuda:0, cpu", "device='auto'"]),
        ("MissingExtraError", ["pydicom is not installed", "pip install 'medmint[dicom]'"]),
    ],
)
def test_messages_say_what_where_and_what_next(kind, parts):
    (text,) = (str(error) for error in SAMPLES if type(error).__name__ == kind)
    assert [part for part in parts if part not in text] == []


def test_one_attempt_one_fault_and_no_near_match_read_well():
    assert " attempts" not in str(errors.DownloadError("u", "refused"))
    assert "1 fault found" in str(errors.InvalidRecordError("a.json", ["/x: missing"]))
    assert "Did you mean" not in str(errors.UnknownModelError(99, []))
    assert "Did you mean 00010_A?" in str(errors.UnknownModelError(10, ["00010_A"]))
    assert "Last lines" not in str(errors.GenerationError("m", "it ended", log_tail=" \n"))
