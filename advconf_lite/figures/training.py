"""Figures of training: learning curves, and the paper's Figure 1."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

from advconf_lite.figures.style import BLACK, BLUE, CUES, METHODS, QUALITIES, VERMILLION, method_cue, ordered, styled
from advconf_lite.support.errors import BadInput


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
        fig = Figure(figsize=(7, 2.5), layout="constrained")
        left, right = fig.subplots(1, 2)
        for cue, (seed, run) in zip(CUES, rows.groupby("segmenter_seed")):
            _loss(left, run, cue, f"seed {seed}")
            checked = run.dropna(subset=["val_dice"])
            right.plot(checked["step"], checked["val_dice"], color=cue.colour, ls=cue.line, marker=cue.marker, ms=3.5)
        right.set(xlabel="optimiser step", ylabel="validation Dice")
        right.set_ylim(top=min(1.0, max(0.1, right.get_ylim()[1])))
        left.set(xlabel="optimiser step", ylabel="Dice + cross-entropy loss")
        _loss_legend(left)
        return fig
    qualities = ordered(rows["quality"], QUALITIES)
    fig = Figure(figsize=(3.5 * len(qualities), 2.7), layout="constrained")
    for ax, quality in zip(fig.subplots(1, len(qualities), squeeze=False)[0], qualities):
        part = rows[rows["quality"] == quality]
        for number, method in enumerate(ordered(part["method"], METHODS)):
            runs = part[part["method"] == method].groupby(["segmenter_seed", "head_seed"])
            for first, (_, run) in enumerate(runs):
                _loss(ax, run, method_cue(method, number), "" if first else method)
        ax.set(
            xlabel="optimiser step",
            ylabel="squared error of the score",
            yscale="log",
            title=QUALITIES.get(quality, quality),
        )
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter("")
        _loss_legend(ax)
    return fig


def _loss(ax: Axes, run: pd.DataFrame, cue: Any, label: str) -> None:
    trained, checked = run.dropna(subset=["loss"]), run.dropna(subset=["val_loss"])
    ax.plot(trained["step"], _running_median(trained["loss"]), color=cue.colour, ls=cue.line, lw=1)
    ax.plot(checked["step"], checked["val_loss"], color=cue.colour, ls="none", marker=cue.marker, ms=3.5)
    if label:
        ax.plot([], [], color=cue.colour, ls=cue.line, lw=1, marker=cue.marker, ms=3.5, label=label)


def _loss_legend(ax: Axes) -> None:
    handles, labels = ax.get_legend_handles_labels()
    what = [Line2D([], [], color="0.4"), Line2D([], [], color="0.4", ls="none", marker="o", ms=3.5)]
    ax.legend([*handles, *what], [*labels, "training (line)", "validation (points)"], handlelength=2.8)


def _running_median(values: pd.Series) -> pd.Series:
    """Over a twentieth of the curve, so that it reads the same for 30 and for 10,000 steps."""
    return values.rolling(max(1, len(values) // 20), center=True, min_periods=1).median()


@styled
def figure1(history: pd.DataFrame, delta_s: float = 0.1) -> Figure:
    """The paper's Figure 1: left the predicted and the true drop, right alpha; one line per pair of seeds.

    Thick lines are running medians over a twentieth of the steps, thin ones single batches; a row for each
    quality.
    """
    rows = history[(history["stage"] == "head") & (history["method"] == "adversarial")]
    rows = rows.dropna(subset=["predicted_drop", "true_drop"])
    if rows.empty:
        raise BadInput("the history has no adversarial steps; train the method 'adversarial' for more than the warm-up")
    qualities = ordered(rows["quality"], QUALITIES)
    segmenter_seeds, head_seeds = (sorted(rows[c].unique()) for c in ("segmenter_seed", "head_seed"))
    many = len(segmenter_seeds) > 1  # then the segmenter has the colour and the head the line style
    fig = Figure(figsize=(7, 2.2 * len(qualities) + 0.7), layout="constrained")
    for (left, right), quality in zip(fig.subplots(len(qualities), 2, squeeze=False), qualities):
        runs = list(rows[rows["quality"] == quality].groupby(["segmenter_seed", "head_seed"]))
        smooth = []
        for number, ((segmenter_seed, head_seed), run) in enumerate(runs):
            for column, label, colour, line, marker in (
                ("predicted_drop", r"predicted, $C_\phi(z) - C_\phi(z')$", BLUE, "-", "o"),
                ("true_drop", "true, $s - s'$", VERMILLION, "--", "s"),
            ):
                left.plot(run["step"], run[column], color=colour, lw=0.4, alpha=0.25)
                smooth.append(_running_median(run[column]))
                left.plot(
                    run["step"],
                    smooth[-1],
                    color=colour,
                    ls=line,
                    marker=marker,
                    ms=3.5,
                    mfc="white",
                    markevery=(number, max(1, len(run) // 8)),
                    label="" if number else label,
                )
            cue = CUES[head_seeds.index(head_seed) % len(CUES)]
            colour = CUES[segmenter_seeds.index(segmenter_seed) % len(CUES)].colour if many else cue.colour
            right.plot(
                run["step"],
                run["alpha"],
                color=colour,
                ls=cue.line,
                marker=cue.marker,
                mfc="white",
                markevery=(number, max(1, len(run) // 6)),
                label=f"segmenter {segmenter_seed}, head {head_seed}" if many else f"head seed {head_seed}",
            )
        left.axhline(delta_s, color=BLACK, ls=(0, (2, 2)), lw=1, label=rf"target, $\Delta_s = {delta_s:g}$")
        # Single batches may reach far out; the view is set by the medians.
        low, high = min(0.0, *(s.min() for s in smooth)), max(delta_s, *(s.max() for s in smooth))
        left.set_ylim(low - 0.25 * (high - low), high + 0.25 * (high - low))
        left.set(xlabel="optimiser step", ylabel=f"drop in {QUALITIES.get(quality, quality)}")
        right.set(xlabel="optimiser step", ylabel=r"gradient factor $\alpha$")
    for ax, place in ((left, "outside upper left"), (right, "outside lower right")):
        handles, labels = ax.get_legend_handles_labels()
        fig.legend(handles, labels, loc=place, ncols=min(3, len(labels)), handlelength=2.8)
    return fig
