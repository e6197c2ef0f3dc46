"""Our AURC beside two other definitions, on cases of five slices that are computed by hand.

All three agree as slices grow in number, and differ in how points of the curve are joined and how ties count. "sum" is
ours and the paper's: the mean selective risk over the n slices. The others join points by straight lines. "fd-shifts"
(Traub et al. 2024) has a point where a tie group is complete and holds the curve flat from the first one down to coverage
0. "benchmark" (the code of Zenk et al. 2025) rejects from below and has a point after the *first* slice of each tie group,
so that ties depend on the order of the rows; a flat part replaces the points that are missing at the confident end, but
the area below coverage 1/n is never counted.
"""

import math

import numpy as np
import pytest

from advconf_lite import metrics

DEFINITIONS = ("sum", "fd-shifts", "benchmark")
FALLING, TIED, CONSTANT = [0.9, 0.8, 0.7, 0.4, 0.1], [0.9, 0.7, 0.7, 0.4, 0.1], [0.5] * 5


def aurc(predicted_score, true_score, definition):
    if definition == "sum" or len(true_score) == 0 or np.isnan([predicted_score, true_score]).any():
        return metrics.aurc(predicted_score, true_score)
    return joined_area(predicted_score, 1 - true_score, definition)


def eaurc(predicted_score, true_score, definition):
    """By the others it may be negative where there are ties: the oracle of fd-shifts has none, and for risks of 0 and 1
    alone it is the limit of many slices, err + (1 - err) ln(1 - err)."""
    if definition == "sum":
        return metrics.eaurc(predicted_score, true_score)
    whole, risk = aurc(predicted_score, true_score, definition), 1 - true_score
    if np.isnan(whole):
        return whole
    if definition == "benchmark":
        return whole - joined_area(-risk, risk, definition)
    wrong = risk.mean()
    if np.isin(risk, (0, 1)).all():
        return whole - (wrong + (1 - wrong) * np.log(1 - wrong + np.finfo(np.float64).eps))
    return whole - joined_area(-np.arange(len(risk), dtype=np.float64), np.sort(risk), definition)


def joined_area(confidence, risk, definition):
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


def area(confidence, risk, definition, metric=aurc):
    return metric(np.array(confidence, dtype=float), 1 - np.array(risk, dtype=float), definition)


@pytest.mark.parametrize(
    ("definition", "expected"),
    [
        # Risk sums .1 .3 .7 .7 1; selective risks .1 .15 .2333 .175 .2.
        ("sum", (0.1 + 0.15 + 0.7 / 3 + 0.175 + 0.2) / 5),
        # Trapezoids between the five points, and .1 flat from coverage 1/5 down to 0.
        ("fd-shifts", (0.1 + 0.125 + (0.15 + 0.7 / 3) / 2 + (0.7 / 3 + 0.175) / 2 + 0.1875) / 5),
        # The same trapezoids; nothing below coverage 1/5.
        ("benchmark", (0.125 + (0.15 + 0.7 / 3) / 2 + (0.7 / 3 + 0.175) / 2 + 0.1875) / 5),
    ],
)
def test_without_ties(definition, expected):
    risk = [0.1, 0.2, 0.4, 0.0, 0.3]
    assert area(FALLING, risk, definition) == pytest.approx(expected, abs=1e-12)
    shuffled = [3, 0, 4, 1, 2]
    assert area(np.array(FALLING)[shuffled], np.array(risk)[shuffled], definition) == pytest.approx(expected, abs=1e-12)
    # The oracle's selective risks are 0 .05 .1 .15 .2: their mean, and the trapezoids (the flat part has height 0).
    oracle = 0.1 if definition == "sum" else (0.025 + 0.075 + 0.125 + 0.175) / 5
    assert area(FALLING, risk, definition, eaurc) == pytest.approx(expected - oracle, abs=1e-12)


@pytest.mark.parametrize(
    ("definition", "expected"),
    [
        # The tied slices count .3 each: risk sums 0 .3 .6 .7 1.
        ("sum", (0 + 0.15 + 0.2 + 0.175 + 0.2) / 5),
        # No point between the tied ones: (1/5, 0), (3/5, .2), (4/5, .175), (1, .2).
        ("fd-shifts", (2 * 0.1 + 0.1875 + 0.1875) / 5),
        # The row with .2 is rejected first and makes the point (2/5, .2); the other makes none, so .2 is kept to 1/5.
        ("benchmark", (0.2 + 0.2 + 0.1875 + 0.1875) / 5),
    ],
)
def test_with_ties(definition, expected):
    assert area(TIED, [0.0, 0.2, 0.4, 0.1, 0.3], definition) == pytest.approx(expected, abs=1e-12)


def test_only_the_benchmark_depends_on_the_order_of_tied_rows():
    for definition, expected in (("sum", 0.145), ("fd-shifts", 0.115), ("benchmark", (0.1 + 0.15 + 0.375) / 5)):
        assert area(TIED, [0.0, 0.4, 0.2, 0.1, 0.3], definition) == pytest.approx(expected, abs=1e-12)


def test_constant_confidence():
    risk = [0.1, 0.2, 0.4, 0.0, 0.3]
    assert area(CONSTANT, risk, "sum") == pytest.approx(0.2) == area(CONSTANT, risk, "fd-shifts")
    # The first row is rejected, which leaves .9 / 4; that height is kept down to coverage 1/5.
    assert area(CONSTANT, risk, "benchmark") == pytest.approx((3 * 0.225 + 0.2125) / 5)


def test_ties_among_the_risks_and_the_oracle():
    risk = [0.0, 0.5, 0.5, 0.5, 1.0]  # selective risks of the right order: 0 .25 .3333 .375 .5
    assert area(FALLING, risk, "sum", eaurc) == 0 == area(FALLING, risk, "fd-shifts", eaurc)
    # Its oracle has ties: rejected 1, then one .5; the next two make no point, so .5 / 3 stays down to 1/5.
    whole = (0.125 + (0.25 + 1 / 3) / 2 + (1 / 3 + 0.375) / 2 + 0.4375) / 5
    oracle = (2 / 3 + (1 / 3 + 0.375) / 2 + 0.4375) / 5
    assert area(FALLING, risk, "benchmark", eaurc) == pytest.approx(whole - oracle, abs=1e-12)


def test_fd_shifts_takes_the_limit_for_risks_of_zero_and_one():
    expected = 0.1 / 5 - (0.2 + 0.8 * math.log(0.8))
    assert area(FALLING, [0, 0, 0, 0, 1], "fd-shifts", eaurc) == pytest.approx(expected, abs=1e-12)


@pytest.mark.filterwarnings("ignore:.* is not defined")
def test_edges():
    for definition in DEFINITIONS:
        assert math.isnan(area([], [], definition)) and math.isnan(area([0.5], [np.nan], definition, eaurc))
    assert [area([0.3], [0.4], definition) for definition in DEFINITIONS] == pytest.approx([0.4, 0.4, 0.0])


def test_all_agree_as_slices_grow_in_number():
    rng = np.random.default_rng(0)
    true = rng.random(4000)
    predicted = true + rng.normal(0, 0.2, 4000)
    values = [eaurc(predicted, true, definition) for definition in DEFINITIONS]
    assert max(values) - min(values) < 1e-3
