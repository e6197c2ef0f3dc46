"""Figures of scores: the paper's Figures 2 and 3, and predicted against true scores."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from advconf_lite.evaluation.per_domain import defined, mean_of
from advconf_lite.evaluation.predictions import CONSTANT, SLICE
from advconf_lite.figures.style import (
    BLACK,
    CLEAN,
    METHODS,
    SKY,
    WIDTH,
    YELLOW,
    method_cue,
    ordered,
    quality_titles,
    rank_title,
    styled,
)
from advconf_lite.metrics import METRICS, REPORTED
from advconf_lite.support.errors import BadInput
from advconf_lite.support.numbers import one_of, whole


def _domains(table: pd.DataFrame, source_domain: str | None) -> list[str]:
    return ordered(table["domain"], [source_domain] if source_domain else [])


@styled
def figure2(
    predictions: pd.DataFrame, source_domain: str | None = None, marked: Mapping[str, Mapping[str, float]] | None = None
) -> Figure:
    """The paper's Figure 2: the distribution of true scores per domain, a panel for each quality.

    Box: median and quartiles, whiskers to 1.5 interquartile ranges; points: slices. A slice counts once per
    segmenter seed, however many methods predicted it. With a column `split`, the source's splits get rows of
    their own.

    `marked`: quality -> domain -> a score to be marked, such as that of one subject on every scanner.
    """
    marked = marked or {}
    rows = predictions.drop_duplicates([*SLICE, "quality", "segmenter_seed"]).copy()
    rows["row"] = rows["domain"]
    if "split" in rows:
        source = rows["domain"] == source_domain
        rows.loc[source, "row"] = rows["domain"] + " (" + rows["split"].astype(str) + ")"
    known = list(dict.fromkeys(rows.loc[rows["domain"] == source_domain, "row"]))
    names = ordered(rows["row"], known)
    qualities = quality_titles(rows["quality"])
    fig = Figure(figsize=(min(WIDTH, 3.0 * len(qualities) + 2.6), 0.42 * len(names) + 1.3), layout="constrained")
    rng = np.random.default_rng(0)
    axes = fig.subplots(1, len(qualities), sharey=True, squeeze=False)[0]
    for ax, (quality, title) in zip(axes, qualities.items()):
        for position, name in enumerate(names):
            scores = rows.loc[(rows["row"] == name) & (rows["quality"] == quality), "true_score"].dropna().to_numpy()
            is_source = name in known
            ax.scatter(scores, position + rng.uniform(-0.25, 0.25, len(scores)), s=8, color="0.45", lw=0, alpha=0.6)
            if len(scores):
                _box(ax, scores, position, CLEAN.colour if is_source else SKY, "////" if is_source else "")
        for name, score in marked.get(quality, {}).items():
            ax.plot(score, names.index(name), ls="none", marker="*", ms=15, color=YELLOW, mec=BLACK, mew=1.2, clip_on=False)
        ax.set(
            xlim=(-0.02, 1.02),
            xlabel=f"true {title} of a slice",
            ylim=(len(names) - 0.4, -0.6),
        )
        ax.grid(False, axis="y")
        if known:
            ax.axhline(len(known) - 0.5, color="0.6", lw=0.7)
    counts = [rows[rows["row"] == name].drop_duplicates(SLICE).shape[0] for name in names]
    axes[0].set_yticks(range(len(names)), [f"{name}, n = {count}" for name, count in zip(names, counts)])
    axes[0].set_ylabel("domain, number of slices")
    if known:
        handles = [Patch(fc=CLEAN.colour, alpha=0.55, hatch="////", ec=BLACK, label="source")]
        handles.append(Patch(fc=SKY, alpha=0.55, ec=BLACK, label="target"))
        if marked:
            handles.append(Line2D([], [], ls="none", marker="*", ms=13, color=YELLOW, mec=BLACK, label="one slice on each"))
        fig.legend(handles=handles, loc="outside upper right", ncols=3)
    return fig


def _box(ax: Axes, scores: np.ndarray, y: float, colour: str, hatch: str) -> None:
    """A horizontal box plot; matplotlib's own changed its argument for the direction between versions."""
    low, median, high = np.percentile(scores, [25, 50, 75])
    reach = scores[(scores >= low - 1.5 * (high - low)) & (scores <= high + 1.5 * (high - low))]
    ax.hlines([y, y], [reach.min(), high], [low, reach.max()], color=BLACK, lw=0.8)
    ax.vlines([reach.min(), reach.max()], y - 0.15, y + 0.15, color=BLACK, lw=0.8)
    ax.barh(y, high - low, 0.62, low, facecolor=(colour, 0.55), edgecolor=BLACK, hatch=hatch, lw=0.8)
    ax.vlines(median, y - 0.31, y + 0.31, color=BLACK, lw=1.8)


