"""Pearson, Spearman, MAE and the areas under risk-coverage curves, for one sample or many resamples at once.

Every metric reads two columns: the head's predicted score is the *confidence*, and 1 - true score is the
*risk*.

Area under the risk-coverage curve. Slices are accepted in the order of falling confidence; the selective risk
at coverage k/n is the mean risk of the k accepted ones, and AURC is its mean over k = 1..n (Geifman et al.
2018, whom the paper cites). Slices of equal confidence have no order, so each counts with the expectation
under a random one: the mean risk of its tie group. A constant confidence then has exactly the mean risk as
its AURC, and no result depends on the order of the rows. Without ties this is also the sum that the paper's
published code computes. It needs no rule for coverage 0, where the selective risk is undefined. Others join points
of the curve by straight lines; two such definitions stand beside ours in tests/test_aurc_definitions.py.

A prediction that is NaN or infinite (a head that diverged, a broken pixel) is no answer. A metric of the order ranks it
last, tied with its like: whoever works by the ranking sends these images to a human first. A metric of the values, MAE
and Pearson, is NaN as soon as there is one: over the answered slices alone, a method would look better for each hard slice
that it gives no answer on. A true score lies in [0, 1]; percentages are refused.

AUGRC (Traub et al. 2024) integrates (sum of accepted risks) / n over the coverage from 0 to 1. That curve
starts at 0 and is straight inside a tie group, so trapezoids are exact, and it equals the value of fd-shifts.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from advconf_lite.support.errors import BadInput
from advconf_lite.support.numbers import one_of
from advconf_lite.support.scores import outside, percentages, score_array
from advconf_lite.support.weighted import FEWEST_SLICES, TieGroups, weighted_correlation


def pearson(predicted_score: np.ndarray, true_score: np.ndarray) -> float:
    """Pearson correlation of two (n,) arrays; NaN, with a warning, for n < 3, a constant array or a NaN in either."""
    return METRICS["pearson"](predicted_score, true_score)


def spearman(predicted_score: np.ndarray, true_score: np.ndarray) -> float:
    """Pearson correlation of the mid-ranks of two (n,) arrays; NaN where `pearson` is, but NaN predictions rank last."""
    return METRICS["spearman"](predicted_score, true_score)


def mae(predicted_score: np.ndarray, true_score: np.ndarray) -> float:
    """Mean absolute error of (n,) predicted scores, in units of the score; NaN, with a warning, for n = 0 or a NaN."""
    return METRICS["mae"](predicted_score, true_score)


def aurc(predicted_score: np.ndarray, true_score: np.ndarray) -> float:
    """Area under the risk-coverage curve, in units of risk; lower is better. How ties count: top of the module."""
    return METRICS["aurc"](predicted_score, true_score)


def eaurc(predicted_score: np.ndarray, true_score: np.ndarray) -> float:
    """AURC minus that of the oracle, which accepts by the true score (Geifman et al. 2018); at least 0."""
    return METRICS["eaurc"](predicted_score, true_score)


def augrc(predicted_score: np.ndarray, true_score: np.ndarray) -> float:
    """Area under the generalized risk-coverage curve (Traub et al. 2024), in units of risk; at most AURC."""
    return METRICS["augrc"](predicted_score, true_score)


@dataclass(frozen=True)
class Metric:
    """All that there is to know of a metric. Called with two (n,) arrays, predicted and true scores, it is a number.

    Attributes:
        name: its column in metrics.csv; the interval's ends are NAME_low and NAME_high.
        title: as tables and figures show it.
        needs_estimate: it means nothing for a score that only ranks, as agreement does, and is NaN there.
        of: the (R,) values of R resamples; NaN (also of 0 / 0) where undefined.
        digits: decimals of a difference in tables.
        of_order: it reads the order of the predictions alone. If not, one that is not finite makes it NaN.
    """

    name: str
    title: str
    higher_is_better: bool
    needs_estimate: bool
    of: Callable[[Resamples], np.ndarray]
    digits: int = 4
    of_order: bool = True

    @property
    def better(self) -> str:
        return "higher" if self.higher_is_better else "lower"

    def __call__(self, predicted_score: Any, true_score: Any) -> float:
        """Of arrays, tensors of any kind, series or lists; NaN, with a warning that says why, where it is undefined.

        Raises:
            BadInput: not two (n,) arrays of numbers, a true score outside [0, 1], or percentages as estimates.
        """
        predicted, true = score_array(predicted_score, "predicted_score"), score_array(true_score, "true_score")
        if predicted.shape != true.shape or predicted.ndim != 1:
            raise BadInput(
                f"predicted and true scores have shapes {predicted.shape} and {true.shape}; give "
                "two (n,) arrays, one value per slice"
            )
        if (wrong := outside(true)).any():
            raise BadInput(f"true_score holds {true[wrong][0]:g}; scores lie from 0 to 1: divide percentages by 100")
        if self.needs_estimate and percentages(predicted):
            raise BadInput(f"predicted_score has a median of {np.nanmedian(predicted):g}; divide percentages by 100")
        value = float(weighted_metrics(predicted, true, np.ones((1, len(true))), [self.name])[self.name][0])
        if np.isnan(value):
            warnings.warn(f"{self.title} is not defined: {self._why_undefined(predicted, true)}", stacklevel=3)
        return value

    def _why_undefined(self, predicted: np.ndarray, true: np.ndarray) -> str:
        if len(true) == 0:
            return "there is no slice"
        if np.isnan(true).any():
            return f"{np.isnan(true).sum()} of {len(true)} true scores are NaN"
        if not self.of_order and (lost := ~np.isfinite(predicted)).any():
            return f"{lost.sum()} of {len(true)} predictions are not finite"
        if len(true) < FEWEST_SLICES:
            return f"it needs at least {FEWEST_SLICES} slices"
        return "all predicted, or all true scores are equal"


def weighted_metrics(
    predicted: np.ndarray, true: np.ndarray, weights: np.ndarray, names: Sequence[str] | None = None
) -> dict[str, np.ndarray]:
    """Metrics of R resamples at once.

    Args:
        predicted, true: (n,) scores.
        weights: (R, n) whole numbers; row r holds how often each slice is in resample r. The result is the
            one of copying the rows, because copies of a slice are tied with each other.
        names: of the metrics; default: all.

    Returns:
        name -> (R,) values, NaN where undefined. A metric that is undefined for a prediction that is not finite is so in
        every resample, whether it has drawn that slice or not.

    Raises:
        BadInput: shapes that do not fit, a negative weight, or an unknown name.
    """
    names = list(METRICS) if names is None else [one_of(name, "metric", METRICS) for name in names]
    if predicted.ndim != 1 or true.shape != predicted.shape or weights.shape[1:] != predicted.shape:
        raise BadInput(f"{predicted.shape} predicted, {true.shape} true scores and weights {weights.shape} do not fit")
    if weights.size and not weights.min() >= 0:
        raise BadInput(f"weights hold {weights.min()}; give how often each slice is drawn, 0 or more")
    if predicted.size == 0 or np.isnan(true).any():
        return {name: np.full(len(weights), np.nan) for name in names}
    resamples = Resamples(predicted, true, weights)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {name: METRICS[name].of(resamples) for name in names}


class Resamples:
    """R resamples of (n,) predicted and true scores, and what several metrics need of them.

    Attributes:
        predicted, true: (n,); a prediction that is not finite is NaN.
        weights: (R, n), as in `weighted_metrics`.
        count: (R,) slices in each resample.
    """

    def __init__(self, predicted: np.ndarray, true: np.ndarray, weights: np.ndarray):
        self.predicted = np.where(np.isfinite(predicted), predicted, np.nan)
        self.true, self.weights = true, weights
        self.count = weights.sum(1)

    @cached_property
    def by_prediction(self) -> TieGroups:
        return TieGroups(np.where(np.isnan(self.predicted), -np.inf, self.predicted), self.weights)

    @cached_property
    def by_truth(self) -> TieGroups:
        return TieGroups(self.true, self.weights)

    @cached_property
    def areas(self) -> tuple[np.ndarray, np.ndarray]:
        """(R,) AURC and (R,) AUGRC."""
        return self.by_prediction.risk_areas(1 - self.true)

    def correlation(self) -> np.ndarray:
        return weighted_correlation(self.predicted, self.true, self.weights)

    def rank_correlation(self) -> np.ndarray:
        return weighted_correlation(self.by_prediction.midranks(), self.by_truth.midranks(), self.weights)

    def excess_area(self) -> np.ndarray:
        oracle, _ = self.by_truth.risk_areas(1 - self.true)
        # Rounding must not turn a perfect order into a negative excess.
        return np.where(self.count > 0, np.maximum(self.areas[0] - oracle, 0), np.nan)

    def mean_error(self) -> np.ndarray:
        return self.weights @ np.abs(self.predicted - self.true) / self.count


# A metric is one record here: it is then a column of metrics.csv, and its title and direction are those of this record
# wherever it is shown.
METRICS = {
    metric.name: metric
    for metric in (
        Metric("pearson", "Pearson", True, False, Resamples.correlation, digits=3, of_order=False),
        Metric("spearman", "Spearman", True, False, Resamples.rank_correlation, digits=3),
        Metric("aurc", "AURC", False, False, lambda resamples: resamples.areas[0]),
        Metric("eaurc", "eAURC", False, False, Resamples.excess_area),
        Metric("augrc", "AUGRC", False, False, lambda resamples: resamples.areas[1]),
        Metric("mae", "MAE", False, True, Resamples.mean_error, of_order=False),
    )
}
REPORTED = ("pearson", "eaurc", "mae")  # the paper's, which tables, figures and comparisons show
