"""What labels of a new scanner are worth: error and coverage against their number, bias per domain, reliability."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from advconf_lite.figures.style import BLACK, CLEAN, METHODS, WIDTH, Cue, method_cue, ordered, quality_titles, styled
from advconf_lite.support.errors import BadInput
from advconf_lite.support.numbers import one_of

VALUES = {"mae": "mean absolute error", "coverage": "slices above their lower bound"}
COLUMNS = 3


def _cues(methods: list[str]) -> dict[str, Cue]:
    return {method: method_cue(method, number) for number, method in enumerate(methods)}


def _methods(table: pd.DataFrame) -> list[str]:
    if table.empty:
        raise BadInput("there is nothing to draw; calibrate first, with methods that the run has")
    return ordered(table["method"], METHODS)


def _legend(fig: Figure, cues: Mapping[str, Cue], more: list[Line2D] | None = None) -> None:
    handles = [Line2D([], [], color=c.colour, marker=c.marker, ls=c.line, ms=7, label=name) for name, c in cues.items()]
    fig.legend(handles=[*handles, *(more or [])], loc="outside upper center", ncols=4, handlelength=2.6)


@styled
def by_labels(
    table: pd.DataFrame, value: str = "mae", source_domain: str | None = None, level: float = 0.9, quality: str | None = None
) -> Figure:
    """A value against the number of labelled slices: a panel per domain, a line per method, 95 % intervals as whiskers.

    Args:
        table: by `evaluation.labels_needed.labels_needed`.
        value: "mae" (k = 0 is the score as it is) or "coverage", with `level` as a line.
        quality: the first one by default.
    """
    one_of(value, "value", VALUES)
    table = table[table["quality"] == (quality or next(iter(table["quality"]), None))]
    table = table[table[value].notna()]
    methods, domains = _methods(table), ordered(table["domain"], [source_domain])
    ks, cues = sorted(table["k"].unique()), _cues(methods)
    columns = min(COLUMNS, len(domains))
    lines = -(-len(domains) // columns)
    fig = Figure(figsize=(min(WIDTH, 3.0 * columns + 0.8), 2.5 * lines + 1.2), layout="constrained")
    axes = fig.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for ax, domain in zip(axes, domains):
        for number, (method, cue) in enumerate(cues.items()):
            rows = table[(table["domain"] == domain) & (table["method"] == method)].sort_values("k")
            x = rows["k"].map(ks.index) + 0.5 * ((number + 0.5) / len(methods) - 0.5)
            ax.vlines(x, rows[f"{value}_low"], rows[f"{value}_high"], color=cue.colour, lw=1.2, alpha=0.6)
            ax.plot(x, rows[value], color=cue.colour, ls=cue.line, marker=cue.marker, ms=6)
        if value == "coverage":
            ax.axhline(level, color=BLACK, lw=1)
        ax.set_title(f"{domain}\n(source)" if domain == source_domain else str(domain))
        ax.tick_params(labelbottom=True)
    for ax in axes:
        ax.set_xticks(range(len(ks)), [str(k) for k in ks])
        ax.set_ylim((0, None) if value == "mae" else (min(0.5, table[f"{value}_low"].min()), 1.02))
    for ax in axes[len(domains) :]:
        ax.axis("off")
    wanted = [] if value == "mae" else [Line2D([], [], color=BLACK, lw=1, label=f"wanted: {level:g}")]
    _legend(fig, cues, wanted)
    fig.supxlabel("labelled slices of the new scanner")
    fig.supylabel(VALUES[value])
    return fig


@styled
def bias_by_domain(table: pd.DataFrame, k: int, source_domain: str | None = None, quality: str | None = None) -> Figure:
    """Mean of predicted minus true score per domain: hollow without labels, filled with k of them, intervals as bars.

    Args:
        table: by `evaluation.labels_needed.labels_needed`.
    """
    table = table[table["quality"] == (quality or next(iter(table["quality"]), None))]
    table = table[table["k"].isin([0, k])]
    methods, domains = _methods(table), ordered(table["domain"], [source_domain])
    cues = _cues(methods)
    fig = Figure(figsize=(WIDTH, (0.2 * len(methods) + 0.2) * len(domains) + 1.5), layout="constrained")
    ax = fig.subplots()
    for number, (method, cue) in enumerate(cues.items()):
        for at, face in ((0, "white"), (k, cue.colour)):
            rows = table[(table["method"] == method) & (table["k"] == at)]
            y = rows["domain"].map(domains.index) + 0.8 * ((number + 0.5) / len(methods) - 0.5)
            ax.hlines(y, rows["bias_low"], rows["bias_high"], color=cue.colour, lw=1.4, alpha=0.6)
            ax.plot(rows["bias"], y, ls="none", marker=cue.marker, ms=8, mew=1.5, color=cue.colour, mfc=face)
    ax.axvline(0, color="0.2", lw=1)
    for y in range(1, len(domains)):
        ax.axhline(y - 0.5, color="0.85", lw=0.8)
    ax.set_yticks(range(len(domains)), [f"{d} (source)" if d == source_domain else d for d in domains])
    ax.set(ylim=(len(domains) - 0.5, -0.5), xlabel="bias: predicted minus true score (right of 0: too optimistic)")
    ax.grid(False, axis="y")
    looks = {"color": "0.35", "marker": "o", "ms": 8, "mew": 1.5, "ls": "none"}
    more = [Line2D([], [], mfc="white", label="no labels", **looks), Line2D([], [], label=f"{k} labels", **looks)]
    handles = [Line2D([], [], color=c.colour, marker=c.marker, ls="none", ms=8, label=name) for name, c in cues.items()]
    fig.legend(handles=[*handles, *more], loc="outside upper center", ncols=4, handletextpad=0.2)
    return fig


@styled
def reliability_diagram(before: pd.DataFrame, after: pd.DataFrame, k: int, quality: str | None = None) -> Figure:
    """Mean true against mean predicted score in bins, above without labels and below with k of them: a panel per method.

    On the diagonal, what is predicted is true on average; below it, it is too optimistic. Size: number of slices.

    Args:
        before, after: by `evaluation.reliability.reliability`.
    """
    quality = quality or next(iter(before["quality"]), None)
    before, after = (table[table["quality"] == quality] for table in (before, after))
    methods = _methods(before)
    height = 2.6 * 2 + 1.0
    fig = Figure(figsize=(min(WIDTH, 2.1 * len(methods) + 1.2), height), layout="constrained")
    axes = fig.subplots(2, len(methods), sharex=True, sharey=True, squeeze=False)
    for line, table, words in zip(axes, (before, after), ("no labels", f"{k} labels of the scanner")):
        for ax, (number, method) in zip(line, enumerate(methods)):
            _bins(ax, table[table["method"] == method], method_cue(method, number))
            if words == "no labels":
                ax.set_title(method)
        line[0].set_ylabel(words)
    _name_bins(fig, quality)
    return fig


@styled
def reliability_panels(table: pd.DataFrame, quality: str | None = None) -> Figure:
    """`reliability_diagram` of one table alone: a panel per method, three in a row.

    Args:
        table: by `evaluation.reliability.reliability`.
    """
    quality = quality or next(iter(table["quality"]), None)
    table = table[table["quality"] == quality]
    methods = _methods(table)
    columns = min(COLUMNS, len(methods))
    lines = -(-len(methods) // columns)
    fig = Figure(figsize=(min(WIDTH, 2.6 * columns + 0.8), 2.7 * lines + 0.9), layout="constrained")
    axes = fig.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for ax, (number, method) in zip(axes, enumerate(methods)):
        _bins(ax, table[table["method"] == method], method_cue(method, number))
        ax.set_title(method)
    for ax in axes[len(methods) :]:
        ax.axis("off")
    _name_bins(fig, quality)
    return fig


def _name_bins(fig: Figure, quality: str) -> None:
    title = quality_titles([quality])[quality]
    fig.supxlabel(f"mean predicted {title} of a bin")
    fig.supylabel(f"mean true {title}")
    handles = [
        Line2D([], [], color=CLEAN.colour, marker="s", ls="-", ms=7, mfc="white", label="source"),
        Line2D([], [], color=BLACK, marker="o", ls="-", ms=7, label="all targets together (in the method's colour)"),
    ]
    fig.legend(handles=handles, loc="outside upper center", ncols=2)


def _bins(ax: Axes, table: pd.DataFrame, cue: Cue) -> None:
    ax.plot([0, 1], [0, 1], color="0.4", lw=0.9, ls="--")
    ax.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1], aspect="equal")
    for group, colour, marker, face in (("source", CLEAN.colour, "s", "white"), ("targets", cue.colour, cue.marker, None)):
        rows = table[table["group"] == group].sort_values("predicted")
        if rows.empty:
            continue
        ax.vlines(rows["predicted"], rows["low"], rows["high"], color=colour, lw=1.4, alpha=0.7)
        ax.plot(rows["predicted"], rows["true"], color=colour, lw=1)
        size = 20 + 60 * np.sqrt(rows["n_slices"] / max(1, table["n_slices"].max()))
        ax.scatter(rows["predicted"], rows["true"], s=size, marker=marker, c=face or colour, edgecolors=colour, zorder=3)
