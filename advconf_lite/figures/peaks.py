"""The histogram of true scores, with the peak that a rule of scoring made."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from advconf_lite.figures.style import BROKEN, CLEAN, WIDTH, styled


@styled
def two_peaks(table: pd.DataFrame) -> Figure:
    """How often each true Dice occurs: slices on which a class was drawn that the truth lacks, stacked on all others.

    Args:
        table: columns dice and lone.
    """
    fig = Figure(figsize=(WIDTH, 3.2), layout="constrained")
    ax = fig.subplots()
    parts = [table.loc[~table["lone"], "dice"], table.loc[table["lone"], "dice"]]
    labels = "all other slices", "a class drawn that the truth lacks"
    _, _, bars = ax.hist(parts, bins=np.linspace(0, 1, 26), stacked=True, color=[CLEAN.colour, BROKEN.colour], label=labels,
                         edgecolor="white", lw=0.5)  # fmt: skip
    for bar in bars[1]:
        bar.set_hatch(BROKEN.hatch)
    ax.set(xlim=(0, 1), xlabel="true Dice of a slice, all scanners", ylabel="slices")
    fig.legend(loc="outside upper center", ncols=2)
    return fig
