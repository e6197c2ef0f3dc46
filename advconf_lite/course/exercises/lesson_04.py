"""Does it help? Areas under risk-coverage curves by hand, the bootstrap's unit, and what an interval supports."""

from __future__ import annotations

import numpy as np

from advconf_lite.course.comparing import Band
from advconf_lite.course.exercise import Choice, Exercise, Mistake, Option
from advconf_lite.evaluation.bootstrap import draw_subjects, percentiles
from advconf_lite.metrics import aurc, eaurc, weighted_metrics

FIVE = {
    "predicted": np.array([0.9, 0.8, 0.7, 0.6, 0.5]),
    "true": np.array([0.9, 0.4, 0.8, 0.7, 0.6]),  # the second best promise is the worst slice
}


def _running_risk(order, true) -> float:
    risk = 1 - np.asarray(true, float)[order]
    return float((np.cumsum(risk) / np.arange(1, len(risk) + 1)).mean())


def _aurc(confidence, true) -> float:
    return _running_risk(np.argsort(-np.asarray(confidence), kind="stable"), true)


def _released(predicted, true, share):
    kept = np.argsort(-np.asarray(predicted), kind="stable")[: round(share * len(true))]
    return float((1 - np.asarray(true))[kept].mean())


def _slices() -> dict[str, tuple]:
    rng = np.random.default_rng(0)
    true = rng.uniform(0.2, 1.0, 12)
    return {
        "five slices": (FIVE["predicted"], FIVE["true"]),
        "twelve slices": (true + rng.normal(0, 0.2, 12), true),
        "a perfect order": (true**2, true),
    }


def _width(subjects, predicted, true, resamples: int = 2000) -> float:
    import pandas as pd

    weights = draw_subjects(pd.Series(np.asarray(subjects)), resamples)
    low, high = percentiles(weighted_metrics(np.asarray(predicted), np.asarray(true), weights, ["mae"])["mae"])
    return high - low


def _width_ratio(subjects, predicted, true) -> float:
    slices = np.arange(len(predicted)).astype(str)
    return _width(subjects, predicted, true) / _width(slices, predicted, true)


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
        ),
    ),
    Exercise(
        "released_risk",
        "Write released_risk(predicted, true, share): release that share of the slices, the best promised ones; what is "
        "their mean risk?",
        right=_released,
        cases=lambda: {f"{label}, {share:.0%}": (*pair, share) for label, pair in _slices().items() for share in (0.4, 1.0)},
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
        ),
        praise="one point of the risk-coverage curve; the triage desk draws yours.",
    ),
    Exercise(
        "width_ratio",
        "How many times wider is the interval of the MAE when subjects are drawn anew than when slices are?",
        right=lambda subjects, predicted, true: _around(_width_ratio(subjects, predicted, true)),
        mistakes=(
            Mistake(
                lambda subjects, predicted, true: _around(1 / _width_ratio(subjects, predicted, true)),
                "the other way round: divide the subjects' width by the slices'.",
            ),
            Mistake(
                lambda subjects, predicted, true: Band(0.97, 1.03), "equal widths: was the same thing drawn anew in both?"
            ),
        ),
        praise="slices of one subject resemble each other; drawing slices pretends to know more people than were measured.",
        hint="Draw subjects with replacement, and take all slices of each as often as it was drawn.",
    ),
)


def _around(ratio: float) -> Band:
    """The student's draws are other ones."""
    return Band(0.85 * ratio, 1.15 * ratio)


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
