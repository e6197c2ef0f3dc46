"""Surface Dice and its agreement beside MONAI, on one thread: `python benchmarks/bench_quality.py`.

Both sides get their own input ready-made: MONAI one-hot masks (bool, with which it was faster than with
float), ours int64 label maps. Seconds are the processor's, and runs are interleaved, so that a busy machine slows both;
the ratio is the median, with quartiles, of MONAI's time in a round over the median of our five in it.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
import warnings
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--agreement-repeats", type=int, default=3, help="pairwise MONAI calls are slow; 0: none")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")  # MONAI warns of every empty mask, and of its own deprecated argument
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
