"""Your own images: which slices to look at first, and what a slice set may hide."""

from __future__ import annotations

import numpy as np

from advconf_lite.course.exercise import Choice, Exercise, Mistake, Option


def _worst_first(predicted, budget) -> list[int]:
    return np.argsort(np.asarray(predicted), kind="stable")[:budget].tolist()


EXERCISES = (
    Exercise(
        "worst_first",
        "Write worst_first(predicted, budget): the numbers of the slices to look at, the lowest grade first.",
        right=_worst_first,
        cases=lambda: {
            "five slices, budget 2": (np.array([0.9, 0.2, 0.7, 0.1, 0.8]), 2),
            "a budget for all": (np.array([0.5, 0.4, 0.6]), 3),
        },
        mistakes=(
            Mistake(
                lambda predicted, budget: np.argsort(-np.asarray(predicted), kind="stable")[:budget].tolist(),
                "those are the slices of the highest grades; begin at the other end.",
            ),
            Mistake(
                lambda predicted, budget: np.sort(predicted)[:budget].tolist(),
                "those are the grades; which slices have them? (np.argsort)",
            ),
            Mistake(
                lambda predicted, budget: _worst_first(predicted, len(predicted)),
                "all slices are there: a budget says how many somebody has the time to look at.",
            ),
        ),
        praise="this list is what a head is for.",
    ),
    Exercise(
        "planted_errors",
        'Three slices are wrong. Give {"leak": ..., "label": ..., "constant": ...}, each the number of one slice, from 0: '
        "the one whose split is not that of its subject's other slices, the one with a label that has no name, the one of "
        "one grey value.",
        right=lambda leak, label, constant: {"leak": leak, "label": label, "constant": constant},
        tolerance=0,
        mistakes=(
            Mistake(
                lambda leak, label, constant: {"leak": label, "label": leak, "constant": constant},
                "leak and label are exchanged.",
            ),
            Mistake(
                lambda leak, label, constant: {"leak": leak + 1, "label": label + 1, "constant": constant + 1},
                "each is one too high: slices count from 0.",
            ),
        ),
        praise="`verify` finds such things before a network learns from them.",
        hint="Slice 1 of the picture is number 0. `table` has each slice's subject and split; masks.max((1, 2)) and "
        "images.std((1, 2)) have a number per slice.",
    ),
)

CHOICES = (
    Choice(
        "own_scanner",
        "You have 30 images of your own scanner, without masks. What can a head trained elsewhere give you?",
        {
            "a": Option(
                "Their Dice.", "a prediction of it, from a scanner that it has never seen; lesson 04 has its errors."
            ),
            "b": Option(
                "An order in which to look at them, if you have checked it.",
                "looking at the lowest grades first costs little; a few outlines by hand say whether the order is worth "
                "more than lots.",
                True,
            ),
            "c": Option("Proof that the segmenter works here.", "no truth of your scanner has entered anywhere."),
            "d": Option("Nothing.", "an order that is better than lots saves time; outline a few to see whether it is."),
        },
    ),
)
