"""What a segmenter is worth, and how sure it is: slice by slice, and scanner by scanner."""

from __future__ import annotations

import pandas as pd
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from advconf_lite.figures.style import BLUE, BROKEN, CLEAN, PURPLE, SKY, WIDTH, ordered, styled


@styled
def certainty_and_truth(table: pd.DataFrame, source: str, failed_below: float, sure_above: float) -> Figure:
    """Left: a point per slice, true Dice against the network's certainty, silent failures in red with their count.
    Right: the medians of both per scanner.

    Args:
        table: columns domain, dice, certainty; slices without a certainty are not drawn on the left.
        failed_below, sure_above: between them lie the silent failures.
    """
    names = ordered(table["domain"], [source])
    fig = Figure(figsize=(WIDTH, max(3.8, 0.42 * len(names) + 1.6)), layout="constrained")
    left, right = fig.subplots(1, 2)
    silent = (table["dice"] < failed_below) & (table["certainty"] > sure_above)
    home = table["domain"] == source
    for rows, colour, marker, label in (
        (table[~home & ~silent], SKY, "o", "targets"),
        (table[home & ~silent], CLEAN.colour, "s", "source"),
        (table[silent], BROKEN.colour, BROKEN.marker, f"silent failures: {int(silent.sum())}"),
    ):
        left.plot(rows["dice"], rows["certainty"], ls="none", marker=marker, ms=5, mew=0.4, color=colour, alpha=0.7,
                  mec="white", label=label)  # fmt: skip
    low = min(0.5, table["certainty"].min()) if table["certainty"].notna().any() else 0.5
    corner = (-0.03, sure_above), failed_below + 0.03, 1.02 - sure_above
    left.add_patch(Rectangle(*corner, fc=(*to_rgb(BROKEN.colour), 0.08), ec=BROKEN.colour, ls="--", zorder=0))
    left.set(xlim=(-0.03, 1.03), ylim=(low - 0.02, 1.02), xlabel="true Dice of a slice",
             ylabel="certainty: mean probability\nof what was drawn")  # fmt: skip
    medians = table.groupby("domain")[["dice", "certainty"]].median().loc[names]
    places = range(len(names))
    right.hlines(places, medians["dice"], medians["certainty"], color="0.7", lw=2)
    right.plot(medians["dice"], places, ls="none", marker="o", ms=9, color=BLUE, label="true Dice")
    right.plot(medians["certainty"], places, ls="none", marker="D", ms=8, color=PURPLE, label="certainty")
    right.set(xlim=(-0.03, 1.03), ylim=(len(names) - 0.5, -0.5), xlabel="median of a scanner's slices")
    right.set_yticks(places, [f"{name} (source)" if name == source else str(name) for name in names])
    right.grid(False, axis="y")
    for ax, columns in ((left, 3), (right, 2)):
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=columns, handletextpad=0.1, columnspacing=0.8)
    return fig
