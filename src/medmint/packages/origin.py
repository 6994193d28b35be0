"""Where a record says that its package is: on this machine, in the wheel, or far away."""

from __future__ import annotations

from pathlib import Path

from medmint.catalogue.files import is_local_link
from medmint.catalogue.records import ModelRecord
from medmint.errors import PackageError
from medmint.packages.package import hash_tree
from medmint.resources import template_folder

BUNDLED = "bundled:"


def source_of(record: ModelRecord) -> str:
    """Return what stands for the package; a zip on this machine that was changed is another."""
    archive = _local(record)
    if archive is None or not archive.is_file():
        return record.execution.package_link
    facts = archive.stat()
    return f"{record.execution.package_link} {facts.st_size} {facts.st_mtime_ns}"


def _local(record: ModelRecord) -> Path | None:
    link = record.execution.package_link
    return Path(link).expanduser() if is_local_link(link) else None


def local_zip(record: ModelRecord) -> Path | None:
    """Return the zip on this machine that a record names, None where it names a download.

    Raises
    ------
    PackageError
        If it is not there.
    """
    archive = _local(record)
    if archive is not None and not archive.is_file():
        raise PackageError(
            f"The package_link of {record.model_id} is {archive}, and there is no such folder or "
            "zip. Correct the record, or name an https address."
        )
    return archive


def own_folder(record: ModelRecord, package: Path | None) -> tuple[Path, str] | None:
    """Return a folder that is used where it is (the user's, local or shipped), and its hash."""
    link, local = record.execution.package_link, _local(record)
    if package is None and link.startswith(BUNDLED):
        package = template_folder(link.removeprefix(BUNDLED))
    elif package is None and local is not None and local.is_dir():
        package = local
    if package is None:
        return None
    package = package.resolve()
    return package, hash_tree(package)
