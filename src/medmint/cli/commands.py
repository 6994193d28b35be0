"""What each command does with the facade."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medmint import Generators
from medmint.cli.flags import as_flags, read_value
from medmint.errors import ArgumentError
from medmint.tables import format_facts, format_table

if TYPE_CHECKING:
    from medmint.model_selector.match_candidate import ModelMatchCandidate

DEMO_MODEL = 10002
DEMO_FOLDER = "medmint-demo"
DEMO_SAMPLES = 16
DEMO_SEED = 7


def run_list(generators: Generators, options: argparse.Namespace) -> None:
    """List all models of the catalogue."""
    rows = []
    for model_id in generators.list_models():
        facts = generators.info(model_id)
        size = "x".join(str(int(side)) for side in facts["size"])
        rows.append(
            {"model_id": model_id, "type": facts["type"], "size": size, "title": facts["title"]}
        )
    print(format_table(rows, as_json=options.json))


def run_info(generators: Generators, options: argparse.Namespace) -> None:
    """Show what to know about a model before using it."""
    print(format_facts(generators.info(options.model), as_json=options.json))


def run_cite(generators: Generators, options: argparse.Namespace) -> None:
    """Print a BibTeX entry with the licence of the weights."""
    print(generators.cite(options.model))


def run_search(generators: Generators, options: argparse.Namespace) -> None:
    """Find models by words and fields, the most relevant first; --rank orders by a metric."""
    found = generators.find_models(
        options.values or None,
        options.operator,
        **_named_values("--where", options.where, Generators.find_models),
    )
    titles = {one.model_id: generators.info(one.model_id)["title"] for one in found}
    if options.rank:
        ranking = generators.rank_models(options.rank, model_ids=list(titles))
        values = {row["model_id"]: row[options.rank] for row in ranking}
        rows = [
            {"model_id": model_id, options.rank: values.get(model_id), "title": titles[model_id]}
            for model_id in [*values, *ranking.unranked]
        ]
    else:
        rows = [
            {"model_id": one.model_id, "matched": _matched(one), "title": titles[one.model_id]}
            for one in found
        ]
    _print_rows(rows, options)


def run_rank(generators: Generators, options: argparse.Namespace) -> None:
    """Put all models in order of a metric, the best first."""
    ranking = generators.rank_models(options.metric, order=options.order)
    rows = [{**row, "title": generators.info(row["model_id"])["title"]} for row in ranking]
    _print_rows(rows, options)
    if ranking.unranked and not options.json:
        print(f"{len(ranking.unranked)} models have no {options.metric}.")


def run_catalogue(generators: Generators, options: argparse.Namespace) -> None:
    """Fetch a newer catalogue from MEDMINT_CATALOGUE_URL; the last good one stays if that fails."""
    del options
    update = generators.config_manager.update()
    if not update.changed:
        print("the catalogue is up to date")
        return
    for word in ("added", "updated", "removed"):
        for model_id in getattr(update, word):
            print(f"{word} {model_id}")


def run_generate(generators: Generators, options: argparse.Namespace) -> None:
    """Generate samples into a folder; with --output, the same command again goes on there."""
    if options.model is None and options.package is None:
        raise ArgumentError("MODEL", None, "a number or id, or --package DIR")
    result: Any = generators.generate(
        options.model,
        options.num_samples,
        options.output,
        install_dependencies=options.install_dependencies,
        seed=options.seed,
        device=options.device,
        batch_size=options.batch_size,
        output_format=options.format,
        condition=None if options.condition is None else read_value(options.condition),
        latents=options.latents,
        weights=options.weights,
        package=options.package,
        isolation=options.isolation,
        allow_pickle=options.allow_pickle,
        overwrite=options.overwrite,
        **_named_values("--option", options.option, Generators.generate),
    )
    facts = {"folder": str(result.folder), "count": result.count, "seed": result.seed}
    if options.json:
        print(format_facts(facts, as_json=True))
    else:
        print(f"{result.count} samples in {result.folder} (seed {result.seed})")


def run_install(generators: Generators, options: argparse.Namespace) -> None:
    """Bring packages here, so that they can be used offline from then on."""
    for model in options.models:
        print(generators.install(model, options.install_dependencies))


def run_remove(generators: Generators, options: argparse.Namespace) -> None:
    """Remove an installed package, or the record of a model that was added here."""
    if options.record:
        model_id = generators.remove_model_from_config(options.model)
        print(f"{model_id} is not in the catalogue of this machine any more")
    else:
        print("removed" if generators.remove(options.model) else "it was not installed")


def run_verify(generators: Generators, options: argparse.Namespace) -> None:
    """Read every file of an installed package again and compare it with what was installed."""
    print(f"every file was read, the package is sha256 {generators.verify(options.model)}")


def run_copy(generators: Generators, options: argparse.Namespace) -> None:
    """Copy a package into a new folder for editing."""
    folder = generators.copy(options.model, options.folder)
    print(f"{folder}: run it with medmint generate {options.model} --package {folder}")


def run_cache(generators: Generators, options: argparse.Namespace) -> None:
    """List what medmint keeps on this machine, remove what is of no use, or say where it is."""
    from medmint.cache import clean, contents, readable_size

    settings = generators.settings
    if options.action == "path":
        print(settings.home)
    elif options.action == "clean":
        freed = clean(settings, environments=options.environments)
        print(f"{readable_size(freed)} freed in {settings.home}")
    else:
        rows = contents(settings)
        if not rows and not options.json:
            print(f"nothing is kept in {settings.home}")
            return
        if not options.json:
            rows = [{**row, "bytes": readable_size(row["bytes"])} for row in rows]
        print(format_table(rows, as_json=options.json))


def run_demo(generators: Generators, options: argparse.Namespace) -> None:
    """Generate 16 polyp images with masks into medmint-demo/, without a network."""
    from medmint.sheets import save_sheet

    folder = Path(DEMO_FOLDER)
    result: Any = generators.generate(DEMO_MODEL, DEMO_SAMPLES, folder, seed=DEMO_SEED)
    sheet = save_sheet(result, folder / "contact_sheet.png")
    if options.json:
        facts = {
            "folder": str(folder),
            "count": result.count,
            "seed": result.seed,
            "sheet": str(sheet),
        }
        print(format_facts(facts, as_json=True))
        return
    print(f"{result.count} synthetic polyp images with masks, seed {result.seed}, no network used:")
    print(f"  {folder / 'images'}   RGB images, 128 x 128 pixels")
    print(
        f"  {folder / 'masks'}    where the polyp is: 255, elsewhere 0; empty where there is none"
    )
    print(f"  {folder / 'manifest.jsonl'}   model, seed, licence, a line for each sample")
    print(f"  {sheet}   all at a glance: look at this first")
    print("Next: medmint list, medmint info 10002, medmint generate 10002 --num-samples 100")


def run_doctor(generators: Generators, options: argparse.Namespace) -> None:
    """Say what this installation has and, for a model, what it needs and what would happen."""
    from medmint.diagnosis import describe_installation, describe_needs

    if options.model is None:
        facts = describe_installation(generators.settings)
    else:
        record = generators.config_manager.record(options.model)
        facts = describe_needs(record, generators.settings)
    text = format_facts(facts, as_json=options.json)
    print(text if options.json else as_flags(text))


def _named_values(
    argument: str, pairs: Sequence[str], method: Callable[..., Any]
) -> dict[str, Any]:
    """Read NAME=VALUE pairs that go to a method beside its own arguments."""
    values = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.isidentifier():
            raise ArgumentError(argument, pair, "NAME=VALUE")
        if name in inspect.signature(method).parameters:
            raise ArgumentError(argument, pair, f"another name: {name} is an argument of its own")
        values[name] = read_value(value)
    return values


def _matched(candidate: ModelMatchCandidate) -> str:
    """Say which values matched which fields."""
    places: dict[str, list[str]] = {}
    for entry in candidate.matched_entries:
        places.setdefault(entry.target, []).append(entry.key)
    return "; ".join(
        f"{value} in {', '.join(dict.fromkeys(keys))}" for value, keys in places.items()
    )


def _print_rows(rows: list[dict[str, Any]], options: argparse.Namespace) -> None:
    if not rows and not options.json:
        print("no model matches")
    else:
        print(format_table(rows, as_json=options.json))
