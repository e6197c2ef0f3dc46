"""Does it help? Areas under risk-coverage curves by hand, the bootstrap's unit, and what an interval supports."""

from __future__ import annotations

import math

import numpy as np

from advconf_lite.course.exercise import Choice, Exercise, Mistake, Option
from advconf_lite.evaluation.bootstrap import draw_subjects
from advconf_lite.metrics import aurc, eaurc, mae, weighted_metrics

FIVE = {
    "predicted": np.array([0.9, 0.8, 0.7, 0.6, 0.5]),
    "true": np.array([0.9, 0.4, 0.8, 0.7, 0.6]),  # the second best promise is the worst slice
}


def _running_risk(order, true) -> float:
    risk = 1 - np.asarray(true, float)[order]
    return float((np.cumsum(risk) / np.arange(1, len(risk) + 1)).mean())


def _aurc(confidence, true) -> float:
    return _running_risk(np.argsort(-np.asarray(confidence), kind="stable"), true)


def _released(predicted, true, share, whole=round):
    kept = np.argsort(-np.asarray(predicted), kind="stable")[: whole(share * len(true))]
    return float((1 - np.asarray(true))[kept].mean())


def _slices() -> dict[str, tuple]:
    rng = np.random.default_rng(0)
    true = rng.uniform(0.2, 1.0, 12)
    return {
        "five slices": (FIVE["predicted"], FIVE["true"]),
        "twelve slices": (true + rng.normal(0, 0.2, 12), true),
        "a perfect order": (true**2, true),
    }


def _draws() -> dict[str, tuple]:
    """How often each of eight slices of four subjects is drawn, in three draws of the bootstrap; and their errors."""
    import pandas as pd

    weights = draw_subjects(pd.Series(list("aabbbcdd")), 3)
    return {"three draws": (weights, np.linspace(0.1, 0.8, 8) ** 2)}


def _mae_of_draws(weights, errors):
    return weighted_metrics(np.asarray(errors), np.zeros(len(errors)), np.asarray(weights), ["mae"])["mae"]


