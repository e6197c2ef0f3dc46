"""Agreement against the true score, with the spread that few samples leave."""

from __future__ import annotations

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from advconf_lite.figures.kept import KeptFigure
from advconf_lite.figures.style import method_cue, styled


class AgreementFigure:
    """Makes its figure with the first drawing, and changes it with each further one.

    Args:
        true: (n,) true scores of the slices.
    """

    def __init__(self, true: np.ndarray, quality: str) -> None:
        self.true, self.quality = np.asarray(true, float), quality
        self.kept: KeptFigure | None = None

    def draw(self, agreement: np.ndarray, spread: np.ndarray, samples: int) -> Figure | np.ndarray:
        """
        Args:
            agreement, spread: (n,) with this many samples; the whiskers reach one spread up and down, within 0 to 1.
        """
        if self.kept is None:
            self._start()
        self.dots.set_offsets(np.column_stack([self.true, agreement]))
        ends = zip(self.true, np.clip(agreement - spread, 0, 1), np.clip(agreement + spread, 0, 1))
        self.whiskers.set_segments([[(x, low), (x, high)] for x, low, high in ends])
        self.words.set_text(f"N = {samples}")
        return self.kept.picture()

    @styled
    def _start(self) -> Figure:
        cue = method_cue("agreement-15")
        fig = Figure(figsize=(6.2, 4.6), layout="constrained")
        ax = fig.subplots()
        ax.plot([0, 1], [0, 1], color="0.3", lw=1, ls="--")
        self.dots = ax.scatter([], [], s=42, marker=cue.marker, color=cue.colour, lw=0, alpha=0.8, zorder=3)
        self.whiskers = ax.add_collection(LineCollection([], colors=cue.colour, linewidths=1.6))
        self.words = ax.text(0.97, 0.05, "", transform=ax.transAxes, ha="right", size=15)
        ax.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.08), xlabel=f"true {self.quality} of a slice")
        ax.set_ylabel(f"agreement: mean {self.quality} of the pairs")
        handles = [
            Line2D([], [], ls="none", marker=cue.marker, ms=7, color=cue.colour, label="a slice, with its spread"),
            Line2D([], [], color="0.3", lw=1, ls="--", label="agreement = true score"),
        ]
        fig.legend(handles=handles, loc="outside upper center", ncols=2)
        self.kept = KeptFigure(fig, moving=[self.dots, self.whiskers, self.words])
        return fig
