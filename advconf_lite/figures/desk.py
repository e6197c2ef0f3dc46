"""The triage desk's picture: a pile of slices, those that are sent back, and that point of the risk-coverage curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil

import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from advconf_lite.figures.kept import KeptFigure
from advconf_lite.figures.outlines import Outlined
from advconf_lite.figures.panels import crop_around
from advconf_lite.figures.style import BLACK, BLUE, BROKEN, VERMILLION, WIDTH, plain_array, styled

SIDE = 64  # pixels of a slice in the pile
FEW = 30  # slices, of which six stand in a row: large enough for an order by eye
USUAL = 0.05  # where fewer of the slices have an organ than this share, the pile is cropped
GREY_OUT = 0.62  # how far what is sent back fades


def columns_of(n: int) -> int:
    """Slices in a row of a pile of n."""
    return 6 if n <= FEW else 10


def pile(cases: Sequence[Outlined]) -> np.ndarray:
    """The slices with their outlines as one image (rows, columns, RGB), 0 ... 1; a tile of `SIDE` pixels each."""
    images, masks = (
        [plain_array(each).squeeze() for each in some] for some in zip(*((c.image, c.prediction) for c in cases))
    )
    usual = np.mean([mask > 0 for mask in masks], axis=0) > USUAL
    box = crop_around([usual])
    columns = columns_of(len(cases))
    sheet = np.ones((ceil(len(cases) / columns) * SIDE, columns * SIDE, 3))
    for number, (image, mask) in enumerate(zip(images, masks)):
        image, mask = image[box], mask[box]
        low, high = np.percentile(image, [1, 99])
        grey = np.clip((image - low) / max(high - low, 1e-6), 0, 1)
        down, across = (np.arange(SIDE) * length // SIDE for length in image.shape)
        tile = np.repeat(grey[np.ix_(down, across)][..., None], 3, axis=2)
        large = np.pad(mask[np.ix_(down, across)], 1, mode="edge")
        inner = large[1:-1, 1:-1]
        beside = (large[:-2, 1:-1], large[2:, 1:-1], large[1:-1, :-2], large[1:-1, 2:])
        edge = np.any([inner != other for other in beside], axis=0)
        tile[edge] = to_rgb(VERMILLION)
        tile[:, -1] = tile[-1] = 1.0
        top, left = number // columns * SIDE, number % columns * SIDE
        sheet[top : top + SIDE, left : left + SIDE] = tile
    return sheet


class DeskFigure:
    """Makes its figure with the first drawing, and changes it with each further one.

    Args:
        cases: the slices of the pile, numbered from 1.
        curves: ranking -> selective risk (n,) at coverage 1/n ... 1; with "oracle".
        random: risk of a random order.
    """

    def __init__(
        self, cases: Sequence[Outlined], curves: Mapping[str, np.ndarray], random: float, quality: str, failed_below: float
    ) -> None:
        self.cases, self.curves, self.random = list(cases), dict(curves), random
        self.quality, self.failed_below = quality, failed_below
        self.kept: KeptFigure | None = None

    def draw(self, ranking: str, sent_back: np.ndarray, coverage: float, risk: float, reveal: bool) -> Figure | np.ndarray:
        """
        Args:
            sent_back: (n,) share of each slice that is sent back: 0, 1, or between where ties are cut.
            coverage, risk: the point; no risk where nothing is released.
            reveal: frame the failures.
        """
        if self.kept is None:
            self._start()
        failed = np.array([case.true < self.failed_below for case in self.cases])
        self.shade.set_facecolor([(1, 1, 1, GREY_OUT * share) for share in sent_back])
        self.frames.set_edgecolor([(*to_rgb(BROKEN.colour), float(shown)) for shown in failed & reveal])
        self.curve.set_data(*_steps(self.curves[ranking]))
        self.point.set_data([100 * coverage], [risk])
        return self.kept.picture()

    @styled
    def _start(self) -> None:
        sheet = pile(self.cases)
        rows, columns = len(sheet) / SIDE, columns_of(len(self.cases))
        wide = 0.66 * WIDTH
        fig = Figure(figsize=(WIDTH, max(3.4, wide * rows / columns + 0.85)), layout="constrained")
        left, right = fig.subplots(1, 2, width_ratios=(0.66, 0.34))
        left.imshow(sheet, interpolation="antialiased")
        tiles = [_square(number, columns) for number in range(len(self.cases))]
        self.shade = left.add_collection(PolyCollection(tiles, edgecolors="none"))
        self.frames = left.add_collection(PolyCollection(tiles, facecolors="none", linewidths=3))
        left.axis("off")
        for number in range(len(self.cases)):
            place = (number % columns * SIDE + 4, number // columns * SIDE + 4)
            left.text(*place, f"{number + 1}", color="white", va="top", fontsize=9,
                      path_effects=[withStroke(linewidth=2, foreground="black")])  # fmt: skip
        for curve in self.curves.values():
            right.plot(*_steps(curve), color="0.8", lw=1, drawstyle="steps-post")
        right.plot(*_steps(self.curves["oracle"]), color=BLACK, lw=1.3, ls="--", label="oracle", drawstyle="steps-post")
        right.axhline(self.random, color="0.3", lw=1, ls=":", label="random order")
        (self.curve,) = right.plot([], [], color=BLUE, lw=2, label="this ranking", drawstyle="steps-post")
        (self.point,) = right.plot(
            [], [], ls="none", marker="*", ms=15, mfc="white", mec=BLACK, mew=1.3, label="you", zorder=5
        )
        top = 1.15 * max(self.random, *(float(curve.max()) for curve in self.curves.values()))
        right.set(xlim=(0, 103), xticks=[0, 50, 100], ylim=(0, top or 1))
        right.set(xlabel="released (%)", ylabel=f"mean of 1 − {self.quality}\nof what is released")
        handles = [
            *right.get_legend_handles_labels()[0],
            Patch(fc="0.85", ec="0.5", label="pale: sent back"),
            Patch(fc="none", ec=BROKEN.colour, lw=2.5, label=f"{self.quality} below {self.failed_below:g}"),
        ]
        fig.legend(handles=handles, loc="outside lower center", ncols=6, handlelength=1.4, columnspacing=1.1)
        self.kept = KeptFigure(fig, moving=[self.shade, self.frames, self.curve, self.point])


def _square(number: int, columns: int) -> list[tuple[float, float]]:
    """The corners of a slice's tile, within its white rim."""
    left, top = number % columns * SIDE + 0.5, number // columns * SIDE + 0.5
    right, bottom = left + SIDE - 3, top + SIDE - 3
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def _steps(curve: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A step of width 1/n for each slice, in per cent."""
    return np.linspace(0, 100, len(curve) + 1), np.r_[curve, curve[-1]]
