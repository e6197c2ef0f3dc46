"""The commands calibrate, predict --calibration and triage on a small run; and their figures."""

import json
import shutil
from types import SimpleNamespace

import matplotlib
import numpy as np
import pandas as pd
import pytest
from test_calibration import shifted
from test_cli import refused
from test_evaluation import table

from advconf_lite.__main__ import main
from advconf_lite.course.known import known_predictions
from advconf_lite.data.slices import read_slice_set, write_slice_set
from advconf_lite.evaluation.calibration import Start, Straight
from advconf_lite.evaluation.labels_needed import labels_needed
from advconf_lite.evaluation.predictions import class_names
from advconf_lite.evaluation.reliability import held_out_scores, reliability
from advconf_lite.experiment.calibrate import calibrate as calibrate_run
from advconf_lite.experiment.decision import Calibration
from advconf_lite.experiment.run import Run
from advconf_lite.figures.calibrating import bias_by_domain, by_labels, reliability_diagram
from advconf_lite.figures.style import png
from advconf_lite.support.errors import BadInput


def command(*arguments) -> int:
    return main([str(argument) for argument in arguments])


@pytest.mark.slow
def test_from_labels_to_decisions(slice_set, tmp_path, capsys, monkeypatch):
    run = Run(tmp_path / "r", str(slice_set), "smoke", None, ["plain", "agreement-2"], progress=False)
    predict = ["predict", "--run", run.folder, "--data", slice_set, "--out", tmp_path / "s.csv"]
    whole = read_slice_set(slice_set)
    new = whole.table.assign(subject="new-" + whole.table["subject"].astype(str), split="test")
    write_slice_set(tmp_path / "labels", np.asarray(whole.images), np.asarray(whole.masks), new, whole.info)
    calibrate = ["calibrate", "--run", run.folder, "--data", tmp_path / "labels", "--out", tmp_path / "c.json"]
    assert "finish the run first" in refused(capsys, *calibrate, "--method", "plain")
    run.predict_heads(), run.predict_agreement()
    weights = {path.name: path.read_bytes() for path in run.folder.glob("*.safetensors")}

    # A head and agreement alike; agreement becomes an estimate.
    for method, quality in (("plain", "dice"), ("agreement-2", "surface_dice")):
        assert command(*calibrate, "--method", method, "--quality", quality, "--level", 0.8, "--accept", 0.5) == 0
        said = capsys.readouterr().out
        assert "16 labelled slices of 8 patients" in said and "the correction is" in said and "at least 80" in said
        found = json.loads((tmp_path / "c.json").read_text())
        assert (found["method"], found["quality"], found["classes"]) == (method, quality, ["gland"])
        assert found["labels"]["k"] == 16 and found["bound"]["people"] == 8 and found["labels"]["domains"] == ["here"]
        assert command(*predict, "--calibration", tmp_path / "c.json", "--sheet", tmp_path / "s.png") == 0
        assert "for a human to review" in capsys.readouterr().out and (tmp_path / "s.png").stat().st_size > 5000
        scores = pd.read_csv(tmp_path / "s.csv")
        made = Calibration(tmp_path / "c.json")
        assert np.allclose(scores["predicted_score"], scores[f"predicted_{quality}"])
        assert np.allclose(scores["calibrated_score"], made.map(scores["predicted_score"]))
        assert (scores["lower_bound"] <= scores["calibrated_score"]).all()
        assert scores["calibrated_score"].is_monotonic_increasing
        accepted = (scores["lower_bound"] >= 0.5) & (scores["pixels_gland"] > 0)
        assert ((scores["decision"] == "accept") == accepted).all() and scores["reason"].str.len().min() > 10
        volumes = pd.read_csv(tmp_path / "s-volumes.csv")
        assert len(volumes) == 8 and volumes["n_review"].sum() == (~accepted).sum()
    assert {path.name: path.read_bytes() for path in run.folder.glob("*.safetensors")} == weights  # nothing was trained

    # Who was seen in two domains is one person.
    seen = new.assign(domain=np.where(new["slice"] % 2 == 0, "again", new["domain"]))
    assert seen.groupby("subject")["domain"].nunique().max() == 2
    write_slice_set(tmp_path / "twice", np.asarray(whole.images), np.asarray(whole.masks), seen, whole.info)
    twice = [tmp_path / "twice" if argument == tmp_path / "labels" else argument for argument in calibrate]
    assert command(*twice, "--method", "plain", "--level", 0.8) == 0
    assert "16 labelled slices of 8 patients" in capsys.readouterr().out
    assert json.loads((tmp_path / "c.json").read_text())["bound"]["people"] == 8

    # Without a calibration agreement predicts too; with few people there is no bound, and all is for review.
    assert command(*predict, "--method", "agreement-2") == 0
    assert "decision" not in pd.read_csv(tmp_path / "s.csv")
    assert command(*calibrate, "--method", "plain") == 0
    assert "no lower bound at level 0.9: it takes labels of at least 9 patients" in capsys.readouterr().out
    assert command(*predict, "--calibration", tmp_path / "c.json") == 0
    scores = pd.read_csv(tmp_path / "s.csv")
    assert set(scores["decision"]) == {"review"} and scores["reason"].str.contains("at least 9 patients").all()
    assert command(*calibrate, "--method", "plain", "--risk", 0.99) == 0
    assert command(*predict, "--calibration", tmp_path / "c.json") == 0
    assert "calibrated score" in pd.read_csv(tmp_path / "s.csv")["reason"].iloc[-1]

    # Where the source's map gives all slices one score, no risk helps, with labels or without.
    with monkeypatch.context() as patch:
        patch.setattr("advconf_lite.experiment.calibrate.start_from", lambda *_: Start(Straight(0.5, 0.0), 0.1))
        for labelled in (calibrate, ["calibrate", "--run", run.folder, "--out", tmp_path / "level.json"]):
            capsys.readouterr()
            assert command(*labelled, "--method", "plain", "--risk", 0.99) == 0
            assert "so a human must see all; choose another method" in capsys.readouterr().out
    capsys.readouterr()
    assert command(*calibrate, "--method", "plain", "--risk", 0) == 0
    assert "so a human must see all; allow a higher risk" in capsys.readouterr().out

    # Without a label, too: agreement becomes what the source expects, a head stays what it is, and a risk decides.
    bare = ["calibrate", "--run", run.folder, "--out", tmp_path / "c.json", "--risk", 0.99, "--method"]
    known = run.validation(["agreement-2"], [(0, 0)]).query("domain == 'here' and quality == 'dice'")
    slope, offset = np.polyfit(known["predicted_score"], known["true_score"], 1)
    assert slope > 0  # else the line would be level, and the next lines would say nothing
    of_plain = run.validation(["plain"], [(0, 0)]).query("domain == 'here' and quality == 'dice'")
    tilt, level = np.polyfit(of_plain["predicted_score"], of_plain["true_score"], 1)
    lines = {"agreement-2": (offset, slope), "plain": (0, 1), "plain --line": (level, tilt) if tilt > 0 else None}
    for method, line in lines.items():
        capsys.readouterr()
        assert command(*bare, *method.split()) == 0
        line = (of_plain["true_score"].mean(), 0.0) if line is None else line
        said = capsys.readouterr().out
        assert "no labelled slices" in said and "labels of at least 9 patients, and these are 0" in said
        assert command(*predict, "--calibration", tmp_path / "c.json") == 0
        scores = pd.read_csv(tmp_path / "s.csv")
        expected = np.clip(line[0] + line[1] * scores["predicted_score"], 0, 1)
        assert np.allclose(scores["calibrated_score"], expected) and scores["lower_bound"].isna().all()
        assert scores["reason"].str.contains("no label of here has been seen|nothing is outlined|no threshold").all()
        assert json.loads((tmp_path / "c.json").read_text())["labels"]["data"] is None
    assert "no labelled set that it could be of (--domain)" in refused(capsys, *bare, "plain", "--domain", "here")
    with pytest.raises(BadInput, match="no lower bound to decide by; give them, or a mean risk"):
        calibrate_run(run.folder, None, tmp_path / "c.json", 0.7, "plain")

    # Validation is read back, and needs no network then.
    capsys.readouterr()
    assert command("triage", "--run", run.folder, "--risk", 0.5, "--out", tmp_path / "t.csv") == 0
    assert "here (source)" in capsys.readouterr().out
    found = pd.read_csv(tmp_path / "t.csv")
    assert set(found["method"]) == {"plain", "agreement-2"} and set(found["quality"]) == {"dice", "surface_dice"}
    shutil.copytree(run.folder, tmp_path / "read")
    for path in (tmp_path / "read").glob("*.safetensors"):
        path.unlink()
    assert known_predictions(tmp_path / "read", None, None)[2] == "here"

    # What does not fit is refused, and nothing is written.
    (tmp_path / "s.csv").unlink()
    path = run.head_path("plain", "dice", 0, 0)
    path.write_bytes(run.head_path("plain", "surface_dice", 0, 0).read_bytes())
    assert "with other weights than those in" in refused(capsys, *predict, "--calibration", tmp_path / "c.json")
    values = json.loads((tmp_path / "c.json").read_text())
    for change, words in (
        ({"quality": "volume"}, "is for volume, and .* has none"), ({"method": "adversarial"}, "is for adversarial"),
        ({"bound": {}}, "is no calibration"), ({"map": {"kind": "affine", "offset": "much"}}, "is no calibration"),
    ):  # fmt: skip
        (tmp_path / "d.json").write_text(json.dumps({**values, **change}))
        with pytest.raises(BadInput, match=words):
            Calibration(tmp_path / "d.json").check(run)
    (tmp_path / "d.json").write_text("no json")
    assert "is no calibration" in refused(capsys, *predict, "--calibration", tmp_path / "d.json")
    assert "make it with" in refused(capsys, *predict, "--calibration", tmp_path / "nowhere.json")
    assert not (tmp_path / "s.csv").exists()
    write_slice_set(tmp_path / "bare", np.asarray(whole.images), None, whole.table, {**whole.info, "source_domain": None})
    bare = [tmp_path / "bare" if argument == tmp_path / "labels" else argument for argument in calibrate]
    assert "has no masks.npy; a calibration needs" in refused(capsys, *bare, "--method", "plain")
    for more, words in (
        (["--method", "magic"], "method is 'magic'"), (["--level", 1.2], "level"), (["--risk", 3], "risk is 3"),
        (["--map", "cubic"], "map is 'cubic'"), (["--accept", 7], "accept is 7"), (["--per", "week"], "unit is 'week'"),
        (["--quality", "volume"], "quality is 'volume'"), (["--domain", "there"], "no domain there; it has here"),
    ):  # fmt: skip
        assert words in refused(capsys, *calibrate, "--method", "plain", *more)
    nothing = "calibrate needs a slice set with masks, or a risk, or to be asked for the curve (--data)"
    assert nothing in refused(capsys, "calibrate", "--run", run.folder)
    assert "is no .png" in refused(capsys, *predict, "--sheet", tmp_path / "s.gif")
    assert "give 1 to 48" in refused(capsys, *predict, "--sheet", tmp_path / "s.png", "--sheet-slices", 0)
    assert "leave one of them out" in refused(capsys, *calibrate, "--curve")
    assert "failed_below is 70" in refused(capsys, "triage", "--run", run.folder, "--failed-below", 70)

    # In a folder that is not one's own to write to, validation is made and not kept.
    away = ["calibrate", "--run", run.folder, "--out", tmp_path / "c.json", "--risk", 0.99, "--method", "plain"]
    run.validation_path.unlink()
    with monkeypatch.context() as patch:
        patch.setattr("advconf_lite.experiment.run.os.access", lambda *_: False)
        assert command(*away) == 0 and not run.validation_path.exists()
    assert command(*away) == 0 and run.validation_path.exists()
    capsys.readouterr()

    # Data that are no longer where the run was made from are not blamed on the images of today.
    slice_set.rename(tmp_path / "moved")
    said = refused(capsys, "predict", "--run", run.folder, "--data", tmp_path / "labels", "--out", tmp_path / "s.csv")
    assert f"was made with {slice_set}, which is not there; put it back" in said and said.endswith(
        "all else as it was (--run)"
    )
    (tmp_path / "moved").rename(slice_set)
    capsys.readouterr()

    # Slices that the run was trained on, or chosen by, are no labels: they flatter it.
    own = [slice_set if argument == tmp_path / "labels" else argument for argument in calibrate]
    used = (whole.table["split"] != "test").sum()
    assert 0 < used < len(whole.table) and command(*own, "--method", "agreement-2") == 0
    said = capsys.readouterr().out
    assert f"{used} labelled slices are left out: the run was trained on them, or chosen by them" in said
    assert f"{len(whole.table) - used} labelled slices of " in said

    # Nothing that is read, and no part of a run or a slice set, is replaced.
    before = {path: path.read_bytes() for path in [*run.folder.iterdir(), *slice_set.iterdir()] if path.is_file()}
    for name in ("config.json", "predictions.csv", "segmenter-0.safetensors"):
        assert "part of the run in its folder, and would be lost" in refused(capsys, *predict[:-1], run.folder / name)
        assert "part of the run" in refused(capsys, *calibrate[:-1], run.folder / name, "--method", "agreement-2")
    assert "part of the slice set in its folder" in refused(capsys, *predict[:-1], slice_set / "slices.csv")
    read_too = [*predict[:-1], tmp_path / "c.json", "--calibration", tmp_path / "c.json"]
    assert "is what is read here, and would be lost; choose another file (--out)" in refused(capsys, *read_too)
    assert before == {path: path.read_bytes() for path in before}


