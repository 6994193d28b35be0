"""Zips of tiny packages, and records that lead to them."""

import hashlib
import io
import zipfile
from collections.abc import Mapping
from typing import Any

from medmint.catalogue.records import ModelRecord
from tests.packages.records import record

#: A package of the published kind: code, weights, a licence.
FILES = {
    "__init__.py": b"def generate(model_file, num_samples, output_path, save_images): ...\n",
    "weights.pt": b"the weights",
    "LICENSE": b"free",
}


def zip_of(files: Mapping[str, bytes] = FILES, *, top: str = "") -> bytes:
    """Return a zip that holds the files, in a top folder if one is named."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(top + name), content)
    return buffer.getvalue()


def record_of(link: object, number: int = 90009, **execution: Any) -> ModelRecord:
    """Return the record of a package with weights that is had from a link."""
    given = {"package_link": str(link), "model_name": "weights", "extension": ".pt", **execution}
    made = record("generate", **given)
    return ModelRecord.from_dict(f"{number}_TEST_MODEL", made.to_dict())


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
