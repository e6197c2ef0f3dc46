"""What lessons 04, 05, 07 and 08 look at: differences and gains, few samples, an export with errors, a plan."""

import json
import lzma

import numpy as np
import pandas as pd
import pytest
from teaching import predictions as by_hand

from advconf_lite.course import edition, evidence
from advconf_lite.course.evidence import (
    beside_the_constant,
    beside_the_other_organ,
    differences,
    gain_table,
    methods_of,
    nothing_to_rank,
    of_first_pair,
    overpromised,
    shipped_predictions,
    telling_scanner,
    with_images,
    word_for,
)
from advconf_lite.course.first_screen import duration
from advconf_lite.course.own import INFO, an_export, as_it_came, contact_sheet, new_images
from advconf_lite.course.plan import plan_table, screen, unlike_the_paper, unlike_the_published_code
from advconf_lite.course.sampling import FewSlices, as_estimate, few_slices, sample_slider
from advconf_lite.course.triage import list_by_scanner
from advconf_lite.data.slices import write_slice_set
from advconf_lite.evaluation.paired import compare
from advconf_lite.evaluation.per_domain import metrics_table
from advconf_lite.evaluation.predictions import PREDICTION_COLUMNS
from advconf_lite.experiment.predict import predict
from advconf_lite.experiment.profiles import PROFILES
from advconf_lite.experiment.run import Run
from advconf_lite.figures.plan import durations
from advconf_lite.support.errors import BadInput
from advconf_lite.support.files import sha256
from data_download.verify import verify

BOTH = ["adversarial", "plain"]


# ---- differences


def test_each_method_is_compared_on_the_seeds_that_it_shares():
    table = by_hand(seeds=((0, 0), (0, 1)))
    third = by_hand(seeds=((0, 1), (0, 2)))
    third = third[third["method"] == "plain"].assign(method="replay")
    found = differences(pd.concat([table, third]), None, "adversarial", ["plain", "replay"])
    assert found.groupby("method")["n_pairs"].first().to_dict() == {"plain": 2, "replay": 1}
    alone = compare(table, "adversarial", ["plain"])
    assert np.allclose(found[found["method"] == "plain"]["difference"], alone["difference"])
    assert differences(table, None, "adversarial", []).empty
    assert methods_of(pd.concat([third, table])) == ["adversarial", "plain", "replay"]
    ranks = third.assign(method="agreement-2", estimates=False)
    assert methods_of(pd.concat([ranks, third, table])) == ["adversarial", "plain", "replay", "agreement-2"]


@pytest.mark.parametrize(("shift", "word"), [(0.0, "better"), (0.5, "worse")])
def test_the_word_is_that_of_the_interval(shift, word):
    table = by_hand(shift=shift, noise=0.1)
    assert word_for(table, None, *BOTH, "mae", "dice") == word
    assert word_for(table, None, "adversarial", "oracle", "mae", "dice") is None
    assert word_for(by_hand(subjects=1), None, *BOTH, "mae", "dice") is None  # no interval


def test_gains_are_scanner_by_scanner():
    table = by_hand(noise=0.1)
    table.loc[(table["domain"] == "t1") & (table["method"] == "adversarial"), "predicted_score"] += 0.4
    metrics, none = metrics_table(table, resamples=0), pd.Series(dtype=float)
    found = gain_table(metrics, none, "t2", *BOTH, "mae", "dice")["difference"]
    assert found.index.tolist() == ["t1", "t0", "mean"] and found["t1"] > 0 > found["t0"]
    assert found["mean"] == pytest.approx((found["t0"] + found["t1"]) / 2)
    assert gain_table(metrics, none, None, "adversarial", "replay", "mae", "dice").empty


