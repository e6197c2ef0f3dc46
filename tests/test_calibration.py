"""Corrections from a few labels, lower bounds, thresholds and volumes: right numbers, or one sentence."""

import re

import numpy as np
import pandas as pd
import pytest
import volumes
from scipy import optimize
from test_evaluation import table

from advconf_lite.evaluation.bound import fewest_people, lower_bound, possible_level, rank_of
from advconf_lite.evaluation.calibration import (
    FITS,
    Start,
    Steps,
    Straight,
    correct,
    fit_affine,
    fit_isotonic,
    is_level,
    left_out_errors,
    map_from,
    start_from,
)
from advconf_lite.evaluation.labels_needed import draws, labels_needed, smallest_k
from advconf_lite.evaluation.release import release_table, released, threshold_for, thresholds_of
from advconf_lite.evaluation.reliability import held_out_scores, reliability
from advconf_lite.evaluation.volumes import volume_score, volume_table
from advconf_lite.support.errors import BadInput

START = Start(Straight(), 0.01)


def people(n, slices, rng, shift=0.0, spread=0.05):
    """Predicted and true scores and the person of each slice; people differ by `spread`."""
    who = np.repeat(np.arange(n), slices)
    predicted = rng.uniform(0.4, 0.9, n * slices)
    true = predicted - shift + spread * rng.standard_normal(n)[who] + 0.03 * rng.standard_normal(n * slices)
    return predicted, np.clip(true, 0, 1), who


# ---- maps


def test_a_straight_line_is_found_and_with_few_labels_hardly_leaves_the_start():
    rng = np.random.default_rng(0)
    x = rng.uniform(0.2, 0.9, 4000)
    line = fit_affine(x, 0.6 * x + 0.1, START)
    assert (line.slope, line.offset) == pytest.approx((0.6, 0.1), abs=0.001)
    two = fit_affine(np.array([0.70, 0.72]), np.array([0.2, 0.5]), START)  # a slope of 15, if it were believed
    assert abs(two.slope - 1) < 0.5 and two(np.array([0.71])) == pytest.approx(0.35, abs=0.02)
    assert fit_affine(x, 1 - x, START).slope == 0  # an order that is turned round is given up


def test_how_far_the_line_is_drawn_to_the_start_depends_on_the_noise_of_the_source():
    x, y = np.array([0.5, 0.6, 0.7, 0.8]), np.array([0.2, 0.4, 0.5, 0.8])
    slopes = [fit_affine(x, y, Start(Straight(), noise)).slope for noise in (1e-6, 0.01, 0.1, 1e6)]
    assert slopes == sorted(slopes, reverse=True) and slopes[-1] == pytest.approx(1)
    assert slopes[0] == pytest.approx(np.polyfit(x, y, 1)[0], abs=0.01)


@pytest.mark.parametrize("seed", range(5))
def test_isotonic_is_that_of_scipy_and_ties_get_their_mean(seed):
    if not hasattr(optimize, "isotonic_regression"):
        pytest.skip("scipy before 1.12")
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 12, 40) / 12, rng.uniform(size=40)
    values = np.unique(x)
    means, sizes = (np.array([f(y[x == v]) for v in values]) for f in (np.mean, len))
    wanted = optimize.isotonic_regression(means, weights=sizes).x
    found = fit_isotonic(x, y)
    levels = np.array([found.y[np.flatnonzero(np.isclose(wanted[i], found.y))[0]] for i in range(len(values))])
    assert np.allclose(levels, wanted) and len(found.y) == len(np.unique(wanted.round(12)))
    assert (np.diff(found(np.linspace(-1, 2, 50))) >= 0).all()


def test_maps_clip_answer_nothing_to_no_number_and_come_back_from_their_description():
    for one in (Straight(0.2, 1.5), Steps((0.2, 0.6), (0.1, 0.9)), fit_isotonic(np.full(3, 0.5), np.array([0, 0.3, 0.6]))):
        scores = one(np.array([-5, 0.5, 5, np.nan, np.inf, -np.inf]))
        assert np.isnan(scores[3:]).all() and scores[:3].min() >= 0 and scores[:3].max() <= 1
        assert map_from(one.as_dict()) == one


