"""Pearson, Spearman, MAE and the areas under risk-coverage curves, for one sample or many resamples at once.

Every metric reads two columns: the head's predicted score is the *confidence*, and 1 - true score is the
*risk*.

Area under the risk-coverage curve. Slices are accepted in the order of falling confidence; the selective risk
at coverage k/n is the mean risk of the k accepted ones, and AURC is its mean over k = 1..n (Geifman et al.
2018, whom the paper cites). Slices of equal confidence have no order, so each counts with the expectation
under a random one: the mean risk of its tie group. A constant confidence then has exactly the mean risk as
its AURC, and no result depends on the order of the rows. Without ties this is also the sum that the paper's
published code computes. It needs no rule for coverage 0, where the selective risk is undefined.

Two other definitions are options of `aurc` and `eaurc`, to compare with published numbers. Both join points of
the curve by straight lines. "fd-shifts" (Traub et al. 2024) has a point where a tie group is complete and holds
the curve flat from the first one down to coverage 0. "benchmark" (the code of Zenk et al. 2025) rejects from
below and has a point after the *first* slice of each tie group, so that ties depend on the order of the rows; a
flat part replaces the points that are missing at the confident end, but the area below coverage 1/n is never
counted. All three agree as n grows.

AUGRC (Traub et al. 2024) integrates (sum of accepted risks) / n over the coverage from 0 to 1. That curve
starts at 0 and is straight inside a tie group, so trapezoids are exact, and it equals the value of fd-shifts.
"""

from __future__ import annotations

import numpy as np

from advconf_lite.support.errors import BadInput

METRICS = ("pearson", "spearman", "aurc", "eaurc", "augrc", "mae")
DEFINITIONS = ("sum", "fd-shifts", "benchmark")  # of AURC; the first is ours and the paper's


def pearson(predicted_score: np.ndarray, true_score: np.ndarray) -> float:
    """Pearson correlation of two (n,) arrays; NaN for n < 2, a constant array or a NaN in either."""
    return _single("pearson", predicted_score, true_score)


def spearman(predicted_score: np.ndarray, true_score: np.ndarray) -> float:
    """Pearson correlation of the mid-ranks of two (n,) arrays; NaN where `pearson` is."""
    return _single("spearman", predicted_score, true_score)


def mae(predicted_score: np.ndarray, true_score: np.ndarray) -> float:
    """Mean absolute error of (n,) predicted scores, in units of the score; NaN for n = 0."""
    return _single("mae", predicted_score, true_score)


def aurc(predicted_score: np.ndarray, true_score: np.ndarray, definition: str = "sum") -> float:
    """Area under the risk-coverage curve, in units of risk; lower is better.

    `definition` is one of `DEFINITIONS`; what they are, and how ties count in each, is said at the top of the module.
    """
    area = _single("aurc", predicted_score, true_score)  # checks the shapes; NaN where undefined
    if _check_definition(definition) == "sum" or np.isnan(area):
        return area
    return _joined_area(np.asarray(predicted_score, np.float64), 1 - np.asarray(true_score, np.float64), definition)


def eaurc(predicted_score: np.ndarray, true_score: np.ndarray, definition: str = "sum") -> float:
    """AURC minus that of the oracle, which accepts by the true score (Geifman et al. 2018).

    At least 0 by our definition. By the others it may be negative where there are ties: the oracle of fd-shifts has
    none, and for risks of 0 and 1 alone it is the limit of many slices, err + (1 - err) ln(1 - err).
    """
    if _check_definition(definition) == "sum":
        return _single("eaurc", predicted_score, true_score)
    area, risk = aurc(predicted_score, true_score, definition), 1 - np.asarray(true_score, np.float64)
    if np.isnan(area):
        return area
    if definition == "benchmark":
        return area - _joined_area(-risk, risk, definition)
    wrong = risk.mean()
    if np.isin(risk, (0, 1)).all():
        return area - (wrong + (1 - wrong) * np.log(1 - wrong + np.finfo(np.float64).eps))
    return area - _joined_area(-np.arange(len(risk), dtype=np.float64), np.sort(risk), definition)


def augrc(predicted_score: np.ndarray, true_score: np.ndarray) -> float:
    """Area under the generalized risk-coverage curve (Traub et al. 2024), in units of risk; at most AURC."""
    return _single("augrc", predicted_score, true_score)


def _single(name: str, predicted_score: np.ndarray, true_score: np.ndarray) -> float:
    predicted = np.asarray(predicted_score, dtype=np.float64)
    true = np.asarray(true_score, dtype=np.float64)
    if predicted.shape != true.shape or predicted.ndim != 1:
        raise BadInput(
            f"predicted and true scores have shapes {predicted.shape} and {true.shape}; give "
            "two (n,) arrays, one value per slice"
        )
    return float(weighted_metrics(predicted, true, np.ones((1, len(true))))[name][0])


def _check_definition(definition: str) -> str:
    if definition not in DEFINITIONS:
        raise BadInput(f"the definition of AURC is {definition!r}; choose one of {', '.join(DEFINITIONS)}")
    return definition


