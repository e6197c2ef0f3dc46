"""Heads by the paper: plain, plain on twice as many images, and Algorithm 1."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from advconf_lite.adversarial import Half, adversarial_step, plain_step
from advconf_lite.experiment.profiles import Profile
from advconf_lite.head_training import HeadMethod, HeadRun, Turn
from advconf_lite.methods.registry import register


@register("plain")
class Plain(HeadMethod):
    """The head without Algorithm 1: B clean images a step (paper, section 3.1; the baseline of Figure 3, as published)."""

    def step(self, turn: Turn, run: HeadRun) -> dict[str, Tensor | float]:
        return plain_step(run.head, run.optimizer, turn.clean, run.g, run.settings)


@register("plain-2b")
class Plain2B(HeadMethod):
    """`plain` on 2B fresh images a step, as many as Algorithm 1 sees: the baseline that the published script computes a
    batch size for and then does not pass on. The first B are the clean batch that all heads share."""

    def step(self, turn: Turn, run: HeadRun) -> dict[str, Tensor | float]:
        return plain_step(run.head, run.optimizer, joined(turn.clean, turn.second()), run.g, run.settings)


class Loop(HeadMethod):
    """Algorithm 1's loop, after a warm-up of plain steps (paper, section 3.2)."""

    def step(self, turn: Turn, run: HeadRun) -> dict[str, Tensor | float]:
        if turn.number < run.settings.warmup_batches:
            return plain_step(run.head, run.optimizer, turn.clean, run.g, run.settings)
        return self.loop_step(turn, run)

    def loop_step(self, turn: Turn, run: HeadRun) -> dict[str, Tensor | float]:
        """One turn of the loop, which `adversarial_step` makes."""
        raise NotImplementedError


@register("adversarial")
class Adversarial(Loop):
    """Algorithm 1 of the paper, delta_s as the settings have it (0.1)."""

    needs_gradient = True

    def loop_step(self, turn: Turn, run: HeadRun) -> dict[str, Tensor | float]:
        return adversarial_step(turn.segmenter, run.head, run.optimizer, turn.clean, run.state, run.g, run.settings)


@register("adversarial-X (X: delta_s)", r"adversarial-(0?\.\d*[1-9]\d*|1)")
class AdversarialWith(Adversarial):
    """Algorithm 1 with another delta_s: 0.05 and 0.2 are those of the paper's Table 3.

    Where the profile has alpha begin at delta_s, it begins at this one.
    """

    def __init__(self, name: str, delta_s: str) -> None:
        super().__init__(name)
        self.delta_s = float(delta_s)

    def adjust(self, profile: Profile) -> Profile:
        s = profile.settings
        alpha = self.delta_s if s.alpha == s.delta_s else s.alpha
        return replace(profile, settings=replace(s, delta_s=self.delta_s, alpha=alpha))


def joined(one: Half, two: Half) -> Half:
    """Two halves as one, without a graph."""
    return Half(*(torch.cat([a.detach(), b.detach()]) for a, b in zip(vars(one).values(), vars(two).values())))