@pytest.mark.parametrize("kind", FITS)
def test_people_are_left_out_one_after_the_other(kind):
    x, y, who = people(5, 4, np.random.default_rng(1), 0.3)
    before, after = left_out_errors(x, y, who, START, kind)
    for one in range(5):
        fitted = FITS[kind](x[who != one], y[who != one], START)
        assert np.allclose(after[who == one], abs(fitted(x[who == one]) - y[who == one]))
    assert np.allclose(before, abs(x - y))


def test_what_only_ranks_starts_from_the_line_of_the_source():
    x = np.linspace(0.9, 0.99, 50)  # an entropy, say
    start = start_from(x, 5 * x - 4, estimates=False)
    assert (start.map.slope, start.map.offset) == pytest.approx((5, -4), abs=0.01) and start.noise <= 1e-5
    assert start_from(x, 5 * x - 4, estimates=True).map == Straight()
    with pytest.raises(BadInput, match="1 slices of the source's validation have a finite prediction"):
        start_from(np.array([0.5, np.nan]), np.array([0.5, 0.5]), True)


# ---- used or refused


def test_a_shift_is_corrected_also_for_people_without_labels():
    rng = np.random.default_rng(2)
    found = correct(*people(8, 1, rng, 0.35), START)
    x, y, _ = people(40, 5, rng, 0.35)
    assert found.used and abs(found.map(x) - y).mean() < 0.3 * abs(x - y).mean()
    assert found.by_map < found.without and "is used: MAE" in found.sentence


def test_where_nothing_has_moved_corrections_are_mostly_refused():
    """At most one in ten by chance, on average; and what is used harms little."""
    rng = np.random.default_rng(3)
    found = [correct(*people(5, 1, rng), START) for _ in range(300)]
    assert np.mean([each.used for each in found]) < 0.13
    assert all(each.map == START.map and "refused" in each.sentence for each in found if not each.used)
    x, y, _ = people(200, 5, rng)
    with_it = np.mean([abs(each.map(x) - y).mean() for each in found])
    assert with_it < 1.03 * abs(x - y).mean()


def test_the_errors_that_are_named_are_those_that_were_decided_by():
    """Nine patients of one slice each are helped, one of twelve is harmed: by slices it would look like harm."""
    who = np.repeat(np.arange(10), [1] * 9 + [12])
    x = np.random.default_rng(0).uniform(0.4, 0.9, len(who))
    found = correct(x, x - np.where(who < 9, 0.2, 0.0), who, START)
    before, after = left_out_errors(x, x - np.where(who < 9, 0.2, 0.0), who, START, "affine")
    assert found.used and after.mean() > before.mean()
    assert (found.without, found.by_map) == pytest.approx((0.18, 0.133), abs=1e-3) and "and 0.180 without" in found.sentence


def labels(case):
    x, y, who = people(6, 2, np.random.default_rng(4), 0.4)
    if case == "one patient":
        who[:] = 0
    elif case == "two patients":
        who %= 2
    elif case == "equal predictions":
        x[:] = 0.8
    elif case == "equal labels":
        y[:] = 0.1
    elif case == "turned round":
        y[:] = np.clip(0.9 - x, 0, 1)
    elif case == "no answers":
        x[:] = np.nan
    elif case == "some answers":
        x[:3] = [np.nan, np.inf, -np.inf]
    return x, y, who


