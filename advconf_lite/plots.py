"""The lessons' figures of images and training; those of scores come from `plots_scores`.

Every function returns a matplotlib `Figure` and shows nothing; `show` does.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator

from advconf_lite.plot_style import (
    BLACK,
    BLUE,
    CLASSES,
    CUES,
    METHODS,
    QUALITIES,
    VERMILLION,
    method_cue,
    ordered,
    plain_array,
    png,
    show,
    styled,
)
from advconf_lite.plots_scores import figure2, figure3, scatter, score_histogram
from advconf_lite.support.errors import BadInput

__all__ = [
    "Perturbed",
    "figure1",
    "figure2",
    "figure3",
    "figure4",
    "learning_curves",
    "png",
    "samples",
    "scatter",
    "score_histogram",
    "show",
]


@styled
def samples(
    images: Any,
    masks: Any = None,
    titles: list[str] | None = None,
    class_names: list[str] = (),
    spacing_mm: float = 1.0,
    columns: int = 4,
) -> Figure:
    """A grid of images with the outline of every class.

    Args:
        images: (N, H, W) or (N, 1, H, W).
        masks: (N, H, W) label maps, or None.
        titles: N strings.
        class_names: foreground classes, label 1 first.
        spacing_mm: pixel size, for the scale bar.
    """
    images = plain_array(images).reshape(-1, *plain_array(images).shape[-2:])
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    fig = Figure(figsize=(1.8 * columns, 2.05 * rows + 0.3), layout="constrained")
    axes = fig.subplots(rows, columns, squeeze=False).ravel()
    for number, ax in enumerate(axes):
        ax.axis("off")
        if number < len(images):
            _image(ax, images[number])
            if masks is not None:
                _outlines(ax, plain_array(masks)[number], len(class_names))
            if titles:
                ax.set_title(titles[number])
    _scale_bar(axes[0], images.shape[-2:], spacing_mm)
    if masks is not None and class_names:
        _class_legend(fig, class_names)
    return fig


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


class Perturbed(NamedTuple):
    """What one head's perturbation did to an image: pairs are (before, after)."""

    image: Any  # (H, W), x + delta
    mask: Any  # (H, W), the segmenter's mask of it
    predicted: tuple[float, float]
    true: tuple[float, float]


@styled
def figure4(
    image: Any, mask: Any, heads: dict[str, Perturbed], class_names: list[str] = (), spacing_mm: float = 1.0
) -> Figure:
    """The paper's Figure 4, a row per head: image, perturbation, perturbed image, and the masks of both.

    Args:
        image: (H, W), z-scored.
        mask: (H, W), the segmenter's mask of the image as it is.
        heads: title of the row -> `Perturbed`.
    """
    image, mask = plain_array(image).squeeze(), plain_array(mask).squeeze()
    cases = {
        name: case._replace(image=plain_array(case.image).squeeze(), mask=plain_array(case.mask).squeeze())
        for name, case in heads.items()
    }
    deltas = [case.image - image for case in cases.values()]
    limit = max(1e-6, *(float(np.percentile(np.abs(delta), 99.5)) for delta in deltas))
    window = np.percentile(image, [1, 99])
    classes = len(class_names) or int(max(mask.max(), *(case.mask.max() for case in cases.values())))
    crop = _crop([mask, *(case.mask for case in cases.values())])

    fig = Figure(figsize=(7.6, 1.95 * len(cases) + 0.8), layout="compressed")
    axes = fig.subplots(len(cases), 5, squeeze=False)
    for ax, title in zip(
        axes[0], ("image $x$", r"perturbation $\delta$", r"$x' = x + \delta$", "mask of $x$", "mask of $x'$")
    ):
        ax.set_title(title)
    for row, (name, case), delta in zip(axes, cases.items(), deltas):
        _image(row[0], image, window)
        coloured = row[1].imshow(delta, cmap=matplotlib.colormaps["PuOr"].resampled(21), vmin=-limit, vmax=limit)
        _image(row[2], case.image, window)
        for ax, shown, labels, number in ((row[3], image, mask, 0), (row[4], case.image, case.mask, 1)):
            _image(ax, shown[crop], window)
            _outlines(ax, labels[crop], classes)
            ax.set_xlabel(f"predicted {case.predicted[number]:.2f}\ntrue {case.true[number]:.2f}")
        for ax in row:
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        row[0].set_ylabel(name)
        size = np.linalg.norm(delta) / max(np.linalg.norm(image), 1e-12)
        row[1].set_xlabel(rf"$\|\delta\| / \|x\|$ = {size:.3f}")
    _scale_bar(axes[0, 0], image.shape, spacing_mm)
    _scale_bar(axes[0, 3], image[crop].shape, spacing_mm)
    bar = fig.colorbar(coloured, ax=list(axes[:, 1]), location="bottom", shrink=0.9, aspect=18, pad=0.02)
    bar.set_label("change of intensity\n(standard deviations)", fontsize=8)
    if class_names:
        fig.legend(handles=_class_handles(class_names), loc="lower right", ncols=len(class_names), handlelength=2.6)
    return fig