HEALTHY = {
    "method": "soft-dice", "quality": "dice", "run": {"segmenter_seed": 0, "head_seed": 0, "weights": {}},
    "labels": {"domains": ["here"]}, "map": {"kind": "affine", "offset": 0.0, "slope": 1.0},
    "start": {"kind": "affine", "offset": 0.0, "slope": 1.0, "noise": 0.1},
    "bound": {"level": 0.9, "unit": "slice", "margin": 0.1, "people": 12, "what": "a bound"},
    "decision": {"by": "bound", "accept_from": 0.7},
}  # fmt: skip


def calibration(path, **changes):
    """A calibration.json that a hand has changed; a name such as bound__level is that of a value inside."""
    values = json.loads(json.dumps(HEALTHY))
    for name, value in changes.items():
        *outer, last = name.split("__")
        inside = values[outer[0]] if outer else values
        inside.pop(last) if value is KeyError else inside.update({last: value})
    path.write_text(json.dumps(values))
    return Calibration(path)


@pytest.mark.parametrize(
    "change",
    [
        {"decision__by": KeyError}, {"decision__by": "foo"}, {"decision__by": "risk"}, {"decision__accept_from": None},
        {"decision__accept_from": float("nan")}, {"decision": {"by": "risk", "risk": 7, "accept_from": 0.5}},
        {"map__kind": "linear"}, {"map__offset": float("nan")}, {"map__slope": -5}, {"start__kind": "steps"},
        {"map": {"kind": "isotonic", "x": [], "y": []}}, {"map": {"kind": "isotonic", "x": [0.1, 0.2], "y": [0.1]}},
        {"bound__level": 7}, {"bound__margin": "wide"}, {"bound__unit": "week"}, {"bound__people": None},
        {"labels__domains": "0.55T"}, {"run": []}, {"labels": None},
    ],
    ids=str,
)  # fmt: skip
def test_a_calibration_that_a_hand_has_changed_is_refused_in_a_sentence(tmp_path, change):
    assert calibration(tmp_path / "c.json").accept_from == 0.7  # before the change
    with pytest.raises(
        BadInput, match=r"^\S*c.json is no calibration \(.+\); make it with python -m advconf_lite calibrate$"
    ):
        calibration(tmp_path / "c.json", **change)