@pytest.mark.parametrize(
    ("case", "kind", "used", "words"),
    [
        ("one patient", "affine", False, "12 labelled slices with a finite prediction, of 1 patient: .* at least 3"),
        ("two patients", "isotonic", False, "of 2 patients: .* at least 3"),
        ("equal predictions", "affine", True, "all predictions are equal, so only their level was corrected"),
        ("equal predictions", "isotonic", True, "all predictions are equal"),
        ("equal labels", "affine", True, "all labels are 0.10: nothing is known of better or worse slices"),
        ("turned round", "affine", True, "the map is level: all slices get one score, which no longer says which are worse"),
        ("turned round", "isotonic", True, "the map is level"),
        ("no answers", "affine", False, "0 labelled slices with a finite prediction, of 0 patients"),
        ("some answers", "affine", True, "is used"),
        ("some answers", "isotonic", True, "is used"),
    ],
)
def test_labels_that_say_little_are_answered_in_words(case, kind, used, words):
    found = correct(*labels(case), START, kind)
    assert found.used == used and re.search(words, found.sentence)
    assert np.isfinite(found.map(np.array([0.0, 0.5, 1.0]))).all()
    if case == "equal predictions":
        assert found.map(0.8) == pytest.approx(labels(case)[1].mean(), abs=0.01)


def test_a_refused_correction_of_what_only_ranks_leaves_the_line_of_the_source():
    line = Start(Straight(0.2, 0.5), 0.01)
    assert correct(*labels("one patient"), line).sentence.endswith("scores stay what the source's line makes of them")
    assert correct(*labels("one patient"), START).sentence.endswith("scores stay as they are")


def test_which_maps_are_level():
    x = np.array([0.2, np.nan, 0.8])
    assert is_level(Straight(0.5, 0.0), x) and is_level(Straight(1.5, 1.0), x) and not is_level(Straight(), x)
    assert not is_level(Straight(0.5, 0.0), np.array([0.3, 0.3]))  # there is no order to lose


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "linear", "offset": 0.0, "slope": 1.0},
        {"kind": "affine", "offset": float("nan"), "slope": 1.0},
        {"kind": "affine", "offset": 0.0, "slope": -5},
        {"kind": "isotonic", "x": [], "y": []},
        {"kind": "isotonic", "x": [0.1, 0.2], "y": [0.1]},
        {"kind": "isotonic", "x": [0.2, 0.1], "y": [0.1, 0.2]},
        {"kind": "isotonic", "x": [0.1, 0.2], "y": [0.2, 0.1]},
    ],
)
def test_a_map_that_no_fit_can_have_made_is_none(values):
    with pytest.raises(BadInput):
        map_from(values)


# ---- the bound


def test_which_of_the_errors_and_how_many_people():
    assert [fewest_people(level) for level in (0.5, 0.8, 0.9, 0.95, 0.99)] == [1, 4, 9, 19, 99]
    assert [rank_of(0.9, n) for n in (9, 10, 18, 19, 29)] == [9, 10, 18, 18, 27]
    errors = np.arange(1, 20) / 100
    found = lower_bound(np.full(19, 0.8), 0.8 - errors, np.arange(19), Straight(), 0.9)
    assert found.margin == pytest.approx(0.18) and found.below(np.array([0.5, 0.1])) == pytest.approx([0.32, 0])


@pytest.mark.parametrize(("unit", "n"), [("slice", 9), ("slice", 25), ("patient", 9)])
def test_the_bound_holds_for_new_people_as_often_as_it_says(unit, n):
    rng, hits = np.random.default_rng(5), []
    for draw in range(1500):
        x, y, who = people(n, 3, rng, 0.2, spread=0.15)
        bound = lower_bound(x, y, who, Straight(), 0.9, unit, seed=draw)
        x, y, _ = people(1, 3, rng, 0.2, spread=0.15)
        above = y >= bound.below(x)
        hits.append(above.mean() if unit == "slice" else above.all())
    assert 0.9 - 0.02 < np.mean(hits) < rank_of(0.9, n) / (n + 1) + 0.02
    condition = "their labelled slices were drawn by chance" if unit == "slice" else "all slices of each are labelled"
    assert bound.sentence.endswith(f"(from {n} labelled patients, if {condition})")


