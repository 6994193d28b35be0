"""The part of the facade that finds the right model."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from medmint.generators.generating import Generating

if TYPE_CHECKING:
    from medmint.model_selector.match_candidate import Matches, ModelMatchCandidate
    from medmint.model_selector.ranking import Ranking
    from medmint.samples import GenerationResult


class Finding(Generating):
    """Search, rank, and generate with what was found; ModelSelector says more of each."""

    def find_models(
        self,
        values: Any = None,
        operator: str = "AND",
        are_keys_also_matched: bool = False,
        is_case_sensitive: bool = False,
        **filters: Any,
    ) -> Matches:
        """Find models by words and by fields, the most relevant first.

        Parameters
        ----------
        values : str, number or (nested) list of them, optional
            What to look for in id, title, comment and ``selection`` (type, modality, keywords and
            so on): whole values, words, beginnings of words, synonyms and near spellings.
        operator : {"AND", "OR", "XOR"}
            Whether all, at least one, or exactly one of the values must be found.
        are_keys_also_matched : bool
            Look among the names of fields as well.
        is_case_sensitive : bool
            Compare whole values as they are written.
        **filters
            Conditions on fields: ``modality="mammography"``, ``height=128``,
            ``generates_mask=True``, ``fid__lt=100``.

        Returns
        -------
        Matches
            A sequence of ModelMatchCandidate, each with its ``model_id`` and ``matched_entries``.

        Raises
        ------
        SelectionError
            If there is nothing to look for, or an operator or field is unknown.

        Examples
        --------
        >>> from medmint import Generators
        >>> Generators().find_models("polyp", generates_mask=True).model_ids[-1]
        '10002_FASTGAN_ENDOSCOPY_POLYP_W_MASKS'
        """
        return self.model_selector.find_models(
            values, operator, are_keys_also_matched, is_case_sensitive, **filters
        )

    def find_model(
        self,
        values: Any,
        operator: str = "AND",
        are_keys_also_matched: bool = False,
        is_case_sensitive: bool = False,
        **filters: Any,
    ) -> Matches:
        """Find models; the name that :meth:`find_models` has in the medigan paper."""
        return self.find_models(
            values, operator, are_keys_also_matched, is_case_sensitive, **filters
        )

    def find_matching_models_by_values(
        self,
        values: Any,
        target_values_operator: str = "AND",
        are_keys_also_matched: bool = False,
        is_case_sensitive: bool = False,
    ) -> list[ModelMatchCandidate]:
        """Find models; the name that :meth:`find_models` has in medigan, with a list as result."""
        return self.model_selector.find_matching_models_by_values(
            values, target_values_operator, are_keys_also_matched, is_case_sensitive
        )

    def rank_models(
        self,
        metric: str = "FID",
        *,
        order: str | None = None,
        model_ids: Iterable[int | str] | None = None,
    ) -> Ranking:
        """Put models in order of a metric, the best first.

        Parameters
        ----------
        metric : str
            Name or dotted path, such as ``"FID"`` or ``"SEG.trained_on_fake.Dice"``.
        order : {"asc", "desc"}, optional
            By default what puts the best model first.
        model_ids : iterable of int or str, optional
            Default: all models.

        Returns
        -------
        Ranking
            A list of ``{"model_id": ..., metric: value}``; ``unranked`` names models without it.

        Raises
        ------
        SelectionError
            If no model has the metric; those that exist are named.
        """
        return self.model_selector.rank_models(metric, order=order, model_ids=model_ids)

    def rank_models_by_performance(
        self,
        model_ids: Iterable[int | str] | None = None,
        metric: str = "FID",
        order: str | None = None,
    ) -> Ranking:
        """Put models in order; the name that :meth:`rank_models` has in medigan."""
        return self.model_selector.rank_models_by_performance(model_ids, metric, order)

    def find_models_and_rank(
        self,
        values: Any,
        target_values_operator: str = "AND",
        are_keys_also_matched: bool = False,
        is_case_sensitive: bool = False,
        metric: str = "FID",
        order: str | None = None,
        **filters: Any,
    ) -> Ranking:
        """Find models as :meth:`find_models` does and put them in order of a metric."""
        return self.model_selector.find_models_and_rank(
            values,
            target_values_operator,
            are_keys_also_matched,
            is_case_sensitive,
            metric,
            order,
            **filters,
        )

    def find_models_rank_and_generate(
        self,
        values: Any,
        target_values_operator: str = "AND",
        are_keys_also_matched: bool = False,
        is_case_sensitive: bool = False,
        metric: str = "FID",
        order: str | None = None,
        num_samples: int = 30,
        output_path: Any = None,
        is_gen_function_returned: bool = False,
        install_dependencies: bool = False,
        **arguments: Any,
    ) -> GenerationResult | list[Any] | Callable[..., Any]:
        """Find models, rank them, and generate with the best.

        Parameters
        ----------
        values, target_values_operator, are_keys_also_matched, is_case_sensitive, metric, order
            As for :meth:`find_models_and_rank`.
        num_samples, output_path, is_gen_function_returned, install_dependencies, **arguments
            As for :meth:`generate`.

        Raises
        ------
        SelectionError
            If nothing was found, or nothing that was found has the metric.
        """
        best = self.find_models_and_rank(
            values, target_values_operator, are_keys_also_matched, is_case_sensitive, metric, order
        ).best()
        return self.generate(
            best,
            num_samples,
            output_path,
            is_gen_function_returned=is_gen_function_returned,
            install_dependencies=install_dependencies,
            **arguments,
        )

    def find_model_and_generate(
        self,
        values: Any,
        target_values_operator: str = "AND",
        are_keys_also_matched: bool = False,
        is_case_sensitive: bool = False,
        num_samples: int = 30,
        output_path: Any = None,
        is_gen_function_returned: bool = False,
        install_dependencies: bool = False,
        **arguments: Any,
    ) -> GenerationResult | list[Any] | Callable[..., Any]:
        """Generate with the one model that matches.

        Parameters
        ----------
        values, target_values_operator, are_keys_also_matched, is_case_sensitive
            As for :meth:`find_models`.
        num_samples, output_path, is_gen_function_returned, install_dependencies, **arguments
            As for :meth:`generate`.

        Raises
        ------
        SelectionError
            If no model matches, or more than one: the candidates are named.
        """
        only = self.find_models(
            values, target_values_operator, are_keys_also_matched, is_case_sensitive
        ).only()
        return self.generate(
            only,
            num_samples,
            output_path,
            is_gen_function_returned=is_gen_function_returned,
            install_dependencies=install_dependencies,
            **arguments,
        )

    def get_models_by_key_value_pair(
        self, key1: str, value1: Any, is_case_sensitive: bool = False
    ) -> list[dict[str, Any]]:
        """Return ``{"model_id": ..., key1: ...}`` of the models that have this value at a key."""
        return self.model_selector.get_models_by_key_value_pair(key1, value1, is_case_sensitive)

    def get_selection_criteria_by_id(
        self, model_id: int | str, is_model_id_removed: bool = True
    ) -> dict[str, Any]:
        """Return what a search looks through for one model."""
        return self.model_selector.get_selection_criteria_by_id(model_id, is_model_id_removed)

    def get_selection_criteria_by_ids(
        self, model_ids: Iterable[int | str] | None = None, are_model_ids_removed: bool = True
    ) -> list[dict[str, Any]]:
        """Return what a search looks through for several models, by default all."""
        return self.model_selector.get_selection_criteria_by_ids(model_ids, are_model_ids_removed)

    def get_selection_keys(self, model_id: int | str | None = None) -> list[str]:
        """Return the names of the fields that can be searched, of one model or of all."""
        return self.model_selector.get_selection_keys(model_id)

    def get_selection_values_for_key(
        self, key: str, model_id: int | str | None = None
    ) -> list[Any]:
        """Return the values that exist at a key, of one model or of all."""
        return self.model_selector.get_selection_values_for_key(key, model_id)
