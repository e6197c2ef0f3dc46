"""Surface Dice and its agreement beside MONAI, on one thread.

    python benchmarks/bench_quality.py
    python benchmarks/bench_quality.py --pairs 5000    # values alone, of random pairs

Both sides get their own input ready-made: MONAI one-hot masks (bool, with which it was faster than with
float), ours int64 label maps. Seconds are the processor's, and runs are interleaved, so that a busy machine slows both;
the ratio is the median, with quartiles, of MONAI's time in a round over the median of our five in it.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import time
import warnings
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage

from advconf_lite.agreement import score_agreement
from advconf_lite.quality import Quality, surface_dice

CLASSES, TOLERANCE = 4, 3.0


def smooth_scores(n: int, size: int, seed: int) -> torch.Tensor:
    """(n, CLASSES, size, size): noise on an 8 x 8 grid, enlarged; its argmax is a smooth random label map."""
    coarse = torch.randn(n, CLASSES, 8, 8, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(coarse, size=(size, size), mode="bicubic")


def label_maps(n: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two similar batches (n, size, size); the first images are empty in one or both, or hold one pixel."""
    scores = smooth_scores(n, size, seed=0)
    pred, target = scores.argmax(1), (scores + 0.3 * smooth_scores(n, size, seed=1)).argmax(1)
    pred[0] = target[0] = 0  # empty in both
    pred[1] = 0
    target[2] = 0
    pred[3] = target[3] = 0
    pred[3, 5, 5] = target[3, 7, 6] = 1  # one pixel each, within the tolerance
    pred[4] = 0
    pred[4, 0, 0] = 2
    return pred, target


def samples(n: int, images: int, size: int) -> torch.Tensor:
    """(n, images, size, size): n similar label maps of each image."""
    scores = smooth_scores(images, size, seed=2)
    noise = (0.2 * smooth_scores(images, size, seed=3 + i) for i in range(n))
    masks = torch.stack([(scores + one).argmax(1) for one in noise])
    masks[:, 0][masks[:, 0] == 3] = 0  # a class that no sample of an image has
    return masks


def one_hot(labels: torch.Tensor) -> torch.Tensor:
    return F.one_hot(labels, CLASSES).movedim(-1, 1).bool()


