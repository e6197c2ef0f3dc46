"""Figures of training: learning curves, the paper's Figure 1, and the true scores that heads saw."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator

from advconf_lite.figures.style import (
    BLACK,
    BLUE,
    CUES,
    METHODS,
    SKY,
    WIDTH,
    Cue,
    half_cue,
    method_cue,
    ordered,
    plain_array,
    quality_titles,
    styled,
)
from advconf_lite.support.errors import BadInput

# Seeds of the segmenter, which is no method and has no method's colour; and of several segmenters under one method.
SEEDS = tuple(
    cue._replace(colour=grey) for cue, grey in zip(CUES[1:] + CUES[:1], ("0.1", "0.5", "0.35", "0.6", "0.2", "0.45", "0.7"))
)
BLUES = (BLUE, SKY, "#00304D")


@styled
def learning_curves(history: pd.DataFrame, stage: str = "segmenter") -> Figure:
    """Training and validation loss by step; segmenter: also validation Dice, heads: a panel per quality.

    `history`: the columns of history.csv; training loss per step or per epoch, validation values once per
    epoch.
    """
    rows = history[history["stage"] == stage]
    if rows.empty:
        raise BadInput(f"the history has no rows of stage {stage!r}; train it first, or check the run's folder")
    if stage == "segmenter":
        fig = Figure(figsize=(WIDTH, 3.4), layout="constrained")
        left, right = fig.subplots(1, 2)
        several = rows["segmenter_seed"].nunique() > 1
        for cue, (seed, run) in zip(SEEDS, rows.groupby("segmenter_seed")):
            _loss(left, run, cue, f"seed {seed:g}, " if several else "")
            checked = run.dropna(subset=["val_dice"])
            label = f"seed {seed:g}, validation" if several else "validation"
            right.plot(checked["step"], checked["val_dice"], color=cue.colour, ls=cue.line, marker=cue.marker, label=label)
        right.set(xlabel="optimiser step", ylabel="validation Dice")
        right.set_ylim(top=min(1.0, max(0.1, right.get_ylim()[1])))
        left.set(xlabel="optimiser step", ylabel="Dice + cross-entropy loss")
        for ax, place in ((left, "upper right"), (right, "lower right")):
            ax.legend(loc=place, handlelength=2.8)
        return fig
    qualities = quality_titles(rows["quality"])
    fig = Figure(figsize=(max(5.0, 4.3 * len(qualities)), 3.9), layout="constrained")
    for ax, (quality, title) in zip(fig.subplots(1, len(qualities), squeeze=False)[0], qualities.items()):
        part = rows[rows["quality"] == quality]
        for number, method in enumerate(ordered(part["method"], METHODS)):
            runs = part[part["method"] == method].groupby(["segmenter_seed", "head_seed"])
            for first, (_, run) in enumerate(runs):
                _loss(ax, run, method_cue(method, number), None if first else f"{method}, ")
        ax.set(
            xlabel="optimiser step",
            ylabel="squared error of the score",
            yscale="log",
            title=title,
        )
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter("")
    handles, labels = ax.get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside upper center", ncols=min(4, len(labels)), handlelength=2.8)
    return fig


def _loss(ax: Axes, run: pd.DataFrame, cue: Cue, label: str | None) -> None:
    """Training as a line and validation as points, each in the legend as it is drawn; None: not in the legend."""
    trained, checked = run.dropna(subset=["loss"]), run.dropna(subset=["val_loss"])
    names = ("", "") if label is None else (f"{label}training", f"{label}validation")
    ax.plot(trained["step"], _running_median(trained["loss"]), color=cue.colour, ls=cue.line, label=names[0])
    ax.plot(checked["step"], checked["val_loss"], color=cue.colour, ls="none", marker=cue.marker, label=names[1])


def _running_median(values: pd.Series) -> pd.Series:
    """Over a twentieth of the curve, so that it reads the same for 30 and for 10,000 steps."""
    return values.rolling(max(1, len(values) // 20), center=True, min_periods=1).median()


@styled
def figure1(history: pd.DataFrame, delta_s: float = 0.1) -> Figure:
    """The paper's Figure 1: left the predicted and the true drop, right alpha; one line per pair of seeds.

    Thick lines are running medians over a twentieth of the steps, thin ones single batches; a row for each
    quality. A head seed has the same marker left and right.
    """
    rows = history[(history["stage"] == "head") & (history["method"] == "adversarial")]
    rows = rows.dropna(subset=["predicted_drop", "true_drop"])
    if rows.empty:
        raise BadInput("the history has no adversarial steps; train the method 'adversarial' for more than the warm-up")
    qualities = quality_titles(rows["quality"])
    segmenter_seeds, head_seeds = (sorted(rows[c].unique()) for c in ("segmenter_seed", "head_seed"))
    many = len(segmenter_seeds) > 1  # then the segmenter has the colour and the head the line style
    fig = Figure(figsize=(WIDTH, 2.7 * len(qualities) + 0.9), layout="constrained")
    for (left, right), (quality, title) in zip(fig.subplots(len(qualities), 2, squeeze=False), qualities.items()):
        runs = list(rows[rows["quality"] == quality].groupby(["segmenter_seed", "head_seed"]))
        smooth = []
        for number, ((segmenter_seed, head_seed), run) in enumerate(runs):
            cue = CUES[head_seeds.index(head_seed) % len(CUES)]
            for column, colour, line in (("predicted_drop", BLUE, "-"), ("true_drop", BLACK, "--")):
                left.plot(run["step"], run[column], color=colour, lw=0.4, alpha=0.25)
                smooth.append(_running_median(run[column]))
                left.plot(
                    run["step"],
                    smooth[-1],
                    color=colour,
                    ls=line,
                    marker=cue.marker,
                    ms=5,
                    mfc="white",
                    markevery=(number, max(1, len(run) // 8)),
                )
            colour = BLUES[segmenter_seeds.index(segmenter_seed) % len(BLUES)]
            right.plot(
                run["step"],
                run["alpha"],
                color=colour,
                ls=cue.line,
                marker=cue.marker,
                mfc="white",
                markevery=(number, max(1, len(run) // 6)),
                label=f"segmenter {segmenter_seed:g}, head {head_seed:g}" if many else f"head seed {head_seed:g}",
            )
        left.axhline(delta_s, color="0.45", ls=":", lw=2)
        # Single batches may reach far out; the view is set by the medians.
        low, high = min(0.0, *(s.min() for s in smooth)), max(delta_s, *(s.max() for s in smooth))
        left.set_ylim(low - 0.25 * (high - low), high + 0.25 * (high - low))
        left.set(xlabel="optimiser step", ylabel=f"drop in {title}")
        right.set(xlabel="optimiser step", ylabel=r"gradient factor $\alpha$")
    kinds = [
        Line2D([], [], color=BLUE, label=r"predicted, $C_\phi(z) - C_\phi(z')$"),
        Line2D([], [], color=BLACK, ls="--", label="true, $s - s'$"),
        Line2D([], [], color="0.45", ls=":", lw=2, label=rf"target, $\Delta_s = {delta_s:g}$"),
    ]
    fig.legend(handles=kinds, loc="outside upper left", ncols=3, handlelength=2.8)
    handles, labels = right.get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower right", ncols=min(3, len(labels)), handlelength=2.8)
    return fig


@styled
def training_scores(seen: dict[str, Any], quality: str = "dice", of: str = "a training image") -> Figure:
    """Histograms of the true scores that heads saw in training, one above the other, on the same axes.

    The first of `seen` is repeated as a grey outline in the others; a dashed line marks the 5th percentile. Shows
    whether perturbations widen the range of scores that a head learns from (paper, section 5).

    Args:
        of: what has the scores, if not images in training.
    """
    kinds = {name: plain_array(values).astype(float).ravel() for name, values in seen.items()}
    kinds = {name: values[np.isfinite(values)] for name, values in kinds.items()}
    kinds = {name: values for name, values in kinds.items() if len(values)}
    if not kinds:
        raise BadInput("no true scores were seen in training; train the heads first")
    bins = np.linspace(0, 1, 26)
    shares = [100 * np.histogram(values, bins)[0] / len(values) for values in kinds.values()]
    fig = Figure(figsize=(6.8, 1.5 * len(kinds) + 1.0), layout="constrained")
    axes = fig.subplots(len(kinds), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for number, (ax, (name, values), share) in enumerate(zip(axes, kinds.items(), shares)):
        cue = half_cue(name, number)
        ax.stairs(share, bins, fill=True, facecolor=(cue.colour, 0.35), hatch=cue.hatch, edgecolor=cue.colour, lw=0)
        ax.stairs(share, bins, color=cue.colour, lw=1.4)
        if ax is not axes[0]:
            ax.stairs(shares[0], bins, color="0.45", lw=0.9, ls=":")
        low = np.percentile(values, 5)
        ax.axvline(low, color="0.1", ls="--", lw=1)
        ax.set_title(f"{name}: n = {len(values)}, 5th percentile {low:.2f}", loc="left")
        ax.grid(False, axis="x")
    axes[-1].set_xlim(0, 1)
    fig.supxlabel(f"true {quality_titles([quality])[quality]} of {of}")
    fig.supylabel("share of images (%)")
    handles = [Line2D([], [], color="0.1", ls="--", lw=1)]
    texts = ["5th percentile"]
    if len(kinds) > 1:
        handles.append(Patch(fc="none", ec="0.45", ls=":"))
        texts.append(f"{next(iter(kinds))}, for comparison")
    fig.legend(handles, texts, loc="outside upper right", ncols=2)
    return fig
