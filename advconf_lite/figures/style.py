"""How figures look: a colour-blind-safe palette, a second cue beside every colour, the way into a notebook.

A method, a half of the batch and a role in an outline have the same colour in every figure: `method_cue`, `half_cue`,
`TRUTH`. Letters are 11 points at 120 dots an inch, which the last row before a projector can read; `WIDTH` is as wide as a
figure may be, so that a notebook on a screen of 1280 pixels does not scale it down.

Figures are made without pyplot, so no backend, no open window and no global state is involved: they draw the same in a
notebook, in a test and on a machine without a display.
"""

from __future__ import annotations

import functools
import io
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from advconf_lite.figures.captions import bundle, next_number, plain_caption

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

# Each method keeps its cue in every figure: a family has a colour, and its members differ in what replaces the colour.
_DENSE, _LONG, _DOTS = (0, (3, 1)), (0, (7, 2)), (0, (1, 1.5))
METHODS = {
    "plain": CUES[0],
    "adversarial": CUES[1],
    "agreement-2": CUES[2],
    "agreement-15": CUES[3],
    "plain-2b": Cue(ORANGE, "D", "-.", "xx"),
    "finetuned": Cue(BLUE, "^", "--", ".."),
    "adversarial-after-update": Cue(BLUE, "v", ":", "||"),
    "replay": Cue(SKY, "o", "-", "oo"),
    "random-direction": Cue(SKY, "s", "--", "--"),
    "random-phase": Cue(SKY, "^", ":", "OO"),
    "segmenter-attack": Cue(VERMILLION, "P", _LONG, "++++"),
    "strong-augmentation": Cue(VERMILLION, "v", "-.", "**"),
    "oracle-augmentation": Cue(VERMILLION, "*", ":", "//"),
    "adversarial+strong": Cue(BLUE, "P", _DENSE, "++"),
    "severity": Cue(BLUE, "s", "-.", "xx"),
    "overconfidence": Cue(BLUE, "D", _LONG, "oooo"),
    "severity-appearance": Cue(GREEN, "s", "--", ".."),
    "overconfidence-appearance": Cue(GREEN, "^", ":", "//"),
    "random-appearance": Cue(GREEN, "v", _LONG, "**"),
    "quality-regression": Cue(ORANGE, "^", _LONG, "OO"),
    "soft-dice": Cue(BLACK, "o", "-", "//"),
    "ensemble-3": Cue(GREEN, "o", "-", "oo"),
    "mahalanobis": Cue(PURPLE, "d", "-", "++"),
    "entropy-15": Cue(PURPLE, "X", _DENSE, "||||"),
    "entropy-15-foreground": Cue(PURPLE, "p", _DOTS, "oooo"),
    "constant": CUES[6],
}

# Outlines lie on grey images, under a dark rim, so light or saturated colours only.
CLASSES = (
    Cue(VERMILLION, "", "-", ""),
    Cue(SKY, "", "--", ""),
    Cue(YELLOW, "", "-.", ""),
    Cue(GREEN, "", ":", ""),
)
TRUTH = Cue("#FFFFFF", "", "-", "")  # white in every image: the outline that nobody has to guess
CLEAN = Cue("0.45", "o", "-", "\\\\\\\\")
HIT, EXTRA, MISSED = Cue(SKY, "o", "-", ""), Cue(VERMILLION, "X", "--", "////"), Cue(YELLOW, "s", ":", "....")
BROKEN = Cue("#C00000", "X", "-", "xxxx")  # a promise that was not kept; no method has this red

FONT, DPI, WIDTH = 11, 120, 8.6  # points; dots an inch; inches, 1032 pixels
LARGEST = 105_000  # bytes of a PNG; a notebook's output holds it twice, in base64, and stays below 300 kB

