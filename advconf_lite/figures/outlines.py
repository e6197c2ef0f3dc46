"""Many outlines at a glance: one subject on every scanner, twelve slices without and with the truth, dropout samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from advconf_lite.figures.panels import (
    LEGEND_COLUMNS,
    crop_around,
    figure_of_images,
    image_panel,
    outlines,
    predicted_handles,
    scale_bar,
)
from advconf_lite.figures.style import BLUE, BROKEN, TRUTH, WIDTH, plain_array, styled
from advconf_lite.support.errors import BadInput


class Outlined(NamedTuple):
    """A slice and the outline that a segmenter drew on it.

    image: (H, W). prediction, truth: (H, W) label maps. true: the quality of the prediction, a number in [0, 1].
    predicted: method -> the score that it predicts for this slice.
    """

    title: str
    image: Any
    prediction: Any
    truth: Any = None
    true: float = np.nan
    predicted: Mapping[str, float] = {}


@styled
def one_subject_all_scanners(
    cases: Sequence[Outlined],
    class_names: Sequence[str],
    spacing_mm: float = 1.0,
    quality: str = "Dice",
    failed_below: float = 0.7,
) -> Figure:
    """The same slice of the same subject on each scanner, the source first: true outline, predicted outline and its quality.

    A red frame marks a quality below `failed_below`.
    """
    return _grid(cases, class_names, spacing_mm, quality, failed_below, crop=True)


@styled
def quality_grid(
    cases: Sequence[Outlined],
    class_names: Sequence[str],
    spacing_mm: float = 1.0,
    revealed: bool = False,
    quality: str = "Dice",
    failed_below: float = 0.7,
    picked: Sequence[int] = (),
) -> Figure:
    """Outlines to judge by eye, numbered from 1; `revealed`: the same with the truth, the quality and the failures' frames.

    Args:
        picked: numbers that somebody would send back, which get a blue corner.
    """
    numbered = [case._replace(title=f"{number}") for number, case in enumerate(cases, start=1)]
    wrong = [number for number in picked if not 1 <= number <= len(cases)]
    if wrong:
        raise BadInput(f"there is no outline {wrong[0]}; give numbers from 1 to {len(cases)}")
    if not revealed:
        numbered = [case._replace(truth=None, true=np.nan, predicted={}) for case in numbered]
    fig = _grid(numbered, class_names, spacing_mm, quality, failed_below, crop=False)
    for number in picked:
        ax = fig.axes[number - 1]
        ax.plot([0.1], [0.9], marker="v", ms=16, color=BLUE, mec="white", mew=1.5, transform=ax.transAxes, ls="none")
    if picked:
        fig.text(0.005, 0.008, "▼ sent back", color=BLUE, va="bottom")
    return fig


def _grid(
    cases: Sequence[Outlined],
    class_names: Sequence[str],
    spacing_mm: float,
    quality: str,
    failed_below: float,
    crop: bool,
) -> Figure:
    if not cases:
        raise BadInput("there is no slice to draw; give at least one")
    images, masks = [plain_array(case.image).squeeze() for case in cases], [_mask(case.prediction) for case in cases]
    truths = [None if case.truth is None else _mask(case.truth) for case in cases]
    shown = [mask for mask in (*masks, *truths) if mask is not None]
    box = crop_around(shown) if crop else np.s_[:, :]
    columns = 3 if len(cases) in (3, 5, 6, 9) else min(4, len(cases))
    rows = -(-len(cases) // columns)
    words = max(len(case.predicted) + bool(np.isfinite(case.true)) for case in cases)
    titles = max(case.title.count("\n") + 1 for case in cases)
    height = rows * (WIDTH / columns + 0.12 + 0.19 * (words + titles)) + 0.5
    fig = figure_of_images(WIDTH if columns > 1 else 3.2, height)
    axes = fig.subplots(rows, columns, squeeze=False).ravel()
    for ax, case, image, mask, truth in zip(axes, cases, images, masks, truths):
        image_panel(ax, image[box], np.percentile(image, [1, 99]))
        if truth is not None:
            outlines(ax, truth[box], TRUTH)
        outlines(ax, mask[box])
        ax.set_title(case.title, parse_math=False)
        _judged(ax, case, quality, failed_below)
    for ax in axes[len(cases) :]:
        ax.axis("off")
    scale_bar(axes[0], images[0][box].shape, spacing_mm)
    handles = predicted_handles(class_names, truth=any(truth is not None for truth in truths))
    if any(case.true < failed_below for case in cases):
        handles.append(Line2D([], [], ls="none", marker="s", mfc="none", mec=BROKEN.colour, mew=3, ms=11,
                              label=f"{quality} below {failed_below:g}"))  # fmt: skip
    fig.legend(handles=handles, loc="outside lower center", ncols=LEGEND_COLUMNS, handlelength=2.4)
    return fig


def _mask(values: Any) -> np.ndarray:
    return plain_array(values).squeeze()


def _judged(ax: Axes, case: Outlined, quality: str, failed_below: float) -> None:
    """What is known of the slice below it, and a frame if it failed: red, thick, and with a cross."""
    lines = [f"{quality} {case.true:.2f}"] if np.isfinite(case.true) else []
    lines += [f"{method}: {value:.2f}" for method, value in case.predicted.items()]
    ax.set(xticks=[], yticks=[], xlabel="\n".join(lines))
    failed = bool(case.true < failed_below)
    ax.spines[:].set(visible=failed, color=BROKEN.colour, linewidth=4)
    if failed:
        ax.text(0.97, 0.97, "✗", transform=ax.transAxes, ha="right", va="top", size=20, color=BROKEN.colour, weight="bold",
                path_effects=[withStroke(linewidth=3, foreground="white")])  # fmt: skip


class Sampled(NamedTuple):
    """Dropout samples of one slice: image (H, W), masks (n, H, W), truth (H, W) or None, agreement, true quality."""

    image: Any
    masks: Any
    truth: Any
    agreement: float
    true: float


def disagreement(masks: Any) -> np.ndarray:
    """Share of n samples whose label differs from the most frequent one, of every pixel: (n, H, W) -> (H, W) in [0, 1)."""
    masks = plain_array(masks)
    return 1 - np.max([(masks == label).mean(0) for label in np.unique(masks)], axis=0)


@styled
def disagreement_map(cases: Mapping[str, Sampled], spacing_mm: float = 1.0, quality: str = "Dice") -> Figure:
    """Where dropout samples disagree, a row per slice: the image, the outlines of all samples, the share that differs.

    Args:
        cases: title of the row -> the slice and its samples.
    """
    fig = Figure(figsize=(WIDTH, 2.75 * len(cases) + 0.5), layout="compressed")
    axes = fig.subplots(len(cases), 3, squeeze=False)
    share = matplotlib.colormaps["cividis"].resampled(16)
    top = max(0.5, *(float(disagreement(case.masks).max()) for case in cases.values()))
    for row, (title, case) in zip(axes, cases.items()):
        image, masks = plain_array(case.image).squeeze(), plain_array(case.masks)
        truth = None if case.truth is None else _mask(case.truth)
        box = crop_around([*masks, *([] if truth is None else [truth])])
        for ax in row[:2]:
            image_panel(ax, image[box], np.percentile(image, [1, 99]))
        if truth is not None:
            outlines(row[0], truth[box], TRUTH)
        for mask in masks:
            outlines(row[1], mask[box], width=0.8)
        drawn = row[2].imshow(disagreement(masks)[box], cmap=share, vmin=0, vmax=top)
        for ax in row:
            ax.set(xticks=[], yticks=[])
            ax.grid(False)
            ax.spines[:].set_visible(False)
        row[0].set_ylabel(title)
        row[1].set_xlabel(f"agreement of {len(masks)}: {case.agreement:.2f}")
        row[2].set_xlabel(f"true {quality}: {case.true:.2f}")
        scale_bar(row[0], image[box].shape, spacing_mm)
    for ax, title in zip(axes[0], ("image and truth", "outlines of the samples", "where they differ")):
        ax.set_title(title)
    bar = fig.colorbar(drawn, ax=list(axes[:, 2]), shrink=0.85, aspect=18, pad=0.03)
    bar.set_label("share of samples that\ndiffer from the majority")
    return fig
