"""Two ways to split the same slices, and what the same segmenter then seems to be worth."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from advconf_lite.figures.style import BLACK, BROKEN, CLEAN, WIDTH, styled


@styled
def two_splits(table: pd.DataFrame) -> Figure:
    """A row per kind of split, a dot per split, a line at their mean.

    Args:
        table: columns `split` and `dice`; the first kind is drawn as the promise that was not kept.
    """
    kinds = list(dict.fromkeys(table["split"]))
    fig = Figure(figsize=(WIDTH, 0.7 * len(kinds) + 1.1), layout="constrained")
    ax = fig.subplots()
    for row, (kind, cue) in enumerate(zip(kinds, (BROKEN, CLEAN))):
        dice = table.loc[table["split"] == kind, "dice"]
        ax.plot(dice, [row] * len(dice), ls="none", marker=cue.marker, ms=7, color=cue.colour, alpha=0.6, mew=0.5)
        ax.plot([dice.mean()] * 2, [row - 0.3, row + 0.3], color=BLACK, lw=2.5)
        ax.text(dice.mean(), row - 0.33, f"mean {dice.mean():.2f}", ha="center", va="bottom")
    ax.set(xlim=(-0.02, 1.02), ylim=(len(kinds) - 0.5, -0.75), xlabel="validation Dice of copied masks")
    ax.set_yticks(range(len(kinds)), [f"split {kind}" for kind in kinds])
    ax.grid(False, axis="y")
    return fig
