"""A silent failure: Dice and its conventions, failures that the network is sure of, a class that is absent."""

from __future__ import annotations

import numpy as np
import torch

from advconf_lite.course.comparing import Band
from advconf_lite.course.exercise import Choice, Exercise, Mistake, Option
from advconf_lite.course.exercises.lesson_00 import FAILURE
from advconf_lite.quality import absent_as_right, aggregate, dice

SURE = 0.9  # a network that gives its labels more than this is called sure


def _dice(a, b) -> float:
    return dice(*(torch.as_tensor(np.asarray(mask)).long()[None] for mask in (a, b)), 2).item()


def _masks() -> dict[str, tuple]:
    a, b, empty = np.zeros((3, 8, 8), bool)
    a[2:6, 2:6], b[3:7, 2:6] = True, True
    return {
        "two masks that overlap": (a, b),
        "an empty second mask": (a, empty),
        "an empty first mask": (empty, a),
        "two empty masks": (empty, empty.copy()),
    }


def _by_hand(a, b, both_empty: float) -> float:
    total = a.sum() + b.sum()
    return 2 * (a & b).sum() / total if total else both_empty


def _silent(dice, certainty) -> int:
    return int(((np.asarray(dice) < FAILURE) & (np.asarray(certainty) > SURE)).sum())


EXERCISES = (
    Exercise(
        "my_dice",
        "Write my_dice(a, b) for two boolean masks: twice the overlap, by the sum of both sizes. Two empty masks count 1.",
        right=_dice,
        cases=_masks,
        mistakes=(
            Mistake(
                lambda a, b: _by_hand(a, b, 0.0),
                "what should two empty masks get? The paper does not say; this course counts 1: agreeing is right.",
            ),
            Mistake(
                lambda a, b: _by_hand(a, b, float("nan")),
                "two empty masks give 0 / 0 here, and NaN spoils every mean; this course counts them 1.",
            ),
            Mistake(
                lambda a, b: (a & b).sum() / max((a | b).sum(), 1) if (a | b).any() else 1.0,
                "that is the Jaccard index: the overlap by the union. Dice is twice the overlap by the sum of sizes.",
            ),
            Mistake(
                lambda a, b: (a & b).sum() / (a.sum() + b.sum()) if (a | b).any() else 1.0,
                "two equal masks would get one half: the overlap counts twice, since it is in both sizes.",
            ),
            Mistake(
                lambda a, b: _by_hand(a, b, 1.0) if a.any() else 1.0,
                "if only the first mask is empty, all of the second one is wrong: 0. Two empty masks count 1.",
            ),
            Mistake(
                lambda a, b: _by_hand(a, b, 1.0) if b.any() else 1.0,
                "if only the second mask is empty, all of the first one is wrong: 0. Two empty masks count 1.",
            ),
        ),
        praise="that is the paper's volumetric Dice, of one slice and one class.",
    ),
    Exercise(
        "silent_failures",
        f"Count the slices that fail (Dice below {FAILURE}) while the network is sure (mean probability of its labels above "
        f"{SURE}).",
        right=_silent,
        mistakes=(
            Mistake(
                lambda dice, certainty: int((np.asarray(dice) < FAILURE).sum()),
                "those are all failures; a silent one is a failure that the network is sure of.",
            ),
            Mistake(
                lambda dice, certainty: int(((np.asarray(dice) < FAILURE) | (np.asarray(certainty) > SURE)).sum()),
                "you counted slices that are one *or* the other; both at once was asked for.",
            ),
            Mistake(
                lambda dice, certainty: int(((np.asarray(dice) >= FAILURE) & (np.asarray(certainty) > SURE)).sum()),
                "those are the good slices that it is rightly sure of.",
            ),
        ),
        tolerance=2,
        praise="the network's own certainty would have flagged none of them.",
    ),
    Exercise(
        "halve_the_dice",
        "Scanner console: find a change of the scanner that at least halves the Dice, and give "
        '{"before": ..., "after": ...}; the milder the change, the better.',
        right=lambda before: {"before": before, "after": Band(0.0, before / 2)},
        tolerance=5e-3,
        mistakes=(
            Mistake(lambda before: {"before": before, "after": Band(before - 5e-3, 1.0)}, "nothing is lost yet; turn on."),
            Mistake(
                lambda before: {"before": before, "after": Band(before / 2, before)},
                "the Dice has fallen, but not to one half; which control does the network mind most?",
            ),
        ),
        praise="now look at the image: would you have sent it back?",
    ),
    Exercise(
        "slice_score",
        "Write slice_score(scores): one number for a slice, the mean over its classes. NaN, a class that is in neither "
        "mask, counts as 1.",
        right=lambda scores: aggregate(absent_as_right(torch.as_tensor(np.asarray(scores, float))[None])).item(),
        cases=lambda: {
            "a class that truth lacks and the network draws": (np.array([0.9, 0.9, 0.0]),),
            "a class that neither has": (np.array([0.9, 0.6, np.nan]),),
            "three classes": (np.array([0.8, 0.7, 0.9]),),
        },
        mistakes=(
            Mistake(
                lambda scores: float(np.nanmean(scores)),
                "you left the absent class out; then agreeing on absence is worth nothing. Here it counts 1.",
            ),
            Mistake(
                lambda scores: float(np.nan_to_num(scores).mean()),
                "NaN became 0: a network that rightly draws nothing would be punished.",
            ),
            Mistake(lambda scores: float(np.mean(scores)), "one NaN makes the mean NaN."),
        ),
        praise="0.9, 0.9 and 0 make 0.6: a rule of scoring made that peak of the histogram, and no scanner.",
    ),
)

CHOICES = (
    Choice(
        "absent_class",
        "A slice has no right ventricle in the truth; the network draws 64 pixels of one. What is that class's Dice?",
        {
            "a": Option("1, since nearly all pixels agree.", "Dice does not count background that agrees."),
            "b": Option("0, however few pixels were drawn.", "nothing overlaps: 2 x 0 / (0 + 64) = 0.", True),
            "c": Option("It is undefined.", "only where *both* masks lack the class is it 0 / 0."),
            "d": Option("A little below 1, since 64 pixels are few.", "Dice knows no size: one pixel would give 0, too."),
        },
    ),
)