@pytest.mark.parametrize(("zeros", "flat"), [(0, []), (15, []), (17, ["t1"]), (32, ["t1"])])
def test_where_most_true_scores_are_equal_there_is_nothing_to_rank(zeros, flat):
    table = by_hand(noise=0.1)
    rows = table.index[table["domain"] == "t1"]
    table.loc[rows[: 2 * zeros], "true_score"] = 0.0  # each slice has a row of each method
    found = nothing_to_rank(table, "t2", "dice")
    assert found.index.tolist() == flat and nothing_to_rank(table, "t1", "dice").empty
    rest = gain_table(metrics_table(table, resamples=0), found, "t2", *BOTH, "mae", "dice")
    assert ("mean without 1" in rest.index) == bool(flat) and (rest["one true score"] != "").sum() == len(flat)
    if flat:
        assert rest.loc["mean without 1", "difference"] == pytest.approx(rest.loc["t0", "difference"])


def test_the_telling_scanner_has_failures_and_good_ones():
    rows = pd.DataFrame({"domain": list("sabbbbcccc"), "true_score": [0, 0.9, 0, 0.9, 0.9, 0.9, 0, 0, 0, 0]})
    assert telling_scanner(rows, "s", 0.7) == "b"
    assert telling_scanner(rows[rows["domain"].isin(["s", "c"])], "s", 0.7) == "c"
    assert telling_scanner(rows[rows["domain"] == "s"], "s", 0.7) == "s"


def test_the_first_pair_is_one_pair():
    table = by_hand(seeds=((1, 0), (0, 1), (0, 2)))
    assert set(zip(*of_first_pair(table, "dice")[["segmenter_seed", "head_seed"]].to_numpy().T)) == {(0, 1)}


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """Artefacts of an organ that hold its predictions alone."""
    folder = tmp_path / "artefacts" / "cardiac"
    folder.mkdir(parents=True)
    text = by_hand(dataset="phantom-cardiac").to_csv(index=False).encode()
    (folder / "predictions.csv.xz").write_bytes(lzma.compress(text))
    (folder / "dataset.json").write_text(json.dumps({"source_domain": "t0"}))
    sums = {f"cardiac/{path.name}": {"sha256": sha256(path)} for path in folder.iterdir()}
    manifest = {"format": edition.FORMAT, "organs": {"cardiac": {}}, "files": sums, "commit": "c"}
    (tmp_path / "artefacts" / "manifest.json").write_text(json.dumps(manifest))
    monkeypatch.setattr(evidence, "find_artefacts", lambda: tmp_path / "artefacts")
    return folder


def test_the_other_organ_stands_below_if_it_ships(shipped, tmp_path, capsys):
    table, source = shipped_predictions("cardiac")
    assert source == "t0" and len(table) == len(by_hand())
    with pytest.raises(BadInput, match="nothing ships of liver; what does: cardiac"):
        shipped_predictions("liver")
    mine = differences(by_hand(), None, "adversarial", ["plain"])
    run = Run(tmp_path / "r", "phantom:prostate", "smoke", "dice", ["plain", "adversarial"], progress=False)
    both = beside_the_other_organ(run, mine)
    assert both["organ"].unique().tolist() == ["prostate, this run", "cardiac, as shipped"]
    assert both["n_domains"].unique().tolist() == [3, 2]  # the other one's own source is left out
    (shipped / "predictions.csv.xz").write_bytes(b"")  # damaged: the run stands alone, and a line says so
    assert beside_the_other_organ(run, mine)["organ"].nunique() == 1 and "stands alone" in capsys.readouterr().out


# ---- few samples


def test_few_samples_move_the_spread_and_not_the_mean():
    rng = np.random.default_rng(0)
    pairs = rng.uniform(0.5, 0.9, (6, 15, 15))
    pairs = (pairs + pairs.transpose(0, 2, 1)) / 2
    pairs[:, np.arange(15), np.arange(15)] = np.nan
    few = FewSlices(pairs, np.zeros(6))
    assert np.allclose(few.agreement(2), pairs[:, 0, 1])
    assert (few.spread(2) > few.spread(8)).all() and np.allclose(few.spread(15), 0)
    draw = sample_slider(few, "Dice")
    first, text = draw(2)
    later, _ = draw(15)
    assert "N = 2, 1 pairs" in text and later.ndim == 3 and first is not None


