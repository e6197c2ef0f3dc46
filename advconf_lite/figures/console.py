"""The scanner console's picture: a slice at home, the same slice under another scanner, and all that was tried."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from advconf_lite.figures.kept import KeptFigure, KeptImage, OutlinedFigure
from advconf_lite.figures.panels import figure_of_images, predicted_handles, scale_bar
from advconf_lite.figures.style import BLUE, BROKEN, TRUTH, WIDTH, styled

FURTHEST = 1.6  # two normalised images that have nothing in common differ by the root of 2


class ConsoleFigure(OutlinedFigure):
    """The slice at home and there, and a plot of all tries."""

    def draw(
        self,
        image: np.ndarray,
        drawn: np.ndarray,
        truth: np.ndarray,
        image_there: np.ndarray,
        drawn_there: np.ndarray,
        tries: Sequence[tuple[float, float]],
        before: float,
    ) -> Figure | np.ndarray:
        """Images (H, W), label maps (H, W), and (change, quality) of every try, the present one last."""
        if self.kept is None:
            self._start(image)
        self.home.show(image, [(truth, TRUTH), (drawn, None)])
        self.there.show(image_there, [(truth, TRUTH), (drawn_there, None)])
        self.home.ax.set_title(f"at home: {self.quality} {before:.2f}")
        self.there.ax.set_title(f"your scanner: {self.quality} {tries[-1][1]:.2f}")
        self.all.set_data(*np.transpose(tries))
        self.last.set_data(*np.transpose(tries[-1:]))
        self.half.set_ydata([before / 2] * 2)
        return self.kept.picture()

    @styled
    def _start(self, image: np.ndarray) -> None:
        fig = figure_of_images(WIDTH, 3.7)
        *axes, plot = fig.subplots(1, 3, width_ratios=(1, 1, 0.95))
        self.home, self.there = (KeptImage(ax, image) for ax in axes)
        scale_bar(axes[0], image.shape, self.spacing_mm)
        (self.all,) = plot.plot([], [], ls="none", marker="o", ms=5, color="0.6", label="tries so far")
        (self.last,) = plot.plot([], [], ls="none", marker="o", ms=9, color=BLUE, label="now")
        self.half = plot.axhline(0.5, color=BROKEN.colour, lw=1.3, ls="--", label="halved below")
        plot.set(
            xlim=(-0.03, FURTHEST),
            xticks=[0, 0.5, 1, 1.5],
            ylim=(-0.03, 1.03),
            yticks=[0, 0.5, 1],
            xlabel="||change|| / ||x||",
            ylabel=self.quality,
        )
        plot.set_box_aspect(1)
        marks: list[Line2D] = [self.last, self.all, self.half]
        handles = [*predicted_handles(self.class_names), *marks]
        fig.legend(handles=handles, loc="outside lower center", ncols=min(5, len(handles)), handlelength=1.8)
        self.kept = KeptFigure(fig, [self.home, self.there], moving=[self.half, self.all, self.last])