def test_a_quality_that_a_method_does_not_know_is_named(tmp_path):
    made = calibration(tmp_path / "c.json", quality="surface_dice")
    run = SimpleNamespace(methods=["soft-dice"], qualities=["dice", "surface_dice"], folder="r")
    with pytest.raises(BadInput, match="is for surface_dice by soft-dice, and r has none; calibrate with this run"):
        made.check(run)


@pytest.mark.parametrize(
    ("domains", "seen", "words"),
    [
        (["here"], "here", ""),
        (["here"], "there", "; the labels are of here, not of there"),
        ([], "there", "; no label of there has been seen"),
        (["own"], "own", "; own is no name of a scanner, so it is unknown whether the labels are of this one"),
    ],
)
def test_each_reason_says_whether_it_is_about_another_scanner(tmp_path, domains, seen, words):
    made = calibration(tmp_path / "c.json", labels={"domains": domains})
    scores = pd.DataFrame({"predicted_dice": [np.nan, 0.9, 0.9, 0.3], "pixels_LV": [5, 0, 5, 5], "domain": seen})
    reasons = made.decided(scores)["reason"].tolist()
    said = ["the networks have no finite answer", "lower bound 0.20 is below 0.70"]
    said += ["nothing is outlined", "lower bound 0.80 is at least 0.70"]
    assert sorted(reasons) == sorted(each + words for each in said)


