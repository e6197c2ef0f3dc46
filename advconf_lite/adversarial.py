"""Algorithm 1: the head is fed its own adversarial images, so that it learns what really lowers the quality.

Read `Algorithm1.step` beside Algorithm 1 of the paper: the same steps in the same order under the same letters. What the
paper leaves open is a small method below `step`; a control overrides one of them (`methods/`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from advconf_lite.quality import Quality
from advconf_lite.segmenter import label_map


@dataclass
class Half:
    """One half of a batch after its single pass through the segmenter (lines 12-13)."""

    x: Tensor  # (B, channels, H, W)
    y: Tensor  # (B, H, W), the ground truth
    y_hat: Tensor  # (B, H, W), the segmenter's label map
    z: Tensor  # (B, C, h, w); with a graph back to x where a gradient was asked for


def segment(segmenter: nn.Module, x: Tensor, y: Tensor, gradient: bool = False) -> Half:
    """Pass a half through the segmenter, once; `gradient` keeps the graph from x to z (weights in training keep theirs)."""
    x = x.detach().requires_grad_(gradient)
    with torch.set_grad_enabled(gradient or any(weight.requires_grad for weight in segmenter.parameters())):
        logits, z = segmenter(x)
    return Half(x, y, label_map(logits), z)


class Algorithm1:
    """A head that learns from its own adversarial images. The defaults are the paper's (line 5; section 3.3)."""

    def __init__(self, head: nn.Module, optimizer: torch.optim.Optimizer, g: Quality, alpha: float = 0.8, eta: float = 0.01,
                 delta_s: float = 0.1, eps: float = 1e-8, objective: str = "sum", absent: str = "one",
                 clip: float | None = None) -> None:  # fmt: skip
        self.head, self.optimizer, self.g = head, optimizer, g
        self.alpha, self.eta, self.delta_s, self.eps = alpha, eta, delta_s, eps
        self.objective, self.absent, self.clip = objective, absent, clip
        self.x_adv = self.y_adv = None  # ADV_BUFFER, (B, channels, H, W) and (B, H, W)
        self.delta = None  # the perturbation in x_adv
        self.s_hat_before = self.s_before = self.norm_before = None  # of the images that x_adv was made from

    def step(self, segmenter: nn.Module, clean: Half) -> dict[str, Tensor | float]:
        """Lines 7-24, the clean half after its pass (`segment(..., gradient=True)`); returns its row of the history."""
        # 1. Form a batch of size 2B (lines 8-10); at first the buffer holds images of D as they are (line 6).
        x, B = clean.x.detach(), len(clean.x)
        x_adv, y_adv = (x, clean.y) if self.x_adv is None else (self.x_adv, self.y_adv)

        # 2. Forward pass and update of phi (lines 11-17).
        adversarial = self.second_half(segmenter, x_adv, y_adv)
        s_hat = self.head(torch.cat([clean.z, adversarial.z]))  # (2B, C)
        s, s_adv = self.true_scores(clean), self.true_scores(adversarial)  # (B, C)
        loss = score_loss(s_hat, torch.cat([s, s_adv]))
        gradient = self.input_gradient(s_hat[:B], clean.x)  # line 19, of the same graph (section 3.2)
        self.update(loss)

        # 3. Compute next iteration's adversarial perturbations (lines 18-24).
        row = {"loss": loss.item(), "clean": s.nanmean(1), "perturbed": s_adv.nanmean(1)}
        if self.s_hat_before is not None:
            drop = (self.s_hat_before - s_hat[B:].detach()).mean().item()  # C(z) - C(z')
            row |= {"predicted_drop": drop, "true_drop": (self.s_before - s_adv).nanmean().item(),
                    "delta_norm": self.norm_before.mean().item()}  # fmt: skip
            self.alpha -= self.eta * (self.fallen(row) - self.delta_s)  # line 20
        self.x_adv, self.y_adv = self.next_images(x, gradient), clean.y  # lines 21-23
        self.s_hat_before, self.s_before, self.norm_before = s_hat[:B].detach(), s, relative_norm(self.delta, x)
        return row | {"alpha": self.alpha}

    def plain_step(self, clean: Half) -> dict[str, Tensor | float]:
        """A step on clean images alone: the warm-up (section 3.2), and the plain head."""
        s = self.true_scores(clean)
        loss = score_loss(self.head(clean.z.detach()), s)
        self.update(loss)
        return {"loss": loss.item(), "clean": s.nanmean(1)}

    def second_half(self, segmenter: nn.Module, x_adv: Tensor, y_adv: Tensor) -> Half:
        return segment(segmenter, x_adv, y_adv)

    def true_scores(self, half: Half) -> Tensor:
        """s (B, C). A class that is in neither map has no surface: it counts as 1, or stays NaN and out of the loss."""
        s = self.g(half.y_hat, half.y)
        return s.nan_to_num(nan=1.0) if self.absent == "one" else s

    def input_gradient(self, s_hat: Tensor, x: Tensor) -> Tensor:
        """d C(z(x)) / dx (line 19), (B, channels, H, W); C has one output per class: their sum, or their mean."""
        C = s_hat.sum() if self.objective == "sum" else s_hat.mean(1).sum()
        return torch.autograd.grad(C, x, retain_graph=True)[0]

    def fallen(self, row: dict[str, Tensor | float]) -> float:
        return row["predicted_drop"]  # what line 20 holds against delta_s

    def next_images(self, x: Tensor, gradient: Tensor) -> Tensor:
        """x' = x + delta (line 21); the norm is taken per image, so that a linear C falls by exactly alpha."""
        squared = gradient.flatten(1).square().sum(1)  # (B,)
        self.delta = -self.alpha * gradient / (squared + self.eps)[:, None, None, None]
        return x + self.delta

    def update(self, loss: Tensor) -> None:
        """Back-propagate into phi alone (line 16): the segmenter is frozen, and the graph is shared."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward(inputs=list(self.head.parameters()), retain_graph=True)
        if self.clip is not None:
            nn.utils.clip_grad_norm_(self.head.parameters(), self.clip)
        self.optimizer.step()


def score_loss(s_hat: Tensor, s: Tensor) -> Tensor:
    """Mean squared error over images and classes (line 15; section 3.4), without entries whose true score is NaN."""
    known = ~s.isnan()
    return ((s_hat - s.nan_to_num()).square() * known).sum() / known.sum().clamp_min(1)


def relative_norm(delta: Tensor, x: Tensor) -> Tensor:
    """||delta|| / ||x|| per image, (B,)."""
    return delta.flatten(1).norm(dim=1) / x.flatten(1).norm(dim=1).clamp_min(1e-12)
