"""Metrics against cases by hand, enumeration, scipy and copied rows; what their records say of them holds."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats

from advconf_lite import metrics
from advconf_lite.metrics import augrc, aurc, eaurc, mae, pearson, spearman
from advconf_lite.support.errors import BadInput

METRICS = metrics.METRICS


@pytest.fixture
def rng():
    return np.random.default_rng(1)


def aurc_by_hand(predicted, true):
    """Mean over all orders that respect the confidence: the definition, by enumeration."""
    risk = 1 - np.asarray(true, float)
    values = []
    for order in itertools.permutations(range(len(risk))):
        if all(predicted[a] >= predicted[b] for a, b in zip(order, order[1:])):
            accepted = np.cumsum(risk[list(order)])
            values.append(np.mean(accepted / np.arange(1, len(risk) + 1)))
    return np.mean(values)


def test_hand_computed():
    # Risks in the order of falling confidence: 0, .5, .25 -> selective 0, .25, .25; accepted / n 0, 1/6, .25.
    predicted, true = np.array([0.1, 0.9, 0.5]), np.array([0.75, 1.0, 0.5])
    assert aurc(predicted, true) == pytest.approx((0 + 0.25 + 0.25) / 3)
    # Oracle order 0, .25, .5 -> 0, .125, .25.
    assert eaurc(predicted, true) == pytest.approx(0.5 / 3 - 0.375 / 3)
    # Trapezoids through (0, 0), (1/3, 0), (2/3, 1/6), (1, 1/4).
    assert augrc(predicted, true) == pytest.approx((0 + 1 / 12 + 5 / 24) / 3)
    assert mae(predicted, true) == pytest.approx((0.65 + 0.1 + 0.0) / 3)


@pytest.mark.parametrize("predicted", [[1, 1, 1, 1, 1], [3, 3, 1, 1, 1], [1, 2, 2, 3, 3], [5, 4, 3, 2, 1], [2, 2, 2, 2, 9]])
def test_ties_count_with_their_expectation(predicted):
    true = np.array([0.9, 0.2, 0.6, 0.95, 0.0])
    assert aurc(np.array(predicted), true) == pytest.approx(aurc_by_hand(predicted, true), abs=1e-12)


def test_constant_confidence_has_the_mean_risk(rng):
    true = rng.random(50)
    assert aurc(np.full(50, 0.1), true) == pytest.approx(np.mean(1 - true), abs=1e-12)
    assert augrc(np.full(50, 0.1), true) == pytest.approx(np.mean(1 - true) / 2, abs=1e-12)


def test_order_of_rows_is_irrelevant(rng):
    predicted, true = rng.integers(0, 4, 40) / 4, rng.random(40)
    shuffle = rng.permutation(40)
    for name, metric in METRICS.items():
        assert metric(predicted, true) == pytest.approx(metric(predicted[shuffle], true[shuffle]), abs=1e-12), name


@pytest.mark.parametrize("levels", [3, 1000])
def test_augrc_is_the_trapezoid_over_distinct_confidences(levels, rng):
    """fd-shifts' definition in its own terms: thresholds at distinct confidences, start at (0, 0)."""
    predicted, true = rng.integers(0, levels, 60) / levels, rng.random(60)
    coverage, generalized = [0.0], [0.0]
    for threshold in np.unique(predicted)[::-1]:
        coverage.append(np.mean(predicted >= threshold))
        generalized.append(np.sum((1 - true)[predicted >= threshold]) / 60)
    area = sum((b - a) * (u + v) / 2 for a, b, u, v in zip(coverage, coverage[1:], generalized, generalized[1:]))
    assert augrc(predicted, true) == pytest.approx(area, abs=1e-12)


def test_oracle_order_has_no_excess_and_worst_order_the_most(rng):
    true = rng.random(30)
    assert eaurc(true**3, true) == 0
    assert all(0 <= eaurc(rng.random(30), true) <= eaurc(-true, true) for _ in range(20))
    assert augrc(-true, true) <= aurc(-true, true)


