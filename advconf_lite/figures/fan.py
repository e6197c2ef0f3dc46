"""The seed fan: how an interval moves as pairs of seeds are added."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from advconf_lite.figures.kept import KeptFigure
from advconf_lite.figures.style import method_cue, styled
from advconf_lite.metrics import METRICS
from advconf_lite.support.errors import BadInput


@styled
def seed_fan(fan: pd.DataFrame, reference: str = "adversarial", method: str = "plain", metric: str = "pearson") -> Figure:
    """The difference `reference` minus `method` and its 95 % interval with 1, 2, ... n pairs of seeds.

    A hollow marker: the interval contains 0, and the two are not told apart. Crosses: what each pair says alone.

    Args:
        fan: a table by `evaluation.fan.intervals_by_seeds`.
    """
    if fan.empty:
        raise BadInput("there is no pair of seeds to draw; give at least one")
    fig = Figure(figsize=(7.4, 4.2), layout="constrained")
    fan_panel(fig.subplots(), fan, reference, method, metric)
    fan_legend(fig, reference, "outside upper center")
    return fig


def fan_panel(ax: Axes, fan: pd.DataFrame, reference: str, method: str, metric: str, pairs: int | None = None) -> None:
    """The fan on axes.

    Args:
        pairs: how many the axis has room for, default those of the fan.
    """
    cue, record = method_cue(reference), METRICS[metric]
    n, low, high, mid = (fan[column].to_numpy(float) for column in ("n_pairs", "low", "high", "difference"))
    told = np.isfinite(low) & ((low > 0) | (high < 0))
    ax.fill_between(n, low, high, color=cue.colour, alpha=0.18, lw=0)
    ax.vlines(n, low, high, color=cue.colour, lw=2)
    ax.plot(n, mid, color=cue.colour, lw=1.2)
    for chosen, face in ((told, cue.colour), (~told, "white")):
        ax.plot(n[chosen], mid[chosen], ls="none", marker=cue.marker, ms=9, mew=1.8, color=cue.colour, mfc=face)
    ax.plot(n, fan["alone"], ls="none", marker="x", ms=6, mew=1.4, color="0.45")
    ax.axhline(0, color="0.2", lw=1)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlim=(0.5, (pairs or n.max()) + 0.5), xlabel="pairs of seeds so far (segmenter and head)")
    ax.set_ylabel(f"{record.title}: {reference} − {method}\n({record.better} is better for {reference})")


def fan_legend(fig: Figure, reference: str, place: str) -> None:
    cue = method_cue(reference)
    looks = {"color": cue.colour, "marker": cue.marker, "ms": 9, "mew": 1.8, "ls": "none"}
    handles = [Patch(fc=cue.colour, alpha=0.35, label="95 % interval")]
    handles += [
        Line2D([], [], **looks, label="told apart from 0"),
        Line2D([], [], **looks, mfc="white", label="not told apart"),
    ]
    handles += [Line2D([], [], ls="none", marker="x", ms=6, mew=1.4, color="0.45", label="this pair alone")]
    fig.legend(
        handles=handles,
        loc="upper center" if fig.get_layout_engine() is None else "outside upper center",
        ncols=4,
        handlelength=1.4,
        columnspacing=1.4,
    )


class FanFigure:
    """The fan as it opens: makes its figure with the first drawing, and changes it with each further one."""

    def __init__(self, reference: str, pairs: int) -> None:
        self.reference, self.pairs = reference, pairs
        self.kept: KeptFigure | None = None

    @styled
    def draw(self, fan: pd.DataFrame, method: str, metric: str, ends: tuple[float, float]) -> Figure | np.ndarray:
        """As `seed_fan`, with room for all pairs; `ends` are those of the vertical axis."""
        if self.kept is None:
            fig = Figure(figsize=(7.4, 4.2))
            fig.subplots_adjust(left=0.17, right=0.97, bottom=0.14, top=0.89)  # whatever the numbers on the axis are
            fan_legend(fig, self.reference, "upper center")
            self.ax = fig.subplots()
            self.ax.yaxis.set_label_coords(-0.135, 0.5)  # looking for room for it takes long
            self.kept = KeptFigure(fig)
        for old in (*self.ax.lines, *self.ax.collections):  # ticks are the slowest part, and would be cleared, too
            old.remove()
        fan_panel(self.ax, fan, self.reference, method, metric, self.pairs)
        self.ax.set_ylim(*ends)
        self.kept.moving = [self.ax.yaxis, *self.ax.collections, *self.ax.lines, self.ax.spines.left]  # the other axis stays
        return self.kept.picture()