STYLE = {
    "font.size": FONT,
    "axes.titlesize": FONT,
    "axes.labelsize": FONT,
    "xtick.labelsize": FONT,
    "ytick.labelsize": FONT,
    "figure.labelsize": FONT,
    "figure.titlesize": FONT,
    "legend.fontsize": FONT,
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
    """The cue of a method, the same in every figure; one that is not in `METHODS` takes a mixture by its position, 30 of
    which differ."""
    if method in METHODS:
        return METHODS[method]
    other = CUES[(position + 1 + position // 6 % 5) % 6]
    return Cue(CUES[position % 6].colour, other.marker, other.line, other.hatch)


def half_cue(name: str, position: int = 0) -> Cue:
    """The cue of a half of the batch: "clean" is grey, as is all of the source, and images perturbed by a method have the
    method's colour."""
    if name == "clean" or name.startswith("source"):
        return CLEAN
    return method_cue("adversarial" if name == "perturbed" else name, position)


def class_cue(label: int) -> Cue:
    """The cue of the outline of a label, from 1; the first four have a colour each, and 16 differ."""
    cue = CLASSES[(label - 1) % len(CLASSES)]
    return cue._replace(line=CLASSES[(label - 1 + (label - 1) // len(CLASSES)) % len(CLASSES)].line)


def ordered(names: Any, known: Any) -> list[str]:
    """Unique names, those in `known` first and in its order, the others as they come."""
    unique, known = list(dict.fromkeys(names)), list(known)
    return sorted(unique, key=lambda name: known.index(name) if name in known else len(known))


def rank_title(names: Any) -> str:
    """What scores that only rank are called on an axis."""
    return "agreement" if all(name.startswith(("agreement", "ensemble")) for name in names) else "score that only ranks"


def quality_titles(names: Any) -> dict[str, str]:
    """Unique qualities, in the order of `quality.QUALITIES` -> their titles; one that it does not have has its own name."""
    from advconf_lite.quality import QUALITIES  # imports torch, which a figure has no other use for

    return {name: QUALITIES[name].title if name in QUALITIES else name for name in ordered(names, QUALITIES)}


def plain_array(values: Any) -> np.ndarray:
    """A numpy array from an array, a tensor on any device, or a list."""
    return values.detach().cpu().numpy() if hasattr(values, "detach") else np.asarray(values)


def png(fig: Figure, dpi: int = DPI) -> bytes:
    """The figure as a PNG with few colours, so that a lesson with its outputs stays small: at most 256, and of photographs,
    whose noise costs most, only as many as fit into `LARGEST`."""
    from PIL import Image  # comes with matplotlib

    raw = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        fig.savefig(raw, format="png", dpi=dpi)
    drawn, best = Image.open(raw).convert("RGB"), raw.getvalue()
    for colours in (256, 128, 64, 32):
        small = io.BytesIO()
        few = drawn.quantize(colours, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        few.save(small, format="png", optimize=True)
        best = min(best, small.getvalue(), key=len)
        if len(best) <= LARGEST:
            break
    return best


def show(fig: Figure, caption: str, alt: str | None = None, dpi: int = DPI, display_id: str | None = None) -> None:
    """Put the figure into the notebook, numbered: "Figure 3. " and the caption below it, and `alt` for who cannot see it.

    The numbers start at 1 in each kernel, and a cell that is run again keeps its number. The PNG is made here and not by
    the notebook's backend, which shows nothing when MPLBACKEND names another one. Outside a notebook only the caption is
    printed. With a `display_id` the picture can be replaced later.

    Args:
        caption: words, and `code` in backticks; no TeX, which a page without a network shows as it is typed.
        alt: what there is to see, in a sentence or two (default: the caption).
    """
    number = next_number(caption)
    if "IPython" in sys.modules and sys.modules["IPython"].get_ipython() is not None:
        from IPython.display import display

        size = tuple(round(inches * dpi) for inches in fig.get_size_inches())
        data, metadata = bundle(png(fig, dpi), number, caption, alt or caption, size)
        display(data, metadata=metadata, raw=True, display_id=display_id)
    else:
        print(plain_caption(number, caption))
    if "matplotlib.pyplot" in sys.modules:  # a pyplot figure would otherwise be shown a second time
        sys.modules["matplotlib.pyplot"].close(fig)
