"""A network of its own that looks at image and mask: what a head saves by reading z, and what z keeps from it."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from advconf_lite.head_training import Learner, Row, Turn
from advconf_lite.methods.heads import Plain2B, joined
from advconf_lite.methods.registry import register
from advconf_lite.quality import Quality
from advconf_lite.segmenter import Segmenter
from advconf_lite.support.layers import input_channels

# Channels after each halving of the resolution: few, so that it stays small beside a pass of the quick profile's U-Net, too.
# In training it takes the segmenter's passes of `plain-2b`, and its own forward and backward beside them.
WIDTHS = (8, 16, 32, 64)


@register("quality-regression")
class QualityRegression(Plain2B):
    """A small network from image and mask to the score, trained on the images, steps and choice of weights of `plain-2b`
    (Robinson et al. 2018; Zenk et al. 2025). Not in the paper. Where it reads is all that differs: pixels and the drawn
    mask, not z."""

    def build(self, head: nn.Module, segmenter: Segmenter, g: Quality) -> nn.Module:
        num_scores = g.num_classes - (0 if g.include_background else 1)
        return Regression(input_channels(segmenter), g.num_classes, num_scores)

    def features(self, head: nn.Module, x: Tensor, z: Tensor, y_hat: Tensor, batch: int = 64) -> Tensor:
        return image_and_mask(x, y_hat)

    def step(self, turn: Turn, learner: Learner) -> Row:
        both = joined(turn.clean, turn.second())
        return learner.algorithm.plain_step(replace(both, z=image_and_mask(both.x, both.y_hat)))


def image_and_mask(x: Tensor, y_hat: Tensor) -> Tensor:
    """(B, channels, H, W) and (B, H, W) -> (B, channels + 1, H, W): labels as numbers, which `Regression` spreads out."""
    return torch.cat([x, y_hat[:, None].to(x)], 1)


class Regression(nn.Module):
    """Residual blocks that halve the resolution, the mean over what is left, and one linear layer; for images of any size.

    Args:
        in_channels: of the image.
        num_classes: of the mask, the background included.
        num_scores: how many classes get a score.
    """

    def __init__(self, in_channels: int, num_classes: int, num_scores: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        widths = (in_channels + num_classes, *WIDTHS)
        self.blocks = nn.Sequential(*(Block(*pair) for pair in zip(widths, widths[1:])))
        self.score = nn.Linear(WIDTHS[-1], num_scores)

    def forward(self, seen: Tensor) -> Tensor:
        """(B, channels + 1, H, W) of `image_and_mask` -> predicted scores (B, num_scores)."""
        masks = one_hot(seen[:, -1].long(), self.num_classes).movedim(-1, 1).to(seen)
        return self.score(self.blocks(torch.cat([seen[:, :-1], masks], 1)).mean((2, 3)))


class Block(nn.Module):
    """Two 3x3 convolutions beside a 1x1 one (He et al. 2016); the resolution is halved."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(c_in, c_out, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(c_out),
            nn.ReLU(),
            nn.Conv2d(c_out, c_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(c_out),
        )
        self.beside = nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride=2, bias=False), nn.BatchNorm2d(c_out))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.main(x) + self.beside(x))
