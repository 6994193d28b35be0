"""Records of models that exist only in tests."""

import copy
import json
from typing import Any

from medmint.catalogue.records import ModelRecord
from medmint.resources import template_folder

MODEL_ID = "90009_TEST_MODEL"
GREY = {"dtype": "uint8", "channels": 1, "spatial_dims": 2, "value_range": [0, 255]}


def record(
    contract: str = "sampler",
    *,
    output: dict[str, Any] | None = None,
    options: dict[str, Any] | None = None,
    latent_size: int | None = 8,
    **execution: Any,
) -> ModelRecord:
    """Return a record like that of the minimal package, with what a test is about changed."""
    text = (template_folder("minimal") / "metadata.json").read_text(encoding="utf-8")
    entry = copy.deepcopy(next(iter(json.loads(text).values())))
    method = entry["execution"]["generate_method"]
    method["args"]["custom"] = options or {}
    method["input_latent_vector_size"] = latent_size
    specs = {"image": GREY} if output is None else output
    entry["execution"] |= {"contract": contract, "output": specs, **execution}
    return ModelRecord.from_dict(MODEL_ID, entry)
