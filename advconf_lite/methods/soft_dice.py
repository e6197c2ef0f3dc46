"""The Dice that the segmenter's own probabilities promise: free, and an estimate of the Dice itself."""

from __future__ import annotations

import torch
from torch import Tensor

from advconf_lite.methods.passes import Passed, PassMethod
from advconf_lite.methods.registry import register
from advconf_lite.quality import Quality


def soft_dice(probabilities: Tensor, masks: Tensor, include_background: bool = False) -> Tensor:
    """2 sum(p m) / (sum p + sum m) of every image and class, p the probabilities and m the mask (Borges et al.,
    arXiv 2402.10665): about the Dice to be expected if pixels are right independently of each other.

    Where the mask lacks the class, Dice is 1 if the truth lacks it too and 0 if not, so its expectation under the same
    assumption is the probability that no pixel has the class: the product of 1 - p. The formula would give 0 there.

    Args:
        probabilities: (B, K, H, W), the softmax.
        masks: (B, H, W), the label maps whose Dice is asked for.
        include_background: also score class 0.

    Returns:
        (B, classes) in [0, 1]; NaN where a probability is.
    """
    first = 0 if include_background else 1
    p = probabilities.double().flatten(2)[:, first:]  # (B, classes, pixels)
    labels = torch.arange(first, probabilities.shape[1], device=masks.device)
    m = masks.flatten(1)[:, None] == labels[:, None]
    area = m.sum(2)
    absent = (1 - p).prod(2)  # by logarithms, one certain pixel would make the gradient of every class NaN
    return torch.where(area == 0, absent, 2 * (p * m).sum(2) / (p.sum(2) + area).clamp_min(1e-300)).float()


@register("soft-dice")
class SoftDice(PassMethod):
    """The Dice to be expected by the segmenter's own softmax, 2 Σpm / (Σp + Σm), for nothing (Borges et al. 2024); of Dice
    alone, so that it has no rows for surface Dice. Not in the paper. An estimate: an MAE means something."""

    estimates = True
    only = "dice"

    def score(self, passed: Passed, g: Quality, empty: str) -> Tensor:
        return soft_dice(passed.logits.float().softmax(1), passed.y_hat, g.include_background)
