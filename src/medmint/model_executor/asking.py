"""What a worker is asked for: the message and the arrays of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medmint.model_executor.plan import Plan
from medmint.packages.workers.process import Worker
from medmint.samples import batch_seed, draw_conditions, latent_vectors


def ask(plan: Plan, worker: Worker, indices: Sequence[int]) -> int:
    """Send the request for some samples of a plan; return its number.

    Parameters
    ----------
    plan : Plan
    worker : Worker
        Has the package of the plan loaded.
    indices : sequence of int
        Any of a sampler package. Those of a generate package follow each other: it draws its own
        random numbers, from a seed that the first index decides.
    """
    message: dict[str, Any] = {"op": "batch", "options": dict(plan.options)}
    arrays: dict[str, NDArray[Any]] = {}
    if plan.latents is not None:
        arrays["latents"] = plan.latents.take(indices, axis=0)
    if plan.record.execution.contract == "generate":
        message |= {"num_samples": len(indices), "seed": batch_seed(plan.seed, indices[0])}
        return worker.request(message, arrays)
    if plan.latents is None:
        size = plan.record.execution.generate_method.input_latent_vector_size or 0
        drawn = [latent_vectors(plan.seed, i, i + 1, size) for i in indices]
        arrays["latents"] = np.concatenate(drawn)
    classes = _classes(plan, indices)
    return worker.request(message, arrays if classes is None else arrays | {"condition": classes})


def _classes(plan: Plan, indices: Sequence[int]) -> NDArray[np.int64] | None:
    if (wanted := plan.condition) is not None:
        # One class is that of a plan without end, whose samples are more than it was made for.
        return wanted.take(indices) if len(wanted) > 1 else wanted.repeat(len(indices))
    count = len(plan.record.execution.conditions or ())
    drawn = [draw_conditions(plan.seed, i, i + 1, count) for i in indices] if count else []
    return np.concatenate(drawn) if drawn else None
