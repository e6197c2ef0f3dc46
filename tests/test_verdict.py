"""Verdicts: better, worse or not told apart, as the interval has it, with predictions made by hand for each."""

import numpy as np
import pandas as pd
import pytest
from teaching import predictions, said

from advconf_lite.course.verdict import verdict, verdict_text
from advconf_lite.evaluation.verdict import findings, word_of


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, {"pearson": "better", "eaurc": "better", "mae": "better"}),
        ({"shift": 0.3}, {"pearson": "better", "eaurc": "better", "mae": "worse"}),
        ({"noise": 0.0}, {"pearson": "not told apart", "eaurc": "not told apart", "mae": "not told apart"}),
        ({"subjects": 2}, {"pearson": "cannot be said", "eaurc": "cannot be said", "mae": "cannot be said"}),
        ({"seeds": ((0, 0), (0, 1), (1, 0))}, {"pearson": "better", "eaurc": "better", "mae": "better"}),
    ],
)
def test_a_verdict_has_three_words_and_no_more_than_the_interval(options, words):
    for finding in findings(predictions(**options), resamples=200):
        assert finding.word == words[finding.metric]
        if finding.word in ("better", "worse"):
            assert finding.low * finding.high > 0
            ends = [float(part) for part in finding.numbers().split(", ")[1].split(" to ")]
            assert ends[0] * ends[1] > 0  # also as printed


def test_a_verdict_that_is_worse_and_one_of_chance():
    table = predictions()
    names = {"plain": "adversarial", "adversarial": "plain"}
    worse = findings(table.assign(method=table["method"].map(names)), resamples=200)
    assert {finding.word for finding in worse} == {"worse"}
    rng = np.random.default_rng(1)
    chance = table.assign(predicted_score=table["true_score"] + rng.normal(0, 0.1, len(table)))
    assert {finding.word for finding in findings(chance, resamples=400)} == {"not told apart"}


@pytest.mark.parametrize(
    ("metric", "low", "high", "word"),
    [
        ("pearson", 0.01, 0.2, "better"), ("pearson", -0.2, -0.01, "worse"), ("mae", 0.01, 0.2, "worse"),
        ("eaurc", -0.2, -0.01, "better"), ("mae", 0.0, 0.2, "not told apart"), ("mae", 0.0, 0.0, "not told apart"),
        ("pearson", float("nan"), 0.2, "cannot be said"), ("pearson", -0.1, 0.1, "not told apart"),
    ],
)  # fmt: skip
def test_the_word_of_an_interval(metric, low, high, word):
    assert word_of(metric, low, high) == word


def test_the_verdict_says_from_what_and_beside_what(capsys):
    verdict(predictions(shift=0.3))
    text = said(capsys)
    assert "On this run (organ, dice), adversarial compared with plain: its predictions follow the true scores" in text
    assert " and are further from the true scores" in text and "MAE +0.2" in text
    assert "1 segmenter seed, 1 pair of seeds, 3 target domains and 24 subjects" in text
    assert "One segmenter seed is no evidence about another segmenter. One head seed" in text
    assert "PMRI" in text and "five runs" in text
    both = pd.concat([predictions(seeds=((0, 0), (1, 0), (1, 1))), predictions(dataset="other", quality="surface_dice")])
    text = verdict_text(both, resamples=100)
    assert "(organ, dice)" in text and "(other, surface_dice)" in text and "6 such intervals" in text
    text = verdict_text(predictions(seeds=((0, 0), (0, 1), (1, 0), (1, 1))), resamples=100)
    assert "is no evidence" not in text and "2 segmenter seeds, 4 pairs of seeds" in text
    assert "only 2 segmenters gives intervals that are too narrow" in text
    ranked = predictions().assign(estimates=False)
    assert "MAE" not in verdict_text(ranked, resamples=100).split("The paper")[0]
    constant = predictions()
    constant.loc[constant["method"] == "plain", "predicted_score"] = 0.5
    assert "nothing can be said of Pearson" in verdict_text(constant, resamples=100)
    renamed = predictions().replace({"method": {"plain": "agreement-2"}})
    assert "PMRI" not in verdict_text(renamed, against=["agreement-2"], resamples=100)  # it is of plain training
    verdict(predictions(), against="replay")
    assert "No verdict: this run has no replay; it has adversarial, plain" in said(capsys)
    broken = predictions()
    broken.loc[3, "predicted_score"] = np.nan
    verdict(broken)
    text = said(capsys)
    assert "nothing can be said of Pearson and MAE" in text and "has no finite prediction of dice for 1 of" in text
