"""Fool the segmenter, or the head that judges it: push a slice in a direction, and see what is believed and what is true.

Two challenges: make the grade fall while the Dice stays, and make the Dice fall while the grade stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from advconf_lite.adversarial import Half, relative_norm, segment
from advconf_lite.course.explore import Slider
from advconf_lite.course.probing import Effect, apply_delta, head_delta
from advconf_lite.course.widgets.widget import Case, Widget, good_cases, on_device
from advconf_lite.experiment.networks import new_head
from advconf_lite.experiment.run import Run
from advconf_lite.figures.fooling import FoolingFigure, hundredths
from advconf_lite.methods.controls import random_delta, random_phase_delta, segmenter_direction, with_norms
from advconf_lite.methods.finetuned import read_by
from advconf_lite.quality import Quality
from advconf_lite.segmenter import Segmenter
from advconf_lite.settings import Settings
from advconf_lite.support.errors import BadInput

OWN, RANDOM, SHUFFLED, LOSS = "head's gradient", "random", "phase-shuffled", "segmenter's own loss"
DIRECTIONS = (OWN, RANDOM, SHUFFLED, LOSS)
LARGEST = 0.15  # ||delta|| / ||x||
UNTRAINED = "untrained"


def direction_of(
    kind: str, segmenter: Segmenter, head: nn.Module, x: Tensor, y: Tensor, settings: Settings, seed: int = 0
) -> Tensor:
    """A direction (1, 1, H, W) of one of the `DIRECTIONS`, of any length: downhill for the head, uphill for the loss.

    Raises:
        BadInput: none of them.
    """
    if kind == LOSS:
        return segmenter_direction(segmenter.logits, x, y, settings.dice_background)
    if kind == RANDOM:
        return random_delta(torch.ones_like(x), seed)
    if kind not in DIRECTIONS:
        raise BadInput(f"there is no direction {kind!r}; choose from {', '.join(DIRECTIONS)}")
    own = head_delta(read_by(head, segmenter), head, x, 1.0, settings)
    return own if kind == OWN else random_phase_delta(own, seed)


def fooled(
    segmenter: Segmenter,
    head: nn.Module,
    x: Tensor,
    y: Tensor,
    direction: Tensor,
    size: float,
    g: Quality,
    clean: Half | None = None,
) -> Effect:
    """What x + delta does, with ||delta|| = size ||x|| in the direction (1, 1, H, W); `clean` as for `apply_delta`."""
    return apply_delta(read_by(head, segmenter), head, x, y, with_norms(direction, size * x), g, clean)


class Fooling(Widget):
    """The widget. `now` is the effect that was drawn last."""

    now: Effect

    def __init__(self, run: Run, segmenter: Segmenter, heads: Mapping[str, nn.Module], cases: Sequence[Case]) -> None:
        if not heads:
            raise BadInput("there is no head to fool; give at least one")
        self.segmenter, self.heads, self.cases = segmenter, dict(heads), on_device(run, cases)
        self.settings, self.g = run.settings, run.quality(run.qualities[0])
        self.title = self.g.measure.title
        self.figure = FoolingFigure(run.experiment.class_names, run.experiment.spacing_mm, self.title)
        self._directions: dict[tuple[int, str, str], Tensor] = {}
        self._clean: dict[tuple[int, bool | str], Half] = {}  # one for all heads that read the segmenter's own features
        self.size = 0.0

    @property
    def grade_lost(self) -> float:
        """What the head believes to have lost."""
        return float(self.now.predicted_drop)

    @property
    def quality_lost(self) -> float:
        """What was lost."""
        return float(self.now.true_drop)

    @property
    def answer(self) -> dict[str, float] | None:
        """For `check("fool_the_head", fooling.answer)` and `check("fool_the_segmenter", ...)`; None while size is 0."""
        return {"grade": self.grade_lost, "dice": self.quality_lost} if self.size > 0 else None

    def draw(self, slice: int, head: str, direction: str, size: float) -> tuple[Figure | np.ndarray, str]:
        case, self.size, judge = self.cases[slice - 1], size, self.heads[head]
        key = (slice, "" if direction in (RANDOM, LOSS) else head, direction)  # whatever the size; the slowest part
        if key not in self._directions:
            self._directions[key] = direction_of(direction, self.segmenter, judge, case.x, case.y, self.settings)
        net = read_by(judge, self.segmenter)
        if (place := (slice, net is self.segmenter or head)) not in self._clean:
            self._clean[place] = segment(net, case.x, case.y)
        way, clean = self._directions[key], self._clean[place]
        self.now = fooled(self.segmenter, judge, case.x, case.y, way, size, self.g, clean)
        images = [each[0, 0].cpu().numpy() for each in self.now.x]
        masks = [each[0].cpu().numpy() for each in (case.y, *self.now.y_hat)]
        fig = self.figure.draw(*images, *masks, self.grade_lost, self.quality_lost, head)
        return fig, self._line()

    def _line(self) -> str:
        grades, true = ([hundredths(float(half.mean())) for half in pair] for pair in (self.now.predicted, self.now.true))
        reached = float(relative_norm(self.now.x[1] - self.now.x[0], self.now.x[0]))
        return (
            f"the head's grade {grades[0]} -> {grades[1]}, so it believes to have lost {hundredths(self.grade_lost)}; "
            f"{self.title} {true[0]} -> {true[1]}, lost {hundredths(self.quality_lost)}; ||delta|| / ||x|| = {reached:.3f}"
        )


def heads_to_fool(run: Run, segmenter: Segmenter, segmenter_seed: int = 0, head_seed: int = 0) -> dict[str, nn.Module]:
    """Label -> head of a run's first quality: one that nothing has trained, stages of training if the run has kept them, as
    what ships has, and the finished ones of its methods."""
    quality = run.qualities[0]
    untrained = new_head(segmenter, run.experiment, run.settings, quality, head_seed).to(run.device).eval()
    found = {UNTRAINED: untrained}
    stages = [stage for stage in getattr(run, "stages_of_heads", ()) if stage.quality == quality and stage.name != "end"]
    for stage in sorted(stages, key=lambda stage: stage.step):
        if stage.name != "early" or len(found) == 1:  # up to the end of the warm-up all methods have one head
            found[f"{stage.method}, step {stage.step}"] = run.stage_head(stage)
    heads = run.heads(segmenter_seed, head_seed)
    return found | {method: head for (method, of), head in heads.items() if of == quality}


def fool_the_segmenter(
    run: Run, segmenter: Segmenter, heads: Mapping[str, nn.Module] | None = None, cases: Sequence[Case] | None = None
) -> Fooling:
    """The widget on slices of a run, by default well segmented ones of its source's test subjects.

    Args:
        heads: label -> head, such as "adversarial, step 60"; the part before the comma, a method's name, gives the colour.
            By default `heads_to_fool`.
    """
    heads = heads_to_fool(run, segmenter) if heads is None else heads
    fooling = Fooling(run, segmenter, heads, cases or good_cases(run, segmenter))
    first = sorted(heads, key=lambda name: name != "plain")
    return fooling.below(
        "A slice, a perturbation drawn ten times as large as it is, and the slice with it. The bars: what the head believes "
        f"to have lost, and what of the {fooling.title} was lost.",
        "A slice with outlines before and after a perturbation, the perturbation, and two bars.",
        slice=Slider(1, 1, len(fooling.cases), 1),
        head=first,
        direction=list(DIRECTIONS),
        size=Slider(0.0, 0.0, LARGEST, 0.005),
    )