EXERCISES = (
    Exercise(
        "aurc_by_hand",
        "Five slices are promised 0.9, 0.8, 0.7, 0.6, 0.5 and are worth 0.9, 0.4, 0.8, 0.7, 0.6. What is the AURC?",
        right=lambda predicted, true: aurc(predicted, true),
        given=lambda: FIVE,
        tolerance=2e-3,
        mistakes=(
            Mistake(
                lambda predicted, true: _aurc(true, true),
                "that is the oracle's: it accepts by the true score. Accept by what was promised.",
            ),
            Mistake(
                lambda predicted, true: float(np.mean(1 - true)),
                "that is the mean risk, whatever the order: the last point of the curve alone.",
            ),
            Mistake(
                lambda predicted, true: 1 - _aurc(predicted, true),
                "you averaged scores; the risk of a slice is 1 minus its score.",
            ),
            Mistake(lambda predicted, true: _aurc(-predicted, true), "you accepted the worst promise first."),
        ),
        praise="now take off the oracle's, and what is left is the price of the wrong order: the eAURC.",
        hint="Accept one slice, two, ... five; each time note the mean risk of the accepted; take the mean of the five.",
    ),
    Exercise(
        "my_eaurc",
        "Write my_eaurc(predicted, true): the AURC, minus that of the oracle, which accepts by the true score.",
        right=eaurc,
        cases=_slices,
        mistakes=(
            Mistake(lambda predicted, true: _aurc(predicted, true), "that is the AURC; take off the oracle's."),
            Mistake(
                lambda predicted, true: _aurc(true, true) - _aurc(predicted, true), "the other way round: never below 0."
            ),
            Mistake(
                lambda predicted, true: _aurc(-predicted, true) - _aurc(true, true),
                "you accept the lowest promise first; a perfect order must give 0.",
            ),
            Mistake(
                lambda predicted, true: _aurc(-predicted, true) - _aurc(-true, true),
                "both orders are ascending: argsort puts the lowest first, so sort by minus the score.",
            ),
        ),
    ),
    Exercise(
        "released_risk",
        "Write released_risk(predicted, true, share): release that share of the slices, round(share * n) of them, the best "
        "promised ones; what is their mean risk?",
        right=_released,
        cases=lambda: {
            f"{label}, {share:.0%}": (*pair, share) for label, pair in _slices().items() for share in (0.2, 0.4, 1.0)
        },
        mistakes=(
            Mistake(
                lambda predicted, true, share: _released(-np.asarray(predicted), true, share),
                "you released the slices that were promised least.",
            ),
            Mistake(
                lambda predicted, true, share: 1 - _released(predicted, true, share),
                "that is the mean score of what is released; its risk is 1 minus that.",
            ),
            Mistake(
                lambda predicted, true, share: _released(true, true, share),
                "you sorted by the true score, which nobody has who must decide.",
            ),
            *(
                Mistake(
                    lambda predicted, true, share, whole=whole: _released(predicted, true, share, whole),
                    "the number of slices is rounded to the nearest one: round(share * n).",
                )
                for whole in (math.floor, math.ceil)
            ),
        ),
        praise="one point of the risk-coverage curve; the triage desk draws yours.",
    ),
    Exercise(
        "mae_of_draws",
        "Write mae_of_draws(weights, errors): the MAE of each draw, (draws,). `weights` (draws, n) says how often each "
        "slice was drawn, 0 times too; `errors` (n,) are the absolute errors.",
        right=_mae_of_draws,
        cases=_draws,
        mistakes=(
            Mistake(
                lambda weights, errors: (weights * errors).mean(1),
                "subjects have different numbers of slices, so a draw has not always n: divide by the sum of its weights.",
            ),
            Mistake(lambda weights, errors: (weights * errors).sum(1), "that is the sum; divide by how many were drawn."),
            Mistake(
                lambda weights, errors: np.full(len(weights), mae(errors, np.zeros(len(errors)))),
                "every draw has the same MAE: a slice that was drawn twice counts twice, and one that was not, not at all.",
            ),
        ),
        praise="the same line serves whatever is drawn, slices or subjects: only the weights differ.",
        hint="A mean in which each error counts as often as its slice was drawn: one number for each row of `weights`.",
    ),
)


CHOICES = (
    Choice(
        "supported_sentence",
        "Adversarial minus plain, correlation: -0.022, 95 % interval -0.038 to -0.006, from one segmenter seed. Which "
        "sentence does it support?",
        {
            "a": Option(
                "Adversarial training harms confidence prediction.",
                "that is about all segmenters, organs and scanners; the interval is about one segmenter.",
            ),
            "b": Option(
                "For this segmenter and these scanners, the adversarial head's order is worse.",
                "it says of whom, and in which direction; another segmenter seed may still turn it.",
                True,
            ),
            "c": Option(
                "There is no difference: 0.022 is small.", "small and not there are two things: the interval leaves out 0."
            ),
            "d": Option(
                "With 95 % probability the next segmenter shows the same.",
                "no other segmenter was drawn: what there is one of has no spread here.",
            ),
        },
    ),
    Choice(
        "high_correlation",
        "On one scanner a head's predictions correlate with the true Dice at r = 0.95. Are its numbers right?",
        {
            "a": Option("Yes, within about 5 per cent.", "r knows no units: half of every score correlates as well."),
            "b": Option(
                "Not necessarily: all may be too high by 0.3.",
                "r forgets shift and scale; the MAE and the scatter do not.",
                True,
            ),
            "c": Option("Yes, if there are enough slices.", "more slices make r more certain, and the numbers no better."),
            "d": Option("No, they must be wrong.", "they may be right; r does not tell."),
        },
    ),
)