def _crop(masks: list[np.ndarray]) -> tuple[slice, slice]:
    """The square around all foreground, with a margin, so that a small change of the outline can be seen."""
    foreground = np.any([mask > 0 for mask in masks], axis=0)
    if not foreground.any():
        return np.s_[:, :]
    edges = [np.flatnonzero(foreground.any(axis))[[0, -1]] for axis in (1, 0)]
    half = max(high - low for low, high in edges) * 0.65 + 4
    starts = [max(0, int((low + high) / 2 - half)) for low, high in edges]
    return tuple(slice(start, int(start + 2 * half)) for start in starts)


def _image(ax: Axes, image: np.ndarray, window: Any = None) -> None:
    low, high = np.percentile(image, [1, 99]) if window is None else window
    # A narrow range would only make noise of a flat image visible.
    grey = matplotlib.colormaps["gray"].resampled(64)  # more cannot be told apart on a screen and only cost bytes
    ax.imshow(image, cmap=grey, vmin=low, vmax=max(high, low + 1e-6))
    ax.grid(False)


def _outlines(ax: Axes, mask: np.ndarray, classes: int) -> None:
    # Neighbours share a border; label 1 is drawn last, on top.
    for label in range(max(classes, int(mask.max())), 0, -1):
        inside = np.pad(mask == label, 1)  # so that an outline closes at the border of the image
        if inside.any():
            cue = CLASSES[(label - 1) % len(CLASSES)]
            height, width = inside.shape
            ax.contour(
                np.arange(width) - 1,
                np.arange(height) - 1,
                inside,
                levels=[0.5],
                colors=[cue.colour],
                linewidths=1.2,
                linestyles=[cue.line],
            )
    ax.set(xlim=(-0.5, mask.shape[1] - 0.5), ylim=(mask.shape[0] - 0.5, -0.5))


def _scale_bar(ax: Axes, shape: tuple[int, int], spacing_mm: float) -> None:
    """A round length of about a quarter of the width."""
    quarter = shape[1] * spacing_mm / 4
    length = max((mm for mm in (1, 2, 5, 10, 20, 50, 100) if mm <= quarter), default=quarter)
    right, bottom = shape[1] * 0.95, shape[0] * 0.94
    rim = {"foreground": "black"}  # white alone vanishes over bright tissue
    ax.plot([right - length / spacing_mm, right], [bottom, bottom], color="white", lw=2, solid_capstyle="butt",
            path_effects=[withStroke(linewidth=3.5, **rim)])  # fmt: skip
    ax.text(right, bottom - 0.03 * shape[0], f"{length:g} mm", color="white", ha="right", va="bottom", fontsize=7,
            path_effects=[withStroke(linewidth=2.5, **rim)])  # fmt: skip


def _class_handles(class_names: list[str]) -> list[Line2D]:
    return [Line2D([], [], color=cue.colour, ls=cue.line, lw=2, label=name) for cue, name in zip(CLASSES, class_names)]


def _class_legend(fig: Figure, class_names: list[str]) -> None:
    fig.legend(
        handles=_class_handles(class_names),
        loc="outside lower center",
        ncols=len(class_names),
        handlelength=2.6,
    )
