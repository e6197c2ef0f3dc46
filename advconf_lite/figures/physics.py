"""Figures of the virtual scanner's physics."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from advconf_lite.figures.style import BLACK, GREEN, PURPLE, WIDTH, styled
from advconf_lite.phantom.contrast import CONTRASTS


@styled
def contrast_figure(organ: str = "cardiac") -> Figure:
    """Signal of an organ and its neighbour by the knob that decides on their contrast, at 1.5 T and 3 T; and its two
    values of `CONTRASTS`, with the ratio of the signals at each, at the source's field."""
    of = CONTRASTS[organ]
    values = np.linspace(*of.values, 120)
    figure = Figure(figsize=(WIDTH, 4.0), layout="constrained")
    ax = figure.subplots()
    for field_T, colour in ((1.5, GREEN), (3.0, PURPLE)):
        for tissue, line in ((of.bright, "-"), (of.dark, "--")):
            ax.plot(values, 100 * of.signal(tissue, values, field_T), color=colour, ls=line, lw=2,
                    label=f"{tissue}, {field_T:g} T")  # fmt: skip
    top = ax.get_ylim()[1]
    for value, name in ((of.start, "source"), (of.changed, "changed")):
        ax.axvline(value, color=BLACK, lw=1, ls=":")
        ax.text(value, 1.02 * top, f"{name}: {value:g}\nratio {of.ratio(value):.1f}", ha="center", va="bottom")
    ax.set(xlabel=of.words, ylabel="signal (% of full magnetisation)", ylim=(0, top))
    figure.legend(loc="outside right center")
    return figure
