"""Perturbations of many strengths, in several steps: for a head that must know large losses of quality, too."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from advconf_lite.adversarial import Half
from advconf_lite.head_training import Row
from advconf_lite.methods.aimed import Aimed, AimedMethod
from advconf_lite.methods.appearance import Appearance
from advconf_lite.methods.registry import register
from advconf_lite.settings import Settings
from advconf_lite.support.randomness import generator


class Severe(Aimed):
    """Several steps, and of each image a drop between 0 and a top that grows with what comes true.

    `aligned` is the share of the drop that was asked for by which the true scores have fallen, 0 to 1, averaged over about
    1 / eta turns as alpha is. The top goes with it from twice delta_s, so that at first the mean is what Algorithm 1 asks of
    each image, to `severity_top`: no threshold decides, and a loop that no longer aligns is asked for less again.
    """

    aligned = 0.0

    def step(self, segmenter: nn.Module, clean: Half) -> Row:
        row = super().step(segmenter, clean)
        fallen = row.get("true_drop", math.nan)
        if self.delta_s > 0 and math.isfinite(fallen):
            self.aligned += self.eta * (min(max(fallen / self.delta_s, 0.0), 1.0) - self.aligned)
        return row | {"aligned": self.aligned}

    def steps(self) -> int:
        return self.settings.severity_steps

    def drops(self, s_hat: Tensor) -> Tensor:
        """Uniform from 0 to the top, or to the predicted score where that is less: no score can fall below 0."""
        most = self.settings.severity_top
        least = min(2 * self.settings.delta_s, most)
        top = s_hat.detach().mean(1).clamp(0.0, least + self.aligned * (most - least))
        return top * torch.rand(len(top), generator=generator("cpu", "severity", self.turn.seed, self.turn.number)).to(top)


@register("severity")
class Severity(AimedMethod):
    """Algorithm 1 in several steps, each with a new gradient, and with a delta_s per image: from 0 to 0.2, and up to 0.6 as
    true scores follow (`severity_steps`, `severity_top`). Not in the paper."""

    algorithm = Severe
    keeps = ("asked", "aligned")

    def passes(self, settings: Settings) -> int:
        return 2 * settings.severity_steps + 1  # there and back for each gradient, and once more in the next turn


class SevereAppearance(Severe):
    space = Appearance


@register("severity-appearance")
class SeverityAppearance(Severity):
    """`severity` in a small space of appearance: bias field, intensity curves, blur and noise, in place of free pixels. Not
    in the paper."""

    algorithm = SevereAppearance
