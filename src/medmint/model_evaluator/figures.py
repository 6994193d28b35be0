"""The plots of a report."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medmint.metrics.image_search import FLIPS, aligned_pairs
from medmint.model_evaluator.rows import Picture
from medmint.sheets import contact_sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from medmint.metrics.comparison import SizeCurve
    from medmint.metrics.downstream import Usefulness
    from medmint.metrics.privacy import Privacy

Array = NDArray[Any]
REAL, SYNTHETIC = "#1f77b4", "#d95f02"
_SHOWN = 32
_PAIRS = 8


def grids(real: Array, synthetic: Array) -> Picture:
    """Show the first images of both sets side by side."""
    figure = _figure(10, 4.0)
    for axes, images, title in zip(
        figure.subplots(1, 2), (real, synthetic), ("real", "synthetic"), strict=True
    ):
        axes.imshow(contact_sheet(list(shown(images[:_SHOWN])), columns=8))
        axes.set_title(title)
        axes.set_axis_off()
    return _picture(figure, "grids", f"The first {_SHOWN} images of each set, not chosen.")


def nearest_pairs(synthetic: Array, reference: Array, result: Privacy, kind: str) -> Picture:
    """Show the synthetic images that are nearest to a reference image, above their neighbours."""
    order = np.argsort(result.neighbours.distance)[:_PAIRS]
    pairs = aligned_pairs(shown(synthetic), shown(reference), result.neighbours)
    figure = _figure(10, 3.4)
    axes = np.asarray(figure.subplots(2, _PAIRS, squeeze=False))
    for column in range(_PAIRS):
        for row in range(2):
            axes[row, column].set_axis_off()
        if column < len(order):
            place = int(order[column])
            for row in range(2):
                image = pairs[row][place]
                axes[row, column].imshow(image, cmap="gray" if image.ndim == 2 else None)
            distance = result.neighbours.distance[place]
            flip = FLIPS[int(result.neighbours.flip[place])]
            turned = "" if flip == "none" else f"\n{flip}"
            axes[0, column].set_title(f"{distance:.3f}{turned}", fontsize=8)
    caption = (
        f"The synthetic images nearest to a {kind} image (above) and those {kind} images "
        "(below), mirrored and shifted onto them. The number is the distance in pixels, 0 for a "
        f"copy; 1 % of the {result.baseline} images are below {result.pixels.threshold:.3f}."
    )
    return _picture(figure, "nearest_pairs", caption)


def distances_to_reference(result: Privacy, kind: str) -> Picture:
    """Show how near synthetic and unseen images come to reference images, such as "training"."""
    spaces = [space for space in (result.pixels, result.features) if space is not None]
    figure = _figure(4.8 * len(spaces), 3.2)
    for axes, space in zip(np.ravel(figure.subplots(1, len(spaces))), spaces, strict=True):
        together = np.concatenate([space.synthetic, space.baseline])
        bins = np.linspace(together.min(), together.max() + 1e-9, 30)
        axes.hist(space.baseline, bins, density=True, alpha=0.6, color=REAL, label=result.baseline)
        axes.hist(
            space.synthetic, bins, density=True, alpha=0.6, color=SYNTHETIC, label="synthetic"
        )
        axes.axvline(space.threshold, color="black", linewidth=1, linestyle=":")
        axes.set_xlabel(f"distance to the nearest {kind} image ({space.space})")
        axes.set_ylabel("density")
        axes.legend(frameon=False)
    caption = (
        f"Distance to the nearest {kind} image, searched over flips, shifts, brightness and "
        f"contrast. Left of the dotted line lies 1 % of the {result.baseline} images."
    )
    return _picture(figure, "nearest_distances", caption)


def embedding(real: Array, synthetic: Array, name: str) -> Picture:
    """Show both sets along the first two principal components of the real features."""
    centre = real.mean(axis=0)
    _, _, components = np.linalg.svd(real - centre, full_matrices=False)
    figure = _figure(5.6, 4.2)
    axes = figure.subplots()
    for features, colour, label in ((real, REAL, "real"), (synthetic, SYNTHETIC, "synthetic")):
        places = (features - centre) @ components[:2].T
        places = np.pad(places, ((0, 0), (0, 2 - places.shape[1])))
        axes.scatter(places[:, 0], places[:, 1], s=10, alpha=0.6, color=colour, label=label)
    axes.set_xlabel("first principal component of the real features")
    axes.set_ylabel("second")
    axes.legend(frameon=False)
    caption = f"Real and synthetic images in the features of {name}."
    return _picture(figure, f"embedding_{name}", caption)


def against_size(curves: Mapping[str, SizeCurve], name: str) -> Picture:
    """Show a distance at growing N, with the real-real value where there is one."""
    figure = _figure(5.6, 3.8)
    axes = figure.subplots()
    colours = {"real-synthetic": SYNTHETIC, "real-real": REAL}
    for label, curve in curves.items():
        axes.errorbar(
            curve.sizes,
            curve.values,
            curve.deviations,
            marker="o",
            markersize=4,
            capsize=2,
            color=colours.get(label),
            label=label,
        )
    axes.set_xlabel("N, images in each set")
    axes.set_ylabel(name)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    caption = (
        f"{name} at growing N, mean and deviation over five draws: its bias falls as 1/N, "
        "and below the number of features it says little."
    )
    return _picture(figure, f"against_size_{name}", caption)


def usefulness(result: Usefulness) -> Picture:
    """Show the scores of all arms at all fractions of the real images."""
    figure = _figure(7.5, 3.8)
    axes = figure.subplots()
    score = "Dice" if result.task == "segmentation" else "AUROC"
    places = np.arange(len(result.plan.fractions))
    for number, arm in enumerate(result.plan.arms):
        fractions = [None if arm == "synthetic" else share for share in result.plan.fractions]
        means, deviations = zip(
            *(result.mean_score(arm, share, score) for share in fractions), strict=True
        )
        shift = (number - (len(result.plan.arms) - 1) / 2) * 0.12
        axes.errorbar(places + shift, means, deviations, fmt="o", capsize=2, label=arm)
    axes.set_xticks(places, [f"{share:.0%}" for share in result.plan.fractions])
    axes.set_xlabel("share of the real training images")
    axes.set_ylabel(f"{score} on real test images")
    axes.legend(frameon=False, fontsize=8)
    seeds = len(result.plan.seeds)
    caption = f"Usefulness for {result.task}: mean and deviation over {seeds} seeds."
    return _picture(figure, "usefulness", caption)


def sensitivity(points: Sequence[Mapping[str, Any]]) -> Picture:
    """Show distances against N for every network and normalisation, a panel for each size."""
    sides = sorted({int(point["side"]) for point in points})
    figure = _figure(3.4 * len(sides) + 2.2, 3.6)
    lines: list[Any] = []
    panels = np.ravel(figure.subplots(1, len(sides), sharey=True))
    for axes, side in zip(panels, sides, strict=True):
        lines = _sensitivity_panel(axes, [p for p in points if int(p["side"]) == side])
        axes.set_title(f"images resized to {side} x {side}", fontsize=9)
        axes.set_xlabel("N, images in each set")
        axes.set_yscale("log")
    panels[0].set_ylabel("Frechet distance")
    labels = [line.get_label() for line in lines]
    figure.legend(handles=lines, labels=labels, loc="outside right upper", fontsize=8)
    caption = (
        "Frechet distance between the same real and synthetic images under every combination of "
        "feature network, normalisation, size and number of images; mean and deviation over seeds."
    )
    return _picture(figure, "sensitivity", caption)


def normalised_or_not(points: Sequence[Mapping[str, Any]]) -> Picture:
    """Show the distances of normalised images against those of images as they are."""
    first, *others = dict.fromkeys(str(point["normalisation"]) for point in points)
    figure = _figure(5.6, 4.2)
    axes = figure.subplots()
    keys = ("extractor", "side", "n", "seed")
    plain = {tuple(p[k] for k in keys): p["value"] for p in points if p["normalisation"] == first}
    for number, extractor in enumerate(sorted({str(p["extractor"]) for p in points})):
        for marker, other in zip("os^", others, strict=False):
            pairs = [
                (plain[tuple(p[k] for k in keys)], p["value"])
                for p in points
                if (p["extractor"], p["normalisation"]) == (extractor, other)
            ]
            plain_values, normalised = np.array(pairs).T
            label = f"{extractor}, {other}"
            axes.plot(
                plain_values, normalised, marker, markersize=4, color=f"C{number}", label=label
            )
    ends = [min(float(p["value"]) for p in points), max(float(p["value"]) for p in points)]
    axes.plot(ends, ends, color="grey", linewidth=1, linestyle=":")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(f"Frechet distance, normalisation: {first}")
    axes.set_ylabel("Frechet distance, normalised")
    axes.legend(frameon=False, fontsize=8)
    caption = "The same images, normalised or not: on the dotted line it would make no difference."
    return _picture(figure, "normalised_or_not", caption)


def _sensitivity_panel(axes: Axes, points: Sequence[Mapping[str, Any]]) -> list[Any]:
    lines = []
    settings = sorted({(p["extractor"], p["normalisation"]) for p in points})
    extractors = sorted({extractor for extractor, _ in settings})
    normalisations = sorted({normalisation for _, normalisation in settings})
    for extractor, normalisation in settings:
        own = [
            p for p in points if (p["extractor"], p["normalisation"]) == (extractor, normalisation)
        ]
        sizes = sorted({int(p["n"]) for p in own})
        values = [[p["value"] for p in own if int(p["n"]) == size] for size in sizes]
        lines.append(
            axes.errorbar(
                sizes,
                [float(np.mean(one)) for one in values],
                [float(np.std(one)) for one in values],
                color=f"C{extractors.index(extractor)}",
                linestyle=("-", "--", ":")[normalisations.index(normalisation) % 3],
                marker="o",
                markersize=4,
                capsize=2,
                label=f"{extractor}, {normalisation}",
            )
        )
    return lines


def models(points: Mapping[str, tuple[float, float]], name: str) -> Picture:
    """Show for several models the distance to real images against that among real images."""
    figure = _figure(5.6, 4.4)
    axes = figure.subplots()
    for label, (real_real, real_synthetic) in points.items():
        axes.scatter(real_synthetic, real_real, s=28, label=label)
    values = [value for pair in points.values() for value in pair]
    lowest, highest = min(values), max(values)
    if lowest > 0:
        # Distances of good and bad models differ by orders of magnitude.
        axes.set(xscale="log", yscale="log")
    ends = (lowest / 1.5, highest * 1.5)
    axes.plot(ends, ends, color="grey", linewidth=1, linestyle=":")
    axes.set_xlabel(f"{name}, real-synthetic")
    axes.set_ylabel(f"{name}, real-real")
    axes.legend(frameon=False, fontsize=8)
    caption = (
        f"{name} between real and synthetic images against that between real images, equal sizes. "
        "On the dotted line synthetic images are as near to real ones as real ones to each other."
    )
    return _picture(figure, "models", caption)


def shown(images: Array) -> Array:
    """Return images as a screen shows them: middle slices of volumes, 8 bits, 0 to 1 as grey."""
    if images.ndim == 5 or (images.ndim == 4 and images.shape[-1] > 4):
        images = images[:, :, :, images.shape[3] // 2]
    if images.dtype == np.uint8:
        return images
    return np.asarray(np.clip(images * 255, 0, 255), dtype=np.uint8)


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _picture(figure: Figure, name: str, caption: str) -> Picture:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return Picture(name=name, caption=caption, png=buffer.getvalue())
