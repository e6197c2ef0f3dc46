"""Three rules for a class that the truth lacks: scores by hand, who reads which rows, which findings depend on the rule."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import recompute_metrics
import torch

from advconf_lite.__main__ import main
from advconf_lite.evaluation.depends import findings_by_rule, in_columns, sentences_by_rule
from advconf_lite.evaluation.per_domain import METRIC_COLUMNS, metrics_table
from advconf_lite.evaluation.predictions import constant_predictions, merge_predictions, read_predictions
from advconf_lite.evaluation.rules import counted, metrics_by_rule, rules, under
from advconf_lite.evaluation.text import summary_table
from advconf_lite.experiment.parts import Part
from advconf_lite.experiment.scoring import Segmented, absent_cells, rows
from advconf_lite.support.errors import BadInput

NAN = float("nan")
# absent; true and predicted LV; true and predicted RV; what `present` makes of it: true, predicted
BY_HAND = {
    "all there": ("-", 0.8, 0.7, 0.6, 0.5, 0.7, 0.6),
    "drawn where it is not": ("RV", 0.8, 0.7, 0.0, 0.9, 0.8, 0.7),
    "neither there nor drawn": ("RV", 0.8, 0.7, 1.0, 0.9, 0.8, 0.7),
    "there and missed": ("-", 0.8, 0.7, 0.0, 0.9, 0.4, 0.8),
    "no answer for what is there": ("LV", 1.0, 0.2, 0.6, NAN, 0.6, NAN),
    "no answer for what is not": ("RV", 0.8, 0.7, 1.0, NAN, 0.8, 0.7),
    "none there": ("LV;RV", 1.0, 0.7, 0.0, 0.9, None, None),
    "not kept by class": ("-", NAN, NAN, NAN, NAN, None, None),
}


def by_hand(cases=BY_HAND, **columns):
    rows = []
    for number, (absent, lv, lv_hat, rv, rv_hat, *_) in enumerate(cases.values()):
        rows.append({
            "dataset": "toy", "domain": "far", "subject": f"s{number // 2}", "phase": "", "slice": number, "quality": "dice",
            "method": "plain", "segmenter_seed": 0, "head_seed": 0, "estimates": True,
            "true_score": np.nan_to_num((lv + rv) / 2, nan=0.5), "predicted_score": (lv_hat + rv_hat) / 2, "absent": absent,
            "true_LV": lv, "predicted_LV": lv_hat, "true_RV": rv, "predicted_RV": rv_hat}
            | columns)  # fmt: skip
    return pd.DataFrame(rows)


def test_scores_of_an_image_under_each_rule():
    table = by_hand()
    assert rules(table) == ["counted", "present", "LV", "RV"] and under(table, "counted") is table
    for rule, expected in (
        ("present", {n: case[5:] for n, case in enumerate(BY_HAND.values()) if case[5] is not None}),
        ("LV", {n: case[1:3] for n, case in enumerate(BY_HAND.values()) if "LV" not in case[0] and case[1] == case[1]}),
        ("RV", {n: case[3:5] for n, case in enumerate(BY_HAND.values()) if "RV" not in case[0] and case[3] == case[3]}),
    ):
        found = under(table, rule).set_index("slice")[["true_score", "predicted_score"]]
        wanted = pd.DataFrame.from_dict(expected, "index", columns=found.columns)
        pd.testing.assert_frame_equal(found, wanted, check_names=False)
    with pytest.raises(BadInput, match="rule is 'MYO'; choose from counted, present, LV, RV"):
        under(table, "MYO")


def test_no_rule_stands_twice_and_older_tables_have_one():
    table = by_hand()
    one_class = table.drop(columns=["true_RV", "predicted_RV"])
    assert rules(one_class) == ["counted", "present"] and rules(one_class.assign(absent="-")) == ["counted"]
    assert rules(table.assign(absent="-")) == ["counted", "LV", "RV"]
    assert rules(table.drop(columns="absent")) == rules(table.assign(absent=[None, *table["absent"][1:]])) == ["counted"]
    assert rules(table.drop(columns=[c for c in table if c[-2:] in ("LV", "RV")])) == ["counted"]
    named = table.rename(columns={"true_RV": "true_present", "predicted_RV": "predicted_present"})
    assert rules(named) == ["counted", "present", "LV"]


def test_cells_say_what_the_truth_lacks():
    masks = torch.zeros(4, 3, 3, dtype=torch.uint8)
    masks[1, 0, 0], masks[2, 0], masks[3, 2] = 2, 1, 3
    masks[2, 1], masks[2, 2] = 2, 3
    assert absent_cells(masks, ["a b", "c", "d"]) == ["a b;c;d", "a b;d", "-", "a b;c"]


def test_one_number_for_all_classes_stays_it():
    entropy = by_hand(method="entropy-15", estimates=False, predicted_LV=0.3, predicted_RV=0.3, predicted_score=0.3)
    for rule in rules(entropy):
        assert under(entropy, rule)["predicted_score"].to_numpy() == pytest.approx(0.3)
        assert metrics_table(under(entropy, rule), 0)["mae"].isna().all()


@pytest.mark.parametrize("average_over", ["all", "present"])
@pytest.mark.parametrize("background", [False, True])
def test_rows_of_a_run_whose_quality_is_undefined_where_neither_has_a_class(average_over, background):
    """Surface Dice: NaN for LV of the first slice, which `average_over="present"` leaves out of the stored score."""
    settings = SimpleNamespace(average_over=average_over, predict_background=background)
    run = SimpleNamespace(settings=settings, experiment=SimpleNamespace(class_names=["LV", "RV"]))
    true, predicted = torch.tensor([[NAN, 0.4], [0.0, 0.6]]), torch.tensor([[0.5, 0.3], [0.9, 0.7]])
    if background:
        true, predicted = (torch.cat([torch.full((2, 1), 0.99), scores], 1) for scores in (true, predicted))
    slices = pd.DataFrame({"dataset": "toy", "domain": "far", "subject": ["a", "b"], "phase": "", "slice": 0})
    masks = torch.tensor([[[0, 2]], [[2, 0]]])  # neither has an LV
    part = Part(torch.zeros(2, 1, 1, 2), masks, slices)
    found = Segmented("far", part, masks, masks, masks, {"surface_dice": true}, absent_cells(masks, ["LV", "RV"]))
    table = rows(run, found, "surface_dice", "plain", predicted, 0, 0).assign(estimates=True)
    seen = {rule: under(table, rule)[["true_score", "predicted_score"]].to_numpy() for rule in ("counted", "present")}
    first = [0.7, 0.4] if average_over == "all" else [0.4, 0.3]
    assert seen["counted"] == pytest.approx(np.array([first, [0.3, 0.8]]))
    assert seen["present"] == pytest.approx(np.array([[0.4, 0.3], [0.6, 0.7]]))
    assert rules(table) == ["counted", "present", "LV", "RV"] and under(table, "LV").empty


def test_the_constant_has_a_number_for_each_class_and_keeps_what_is_absent(tmp_path):
    table = by_hand({name: BY_HAND[name] for name in ("all there", "drawn where it is not", "there and missed")})
    path = tmp_path / "predictions.csv"
    merge_predictions(path, table)
    flat = {"dice": {"predicted_score": 0.5, "predicted_LV": 0.9, "predicted_RV": 0.1}}
    merge_predictions(path, constant_predictions(table, flat))
    metrics = metrics_by_rule(read_predictions(path), resamples=0).query("method == 'constant'").set_index("rule")
    # |0.5 - 0.7|, |0.5 - 0.4|, |0.5 - 0.4|; present: |0.5 - 0.7|, |0.9 - 0.8|, |0.5 - 0.4|; RV: |0.1 - 0.6|, |0.1 - 0|
    assert metrics["mae"].to_dict() == pytest.approx({"counted": 0.4 / 3, "present": 0.4 / 3, "LV": 0.1, "RV": 0.3})
    assert metrics["n_slices"].to_dict() == {"counted": 3, "present": 3, "LV": 3, "RV": 2}
    assert "absent" not in constant_predictions(table, {"dice": 0.5})  # a number for the image alone: no class


def test_metrics_csv_has_counted_first_and_readers_find_what_they_had(tmp_path):
    parts = [by_hand(method=method, domain=domain) for method in ("plain", "replay") for domain in ("far", "near")]
    table = pd.concat(parts, ignore_index=True)
    found, before = metrics_by_rule(table, 20), metrics_table(table, 20)
    assert list(found)[:7] == [*METRIC_COLUMNS[:6], "rule"]
    assert list(found["rule"]) == [rule for rule in ("counted", "present", "LV", "RV") for _ in range(4)]
    found.to_csv(tmp_path / "metrics.csv", index=False)
    read = counted(pd.read_csv(tmp_path / "metrics.csv", keep_default_na=False, na_values=[""]))
    pd.testing.assert_frame_equal(read, before, check_dtype=False)
    assert summary_table(counted(found)) == summary_table(before)
    assert counted(before) is before  # an older file
    assert found.loc[found["rule"] != "counted", "aurc_low"].isna().all() and before["aurc_low"].notna().all()
    assert metrics_by_rule(table, 20, of_others=20)["aurc_low"].notna().all()


def test_the_separate_script_recomputes_every_rule(tmp_path, capsys):
    table = pd.concat([by_hand(), by_hand(method="entropy-1", estimates=False)], ignore_index=True)
    table.to_csv(tmp_path / "predictions.csv", index=False)
    found = metrics_by_rule(table, 0)
    for changed, code in (
        (found, 0), (counted(found), 0), (found[found["rule"] != "RV"], 1), (found.replace({"rule": {"RV": "MYO"}}), 1),
        (found.assign(aurc=found["aurc"].where(found["rule"] != "present", found["aurc"] + 2e-6)), 1),
    ):  # fmt: skip
        changed.to_csv(tmp_path / "metrics.csv", index=False)
        assert recompute_metrics.main(tmp_path) == code
    assert "'entropy-1', '0', '0', 'present', 'aurc'" in capsys.readouterr().out


def one_bit(subjects=8, slices=6, absent_where=3):
    """`adversarial` knows whether an RV was drawn that is not there, and nothing else; `plain` grades what is there."""
    rng = np.random.default_rng(0)
    cases = {}
    for number in range(subjects * slices):
        lacks = number % slices < absent_where
        lv, rv = rng.uniform(0.6, 0.9), (rng.integers(2) if lacks else rng.uniform(0.6, 0.9))
        cases[number] = ("RV" if lacks else "-", lv, lv, rv, rv)
    table = by_hand(cases).assign(subject=[f"s{number // slices}" for number in cases])
    for name in ("LV", "RV"):
        noise = rng.normal(0, 0.02, len(table))
        there = ~table["absent"].str.contains(name)
        table[f"plain_{name}"] = np.where(there, table[f"true_{name}"] + noise, rng.uniform(0, 1, len(table)))
        table[f"adversarial_{name}"] = np.where(there, rng.uniform(0.6, 0.9, len(table)), table[f"true_{name}"])
    tables = []
    for method in ("plain", "adversarial"):
        own = table.assign(method=method, predicted_LV=table[f"{method}_LV"], predicted_RV=table[f"{method}_RV"])
        tables.append(own.assign(predicted_score=(own["predicted_LV"] + own["predicted_RV"]) / 2))
    table = pd.concat(tables, ignore_index=True)
    return table.drop(columns=[c for c in table if c.startswith(("plain_", "adversarial_"))])


def test_a_finding_that_rests_on_one_bit_is_named():
    found = findings_by_rule(one_bit(), resamples=100)
    words = found.pivot(index="metric", columns="rule", values="word")
    assert words.loc["eaurc"].to_dict() == {"counted": "better", "present": "worse", "LV": "worse", "RV": "worse"}
    assert found["depends"].all()
    lines = sentences_by_rule(found)
    assert lines[0] == "3 of 3 words depend on the rule for absent classes."
    assert "eAURC: counted: better (-" in lines[2] and "; present: worse (+" in lines[2]
    wide = in_columns(found)
    assert list(wide)[-5:] == ["counted", "present", "LV", "RV", "depends"] and wide["depends"].tolist() == ["yes"] * 3
    same = findings_by_rule(one_bit(absent_where=0), resamples=100)
    assert not same["depends"].any() and set(same["rule"]) == {"counted", "LV", "RV"}
    assert sentences_by_rule(same) == ["0 of 3 words depend on the rule for absent classes."]


def test_all_rules_are_asked_on_the_same_pairs_of_seeds():
    """Of the second pair the scores by class were not kept."""
    table = one_bit()
    second = table.assign(head_seed=1, predicted_score=0.5, true_LV=NAN, true_RV=NAN)
    both = findings_by_rule(pd.concat([table, second], ignore_index=True), resamples=50)
    pd.testing.assert_frame_equal(both, findings_by_rule(table, resamples=50))


def test_the_command(tmp_path, capsys):
    folder = tmp_path / "run"
    folder.mkdir()
    table = pd.concat([one_bit(), one_bit().assign(domain="here")], ignore_index=True)
    merge_predictions(folder / "predictions.csv", table)
    ask = ["rules", "--run", str(folder), "--source", "here"]
    assert main(ask) == 0
    text = capsys.readouterr().out
    assert "3 of 3 words depend" in text and "1 target domain" in text and len(pd.read_csv(folder / "rules.csv")) == 12
    (folder / "pool.json").write_text('{"source_domain": "far"}')
    assert main(["rules", "--run", str(folder), "--out", str(tmp_path / "r.csv"), "--against", "plain"]) == 0
    for wrong, words in (
        (["--against", "replay"], "against is 'replay'"), (["--method", "replay"], "method is 'replay'"),
        (["--source", "moon"], "source is 'moon'; choose from far, here"),
    ):  # fmt: skip
        assert main([*ask, *wrong]) == 2 and words in capsys.readouterr().err
    (folder / "pool.json").write_text("{}")
    assert main(["rules", "--run", str(folder)]) == 2 and "did not name the source" in capsys.readouterr().err
    older = table[table["method"] == "plain"].drop(columns="absent").assign(method="replay")
    merge_predictions(folder / "predictions.csv", older)
    assert main(ask) == 2 and "does not say which classes a slice lacks" in capsys.readouterr().err
    (folder / "predictions.csv").unlink()
    merge_predictions(folder / "predictions.csv", table.drop(columns=["true_RV", "predicted_RV"]).assign(absent="-"))
    assert main(ask) == 0 and "every rule for absent classes says the same" in capsys.readouterr().out