def test_ranking_metrics_ignore_a_monotone_map_and_correlation_a_linear_one(rng):
    predicted, true = rng.random(30), rng.random(30)
    for name in ("spearman", "aurc", "eaurc", "augrc"):
        assert METRICS[name](np.exp(3 * predicted), true) == pytest.approx(METRICS[name](predicted, true)), name
    assert pearson(2 - 3 * predicted, true) == pytest.approx(-pearson(predicted, true))


@pytest.mark.parametrize("levels", [4, 10_000])
def test_correlations_equal_scipy(levels, rng):
    predicted, true = rng.integers(0, levels, 80) / levels, rng.integers(0, levels, 80) / levels
    assert pearson(predicted, true) == pytest.approx(scipy.stats.pearsonr(predicted, true)[0], abs=1e-12)
    assert spearman(predicted, true) == pytest.approx(scipy.stats.spearmanr(predicted, true)[0], abs=1e-12)


@pytest.mark.filterwarnings("ignore:.* is not defined")
def test_undefined_is_nan():
    one, none = np.array([0.5]), np.array([])
    constant, varied = np.full(7, 0.1), np.linspace(0, 1, 7)
    for metric in (pearson, spearman):
        assert math.isnan(metric(one, one)) and math.isnan(metric(none, none))
        assert math.isnan(metric(constant, varied)) and math.isnan(metric(varied, constant))
    assert aurc(one, one) == 0.5 and mae(one, one) == 0
    for metric in METRICS.values():
        assert math.isnan(metric(none, none))
        assert math.isnan(metric(np.array([0.1, 0.2, 0.4]), np.array([0.1, np.nan, 0.2])))
    with pytest.raises(BadInput, match=r"\(2,\) and \(3,\)"):
        mae(np.zeros(2), np.zeros(3))


@pytest.mark.parametrize("levels", [3, 10_000])
def test_weights_equal_copied_rows(levels, rng):
    predicted, true = rng.integers(0, levels, 25) / levels, rng.integers(0, levels, 25) / levels
    weights = rng.integers(0, 4, (40, 25))
    together = metrics.weighted_metrics(predicted, true, weights.astype(float))
    for r, weight in enumerate(weights):
        for name, metric in METRICS.items():
            copied = metric(np.repeat(predicted, weight), np.repeat(true, weight))
            assert together[name][r] == pytest.approx(copied, abs=1e-10, nan_ok=True), name


def test_every_metric_has_a_record_and_a_function_of_its_name():
    for name, metric in METRICS.items():
        assert metric.name == name and metric.title and metric.better == ("higher" if metric.higher_is_better else "lower")
        assert getattr(metrics, name)([0.1, 0.4, 0.2], [0.2, 0.9, 0.1]) == metric([0.1, 0.4, 0.2], [0.2, 0.9, 0.1])
    assert set(metrics.REPORTED) <= set(METRICS)


def test_a_better_prediction_is_on_the_better_side_of_every_metric(rng):
    true = rng.random(200)
    good, poor = true + 0.02 * rng.normal(size=200), true + 0.5 * rng.normal(size=200)
    for metric in METRICS.values():
        assert (metric(good, true) > metric(poor, true)) == metric.higher_is_better, metric.name


def test_only_metrics_of_the_number_itself_change_with_its_scale(rng):
    """What a score that only ranks can be judged by does not depend on its scale; `needs_estimate` says what does."""
    predicted, true = rng.random(50), rng.random(50)
    for metric in METRICS.values():
        changes = metric(3 * predicted + 1, true) != pytest.approx(metric(predicted, true))
        assert changes == metric.needs_estimate, metric.name


def test_some_metrics_alone_are_those_of_all(rng):
    predicted, true, weights = rng.integers(0, 9, 30) / 9, rng.random(30), rng.integers(0, 3, (20, 30)).astype(float)
    every = metrics.weighted_metrics(predicted, true, weights)
    for name in METRICS:
        (alone,) = metrics.weighted_metrics(predicted, true, weights, [name]).items()
        assert alone[0] == name and np.array_equal(alone[1], every[name], equal_nan=True)
