"""What a clinic would meet: thresholds of each fold, all targets as one, and a class that is drawn where it is not."""

from types import SimpleNamespace

import evidence_clinic
import numpy as np
import pandas as pd
from teaching import predictions

from advconf_lite.evaluation.release import TARGETS


def fold(rows, source="home"):
    """A study of (domain, subject, slice, predicted, true), whose validation slices are those of the source."""
    table = pd.DataFrame(rows, columns=["domain", "subject", "slice", "predicted_score", "true_score"])
    same = {"dataset": "made", "phase": "", "quality": "dice", "method": "new", "segmenter_seed": 0, "head_seed": 0}
    table = table.assign(**same, estimates=True)
    return SimpleNamespace(
        source=source, predictions=lambda pairs: table, validation=lambda pairs: table[table["domain"] == source]
    )


def test_each_fold_releases_by_its_own_threshold_and_targets_count_as_one():
    first = fold(
        [("home", "a", 0, 0.9, 1.0), ("home", "a", 1, 0.5, 0.2), ("away", "c", 0, 0.6, 0.4), ("far", "c", 0, 0.95, 0.8)]
    )
    second = fold(
        [("home", "b", 0, 0.4, 1.0), ("home", "b", 1, 0.3, 0.2), ("away", "d", 0, 0.6, 0.6), ("far", "d", 0, 0.1, 0.9)]
    )
    found = evidence_clinic.release([first, second], [(0, 0)], resamples=20)
    assert list(found["risk"].unique()) == [0.1, 0.2]
    strict = found[found["risk"] == 0.1].set_index("domain")
    assert set(strict["threshold"]) == {"0.650"} and (strict["without_threshold"] == 0).all()  # of 0.9 and 0.4
    assert strict.loc["home", ["coverage", "released_risk", "missed"]].tolist() == ["0.500", "0.000", "0.000"]
    assert strict.loc["away", ["coverage", "released_risk", "missed"]].tolist() == ["0.500", "0.400", "0.500"]  # d alone
    assert strict.loc["far", ["coverage", "released_risk", "missed"]].tolist() == ["0.500", "0.200", ""]  # c; no failure
    assert strict.loc[TARGETS, ["coverage", "released_risk", "missed"]].tolist() == ["0.500", "0.300", "0.500"]
    assert set(strict["coverage_low"]) == {""}  # two people


def test_without_a_threshold_nothing_is_released_and_the_table_says_so():
    good = [("home", "a", n, 0.9, 1.0) for n in range(2)] + [("away", "b", 0, 0.99, 1.0)]
    bad = [("home", "c", n, 0.9, 0.1) for n in range(2)] + [("away", "d", 0, 0.99, 1.0)]
    found = evidence_clinic.release([fold(good), fold(bad)], [(0, 0)], resamples=0).set_index(["risk", "domain"])
    assert (found["without_threshold"] == 1).all() and set(found["threshold"]) == {"0.900"}
    assert found.loc[(0.1, "away"), "coverage"] == "0.500"


def test_mapped_methods_and_the_constant_are_left_out_of_releasing_and_what_ranks_out_of_the_bins():
    table = predictions()
    ranks = table[table["method"] == "plain"].assign(method="ranks", estimates=False)
    both = pd.concat([table, ranks, ranks.assign(method="ranks mapped", estimates=True)], ignore_index=True)
    both = pd.concat([both, table[table["method"] == "plain"].assign(method="constant")], ignore_index=True)
    known = both[(both["domain"] == "t0") & both["method"].isin(["plain", "adversarial", "ranks"])]
    study = SimpleNamespace(source="t0", predictions=lambda pairs: both, validation=lambda pairs: known)
    assert set(evidence_clinic.release([study], [(0, 0)], 5)["method"]) == {"plain", "adversarial", "ranks"}
    bins = evidence_clinic.bins([study], [(0, 0)], 5)
    assert set(bins["method"]) == {"plain", "adversarial", "ranks mapped"} and set(bins["group"]) == {"source", "targets"}
    of_plain = bins[(bins["method"] == "plain") & (bins["group"] == "targets")]
    assert len(of_plain) == 5 and of_plain["n_slices"].sum() == 64
    assert (of_plain["true_low"].astype(float) <= of_plain["true"].astype(float)).all()


def test_how_often_a_class_is_drawn_that_is_not_there():
    table = predictions(seeds=((0, 0), (1, 0), (1, 1)))  # four slices of each of eight people
    lacking, first = table["slice"] == 0, table["segmenter_seed"] == 0
    table["absent"] = np.where(lacking, "B", "-")
    table["predicted_A"] = table["predicted_B"] = 0.5
    table["true_A"], table["true_B"] = 0.8, np.where(lacking, np.where(first, 0.0, 1.0), 0.8)
    table["true_score"] = table[["true_A", "true_B"]].mean(axis=1)
    study = SimpleNamespace(
        source="t0", predictions=lambda pairs: table, validation=lambda pairs: table[table["domain"] == "t0"]
    )
    found = evidence_clinic.absent([study], [(0, 0), (1, 0)]).set_index("domain")
    assert set(found["class"]) == {"B"} and list(found.index) == ["t0, validation", "t0", "t1", "t2", TARGETS]
    assert set(found["lacking"]) == {"0.250"} and set(found["drawn"]) == {"0.500"}
    assert set(found["drawn_low"]) == {"0.000"} and set(found["drawn_high"]) == {"1.000"}
    assert set(found["explained"]) == {""}  # segmenter 1 draws none, so no bit
    table["true_B"] = np.where(lacking, 0.0, 0.8)
    table["true_score"] = table[["true_A", "true_B"]].mean(axis=1)
    assert set(evidence_clinic.absent([study], [(0, 0)])["explained"]) == {"1.000"}  # nothing else varies
    with_all = table.assign(absent="-")
    study.predictions = study.validation = lambda pairs: with_all
    assert evidence_clinic.absent([study], [(0, 0)]).empty
