"""Figures of images with outlines: samples, and the paper's Figure 4."""

from __future__ import annotations

from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from advconf_lite.figures.style import CLASSES, class_cue, plain_array, styled

LEGEND_COLUMNS = 5


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
    fig = Figure(figsize=(1.8 * columns, 2.05 * rows + 0.3), layout="constrained")
    axes = fig.subplots(rows, columns, squeeze=False).ravel()
    for number, ax in enumerate(axes):
        ax.axis("off")
        if number < len(images):
            _image(ax, images[number])
            if masks is not None:
                _outlines(ax, plain_array(masks)[number])
            if titles:
                ax.set_title(titles[number])
    _scale_bar(axes[0], images.shape[-2:], spacing_mm)
    if masks is not None and class_names:
        _class_legend(fig, class_names)
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
    crop = _crop([mask, *(case.mask for case in cases.values())])

    fig = Figure(figsize=(7.6, 1.95 * len(cases) + 0.8), layout="compressed")
    axes = fig.subplots(len(cases), 5, squeeze=False)
    for ax, title in zip(
        axes[0], ("image $x$", r"perturbation $\delta$", r"$x' = x + \delta$", "mask of $x$", "mask of $x'$")
    ):
        ax.set_title(title)
    for row, (name, case), delta in zip(axes, cases.items(), deltas):
        _image(row[0], image, window)
        coloured = row[1].imshow(delta, cmap=matplotlib.colormaps["PuOr"].resampled(21), vmin=-limit, vmax=limit)
        _image(row[2], case.image, window)
        for ax, shown, labels, number in ((row[3], image, mask, 0), (row[4], case.image, case.mask, 1)):
            _image(ax, shown[crop], window)
            _outlines(ax, labels[crop])
            ax.set_xlabel(f"predicted {case.predicted[number]:.2f}\ntrue {case.true[number]:.2f}")
        for ax in row:
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        row[0].set_ylabel(name)
        size = np.linalg.norm(delta) / max(np.linalg.norm(image), 1e-12)
        row[1].set_xlabel(rf"$\|\delta\| / \|x\|$ = {size:.3f}")
    _scale_bar(axes[0, 0], image.shape, spacing_mm)
    _scale_bar(axes[0, 3], image[crop].shape, spacing_mm)
    bar = fig.colorbar(coloured, ax=list(axes[:, 1]), location="bottom", shrink=0.9, aspect=18, pad=0.02)
    bar.set_label("change of intensity\n(standard deviations)", fontsize=8)
    if class_names:
        few = len(class_names) <= len(CLASSES)  # then the names fit beside the colour bar
        place, columns = ("lower right", len(class_names)) if few else ("outside lower center", LEGEND_COLUMNS)
        fig.legend(handles=_class_handles(class_names), loc=place, ncols=columns, handlelength=2.6)
    return fig


def _crop(masks: list[np.ndarray]) -> tuple[slice, slice]:
    """The square around all foreground, with a margin, so that a small change of the outline can be seen."""
    foreground = np.any([mask > 0 for mask in masks], axis=0)
    if not foreground.any():
        return np.s_[:, :]
    edges = [np.flatnonzero(foreground.any(axis))[[0, -1]] for axis in (1, 0)]
    half = max(high - low for low, high in edges) * 0.65 + 4
    starts = [max(0, int((low + high) / 2 - half)) for low, high in edges]
    return tuple(slice(start, int(start + 2 * half)) for start in starts)


def _image(ax: Axes, image: np.ndarray, window: Any = None) -> None:
    low, high = np.percentile(image, [1, 99]) if window is None else window
    # A narrow range would only make noise of a flat image visible.
    grey = matplotlib.colormaps["gray"].resampled(64)  # more cannot be told apart on a screen and only cost bytes
    ax.imshow(image, cmap=grey, vmin=low, vmax=max(high, low + 1e-6))
    ax.grid(False)


def _outlines(ax: Axes, mask: np.ndarray) -> None:
    present = [int(label) for label in np.unique(mask)[::-1] if label]
    # Neighbours share a border. What lies inside another is drawn after it, or it could not be seen.
    for label in sorted(present, key=lambda label: _extent(mask == label), reverse=True):
        inside = np.pad(mask == label, 1)  # so that an outline closes at the border of the image
        cue = class_cue(label)
        height, width = inside.shape
        ax.contour(
            np.arange(width) - 1,
            np.arange(height) - 1,
            inside,
            levels=[0.5],
            colors=[cue.colour],
            linewidths=1.2,
            linestyles=[cue.line],
        )
    ax.set(xlim=(-0.5, mask.shape[1] - 0.5), ylim=(mask.shape[0] - 0.5, -0.5))


def _extent(inside: np.ndarray) -> int:
    """Pixels of the box around a region, which is larger than that around anything in the region."""
    return int(np.prod([np.ptp(places) + 1 for places in np.nonzero(inside)]))


def _scale_bar(ax: Axes, shape: tuple[int, int], spacing_mm: float) -> None:
    """A round length of about a quarter of the width."""
    quarter = shape[1] * spacing_mm / 4
    length = max((mm for mm in (1, 2, 5, 10, 20, 50, 100) if mm <= quarter), default=quarter)
    right, bottom = shape[1] * 0.95, shape[0] * 0.94
    rim = {"foreground": "black"}  # white alone vanishes over bright tissue
    ax.plot([right - length / spacing_mm, right], [bottom, bottom], color="white", lw=2, solid_capstyle="butt",
            path_effects=[withStroke(linewidth=3.5, **rim)])  # fmt: skip
    ax.text(right, bottom - 0.03 * shape[0], f"{length:g} mm", color="white", ha="right", va="bottom", fontsize=7,
            path_effects=[withStroke(linewidth=2.5, **rim)])  # fmt: skip


def _class_handles(class_names: list[str]) -> list[Line2D]:
    cues = [class_cue(label) for label, _ in enumerate(class_names, start=1)]
    return [Line2D([], [], color=cue.colour, ls=cue.line, lw=2, label=name) for cue, name in zip(cues, class_names)]


def _class_legend(fig: Figure, class_names: list[str]) -> None:
    fig.legend(
        handles=_class_handles(class_names),
        loc="outside lower center",
        ncols=min(len(class_names), LEGEND_COLUMNS),
        handlelength=2.6,
    )
