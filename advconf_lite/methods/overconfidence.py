"""Perturbations that the head is wrong about: predicted minus true score rises, where Algorithm 1 lowers the prediction."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from advconf_lite.adversarial import Half
from advconf_lite.head_training import Row, Turn
from advconf_lite.methods.aimed import Aimed, AimedMethod
from advconf_lite.methods.appearance import Appearance
from advconf_lite.methods.registry import register
from advconf_lite.methods.soft_dice import soft_dice
from advconf_lite.segmenter import Segmenter, label_map


@dataclass
class WholeHalf(Half):
    """A half whose pass was recorded up to the logits (B, K, H, W)."""

    logits: Tensor


def segment_whole(segmenter: Segmenter, x: Tensor, y: Tensor) -> WholeHalf:
    """`adversarial.segment` with a gradient, of the logits, too."""
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        logits, z = segmenter(x, whole=True)
    return WholeHalf(x, y, label_map(logits.detach()), z, logits)


class Overconfident(Aimed):
    """`aim` is true minus predicted score. g has no gradient, so in `aim` alone the true score is the soft Dice of the
    segmenter's probabilities with the ground truth, whatever g is; what line 20 sees is g itself."""

    def aim(self, s_hat: Tensor, half: WholeHalf) -> Tensor:
        return soft_dice(half.logits.float().softmax(1), half.y, self.g.include_background) - s_hat

    def look(self, x: Tensor) -> WholeHalf:
        return segment_whole(self.segmenter, x, self.clean.y)

    def fallen(self, row: Row) -> float:
        """By how much predicted minus true score has risen; delta_s where no image has a true score."""
        rise = row["true_drop"] - row["predicted_drop"]
        return rise if math.isfinite(rise) else self.delta_s


@register("overconfidence")
class Overconfidence(AimedMethod):
    """Algorithm 1 in the direction in which predicted minus true score rises, by delta_s: what the head is wrong about, in
    place of what it fears. Not in the paper; the true score in the direction is the soft Dice with the ground truth."""

    algorithm = Overconfident
    needs_gradient = False  # of the shared pass: its own one goes on to the logits

    def clean(self, turn: Turn) -> Half:
        return turn.once("clean, whole", lambda: segment_whole(turn.segmenter, turn.x, turn.y))


class OverconfidentAppearance(Overconfident):
    space = Appearance


@register("overconfidence-appearance")
class OverconfidenceAppearance(Overconfidence):
    """`overconfidence` in the space of appearance: bias field, intensity curves, blur and noise, in place of free pixels.
    Not in the paper."""

    algorithm = OverconfidentAppearance