def test_as_if_it_were_an_estimate():
    table = as_estimate(by_hand(shift=0.3, noise=0.0), "t0", "dice")
    assert np.isclose(table.loc["adversarial", "difference of the means"], 0.3)
    assert np.isclose(table.loc["plain", "distance of a slice"], 0) and table["estimates"].all()


# ---- an export


def test_three_errors_are_planted_and_verify_finds_exactly_these(tmp_path):
    export = an_export()
    wrong = [f.check for f in verify(as_it_came(export, tmp_path / "came"))[1] if f.ok is False]
    assert sorted(wrong) == ["labels", "slices of one grey value", "subjects in several splits"]
    with pytest.raises(BadInput, match="more than one split"):
        write_slice_set(tmp_path / "mine", export.images, export.masks, export.table, INFO)
    for error in export.planted:  # each alone is found, too
        others = [number for name, number in export.planted.items() if name != error]
        part = export.without(others)
        assert sum(f.ok is False for f in verify(as_it_came(part, tmp_path / error))[1]) == 1
    good = export.without(list(export.planted.values()))
    write_slice_set(tmp_path / "mine", good.images, good.masks, good.table, INFO)
    assert not [f for f in verify(tmp_path / "mine")[1] if f.ok is False]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    made = Run(tmp_path_factory.mktemp("r") / "r", "phantom:prostate", "smoke", "dice", BOTH, progress=False)
    made.predict_heads()
    return made


@pytest.mark.slow
class TestFromARun:
    def test_the_contact_sheet_is_the_list_with_pictures(self, run, tmp_path):
        scanner = list(run.experiment.evaluated())[1]
        new = new_images(run, scanner, tmp_path / "new")
        scores = predict(run.folder, new.folder, tmp_path / "scores.csv", progress=False)
        sheet = contact_sheet(run, run.segmenter(), new, scores, n=4)
        assert new.masks is None and [case.predicted["predicted"] for case in sheet] == scores["predicted_dice"][:4].tolist()
        stored = run.predictions()
        of = stored[(stored["domain"] == scanner) & (stored["method"] == "adversarial")].set_index(["subject", "slice"])
        for case, row in zip(sheet, scores.itertuples()):  # the images are the same, so the predictions are
            assert np.isclose(of.loc[(row.subject, row.slice), "predicted_score"], case.predicted["predicted"], atol=1e-4)
            assert case.title.endswith(f"slice {row.slice}") and case.truth is None

    def test_what_was_promised_most(self, run):
        rows = overpromised(run, run.predictions(), "adversarial", "dice", n=4)
        excess = (rows["predicted_score"] - rows["true_score"]).tolist()
        assert rows["subject"].nunique() == 4 and excess == sorted(excess, reverse=True)
        assert run.experiment.slices.source_domain not in set(rows["domain"])
        unknown = rows.assign(subject="nobody")
        assert with_images(run, pd.concat([rows, unknown])).equals(rows)

    def test_few_slices_of_a_run(self, run):
        few = few_slices(run, run.segmenter(), n_slices=5, samples=3)
        assert few.pairs.shape == (5, 3, 3) and few.true.shape == (5,) and np.isfinite(few.agreement(3)).all()


# ---- a list beside lots, a head beside the constant


def graded(domain, grades, true, pair=(0, 0), method="plain"):
    rows = [("toy", domain, f"{domain}{n // 2}", "", n, "dice", method, *pair, True, t, g)
            for n, (g, t) in enumerate(zip(grades, true))]  # fmt: skip
    return pd.DataFrame(rows, columns=PREDICTION_COLUMNS)