def test_too_few_people_for_a_level_get_no_bound_but_a_sentence():
    x, y, who = people(5, 9, np.random.default_rng(6))
    found = lower_bound(x, y, who, Straight(), 0.9)
    assert found.margin is None and np.isnan(found.below([0.5])).all()
    assert "at least 9 patients, and these are 5, or ask for a level of at most 0.83" in found.sentence
    assert lower_bound(x, y, who, Straight(), 0.83).margin is not None
    for n in range(1, 150):  # what is offered can be had, and not much more
        assert fewest_people(possible_level(n)) <= n < fewest_people(min(0.999, possible_level(n) + 0.01)) or n > 98
    assert lower_bound(np.full(3, np.nan), np.zeros(3), [0, 1, 2], Straight()).people == 0
    for level in (0, 1, 1.5, np.nan, "x"):
        with pytest.raises(BadInput, match="level"):
            lower_bound(x, y, who, Straight(), level)


# ---- thresholds


@pytest.mark.parametrize(
    ("true", "risk", "threshold"),
    [
        ([0.2, 0.6, 0.9, 0.9], 0.1, 0.7),  # the two best have a mean risk of 0.1
        ([0.2, 0.6, 0.9, 0.9], 0.2, 0.6),
        ([0.2, 0.6, 0.9, 0.9], 0.5, 0.5),  # all; but not lower than what was seen
        ([0.2, 0.6, 0.9, 0.9], 0.05, np.inf),
        ([1.0, 0.0, 0.9, 0.8], 0.1, np.inf),  # a good slice of a low score helps nobody
    ],
)
def test_the_threshold_for_a_risk(true, risk, threshold):
    predicted = np.array([0.5, 0.6, 0.7, 0.8])
    assert threshold_for(predicted, np.array(true), risk) == threshold
    assert threshold_for(np.r_[predicted, np.nan], np.array([*true, 1.0]), risk) == threshold


def test_equal_scores_are_released_together_and_none_without_an_answer():
    assert threshold_for(np.full(4, 0.5), np.array([1, 1, 1, 0.4]), 0.2) == 0.5
    assert threshold_for(np.full(4, 0.5), np.array([1, 1, 1, 0.4]), 0.1) == np.inf
    got = released(np.array([0.9, 0.8, np.nan, 0.1]), np.array([0.9, 0.5, 0.2, 0.6]), 0.8, 0.7)
    assert [float(value[0]) for value in got] == pytest.approx([0.5, 0.3, 1 / 3])
    none = released(np.array([0.1]), np.array([0.9]), 0.8, 0.7)
    assert none.coverage == 0 and np.isnan(none.released_risk) and np.isnan(none.missed)


def test_the_release_table_chooses_on_the_source_and_reports_elsewhere():
    rows = table(domains=("source", "target"), subjects=6, methods=("plain", "agreement-2"), seeds=(0, 1))
    moved = rows.assign(true_score=np.where(rows["domain"] == "target", 0.5 * rows["true_score"], rows["true_score"]))
    thresholds = thresholds_of(moved, "source", 0.15)
    assert len(thresholds) == 4
    found = release_table(moved, thresholds, 0.7, resamples=200).set_index(["method", "domain"])
    assert (found.xs("source", level=1)["released_risk"] <= 0.15 + 1e-9).all()
    assert (found.xs("target", level=1)["released_risk"] > 0.5).all()
    row = found.loc[("plain", "target")]
    assert row["released_risk_low"] < row["released_risk"] < row["released_risk_high"] and row["n_subjects"] == 6
    with pytest.raises(BadInput, match="no slice of the source nowhere"):
        thresholds_of(moved, "nowhere", 0.1)


# ---- volumes


