"""A lower bound of the true score that holds for a stated share of new patients' slices: split conformal prediction.

The people whose slices were labelled and the next person of the same scanner are exchangeable; slices of one person are
not, so people are counted. What is compared is the source's own map (`calibration.Start`), which has seen none of the
labels: so the bound holds for at least its share, whether a correction is used or refused. It says nothing about another
scanner.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from advconf_lite.evaluation.calibration import Map
from advconf_lite.support.errors import BadInput
from advconf_lite.support.numbers import one_of, real

# What is promised: one slice, drawn from a new patient, lies above its bound; or all slices of a new patient do.
UNITS = ("slice", "patient")


@dataclass(frozen=True)
class Bound:
    """Attributes:
    margin: what is taken off the score that the source's map expects; None if people are too few for the level.
    people: whose labels it is made of.
    sentence: what it promises, or what lacks.
    """

    level: float
    margin: float | None
    people: int
    unit: str
    sentence: str

    def below(self, expected: Any) -> np.ndarray:
        """Bounds (n,) of slices for which the source's map expects `expected`; NaN without a margin."""
        expected = np.asarray(expected, float)
        return np.full(expected.shape, np.nan) if self.margin is None else np.clip(expected - self.margin, 0, 1)


def check_level(level: Any) -> float:
    """The level as a float; BadInput unless it lies between 0 and 1."""
    found = real(level)
    if found is None or not 0 < found < 1:
        raise BadInput(f"level is {level!r}; give a number between 0 and 1, such as 0.9")
    return found


def rank_of(level: float, people: int) -> int:
    """Which of the people's errors, the smallest first, is the margin: the finite-sample quantile."""
    return math.ceil((people + 1) * level - 1e-9)


def fewest_people(level: float) -> int:
    """How many people a level takes: 9 for 90 %."""
    return math.ceil(level / (1 - level) - 1e-9)


def possible_level(people: int) -> float:
    """The highest level in hundredths that so many people, 1 or more, are enough for."""
    return math.floor(100 * people / (people + 1) + 1e-9) / 100


def lower_bound(
    predicted: np.ndarray,
    true: np.ndarray,
    subjects: Sequence[Any],
    start_map: Map,
    level: float = 0.9,
    unit: str = "slice",
    seed: int = 0,
) -> Bound:
    """The margin by which the source's map overrates a labelled person's slice, at the quantile of a level.

    For `unit` "slice" each person counts with one of the labelled slices, drawn with the seed: then a slice of a new person
    lies above its bound with at least this probability, if chance has chosen which slices are labelled; and with at most
    1 / (people + 1) more, if no two errors are equal. For "patient" each counts with the worst one: then all slices of a new
    person do, if all of the labelled people's are labelled; of a few the worst is not bad enough.

    Raises:
        BadInput: the level is not between 0 and 1, or no such unit.
    """
    level = check_level(level)
    one_of(unit, "unit", UNITS)
    predicted = np.asarray(predicted, float)
    known = np.isfinite(predicted)
    errors = start_map(predicted[known]) - np.asarray(true, float)[known]
    # In the order of the draw, or the worst first: each person's first one counts.
    order = np.argsort(-errors) if unit == "patient" else np.random.default_rng(seed).permutation(len(errors))
    errors = np.sort(errors[order][np.unique(np.asarray(subjects)[known][order], return_index=True)[1]])
    people, needed = len(errors), fewest_people(level)
    if people < needed:
        possible = f", or ask for a level of at most {possible_level(people):g}" if people else ""
        lacks = f"no lower bound at level {level:g}: it takes labels of at least {needed} patients, and these are {people}"
        return Bound(level, None, people, unit, lacks + possible)
    margin = float(errors[rank_of(level, people) - 1])
    of = "of 100 slices, each of another new patient of this scanner," if unit == "slice" else "of 100 new patients"
    what = "are not below their bound" if unit == "slice" else "have no slice below its bound"
    if_so = "their labelled slices were drawn by chance" if unit == "slice" else "all slices of each are labelled"
    promise = f"{of} on average at least {100 * level:g} {what} (from {people} labelled patients, if {if_so})"
    return Bound(level, margin, people, unit, promise)
