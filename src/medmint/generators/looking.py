"""The part of the facade that shows what a model is."""

from __future__ import annotations

from typing import Any

from medmint.generators.foundation import Foundation


class Looking(Foundation):
    """List models, say what they are, cite them."""

    def list_models(self) -> list[str]:
        """Return the ids of all models, in catalogue order."""
        return self.config_manager.model_ids

    def info(self, model_id: int | str) -> dict[str, Any]:
        """Return what to know about a model before using it.

        Parameters
        ----------
        model_id : int or str
            A number such as ``10``, or the full id.

        Returns
        -------
        dict
            Plain values; ``options`` are keyword arguments that :meth:`generate` takes for it.

        Raises
        ------
        UnknownModelError
            If there is no such model; near matches are named.

        Examples
        --------
        >>> from medmint import Generators
        >>> Generators().info(10002)["size"]
        [128, 128]
        """
        from medmint.model_info import summarise

        return summarise(self.config_manager.record(model_id))

    def cite(self, model_id: int | str) -> str:
        """Return a BibTeX entry for a model, with the licence of its weights."""
        from medmint.model_info import citation

        return citation(self.config_manager.record(model_id))

    def get_config_by_id(self, model_id: int | str, config_key: str | None = None) -> Any:
        """Return a copy of a model's record, or of the part under a dotted key.

        Examples
        --------
        >>> from medmint import Generators
        >>> Generators().get_config_by_id(1, "execution.extension")
        '.pt'
        """
        return self.config_manager.get_config_by_id(model_id, config_key)
