"""Does a model give its training images away? One section, made of `medmint.metrics.privacy`."""

from __future__ import annotations

from collections.abc import Iterator

from medmint.metrics.closeness import Closeness
from medmint.metrics.privacy import Privacy, privacy
from medmint.model_trainer.judging.evidence import Evidence
from medmint.model_trainer.judging.numbers import Goal, Measured, Section, Table

MOST_CLOSE, MOST_MEMBERSHIP = 0.02, 0.60


def copying(evidence: Evidence) -> Section:
    """Compare samples with the training images, and tell members by their distance to samples."""
    train, holdout = evidence.read("train"), evidence.read(evidence.split)
    samples = evidence.pool(evidence.effort.copies).images
    found = privacy(
        evidence.real("train").images,
        samples,
        holdout=evidence.real().images,
        extractor=evidence.extractor,
        groups=(train.patients, holdout.patients),
    )
    if found.membership_auc is None or found.membership_interval is None:
        raise RuntimeError("privacy() measures membership wherever there is a holdout")
    interval = found.membership_interval
    membership = Measured(found.membership_auc, interval.low, interval.high)
    split, goals = evidence.split, tuple(_goals(found, membership))
    nothing = ("The tests found nothing that speaks against sharing samples.",)
    return Section(
        title="Copying and membership",
        about=(
            f"{len(samples)} samples, {len(train.images)} training images and "
            f"{len(holdout.images)} of the {split} split. Distances are searched over flips, "
            "shifts of up to 8 pixels, brightness and contrast. A sample is near if it is nearer "
            f"to a training image than the 1st percentile of the distances of the {split} images "
            "to their nearest training image. Membership is told by the distance of a real image "
            f"to the nearest sample; 95 % interval by {interval.method} over "
            f"{_units(interval.unit, interval.units)}."
        ),
        tables=_tables(found, membership),
        goals=goals,
        notes=found.findings or (nothing if all(goal.is_met for goal in goals) else ()),
    )


def _tables(found: Privacy, membership: Measured) -> tuple[Table, ...]:
    spaces = [space for space in (found.pixels, found.features) if space is not None]
    near = Table(
        columns=(
            "distances in",
            "share of samples near",
            "of them at less than half that distance",
            "median of samples over that of real images",
        ),
        rows=tuple((_space(s), f"{s.close_share:.1%}", s.outright, s.ratio) for s in spaces),
    )
    told = Table(
        columns=("", "AUC"),
        rows=(("membership", membership),),
        caption="0.5: members cannot be told.",
    )
    return near, told


def _goals(found: Privacy, membership: Measured) -> Iterator[Goal]:
    share = found.pixels.close_share
    yield Goal(
        text=f"at most {MOST_CLOSE:.0%} of the samples near in pixels",
        measured=Measured(share),
        is_met=share <= MOST_CLOSE,
    )
    yield Goal(
        text=f"membership AUC at most {MOST_MEMBERSHIP:.2f} by its lower bound",
        measured=membership,
        is_met=membership.low is not None and membership.low <= MOST_MEMBERSHIP,
    )


def _space(closeness: Closeness) -> str:
    return closeness.space if closeness.space == "pixels" else f"features `{closeness.space}`"


def _units(unit: str, units: int) -> str:
    return f"{units} patients" if unit == "group" else f"{units} images (no patients are known)"
