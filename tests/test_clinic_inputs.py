"""What hospitals bring to calibrate, predict and triage: labels off the grid, a class nobody outlined, another scanner."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from test_cli import refused
from test_clinic import calibration, command

from advconf_lite.course.known import known_predictions
from advconf_lite.data.grid import Grid
from advconf_lite.data.slices import read_slice_set, write_slice_set
from advconf_lite.evaluation.calibration import Steps, Straight, correct, is_level, start_from
from advconf_lite.evaluation.release import released, threshold_for
from advconf_lite.evaluation.volumes import volume_table
from advconf_lite.experiment.labelled import cropped, fitting, labelled_parts
from advconf_lite.figures.outlines import Outlined, one_subject_all_scanners
from advconf_lite.figures.style import png
from advconf_lite.support.errors import BadInput

SAME = {"dataset": "own", "domain": "clinicX", "phase": "", "spacing_mm": 2.0, "split": "test"}


def finished(train=(), classes=("LV", "RV"), size=48, organ=None):
    """What is read of a finished run: its grid, classes, organ, and the names of the slices that it was trained on."""
    names = pd.DataFrame(
        [{**SAME, "subject": subject, "slice": 0} for subject in train] or [{**SAME, "subject": "-", "slice": 0}]
    )
    experiment = SimpleNamespace(
        train=SimpleNamespace(table=names), val=SimpleNamespace(table=names[:0]), size=size, spacing_mm=2.0,
        grid=Grid(size, size, 2.0), class_names=list(classes), slices=SimpleNamespace(organ=organ),
    )  # fmt: skip
    return SimpleNamespace(experiment=experiment, settings=SimpleNamespace(normalise="image"), folder="r")


def brought(folder, places=((20, 1), (28, 2)), size=48, people=3, **info):
    """A slice set of one slice a person: a square of 6 x 6 pixels for each (place, label) on the diagonal."""
    masks = np.zeros((people, size, size), np.uint8)
    for place, label in places:
        masks[:, place : place + 6, place : place + 6] = label
    table = pd.DataFrame([{**SAME, "subject": f"P{n}", "slice": 0} for n in range(people)])
    info = {"name": "own", "class_names": ["LV", "RV"], "source_domain": "clinicX", "tolerance_mm": 3.0, **info}
    write_slice_set(folder, np.random.default_rng(0).normal(size=masks.shape).astype(np.float32), masks, table, info)
    return folder


def test_labels_that_the_runs_grid_cuts_off_are_no_labels_to_judge_by(tmp_path):
    assert labelled_parts(finished(), brought(tmp_path / "fits")).never_shown == []
    far = brought(tmp_path / "far", places=((30, 1), (76, 2)), size=96)
    with pytest.raises(
        BadInput, match=r"48 x 48 pixels of 2 mm cut off .* % of the labelled area .*centre the images on the"
    ):
        labelled_parts(finished(), far)
    assert cropped(finished(), read_slice_set(far)) == (
        "the run looks at the middle 48 x 48 pixels of 2 mm; these images have up to 96 x 96 of them"
    )
    assert cropped(finished(size=96), read_slice_set(far)) == ""


def test_a_class_that_nobody_outlined_is_named(tmp_path):
    assert labelled_parts(finished(), brought(tmp_path / "left", places=((20, 1),))).never_shown == ["RV"]


def test_names_of_the_runs_own_slices_are_said_to_be_names(tmp_path):
    data = brought(tmp_path / "same")
    assert labelled_parts(finished(train=["P0"]), data).known == 1
    with pytest.raises(
        BadInput,
        match=r"no slice with a label that the run was not trained on .* if these are others, prepare them with a domain",
    ):
        labelled_parts(finished(train=["P0", "P1", "P2"]), data)


def test_another_organ_is_refused_where_both_say_theirs(tmp_path):
    data = brought(tmp_path / "heart", organ="cardiac")
    for organ in (None, "cardiac", "Heart"):
        assert fitting(finished(organ=organ), read_slice_set(data), data)
    with pytest.raises(
        BadInput, match="is of the organ cardiac .* trained on prostate; give images of the same anatomy, or"
    ):
        fitting(finished(organ="prostate"), read_slice_set(data), data)
    with pytest.raises(BadInput, match="and the classes the same names and order"):
        fitting(finished(classes=("RV", "LV")), read_slice_set(data), data)


def scores(values, domain="here"):
    return pd.DataFrame({"predicted_dice": values, "pixels_LV": 5, "domain": domain})


def by_risk(path, fitted, accept_from):
    rule = {"by": "risk", "risk": 0.1, "accept_from": accept_from}
    return calibration(path, map=fitted.as_dict(), decision=rule, labels={"domains": ["here"]})


def test_a_threshold_is_chosen_and_compared_before_scores_are_clipped(tmp_path):
    x, y = np.array([0.4, 0.9, 1.05, 1.1, 1.15]), np.array([0.1, 0.5, 0.9, 0.97, 0.99])
    assert threshold_for(Straight().unclipped(x), y, 0.03) == threshold_for(x, y, 0.03) == 1.1
    made = by_risk(tmp_path / "c.json", Straight(), 1.1).decided(scores([1.05, 1.2, -0.3]))
    assert made["decision"].tolist() == ["review", "review", "accept"] and made["calibrated_score"].tolist() == [0, 1, 1]
    low = by_risk(tmp_path / "c.json", Straight(), -0.037).decided(scores([-0.182, 0.0]))
    assert low["decision"].tolist() == ["review", "accept"]
    assert low["reason"].tolist() == ["calibrated score -0.18 is below -0.04", "calibrated score 0.00 is at least -0.04"]


def test_below_all_labels_a_monotone_map_says_nothing(tmp_path):
    fitted = Steps((0.7, 0.8), (0.907, 0.92))
    found = by_risk(tmp_path / "c.json", fitted, 0.855).decided(scores([0.05, 0.72])).set_index("predicted_score")
    assert found.loc[0.05, "decision"] == "review" and found.loc[0.72, "decision"] == "accept"
    assert found.loc[0.05, "reason"] == "predicted 0.05, lower than any labelled slice"


def test_what_is_just_below_is_shown_below(tmp_path):
    made = calibration(tmp_path / "c.json", decision__accept_from=0.704, labels={"domains": ["here"]})
    reasons = made.decided(scores([0.803, 0.8041]))["reason"].tolist()  # a margin of 0.1
    assert reasons == ["lower bound 0.703 is below 0.704", "lower bound 0.7041 is at least 0.7040"]


def test_the_summary_names_scanners_that_no_label_is_of(tmp_path):
    made = calibration(tmp_path / "c.json", labels={"domains": ["here"]})
    mixed = pd.concat([scores([0.9, 0.8]), scores([0.9], "there")])
    assert made.elsewhere(mixed) == (
        "the labels are of here: on the 1 slices of there the lower bound promises nothing; calibrate with labels of that "
        "scanner"
    )
    assert made.elsewhere(scores([0.9])) == ""
    assert calibration(tmp_path / "c.json", bound__margin=None).elsewhere(mixed) == ""  # no bound, so no promise


def test_a_volume_with_a_slice_without_an_answer_comes_first():
    table = pd.DataFrame({"dataset": "d", "domain": "x", "subject": list("aaabb"), "phase": "", "slice": [0, 1, 2, 0, 1]})
    table["predicted_dice_LV"], table["pixels_LV"] = [0.9, np.nan, 0.8, 0.1, 0.2], [50, 0, 40, 10, 10]
    found = volume_table(table, ["LV"], "dice")
    assert found["subject"].tolist() == ["a", "b"] and np.isnan(found["predicted_dice"].iloc[0])


def test_an_infinite_prediction_is_not_released():
    got = released(np.array([np.inf, 0.9]), np.array([0.1, 0.9]), 0.5, 0.7)
    assert got.coverage == 0.5 and got.missed == 0


def test_validation_holds_the_asked_methods_alone(tmp_path):
    from test_evaluation import table

    rows = table(domains=("source", "target"), methods=("plain", "adversarial"))
    rows.to_csv(tmp_path / "predictions.csv", index=False)
    rows[rows["domain"] == "source"].to_csv(tmp_path / "validation.csv", index=False)
    _, validation, source = known_predictions(tmp_path, "plain", None)
    assert set(validation["method"]) == {"plain"} and source == "source"


def test_options_that_would_change_nothing_are_refused(tmp_path, capsys):
    first = ["calibrate", "--run", tmp_path]
    assert "with the curve this changes nothing; leave it out (--per)" in refused(
        capsys, *first, "--curve", "--per", "patient"
    )
    assert "changes nothing; leave it out (--segmenter-seed)" in refused(capsys, *first, "--curve", "--segmenter-seed", 1)
    without = [*first, "--data", tmp_path, "--out", tmp_path / "c.json"]
    assert "without the curve this changes nothing; leave it out (--k)" in refused(capsys, *without, "--k", 5)


def test_a_sheet_does_not_replace_the_scores(tmp_path, capsys):
    both = tmp_path / "both.png"
    said = refused(capsys, "predict", "--run", tmp_path, "--data", tmp_path, "--out", both, "--sheet", both)
    assert "would replace the scores of that name" in said and not both.exists()
    assert command("--help") == 0


def test_a_name_with_dollars_is_a_name():
    case = Outlined(r"$\foo$", np.zeros((16, 16)), np.eye(16, dtype=np.uint8), predicted={"predicted Dice": 0.5})
    assert png(one_subject_all_scanners([case], ["LV"], 2.0, "Dice"))


def test_a_monotone_map_is_judged_level_where_its_labels_are(tmp_path):
    """Source scores lie above all labels: there the map is level, and that is no fault of it."""
    rng = np.random.default_rng(0)
    predicted, who = np.linspace(0.1, 0.4, 40), np.repeat(np.arange(20), 2)
    true = np.clip(2 * predicted + rng.normal(0, 0.01, 40), 0, 1)
    found = correct(predicted, true, who, start_from(np.linspace(0.8, 0.9, 20), np.linspace(0.8, 0.9, 20), True), "isotonic")
    assert found.used and is_level(found.map, np.linspace(0.8, 0.9, 20)) and not is_level(found.map, predicted)
