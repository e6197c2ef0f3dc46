"""Score agreement: pairs of samples, their mean quality, and why it is no estimate."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import torch

from advconf_lite.agreement import score_agreement
from advconf_lite.course.exercise import Choice, Exercise, Mistake, Option
from advconf_lite.course.exercises.lesson_02 import _dice
from advconf_lite.quality import Quality


def _agreement(masks) -> float:
    samples = torch.as_tensor(np.asarray(masks)).long()[:, None]
    return score_agreement(samples, Quality("dice", num_classes=2)).item()


def _mean_dice(pairs) -> float:
    return float(np.mean([_dice(a, b) for a, b in pairs]))


def _samples() -> dict[str, tuple]:
    rng = np.random.default_rng(3)
    yy, xx = np.mgrid[:12, :12]
    centres = rng.uniform(4, 8, (4, 2))
    masks = np.stack([(yy - y) ** 2 + (xx - x) ** 2 < 12 for y, x in centres])
    some_empty = np.concatenate([masks[:2], np.zeros_like(masks[:2])])
    return {
        "four samples": (masks,),
        "two samples": (masks[:2],),
        "three equal ones": (masks[[0, 0, 0]],),
        "four samples, two of them empty": (some_empty,),
    }


EXERCISES = (
    Exercise(
        "pairs_of",
        "Write pairs_of(n): how many comparisons are there between n samples, each pair once?",
        right=lambda n: math.comb(n, 2),
        cases=lambda: {"2 samples": (2,), "15 samples": (15,), "3 samples": (3,)},
        mistakes=(
            Mistake(lambda n: n * n, "a sample is not compared with itself, nor each pair twice."),
            Mistake(lambda n: n * (n - 1), "each pair is counted twice: a with b, and b with a."),
            Mistake(lambda n: n - 1, "every sample with every other one, not with the first or its neighbour alone."),
        ),
        praise="105 for the paper's 15 samples, and each comparison costs what the quality costs.",
    ),
    Exercise(
        "my_agreement",
        "Write my_agreement(masks) for boolean samples (n, H, W): the mean Dice over all pairs, each pair once; two empty "
        "masks count 1.",
        right=_agreement,
        cases=_samples,
        mistakes=(
            Mistake(
                lambda masks: _mean_dice([(a, b) for a in masks for b in masks]),
                "each sample is compared with itself, too, and always agrees.",
            ),
            Mistake(
                lambda masks: _mean_dice([(masks[0], other) for other in masks[1:]]),
                "only pairs with the first sample; take all pairs.",
            ),
            Mistake(lambda masks: _mean_dice(list(zip(masks[:-1], masks[1:]))), "only neighbours; take all pairs."),
            Mistake(
                lambda masks: np.mean([_dice(a, b) * (a | b).any() for a, b in combinations(masks, 2)]),
                "two empty masks agree, and count 1.",
            ),
            Mistake(
                lambda masks: np.mean([_dice(a, b) if (a | b).any() else np.nan for a, b in combinations(masks, 2)]),
                "of two empty masks 0 / 0 is NaN; they agree, and count 1.",
            ),
        ),
        praise="it needs no truth and no training; it needs n passes.",
    ),
)

CHOICES = (
    Choice(
        "agreement_error",
        "Why do tables give no MAE for score agreement?",
        {
            "a": Option("It would be too large.", "its size is not the reason: a large error is an error all the same."),
            "b": Option("It costs too much to compute.", "the samples are there; the mean of a difference costs nothing."),
            "c": Option(
                "It is no estimate of the quality, only an order.",
                "samples that agree on a wrong outline agree well: the number is another quantity, and near the quality by "
                "luck until it is calibrated.",
                True,
            ),
            "d": Option("It is always 0.", "only if all samples were equal to the truth."),
        },
    ),
)
