"""How long the profiles take: bars on an axis of powers of ten."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from advconf_lite.figures.style import BLUE, VERMILLION, styled
from advconf_lite.support.errors import BadInput

TICKS = {1: "1 s", 60: "1 min", 3600: "1 h", 86400: "1 day", 30 * 86400: "1 month", 365 * 86400: "1 year"}
LESSON = 3600  # seconds; a longer bar does not fit into a lesson


@styled
def durations(seconds: Mapping[str, float], words: Mapping[str, str]) -> Figure:
    """A bar per profile, and what it says in words at its end; red where it is longer than a lesson of an hour.

    Args:
        seconds, words: profile -> its duration.
    """
    if not seconds or min(seconds.values()) <= 0:
        raise BadInput("a bar of a duration needs more than 0 seconds; measure at least one step")
    fig = Figure(figsize=(8.6, 0.62 * len(seconds) + 1.1), layout="constrained")
    ax = fig.subplots()
    colours = [VERMILLION if value > LESSON else BLUE for value in seconds.values()]
    ax.barh(list(seconds), list(seconds.values()), color=colours, height=0.6, left=0.5)
    for place, (name, value) in enumerate(seconds.items()):
        place, clear = (value + 0.5, place), {"fc": "white", "ec": "none", "pad": 1}  # of the dashed line
        ax.annotate(words[name], place, xytext=(6, 0), textcoords="offset points", va="center", bbox=clear)
    ax.axvline(LESSON, color="0.3", lw=1, ls="--")
    ax.set_xscale("log")
    ax.set_xlim(0.5, 40 * max(LESSON, *seconds.values()))
    ax.xaxis.set_major_locator(FixedLocator([tick for tick in TICKS if tick < 40 * max(LESSON, *seconds.values())]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(lambda value, _: TICKS.get(round(value), ""))
    ax.set(xlabel="training on this machine; dashed: an hour")
    ax.invert_yaxis()
    ax.grid(False, axis="y")
    return fig
