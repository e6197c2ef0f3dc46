"""Figures of the virtual scanner's physics."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from advconf_lite.figures.style import GREEN, PURPLE, styled
from advconf_lite.phantom.scanner import bssfp_signal
from advconf_lite.phantom.tissue import INDEX, relaxation


@styled
def contrast_figure() -> Figure:
    """bSSFP signal of blood and myocardium by flip angle, at 1.5 T and 3 T (TR 3.0 ms, TE 1.5 ms)."""
    angles = np.linspace(5, 90, 86)
    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    ax = figure.subplots()
    for field_T, colour in ((1.5, GREEN), (3.0, PURPLE)):
        for tissue, line in (("blood", "-"), ("myocardium", "--")):
            signal = 100 * bssfp_signal(*relaxation(field_T)[INDEX[tissue]], 3.0, 1.5, angles)
            ax.plot(angles, signal, color=colour, ls=line, label=f"{tissue}, {field_T:g} T")
    ax.set(xlabel="flip angle (degrees)", ylabel="signal (% of full magnetisation)")
    ax.legend()
    return figure
