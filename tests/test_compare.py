"""Paired differences with intervals over subjects and seeds, against the definition in plain loops."""

import itertools

import numpy as np
import pandas as pd
import pytest

from advconf_lite.evaluation.bootstrap import drawn_together, seed_weights, subject_weights
from advconf_lite.evaluation.paired import compare, paired_difference, reported
from advconf_lite.evaluation.predictions import PREDICTION_COLUMNS
from advconf_lite.evaluation.text import comparison
from advconf_lite.metrics import REPORTED, mae, pearson, weighted_metrics
from advconf_lite.support.errors import BadInput

DOMAINS = ("source", "one", "two")


def predictions(methods, segmenters=(0, 1), heads=(0, 1), seed_effect=0.0, subjects=6, shared=False):
    """`methods`: name -> noise of its predictions. `seed_effect` scales an error that each pair of seeds has for itself."""
    rng = np.random.default_rng(0)
    rows = []
    for domain, s, h, subject, number in itertools.product(DOMAINS, segmenters, heads, range(subjects), range(4)):
        true = rng.uniform(0.4, 0.9)
        name = f"s{subject}" if shared else f"{domain}{subject}"
        for method, noise in methods.items():
            own = seed_effect * (10 * s + h) * (method != "a")
            kind = method != "agreement-2"
            predicted = true + own + noise * rng.normal()
            rows.append(("set", domain, name, "ED", number, "dice", method, s, h, kind, true, predicted))
    return pd.DataFrame(rows, columns=PREDICTION_COLUMNS)


def test_difference_is_the_mean_over_domains_and_pairs():
    table = predictions({"a": 0.2, "b": 0.05, "agreement-2": 0.1})
    result = compare(table, "b", ["a", "agreement-2"], "source", resamples=20).set_index(["method", "metric"])
    for metric in (mae, pearson):
        by_hand = [
            metric(*(part.loc[part["method"] == "b", c].to_numpy() for c in ("predicted_score", "true_score")))
            - metric(*(part.loc[part["method"] == "a", c].to_numpy() for c in ("predicted_score", "true_score")))
            for key, part in table.groupby(["domain", "segmenter_seed", "head_seed"])
            if key[0] != "source"
        ]
        assert len(by_hand) == 8
        assert result.loc[("a", metric.__name__), "difference"] == pytest.approx(np.mean(by_hand))
    assert ("agreement-2", "mae") not in result.index and ("agreement-2", "eaurc") in result.index
    assert (result[["n_domains", "n_segmenters", "n_pairs"]] == [2, 2, 4]).all().all()
    pair = paired_difference(table, "a", "b", "source", resamples=20)
    assert pair["difference"].tolist() == result.loc["a", "difference"].tolist() and "method" not in pair


def test_seeds_widen_the_interval_and_equal_ones_do_not():
    def width(effect, **seeds):
        row = compare(predictions({"a": 0.0, "b": 0.0}, seed_effect=effect, **seeds), "b", ["a"], "source", 400)
        row = row.set_index("metric").loc["mae"]
        return row["difference"], row["high"] - row["low"]

    assert width(0.0) == (pytest.approx(0), pytest.approx(0))
    # Error of the pairs 0, .01, .1, .11; subjects have none. Both segmenters are drawn in half of the resamples.
    difference, spread = width(0.01)
    assert difference == pytest.approx(0.055) and spread == pytest.approx(0.11, abs=0.012)
    difference, spread = width(0.01, segmenters=(1,))  # heads alone: .1 or .11
    assert difference == pytest.approx(0.105) and spread == pytest.approx(0.01, abs=1e-9)
    assert width(0.01, segmenters=(1,), heads=(1,)) == (pytest.approx(0.11), pytest.approx(0))  # one pair: nothing to draw


def test_metrics_of_many_draws_are_those_of_one_method_after_the_other():
    rng = np.random.default_rng(3)
    true, other = rng.random(40).round(1), rng.random(40)
    tied, lost = rng.random(40).round(1), np.where(np.arange(40) == 7, np.nan, rng.random(40))
    scores = [(rng.random(40), true), (tied, true), (np.full(40, 0.5), true), (lost, true), (tied, other)]
    weights = np.vstack([np.ones(40), rng.poisson(0.7, (250, 40)), np.zeros((1, 40))]).astype(float)
    found = reported(scores, weights)
    for number, (predicted, of) in enumerate(scores):
        expected = weighted_metrics(predicted, of, weights, REPORTED)
        for place, name in enumerate(REPORTED):
            np.testing.assert_allclose(found[number, place], expected[name], rtol=0, atol=1e-12, err_msg=f"{number} {name}")
    assert np.isfinite(found[0]).sum() > 700


def test_people_whom_domains_share_are_drawn_together():
    """Motion: five volunteers, at two levels all of them, at two one is missing; and another hospital's."""
    seen = {"1": "abcde", "2": "abcde", "3": "abcd", "4": "abce", "other": "xyz"}
    rows = [("set", domain, person) for domain, people in seen.items() for person in people for _ in range(2)]
    rows += [("another set", "namesakes", person) for person in "abc"]
    table = pd.DataFrame(rows, columns=["dataset", "domain", "subject"])
    people = drawn_together(table)
    assert people == {**dict.fromkeys("1234", list("abcde")), "other": list("xyz"), "namesakes": list("abc")}
    drawn = {}
    for domain, of in table.groupby("domain"):
        counts = pd.DataFrame(subject_weights(of, 50, people[domain]).T).groupby(of["subject"].to_numpy()).first()
        drawn[domain] = counts
    assert (drawn["1"].sum() == 5).all() and (drawn["1"] == drawn["2"]).all(axis=None)
    for domain in "34":
        assert (drawn[domain] == drawn["1"].loc[drawn[domain].index]).all(axis=None)
    one = table[table["domain"] == "other"]
    assert np.array_equal(subject_weights(one, 50, people["other"]), subject_weights(one, 50))  # as without others


