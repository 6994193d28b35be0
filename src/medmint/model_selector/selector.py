"""Find models by what they are, and put them in order of how good they are."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from medmint.errors import ArgumentError, SelectionError
from medmint.model_selector.field_filters import Filter
from medmint.model_selector.match_candidate import Matches, ModelMatchCandidate
from medmint.model_selector.query import Match, Query, by_relevance, search
from medmint.model_selector.ranking import Ranking, better, find_metric, rank
from medmint.model_selector.snapshot import Snapshot, held_at


class Catalogue(Protocol):
    """What a selector needs of a ConfigManager."""

    revision: int

    @property
    def entries(self) -> Mapping[str, dict[str, Any]]:
        """All records by id."""

    def resolve(self, model_id: int | str) -> str:
        """Return the full id of a model."""


class ModelSelector:
    """Search and rank the models of a catalogue.

    The index is built at the first search and again after the catalogue has changed.

    Parameters
    ----------
    config_manager : ConfigManager
        The catalogue.

    Examples
    --------
    >>> from medmint.config_manager import ConfigManager
    >>> selector = ModelSelector(ConfigManager())
    >>> selector.find_models(["polyp", "FastGAN"]).model_ids[0]
    '00010_FASTGAN_POLYP_PATCHES_W_MASKS'
    >>> selector.rank_models("rFID")[0]["model_id"]
    '00010_FASTGAN_POLYP_PATCHES_W_MASKS'
    """

    def __init__(self, config_manager: Catalogue) -> None:
        self.config_manager = config_manager
        self._known: Snapshot | None = None

    def find_models(
        self,
        values: Any = None,
        operator: str = "AND",
        are_keys_also_matched: bool = False,
        is_case_sensitive: bool = False,
        *,
        match: Match = "words",
        **filters: Any,
    ) -> Matches:
        """Find models by values anywhere in their records, and by single fields.

        Values are looked for in ``selection``, id, title, comment, publication and DOIs: as whole
        values of ``selection`` or word by word, with synonyms, beginnings of words, singular and
        plural, and near spellings where nothing else is found.

        Parameters
        ----------
        values : str, number or (nested) list of them, optional
            What to look for. A value of several words needs all of them. May be left out if there
            are filters.
        operator : str
            ``AND``: all values, ``OR``: at least one, ``XOR``: exactly one. For ``XOR`` a value
            that some model has as a whole value of ``selection`` counts only where it stands so.
        are_keys_also_matched : bool
            Compare the keys of ``selection`` with the values too.
        is_case_sensitive : bool
            Compare whole values as they are written; words fold case by nature and are left out.
        match : str
            ``"whole"`` looks for whole values of ``selection`` alone.
        **filters
            Conditions on fields, all of which must hold: ``modality="mammography"``,
            ``height=128``, ``generates_mask=True``, ``fid__lt=100``. Lookups are ``__lt``,
            ``__lte``, ``__gt``, ``__gte``, ``__ne`` and ``__in``.

        Returns
        -------
        Matches
            A sequence of ModelMatchCandidate, the most relevant first: whole values before words of
            ``selection``, id and title, these before the rest, else in catalogue order.

        Raises
        ------
        SelectionError
            If there is nothing to look for, the operator is unknown, or a filter is on an unknown
            field.
        ArgumentError
            If a value has a type that cannot be searched.
        """
        query = Query.parse(
            values, operator, keys=are_keys_also_matched, case=is_case_sensitive, match=match
        )
        if not query.targets and not filters:
            raise SelectionError("values: got nothing to look for, expected a value or a filter.")
        conditions = [Filter.parse(argument, wanted) for argument, wanted in filters.items()]
        known = self._snapshot()
        # Filters alone need no index.
        found, marks = search(known.index, query) if query.targets else (known.everything, 0)
        for condition in conditions:
            found &= known.fields.mask(condition)
        return Matches(
            known.ids,
            by_relevance(len(known.ids), found, marks),
            lambda model_id: self._candidate(model_id, query, conditions, known),
        )

    def find_matching_models_by_values(
        self,
        values: Any,
        target_values_operator: str = "AND",
        are_keys_also_matched: bool = False,
        is_case_sensitive: bool = False,
    ) -> list[ModelMatchCandidate]:
        """Find models by values; :meth:`find_models` under its older name, as a list."""
        return list(
            self.find_models(
                values, target_values_operator, are_keys_also_matched, is_case_sensitive
            )
        )

    def rank_models_by_performance(
        self,
        model_ids: Iterable[int | str] | int | str | None = None,
        metric: str = "FID",
        order: str | None = None,
    ) -> Ranking:
        """Put models in order of a metric, best first.

        Parameters
        ----------
        model_ids : list of int or str, optional
            The models to rank; default: all.
        metric : str
            Name or dotted path, such as ``"FID"`` or ``"SEG.trained_on_fake.Dice"``, in any case
            and under the usual aliases. rFID is computed, never read.
        order : str, optional
            ``"asc"`` or ``"desc"``; by default what puts the best model first.

        Returns
        -------
        Ranking
            A list of ``{"model_id": ..., metric: value}``; its ``unranked`` names the models that
            have no value. Of a list of values the best counts. Ties keep their order.

        Raises
        ------
        SelectionError
            If no model of the catalogue has the metric, it is a table, or the order is unknown.
        InvalidRecordError
            If a value is NaN or infinite.
        """
        if not isinstance(metric, str) or not metric:
            raise ArgumentError("metric", metric, "the name of a metric")
        entries = self.config_manager.entries
        path = find_metric(metric, entries)
        direction = better(path, order)
        if model_ids is None:
            return rank(entries, metric=metric, path=path, order=direction)
        given = [model_ids] if isinstance(model_ids, int | str) else model_ids
        chosen = dict.fromkeys(self.config_manager.resolve(model_id) for model_id in given)
        models = {model_id: entries[model_id] for model_id in chosen}
        return rank(models, metric=metric, path=path, order=direction)

    def rank_models(
        self,
        metric: str = "FID",
        *,
        order: str | None = None,
        model_ids: Iterable[int | str] | int | str | None = None,
    ) -> Ranking:
        """Put models in order of a metric; see :meth:`rank_models_by_performance`."""
        return self.rank_models_by_performance(model_ids, metric, order)

    def find_models_and_rank(  # noqa: PLR0913 - names and order are kept from medigan
        self,
        values: Any,
        target_values_operator: str = "AND",
        are_keys_also_matched: bool = False,
        is_case_sensitive: bool = False,
        metric: str = "FID",
        order: str | None = None,
        *,
        match: Match = "words",
        **filters: Any,
    ) -> Ranking:
        """Find models as :meth:`find_models` and put them in order of a metric, best first."""
        found = self.find_models(
            values,
            target_values_operator,
            are_keys_also_matched,
            is_case_sensitive,
            match=match,
            **filters,
        )
        return self.rank_models_by_performance(found.model_ids, metric, order)

    def get_models_by_key_value_pair(
        self, key1: str, value1: Any, is_case_sensitive: bool = False
    ) -> list[dict[str, Any]]:
        """Return the models that have a value at a key of ``selection``.

        Parameters
        ----------
        key1 : str
            Key or dotted path, such as ``"modality"`` or ``"performance.FID"``.
        value1 : str or number
            The value, or an element of the list that is there; compared as a whole.
        is_case_sensitive : bool
            Compare text as it is written.

        Returns
        -------
        list of dict
            ``{"model_id": ..., key1: what the record holds}``.

        Raises
        ------
        SelectionError
            If no model has the key, or it is a table.
        """
        fold = str if is_case_sensitive else str.lower
        found = []
        for model_id, held in held_at(self._selections(None), key1):
            elements = held if isinstance(held, list) else [held]
            if any(fold(str(element)) == fold(str(value1)) for element in elements):
                found.append({"model_id": model_id, key1: copy.deepcopy(held)})
        return found

    def get_selection_criteria_by_id(
        self, model_id: int | str, is_model_id_removed: bool = True
    ) -> dict[str, Any]:
        """Return a copy of the ``selection`` of a model, on request with its id in it."""
        full_id = self.config_manager.resolve(model_id)
        selection = copy.deepcopy(self.config_manager.entries[full_id]["selection"])
        return selection if is_model_id_removed else {"model_id": full_id, **selection}

    def get_selection_criteria_by_ids(
        self,
        model_ids: Iterable[int | str] | None = None,
        are_model_ids_removed: bool = True,
    ) -> list[dict[str, Any]]:
        """Return copies of the ``selection`` of several models, by default of all."""
        chosen = list(self.config_manager.entries) if model_ids is None else model_ids
        return [self.get_selection_criteria_by_id(each, are_model_ids_removed) for each in chosen]

    def get_selection_keys(self, model_id: int | str | None = None) -> list[str]:
        """Return the first-level keys of the ``selection`` of one model, or of any."""
        keys = (key for selection in self._selections(model_id).values() for key in selection)
        return list(dict.fromkeys(keys))

    def get_selection_values_for_key(
        self, key: str, model_id: int | str | None = None
    ) -> list[Any]:
        """Return the different values at a key of ``selection``, of one model or of all.

        Parameters
        ----------
        key : str
            Key or dotted path, such as ``"modality"`` or ``"performance.FID"``.
        model_id : int or str, optional
            The model; default: all.

        Returns
        -------
        list
            Values in order of appearance, elements of lists one by one, nulls left out.

        Raises
        ------
        SelectionError
            If no model (or not this one) has the key, or it is a table.
        """
        found: dict[tuple[type, Any], Any] = {}
        for _, held in held_at(self._selections(model_id), key):
            for value in held if isinstance(held, list) else [held]:
                if value is not None:
                    found.setdefault((type(value), str(value)), value)
        return copy.deepcopy(list(found.values()))

    def __len__(self) -> int:
        return len(self.config_manager.entries)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"ModelSelector({self.config_manager!r})"

    def __getstate__(self) -> dict[str, Any]:
        # What was worked out is larger than what it is made from, and is made again if needed.
        return {"config_manager": self.config_manager, "_known": None}

    def _snapshot(self) -> Snapshot:
        """Return what is worked out about the catalogue as it is now."""
        # Entries first: loading them may raise, and the revision is that of what was loaded.
        entries, revision = self.config_manager.entries, self.config_manager.revision
        if self._known is None or self._known.revision != revision:
            self._known = Snapshot(entries, revision)
        return self._known

    def _candidate(
        self, model_id: str, query: Query, conditions: list[Filter], known: Snapshot
    ) -> ModelMatchCandidate:
        return ModelMatchCandidate(
            model_id,
            query.targets,
            query.operator,
            query.is_case_sensitive,
            query.are_keys_also_matched,
            is_match=True,
            explain=lambda: known.explain(model_id, query, conditions),
        )

    def _selections(self, model_id: int | str | None) -> dict[str, dict[str, Any]]:
        entries = self.config_manager.entries
        chosen = entries if model_id is None else [self.config_manager.resolve(model_id)]
        return {each: entries[each]["selection"] for each in chosen}
