"""The picture of a fooled network: before, the perturbation, after, and two bars: what is believed and what is true."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from advconf_lite.figures.kept import KeptFigure, KeptImage, OutlinedFigure
from advconf_lite.figures.outlines import Outlined
from advconf_lite.figures.panels import (
    crop_around,
    figure_of_images,
    image_panel,
    outlines,
    predicted_handles,
    scale_bar,
)
from advconf_lite.figures.style import BLACK, BLUE, CLEAN, TRUTH, WIDTH, method_cue, plain_array, styled

TIMES = 10  # the perturbation alone is drawn this many times as strong
LOW, HIGH = -0.2, 0.8  # of the bars; a longer one ends there, and its number says how long it is


def hundredths(value: float) -> str:
    """Two decimals, and no minus before 0.00."""
    return f"{round(value, 2) + 0.0:.2f}"


class FoolingFigure(OutlinedFigure):
    """The slice before and after a perturbation, what the head believes to have lost, and what was lost."""

    def draw(
        self,
        image: np.ndarray,
        perturbed: np.ndarray,
        truth: np.ndarray,
        drawn: np.ndarray,
        drawn_after: np.ndarray,
        believed: float,
        lost: float,
        head: str,
    ) -> Figure | np.ndarray:
        """Images (H, W), label maps (H, W), the drop that the head believes in, and the true one."""
        if self.kept is None:
            self._start(image)
        window = tuple(np.percentile(image, [1, 99]))
        half = (window[1] - window[0]) / 2  # the grey in the middle is no change
        self.before.show(image, [(truth, TRUTH), (drawn, None)], window)
        self.delta.show(TIMES * (perturbed - image), window=(-half, half))
        self.after.show(perturbed, [(truth, TRUTH), (drawn_after, None)], window)
        cue = method_cue(head.split(",")[0])
        self.bars[0].set(facecolor=cue.colour, hatch=cue.hatch)
        for bar, number, value in zip(self.bars, self.numbers, (believed, lost)):
            end = float(np.clip(value, LOW, HIGH))
            bar.set_height(end)
            number.set(text=hundredths(value), y=min(max(end, 0), HIGH - 0.09) + 0.02)
        return self.kept.picture()

    @styled
    def _start(self, image: np.ndarray) -> None:
        fig = figure_of_images(WIDTH, 3.2)
        *axes, plot = fig.subplots(1, 4, width_ratios=(1, 1, 1, 0.85))
        self.before, self.delta, self.after = (KeptImage(ax, image) for ax in axes)
        for ax, title in zip(axes, ("x", f"delta × {TIMES}", "x' = x + delta")):
            ax.set_title(title)
        scale_bar(axes[0], image.shape, self.spacing_mm)
        self.bars = plot.bar([0, 1], [0, 0], width=0.65, color=CLEAN.colour, edgecolor="black", lw=0.8)
        self.numbers = [plot.text(place, 0, "", ha="center", va="bottom", weight="bold") for place in (0, 1)]
        plot.axhline(0, color="0.2", lw=1)
        plot.set(xlim=(-0.6, 1.6), ylim=(LOW, HIGH), xticks=[0, 1], yticks=[0, 0.2, 0.4, 0.6])
        plot.set_xticklabels(["the head\nbelieves", "what\nwas lost"])
        plot.set_title(f"{self.quality} lost")
        handles = predicted_handles(self.class_names)
        fig.legend(handles=handles, loc="outside lower center", ncols=min(5, len(handles)), handlelength=2.2)
        self.kept = KeptFigure(fig, [self.before, self.delta, self.after], moving=[*self.bars, *self.numbers])


@styled
def as_it_grows(table: pd.DataFrame, quality: str = "Dice") -> Figure:
    """Drops by size of the perturbation, a panel per head: what it believes, what is lost, what a random direction costs.

    Args:
        table: columns head, size, believed, lost, lost at random, as `course.probing.as_it_grows` makes it.
    """
    names = list(dict.fromkeys(table["head"]))
    fig = Figure(figsize=(WIDTH if len(names) > 1 else 4.6, 3.6), layout="constrained")
    axes = fig.subplots(1, len(names), sharex=True, sharey=True, squeeze=False)[0]
    for number, (ax, name) in enumerate(zip(axes, names)):
        rows, cue = table[table["head"] == name], method_cue(name.split(",")[0], number + 3)
        looks = (
            ("believed", {"color": cue.colour, "ls": "-", "marker": cue.marker}),
            ("lost", {"color": BLACK, "ls": "--", "marker": "s"}),
            ("lost at random", {"color": "0.45", "ls": ":", "marker": "x"}),
        )
        for column, look in looks:
            ax.plot(rows["size"], rows[column], lw=2, ms=5, mfc="white", **look)
        ax.axhline(0, color="0.2", lw=0.8)
        ax.set_title(name)
    most = float(table["size"].max())
    axes[0].set(ylabel=f"drop in {quality}", xticks=[0, most / 2, most])
    fig.supxlabel(r"size of the perturbation, $\|\delta\| / \|x\|$")
    handles = [
        Line2D([], [], color=BLUE, lw=2, label="believed by the head (its colour)"),
        Line2D([], [], color=BLACK, ls="--", marker="s", mfc="white", lw=2, label="lost in truth"),
        Line2D([], [], color="0.45", ls=":", marker="x", lw=2, label="lost, random direction"),
    ]
    fig.legend(handles=handles, loc="outside upper center", ncols=3 if len(names) > 1 else 1)
    return fig


@styled
def fooled_row(
    before: Outlined, after: Outlined, class_names: Sequence[str], spacing_mm: float = 1.0, quality: str = "Dice"
) -> Figure:
    """One row: a slice, the perturbation, and the outlines before and after it, with the truth and every head's grade.

    Args:
        before, after: the same slice without and with the perturbation, with its true mask; their titles are not used.
    """
    images = [plain_array(case.image).squeeze() for case in (before, after)]
    masks = [plain_array(mask).squeeze() for mask in (before.truth, before.prediction, after.prediction)]
    window, box = tuple(np.percentile(images[0], [1, 99])), crop_around(masks)
    fig = figure_of_images(WIDTH, 3.0 + 0.19 * (1 + len(before.predicted)))
    axes = fig.subplots(1, 4)
    half = (window[1] - window[0]) / 2
    image_panel(axes[0], images[0], window)
    image_panel(axes[1], TIMES * (images[1] - images[0]), (-half, half))
    for ax, image, mask, case in zip(axes[2:], images, masks[1:], (before, after)):
        image_panel(ax, image[box], window)
        outlines(ax, masks[0][box], TRUTH)
        outlines(ax, mask[box])
        lines = [f"{quality}: {hundredths(case.true)}"]
        lines += [f"{method} says {hundredths(value)}" for method, value in case.predicted.items()]
        ax.set_xlabel("\n".join(lines))
    for ax, title in zip(axes, ("image", f"perturbation × {TIMES}", "before", "after")):
        ax.set(title=title, xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    scale_bar(axes[0], images[0].shape, spacing_mm)
    scale_bar(axes[2], images[0][box].shape, spacing_mm)
    handles = predicted_handles(class_names)
    fig.legend(handles=handles, loc="outside lower center", ncols=min(5, len(handles)), handlelength=2.2)
    return fig