def test_a_list_is_worth_what_it_catches_beyond_lots():
    true = [0.2] * 5 + [0.9] * 15
    good, bad = graded("good", range(20), true), graded("bad", range(20, 0, -1), true)
    lost = graded("lost", range(20), [0.0] * 20)
    table = list_by_scanner(pd.concat([good, bad, lost]), share=0.2)
    assert (
        list(table.index) == ["good", "bad", "lost"] and set(table["sent back"]) == {4} and table.loc["good", "by lot"] == 1
    )
    assert table["caught"].tolist() == [4, 0, 4] and table["failures"].tolist() == [5, 5, 20]
    chance = table["chance of as many by lot"]
    assert chance["good"] == pytest.approx(5 / 4845) and chance["bad"] == chance["lost"] == 1  # 4 of 5, of 20 over 4
    tied = list_by_scanner(graded("tied", [0.5] * 20, true), share=0.2).loc["tied"]
    assert tied["caught"] == 1 and tied["chance of as many by lot"] == pytest.approx(1 - 1365 / 4845)  # 15 over 4
    assert list_by_scanner(graded("one", [0.5], [0.1])).loc["one", "sent back"] == 1


def test_each_head_is_set_beside_the_constant_on_its_own_pairs():
    true = [0.2, 0.5, 0.8, 0.3, 0.6, 0.9, 0.4, 0.7]
    heads = pd.concat([graded("one", [t + off for t in true], true, (0, h), name)
                       for name, off in (("plain", 0.5), ("adversarial", 0.01)) for h in (0, 1)])  # fmt: skip
    constants = graded("one", [0.55] * 8, true).assign(method="constant")
    table = beside_the_constant(heads, constants, None).set_index("method")
    assert list(table.index) == ["adversarial", "plain"] and set(table["metric"]) == {"mae"} and set(table["n_pairs"]) == {2}
    mean = np.mean(np.abs(np.array(true) - 0.55))
    assert table["difference"].tolist() == pytest.approx([0.01 - mean, 0.5 - mean])
    assert table.loc["adversarial", "high"] < 0 < table.loc["plain", "low"]
    assert beside_the_constant(heads.assign(estimates=False), constants, None).empty


# ---- a plan


def test_a_plan_trains_nothing_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = plan_table("phantom:prostate", ["smoke"], BOTH)
    assert table.loc["smoke", "U-Net"] == "12 x 8" and (table[["U-Net, h", "heads, h"]] > 0).all(axis=None)
    text = screen("phantom:prostate", "smoke", BOTH)
    assert "time       about" in text and "results" not in text and list(tmp_path.iterdir()) == []


def test_what_differs_is_what_the_profiles_say():
    table = unlike_the_paper("quick")
    assert table.loc["head_steps"].tolist() == ["10000", "500"] and "delta_s" not in table.index
    assert unlike_the_paper("paper").empty and set(PROFILES) >= {"quick", "paper"}
    code = unlike_the_published_code()
    assert code.loc["split"].tolist()[1:] == ["slice", "subject"] and len(code) <= 30
    assert code.loc["head_lr", "in the paper"] == "section 3.4" and "not said" in set(code["in the paper"])


@pytest.mark.parametrize(
    "seconds, words",
    [(0.4, "a second"), (4.4, "4 seconds"), (12, "10 seconds"), (89, "90 seconds"), (300, "5 minutes"), (7200, "2 hours")],
)
def test_a_duration_in_words_is_not_longer_than_its_bar(seconds, words):
    assert duration(seconds) == words


def test_the_picture_of_a_plan():
    axes = durations({"smoke": 2.0, "paper": 1e7}, {"smoke": "2 s", "paper": "116 days"}).axes[0]
    assert [text.get_text() for text in axes.texts] == ["2 s", "116 days"]
    assert axes.patches[0].get_facecolor() != axes.patches[1].get_facecolor()
    with pytest.raises(BadInput, match="more than 0 seconds"):
        durations({"smoke": 0.0}, {"smoke": ""})