def test_where_present_classes_alone_were_averaged_all_are_as_predict_can(tmp_path):
    rows = table(domains=("source", "target"))
    rows["true_score"] = rows["predicted_score"] = 0.5  # those of the present classes
    rows["true_RV"], rows["predicted_RV"] = 0.25, 0.75
    rows.to_csv(tmp_path / "predictions.csv", index=False)
    for rule, means in (("all", False), ("present", True)):
        (tmp_path / "config.json").write_text(json.dumps({"profile": {"settings": {"average_over": rule}}}))
        found, validation, _ = known_predictions(tmp_path, None, None, "source")
        for each in (found, validation):
            names = class_names(each)
            expected = each[[f"predicted_{name}" for name in names]].mean(axis=1) if means else 0.5
            assert len(names) > 1 and np.allclose(each["predicted_score"], expected) and len(each)


def test_the_curve_needs_predictions_alone_and_draws(tmp_path, capsys):
    folder = tmp_path / "r"
    folder.mkdir()
    shifted().to_csv(folder / "predictions.csv", index=False)
    curve = ["calibrate", "--curve", "--run", folder, "--source", "source", "--repeats", 4, "--k", 5, 12]
    assert command(*curve) == 0
    said = capsys.readouterr().out
    assert "the fewest labels with an error below half" in said and "agreement-2" in said
    written = {path.name for path in (folder / "calibration").iterdir()}
    assert written == {
        "labels-needed.csv", "smallest-k.csv", "reliability.csv", "mae-dice.png", "coverage-dice.png", "bias-dice.png",
        "reliability-dice.png", "figures.md",
    }  # fmt: skip
    page = (folder / "calibration" / "figures.md").read_text()
    assert page.count("](") == 4 and "with 12 (filled)" in page
    assert "k = 500: no domain has so many" not in said
    assert command(*curve, 500) == 0
    assert "k = 500: no domain has so many labelled slices beside those that are held out" in capsys.readouterr().out
    assert "with 12 (filled)" in (folder / "calibration" / "figures.md").read_text()
    assert command(*curve[:-2], 500) == 2 and "error: no domain has 500 labelled slices" in capsys.readouterr().err
    assert "source is 'elsewhere'" in refused(capsys, *curve[:5], "elsewhere")
    assert "config.json does not exist" in refused(capsys, *curve[:4])
    assert "predictions.csv does not exist" in refused(capsys, "triage", "--run", tmp_path / "no")


def test_the_figures_have_a_second_cue_and_refuse_nothing():
    rows = shifted()
    found = labels_needed(rows, rows, "source", 0.7, (5, 12), repeats=3, resamples=20)
    with matplotlib.rc_context({"text.usetex": False}):
        fig = by_labels(found, "mae", "source")
        lines = [line for line in fig.axes[0].get_lines() if len(line.get_xdata()) > 1]
        assert len({line.get_marker() for line in lines}) == len({line.get_color() for line in lines}) == 3
        assert fig.axes[0].get_title() == "source\n(source)" and fig.axes[1].get_title() == "target"
        bins = [reliability(held_out_scores(rows, rows, "source", k), "source", resamples=10) for k in (0, 12)]
        for each in (
            by_labels(found, "coverage", "source"),
            bias_by_domain(found, 12, "source"),
            reliability_diagram(*bins, 12),
        ):
            assert len(png(each)) > 5000
    with pytest.raises(BadInput, match="nothing to draw"):
        by_labels(found[:0])
    one = labels_needed(table(domains=("source",)), table(domains=("source",)), "source", 0.7, (3,), repeats=2, resamples=5)
    png(by_labels(one))
