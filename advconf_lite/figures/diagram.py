"""One drawing of the U-Net, the place where z is read, and the head. Every lesson that needs it uses this one."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from advconf_lite.figures.style import BLUE, GREEN, WIDTH, styled

FROZEN, TRAINED = {"fc": "0.9", "ec": "0.35"}, {"fc": "#D6E8F5", "ec": BLUE, "lw": 2}


@styled
def network_and_head(num_classes: int = 1, channels: tuple[int, int, int, int] = (32, 64, 128, 256)) -> Figure:
    r"""The frozen segmenter $f_\theta$, the features z at a quarter of the image's resolution, and the head $C_\phi$.

    Args:
        num_classes: foreground classes, each of which gets a predicted score.
        channels: of the four levels; the paper's by default.
    """
    fig = Figure(figsize=(WIDTH, 4.5), layout="constrained")
    ax = fig.subplots()
    ax.set(xlim=(0, 17.8), ylim=(0.4, 9.2))
    ax.axis("off")
    result = {"fc": "white", "ec": "0.2"}
    _box(ax, 0.1, 7.0, 1.9, 1.3, "image $x$\nH × W", result)
    for level, y in enumerate((7.0, 4.9, 2.8)):
        scale = "H × W" if level == 0 else f"H/{2**level} × W/{2**level}"
        _box(ax, 2.7 + 0.7 * level, y, 2.1, 1.3, f"{channels[level]}\n{scale}", FROZEN)
        tap = {"ec": GREEN, "lw": 3, "size": 16} if level == 2 else {}
        _box(ax, 8.2 - 0.7 * level, y, 2.1, 1.3, "$z$" if tap else f"{channels[level]}\n{scale}", FROZEN | tap)
        _arrow(ax, (4.8 + 0.7 * level, y + 0.65), (8.2 - 0.7 * level, y + 0.65), color="0.55", ls="--")
    _box(ax, 5.4, 0.7, 2.2, 1.3, f"{channels[3]}\nH/8 × W/8", FROZEN)
    down = ((4.0, 7.0), (4.2, 6.2)), ((4.7, 4.9), (4.9, 4.1)), ((5.4, 2.8), (5.8, 2.0))
    up = ((7.2, 2.0), (7.7, 2.8)), ((8.1, 4.1), (8.3, 4.9)), ((8.8, 6.2), (9.0, 7.0))
    for start, end in (((2.0, 7.65), (2.7, 7.65)), *down, *up, ((10.3, 7.65), (11.2, 7.65))):
        _arrow(ax, start, end)
    _box(ax, 11.2, 7.0, 2.4, 1.3, "mask $\\hat{y}$\nH × W", result)
    ax.text(13.9, 7.65, "may be wrong\nwithout a sign", color="0.25", va="center")
    for x, text in ((10.1, "1 × 1 and two\n3 × 3 blocks:\n8 channels"), (12.8, "two fully\nconnected\nlayers")):
        _box(ax, x, 2.4, 2.4, 2.1, text, TRAINED)
    many = "\na class" if num_classes > 1 else ""
    _box(ax, 15.5, 2.4, 2.2, 2.1, f"score $\\hat{{s}}$\none number{many}", {"fc": "white", "ec": BLUE, "lw": 2})
    for start, end, colour in ((8.9, 10.1, GREEN), (12.5, 12.8, BLUE), (15.2, 15.5, BLUE)):
        _arrow(ax, (start, 3.45), (end, 3.45), color=colour, lw=2.2)
    ax.text(6.5, 8.7, r"segmenter $f_\theta$: trained once, then frozen", ha="center", weight="bold", color="0.25")
    ax.text(13.9, 4.8, r"head $C_\phi$: trained", ha="center", weight="bold", color=BLUE)
    words = "the tap: features of the\npenultimate resolution level,\nread and never changed"
    ax.text(8.4, 2.1, words, color=GREEN, va="top", weight="bold")
    return fig


def _box(ax: Axes, x: float, y: float, width: float, height: float, text: str, look: dict[str, Any]) -> None:
    look = dict(look)
    size = look.pop("size", None)
    box = FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=0.15", **{"lw": 1.3, **look})
    ax.add_patch(box)
    ax.text(x + width / 2, y + height / 2, text, ha="center", va="center", **({"size": size} if size else {}))


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], color: str = "0.25", **look: Any) -> None:
    ax.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=13, color=color, shrinkA=0, shrinkB=0,
                                 **{"lw": 1.4, **look}))  # fmt: skip
