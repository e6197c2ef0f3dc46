"""How figures look: a colour-blind-safe palette, a second cue beside every colour, the way into a notebook.

Figures are made without pyplot, so no backend, no open window and no global state is involved: they draw the
same in a notebook, in a test and on a machine without a display.
"""

from __future__ import annotations

import base64
import functools
import io
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure

# Okabe & Ito's palette, told apart with every common colour vision deficiency.
BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILLION, PURPLE = (
    "#000000",
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#F0E442",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
)


class Cue(NamedTuple):
    """A colour and what replaces it in grey: marker, line style, hatch."""

    colour: str
    marker: str
    line: Any
    hatch: str


CUES = (
    Cue(ORANGE, "s", "--", "////"),
    Cue(BLUE, "o", "-", ""),
    Cue(PURPLE, "^", ":", "...."),
    Cue(GREEN, "D", "-.", "xxxx"),
    Cue(SKY, "v", (0, (5, 1, 1, 1, 1, 1)), "\\\\\\\\"),
    Cue(VERMILLION, "P", (0, (8, 2)), "++++"),
    Cue(BLACK, "X", (0, (1, 3)), "----"),
)

METHODS = dict(zip(("plain", "adversarial", "agreement-2", "agreement-15"), CUES)) | {"constant": CUES[6]}

# Outlines lie on grey images: light or saturated colours only.
CLASSES = (
    Cue(VERMILLION, "", "-", ""),
    Cue(SKY, "", "--", ""),
    Cue(YELLOW, "", "-.", ""),
    Cue(GREEN, "", ":", ""),
)

STYLE = {
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.labelsize": 8.5,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "0.9",
    "grid.linewidth": 0.6,
    "axes.linewidth": 0.8,
    "lines.linewidth": 1.3,
    "lines.markersize": 4,
    "hatch.linewidth": 0.5,
    "savefig.facecolor": "white",
    "image.interpolation": "nearest",
}


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw under `STYLE`, whatever the user's own matplotlib settings are."""

    @functools.wraps(draw)
    def wrapper(*args: Any, **kwargs: Any) -> Figure:
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(STYLE)
            return draw(*args, **kwargs)

    return wrapper


def method_cue(method: str, position: int = 0) -> Cue:
    """The cue of a method; one that is not in `METHODS` takes a mixture by its position, 30 of which differ."""
    if method in METHODS:
        return METHODS[method]
    other = CUES[(position + 1 + position // 6 % 5) % 6]
    return Cue(CUES[position % 6].colour, other.marker, other.line, other.hatch)


def class_cue(label: int) -> Cue:
    """The cue of the outline of a label, from 1; the first four have a colour each, and 16 differ."""
    cue = CLASSES[(label - 1) % len(CLASSES)]
    return cue._replace(line=CLASSES[(label - 1 + (label - 1) // len(CLASSES)) % len(CLASSES)].line)


def ordered(names: Any, known: Any) -> list[str]:
    """Unique names, those in `known` first and in its order, the others as they come."""
    unique, known = list(dict.fromkeys(names)), list(known)
    return sorted(unique, key=lambda name: known.index(name) if name in known else len(known))


def quality_titles(names: Any) -> dict[str, str]:
    """Unique qualities, in the order of `quality.QUALITIES` -> their titles; one that it does not have has its own name."""
    from advconf_lite.quality import QUALITIES  # imports torch, which a figure has no other use for

    return {name: QUALITIES[name].title if name in QUALITIES else name for name in ordered(names, QUALITIES)}


def plain_array(values: Any) -> np.ndarray:
    """A numpy array from an array, a tensor on any device, or a list."""
    return values.detach().cpu().numpy() if hasattr(values, "detach") else np.asarray(values)


def png(fig: Figure, dpi: int = 90) -> bytes:
    """The figure as a PNG with at most 256 colours, so that a lesson with its outputs stays small."""
    from PIL import Image  # comes with matplotlib

    raw, small = io.BytesIO(), io.BytesIO()
    with matplotlib.rc_context(STYLE):
        fig.savefig(raw, format="png", dpi=dpi)
    Image.open(raw).convert("RGB").quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
        small, format="png", optimize=True
    )
    return min(raw.getvalue(), small.getvalue(), key=len)


def show(fig: Figure, caption: str, alt: str | None = None, dpi: int = 90) -> None:
    """Put the figure into the notebook with alternative text `alt` (default: the caption); print the caption.

    The PNG is made here and not by the notebook's backend, which shows nothing when MPLBACKEND names another
    one. Outside a notebook only the caption is printed.
    """
    if "IPython" in sys.modules and sys.modules["IPython"].get_ipython() is not None:
        from IPython.display import display

        width, height = (round(inches * dpi) for inches in fig.get_size_inches())
        display(
            {
                "image/png": base64.b64encode(png(fig, dpi)).decode(),
                "text/plain": f"Figure: {alt or caption}",
            },
            metadata={"image/png": {"alt": alt or caption, "width": width, "height": height}},
            raw=True,
        )
    print(caption)
    if "matplotlib.pyplot" in sys.modules:  # a pyplot figure would otherwise be shown a second time
        sys.modules["matplotlib.pyplot"].close(fig)