def test_the_benchmark_of_volumes_sums_errors_and_bias_by_domain():
    table = pd.DataFrame({"domain": ["a", "a", "b"], "true": [0.5, 0.7, 0.9], "true_plain": [0.6, 0.6, 0.9]})
    found = volumes.summed(table).set_index("domain")
    assert found.loc["a"].to_dict() == pytest.approx({"volumes": 2, "true_plain": 0.1, "bias_true_plain": 0.0})
    assert found.loc["b", "true_plain"] == 0 and list(found.index) == ["a", "b"]


def test_a_volume_is_the_mean_of_its_slices_by_size():
    truth, drawn = np.zeros((4, 8, 8), bool), np.zeros((4, 8, 8), bool)
    truth[0, :2, :2], truth[1, :6, :6], truth[2, :6, :5] = True, True, True
    drawn[0, 1:3, 1:3], drawn[1, :6, :6], drawn[2, 1:7, 2:7] = True, True, True
    each = [2 * (t & d).sum() / max(1, t.sum() + d.sum()) for t, d in zip(truth, drawn)]
    whole = 2 * (truth & drawn).sum() / (truth.sum() + drawn.sum())
    assert volume_score(np.array(each), drawn.sum((1, 2))) == pytest.approx(whole) != pytest.approx(np.mean(each[:3]))


def test_volumes_without_a_size_or_a_score():
    assert volume_score(np.array([0.9, 0.7]), np.zeros(2)) == pytest.approx(0.8)
    assert np.isnan(volume_score(np.array([np.nan, 0.7]), np.array([0, 5])))  # no answer: its size is unknown, too
    assert np.isnan(volume_score(np.array([np.nan, 0.7]), np.array([1, 5])))
    rows = pd.DataFrame({"dataset": "d", "domain": "x", "subject": ["a", "a", "b"], "phase": ["", "", None]})
    rows = rows.assign(predicted_dice_LV=[0.5, 1.0, np.nan], predicted_dice_RV=[1, 1, 1], pixels_LV=[30, 10, 1])
    rows = rows.assign(pixels_RV=[0, 0, 5], calibrated_score=[0.2, 0.6, np.nan], decision=["review", "accept", "review"])
    found = volume_table(rows, ["LV", "RV"], "dice")
    assert found["subject"].tolist() == ["b", "a"] and found["n_review"].tolist() == [1, 1]
    row = found.iloc[1]
    assert (row["predicted_dice_LV"], row["predicted_dice"]) == pytest.approx((0.625, 0.8125))
    assert row["calibrated_score"] == pytest.approx(0.3) and row["n_slices"] == 2 and row["n_empty"] == 0


# ---- what labels are worth


def test_draws_take_slices_in_turn_and_never_of_people_who_are_held_out():
    person = np.repeat(np.arange(8), [3, 5, 4, 6, 3, 4, 5, 6])
    for draw in draws(tuple(person.tolist()), 20, 0):
        assert len(draw.held_out) == 2 and not set(person[draw.labelled]) & set(draw.held_out)
        assert len(set(draw.labelled)) == len(draw.labelled) == sum(~np.isin(person, draw.held_out))
        for k in (3, 6, 12):
            counts = np.unique(person[draw.labelled[:k]], return_counts=True)[1]
            assert len(counts) == min(k, 6) and (counts.max() - counts.min() <= 1)


def shifted(subjects=12, slices=4, shift=0.5):
    """Source and target; on the target all true scores are `shift` lower than a method predicts."""
    rows = table(domains=("source", "target"), subjects=subjects, slices=slices, methods=("plain", "agreement-2"))
    rows["predicted_score"] = rows["predicted_score"].clip(0.4, 1)
    true = rows["predicted_score"] - np.where(rows["domain"] == "target", shift, 0.0)
    noise = 0.05 * np.random.default_rng(7).standard_normal(len(rows))
    by_slice = rows.groupby(["domain", "subject", "slice"]).cumcount() == 0
    rows["true_score"] = np.clip(true + noise, 0, 1).where(by_slice).ffill()  # one truth for all methods
    return rows


