"""Figures of images with outlines: samples, and the paper's Figure 4."""

from __future__ import annotations

from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from advconf_lite.figures.panels import (
    LEGEND_COLUMNS,
    class_handles,
    class_legend,
    crop_around,
    image_panel,
    outlines,
    scale_bar,
)
from advconf_lite.figures.style import CLASSES, plain_array, styled


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
    fig = Figure(figsize=(max(2.6, 2.1 * columns), 2.4 * rows + 0.4), layout="constrained")
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
