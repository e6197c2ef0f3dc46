"""AURC by three definitions against cases of five slices that are computed by hand."""

import math

import numpy as np
import pytest

from advconf_lite.metrics import DEFINITIONS, aurc, eaurc
from advconf_lite.support.errors import BadInput

FALLING, TIED, CONSTANT = [0.9, 0.8, 0.7, 0.4, 0.1], [0.9, 0.7, 0.7, 0.4, 0.1], [0.5] * 5


def area(confidence, risk, definition, metric=aurc):
    return metric(np.array(confidence), 1 - np.array(risk), definition)


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


def test_edges():
    for definition in DEFINITIONS:
        assert math.isnan(area([], [], definition)) and math.isnan(area([np.nan], [0.5], definition, eaurc))
    assert [area([0.3], [0.4], definition) for definition in DEFINITIONS] == pytest.approx([0.4, 0.4, 0.0])
    for metric in (aurc, eaurc):
        with pytest.raises(BadInput, match="'trapezoid'; choose one of sum, fd-shifts, benchmark"):
            area(FALLING, FALLING, "trapezoid", metric)


def test_all_agree_as_slices_grow_in_number():
    rng = np.random.default_rng(0)
    true = rng.random(4000)
    predicted = true + rng.normal(0, 0.2, 4000)
    values = [eaurc(predicted, true, definition) for definition in DEFINITIONS]
    assert max(values) - min(values) < 1e-3
