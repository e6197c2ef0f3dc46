"""Algorithm 1: the head is fed its own adversarial images, so that it learns what really lowers the quality.

Read this beside Algorithm 1 of the paper; the steps stand in the same order under the same letters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from advconf_lite.quality import Quality
from advconf_lite.segmenter import Segmenter, label_map
from advconf_lite.settings import Settings


@dataclass
class Half:
    """One half of a batch after its single pass through the segmenter (lines 12-13)."""

    x: Tensor  # (B, 1, H, W)
    y: Tensor  # (B, H, W), the ground truth
    y_hat: Tensor  # (B, H, W), the segmenter's label map
    z: Tensor  # (B, C, h, w); with a graph back to x in the clean half of an adversarial step


@dataclass
class Buffered:
    """ADV_BUFFER[i + 1] (line 23), and what line 20 and the history need of the clean images behind it."""

    x: Tensor  # x', (B, 1, H, W)
    y: Tensor  # (B, H, W)
    predicted_score: Tensor  # C(z) of the clean images, when they were clean, (B, C)
    true_score: Tensor  # s of the clean images, (B, C)
    z: Tensor  # of the clean images; empty unless `clean_score` is "fresh"
    relative_norm: Tensor  # ||delta|| / ||x||, (B,)


@dataclass
class State:
    """What Algorithm 1 carries from one step to the next, beside phi and its optimiser."""

    alpha: float
    buffer: Buffered | None = None
    delta: Tensor | None = None  # of the last step, (B, 1, H, W): what controls replay; no checkpoint needs it


def segment(segmenter: Segmenter, x: Tensor, y: Tensor, gradient: bool = False) -> Half:
    """Pass a half through the segmenter, once; with `gradient`, keep the graph from x to z.

    Weights that are being trained (fine-tuning) keep theirs in any case.
    """
    x = x.detach().requires_grad_(gradient)
    with torch.set_grad_enabled(gradient or learns(segmenter)):
        logits, z = segmenter(x)
    return Half(x, y, label_map(logits), z)


def learns(module: nn.Module) -> bool:
    """Whether any weight is being trained."""
    return any(weight.requires_grad for weight in module.parameters())


def perturb(x: Tensor, gradient: Tensor, alpha: float, eps: float, max_relative_norm: float | None = None) -> Tensor:
    """delta = -alpha * grad / (||grad||^2 + eps) (line 21): the step that lowers a linear C by exactly alpha.

    Args:
        x, gradient: (B, 1, H, W); the norm is taken per image.
        max_relative_norm: optional cap on ||delta|| / ||x||. A flat head has a small gradient and so a huge delta.

    Returns:
        delta (B, 1, H, W).
    """
    squared = gradient.flatten(1).square().sum(1)  # (B,)
    delta = -alpha * gradient / (squared + eps)[:, None, None, None]
    if max_relative_norm is not None:
        delta = delta * (max_relative_norm / relative_norm(delta, x).clamp_min(1e-12)).clamp_max(1)[:, None, None, None]
    return delta


def relative_norm(delta: Tensor, x: Tensor) -> Tensor:
    """||delta|| / ||x|| per image, (B,)."""
    return delta.flatten(1).norm(dim=1) / x.flatten(1).norm(dim=1).clamp_min(1e-12)


def adapt_alpha(alpha: float, predicted_drop: float, delta_s: float, eta: float) -> float:
    """alpha <- alpha - eta * (C(z) - C(z') - delta_s) (line 20)."""
    return alpha - eta * (predicted_drop - delta_s)


def targets(true_score: Tensor, absent: str) -> Tensor:
    """What the head is trained on: NaN (a class that is in neither map) counts as 1, or stays NaN to be masked."""
    return true_score.nan_to_num(nan=1.0) if absent == "one" else true_score


def score_loss(predicted: Tensor, true: Tensor, reduction: str = "mean") -> Tensor:
    """Squared error over images and classes (line 15; MSE, section 3.4), without entries whose true score is NaN."""
    known = ~true.isnan()
    error = (predicted - true.nan_to_num()).square() * known
    return error.sum() / known.sum().clamp_min(1) if reduction == "mean" else error.sum()


def objective(predicted: Tensor, kind: str = "sum") -> Tensor:
    """The scalar that line 19 differentiates: per image the sum, or the mean, of the class scores; summed over images."""
    return predicted.sum() if kind == "sum" else predicted.mean(1).sum()


def update_head(head: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor, clip: float | None) -> None:
    """Update phi by back-propagating the loss into the head alone (line 16)."""
    parameters = list(head.parameters())
    optimizer.zero_grad(set_to_none=True)
    loss.backward(inputs=parameters, retain_graph=True)
    if clip is not None:
        nn.utils.clip_grad_norm_(parameters, clip)
    optimizer.step()


def plain_step(
    head: nn.Module, optimizer: torch.optim.Optimizer, clean: Half, g: Quality, settings: Settings
) -> dict[str, Tensor | float]:
    """One step on clean images only: the plain head, and the warm-up of the adversarial one."""
    s = targets(g(clean.y_hat, clean.y), settings.absent_surface)  # (B, C)
    loss = score_loss(head(clean.z.detach()), s, settings.loss)
    update_head(head, optimizer, loss, settings.head_clip)
    return {"loss": loss.item(), "clean": s.nanmean(1)}


def adversarial_step(
    segmenter: Segmenter,
    head: nn.Module,
    optimizer: torch.optim.Optimizer,
    clean: Half,
    state: State,
    g: Quality,
    settings: Settings,
    control: Callable[[], Tensor] | None = None,
    passed: Callable[[Tensor, Tensor], Half] | None = None,
) -> dict[str, Tensor | float]:
    """One turn of Algorithm 1's loop (lines 7-24); changes `head`, `optimizer` and `state`.

    Each image passes the segmenter once: the clean half in `clean` (from `segment(..., gradient=True)`, so that several
    heads can share it), the adversarial half here, or by `passed(x, y)`, which may remember passes that heads share. The
    head sees both halves jointly.

    `control` makes the next images x' (B, 1, H, W) in place of lines 18-21 while all else stays: so an experiment learns
    what the direction of delta is worth. alpha then means nothing, and `clean` needs no graph.

    Returns:
        Row of the history: loss, alpha, predicted and true drop, ||delta|| / ||x||, and the mean true scores per image
        of both halves, `clean` and `perturbed` (B,).
    """
    # 1. Form a batch of size 2B. At the first turn the buffer holds images of D as they are (line 6).
    first = state.buffer is None
    buffered = state.buffer or Buffered(clean.x.detach(), clean.y, *(torch.zeros(0),) * 3, torch.zeros(len(clean.x)))
    passed = passed or (lambda x, y: segment(segmenter, x, y))

    # 2. Forward pass.
    adversarial = passed(buffered.x, buffered.y)
    B = len(clean.x)
    z = torch.cat([clean.z, adversarial.z])  # (2B, C, h, w)
    s_hat = head(z)  # (2B, C)
    s_clean, s_adv = (targets(g(half.y_hat, half.y), settings.absent_surface) for half in (clean, adversarial))
    loss = score_loss(s_hat, torch.cat([s_clean, s_adv]), settings.loss)
    if control is None and settings.perturb_with == "before_update":
        gradient = input_gradient(s_hat[:B], clean.x, settings)
    update_head(head, optimizer, loss, settings.head_clip)

    # 3. Compute the next iteration's adversarial perturbations.
    if control is None and settings.perturb_with == "after_update":
        if learns(segmenter):  # line 16 has changed its weights too
            clean = segment(segmenter, clean.x, clean.y, gradient=True)
            z = torch.cat([clean.z, adversarial.z])
        gradient = input_gradient(head(z)[:B], clean.x, settings)
    row: dict[str, Tensor | float] = {"loss": loss.item(), "clean": s_clean.nanmean(1), "perturbed": s_adv.nanmean(1)}
    if not first:
        c_z, c_z_adv = buffered.predicted_score, s_hat[B:].detach()
        if settings.clean_score == "fresh":
            c_z, c_z_adv = both_scores(head, buffered.z, adversarial.z)
        predicted_drop = (c_z - c_z_adv).mean().item()
        row["predicted_drop"] = predicted_drop
        row["true_drop"] = (buffered.true_score - s_adv).nanmean().item()
        row["delta_norm"] = buffered.relative_norm.mean().item()
        if control is None:
            state.alpha = adapt_alpha(state.alpha, predicted_drop, settings.delta_s, settings.eta)

    x = clean.x.detach()
    if control is None:
        row["alpha"] = state.alpha
        state.delta = perturb(x, gradient, state.alpha, settings.eps, settings.max_delta_norm)
        x_adv = x + state.delta
    else:
        x_adv = control()
        state.delta = x_adv - x
    keep_z = clean.z.detach() if settings.clean_score == "fresh" else torch.zeros(0)
    state.buffer = Buffered(x_adv, clean.y, s_hat[:B].detach(), s_clean, keep_z, relative_norm(state.delta, x))
    return row


def input_gradient(s_hat: Tensor, x: Tensor, settings: Settings) -> Tensor:
    """d C_phi(z_theta(x)) / dx (line 19), (B, 1, H, W). The graph stays, for the loss and for other heads."""
    return torch.autograd.grad(objective(s_hat, settings.objective), x, retain_graph=True)[0]


@torch.no_grad()
def both_scores(head: nn.Module, z: Tensor, z_adv: Tensor) -> tuple[Tensor, Tensor]:
    """C(z) and C(z') by the same head in evaluation mode (`clean_score="fresh"`)."""
    was_training = head.training
    head.eval()
    scores = head(z), head(z_adv)
    head.train(was_training)
    return scores
