"""Fine-tuning: a head that reads z from its own copy of the segmenter, which is trained along with it.

Paper, sections 3.1 and 4.3; the idea is ConfidNet's (Corbiere et al. 2019). The original still gives the masks, so a
prediction needs both networks: two passes instead of one (the paper's Table 1, second row).
"""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn

from advconf_lite.adversarial import segment
from advconf_lite.head_training import HeadMethod, Learner, Row, Turn
from advconf_lite.methods.registry import register
from advconf_lite.quality import Quality
from advconf_lite.segmenter import Segmenter
from advconf_lite.settings import Schedule, Settings


@register("finetuned")
class Finetuned(HeadMethod):
    """A copy of the segmenter trained along with the head; the original still gives the masks (paper, sections 3.1, 4.3).

    As published: it goes on from the finished adversarial head, without warm-up, for a quarter as many steps at a tenth
    of the learning rate. Its batches are fresh ones, so it has seen more images than the head it started from.
    """

    starts_from = "adversarial"
    needs_gradient = False  # with respect to the shared batch: its own copy reads it

    def adjust(self, schedule: Schedule) -> Schedule:
        s = schedule.settings
        alpha = s.alpha if s.finetune_alpha is None else s.finetune_alpha
        settings = replace(s, head_lr=s.head_lr * s.finetune_lr, alpha=alpha, warmup_batches=0)
        return replace(schedule, head_steps=max(1, round(schedule.head_steps * s.finetune_steps)), settings=settings)

    def passes(self, settings: Settings) -> int:
        return 9  # both halves forward through both networks, back to the images, and back to the copy's weights (twice 2)

    def build(self, head: nn.Module, segmenter: Segmenter, g: Quality) -> nn.Module:
        return FinetunedHead(head, segmenter)

    def features(self, head: nn.Module, x: Tensor, z: Tensor, y_hat: Tensor, batch: int = 64) -> Tensor:
        return head.features(x, batch)

    def step(self, turn: Turn, learner: Learner) -> Row:
        twin = read_by(learner.head, turn.segmenter)
        return learner.algorithm.step(twin, segment(twin, turn.x, turn.y, gradient=True))


class FinetunedHead(nn.Module):
    """A head and the copy of the segmenter that it reads.

    Args:
        head: maps z to predicted scores.
        segmenter: the original, which stays as it is; its copy is frozen until training begins.
    """

    def __init__(self, head: nn.Module, segmenter: Segmenter) -> None:
        super().__init__()
        self.head = head
        self.copy = copy.deepcopy(segmenter).freeze()

    def forward(self, z: Tensor) -> Tensor:
        """z (B, C, h, w) *of the copy* -> predicted scores (B, num_scores)."""
        return self.head(z)

    @torch.no_grad()
    def features(self, x: Tensor, batch: int = 64) -> Tensor:
        """z (N, C, h, w) of images x (N, 1, H, W), by the copy as it is now."""
        return torch.cat([self.copy(part)[1] for part in x.split(batch)])

    def train(self, mode: bool = True) -> FinetunedHead:
        """The copy stays in evaluation mode: dropout would blur what the head is to learn (as published)."""
        super().train(mode)
        self.copy.eval()
        return self


class Twin(nn.Module):
    """Stands where a `Segmenter` stands: logits of the original, z of the copy."""

    def __init__(self, original: Segmenter, copy: Segmenter) -> None:
        super().__init__()
        self.original, self.copy = original, copy

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, 1, H, W) -> logits (B, K, H, W) without a graph, and z with one to x and the copy's weights."""
        with torch.no_grad():
            logits, _ = self.original(x)
        return logits, self.copy(x)[1]


def read_by(head: nn.Module, segmenter: Segmenter) -> Segmenter | Twin:
    """What gives this head its z: the segmenter, or its twin for a fine-tuned head."""
    return Twin(segmenter, head.copy) if isinstance(head, FinetunedHead) else segmenter
