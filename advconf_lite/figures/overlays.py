"""Truth and prediction laid over each other: what Dice and surface Dice count, and what they make of an absent class."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy import ndimage

from advconf_lite.figures.panels import (
    class_legend,
    crop_around,
    figure_of_images,
    image_panel,
    line_handle,
    outline,
    outlines,
    scale_bar,
)
from advconf_lite.figures.style import BROKEN, EXTRA, HIT, MISSED, TRUTH, WIDTH, Cue, class_cue, plain_array, styled
from advconf_lite.support.errors import BadInput


class Boundaries(NamedTuple):
    """Boundary pixels of two regions, (H, W) each, and those of them that the tolerance forgives."""

    truth: np.ndarray
    prediction: np.ndarray
    truth_near: np.ndarray
    prediction_near: np.ndarray
    band: np.ndarray  # all pixels within the tolerance of the true boundary

    @property
    def near(self) -> int:
        return int(self.truth_near.sum() + self.prediction_near.sum())

    @property
    def all(self) -> int:
        return int(self.truth.sum() + self.prediction.sum())


def boundaries(truth: np.ndarray, prediction: np.ndarray, tolerance_mm: float, spacing_mm: float = 1.0) -> Boundaries:
    """What surface Dice counts, of two regions (H, W): `near / all` is `quality.surface_dice` of the class."""
    edges = [np.asarray(region) & ~ndimage.binary_erosion(region) for region in (truth, prediction)]
    bands = [_distance(edge, spacing_mm) <= tolerance_mm * (1 + 1e-6) for edge in edges]
    return Boundaries(*edges, edges[0] & bands[1], edges[1] & bands[0], bands[0])


def _distance(edge: np.ndarray, spacing_mm: float) -> np.ndarray:
    return ndimage.distance_transform_edt(~edge, sampling=spacing_mm) if edge.any() else np.full(edge.shape, np.inf)


@styled
def overlay(
    image: Any,
    truth: Any,
    prediction: Any,
    class_names: Sequence[str],
    spacing_mm: float = 1.0,
    tolerance_mm: float | None = None,
    label: int = 1,
) -> Figure:
    """Image, truth and prediction; below, what Dice counts and what surface Dice counts of one class, in its formulas.

    Args:
        image: (H, W).
        truth, prediction: (H, W) label maps.
        class_names: foreground classes, label 1 first.
        tolerance_mm: of the surface Dice; without it that panel is left out.
        label: the class that is counted.
    """
    image, truth, prediction = (plain_array(values).squeeze() for values in (image, truth, prediction))
    if not 1 <= label <= len(class_names):
        raise BadInput(f"label is {label}; give 1 to {len(class_names)}, one of {', '.join(class_names)}")
    window, crop = np.percentile(image, [1, 99]), crop_around([truth, prediction])
    name, true, drawn = class_names[label - 1], (truth == label)[crop], (prediction == label)[crop]
    fig = figure_of_images(WIDTH, 6.7)
    axes = fig.subplots(2, 3)
    for ax, title, shown in zip(axes[0], ("image", "truth", "prediction"), (None, truth, prediction)):
        image_panel(ax, image, window)
        ax.set_title(title)
        if shown is not None:
            outlines(ax, shown, TRUTH if shown is truth else None)
    scale_bar(axes[0, 0], image.shape, spacing_mm)
    texts = [_dice_panel(axes[1, 0], image[crop], window, true, drawn)]
    axes[1, 0].set_title(f"Dice of {name}: pixels")
    scale_bar(axes[1, 0], true.shape, spacing_mm)
    handles = [_patch(cue, text) for cue, text in ((HIT, "TP: in both"), (EXTRA, "FP: drawn only"), (MISSED, "FN: missed"))]
    handles.append(line_handle(TRUTH, "truth"))
    if len(class_names) == 1:
        handles.append(line_handle(class_cue(1), "prediction"))
    if tolerance_mm is not None:
        found = boundaries(true, drawn, tolerance_mm, spacing_mm)
        texts.append(_surface_panel(axes[1, 1], image[crop], window, true, drawn, found, tolerance_mm, class_cue(label)))
        axes[1, 1].set_title("surface Dice: boundaries")
        handles += [Patch(fc=(*to_rgb(HIT.colour), 0.45), ec="0.3", label=f"within {tolerance_mm:g} mm of truth")]
        handles += [_marker(EXTRA, "drawn too far away"), _marker(MISSED, "true, too far away")]
    for ax in axes.ravel():
        ax.axis("off")
    beside = axes[1, len(texts)]
    beside.text(0.02, 1.0, "\n\n".join(texts), va="top", transform=beside.transAxes, linespacing=1.5)
    fig.legend(handles=handles, loc="outside lower center", ncols=4, handlelength=2.0, columnspacing=1.2)
    return fig


def _dice_panel(ax: Axes, image: np.ndarray, window: Any, true: np.ndarray, drawn: np.ndarray) -> str:
    """The pixels in their colours; returns the formula with the counts."""
    image_panel(ax, image, window)
    regions = (true & drawn, HIT), (drawn & ~true, EXTRA), (true & ~drawn, MISSED)
    for inside, cue in regions:
        colours = np.zeros((*inside.shape, 4))
        colours[inside] = *to_rgb(cue.colour), 0.5 if cue is HIT else 0.75
        ax.imshow(colours)
        if inside.any() and cue.hatch:
            ax.contourf(inside, levels=[0.5, 1.5], colors="none", hatches=[cue.hatch])
    hits, extra, missed = (int(inside.sum()) for inside, _ in regions)
    head = "Dice = 2 TP / (2 TP + FP + FN)\n"
    if hits + extra + missed == 0:
        return head + "neither has the class:\nit counts as 1"
    value = 2 * hits / (2 * hits + extra + missed)
    return f"{head}= 2·{hits} / (2·{hits} + {extra} + {missed})\n= {value:.2f}"


def _surface_panel(
    ax: Axes,
    image: np.ndarray,
    window: Any,
    true: np.ndarray,
    drawn: np.ndarray,
    found: Boundaries,
    tolerance_mm: float,
    cue: Cue,
) -> str:
    image_panel(ax, image, window)
    colours = np.zeros((*true.shape, 4))
    colours[found.band] = *to_rgb(HIT.colour), 0.45
    ax.imshow(colours)
    outline(ax, true, TRUTH)
    outline(ax, drawn, cue)
    far = (found.prediction & ~found.prediction_near, EXTRA), (found.truth & ~found.truth_near, MISSED)
    for pixels, mark in far:
        rows, columns = np.nonzero(pixels)
        ax.plot(columns, rows, ls="none", marker=mark.marker, ms=4.5, color=mark.colour, mec="black", mew=0.5)
    ax.set(xlim=(-0.5, true.shape[1] - 0.5), ylim=(true.shape[0] - 0.5, -0.5))
    head = f"surface Dice = boundary pixels within\n{tolerance_mm:g} mm of the other / all of them\n"
    if found.all == 0:
        return head + "neither has the class:\nit counts as 1"
    near = int(found.truth_near.sum()), int(found.prediction_near.sum())
    both = int(found.truth.sum()), int(found.prediction.sum())
    return f"{head}= ({near[0]} + {near[1]}) / ({both[0]} + {both[1]})\n= {found.near / found.all:.2f}"


def _patch(cue: Cue, label: str) -> Patch:
    return Patch(fc=cue.colour, ec="black", lw=0.5, hatch=cue.hatch, label=label)


def _marker(cue: Cue, label: str) -> Line2D:
    return Line2D([], [], ls="none", marker=cue.marker, color=cue.colour, mec="black", mew=0.5, ms=7, label=label)


@styled
def empty_class(
    image: Any,
    truth: Any,
    prediction: Any,
    class_names: Sequence[str],
    scores: Mapping[str, Sequence[float]],
    spacing_mm: float = 1.0,
) -> Figure:
    """A slice whose truth lacks a class that the prediction draws, and what each score makes of it, class by class.

    Args:
        image: (H, W).
        truth, prediction: (H, W) label maps.
        class_names: foreground classes, label 1 first.
        scores: name of the score -> a value per class; NaN where it has none, which the mean counts as 1.
    """
    image, truth, prediction = (plain_array(values).squeeze() for values in (image, truth, prediction))
    values = {name: np.asarray(plain_array(row), float).ravel() for name, row in scores.items()}
    wrong = [name for name, row in values.items() if len(row) != len(class_names)]
    if wrong:
        raise BadInput(f"{wrong[0]} has {len(values[wrong[0]])} values; give one for each of {', '.join(class_names)}")
    lone = [k for k in range(1, len(class_names) + 1) if (prediction == k).any() and not (truth == k).any()]
    crop = crop_around([truth, prediction])
    fig = figure_of_images(WIDTH, 3.6)
    axes = fig.subplots(1, 3, width_ratios=(1, 1, 1.1 + 0.35 * max(0, len(values) - 2)))
    names = ", ".join(class_names[k - 1] for k in lone) or "every class"
    pixels = sum(int((prediction == k).sum()) for k in lone)
    drawn = f"{pixels} pixels, {pixels * spacing_mm**2:.0f} mm²" if lone else "as in truth"
    titles = f"truth: no {names}" if lone else "truth", f"prediction: {names}\n({drawn})"
    for ax, title, mask in zip(axes, titles, (truth, prediction)):
        image_panel(ax, image[crop], np.percentile(image, [1, 99]))
        outlines(ax, mask[crop])
        ax.set_title(title)
        ax.axis("off")
    scale_bar(axes[0], image[crop].shape, spacing_mm)
    _table(axes[2], list(class_names), values, lone)
    class_legend(fig, list(class_names))
    return fig


def _table(ax: Axes, class_names: list[str], values: dict[str, np.ndarray], lone: list[int]) -> None:
    """Scores by class, the classes that only the prediction has on red, and their mean below a rule."""
    rows = [*class_names, "mean"]
    ax.set(xlim=(-1.2, len(values) - 0.4), ylim=(len(rows) - 0.3, -1.1))
    for column, (name, row) in enumerate(values.items()):
        ax.text(column, -0.7, textwrap.fill(name, 10), ha="center", va="center")
        for line, value in enumerate([*row, np.nan_to_num(row, nan=1.0).mean()]):
            bad = line + 1 in lone
            box = {"facecolor": (*to_rgb(BROKEN.colour), 0.18), "edgecolor": BROKEN.colour, "pad": 4} if bad else None
            text = f"{value:.2f}" if np.isfinite(value) else "in neither"
            ax.text(
                column, line, text, ha="center", va="center", bbox=box, weight="bold" if bad or line == len(row) else None
            )
    for line, name in enumerate(rows):
        ax.text(-1.15, line, name, va="center", weight="bold" if name == "mean" else None)
    ax.axhline(len(class_names) - 0.5, color="0.3", lw=0.8)
    ax.axis("off")
