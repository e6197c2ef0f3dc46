"""A finished head under the microscope: perturb any images by it, and see what it believes beside what is true."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor, nn

from advconf_lite.adversarial import Algorithm1, relative_norm, segment
from advconf_lite.experiment.parts import Part
from advconf_lite.experiment.run import Run
from advconf_lite.figures.images import Perturbed
from advconf_lite.head import ConfidenceHead, head_scores
from advconf_lite.methods.controls import random_delta
from advconf_lite.methods.finetuned import read_by
from advconf_lite.quality import Quality
from advconf_lite.segmenter import Segmenter
from advconf_lite.settings import Settings


@dataclass
class Effect:
    """A perturbation of given images by a finished head, and what it did; pairs are (before, after)."""

    x: tuple[Tensor, Tensor]  # (B, 1, H, W)
    y_hat: tuple[Tensor, Tensor]  # (B, H, W)
    predicted: tuple[Tensor, Tensor]  # C(z), (B, C)
    true: tuple[Tensor, Tensor]  # s, (B, C), NaN as 1

    @property
    def predicted_drop(self) -> Tensor:
        """Per image, mean over classes, (B,)."""
        return (self.predicted[0] - self.predicted[1]).mean(1)

    @property
    def true_drop(self) -> Tensor:
        """Per image, mean over classes, (B,)."""
        return (self.true[0] - self.true[1]).mean(1)


def apply_delta(segmenter: Segmenter, head: nn.Module, x: Tensor, y: Tensor, delta: Tensor, g: Quality) -> Effect:
    """What `delta` (B, 1, H, W), of whatever origin, does to the segmentation of x and to the head's prediction."""
    halves = [segment(segmenter, image, y) for image in (x, x + delta)]
    predicted = tuple(head_scores(head, half.z) for half in halves)
    true = tuple(g(half.y_hat, y).nan_to_num(nan=1.0) for half in halves)
    return Effect((x, x + delta), tuple(half.y_hat for half in halves), predicted, true)


def head_delta(segmenter: Segmenter, head: nn.Module, x: Tensor, alpha: float, settings: Settings) -> Tensor:
    """The delta (B, 1, H, W) of line 21 for any images, by a finished head in evaluation mode."""
    was_training = head.training
    head.eval()
    clean = segment(segmenter, x, x[:, 0].long(), gradient=True)
    loop = Algorithm1(head, None, None, alpha, eps=settings.eps, objective=settings.objective)
    loop.next_images(x, loop.input_gradient(head(clean.z), clean.x))
    head.train(was_training)
    return loop.delta


def alpha_for_drop(
    segmenter: Segmenter, head: nn.Module, x: Tensor, drop: float, settings: Settings, turns: int = 10
) -> float:
    """The alpha at which the *predicted* score of x falls by `drop` on average: line 20, in ratios, on images that stay.

    Lets two heads be compared at the same predicted drop, as in the paper's Figure 4.
    """
    alpha = drop
    for _ in range(turns):
        delta = head_delta(segmenter, head, x, alpha, settings)
        with torch.no_grad():
            scores = [head_scores(head, segmenter(images)[1]) for images in (x, x + delta)]
        reached = (scores[0] - scores[1]).mean().item()
        alpha *= min(1.5, max(0.67, drop / max(reached, 1e-6)))
    return alpha


def effects(run: Run, segmenter: Segmenter, heads: dict, quality: str, row: int) -> dict[str, tuple[Effect, Perturbed]]:
    """Perturb one test slice by the plain and the adversarial head of a quality (or, without them, by each head), each at
    the alpha that lowers *its* predictions by delta_s.

    alpha is found on source validation images; the paper's Figure 4 compares heads at similar predicted drops.
    """
    settings, part = run.settings, run.experiment.test
    val = run.experiment.val.images[:24].to(run.device)
    x, y = part.images[row : row + 1].to(run.device), part.masks[row : row + 1].to(run.device)
    found = {}
    of_quality = {method: head for (method, name), head in heads.items() if name == quality}
    paper = {method: head for method, head in of_quality.items() if method in ("plain", "adversarial")}
    for method, head in (paper or of_quality).items():
        net = read_by(head, segmenter)
        alpha = alpha_for_drop(net, head, val, settings.delta_s, settings)
        effect = apply_delta(net, head, x, y, head_delta(net, head, x, alpha, settings), run.quality(quality))
        pair = [tuple(float(t[0].mean()) for t in pairs) for pairs in (effect.predicted, effect.true)]
        found[method] = effect, Perturbed(effect.x[1][0, 0].cpu(), effect.y_hat[1][0].cpu(), *pair)
    return found


def fresh_drops(
    run: Run,
    segmenter: Segmenter,
    heads: dict[tuple[str, str], ConfidenceHead],
    part: Part | None = None,
    alphas: dict[tuple[str, str], float] | None = None,
) -> pd.DataFrame:
    """Perturb source test slices (or `part`) afresh by each finished head: mean predicted and true drop, beside the true
    drop that a Gaussian direction of the same norm causes.

    `alphas`: per head; by default those that lower its predictions on source validation by delta_s.
    """
    settings, part = run.settings, part or run.experiment.test
    x, y = part.images.to(run.device), part.masks.to(run.device)
    val = run.experiment.val.images[:24].to(run.device)
    rows = []
    for (method, name), head in heads.items():
        net = read_by(head, segmenter)
        alpha = alphas[method, name] if alphas else alpha_for_drop(net, head, val, settings.delta_s, settings)
        drops = []
        for images, masks in zip(x.split(64), y.split(64)):
            delta = head_delta(net, head, images, alpha, settings)
            own, random = (apply_delta(net, head, images, masks, d, run.quality(name)) for d in (delta, random_delta(delta)))
            drops.append(torch.stack([own.predicted_drop, own.true_drop, relative_norm(delta, images), random.true_drop]))
        predicted, true, norm, random_true = torch.cat(drops, 1).mean(1).tolist()
        rows.append(
            {
                "head": method,
                "quality": name,
                "alpha": alpha,
                "predicted drop": predicted,
                "true drop": true,
                "||delta|| / ||x||": norm,
                "true drop, random direction": random_true,
            }
        )
    return pd.DataFrame(rows)
