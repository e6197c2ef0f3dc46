"""Figures of images with outlines: samples, and the paper's Figure 4."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from advconf_lite.figures.panels import (
    LEGEND_COLUMNS,
    class_handles,
    class_legend,
    crop_around,
    figure_of_images,
    image_panel,
    line_handle,
    outlines,
    scale_bar,
)
from advconf_lite.figures.style import BLUE, CLASSES, TRUTH, WIDTH, plain_array, styled
from advconf_lite.support.errors import BadInput


@styled
def samples(
    images: Any,
    masks: Any = None,
    titles: list[str] | None = None,
    class_names: list[str] = (),
    spacing_mm: float = 1.0,
    columns: int = 4,
) -> Figure:
    """A grid of images with the outline of every class.

    Args:
        images: (N, H, W) or (N, 1, H, W).
        masks: (N, H, W) label maps, or None.
        titles: N strings.
        class_names: foreground classes, label 1 first.
        spacing_mm: pixel size, for the scale bar.
    """
    images = plain_array(images).reshape(-1, *plain_array(images).shape[-2:])
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    fig = figure_of_images(max(2.6, 2.1 * columns), 2.4 * rows + 0.4)
    axes = fig.subplots(rows, columns, squeeze=False).ravel()
    for number, ax in enumerate(axes):
        ax.axis("off")
        if number < len(images):
            image_panel(ax, images[number])
            if masks is not None:
                outlines(ax, plain_array(masks)[number])
            if titles:
                ax.set_title(titles[number])
    scale_bar(axes[0], images.shape[-2:], spacing_mm)
    if masks is not None and class_names:
        class_legend(fig, class_names)
    return fig


class Perturbed(NamedTuple):
    """What one head's perturbation did to an image: pairs are (before, after)."""

    image: Any  # (H, W), x + delta
    mask: Any  # (H, W), the segmenter's mask of it
    predicted: tuple[float, float]
    true: tuple[float, float]


@styled
def figure4(
    image: Any, mask: Any, heads: dict[str, Perturbed], class_names: list[str] = (), spacing_mm: float = 1.0
) -> Figure:
    """The paper's Figure 4, a row per head: image, perturbation, perturbed image, and the masks of both.

    Args:
        image: (H, W), z-scored.
        mask: (H, W), the segmenter's mask of the image as it is.
        heads: title of the row -> `Perturbed`.
    """
    image, mask = plain_array(image).squeeze(), plain_array(mask).squeeze()
    cases = {
        name: case._replace(image=plain_array(case.image).squeeze(), mask=plain_array(case.mask).squeeze())
        for name, case in heads.items()
    }
    deltas = [case.image - image for case in cases.values()]
    limit = max(1e-6, *(float(np.percentile(np.abs(delta), 99.5)) for delta in deltas))
    window = np.percentile(image, [1, 99])
    crop = crop_around([mask, *(case.mask for case in cases.values())])

    fig = Figure(figsize=(8.6, 2.25 * len(cases) + 1.0), layout="compressed")
    axes = fig.subplots(len(cases), 5, squeeze=False)
    for ax, title in zip(
        axes[0], ("image $x$", r"perturbation $\delta$", r"$x' = x + \delta$", "mask of $x$", "mask of $x'$")
    ):
        ax.set_title(title)
    for row, (name, case), delta in zip(axes, cases.items(), deltas):
        image_panel(row[0], image, window)
        coloured = row[1].imshow(delta, cmap=matplotlib.colormaps["PuOr"].resampled(21), vmin=-limit, vmax=limit)
        image_panel(row[2], case.image, window)
        for ax, shown, labels, number in ((row[3], image, mask, 0), (row[4], case.image, case.mask, 1)):
            image_panel(ax, shown[crop], window)
            outlines(ax, labels[crop])
            ax.set_xlabel(f"predicted {case.predicted[number]:.2f}\ntrue {case.true[number]:.2f}")
        for ax in row:
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        row[0].set_ylabel(name)
        size = np.linalg.norm(delta) / max(np.linalg.norm(image), 1e-12)
        row[1].set_xlabel(rf"$\|\delta\| / \|x\|$ = {size:.3f}")
    scale_bar(axes[0, 0], image.shape, spacing_mm)
    scale_bar(axes[0, 3], image[crop].shape, spacing_mm)
    bar = fig.colorbar(coloured, ax=list(axes[:, 1]), location="bottom", shrink=0.9, aspect=18, pad=0.02)
    bar.set_label("change of intensity\n(standard deviations)")
    if class_names:
        few = len(class_names) <= len(CLASSES)  # then the names fit beside the colour bar
        place, columns = ("lower right", len(class_names)) if few else ("outside lower center", LEGEND_COLUMNS)
        fig.legend(handles=class_handles(class_names), loc=place, ncols=columns, handlelength=2.6)
    return fig


class Lost(NamedTuple):
    """A perturbed slice and what it cost: (H, W), masks (H, W) before and after, and the two drops."""

    image: Any
    before: Any
    after: Any
    predicted_drop: float
    true_drop: float


@styled
def perturbed_slices(
    cases: Sequence[Lost],
    class_names: Sequence[str],
    spacing_mm: float = 1.0,
    marked: int | None = None,
) -> Figure:
    """Perturbed slices, each with the outlines before and after; given in the order of their true drops.

    Args:
        marked: the number, from 0, of a slice that gets a frame.
    """
    if not cases:
        raise BadInput("there is no slice to draw; give at least one")
    columns = min(4, len(cases))
    rows = -(-len(cases) // columns)
    fig = figure_of_images(WIDTH if columns > 1 else 3.2, rows * (WIDTH / columns + 0.55) + 0.5)
    axes = fig.subplots(rows, columns, squeeze=False).ravel()
    arrays = [[plain_array(values).squeeze() for values in case[:3]] for case in cases]
    # One square for all, as large as the largest organ needs, so that the scale bar holds for every panel.
    crop = crop_around([mask for _, *masks in arrays for mask in masks])
    for number, (ax, case, (image, before, after)) in enumerate(zip(axes, cases, arrays)):
        image_panel(ax, image[crop], np.percentile(image, [1, 99]))
        outlines(ax, before[crop], TRUTH)
        outlines(ax, after[crop])
        ax.set(xticks=[], yticks=[])
        ax.set_title(f"believed {case.predicted_drop:+.2f}\nlost {case.true_drop:+.2f}")
        ax.spines[:].set(visible=number == marked, color=BLUE, linewidth=4)
    for ax in axes[len(cases) :]:
        ax.axis("off")
    scale_bar(axes[0], arrays[0][0][crop].shape, spacing_mm)
    after = class_handles(list(class_names))
    for handle, name in zip(after, class_names):
        handle.set_label(f"{name} after")
    handles = [line_handle(TRUTH, "before"), *after]
    if marked is not None:
        handles.append(Line2D([], [], ls="none", marker="s", mfc="none", mec=BLUE, mew=3, ms=11, label="the slice above"))
    fig.legend(handles=handles, loc="outside lower center", ncols=LEGEND_COLUMNS, handlelength=2.4)
    return fig
