"""The catalogue as a whole: layers, ids, records, additions, refresh."""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from medmint.catalogue.checks import read_catalogue, record_faults, shape_faults
from medmint.catalogue.files import (
    is_local_link,
    locked,
    read_layers,
    read_private,
)
from medmint.catalogue.ids import five_digits, near_matches
from medmint.catalogue.records import ModelRecord
from medmint.errors import ArgumentError, InvalidRecordError, UnknownModelError
from medmint.home import write_json
from medmint.settings import Settings

if TYPE_CHECKING:
    from medmint.catalogue.refresh import CatalogueUpdate
    from medmint.transport import Patience

logger = logging.getLogger(__name__)


class ConfigManager:
    """All model records, by id.

    Nothing is read, made or contacted before the first use. The catalogue is the shipped file, over
    it the copy that :meth:`update` fetched, over that the user's own models; a private catalogue
    replaces all of them.

    Parameters
    ----------
    catalogue : path or mapping, optional
        A private catalogue. A mapping is used as it is, not copied: do not change it afterwards.
    settings : Settings, optional
        Default: read from the environment.

    Examples
    --------
    >>> manager = ConfigManager()
    >>> manager.resolve(10001)
    '10001_PHANTOM_CT_HEAD_SLICE'
    >>> manager.record("10001").execution.image_size
    (256, 256)
    """

    def __init__(
        self,
        catalogue: str | PathLike[str] | Mapping[str, Any] | None = None,
        *,
        settings: Settings | None = None,
    ) -> None:
        self.settings = settings or Settings.from_environment()
        self._private = catalogue
        self._entries: dict[str, dict[str, Any]] | None = None
        self._ids: dict[str, str] = {}
        self._records: dict[str, ModelRecord] = {}
        self._checked: set[str] = set()
        self._unsaved: dict[str, dict[str, Any]] = {}
        #: Goes up with every change, so that an index knows when it is out of date.
        self.revision = 0

    @property
    def entries(self) -> Mapping[str, dict[str, Any]]:
        """All records as JSON objects, in file order; for reading only."""
        return MappingProxyType(self._loaded())

    @property
    def config_dict(self) -> dict[str, Any]:
        """A copy of all records as JSON objects."""
        return copy.deepcopy(self._loaded())

    @property
    def model_ids(self) -> list[str]:
        """All ids, in file order."""
        return list(self._loaded())

    def resolve(self, model_id: int | str) -> str:
        """Return the full id of a model.

        Parameters
        ----------
        model_id : int or str
            A number such as ``10``, ``"10"`` or ``"00010"``, or the full id.

        Raises
        ------
        UnknownModelError
            With near matches.
        """
        entries = self._loaded()
        if isinstance(model_id, str) and model_id in entries:
            return model_id
        number = five_digits(model_id)
        if number is not None and number in self._ids:
            return self._ids[number]
        raise UnknownModelError(model_id, near_matches(number or str(model_id), entries))

    def match_model_id(self, provided_model_id: int | str) -> str:
        """Return the full id of a model, as :meth:`resolve`."""
        return self.resolve(provided_model_id)

    def is_model_in_config(self, model_id: int | str) -> bool:
        """Tell whether the catalogue has this model."""
        try:
            self.resolve(model_id)
        except UnknownModelError:
            return False
        return True

    def record(self, model_id: int | str) -> ModelRecord:
        """Return the record of a model.

        Raises
        ------
        UnknownModelError
            If there is no such model.
        InvalidRecordError
            If its record breaks the schema.
        """
        full_id = self.resolve(model_id)
        if full_id not in self._records:
            data = self._loaded()[full_id]
            if full_id not in self._checked and (faults := record_faults(full_id, data)):
                raise InvalidRecordError(f"Record {full_id}", faults)
            self._records[full_id] = ModelRecord.from_dict(full_id, data)
        return self._records[full_id]

    def get_config_by_id(self, model_id: int | str, config_key: str | None = None) -> Any:
        """Return the record of a model as plain JSON, or a part of it.

        Parameters
        ----------
        model_id : int or str
            A number or the full id.
        config_key : str, optional
            Dotted path of the part, such as ``"execution.image_size"``.

        Returns
        -------
        dict or value
            A copy: changing it changes nothing else.

        Raises
        ------
        UnknownModelError
            If there is no such model.
        ArgumentError
            If the record has no such part.
        """
        part: Any = self._loaded()[self.resolve(model_id)]
        for key in config_key.split(".") if config_key is not None else ():
            if not isinstance(part, dict) or key not in part:
                known = ", ".join(part) if isinstance(part, dict) else "nothing below a plain value"
                raise ArgumentError("config_key", config_key, f"{key!r} to be one of: {known}")
            part = part[key]
        return copy.deepcopy(part)

    def metadata_faults(
        self, model_id: str, metadata: Mapping[str, Any], *, is_local_model: bool | None = None
    ) -> list[str]:
        """List what is wrong with metadata for :meth:`add_model_to_config`, with paths."""
        record = _unwrap(model_id, metadata)
        if faults := record_faults(model_id, record):
            return faults
        link = record["execution"]["package_link"]
        path = f"/{model_id}/execution/package_link"
        if not is_local_link(link):
            return []
        if is_local_model is False:
            return [f"{path}: got {link!r}, expected an address, as is_local_model is False"]
        if not Path(link).expanduser().exists():
            return [f"{path}: {link!r} does not exist"]
        return []

    def is_model_metadata_valid(
        self, model_id: str, metadata: Mapping[str, Any], is_local_model: bool | None = True
    ) -> bool:
        """Tell whether metadata make a valid record; the log says why not.

        :meth:`metadata_faults` returns the reasons themselves.
        """
        faults = self.metadata_faults(model_id, metadata, is_local_model=is_local_model)
        for fault in faults:
            logger.warning("Metadata of %s: %s", model_id, fault)
        return not faults

    def add_model_to_config(
        self,
        model_id: str,
        metadata: Mapping[str, Any],
        is_local_model: bool | None = None,
        overwrite_existing_metadata: bool = False,
        store_new_config: bool = True,
    ) -> bool:
        """Add a model to the catalogue; it can be listed, found and used at once.

        Parameters
        ----------
        model_id : str
            The full id.
        metadata : mapping
            The record, or ``{model_id: record}``.
        is_local_model : bool, optional
            False refuses a record whose package is a folder or file of this machine.
        overwrite_existing_metadata : bool
            Replace the record if there is one.
        store_new_config : bool
            Write the record to the user's own catalogue, or into the private catalogue's file. A
            private catalogue that was given as a mapping is never written anywhere.

        Returns
        -------
        bool
            True.

        Raises
        ------
        InvalidRecordError
            If the metadata are not a valid record; all faults are listed.
        ArgumentError
            If the id or its number is taken.
        WriterError
            If the catalogue cannot be written; nothing is added then.
        """
        if faults := self.metadata_faults(model_id, metadata, is_local_model=is_local_model):
            raise InvalidRecordError(f"Metadata of {model_id}", faults)
        record = copy.deepcopy(dict(_unwrap(model_id, metadata)))
        self._refuse_taken(model_id, overwrite_existing_metadata)
        target = self._own_file
        if store_new_config and target is not None:
            with locked(self.settings, target):
                # Read again: another process may have added models since.
                stored = read_catalogue(target) if target.exists() else {}
                if model_id in stored and not overwrite_existing_metadata:
                    raise _taken(model_id, model_id)
                stored[model_id] = record
                if faults := shape_faults(stored):
                    raise InvalidRecordError(target, faults)
                write_json(target, stored)
        else:
            self._unsaved[model_id] = record
        self._reload()
        return True

    def remove_model_from_config(self, model_id: int | str) -> str:
        """Take a model that was added here out of the catalogue; its package stays.

        Parameters
        ----------
        model_id : int or str
            A number or the full id.

        Returns
        -------
        str
            The full id. Where it had replaced a record of the shipped catalogue, that one is back.

        Raises
        ------
        UnknownModelError
            If there is no such model.
        ArgumentError
            If it was not added here but comes with the catalogue.
        WriterError
            If the catalogue cannot be written; nothing is removed then.
        """
        full_id = self.resolve(model_id)
        is_removed = self._unsaved.pop(full_id, None) is not None
        if (target := self._own_file) is not None:
            with locked(self.settings, target):
                stored = read_catalogue(target) if target.exists() else {}
                if stored.pop(full_id, None) is not None:
                    write_json(target, stored)
                    is_removed = True
        if not is_removed:
            raise ArgumentError("model_id", full_id, "a model that was added on this machine")
        self._reload()
        return full_id

    def update(self, *, patience: Patience | None = None) -> CatalogueUpdate:
        """Fetch the catalogue at ``settings.catalogue_url``, if it is newer than the copy here.

        Parameters
        ----------
        patience : Patience, optional
            How long and how often it is tried.

        Returns
        -------
        CatalogueUpdate
            What changed.

        Raises
        ------
        ArgumentError
            If no address is set, or this is a private catalogue.
        OfflineError, DownloadError, InvalidRecordError
            If it cannot be had or is not valid; the last good copy stays.
        """
        # Here, because HTTP takes longer to import than all the rest of the catalogue.
        from medmint.catalogue.refresh import refresh
        from medmint.transport import PATIENCE

        if self._private is not None:
            raise ArgumentError("catalogue", "a private one", "the default, only that is refreshed")
        target = self._folder / "remote.json"
        result = refresh(self.settings, target, patience=patience or PATIENCE)
        self._reload()
        return result

    def __len__(self) -> int:
        return len(self._loaded())

    def __iter__(self) -> Iterator[str]:
        return iter(self.model_ids)

    def __contains__(self, model_id: object) -> bool:
        return isinstance(model_id, int | str) and self.is_model_in_config(model_id)

    def __getitem__(self, model_id: int | str) -> dict[str, Any]:
        part: dict[str, Any] = self.get_config_by_id(model_id)
        return part

    def __str__(self) -> str:
        return json.dumps(self._loaded())

    def __repr__(self) -> str:
        private = "" if self._private is None else "private, "
        state = "not loaded" if self._entries is None else f"{len(self._entries)} models"
        return f"ConfigManager({private}{state})"

    @property
    def _folder(self) -> Path:
        return self.settings.home / "catalogue"

    @property
    def _own_file(self) -> Path | None:
        """The file that additions go to."""
        if self._private is None:
            return self._folder / "local.json"
        return None if isinstance(self._private, Mapping) else Path(self._private).expanduser()

    def _loaded(self) -> dict[str, dict[str, Any]]:
        entries = self._entries
        if entries is None:
            if self._private is None:
                entries, checked = read_layers(self._folder)
            else:
                entries, checked = read_private(self._private)
            entries.update(self._unsaved)
            self._ids = {model_id[:5]: model_id for model_id in entries}
            self._checked = checked | self._unsaved.keys()
            self._entries = entries
        return entries

    def _reload(self) -> None:
        self._entries = None
        self._records.clear()
        self.revision += 1

    def _refuse_taken(self, model_id: str, overwrite: bool) -> None:
        owner = model_id if model_id in self._loaded() else self._ids.get(model_id[:5])
        if owner is not None and not (overwrite and owner == model_id):
            raise _taken(model_id, owner)


def _unwrap(model_id: str, metadata: Mapping[str, Any]) -> Any:
    """Take the record out of ``{model_id: record}``, the form of a metadata file."""
    if isinstance(metadata, Mapping) and set(metadata) == {model_id}:
        return metadata[model_id]
    return dict(metadata) if isinstance(metadata, Mapping) else metadata


def _taken(model_id: str, owner: str) -> ArgumentError:
    if owner == model_id:
        return ArgumentError("model_id", model_id, "a new id, or overwrite_existing_metadata=True")
    return ArgumentError("model_id", model_id, f"a number that is free: {owner} has this one")