def _joined_area(confidence: np.ndarray, risk: np.ndarray, definition: str) -> float:
    """AURC of (n,) slices as trapezoids between points of the curve, by fd-shifts or by the benchmark."""
    n = len(risk)
    order = np.argsort(confidence, kind="stable")[::-1]  # rejected are the last ones first
    accepted = np.arange(1, n + 1)
    selective_risk = np.cumsum(risk[order]) / accepted
    ordered = confidence[order]
    if definition == "fd-shifts":
        point = np.r_[ordered[1:] != ordered[:-1], True]  # a group is complete
    else:
        # k are left after the slice k + 1 was rejected, which was the first of its group if k + 2 differs from it.
        point = np.ones(n, dtype=bool)
        point[: n - 2] = ordered[1 : n - 1] != ordered[2:]
    k, height = accepted[point], selective_risk[point]
    below = k[0] if definition == "fd-shifts" else k[0] - 1
    return float(below * height[0] + (np.diff(k) * (height[1:] + height[:-1]) / 2).sum()) / n


def weighted_metrics(predicted: np.ndarray, true: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Every metric for R resamples at once.

    Args:
        predicted, true: (n,) scores.
        weights: (R, n) whole numbers; row r holds how often each slice is in resample r. The result is the
            one of copying the rows, because copies of a slice are tied with each other.

    Returns:
        name -> (R,) values, NaN where undefined.
    """
    count = weights.sum(1)  # (R,)
    if predicted.size == 0 or np.isnan(predicted).any() or np.isnan(true).any():
        return {name: np.full(len(weights), np.nan) for name in METRICS}
    by_prediction, by_truth = _TieGroups(predicted, weights), _TieGroups(true, weights)
    area, generalized = by_prediction.risk_areas(1 - true)
    oracle, _ = by_truth.risk_areas(1 - true)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "pearson": _weighted_correlation(predicted, true, weights),
            "spearman": _weighted_correlation(by_prediction.midranks(), by_truth.midranks(), weights),
            "aurc": area,
            # Rounding must not turn a perfect order into a negative excess.
            "eaurc": np.where(count > 0, np.maximum(area - oracle, 0), np.nan),
            "augrc": generalized,
            "mae": weights @ np.abs(predicted - true) / count,
        }


class _TieGroups:
    """Slices in the order of falling confidence, equal confidences together, under R sets of weights."""

    def __init__(self, confidence: np.ndarray, weights: np.ndarray):
        self.order = np.argsort(-confidence, kind="stable")  # (n,)
        ordered = confidence[self.order]
        self.starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])  # (G,) first slice of each group
        self.group = np.cumsum(np.r_[False, ordered[1:] != ordered[:-1]])  # (n,) group of each ordered slice
        self.weights = weights[:, self.order]  # (R, n)
        self.size = self._sums(self.weights)  # (R, G) slices in each group
        self.upto = np.cumsum(self.size, 1)  # (R, G) slices accepted once the group is in

    def _sums(self, values: np.ndarray) -> np.ndarray:
        return values if len(self.starts) == values.shape[1] else np.add.reduceat(values, self.starts, axis=1)

    def midranks(self) -> np.ndarray:
        """(R, n) ranks among the resampled slices, the best being 1; tied ones share their mean."""
        ranks = self.upto - (self.size - 1) / 2
        inverse = np.empty_like(self.order)
        inverse[self.order] = np.arange(len(self.order))
        return ranks[:, self.group[inverse]]

    def risk_areas(self, risk: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(R,) AURC and (R,) AUGRC."""
        total = self._sums(self.weights * risk[self.order])  # (R, G) risk in each group
        accepted = np.cumsum(total, 1)
        before, risk_before = self.upto - self.size, accepted - total
        count = self.upto[:, -1]
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(self.size > 0, total / self.size, 0)
            # Inside a group of W slices with mean risk m, after A slices with risk sum S, the selective risks
            # are (S + k m) / (A + k) = m + (S - m A) / (A + k), k = 1..W: a difference of harmonic numbers,
            # no loop.
            harmonic = np.r_[0, np.cumsum(1 / np.arange(1, int(count.max(initial=0)) + 1))]
            steps = harmonic[self.upto.astype(int)] - harmonic[before.astype(int)]
            area = (total + (risk_before - mean * before) * steps).sum(1) / count
            generalized = (self.size * (risk_before + accepted) / 2).sum(1) / count**2
        return area, generalized


def _weighted_correlation(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(R,) Pearson correlations; x and y are (n,) or (R, n)."""
    # Correlation ignores a shift. Subtracting one of the values makes a constant exactly 0, which a mean
    # would not.
    x, y = np.broadcast_to(x - x[..., :1], weights.shape), np.broadcast_to(y - y[..., :1], weights.shape)
    wx, wy, count = weights * x, weights * y, weights.sum(1)

    def moment(weighted: np.ndarray, other: np.ndarray) -> np.ndarray:
        return np.einsum("rn,rn->r", weighted, other)

    sx, sy, xx, yy = wx.sum(1), wy.sum(1), moment(wx, x), moment(wy, y)
    variance_x, variance_y = xx - sx**2 / count, yy - sy**2 / count
    constant = (variance_x <= 1e-12 * xx) | (variance_y <= 1e-12 * yy)  # what rounding leaves of a zero variance
    r = (moment(wx, y) - sx * sy / count) / np.sqrt(variance_x * variance_y)
    return np.where(constant, np.nan, np.clip(r, -1, 1))
