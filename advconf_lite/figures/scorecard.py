"""The student's own figure: what was guessed against what is true, over what the head predicted."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from advconf_lite.figures.style import BLACK, method_cue, styled


@styled
def own_scores(
    guessed: np.ndarray,
    true: np.ndarray,
    head: tuple[np.ndarray, np.ndarray] | None = None,
    method: str = "adversarial",
) -> Figure:
    """Guessed against true scores, numbered in their order, with the identity line.

    Args:
        guessed, true: (n,), in units of the score.
        head: predicted and true scores of the slices of a head, drawn small and behind; `method` names it.
    """
    values = np.concatenate([guessed, true, *(head or ())])
    low, high = min(0.0, values.min()) - 0.03, max(1.0, values.max()) + 0.03
    fig = Figure(figsize=(4.2, 3.6), layout="constrained")
    ax = fig.subplots()
    ax.plot([low, high], [low, high], color="0.4", lw=0.8, ls="--", label="right")
    if head is not None:
        cue = method_cue(method)
        ax.scatter(head[1], head[0], s=9, marker=cue.marker, color=cue.colour, alpha=0.3, lw=0, label=f"{method} head")
    ax.scatter(true, guessed, s=70, marker="o", facecolor="white", edgecolor=BLACK, lw=1.2, label="you", zorder=3)
    for number, (x, y) in enumerate(zip(true, guessed), start=1):
        ax.annotate(str(number), (x, y), ha="center", va="center", fontsize=7, zorder=4)
    ax.set(xlim=(low, high), ylim=(low, high), xlabel="true", ylabel="guessed, predicted", aspect="equal")
    fig.legend(loc="outside upper center", ncols=3)
    return fig
