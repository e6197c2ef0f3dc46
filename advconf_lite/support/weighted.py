"""Ranks, risk-coverage curves and correlations of many resamples at once; a resample is a row of weights."""

from __future__ import annotations

import numpy as np

FEWEST_SLICES = 3  # of a correlation: two points always lie on a line


class TieGroups:
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
        mean = np.where(self.size > 0, total / self.size, 0)
        # Inside a group of W slices with mean risk m, after A slices with risk sum S, the selective risks
        # are (S + k m) / (A + k) = m + (S - m A) / (A + k), k = 1..W: a difference of harmonic numbers,
        # no loop.
        harmonic = np.r_[0, np.cumsum(1 / np.arange(1, int(count.max(initial=0)) + 1))]
        steps = harmonic[self.upto.astype(int)] - harmonic[before.astype(int)]
        area = (total + (risk_before - mean * before) * steps).sum(1) / count
        generalized = (self.size * (risk_before + accepted) / 2).sum(1) / count**2
        return area, generalized


def weighted_correlation(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
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
    return np.where(constant | (count < FEWEST_SLICES), np.nan, np.clip(r, -1, 1))
