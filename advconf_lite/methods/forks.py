"""Forks of Algorithm 1: readings of the paper that no profile uses, each an override of one step.

The listing updates phi (line 16) before it takes the gradient (line 19), section 3.2 takes it from the same graph. The
second is cheaper, and what `Algorithm1` does.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from advconf_lite.adversarial import Algorithm1, Half
from advconf_lite.head_training import HeadMethod, Row
from advconf_lite.methods.registry import register


class GradientAfterUpdate(Algorithm1):
    """Line 19 with phi as line 16 has left it: a second pass of the head over both halves, whose graph is still there."""

    def step(self, segmenter: nn.Module, clean: Half) -> Row:
        self.clean = clean
        return super().step(segmenter, clean)

    def second_half(self, segmenter: nn.Module, x_adv: Tensor, y_adv: Tensor) -> Half:
        self.adversarial = super().second_half(segmenter, x_adv, y_adv)
        return self.adversarial

    def input_gradient(self, s_hat: Tensor, x: Tensor) -> None:
        return None

    def next_images(self, x: Tensor, gradient: None) -> Tensor:
        s_hat = self.head(torch.cat([self.clean.z, self.adversarial.z]))[: len(x)]
        return super().next_images(x, super().input_gradient(s_hat, self.clean.x))


@register("adversarial-after-update")
class AdversarialAfterUpdate(HeadMethod):
    """Algorithm 1 with the gradient of the updated head: the order of the listing, where section 3.2 has one graph."""

    algorithm = GradientAfterUpdate
