"""Predicted beside true scores: promises that were broken, and what it costs to trust the wrong slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from advconf_lite.evaluation.predictions import SEEDS
from advconf_lite.figures.style import (
    BLACK,
    BROKEN,
    CLEAN,
    METHODS,
    WIDTH,
    method_cue,
    ordered,
    quality_titles,
    rank_title,
    styled,
)
from advconf_lite.metrics import METRICS, eaurc, pearson
from advconf_lite.support.errors import BadInput

BROKEN_BY = 0.2  # a promise is broken when the prediction lies this much above the truth


class Chosen(NamedTuple):
    rows: pd.DataFrame
    methods: list[str]
    seeds: tuple[int, int]
    several: bool  # the table has other pairs of seeds too

    @property
    def note(self) -> str:
        return " (segmenter seed {}, head seed {})".format(*self.seeds) if self.several else ""


def _chosen(predictions: pd.DataFrame, quality: str, methods: Sequence[str] | None) -> Chosen:
    """Rows of one quality, some methods and the first pair of seeds that have a finite prediction."""
    rows = predictions[predictions["quality"] == quality]
    methods = ordered(rows["method"], METHODS) if methods is None else list(methods)
    rows = rows[rows["method"].isin(methods) & np.isfinite(rows["predicted_score"])]
    if rows.empty:
        raise BadInput(f"no predictions of {quality} by {', '.join(methods)}; choose a quality and methods that were run")
    pairs = sorted(set(zip(*(rows[column] for column in SEEDS))))
    first = rows[(rows[SEEDS] == list(pairs[0])).all(axis=1)]
    return Chosen(first, [name for name in methods if name in set(first["method"])], pairs[0], len(pairs) > 1)


def broken_promises(rows: pd.DataFrame, by: float = BROKEN_BY) -> pd.DataFrame:
    """Rows of a predictions table whose prediction lies more than `by` above the truth, the worst first."""
    rows = by_excess(rows)
    return rows[rows["excess"] > by]


def by_excess(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of a predictions table with a column `excess`, predicted minus true score: the most promised first, NaN last."""
    excess = rows["predicted_score"] - rows["true_score"]
    return rows.assign(excess=excess).sort_values("excess", ascending=False, kind="stable")


