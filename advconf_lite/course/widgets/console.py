"""Scanner console: turn a scanner's knobs under a slice, and see what the network makes of it.

Every control starts where it does nothing. The challenge: the mildest change, ||change|| / ||x||, that halves the Dice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from advconf_lite.adversarial import relative_norm
from advconf_lite.course.explore import Slider
from advconf_lite.course.pictures import normalised
from advconf_lite.course.widgets.widget import Case, Widget, good_cases, on_device
from advconf_lite.experiment.run import Run
from advconf_lite.figures.console import ConsoleFigure
from advconf_lite.phantom.any_image import ImageScanner
from advconf_lite.phantom.reacquire import reacquire
from advconf_lite.quality import Quality, absent_as_right, aggregate
from advconf_lite.segmenter import Segmenter

AS_IT_IS = "as it is"
COILS = (AS_IT_IS, "body array", "surface array", "endorectal")


class Scan(NamedTuple):
    """A slice as a scanner shows it, and what became of the segmentation.

    x: (1, 1, H, W), normalised anew. y_hat: (1, H, W). quality: a number in [0, 1]. change: ||x' - x|| / ||x||.
    """

    x: Tensor
    y_hat: Tensor
    quality: float
    change: float


def rescanned(
    x: Tensor,
    spacing_mm: float,
    coil: str = AS_IT_IS,
    noise: float = 0.0,
    ghost: float = 0.0,
    resolution: float = 1.0,
    contrast: float = 1.0,
    seed: int = 0,
) -> Tensor:
    """A normalised slice x (1, 1, H, W) as another scanner would have shown it, normalised again.

    Args:
        coil: whose brightness nothing corrects; "as it is" changes none.
        noise: 1 / SNR, of the image's mean above its darkest pixel. The same draw for every setting.
        ghost: amplitude of the error along the phase lines.
        resolution: the acquired voxel, in pixels.
        contrast: exponent of the curve that grey values pass through.
    """
    correction = (
        {"coil": "body array", "coil_correction": 1.0} if coil == AS_IT_IS else {"coil": coil, "coil_correction": 0.0}
    )
    scanner = ImageScanner(
        "console", **correction, snr=1 / noise if noise else math.inf, ghost=ghost, ghost_period=3.0,
        resolution_mm=resolution * spacing_mm, kspace_filter=0.0, contrast=contrast,
    )  # fmt: skip
    image = reacquire(x[0, 0].cpu().numpy(), scanner, spacing_mm, np.random.default_rng(seed))
    return normalised(image)[None].to(x)


@torch.no_grad()
def scan(segmenter: Segmenter, x: Tensor, y: Tensor, g: Quality, spacing_mm: float, **settings: Any) -> Scan:
    """`rescanned` with these settings, segmented and compared with the truth y (1, H, W)."""
    there = rescanned(x, spacing_mm, **settings)
    y_hat = segmenter.masks(there)
    return Scan(there, y_hat, float(aggregate(absent_as_right(g(y_hat, y)))), float(relative_norm(there - x, x)))


class Console(Widget):
    """The widget.

    Attributes:
        now: the scan that was drawn last; home: the same slice unchanged.
        tries: (change, quality) of every picture of this slice so far.
    """

    def __init__(self, run: Run, segmenter: Segmenter, cases: Sequence[Case]) -> None:
        self.segmenter, self.cases = segmenter, on_device(run, cases)
        self.g, self.spacing_mm = run.quality(run.qualities[0]), run.experiment.spacing_mm
        self.title = self.g.measure.title
        self.homes = [scan(segmenter, case.x, case.y, self.g, self.spacing_mm) for case in self.cases]
        self.all_tries: dict[int, list[tuple[float, float]]] = {}
        self.number, self.now = 0, self.homes[0]
        self.figure = ConsoleFigure(run.experiment.class_names, self.spacing_mm, self.title)

    @property
    def home(self) -> Scan:
        return self.homes[self.number]

    @property
    def tries(self) -> list[tuple[float, float]]:
        return self.all_tries[self.number]

    @property
    def before(self) -> float:
        """Quality of the slice as it is."""
        return self.home.quality

    @property
    def mildest(self) -> float | None:
        """The smallest change so far that at least halves the quality of this slice; None: there was none."""
        return min((change for change, quality in self.tries if quality <= self.before / 2), default=None)

    @property
    def answer(self) -> dict[str, float] | None:
        """For `check("halve_the_dice", console.answer, before=console.before)`; None before anything was turned."""
        return {"before": self.before, "after": self.now.quality} if self.now.change > 1e-3 else None

    def draw(self, slice: int = 1, **settings: Any) -> tuple[Figure | np.ndarray, str]:
        self.number = slice - 1
        case = self.cases[self.number]
        self.now = scan(self.segmenter, case.x, case.y, self.g, self.spacing_mm, **settings)
        self.all_tries.setdefault(self.number, []).append((self.now.change, self.now.quality))
        images = (each.cpu().numpy() for each in (self.home.x[0, 0], self.home.y_hat[0], case.y[0], self.now.x[0, 0],
                                                  self.now.y_hat[0]))  # fmt: skip
        fig = self.figure.draw(*images, self.tries, self.before)
        return fig, self._line(settings.get("noise", 0.0))

    def _line(self, noise: float) -> str:
        verdict = "halved" if self.now.quality <= self.before / 2 else "not halved yet"
        words = f"{self.title} {self.before:.2f} -> {self.now.quality:.2f} ({verdict}); "
        words += f"||change|| / ||x|| = {self.now.change:.2f}; SNR {'without limit' if noise == 0 else f'{1 / noise:.0f}'}"
        return words if self.mildest is None else f"{words}; mildest change so far that halves it: {self.mildest:.2f}"


def scanner_console(run: Run, segmenter: Segmenter, cases: Sequence[Case] | None = None) -> Console:
    """The scanner console on slices of a run, by default well segmented ones of its source's test subjects."""
    console = Console(run, segmenter, cases or good_cases(run, segmenter))
    return console.below(
        f"The slice at home and under your scanner: truth, outline, and {console.title}. Every picture leaves a dot on the "
        "right; below the line the quality is halved, and further left is milder.",
        "Two images of the same slice with the true and the predicted outline, and a plot of quality against change.",
        slice=Slider(1, 1, len(console.cases), 1),
        coil=list(COILS),
        noise=Slider(0.0, 0.0, 0.6, 0.01),
        ghost=Slider(0.0, 0.0, 0.5, 0.02),
        resolution=Slider(1.0, 1.0, 4.0, 0.1),
        contrast=Slider(1.0, 0.4, 2.5, 0.1),
    )
