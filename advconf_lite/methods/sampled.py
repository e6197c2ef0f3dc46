"""Scores from Monte Carlo dropout samples, nothing trained: agreement and entropy."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from advconf_lite.agreement import Samples, certainty, monte_carlo, score_agreement
from advconf_lite.methods.registry import SampledMethod, register
from advconf_lite.quality import Quality
from advconf_lite.support.layers import device_of


def sampled_scores(
    segmenter: nn.Module,
    images: Tensor,
    methods: Sequence[SampledMethod],
    qualities: Sequence[Quality],
    seed: int,
    empty: str = "one",
    batch: int = 64,
) -> dict[tuple[str, str], Tensor]:
    """Scores of several methods from the same samples: N = 2 takes the first 2 of the 15.

    Only `batch` images' samples are held at a time.

    Args:
        images: (N, 1, H, W), on any device; they are moved to the segmenter's.
        seed: of the first batch; the following ones add 1 each.
        empty: as in `score_agreement`, for methods that do not name a rule themselves.

    Returns:
        (method, quality) -> (N, classes), NaN for an image that the network has no finite logits for.
    """
    device = device_of(segmenter)
    n, means = max(method.samples for method in methods), [method.samples for method in methods if method.needs_mean]
    scores: dict[tuple[str, str], list[Tensor]] = {(m.name, g.name): [] for m in methods for g in qualities}
    for number, some in enumerate(images.split(batch)):
        samples = monte_carlo(segmenter, some.to(device), n, seed + number, mean_of=means)
        for method in methods:
            for g in qualities:
                score = method.score(samples, g, empty)
                scores[method.name, g.name].append(score.masked_fill(~samples.decided[:, None], torch.nan))
    return {key: torch.cat(parts) for key, parts in scores.items()}


@register("agreement-N, agreement-N-one, agreement-N-zero (N >= 2)", r"agreement-([2-9]|[1-9]\d+)(?:-(one|zero))?")
class Agreement(SampledMethod):
    """Mean quality over all pairs of N samples (Roy et al. 2018; paper, section 4.3).

    A pair that lacks a class in both samples counts as the settings say (`agreement_empty`), or as the name does.
    """

    def __init__(self, name: str, n: str, empty: str | None) -> None:
        super().__init__(name)
        self.samples, self.empty = int(n), empty
        rule = {None: "", "one": "; two empty masks agree", "zero": "; two empty masks do not agree"}[empty]
        self.what = f"Mean quality over all pairs of {n} samples{rule} (Roy et al. 2018; paper, section 4.3)."

    def score(self, samples: Samples, g: Quality, empty: str) -> Tensor:
        return score_agreement(samples.masks[: self.samples], g, self.empty or empty)


@register("entropy-N, entropy-N-foreground (N >= 1)", r"entropy-([1-9]\d*)(-foreground)?")
class Entropy(SampledMethod):
    """Predictive entropy of the mean softmax of N samples, averaged over the whole image (paper, section 4.3: r below
    0.3) or weighted with the foreground probability. One number per image, which stands for every class and quality."""

    needs_mean = True

    def __init__(self, name: str, n: str, foreground: str | None) -> None:
        super().__init__(name)
        self.samples, self.foreground = int(n), foreground is not None
        where = "weighted with the foreground probability" if foreground else "averaged over the whole image"
        self.what = f"Predictive entropy of the mean softmax of {n} samples, {where} (paper, section 4.3)."

    def score(self, samples: Samples, g: Quality, empty: str) -> Tensor:
        classes = g.num_classes - (0 if g.include_background else 1)
        return certainty(samples.probabilities[self.samples], self.foreground)[:, None].expand(-1, classes)