@styled
def promises(
    predictions: pd.DataFrame,
    quality: str = "dice",
    methods: Sequence[str] | None = None,
    source_domain: str | None = None,
    by: float = BROKEN_BY,
) -> Figure:
    """Predicted against true score, a panel per method: the source grey, targets above it in the method's colour, and
    broken promises, predicted more than `by` above the truth, in red and counted.

    Only methods that estimate make promises; those that only rank are left out, if there are others. With several pairs
    of seeds the first is drawn, and named.
    """
    chosen = _chosen(predictions, quality, methods)
    estimating = [name for name in chosen.methods if chosen.rows.loc[chosen.rows["method"] == name, "estimates"].any()]
    names, title = estimating or chosen.methods, quality_titles([quality])[quality]
    columns = min(3, len(names))
    lines = -(-len(names) // columns)
    side = min(3.9 if columns > 1 else 4.6, (WIDTH - 0.6) / columns)
    fig = Figure(figsize=(side * columns + 0.6 + (columns == 1), (side + 0.35) * lines + 0.9), layout="constrained")
    axes = fig.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel()
    low, high = (float(f(chosen.rows["predicted_score"])) for f in (np.min, np.max))
    for number, (ax, name) in enumerate(zip(axes, names)):
        _promises_of(ax, chosen.rows[chosen.rows["method"] == name], name, number, source_domain, by)
        ax.set(xlim=(-0.03, 1.03), ylim=(min(0.0, low) - 0.03, max(1.0, high) + 0.03))
        ax.set(xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
    for ax in axes[len(names) :]:
        ax.axis("off")
    fig.supxlabel(f"true {title} of a slice{chosen.note}")
    fig.supylabel(f"predicted {title}" if estimating else rank_title(names))
    handles = [_dots(CLEAN.colour, "o", "source")] if source_domain in set(chosen.rows["domain"]) else []
    handles += [
        _dots(method_cue(name, i).colour, method_cue(name, i).marker, f"{name}, targets") for i, name in enumerate(names)
    ]
    handles += [_dots(BROKEN.colour, BROKEN.marker, f"broken: predicted − true > {by:g}")]
    handles += [Line2D([], [], color="0.3", lw=1, ls="--", label="predicted = true")]
    fig.legend(handles=handles, loc="outside upper center", ncols=min(3, columns + 1), handletextpad=0.4)
    return fig


def _promises_of(ax: Axes, rows: pd.DataFrame, name: str, number: int, source_domain: str | None, by: float) -> None:
    source, cue = rows["domain"] == source_domain, method_cue(name, number)
    broken = rows["predicted_score"] - rows["true_score"] > by
    ax.plot([0, 1], [0, 1], color="0.3", lw=1, ls="--", zorder=1.5)
    ax.fill_between([0, 1], [by, 1 + by], [2, 2], color=BROKEN.colour, alpha=0.07, lw=0)
    layers = (
        (source & ~broken, CLEAN.colour, "o", 12), (~source & ~broken, cue.colour, cue.marker, 16),
        (broken, BROKEN.colour, BROKEN.marker, 26),
    )  # fmt: skip
    for chosen, colour, marker, size in layers:
        points = rows[chosen]
        ax.scatter(points["true_score"], points["predicted_score"], s=size, marker=marker, color=colour, lw=0, alpha=0.7)
    targets = rows[~source]
    pairs = targets[["predicted_score", "true_score"]]
    r = pearson(*pairs.to_numpy().T) if (pairs.nunique() > 1).all() else np.nan  # of a constant there is none
    ax.set_title(f"{name}\nbroken: {int((broken & ~source).sum())} of {len(targets)}")
    if np.isfinite(r):  # over all targets together; the tables have it domain by domain
        ax.text(0.97, 0.03, f"all targets:\nr = {r:.2f}", transform=ax.transAxes, ha="right", va="bottom")


def _dots(colour: str, marker: str, label: str) -> Line2D:
    return Line2D([], [], ls="none", marker=marker, color=colour, ms=7, mew=0, label=label)


def risk_curve(confidence: np.ndarray, true_score: np.ndarray) -> np.ndarray:
    """Selective risk (n,) at coverage 1/n ... 1: the mean of 1 - true score over the k most confident of n slices.

    Slices of equal confidence have no order, so each counts with the mean of its ties; the mean of the curve is
    `metrics.aurc`.
    """
    table = pd.DataFrame({"confidence": np.asarray(confidence, float), "risk": 1 - np.asarray(true_score, float)})
    expected = table.groupby("confidence")["risk"].transform("mean").to_numpy()
    order = np.argsort(-table["confidence"].to_numpy(), kind="stable")
    return np.cumsum(expected[order]) / np.arange(1, len(table) + 1)


@styled
def risk_coverage(
    predictions: pd.DataFrame,
    domain: str,
    quality: str = "dice",
    methods: Sequence[str] | None = None,
    points: Mapping[str, tuple[float, float]] | None = None,
) -> Figure:
    """Risk-coverage curves on one domain, a panel per method: the method, the oracle and a random order.

    Slices are released in the order of falling confidence; the height is the mean risk, 1 - true score, of those that are
    released. The oracle knows the true scores. The shaded area between method and oracle is the eAURC of `metrics`, since
    each slice is a step of width 1/n. The other methods are grey in each panel.

    Args:
        domain: of one scanner, as the eAURC of metrics.csv.
        points: name -> (coverage, risk) of rankings from elsewhere, such as a student's, drawn in every panel.
    """
    chosen = _chosen(predictions[predictions["domain"] == domain], quality, methods)
    names, title = chosen.methods, quality_titles([quality])[quality]
    scores = {name: chosen.rows[chosen.rows["method"] == name] for name in names}
    pairs = {name: [rows[c].to_numpy(float) for c in ("predicted_score", "true_score")] for name, rows in scores.items()}
    curves = {name: risk_curve(*pair) for name, pair in pairs.items()}
    true = pairs[names[0]][1]
    oracle, random = risk_curve(true, true), float(np.mean(1 - true))
    columns = 2 if len(names) == 4 else min(3, len(names))
    lines = -(-len(names) // columns)
    fig = Figure(figsize=(WIDTH if columns > 1 else 6.8, 2.7 * lines + 1.1), layout="constrained")
    axes = fig.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for number, (ax, name) in enumerate(zip(axes, names)):
        for other, curve in curves.items():
            if other != name:
                _steps(ax, curve, color="0.75", lw=1, zorder=1.5)
        cue = method_cue(name, number)
        edges = np.linspace(0, 100, len(oracle) + 1)
        below, above = (np.r_[curve, curve[-1]] for curve in (oracle, curves[name]))
        ax.fill_between(edges, below, above, step="post", color=cue.colour, alpha=0.3, hatch=cue.hatch, lw=0)
        ax.axhline(random, color="0.3", lw=1, ls=":")
        _steps(ax, oracle, color=BLACK, lw=1.3, ls="--")
        _steps(ax, curves[name], color=cue.colour, lw=2)
        for mark, (coverage, risk) in zip("*Phd", (points or {}).values()):
            ax.plot([100 * coverage], [risk], ls="none", marker=mark, ms=11, color="white", mec=BLACK, mew=1.2, zorder=4)
        ax.set_title(f"{name}\neAURC {eaurc(*pairs[name]):.{METRICS['eaurc'].digits}f}")
        ax.set(xlim=(0, 100), xticks=[0, 50, 100])
    axes[0].set_ylim(0, 1.15 * max(random, *(curve.max() for curve in curves.values())) or 1)
    for ax in axes[len(names) :]:
        ax.axis("off")
    fig.supxlabel(f"coverage: slices released, the most confident first (%), {domain}, n = {len(true)}{chosen.note}")
    fig.supylabel(f"risk: mean of 1 − {title}\nof what is released")
    handles = [
        Patch(fc="0.6", alpha=0.6, label="eAURC: area to the oracle"),
        Line2D([], [], color=BLACK, ls="--", label="oracle"),
    ]
    handles += [Line2D([], [], color="0.3", ls=":", label="random order")]
    handles += [Line2D([], [], color="0.75", label="other methods")] if len(names) > 1 else []
    handles += [
        Line2D([], [], ls="none", marker=m, ms=10, mfc="white", mec=BLACK, label=n) for m, n in zip("*Phd", points or {})
    ]
    fig.legend(handles=handles, loc="outside upper center", ncols=2 if columns == 1 else 4 if len(handles) == 4 else 3)
    return fig


def _steps(ax: Axes, curve: np.ndarray, **style: object) -> None:
    """A step of width 1/n per slice."""
    ax.step(np.linspace(0, 100, len(curve) + 1), np.r_[curve, curve[-1]], where="post", **style)
