"""Choosing settings: the same trials for every method, validation scanners alone, and runs that take what was chosen."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from advconf_lite.__main__ import main
from advconf_lite.course.lessons import start
from advconf_lite.experiment.heads import own_profile
from advconf_lite.experiment.profiles import PROFILES
from advconf_lite.experiment.run import Run
from advconf_lite.experiment.tune import Trial, default_grid, parse_grid, tune, tuned_profile
from advconf_lite.phantom.offered import offered_scanners
from advconf_lite.support.errors import BadInput

SMOKE = PROFILES["smoke"]


@pytest.fixture
def short(monkeypatch):
    """Two steps of each stage: what is tested is the bookkeeping."""
    monkeypatch.setitem(PROFILES, "smoke", replace(SMOKE, segmenter_steps=2, head_steps=6))


def test_grid_is_every_combination():
    grid = parse_grid(["head_lr=1e-4,1e-3", "head_norm=batch,group"], SMOKE.settings)
    assert len(grid) == 4 and {"head_lr": 1e-3, "head_norm": "group"} in grid
    assert [values["head_lr"] for values in default_grid(PROFILES["quick"].settings)] == [2e-4, 5e-4, 1.25e-3]


@pytest.mark.parametrize(("text", "complaint"), [
    ("batch_size=8", "batch_size is not a setting that trials may change"),
    ("tolerance=3", "tolerance is not a setting"),
    ("head_lr", "'' is no value"),
    ("head_lr=fast", "'fast' is not float"),
    ("head_bias=1", "1 is not bool"),
    ("warmup_batches=2.5", "2.5 is not int"),
    ("eta=true", "True is not float"),
    ("head_norm=layer", "choose one of batch, group"),
])  # fmt: skip
def test_a_grid_that_is_none_is_refused(text, complaint):
    with pytest.raises(BadInput, match=complaint):
        parse_grid([text], SMOKE.settings)


@pytest.mark.slow
def test_every_method_gets_the_same_trials_and_no_test_scanner_is_seen(short, slice_set, tmp_path):
    methods = ["plain", "replay", "agreement-2"]
    out = tmp_path / "tune"
    log = tune(out, str(slice_set), "smoke", methods, "dice", ["head_lr=1e-4,1e-2"], progress=False)
    assert log.groupby("method").size().to_dict() == {"plain": 2, "replay": 2}  # agreement has nothing to choose
    for _, of_method in log.groupby("method"):
        assert of_method["chosen"].sum() == 1 and of_method.loc[of_method["chosen"], "mae"].item() == of_method["mae"].min()
    predictions = pd.read_csv(out / "trial-0" / "predictions.csv")
    offered = offered_scanners(None, 3.0)
    scanners = {scanner.name for scanner in offered["val"]}
    assert set(predictions["domain"]) == {"here", *scanners}
    assert not set(predictions["domain"]) & {scanner.name for scanner in offered["test"]}
    assert set(predictions["subject"]) == {"p4", "p5"}  # validation subjects, never the test's p6 and p7
    hand = predictions[(predictions["method"] == "plain") & predictions["domain"].isin(scanners)]
    errors = (hand["predicted_score"] - hand["true_score"]).abs().groupby(hand["domain"]).mean()
    row = log[(log["method"] == "plain") & (log["trial"] == 0)]
    assert row["mae"].item() == pytest.approx(errors.mean(), abs=1e-6)
    assert [path.parent for path in out.rglob("segmenter-0.safetensors")] == [out]  # all trials stand on one segmenter
    written = pd.read_csv(out / "trials.csv")
    assert len(written) == len(log) and set(written["settings"]) == {"head_lr=0.0001", "head_lr=0.01"}

    chosen = json.loads((out / "chosen.json").read_text())
    assert chosen["trials"] == 2 and set(chosen["methods"]) == {"plain", "replay"}
    profile = tuned_profile("smoke", out / "chosen.json", methods)
    run = Run(tmp_path / "run", str(slice_set), profile, "dice", methods, progress=False)
    assert own_profile("plain", run.profile).settings.head_lr == chosen["methods"]["plain"]["head_lr"]
    assert any("2 trials for each method" in remark for remark in run.remarks())
    run.predict_heads()
    Run(tmp_path / "run", str(slice_set), profile, "dice", methods, progress=False)  # config.json holds what was chosen
    with pytest.raises(BadInput, match="method_settings"):
        Run(tmp_path / "run", str(slice_set), "smoke", "dice", methods, progress=False)


def test_a_trial_with_the_profiles_own_settings_trains_the_runs_very_head(short, slice_set, tmp_path):
    trial = Trial(tmp_path / "tune" / "trial-0", str(slice_set), "smoke", "dice", ["plain"], progress=False)
    run = Run(tmp_path / "run", str(slice_set), "smoke", "dice", ["plain"], progress=False)
    one, two = (each.heads()["plain", "dice"].state_dict() for each in (trial, run))
    for a, b in zip(one.values(), two.values()):
        np.testing.assert_array_equal(a, b)


def test_a_tuned_method_says_so_and_its_neighbours_stay():
    profile = replace(SMOKE, method_settings={"plain": {"head_lr": 0.1}, "adversarial-0.2": {"eta": 0.5}}, trials=3)
    assert own_profile("plain", profile).settings.head_lr == 0.1
    assert own_profile("replay", profile) == profile
    other = own_profile("adversarial-0.2", profile).settings
    assert (other.eta, other.delta_s, other.alpha) == (0.5, 0.2, 0.2)
    assert own_profile("finetuned", profile).settings.head_lr == pytest.approx(0.1 * SMOKE.settings.head_lr)


@pytest.mark.parametrize(("text", "complaint"), [
    (None, "does not exist"),
    ("{", "is not a chosen.json"),
    ('{"methods": {}}', "is not a chosen.json"),
    ('{"methods": {"plain": {}}, "profile": "quick", "trials": 3}', "was made with profile quick"),
    ('{"methods": {"plain": {}}, "profile": "smoke", "trials": 3}', "has no trials of adversarial"),
])  # fmt: skip
def test_a_bad_file_of_choices_is_one_sentence(text, complaint, tmp_path, capsys):
    path = tmp_path / "chosen.json"
    if text is not None:
        path.write_text(text)
    out = tmp_path / "r"
    arguments = ["run", "--data", "phantom:cardiac", "--profile", "smoke", "--out", str(out), "--tuned", str(path)]
    assert main(arguments) == 2
    error = capsys.readouterr().err.strip()
    assert complaint in error and len(error.splitlines()) == 1 and not out.exists()


@pytest.mark.slow
def test_a_tuned_run_and_its_lessons_take_what_was_chosen(slice_set, tmp_path, capsys):
    chosen, out = tmp_path / "chosen.json", tmp_path / "run"
    text = {"profile": "smoke", "trials": 3, "methods": {"plain": {"head_lr": 0.0123}}}
    chosen.write_text(json.dumps(text))
    assert main(["run", "--data", str(slice_set), "--profile", "smoke", "--out", str(out), "--quality", "dice",
                 "--methods", "plain", "--tuned", str(chosen)]) == 0  # fmt: skip
    assert "3 trials for each method" in capsys.readouterr().out
    profile = tuned_profile("smoke", chosen, ["plain"])
    by_lessons, by_hand, untuned = (
        Run(tmp_path / name, str(slice_set), settings, "dice", ["plain"]).heads()["plain", "dice"].score[1].weight
        for name, settings in (("run", profile), ("by-hand", profile), ("untuned", SMOKE))
    )
    assert torch.equal(by_lessons, by_hand) and not torch.equal(by_lessons, untuned)
    assert "settings of 3 trials for each method" in (out / "notebooks" / "04_evaluation_across_scanners.ipynb").read_text()
    assert start(str(slice_set), "smoke", str(out)).profile.method_settings == text["methods"]
    assert start(str(slice_set), "smoke", str(tmp_path / "other")).profile == SMOKE
    with pytest.raises(BadInput, match="made with profile smoke"):
        start(str(slice_set), "quick", str(out))


def test_tune_refuses_bad_requests_before_it_makes_anything(tmp_path, capsys):
    for more, complaint in (
        (["--profile", "huge"], "profile 'huge' is unknown"),
        (["--methods", "agreement-2"], "trains no head"),
        (["--set", "batch_size=8"], "batch_size=8: batch_size is not a setting"),
        (["--data", "phantom:liver"], "phantom:liver"),
    ):
        arguments = ["tune", "--data", "phantom:cardiac", "--profile", "smoke", "--out", str(tmp_path / "t"), *more]
        assert main(arguments) == 2
        error = capsys.readouterr().err.strip()
        assert complaint in error and len(error.splitlines()) == 1
    assert not (tmp_path / "t").exists()
