"""The picture of a fooled network: before, the perturbation, after, and two bars: what is believed and what is true."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from advconf_lite.figures.kept import KeptFigure, KeptImage
from advconf_lite.figures.panels import class_handles, figure_of_images, line_handle, scale_bar
from advconf_lite.figures.style import CLEAN, TRUTH, WIDTH, method_cue, styled

TIMES = 10  # the perturbation alone is drawn this many times as strong
LOW, HIGH = -0.2, 0.8  # of the bars; a longer one ends there, and its number says how long it is


def hundredths(value: float) -> str:
    """Two decimals, and no minus before 0.00."""
    return f"{round(value, 2) + 0.0:.2f}"


class FoolingFigure:
    """Makes its figure with the first drawing, and changes it with each further one."""

    def __init__(self, class_names: Sequence[str], spacing_mm: float, quality: str) -> None:
        self.class_names, self.spacing_mm, self.quality = list(class_names), spacing_mm, quality
        self.kept: KeptFigure | None = None

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
        outlines = class_handles(self.class_names)
        if len(self.class_names) == 1:
            outlines[0].set_label(f"predicted {self.class_names[0]}")
        handles = [line_handle(TRUTH, "truth"), *outlines]
        fig.legend(handles=handles, loc="outside lower center", ncols=min(5, len(handles)), handlelength=2.2)
        self.kept = KeptFigure(fig, [self.before, self.delta, self.after], moving=[*self.bars, *self.numbers])
