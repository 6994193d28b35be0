"""The tree of errors, as users see it in ``except`` clauses."""

import inspect
import pickle

import pytest

from medmint import errors

BUILTINS = {
    "MedmintError": Exception,
    "CatalogueError": Exception,
    "UnknownModelError": KeyError,
    "InvalidRecordError": ValueError,
    "SelectionError": ValueError,
    "PackageError": Exception,
    "DownloadError": OSError,
    "IntegrityError": OSError,
    "UnsafeArchiveError": ValueError,
    "ContractError": TypeError,
    "DependencyError": RuntimeError,
    "GenerationError": RuntimeError,
    "WriterError": OSError,
    "MetricError": ValueError,
    "TrainingError": ValueError,
    "PublishError": OSError,
    "ArgumentError": ValueError,
    "SampleIndexError": IndexError,
    "OutputError": FileExistsError,
    "OfflineError": OSError,
    "DeviceError": RuntimeError,
    "DisplayError": RuntimeError,
    "MissingExtraError": ImportError,
}
PARENTS = {
    "UnknownModelError": errors.CatalogueError,
    "InvalidRecordError": errors.CatalogueError,
    "DownloadError": errors.PackageError,
    "IntegrityError": errors.PackageError,
    "UnsafeArchiveError": errors.PackageError,
    "ContractError": errors.PackageError,
    "SampleIndexError": errors.ArgumentError,
}
TYPES = {
    name: kind
    for name, kind in inspect.getmembers(errors, inspect.isclass)
    if name[0] != "_"
    if kind.__module__ == errors.__name__
}


def test_the_list_is_complete():
    assert set(TYPES) == set(BUILTINS)


@pytest.mark.parametrize("name", BUILTINS)
def test_each_type_is_also_the_builtin_that_fits(name):
    assert issubclass(TYPES[name], BUILTINS[name])
    assert issubclass(TYPES[name], PARENTS.get(name, errors.MedmintError))


@pytest.mark.parametrize("name", BUILTINS)
def test_the_drawing_shows_each_type_with_its_builtin(name):
    builtin = BUILTINS[name].__name__
    drawn = name if builtin == "Exception" else f"{name} ({builtin})"
    assert f" {drawn}\n" in errors.__doc__


def test_an_error_survives_the_way_out_of_a_loader_process():
    error = errors.DownloadError("https://medmint.example/a.zip", "refused", status=503, attempts=3)
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))
