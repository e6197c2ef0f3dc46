"""Parts of figures of images: the image, outlines that can be seen on any grey, the scale bar, the legend of classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from contourpy import contour_generator  # comes with matplotlib
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.path import Path
from matplotlib.patheffects import withStroke

from advconf_lite.figures.style import TRUTH, Cue, class_cue

LEGEND_COLUMNS = 5


def crop_around(masks: list[np.ndarray]) -> tuple[slice, slice]:
    """The square around all foreground, with a margin, so that a small change of the outline can be seen."""
    foreground = np.any([mask > 0 for mask in masks], axis=0)
    if not foreground.any():
        return np.s_[:, :]
    edges = [np.flatnonzero(foreground.any(axis))[[0, -1]] for axis in (1, 0)]
    half = max(high - low for low, high in edges) * 0.65 + 4
    starts = [max(0, int((low + high) / 2 - half)) for low, high in edges]
    return tuple(slice(start, int(start + 2 * half)) for start in starts)


def image_panel(ax: Axes, image: np.ndarray, window: Any = None) -> None:
    low, high = np.percentile(image, [1, 99]) if window is None else window
    # A narrow range would only make noise of a flat image visible.
    grey = matplotlib.colormaps["gray"].resampled(64)  # more cannot be told apart on a screen and only cost bytes
    ax.imshow(image, cmap=grey, vmin=low, vmax=max(high, low + 1e-6))
    ax.grid(False)


def outlines(ax: Axes, mask: np.ndarray, cue: Cue | None = None, width: float = 1.6) -> None:
    """The outline of every class of a label map (H, W), in the class's cue or all in `cue`, under a dark rim."""
    present = [int(label) for label in np.unique(mask)[::-1] if label]
    # Neighbours share a border. What lies inside another is drawn after it, or it could not be seen.
    for label in sorted(present, key=lambda label: _extent(mask == label), reverse=True):
        outline(ax, mask == label, cue or class_cue(label), width)
    ax.set(xlim=(-0.5, mask.shape[1] - 0.5), ylim=(mask.shape[0] - 0.5, -0.5))


def outline(ax: Axes, inside: np.ndarray, cue: Cue, width: float = 1.6) -> None:
    """The outline of a region (H, W); nothing if it is empty."""
    if not inside.any():
        return
    # So that an outline closes at the border of the image. `ax.contour` is ten times as slow, and a widget waits for it.
    inside = np.pad(inside, 1).astype(float)
    (corners,), (codes,) = contour_generator(z=inside, line_type="ChunkCombinedCode").lines(0.5)
    look = {"edgecolors": [cue.colour], "linewidths": [width], "linestyles": [cue.line], "zorder": 2}
    drawn = PathCollection([Path(corners - 1, codes)], facecolors="none", **look)
    if width >= 1:  # what shows yellow and white on blood; many thin outlines would be all rim
        drawn.set_path_effects([withStroke(linewidth=width + 1.4, foreground="black")])
    ax.add_collection(drawn, autolim=False)


def _extent(inside: np.ndarray) -> int:
    """Pixels of the box around a region, which is larger than that around anything in the region."""
    return int(np.prod([np.ptp(places) + 1 for places in np.nonzero(inside)]))


def scale_bar(ax: Axes, shape: tuple[int, int], spacing_mm: float) -> None:
    """A round length of about a quarter of the width."""
    quarter = shape[1] * spacing_mm / 4
    length = max((mm for mm in (1, 2, 5, 10, 20, 50, 100) if mm <= quarter), default=quarter)
    right, bottom = shape[1] * 0.95, shape[0] * 0.94
    rim = {"foreground": "black"}  # white alone vanishes over bright tissue
    ax.plot([right - length / spacing_mm, right], [bottom, bottom], color="white", lw=2, solid_capstyle="butt",
            path_effects=[withStroke(linewidth=3.5, **rim)])  # fmt: skip
    ax.text(right, bottom - 0.03 * shape[0], f"{length:g} mm", color="white", ha="right", va="bottom", fontsize=9,
            path_effects=[withStroke(linewidth=2.5, **rim)])  # fmt: skip


def class_handles(class_names: list[str]) -> list[Line2D]:
    cues = [class_cue(label) for label, _ in enumerate(class_names, start=1)]
    return [line_handle(cue, name) for cue, name in zip(cues, class_names)]


def predicted_handles(class_names: Sequence[str], truth: bool = True) -> list[Line2D]:
    """For outlines that a network drew, beside the truth: a class that is alone is said to be a prediction."""
    handles = class_handles(list(class_names))
    if len(handles) == 1:
        handles[0].set_label(f"predicted {class_names[0]}")
    return [line_handle(TRUTH, "truth"), *handles] if truth else handles


def line_handle(cue: Cue, label: str) -> Line2D:
    """An outline's line in a legend, with its rim: white would be nothing on a white page."""
    rim = [withStroke(linewidth=3.4, foreground="black")]
    return Line2D([], [], color=cue.colour, ls=cue.line, lw=2, label=label, path_effects=rim)


def figure_of_images(width: float, height: float) -> Figure:
    """A figure, in inches, with room for titles, which the layout cuts short above images."""
    fig = Figure(figsize=(width, height), layout="constrained")
    fig.get_layout_engine().set(rect=(0, 0, 1, 1 - 0.09 / height), h_pad=0.07, hspace=0.02)
    return fig


def class_legend(fig: Figure, class_names: list[str]) -> None:
    fig.legend(
        handles=class_handles(class_names),
        loc="outside lower center",
        ncols=min(len(class_names), LEGEND_COLUMNS),
        handlelength=2.6,
    )
