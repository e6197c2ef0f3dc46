"""Scores from a segmenter's dropout samples: how alike are their masks, how uncertain is their mean softmax?

Score agreement is the paper's baseline (section 4.3, after Roy et al. 2018): N segmentations per image by Monte
Carlo dropout, the quality g of all N(N-1)/2 pairs, and their mean. Predictive entropy is the one that the paper
found too weak to show. Both rank images; neither estimates the quality against the truth.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor, nn

from advconf_lite.quality import Quality
from advconf_lite.segmenter import decided, label_map
from advconf_lite.support.errors import BadInput
from advconf_lite.support.label_maps import as_labels
from advconf_lite.support.numbers import one_of, whole

DROPOUT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


@dataclass
class Samples:
    """What `monte_carlo` drew of B images.

    masks: label maps (n, B, H, W).
    probabilities: N -> mean softmax of the first N samples, (B, K, H, W), for those N that were asked for.
    decided: (B,), False for an image whose logits were NaN or infinite in any sample. Its masks are all alike, for no
        reason, so that its scores must be NaN.
    """

    masks: Tensor
    probabilities: dict[int, Tensor]
    decided: Tensor


def monte_carlo_masks(segmenter: nn.Module, images: Tensor, n: int, seed: int, images_per_pass: int = 64) -> Tensor:
    """The masks of `monte_carlo`: label maps (n, B, H, W)."""
    return monte_carlo(segmenter, images, n, seed, images_per_pass).masks


def monte_carlo(
    segmenter: nn.Module,
    images: Tensor,
    n: int,
    seed: int,
    images_per_pass: int = 64,
    mean_of: Sequence[int] = (),
) -> Samples:
    """Segment every image `n` times with dropout switched on.

    Only dropout modules are in training mode, so norms work as in inference and running averages stay.
    Modes and the caller's random state are as before when the function returns or raises.

    Args:
        segmenter: `segmenter(images)` returns (logits (B, K, H, W), z).
        images: (B, 1, H, W) on the segmenter's device.
        seed: the same seed (and `images_per_pass`, and device) gives the same masks.
        images_per_pass: as many copies of the batch go through together as fit into this; at least one.
        mean_of: numbers N of samples whose mean softmax is kept: of the first N. A running sum, so memory does not
            grow with n.

    Returns:
        Masks (n, B, H, W), uint8, or int64 with more than 256 classes; and the mean softmax per N in `mean_of`.

    Raises:
        BadInput: `n` is below 1, or another argument is none; or the segmenter has no dropout, so that all masks would be
            the same.
    """
    n = whole(n, "n", 1)
    whole(images_per_pass, "images_per_pass", 1)
    for number in mean_of:
        whole(number, "mean_of", 1, n)
    if not isinstance(images, Tensor) or images.ndim != 4 or len(images) == 0:
        given = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise BadInput(f"images are {given}; give a tensor (B, channels, H, W) of at least one image")
    if not any(isinstance(m, DROPOUT) and m.p > 0 for m in segmenter.modules()):
        raise BadInput("the segmenter has no dropout, so its samples would be the same; use dropout > 0")
    batch, masks, done, total, kept, good = len(images), None, 0, 0.0, {}, True
    copies = max(1, images_per_pass // max(1, batch))
    modes = [(module, module.training) for module in segmenter.modules()]
    on_gpu = images.is_cuda
    try:
        with torch.random.fork_rng(devices=[images.device] if on_gpu else []):
            # torch.manual_seed would also reseed devices that fork_rng does not restore.
            torch.default_generator.manual_seed(seed)
            if on_gpu:
                with torch.cuda.device(images.device):
                    torch.cuda.manual_seed(seed)
            for module, _ in modes:
                module.training = isinstance(module, DROPOUT)
            while done < n:
                now = min(copies, n - done)
                with torch.inference_mode():
                    logits, _ = segmenter(images.repeat(now, 1, 1, 1))
                    labels = label_map(logits).view(now, batch, *logits.shape[2:])
                    good = decided(logits).view(now, batch).all(0) & good
                    if done < max(mean_of, default=0):
                        for number, one in enumerate(logits.split(batch), start=done + 1):
                            total = total + one.float().softmax(1)
                            if number in mean_of:
                                kept[number] = total / number
                if masks is None:  # made outside inference mode, so that the caller may write to it
                    kind = torch.uint8 if logits.shape[1] <= 256 else torch.int64
                    masks = torch.empty(n, *labels.shape[1:], dtype=kind, device=labels.device)
                masks[done : done + now] = labels
                done += now
    finally:
        for module, training in modes:
            module.training = training
    return Samples(masks, kept, good.clone())


def predictive_entropy(probabilities: Tensor) -> Tensor:
    """-sum_k p_k ln p_k of every pixel, in nats: (B, K, H, W) -> (B, H, W); 0 for a one-hot p, ln K for a uniform one."""
    return torch.special.entr(probabilities).sum(1)


def certainty(probabilities: Tensor, foreground: bool = False) -> Tensor:
    """1 - mean predictive entropy / ln K of every image: (B, K, H, W) -> (B,) in [0, 1].

    The paper's "average aggregated predictive entropy" (section 4.3), turned round so that high means good as for all
    methods. It is no estimate of a quality, so no MAE is computed from it; correlation and eAURC do not depend on the
    scale, for which the published code divides by sqrt(K). Most pixels are certain background, so the mean over the
    whole image mostly counts how large the object is. NaN where a probability is.

    `foreground` weights every pixel with its foreground probability 1 - p_0. The benchmark of Zenk et al. (2025)
    averages over the pixels of the predicted foreground; weights need no rule for an empty mask.

    Raises:
        BadInput: not (B, K, H, W) of at least two classes.
    """
    if not isinstance(probabilities, Tensor) or probabilities.ndim != 4 or probabilities.shape[1] < 2:
        given = tuple(probabilities.shape) if isinstance(probabilities, Tensor) else type(probabilities).__name__
        raise BadInput(f"probabilities are {given}; give (B, K, H, W) of K classes, at least 2")
    entropy = predictive_entropy(probabilities).flatten(1) / math.log(probabilities.shape[1])
    if not foreground:
        return 1 - entropy.mean(1)
    weight = (1 - probabilities[:, 0]).flatten(1).clamp_min(1e-12)
    return 1 - (entropy * weight).sum(1) / weight.sum(1)


def score_agreement(masks: Tensor, g: Quality, empty: str = "one") -> Tensor:
    """Mean quality over all n(n-1)/2 pairs of the samples, of every image and class.

    Args:
        masks: integer label maps (n, B, H, W), n at least 2.
        g: the quality, with its number of classes.
        empty: what a pair counts if both lack the class: "one", the rule of `quality.absent_as_right`, "zero", or
            "published": one for Dice and zero for surface Dice, as the published code has it.

    Returns:
        (B, classes) float32 in [0, 1] on the masks' device, without NaN.

    Raises:
        BadInput: a wrong shape or label, fewer than two samples, an unknown `empty`, a bad spacing or tolerance.
    """
    one_of(empty, "empty", ("one", "zero", "published"))
    masks = as_labels(masks, g.num_classes, "masks")
    if masks.ndim != 4 or len(masks) < 2:
        raise BadInput(f"masks have shape {tuple(masks.shape)}; give at least two samples, as (n, B, H, W)")
    scores = _all_pairs(masks, g) if g.measure.bits else _one_pair_after_another(masks, g)  # (B, classes, pairs)
    rule = g.measure.published_empty if empty == "published" else empty
    return torch.where(scores.isnan(), 1.0 if rule == "one" else 0.0, scores).mean(2)


def _one_pair_after_another(masks: Tensor, g: Quality) -> Tensor:
    """(n, B, H, W) -> (B, classes, pairs), NaN where both samples lack the class: for any quality."""
    labels = range(0 if g.include_background else 1, g.num_classes)
    there = torch.stack([(masks == label).flatten(2).any(2) for label in labels], 2)  # (n, B, classes)
    pairs = itertools.combinations(range(len(masks)), 2)
    return torch.stack([g(masks[i], masks[j]).masked_fill(~(there[i] | there[j]), torch.nan) for i, j in pairs], dim=2)


def _all_pairs(masks: Tensor, g: Quality) -> Tensor:
    """As `_one_pair_after_another`, for a quality (c_ij + c_ji) / (c_ii + c_jj): see `quality.Measure.bits`.

    One matrix product gives all pairs, over those pixels alone that any sample uses.
    """
    n, batch = masks.shape[:2]
    strip, own, other = g.measure.bits(masks, g)
    own, other = (x.view(n, batch * strip.groups, -1) for x in (own, other))
    counts = _pair_counts(own, other, bits=min(8, g.num_classes))
    counts = counts.view(batch, -1, n, n)[:, strip.first : g.num_classes]  # (B, classes, n, n)
    self_count = counts.diagonal(dim1=2, dim2=3)
    scores = (counts + counts.mT) / (self_count[..., :, None] + self_count[..., None, :])
    i, j = torch.triu_indices(n, n, offset=1, device=masks.device)
    return scores[:, :, i, j]


def _pair_counts(own: Tensor, other: Tensor, bits: int) -> Tensor:
    """Pixels with bit k in `own[i]` and in `other[j]`: uint8 (n, tiles, pixels) -> (tiles, bits, n, n)."""
    n, tiles, pixels = own.shape
    bit = torch.arange(bits, dtype=torch.uint8, device=own.device).view(-1, 1)
    union = reduce(torch.bitwise_or, own)  # (tiles, pixels): what any sample uses
    row, pixel = (union[:, None] >> bit & 1).flatten(0, 1).nonzero(as_tuple=True)
    used = torch.bincount(row, minlength=tiles * bits)
    rank = torch.arange(len(row), device=row.device) - (used.cumsum(0) - used)[row]
    # Rows with fewer used pixels are filled up with the last one, which lies in the gap and is zero.
    columns = torch.full((tiles * bits, max(1, int(used.max()))), pixels - 1, device=row.device)
    columns[row, rank] = pixel
    columns = columns.view(tiles, bits, -1).expand(n, -1, -1, -1)
    own, other = (x[:, :, None].expand(-1, -1, bits, -1).gather(3, columns) >> bit & 1 for x in (own, other))
    # Contiguous while it is bytes, because the matrix product would otherwise copy the floats.
    own, other = (x.permute(1, 2, 0, 3).contiguous().float() for x in (own, other))
    # (tiles, bits, n, used) times (tiles, bits, used, n); sums of 0 and 1 are exact in float32 below 2^24.
    return own @ other.mT