def test_weights_of_seeds_and_subjects_are_draws():
    pairs = [(0, 0), (0, 1), (0, 2), (5, 0)]
    weights = seed_weights(pairs, 4000)
    assert (weights[0] == 1).all()
    of_segmenter = weights[1:, :3].sum(1) / 3, weights[1:, 3]
    assert (of_segmenter[0] + of_segmenter[1] == 2).all() and set(of_segmenter[1]) == {0, 1, 2}
    assert np.mean(of_segmenter[1] == 1) == pytest.approx(0.5, abs=0.03)
    table = predictions({"a": 0}, heads=(0,), segmenters=(0,))
    one = table[table["domain"] == "one"]
    drawn = subject_weights(one, 200)
    assert (drawn[0] == 1).all() and (drawn.sum(1) == len(one)).all()
    assert (drawn.reshape(201, 6, 4) == drawn.reshape(201, 6, 4)[:, :, :1]).all()  # slices of a subject go together


def test_domains_with_the_same_subjects_share_the_draw():
    """Re-acquired targets are the same patients six times over, not six times as many patients."""
    rng = np.random.default_rng(3)
    error = {f"s{i}": rng.normal(0, 0.1) for i in range(6)}

    def spread(shared):
        table = predictions({"a": 0.0, "b": 0.0}, (0,), (0,), shared=shared)
        key = table["subject"] if shared else "s" + table["subject"].str[-1]
        table.loc[table["method"] == "b", "predicted_score"] += key.map(error)[table["method"] == "b"]
        row = compare(table, "b", ["a"], "source", 1000).set_index("metric").loc["mae"]
        return row["high"] - row["low"]

    assert spread(shared=True) > 1.2 * spread(shared=False)


def test_an_undefined_domain_is_left_out():
    table = predictions({"a": 0.1, "b": 0.05}, (0,), (0,))
    flat = (table["domain"] == "one") & (table["method"] == "b")
    table.loc[flat, "predicted_score"] = 0.5
    row = compare(table, "b", ["a"], "source", 50).set_index("metric").loc["pearson"]
    assert np.isfinite([row["difference"], row["low"], row["high"]]).all()
    rest = compare(table[table["domain"] != "one"], "b", ["a"], "source", 50).set_index("metric").loc["pearson"]
    assert row["difference"] == pytest.approx(rest["difference"])


def test_every_method_needs_every_slice_and_seed():
    table = predictions({"a": 0.1, "b": 0.05, "c": 0.1})
    missing = table[~((table["method"] == "c") & (table["domain"] == "two") & (table["head_seed"] == 1))]
    with pytest.raises(BadInput, match="b and c did not score the same slices of two"):
        compare(missing, "b", ["a", "c"], "source", 10)
    assert len(compare(missing, "b", ["a"], "source", 10)) == 3
    with pytest.raises(BadInput, match="lacks the column.s. estimates"):
        compare(table.drop(columns="estimates"), "b", ["a"], "source", 10)


def test_text_compares_adversarial_with_each_method_over_the_seeds_and_qualities_that_both_have():
    table = predictions({"adversarial": 0.05, "plain": 0.2, "agreement-2": 0.1})
    surface = table[table["method"] != "plain"].assign(quality="surface_dice")
    once = (table["method"] != "plain") | (table["segmenter_seed"] == 0)
    lines = comparison(pd.concat([table[once], surface]), "source").strip().splitlines()[3:]
    assert [line.split()[-2:] for line in lines] == [["1", "2"], ["2", "4"], ["2", "4"]]  # segmenters, pairs of seeds
    assert [line.split()[:2] for line in lines[:2]] == [["dice", "plain"], ["dice", "agreement-2"]]
    assert lines[2].split()[:2] == ["surface_dice", "agreement-2"]
    shared = table[(table["segmenter_seed"] == 0) & table["method"].isin(["plain", "adversarial"])]
    expected = compare(shared, "adversarial", ["plain"], "source").set_index("metric").loc["mae"]
    assert f"{expected['difference']:+.4f} [{expected['low']:+.4f}, {expected['high']:+.4f}]" in lines[0]
    assert lines[1].count("[") == 2  # agreement is no estimate, and has no MAE
    assert comparison(table[table["method"] == "plain"], "source") == ""
    assert comparison(table[table["method"] == "adversarial"], "source") == ""


def test_domains_of_two_subjects_give_no_interval_and_one_of_three_does():
    table = predictions({"a": 0.1, "b": 0.05}, subjects=2)
    rows = compare(table, "b", ["a"], "source", 20)
    assert rows[["low", "high"]].isna().all().all() and rows["difference"].notna().all()
    larger = predictions({"a": 0.1, "b": 0.05}, subjects=3)
    mixed = pd.concat([table[table["domain"] != "two"], larger[larger["domain"] == "two"]])
    assert compare(mixed, "b", ["a"], "source", 20)[["low", "high"]].notna().all().all()