@styled
def figure3(
    metrics: pd.DataFrame,
    source_domain: str | None = None,
    names: tuple[str, ...] = REPORTED,
    methods: tuple[str, ...] | None = None,
) -> Figure:
    """The paper's Figure 3 as dots: a line per domain below their mean, a panel for each metric, a row for each quality.

    Several pairs of seeds: dots are means, whiskers one standard deviation over the pairs. One pair: whiskers are the
    bootstrap interval over subjects, absent where it is not estimable, and at the mean over targets, which has none. The
    figure says which. No dot: not defined, for instance for want of a finite prediction. The method "constant" is no
    competitor but the floor of a metric that needs an estimate (the MAE), a dashed line across its domain.
    """
    table = metrics if methods is None else metrics[metrics["method"].isin(methods)]
    if table.empty:
        raise BadInput("the metrics table is empty; run the evaluation first")
    for name in names:
        one_of(name, "metric", METRICS)
    domains, qualities = _domains(table, source_domain), quality_titles(table["quality"])
    floor, table = table[table["method"] == CONSTANT], table[table["method"] != CONSTANT]
    shown = ordered(table["method"], METHODS)
    several = len(table[["segmenter_seed", "head_seed"]].drop_duplicates()) > 1
    targets = [domain for domain in domains if domain != source_domain]
    if len(targets) > 1:
        mean = "mean of targets" if source_domain in domains else "mean"
        table, floor = (pd.concat([_mean(part, targets, names, mean), part]) for part in (table, floor))
        domains = [mean, *domains]
    step = 0.8 / len(shown)
    size = WIDTH, (0.1 * len(shown) + 0.12) * len(domains) * len(qualities) + 0.7 * len(qualities) + 1.4
    fig = Figure(figsize=size, layout="constrained")
    axes = fig.subplots(len(qualities), len(names), sharex="col", sharey=True, squeeze=False)
    for line, quality in zip(axes, qualities):
        for ax, name in zip(line, names):
            for number, method in enumerate(shown):
                cells = table[(table["quality"] == quality) & (table["method"] == method)]
                value, low, high = np.transpose([_bar(cells[cells["domain"] == d], name) for d in domains])
                y = np.arange(len(domains)) + (number - (len(shown) - 1) / 2) * step
                cue = method_cue(method, number)
                ax.hlines(y, low, high, color=cue.colour, lw=1.3)  # a percentile interval need not contain the value
                ax.plot(value, y, ls="none", marker=cue.marker, color=cue.colour, ms=5.5, mew=0)
            if METRICS[name].needs_estimate:
                lines = floor[floor["quality"] == quality]
                level = [_bar(lines[lines["domain"] == d], name)[0] for d in domains]
                y = np.arange(len(domains))
                ax.vlines(level, y - 0.45, y + 0.45, color=BLACK, ls="--", lw=1.2)
            for y in range(1, len(domains)):
                ax.axhline(y - 0.5, color="0.3" if y == 1 and len(targets) > 1 else "0.88", lw=0.8)
            ax.grid(False, axis="y")
            ax.axvline(0, color="0.2", lw=0.8)
            ax.xaxis.set_major_locator(MaxNLocator(4))
            ax.set_title(METRICS[name].title if len(qualities) == 1 else f"{METRICS[name].title}, {qualities[quality]}")
            ax.set_ylim(len(domains) - 0.5, -0.5)
        line[0].set_yticks(range(len(domains)), [f"{d} (source)" if d == source_domain else d for d in domains])
        line[0].tick_params(axis="y", length=0)
    for ax, name in zip(axes[-1], names):
        ax.set_xlabel(f"{METRICS[name].title}\n({METRICS[name].better} is better)")
    cues = [method_cue(method, number) for number, method in enumerate(shown)]
    handles = [Line2D([], [], color=cue.colour, marker=cue.marker, ms=7, mew=0, label=m) for cue, m in zip(cues, shown)]
    if len(floor):
        handles.append(Line2D([], [], color=BLACK, ls="--", lw=1.2, label="constant prediction"))
    most = 5 if sum(len(handle.get_label()) for handle in handles) <= 60 else 3  # that fit beside each other
    fig.legend(handles=handles, loc="outside upper center", ncols=min(most, len(handles)), handlelength=2.2)
    fig.supxlabel(
        "whiskers: " + ("standard deviation over pairs of seeds" if several else "95 % bootstrap interval over subjects")
    )
    fig.supylabel("scanner domain")
    return fig


