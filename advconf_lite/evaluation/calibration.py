"""From a few labelled slices of a new scanner to a correction of predicted scores, or a refusal of one.

A correction is a map of one number, the predicted score. Where it starts from, before a label is seen, is what the source
says: the score itself for a method that estimates, the source's straight line for one that only ranks. Agreement becomes
an estimate this way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import stdtrit

from advconf_lite.support.errors import BadInput
from advconf_lite.support.numbers import one_of

FEWEST_PEOPLE = 3  # whose labelled slices can say whether a correction helps people who are not among them
# How far a new scanner may be from the source, as standard deviations, before any of its labels is seen. Scores lie in
# [0, 1] and fall by as much as 0.8 under massive shift; a slope of 0 (the order is lost) or 2 is nothing unusual.
SHIFT_OF_OFFSET, SHIFT_OF_SLOPE = 0.5, 1.0
CHANCE = 0.1  # of using a correction that helps nobody
EQUAL = 1e-9  # what differs by less is equal
LEVEL = "the map is level: all slices get one score, which no longer says which are worse"


@dataclass(frozen=True)
class Straight:
    """score = offset + slope * predicted, clipped to [0, 1]."""

    offset: float = 0.0
    slope: float = 1.0

    def __call__(self, predicted: Any) -> np.ndarray:
        return np.clip(self.unclipped(predicted), 0, 1)

    def unclipped(self, predicted: Any) -> np.ndarray:
        """What a threshold is chosen on and compared with: clipped, all scores beyond an end would be equal."""
        return self.offset + self.slope * _answers(predicted)

    def as_dict(self) -> dict[str, Any]:
        return {"kind": "affine", "offset": self.offset, "slope": self.slope}


@dataclass(frozen=True)
class Steps:
    """A monotone map through points, straight between them and level outside, clipped to [0, 1]."""

    x: tuple[float, ...]
    y: tuple[float, ...]

    def __call__(self, predicted: Any) -> np.ndarray:
        return np.clip(self.unclipped(predicted), 0, 1)

    def unclipped(self, predicted: Any) -> np.ndarray:
        predicted = _answers(predicted)
        return np.where(np.isnan(predicted), np.nan, np.interp(predicted, self.x, self.y))

    def as_dict(self) -> dict[str, Any]:
        return {"kind": "isotonic", "x": list(self.x), "y": list(self.y)}


def _answers(predicted: Any) -> np.ndarray:
    """Predictions, NaN where they are no finite number: an infinite one would be clipped to the best score."""
    predicted = np.asarray(predicted, float)
    return np.where(np.isfinite(predicted), predicted, np.nan)


Map = Straight | Steps


def map_from(values: dict[str, Any]) -> Map:
    """The map that `as_dict` has described.

    Raises:
        BadInput: it is none that a fit could have made.
    """
    if one_of(values["kind"], "kind of map", FITS) == "affine":
        found = Straight(float(values["offset"]), float(values["slope"]))
        if not np.isfinite(found.offset) or not 0 <= found.slope < np.inf:
            raise BadInput(f"its line has the offset {found.offset:g} and the slope {found.slope:g}")
        return found
    steps = Steps(tuple(map(float, values["x"])), tuple(map(float, values["y"])))
    falls = any(np.any(np.diff(each) < 0) for each in (steps.x, steps.y))
    if not steps.x or len(steps.x) != len(steps.y) or falls or not np.isfinite([*steps.x, *steps.y]).all():
        raise BadInput("the points of its map are not finite numbers that rise, as many x as y")
    return steps


@dataclass(frozen=True)
class Start:
    """What is believed of a method before a label of the new scanner is seen.

    Attributes:
        map: from predicted to expected score.
        noise: variance of the true score about it, on the source.
    """

    map: Straight
    noise: float


def start_from(predicted: np.ndarray, true: np.ndarray, estimates: bool) -> Start:
    """`Start` from slices of the source that no network was trained on (n,).

    Raises:
        BadInput: fewer than two of them have a finite prediction.
    """
    x, y = _finite(predicted, true)
    if len(y) < 2:
        raise BadInput(f"{len(y)} slices of the source's validation have a finite prediction; the method needs at least 2")
    line = Straight() if estimates else _least_squares(x, y)
    return Start(line, max(float(np.mean((y - line(x)) ** 2)), 1e-6))


def _finite(predicted: np.ndarray, *others: np.ndarray) -> tuple[np.ndarray, ...]:
    predicted = np.asarray(predicted, float)
    known = np.isfinite(predicted)
    return predicted[known], *(np.asarray(each)[known] for each in others)


def _least_squares(x: np.ndarray, y: np.ndarray) -> Straight:
    spread = float(np.mean((x - x.mean()) ** 2))
    slope = max(0.0, float(np.mean((x - x.mean()) * (y - y.mean()))) / spread) if spread > EQUAL else 0.0
    return Straight(float(y.mean() - slope * x.mean()), slope)


def fit_affine(predicted: np.ndarray, true: np.ndarray, start: Start) -> Straight:
    """The straight line that is most likely given labels (n,) and `start`: ridge regression, in closed form.

    Offset (where the labelled slices are) and slope are drawn towards those of `start`, as by `noise / SHIFT ** 2` slices
    more. With the noise of a source the offset is thus almost free from the first slices on; the slope, of which a few
    slices of similar predictions say nothing, stays until their spread tells. It does not become negative: an order that
    turns round in a few slices is chance.
    """
    return Straight(*(float(value[0]) for value in _ridge(predicted, true, np.ones((1, len(true))), start)))


def _ridge(predicted: np.ndarray, true: np.ndarray, weights: np.ndarray, start: Start) -> tuple[np.ndarray, np.ndarray]:
    """Offset and slope for each row of weights (fits, n), which are 0 or 1."""
    x = start.map.offset + start.map.slope * predicted
    n, sum_x, sum_rest = weights.sum(1), weights @ x, weights @ (true - x)
    offset = sum_rest / (n + start.noise / SHIFT_OF_OFFSET**2)
    spread = np.maximum(weights @ x**2 - sum_x**2 / n, 0)
    slope = (weights @ (x * (true - x)) - sum_x * sum_rest / n) / (spread + start.noise / SHIFT_OF_SLOPE**2)
    slope = np.maximum(slope, -1.0)
    return offset - slope * sum_x / n + (1 + slope) * start.map.offset, (1 + slope) * start.map.slope


def fit_isotonic(predicted: np.ndarray, true: np.ndarray, start: Start | None = None) -> Steps:
    """The monotone map of least squares (pool adjacent violators); equal predictions get the mean of their labels.

    A pool stands at the mean of its predictions, straight lines join the pools. It knows no `start`: what it needs instead
    is many labels.
    """
    x, place = np.unique(predicted, return_inverse=True)
    size = np.bincount(place).astype(float)
    pools: list[list[float]] = []  # [mean prediction, mean label, slices]
    for at, mean, n in zip(x, np.bincount(place, true) / size, size):
        pools.append([at, mean, n])
        while len(pools) > 1 and pools[-2][1] >= pools[-1][1]:
            (x1, y1, n1), (x2, y2, n2) = pools[-2], pools.pop()
            pools[-1] = [(x1 * n1 + x2 * n2) / (n1 + n2), (y1 * n1 + y2 * n2) / (n1 + n2), n1 + n2]
    return Steps(tuple(float(pool[0]) for pool in pools), tuple(float(pool[1]) for pool in pools))


FITS = {"affine": fit_affine, "isotonic": fit_isotonic}


def is_level(fitted: Map, predicted: np.ndarray) -> bool:
    """Whether a map gives all of some slices (n,), 1 or more, the same score, though their predictions are not the same."""
    known = _finite(predicted)[0]
    return bool(np.ptp(known) > EQUAL and np.ptp(fitted(known)) <= EQUAL)


@dataclass(frozen=True)
class Correction:
    """What came of the labels.

    Attributes:
        map: from predicted to calibrated score; that of `Start` if the correction was refused.
        used: whether it was not.
        without, by_map: MAE on labelled people who were left out, the mean over people, by the start and by the correction;
            NaN if unknown.
        sentence: what was decided, why, and what would help.
    """

    map: Map
    used: bool
    without: float
    by_map: float
    sentence: str


def correct(
    predicted: np.ndarray, true: np.ndarray, subjects: Sequence[Any], start: Start, kind: str = "affine"
) -> Correction:
    """Fit a correction to labelled slices (n,), and use it only if it helps people who were left out of the fit.

    Each person is left out once. The correction is used if the mean absolute error of people who were left out falls, on
    average over people, and a paired t test would find so by chance in at most one of ten cases: with less, a few labels of
    patients who happen to be hard would move the scores of all others. Slices without a finite prediction are left out.

    Raises:
        BadInput: no such kind of map.
    """
    one_of(kind, "map", FITS)
    x, y, who = _finite(predicted, np.asarray(true, float), subjects)
    who = np.unique(who, return_inverse=True)[1]
    people = int(who.max(initial=-1)) + 1
    if people < FEWEST_PEOPLE:
        found = f"{_count(len(x), 'labelled slice')} with a finite prediction, of {_count(people, 'patient')}"
        return _refused(start, f"{found}: whether a correction helps other patients takes at least {FEWEST_PEOPLE}")
    before, after = left_out_errors(x, y, who, start, kind)
    by_start, by_fit = (np.bincount(who, errors) / np.bincount(who) for errors in (before, after))  # (people,)
    gains, without, by_map = by_start - by_fit, float(by_start.mean()), float(by_fit.mean())
    numbers = f"MAE {by_map:.3f} with it and {without:.3f} without, on {people} patients, each left out once"
    if not gains.mean() > stdtrit(people - 1, 1 - CHANCE) * gains.std(ddof=1) / people**0.5:
        return _refused(start, f"it is not certainly better ({numbers}); label slices of more patients", without, by_map)
    fitted = FITS[kind](x, y, start)
    notes = []
    if np.ptp(x) <= EQUAL:
        notes.append("all predictions are equal, so only their level was corrected")
    elif is_level(fitted, x):
        notes.append(LEVEL)
    if np.ptp(y) <= EQUAL:
        notes.append(f"all labels are {y[0]:.2f}: nothing is known of better or worse slices of this scanner")
    return Correction(fitted, True, without, by_map, "; ".join([f"the correction is used: {numbers}", *notes]))


def left_out_errors(x: np.ndarray, y: np.ndarray, who: np.ndarray, start: Start, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Absolute errors (n,) by the start, and by maps that were fitted without the slice's own person (numbered from 0)."""
    before = np.abs(start.map(x) - y)
    others = who != np.arange(who.max() + 1)[:, None]  # (people, n)
    if kind == "affine":
        offset, slope = _ridge(x, y, others, start)
        return before, np.abs(np.clip(offset[who] + slope[who] * x, 0, 1) - y)
    after = np.empty(len(y))
    for some in others:
        after[~some] = np.abs(FITS[kind](x[some], y[some], start)(x[~some]) - y[~some])
    return before, after


def _refused(start: Start, why: str, without: float = np.nan, by_map: float = np.nan) -> Correction:
    stay = "as they are" if start.map == Straight() else "what the source's line makes of them"
    return Correction(start.map, False, without, by_map, f"the correction is refused: {why}; scores stay {stay}")


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"
