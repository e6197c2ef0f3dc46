"""Heads by the paper: plain, plain on twice as many images, and Algorithm 1."""

from __future__ import annotations

from dataclasses import replace

import torch

from advconf_lite.adversarial import Half
from advconf_lite.head_training import HeadMethod, Learner, Row, Turn
from advconf_lite.methods.registry import register
from advconf_lite.settings import Schedule, Settings


@register("plain")
class Plain(HeadMethod):
    """The head without Algorithm 1: B clean images a step (paper, section 3.1; the baseline of Figure 3, as published)."""

    needs_gradient = False

    def passes(self, settings: Settings) -> int:
        return 1

    def step(self, turn: Turn, learner: Learner) -> Row:
        return learner.algorithm.plain_step(turn.clean)


@register("plain-2b")
class Plain2B(Plain):
    """`plain` on 2B fresh images a step, as many as Algorithm 1 sees. The first B are the clean batch that all heads share.

    The published script computes this batch size for its baseline, and then does not pass it on."""

    def passes(self, settings: Settings) -> int:
        return 2

    def step(self, turn: Turn, learner: Learner) -> Row:
        return learner.algorithm.plain_step(joined(turn.clean, turn.second()))


@register("adversarial")
class Adversarial(HeadMethod):
    """Algorithm 1 of the paper, delta_s as the settings have it (0.1)."""


@register("adversarial-X (X: delta_s)", r"adversarial-(0?\.\d*[1-9]\d*|1)")
class AdversarialWith(Adversarial):
    """Algorithm 1 with another delta_s: 0.05 and 0.2 are those of the paper's Table 3.

    Where the profile has alpha begin at delta_s, it begins at this one.
    """

    def __init__(self, name: str, delta_s: str) -> None:
        super().__init__(name)
        self.delta_s = float(delta_s)
        self.what = f"Algorithm 1 with delta_s = {self.delta_s:g}."

    def adjust(self, schedule: Schedule) -> Schedule:
        s = schedule.settings
        alpha = self.delta_s if s.alpha == s.delta_s else s.alpha
        return replace(schedule, settings=replace(s, delta_s=self.delta_s, alpha=alpha))


def joined(one: Half, two: Half) -> Half:
    """Two halves as one, without a graph."""
    return Half(*(torch.cat([a.detach(), b.detach()]) for a, b in zip(vars(one).values(), vars(two).values())))
