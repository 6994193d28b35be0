"""``metadata.json`` of a model that a user has trained, with nothing of the original's data."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medmint.home import write_json
from medmint.model_trainer.data_facts import read_data_facts
from medmint.model_trainer.judging.evidence import Subject
from medmint.model_trainer.judging.model import Model
from medmint.model_trainer.run import WEIGHTS
from medmint.packages.package import METADATA_NAME

#: What is true of every model of a package, whatever it was trained on.
_OF_EVERY_MODEL = {"selection": ("type", "augmentations"), "description": ("parameters",)}
_SIDES = ("height", "width", "depth")
_MASK = {"dtype": "uint8", "channels": 1, "spatial_dims": 2, "value_range": [0, 255]}


def record_of_training(subject: Subject, options: argparse.Namespace) -> Path:
    """Write ``metadata.json`` for what a training has made, beside its weights.

    Sizes, outputs, classes and the length of latent vectors are those of the trained model;
    ``training_data`` is what ``data.toml`` in the training folder says. What the record of the
    package says of its own weights and their images is left out.

    Parameters
    ----------
    subject : Subject
        Of the package that ``train.py`` belongs to, with the conditions that were trained.
    options : Namespace
        Of `training_parser`; the weights are those in ``--out``.

    Returns
    -------
    Path
    """
    conditions = subject.conditions
    weights = options.out / WEIGHTS
    model = Model(subject.folder, weights, conditions=conditions, device=options.device)
    known = model.record.to_dict()
    execution = _execution(known["execution"], model, conditions)
    kept = {
        part: {name: known[part][name] for name in names if name in known[part]}
        for part, names in _OF_EVERY_MODEL.items()
    }
    sides = dict(zip(_SIDES, execution["image_size"], strict=False))
    record = {
        **known,
        "execution": execution,
        "selection": kept["selection"] | sides | {"condition": list(conditions)},
        "description": kept["description"] | {"training_data": _training_data(options.data)},
    }
    path: Path = options.out / METADATA_NAME
    write_json(path, {model.record.model_id: record})
    return path


def _execution(
    known: Mapping[str, Any], model: Model, conditions: Mapping[str, Any]
) -> dict[str, Any]:
    """Return how the package is run with these weights, by a look at one sample."""
    drawn = model.one()
    output = {name: spec for name, spec in known["output"].items() if name in drawn}
    if "mask" in drawn:
        # The names of values are those of the original's masks.
        mask = {key: value for key, value in output.get("mask", _MASK).items() if key != "values"}
        output["mask"] = mask
    dims = output["image"]["spatial_dims"]
    method = dict(known["generate_method"])
    if (size := getattr(model.sampler, "latent_size", None)) is not None:
        method["input_latent_vector_size"] = size
    changed = {
        "image_size": list(drawn["image"].shape[1 : 1 + dims]),
        "output": output,
        "generate_method": method,
        "conditions": ["_".join(values) for values in itertools.product(*conditions.values())],
    }
    if not conditions:
        del changed["conditions"]
    others = {key: value for key, value in known.items() if key not in {"conditions", *changed}}
    return others | changed


def _training_data(folder: Path) -> dict[str, Any]:
    said = read_data_facts(folder)
    facts: dict[str, Any] = {k: said[k] for k in ("name", "license", "attribution") if k in said}
    if said.get("patients", "").isdecimal():
        facts["patients"] = int(said["patients"])
    return facts
