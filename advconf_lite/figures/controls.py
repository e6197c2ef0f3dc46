"""Figures of lesson 06: differences to every control with their intervals, and the true scores that training saw."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from advconf_lite.figures.style import BLUE, CUES, QUALITIES, VERMILLION, Cue, ordered, plain_array, styled
from advconf_lite.support.errors import BadInput

# What an interval says: colour and marker, and whether the marker is filled.
BETTER, WORSE = Cue(BLUE, "o", "-", ""), Cue(VERMILLION, "s", "-", "")

OPEN, NO_INTERVAL = Cue("0.35", "D", "-", ""), Cue("0.35", "x", "-", "")

METRICS = {"pearson": ("Pearson r", True), "eaurc": ("eAURC", False), "mae": ("MAE", False)}  # title, higher is better


@styled
def forest(comparison: pd.DataFrame, reference: str = "adversarial") -> Figure:
    """Differences `reference` minus each other method with their intervals: a panel per metric, a row of panels per quality.

    The marker says on which side of 0 the whole interval lies, if it does; the axis says where `reference` is better.

    Args:
        comparison: a table by `evaluation.compare`. Metrics that no method has get no panel; where one method has none,
            the panel says so.
    """
    if comparison.empty:
        raise BadInput(f"there is nothing to compare {reference} with; name more methods")
    qualities, metrics = ordered(comparison["quality"], QUALITIES), ordered(comparison["metric"], METRICS)
    methods = list(dict.fromkeys(comparison["method"]))
    size = 2.0 * len(metrics) + 1.6, max(1.9, (0.21 * len(methods) + 0.85) * len(qualities) + 0.45)
    fig = Figure(figsize=size, layout="constrained")
    axes = fig.subplots(len(qualities), len(metrics), sharex="col", sharey=True, squeeze=False)
    cues = []
    for line, quality in zip(axes, qualities):
        for ax, name in zip(line, metrics):
            title, higher = METRICS[name]
            rows = comparison[(comparison["quality"] == quality) & (comparison["metric"] == name)].set_index("method")
            cues += [_difference(ax, rows, method, place, higher) for place, method in enumerate(methods)]
            ax.axvline(0, color="0.2", lw=0.9)
            ax.grid(False, axis="y")
            ax.set_title(title if len(qualities) == 1 else f"{title}, {QUALITIES.get(quality, quality)}")
            ax.xaxis.set_major_locator(MaxNLocator(3))
            ax.set_ylim(len(methods) - 0.4, -0.6)
            text, side = (f"{reference} better →", "right") if higher else (f"← {reference} better", "left")
            ax.set_xlabel(text, loc=side)
        line[0].set_yticks(range(len(methods)), methods)
    texts = {BETTER: f"interval: {reference} better", WORSE: "interval: other better", OPEN: "interval contains 0",
             NO_INTERVAL: "no interval: too few subjects"}  # fmt: skip
    fig.supylabel(f"{reference} minus ...", fontsize=8.5)
    shown = [cue for cue in texts if cue in cues]
    handles = [Line2D([], [], ls="none" if cue is NO_INTERVAL else "-", **_marker(cue)) for cue in shown]
    fig.legend(handles, [texts[cue] for cue in shown], loc="outside upper center", ncols=len(shown))
    return fig


def _difference(ax: Axes, rows: pd.DataFrame, method: str, place: int, higher: bool) -> Cue | None:
    if method not in rows.index or not np.isfinite(rows.loc[method, "difference"]):
        ax.annotate("none", (0.98, place), xycoords=("axes fraction", "data"), ha="right", va="center", color="0.5", size=7)
        return None
    difference, low, high = rows.loc[method, ["difference", "low", "high"]].astype(float)
    if not np.isfinite([low, high]).all():
        cue = NO_INTERVAL
    elif low <= 0 <= high:
        cue = OPEN
    else:
        cue = BETTER if (difference > 0) == higher else WORSE
    ax.plot([low, high], [place, place], color=cue.colour, lw=1.3)
    ax.plot([difference], [place], ls="none", **_marker(cue))
    return cue


def _marker(cue: Cue) -> dict[str, Any]:
    return {"marker": cue.marker, "color": cue.colour, "mfc": "white" if cue is OPEN else cue.colour, "ms": 4.5}


@styled
def training_scores(seen: dict[str, Any], quality: str = "dice") -> Figure:
    """Histograms of the true scores that heads saw in training, one above the other, on the same axes.

    The first of `seen` is repeated as a grey outline in the others; a dashed line marks the 5th percentile.
    """
    kinds = {name: plain_array(values).astype(float).ravel() for name, values in seen.items()}
    kinds = {name: values[np.isfinite(values)] for name, values in kinds.items()}
    kinds = {name: values for name, values in kinds.items() if len(values)}
    if not kinds:
        raise BadInput("no true scores were seen in training; train the heads first")
    bins = np.linspace(0, 1, 26)
    shares = [100 * np.histogram(values, bins)[0] / len(values) for values in kinds.values()]
    fig = Figure(figsize=(5.6, 1.2 * len(kinds) + 0.6), layout="constrained")
    axes = fig.subplots(len(kinds), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for ax, (name, values), share, cue in zip(axes, kinds.items(), shares, (CUES[1], CUES[0], *CUES[2:])):
        ax.stairs(share, bins, fill=True, facecolor=(cue.colour, 0.35), hatch=cue.hatch, edgecolor=cue.colour, lw=0)
        ax.stairs(share, bins, color=cue.colour, lw=1.4)
        if ax is not axes[0]:
            ax.stairs(shares[0], bins, color="0.45", lw=0.9, ls=":")
        low = np.percentile(values, 5)
        ax.axvline(low, color="0.1", ls="--", lw=1)
        ax.set_title(f"{name}: n = {len(values)}, 5th percentile {low:.2f}", loc="left", fontsize=8.5)
        ax.grid(False, axis="x")
    axes[-1].set_xlim(0, 1)
    fig.supxlabel(f"true {QUALITIES.get(quality, quality)} of a training image", fontsize=8.5)
    fig.supylabel("share of images (%)", fontsize=8.5)
    handles = [Line2D([], [], color="0.1", ls="--", lw=1)]
    texts = ["5th percentile"]
    if len(kinds) > 1:
        handles.append(Patch(fc="none", ec="0.45", ls=":"))
        texts.append(f"{next(iter(kinds))}, for comparison")
    fig.legend(handles, texts, loc="outside upper right", ncols=2)
    return fig