def test_what_labels_are_worth_and_the_fewest_that_halve_the_error():
    rows = shifted()
    found = labels_needed(rows, rows, "source", 0.7, (5, 20), repeats=12, resamples=100)
    assert set(found["method"]) == {"plain", "agreement-2", "constant"} and set(found["k"]) == {0, 5, 20}
    at = found.set_index(["method", "domain", "k"])
    for method in ("plain", "constant"):
        assert at.loc[(method, "target", 0), "bias"] == pytest.approx(0.5, abs=0.1)
        assert abs(at.loc[(method, "target", 20), "bias"]) < 0.05 and at.loc[(method, "target", 5), "gain_low"] > 0.1
        assert at.loc[(method, "source", 5), "used"] < 0.35 and at.loc[(method, "target", 20), "worse"] == 0
    assert at["coverage"].xs(5, level=2).isna().all() and (at["coverage"].xs(20, level=2) > 0.8).all()
    fewest = smallest_k(found).set_index(["method", "domain"])
    assert fewest.loc[("plain", "target"), "k"] == 5 and np.isnan(fewest.loc[("plain", "source"), "k"])
    again = labels_needed(rows, rows, "source", 0.7, (5, 20), repeats=12, resamples=100)
    pd.testing.assert_frame_equal(found, again)


def test_slices_without_an_answer_and_small_domains_are_no_obstacle():
    rows = shifted(subjects=5)
    whole = labels_needed(rows, rows, "source", 0.7, (5, 50), repeats=4, resamples=20)
    assert set(whole["k"]) == {0, 5} and whole["mae"].notna().all()
    silent = rows["method"].eq("plain") & rows["domain"].eq("target") & rows["slice"].isin(sorted(set(rows["slice"]))[:2])
    spoilt = rows.assign(predicted_score=rows["predicted_score"].mask(silent, np.inf))
    found = labels_needed(spoilt, rows, "source", 0.7, (5, 50), repeats=4, resamples=20)
    hit = found["method"].eq("plain") & found["domain"].eq("target")
    assert hit.sum() == 2 and found.loc[~hit, "mae"].notna().all()
    assert found.loc[hit, ["mae", "mae_low", "bias", "gain", "worse"]].isna().to_numpy().all()
    assert 0 < found.loc[hit, "released"].max() < whole.loc[hit, "released"].max()  # what has no answer is not let through
    with pytest.raises(BadInput, match="no domain has 4 people or more"):
        labels_needed(rows[rows["subject"] < "003"], rows, "source", 0.7)
    with pytest.raises(BadInput, match="no slice of the source nowhere"):
        labels_needed(rows, rows, "nowhere", 0.7)


def test_reliability_before_and_after():
    rows = shifted()
    before = reliability(held_out_scores(rows, rows, "source", 0), "source", resamples=50)
    after = reliability(held_out_scores(rows, rows, "source", 20), "source", resamples=50)
    biases = [each.assign(bias=each["predicted"] - each["true"]) for each in (before, after)]
    off = [each.groupby(["method", "group"])["bias"].mean() for each in biases]
    assert off[0]["plain", "targets"] > 0.35 and abs(off[1]["plain", "targets"]) < 0.06
    assert abs(off[0]["plain", "source"]) < 0.06
    assert before.groupby(["method", "group"])["n_slices"].sum().eq(48).all()
    assert (before["low"] <= before["true"]).all() and (before["true"] <= before["high"]).all()
    one = rows[rows["domain"] == "target"]
    again = [pd.concat([one, one.assign(domain="again", subject=prefix + one["subject"])]) for prefix in ("", "other-")]
    widths = [(each["high"] - each["low"]).mean() for each in (reliability(r, "source", 1, 500) for r in (*again, one))]
    assert widths[0] == pytest.approx(widths[2]) and widths[1] < 0.9 * widths[0]  # who was seen twice is one person
    same = rows.assign(predicted_score=0.5)
    assert reliability(same, "source", resamples=5).groupby(["method", "group"]).size().eq(1).all()