def monai_surface_dice(pred: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """MONAI's scores of one-hot masks (B, CLASSES, H, W), without background, in pixels."""
    from monai.metrics import compute_surface_dice

    return compute_surface_dice(pred, target, [TOLERANCE] * (CLASSES - 1), spacing=1.0)


def monai_agreement(masks: torch.Tensor) -> torch.Tensor:
    """Mean over pairs of one-hot samples (n, B, CLASSES, H, W), one MONAI call per pair; NaN counts as 1."""
    pairs = [monai_surface_dice(a, b) for a, b in itertools.combinations(masks, 2)]
    return torch.stack(pairs).nan_to_num(nan=1.0).mean(0)


def compare(name: str, ours, theirs, repeats: int) -> float:
    """Print the median times, their ratio and the largest difference; return the ratio."""
    ours_seconds, theirs_seconds, ratios = [], [], []
    for _ in range(repeats):
        start = time.process_time()
        reference = theirs()
        theirs_seconds.append(time.process_time() - start)
        for _ in range(5):
            start = time.process_time()
            result = ours()
            ours_seconds.append(time.process_time() - start)
        ratios.append(theirs_seconds[-1] / statistics.median(ours_seconds[-5:]))
    same_nan = torch.equal(result.isnan(), reference.isnan())
    difference = (result - reference).nan_to_num(nan=0.0).abs().max().item()
    a, b = statistics.median(theirs_seconds), statistics.median(ours_seconds)
    low, ratio, high = np.percentile(ratios, (25, 50, 75))
    print(
        f"{name:34s} MONAI {a * 1e3:9.1f} ms   ours {b * 1e3:7.1f} ms   ratio {ratio:6.0f} [{low:.0f}, {high:.0f}]   "
        f"largest difference {difference:.1e}   "
        f"NaN {int(result.isnan().sum())}, {'same' if same_nan else 'DIFFERENT'}"
    )
    return ratio


def random_pair(seed: int) -> tuple[torch.Tensor, torch.Tensor, float, tuple[float, float]]:
    """Label maps (1, H, W), smooth or noise, some classes empty; a tolerance and a spacing, in half the pairs round ones, of
    which many distances are equal to the tolerance."""
    draw = np.random.default_rng(seed)
    size = tuple(int(n) for n in draw.integers(1, 65, 2))
    if seed % 4:
        coarse = torch.from_numpy(draw.standard_normal((2, CLASSES, 5, 5))).float()
        coarse[1] = coarse[0] + draw.uniform(0, 1) * coarse[1]
        maps = F.interpolate(coarse, size=size, mode="bicubic").argmax(1)
    else:
        maps = torch.from_numpy(draw.integers(0, CLASSES, (2, *size)))
    maps[draw.integers(2)][torch.from_numpy(draw.random(size) < 0.5 * (seed % 8 == 1))] = 0
    maps[draw.integers(2)][maps[0] == draw.integers(CLASSES)] = 0
    if seed % 2:
        return maps[:1], maps[1:], float(draw.uniform(0, 6)), tuple(map(float, draw.uniform(0.5, 3, 2)))
    return maps[:1], maps[1:], float(draw.integers(0, 7)), tuple(float(n) for n in draw.choice([0.5, 1.0, 1.5, 2.0], 2))


def nearest_to(tolerance: float, pred: torch.Tensor, target: torch.Tensor, spacing: tuple[float, float]) -> float:
    """How near to the tolerance any distance from one boundary to the other comes, over all classes."""
    least = np.inf
    for label in range(1, CLASSES):
        one, other = ((each[0] == label).numpy() for each in (pred, target))
        edges = [mask & ~ndimage.binary_erosion(mask) for mask in (one, other)]
        for a, b in (edges, edges[::-1]):
            if a.any() and b.any():
                distances = ndimage.distance_transform_edt(~b, sampling=spacing)[a]
                least = min(least, np.abs(distances - tolerance).min())
    return least


def check_values(pairs: int) -> int:
    """Compare so many random pairs; returns how many differ where no distance equals the tolerance."""
    from monai.metrics import compute_surface_dice

    differ, unexplained, close, scores = 0, 0, 0, 0
    for seed in range(pairs):
        pred, target, tolerance, spacing = random_pair(seed)
        ours = surface_dice(pred, target, CLASSES, tolerance, spacing)
        theirs = compute_surface_dice(one_hot(pred), one_hot(target), [tolerance] * (CLASSES - 1), spacing=spacing)
        near = nearest_to(tolerance, pred, target, spacing) < 1e-5 * max(1.0, tolerance)
        close, scores = close + near, scores + int((~ours.isnan()).sum())
        same = torch.equal(ours.isnan(), theirs.isnan()) and torch.equal(ours.nan_to_num(), theirs.float().nan_to_num())
        differ += not same
        unexplained += not same and not near
    print(f"{pairs} pairs, {scores} scores; a distance equals the tolerance in {close}; {differ} pairs differ, "
          f"{unexplained} of them where none does")  # fmt: skip
    return unexplained


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--agreement-repeats", type=int, default=3, help="pairwise MONAI calls are slow; 0: none")
    parser.add_argument("--pairs", type=int, metavar="N", help="compare the values of N random pairs, and time nothing")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")  # MONAI warns of every empty mask, and of its own deprecated argument
    if options.pairs:
        sys.exit(bool(check_values(options.pairs)))
    for size in (128, 256):
        pair = label_maps(64, size)
        ours = partial(surface_dice, *pair, CLASSES, TOLERANCE)
        theirs = partial(monai_surface_dice, *map(one_hot, pair))
        compare(f"surface Dice, 64 maps, {size}", ours, theirs, options.repeats)
    for size in (128, 256) if options.agreement_repeats else ():
        masks = samples(15, 8, size)
        ours = partial(score_agreement, masks, Quality("surface_dice", CLASSES, TOLERANCE))
        theirs = partial(monai_agreement, torch.stack([one_hot(m) for m in masks]))
        compare(f"agreement N=15, 8 images, {size}", ours, theirs, options.agreement_repeats)


if __name__ == "__main__":
    main()
