"""A finished head under the microscope: perturb any images by it, and see what it believes beside what is true."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor, nn

from advconf_lite.adversarial import Algorithm1, Half, relative_norm, segment
from advconf_lite.experiment.parts import Part
from advconf_lite.experiment.run import Run
from advconf_lite.figures.images import Lost, Perturbed
from advconf_lite.head import ConfidenceHead, head_scores
from advconf_lite.methods.controls import random_delta, with_norms
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


def apply_delta(
    segmenter: Segmenter, head: nn.Module, x: Tensor, y: Tensor, delta: Tensor, g: Quality, clean: Half | None = None
) -> Effect:
    """What `delta` (B, 1, H, W), of whatever origin, does to the segmentation of x and to the head's prediction.

    Args:
        clean: the pass of x, where it is known.
    """
    halves = [clean or segment(segmenter, x, y), segment(segmenter, x + delta, y)]
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

    Lets two heads be compared at the same predicted drop. The paper's Figure 4 does not: its two drops are 0.07 and 0.22.
    """
    alpha, direction = drop, head_delta(segmenter, head, x, 1.0, settings)  # line 21 is linear in alpha
    with torch.no_grad():
        before = head_scores(head, segmenter(x)[1])
        for _ in range(turns):
            reached = (before - head_scores(head, segmenter(x + alpha * direction)[1])).mean().item()
            alpha *= min(1.5, max(0.67, drop / max(reached, 1e-6)))
    return alpha


def effects(
    run: Run, segmenter: Segmenter, heads: dict, quality: str, row: int, drop: float | None = None
) -> dict[str, tuple[Effect, Perturbed]]:
    """Perturb one test slice by the plain and the adversarial head of a quality (or, without them, by each head), each at
    the alpha that lowers *its* predictions by `drop` (default: delta_s).

    alpha is found on source validation images, for both heads at the same mean predicted drop.
    """
    settings, part = run.settings, run.experiment.test
    val = run.experiment.val.images[:24].to(run.device)
    x, y = part.images[row : row + 1].to(run.device), part.masks[row : row + 1].to(run.device)
    found = {}
    of_quality = {method: head for (method, name), head in heads.items() if name == quality}
    paper = {method: head for method, head in of_quality.items() if method in ("plain", "adversarial")}
    for method, head in (paper or of_quality).items():
        net = read_by(head, segmenter)
        alpha = alpha_for_drop(net, head, val, drop or settings.delta_s, settings)
        effect = apply_delta(net, head, x, y, head_delta(net, head, x, alpha, settings), run.quality(quality))
        pair = [tuple(float(t[0].mean()) for t in pairs) for pairs in (effect.predicted, effect.true)]
        found[method] = effect, Perturbed(effect.x[1][0, 0].cpu(), effect.y_hat[1][0].cpu(), *pair)
    return found


class Losses(NamedTuple):
    """What one head's perturbations of many slices did, each slice at its place.

    images: (N, H, W), x + delta. masks: the segmenter's masks (N, H, W) of x and of x + delta. predicted_drop, true_drop,
    size: (N,); the size is ||delta|| / ||x||. alpha: one for all slices.
    """

    images: Tensor
    masks: tuple[Tensor, Tensor]
    predicted_drop: Tensor
    true_drop: Tensor
    size: Tensor
    alpha: float


def losses(run: Run, segmenter: Segmenter, head: nn.Module, quality: str, drop: float | None = None) -> Losses:
    """Perturb every test slice of the source by a finished head, as `effects` does with one."""
    part, settings, net = run.experiment.test, run.settings, read_by(head, segmenter)
    val = run.experiment.val.images[:24].to(run.device)
    alpha, found = alpha_for_drop(net, head, val, drop or settings.delta_s, settings), []
    for x, y in zip(part.images.to(run.device).split(64), part.masks.to(run.device).split(64)):
        delta = head_delta(net, head, x, alpha, settings)
        e = apply_delta(net, head, x, y, delta, run.quality(quality))
        found.append((e.x[1][:, 0], *e.y_hat, e.predicted_drop, e.true_drop, relative_norm(delta, x)))
    images, before, after, predicted, true, size = (torch.cat(values).cpu() for values in zip(*found))
    return Losses(images, (before, after), predicted, true, size, alpha)


SIZES = (0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1)


def as_it_grows(
    run: Run, segmenter: Segmenter, heads: dict[str, nn.Module], quality: str, sizes: Sequence[float] = SIZES, n: int = 24
) -> pd.DataFrame:
    """What a perturbation does at several sizes ||delta|| / ||x||, along the direction that each head fears, and along a
    random one: means over n test slices of the source.

    Returns:
        Columns head, size, believed, lost, lost at random; a row of zeros for each head at size 0.
    """
    part, rows = run.experiment.test, []
    take = torch.linspace(0, len(part) - 1, min(n, len(part))).long()
    x, y = part.images[take].to(run.device), part.masks[take].to(run.device)
    for name, head in heads.items():
        net, g = read_by(head, segmenter), run.quality(quality)
        own = head_delta(net, head, x, 1.0, run.settings)
        rows.append((name, 0.0, 0.0, 0.0, 0.0))
        for size in sizes:
            e, control = (
                apply_delta(net, head, x, y, with_norms(way, size * x), g) for way in (own, random_delta(torch.ones_like(x)))
            )
            drops = (e.predicted_drop, e.true_drop, control.true_drop)
            rows.append((name, size, *(drop.mean().item() for drop in drops)))
    return pd.DataFrame(rows, columns=["head", "size", "believed", "lost", "lost at random"])


def over_the_range(lost: Losses, row: int, n: int = 8) -> tuple[list[Lost], int]:
    """n slices at even distances in the order of their true drops, one of them `row`; and the place of that one."""
    order = lost.true_drop.argsort().tolist()
    n = min(n, len(order))
    places = [round(rank * (len(order) - 1) / max(1, n - 1)) for rank in range(n)]
    mine = order.index(row)
    marked = min(range(n), key=lambda rank: abs(places[rank] - mine))
    places[marked] = mine  # between its neighbours, so the order stays
    rows = [order[place] for place in places]
    drops = lost.predicted_drop.tolist(), lost.true_drop.tolist()
    return [Lost(lost.images[r], lost.masks[0][r], lost.masks[1][r], drops[0][r], drops[1][r]) for r in rows], marked


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