def _mean(metrics: pd.DataFrame, targets: list[str], names: tuple[str, ...], title: str) -> pd.DataFrame:
    """Rows of a further domain `title`: the means over targets, of each pair of seeds, without an interval."""
    rows = metrics[metrics["domain"].isin(targets)]
    keys = ["quality", "method", "segmenter_seed", "head_seed"]
    means = [
        {**dict(zip(keys, key)), **{name: mean_of(part, name) for name in names}}
        for key, part in rows.groupby(keys, sort=False)
    ]
    return pd.DataFrame(means, columns=[*keys, *names]).assign(domain=title)


def _bar(cells: pd.DataFrame, name: str) -> tuple[float, float, float]:
    """Height, lower and upper end of the whisker; NaN where there is none."""
    values = defined(cells, name)
    if len(values) == 0:
        return (np.nan,) * 3
    if len(values) > 1:
        return values.mean(), values.mean() - values.std(), values.mean() + values.std()
    row = cells.loc[values.index[0]]
    return row[name], row.get(name + "_low", np.nan), row.get(name + "_high", np.nan)


@styled
def scatter(
    predictions: pd.DataFrame,
    quality: str = "dice",
    methods: tuple[str, ...] = ("plain", "adversarial"),
    source_domain: str | None = None,
    columns: int = 4,
) -> Figure:
    """Predicted against true score: a panel per domain with the identity line, a point per slice and method.

    With several pairs of seeds only the first is drawn, and named.
    """
    rows = predictions[(predictions["quality"] == quality) & predictions["method"].isin(methods)]
    whole(columns, "columns", 1)
    if rows.empty:
        raise BadInput(f"no predictions of {quality} by {', '.join(methods)}; choose a quality and methods that were run")
    seeds = rows[["segmenter_seed", "head_seed"]].drop_duplicates().sort_values(["segmenter_seed", "head_seed"])
    several, (segmenter_seed, head_seed) = len(seeds) > 1, seeds.iloc[0]
    rows = rows[(rows["segmenter_seed"] == segmenter_seed) & (rows["head_seed"] == head_seed)]
    lost = ~np.isfinite(rows["predicted_score"])  # no place in the plane, and no limit of an axis
    domains = _domains(rows, source_domain)
    rows = rows[~lost]
    columns = min(columns, len(domains))
    lines = -(-len(domains) // columns)
    low = min(0.0, rows["predicted_score"].min())
    high = max(1.0, rows["predicted_score"].max())
    fig = Figure(figsize=(min(WIDTH, 2.1 * columns + 1.4), 2.2 * lines + 0.9), layout="constrained")
    axes = fig.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for ax, domain in zip(axes, domains):
        ax.plot([0, 1], [0, 1], color="0.4", lw=0.8, ls="--")
        for number, method in enumerate(methods):
            part = rows[(rows["domain"] == domain) & (rows["method"] == method)]
            cue = method_cue(method, number)
            # Filled below, open above: points that coincide stay visible.
            ax.scatter(
                part["true_score"],
                part["predicted_score"],
                s=16,
                marker=cue.marker,
                lw=0.7,
                alpha=0.75,
                facecolor=cue.colour if number == 0 else "none",
                edgecolor=cue.colour,
            )
        ax.set_title(f"{domain}\n(source)" if domain == source_domain else str(domain))
        ax.set(xlim=(-0.03, 1.03), ylim=(low - 0.03, high + 0.03), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
        ax.tick_params(labelbottom=True)
    for ax in axes[len(domains) :]:
        ax.axis("off")
    title = quality_titles([quality])[quality]
    kind = f"predicted {title}" if rows["estimates"].any() else rank_title(methods)
    note = f" (segmenter seed {segmenter_seed}, head seed {head_seed})" if several else ""
    if lost.any():
        note += f"; not drawn: {lost.sum()} without a finite prediction"
    fig.supxlabel(f"true {title} of a slice{note}")
    fig.supylabel(kind)
    handles = [
        Line2D(
            [],
            [],
            ls="none",
            marker=method_cue(m, i).marker,
            mec=method_cue(m, i).colour,
            mfc=method_cue(m, i).colour if i == 0 else "none",
        )
        for i, m in enumerate(methods)
    ]
    handles.append(Line2D([], [], color="0.4", lw=0.8, ls="--"))
    fig.legend(handles, [*methods, "predicted = true"], loc="outside upper center", ncols=len(handles))
    return fig
