"""The figure of lesson 06: differences to every control, with their intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from advconf_lite.figures.style import BLUE, VERMILLION, WIDTH, Cue, ordered, quality_titles, styled
from advconf_lite.metrics import METRICS
from advconf_lite.support.errors import BadInput

# What an interval says: colour and marker, and whether the marker is filled.
BETTER, WORSE = Cue(BLUE, "o", "-", ""), Cue(VERMILLION, "s", "-", "")

OPEN, NO_INTERVAL = Cue("0.35", "D", "-", ""), Cue("0.35", "x", "-", "")


@styled
def forest(comparison: pd.DataFrame, reference: str = "adversarial") -> Figure:
    """Differences `reference` minus each other method with their intervals: a panel per metric, a row of panels per quality
    and, if the table has a column `organ`, per organ.

    The marker says on which side of 0 the whole interval lies; hollow, it lies on both, and the two are not told apart. The
    axis says where `reference` is better.

    Args:
        comparison: a table by `evaluation.compare`, or several of them under each other with a column `organ`. Metrics that
            no method has get no panel; where one method has none, the panel says so.
    """
    if comparison.empty:
        raise BadInput(f"there is nothing to compare {reference} with; name more methods")
    qualities, metrics = quality_titles(comparison["quality"]), ordered(comparison["metric"], METRICS)
    methods, organs = list(dict.fromkeys(comparison["method"])), comparison.get("organ", pd.Series("", comparison.index))
    lines = [(organ, quality) for organ in dict.fromkeys(organs) for quality in qualities]
    lines = [(o, q) for o, q in lines if ((organs == o) & (comparison["quality"] == q)).any()]
    size = WIDTH, max(2.6, (0.3 * len(methods) + 1.1) * len(lines) + 0.7)
    fig = Figure(figsize=size, layout="constrained")
    axes = fig.subplots(len(lines), len(metrics), sharex="col", sharey=True, squeeze=False)
    cues = []
    for line, (organ, quality) in zip(axes, lines):
        of_line = comparison[(comparison["quality"] == quality) & (organs == organ)]
        for ax, name in zip(line, metrics):
            title, higher = METRICS[name].title, METRICS[name].higher_is_better
            rows = of_line[of_line["metric"] == name].set_index("method")
            cues += [_difference(ax, rows, method, place, higher) for place, method in enumerate(methods)]
            ax.axvline(0, color="0.2", lw=0.9)
            ax.grid(False, axis="y")
            of_quality = title if len(qualities) == 1 else f"{title}, {qualities[quality]}"
            ax.set_title(f"{organ}\n{of_quality}" if organ else of_quality)
            ax.xaxis.set_major_locator(MaxNLocator(3, min_n_ticks=2))
            ax.set_ylim(len(methods) - 0.4, -0.6)
            text, side = (f"{reference} better →", "right") if higher else (f"← {reference} better", "left")
            ax.set_xlabel(text, loc=side)
        line[0].set_yticks(range(len(methods)), methods)
    for ax in axes[0]:  # the line at 0 is not to be taken for the frame; a column shares its limits
        low, high = ax.get_xlim()
        ax.set_xlim(min(low, -0.06 * (high - low)), max(high, 0.06 * (high - low)))
    texts = {BETTER: f"interval: {reference} better", WORSE: "interval: other better",
             OPEN: "not told apart: interval contains 0", NO_INTERVAL: "no interval: too few subjects"}  # fmt: skip
    fig.supylabel(f"{reference} minus ...")
    shown = [cue for cue in texts if cue in cues]
    handles = [Line2D([], [], ls="none" if cue is NO_INTERVAL else "-", **_marker(cue)) for cue in shown]
    fig.legend(handles, [texts[cue] for cue in shown], loc="outside upper center", ncols=min(2, len(shown)))
    return fig


def _difference(ax: Axes, rows: pd.DataFrame, method: str, place: int, higher: bool) -> Cue | None:
    if method not in rows.index or not np.isfinite(rows.loc[method, "difference"]):
        ax.annotate("none", (0.98, place), xycoords=("axes fraction", "data"), ha="right", va="center", color="0.45")
        return None
    difference, low, high = rows.loc[method, ["difference", "low", "high"]].astype(float)
    if not np.isfinite([low, high]).all():
        cue = NO_INTERVAL
    elif low <= 0 <= high:
        cue = OPEN
    else:
        cue = BETTER if (difference > 0) == higher else WORSE
    ax.plot([low, high], [place, place], color=cue.colour, lw=2)
    ax.plot([difference], [place], ls="none", **_marker(cue))
    return cue


def _marker(cue: Cue) -> dict[str, Any]:
    return {"marker": cue.marker, "color": cue.colour, "mfc": "white" if cue is OPEN else cue.colour, "ms": 7, "mew": 1.5}
