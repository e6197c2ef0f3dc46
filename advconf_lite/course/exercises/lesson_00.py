"""Would you have noticed? Twelve outlines without truth: how many are failures, and how many of them were caught."""

from __future__ import annotations

import numpy as np

from advconf_lite.course.exercise import Choice, Exercise, Mistake, Option

FAILURE = 0.7  # a Dice below it is called a failure in this course


def _failures(dice) -> int:
    return int((np.asarray(dice) < FAILURE).sum())


def _caught(picks, dice) -> int:
    return sum(bool(dice[pick] < FAILURE) for pick in set(picks))


EXERCISES = (
    Exercise(
        "how_many_failures",
        f"Count the outlines whose Dice is below {FAILURE}.",
        right=_failures,
        mistakes=(
            Mistake(lambda dice: len(dice) - _failures(dice), "that is how many are good: a failure is *below* the line."),
            Mistake(lambda dice: _failures(dice) / len(dice), "that is their share; how many are there?"),
        ),
        hint="Compare each Dice with the line, and count.",
    ),
    Exercise(
        "caught",
        f"Write caught(picks, dice): how many of the slices that were sent back are failures (Dice below {FAILURE})? Picks "
        "count from 0 here, as dice does.",
        right=_caught,
        cases=lambda: {
            "four picks, two of them failures": ([0, 3, 5, 7], np.array([0.4, 0.9, 0.9, 0.8, 0.6, 0.1, 0.9, 0.9])),
            "no picks": ([], np.array([0.4, 0.9])),
            "a slice picked twice": ([1, 1, 2], np.array([0.9, 0.2, 0.95, 0.3])),
        },
        mistakes=(
            Mistake(lambda picks, dice: len(picks), "you counted what was sent back; some of those are good."),
            Mistake(lambda picks, dice: _failures(dice), "you counted all failures, also those that nobody picked."),
            Mistake(
                lambda picks, dice: sum(bool(dice[pick] < FAILURE) for pick in picks),
                "a slice that was picked twice is caught once.",
            ),
            Mistake(
                lambda picks, dice: sum(bool(dice[pick - 1] < FAILURE) for pick in set(picks)),
                "picks count from 0 here, as dice does: take dice[pick].",
            ),
            Mistake(
                lambda picks, dice: sum(bool(dice[pick - 1] < FAILURE) for pick in picks),
                "picks count from 0 here, as dice does: take dice[pick]; and a slice that was picked twice is caught once.",
            ),
        ),
    ),
)

CHOICES = (
    Choice(
        "smooth_outline",
        "An outline is smooth, closed, and where you would expect the organ. What do you know of its Dice?",
        {
            "a": Option("It is high.", "smoothness is a habit of the network, and it keeps it when it is wrong."),
            "b": Option("Nothing certain.", "the network was trained to draw such shapes, and does so anywhere.", True),
            "c": Option(
                "It is low.", "being plausible is no sign of failure either: most plausible outlines are good at the source."
            ),
            "d": Option(
                "It is what the softmax says.", "the softmax is the network's own opinion; lesson 02 asks how far it falls."
            ),
        },
    ),
)
