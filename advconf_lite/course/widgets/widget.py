"""What the widgets have in common: a drawing that keeps its figure, and what was drawn last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from advconf_lite.course.explore import Explorer, explore
from advconf_lite.experiment.run import Run
from advconf_lite.quality import absent_as_right, aggregate
from advconf_lite.segmenter import Segmenter
from advconf_lite.support.errors import BadInput


class Widget:
    """A drawing under control. As the last value of a cell it shows nothing: all is shown.

    A subclass has `draw`, with a keyword for each control, which returns a kept figure and a line of text. It stores what
    it has found on itself, so that a lesson can read it, and hand it to `check`.
    """

    explorer: Explorer | None = None
    figure: Any  # with `kept`, a KeptFigure

    def draw(self, **controls: Any) -> tuple[Figure | np.ndarray, str]:
        raise NotImplementedError

    def below(self, caption: str, alt: str, **controls: Any) -> Any:
        """Show the start, and the controls below it where somebody can move them; returns the widget itself."""
        self.explorer = explore(self.draw, caption, alt, **controls)
        if self.explorer is not None and self.explorer.widgets:
            self.figure.kept.prepare()  # now, and not at the first movement
        return self

    def move(self, **values: Any) -> None:
        """Set controls by their names, as a hand would; a lesson's solution does it, and who has no sliders can."""
        if self.explorer is None:
            raise BadInput("this widget could not be drawn; the line above says why")
        self.explorer.move(**values)

    def _ipython_display_(self) -> None:
        pass


class Case(NamedTuple):
    """A slice to work on: x (1, 1, H, W), normalised; y (1, H, W), its truth."""

    title: str
    x: Tensor
    y: Tensor


def good_cases(run: Run, segmenter: Segmenter, n: int = 8, at_least: float = 0.85) -> list[Case]:
    """Test slices of the source with every class, segmented well, so that there is something to lose: n of them, evenly
    over the subjects; fewer where there are fewer, and the best one where there is none."""
    part, classes = run.experiment.test, range(1, run.experiment.num_classes)
    drawn, g = segmenter.masks(part.images.to(run.device)), run.quality(run.qualities[0])
    scores = aggregate(absent_as_right(g(drawn, part.masks.to(run.device))))
    shown = torch.stack([(part.masks == k).flatten(1).any(1) for k in classes], 1).all(1)
    good = torch.nonzero(shown & (scores.cpu() >= at_least)).flatten().tolist()
    good = good or [int((scores.cpu() + shown.float()).argmax())]
    rows = sorted({good[round(place * (len(good) - 1) / max(1, n - 1))] for place in range(n)})
    names = part.table["subject"].astype(str) + ", slice " + part.table["slice"].astype(str)
    return [Case(names.iloc[row], part.images[row : row + 1], part.masks[row : row + 1]) for row in rows]


def on_device(run: Run, cases: Sequence[Case]) -> list[Case]:
    if not cases:
        raise BadInput("there is no slice to work on; give at least one")
    return [Case(case.title, case.x.to(run.device), case.y.to(run.device)) for case in cases]
