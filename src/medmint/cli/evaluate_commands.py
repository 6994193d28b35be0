"""The command that judges models beside real images."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from medmint import Generators
from medmint.errors import ArgumentError, MedmintError

#: Extractors whose weights the user names.
_WEIGHTED = ("inception", "radimagenet")


def run_evaluate(generators: Generators, options: argparse.Namespace) -> None:
    """Compare what models generate, or a folder of synthetic images, with real images."""
    if bool(options.models) == bool(options.synthetic):
        raise ArgumentError("MODEL", options.models or None, "models, or else --synthetic DIR")
    if options.record and len(options.models) > 1:
        raise ArgumentError("--record", options.record, "one model at a time")
    if options.record and not Path(options.record).is_file():
        raise ArgumentError("--record", options.record, "a metadata.json that is there")
    arguments = _arguments(options)
    result: Any
    if options.synthetic:
        from medmint.model_evaluator.evaluator import EvaluationRequest, evaluate_images

        result = evaluate_images(options.real, options.synthetic, EvaluationRequest(**arguments))
    elif len(options.models) == 1:
        result = generators.evaluate(options.models[0], options.real, **arguments)
    else:
        result = generators.evaluate_models(options.models, options.real, **arguments)
    # Printed first: numbers that took long outlive a folder that cannot be written.
    print(json.dumps(result.to_dict(), indent=1, allow_nan=False) if options.json else result)
    if options.record:
        result.write_record(Path(options.record))
    if options.output:
        page = result.save(Path(options.output))
        if not options.json:
            print(f"\nsaved {page}")
    if not any(report.rows for report in getattr(result, "reports", {"": result}).values()):
        raise MedmintError("No metric could be computed; the reasons stand above.")


def run_suitability(generators: Generators, options: argparse.Namespace) -> None:
    """Say whether a model's output fits your own images."""
    found = generators.suitability(
        options.model, options.images, domain=options.domain, n=options.n, seed=options.seed
    )
    if options.json:
        facts = {
            "model_id": found.model_id,
            "verdict": found.verdict,
            "checks": found.rows(),
            "warnings": found.warnings,
        }
        print(json.dumps(facts, indent=1))
    else:
        print(found)


def add_evaluate_arguments(command: argparse.ArgumentParser) -> None:
    """Describe the arguments of ``medmint evaluate``."""
    add = command.add_argument
    add("models", nargs="*", metavar="MODEL", help="numbers or ids; several give one table")
    add("--real", required=True, metavar="DIR", help="real images, or a text file that lists them")
    add("--synthetic", metavar="DIR", help="judge these images instead of a model's")
    add("--train", metavar="DIR", help="images that the model was trained on, for privacy")
    add("--holdout", metavar="DIR", help="real images that it was not trained on, for privacy")
    add("--groups", metavar="CSV", help="table of the patient of each file")
    add("--metrics", metavar="NAMES", help="separated by commas; default: all but usefulness")
    add("--extractor", metavar="NAMES", help="feature extractors, separated by commas")
    add("--weights", metavar="FILE", help="weights of the extractor inception or radimagenet")
    add("-n", type=int, metavar="N", help="synthetic images (as many as real ones)")
    add("--seed", type=int, help="fixes samples, splits and intervals")
    add("--window", nargs=2, type=float, metavar=("LOW", "HIGH"), help="black and white")
    add("--cache", metavar="DIR", help="keep features of the real images here")
    add("--output", metavar="DIR", help="save report.json and report.html here")
    add("--record", metavar="FILE", help="add the numbers to the record in this metadata.json")


def add_suitability_arguments(command: argparse.ArgumentParser) -> None:
    """Describe the arguments of ``medmint suitability``."""
    add = command.add_argument
    add("model", metavar="MODEL", help="number or id")
    add("images", metavar="DIR", help="your images")
    add("--domain", help="their modality or organ, such as endoscopy")
    add("-n", type=int, metavar="N", help="synthetic images (as many as yours, 200 at most)")
    add("--seed", type=int, help="fixes the samples")


def _arguments(options: argparse.Namespace) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "train": options.train,
        "holdout": options.holdout,
        "groups": options.groups,
        "seed": options.seed,
        "window": tuple(options.window) if options.window else None,
        "cache": options.cache,
    }
    if options.metrics:
        arguments["metrics"] = _names(options.metrics)
    if options.extractor or options.weights:
        arguments["extractor"] = _extractors(_names(options.extractor or ""), options.weights)
    if options.n is not None:
        arguments["n"] = options.n
    return arguments


def _extractors(names: list[str], weights: str | None) -> list[Any]:
    """Give the file with weights to the one extractor that reads one."""
    if weights is None:
        return list(names)
    if len(set(names).intersection(_WEIGHTED)) != 1:
        allowed = f"--extractor with either {' or '.join(_WEIGHTED)}, whose weights they are"
        raise ArgumentError("--weights", weights, allowed)
    from medmint.metrics import find_extractor

    return [find_extractor(name, weights=weights) if name in _WEIGHTED else name for name in names]


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
