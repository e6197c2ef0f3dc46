"""Settings reach what they name: both ends of `Settings` run, and each fork changes what it should."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from advconf_lite.data.slices import read_slice_set
from advconf_lite.evaluation.paired import paired_difference
from advconf_lite.evaluation.predictions import PREDICTION_COLUMNS, constant_predictions, merge_predictions, read_predictions
from advconf_lite.experiment.networks import new_segmenter
from advconf_lite.experiment.parts import resplit_by_slice
from advconf_lite.experiment.profiles import PROFILES
from advconf_lite.experiment.run import Run
from advconf_lite.experiment.scoring import image_scores
from advconf_lite.metrics import mae
from advconf_lite.quality import absent_as_right
from advconf_lite.settings import Settings
from advconf_lite.support.errors import BadInput

SMOKE = PROFILES["smoke"]


def run_with(folder, slice_set, settings, **options):
    small = replace(settings, warmup_batches=4, batch_size=4)
    return Run(folder, str(slice_set), replace(SMOKE, settings=small, **options), progress=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["paper", "published_code"])
def test_both_ends_of_the_settings_run(name, slice_set, tmp_path):
    run = run_with(tmp_path / "r", slice_set, getattr(Settings, name)())
    heads = run.predict_heads(0, 0)
    agreement = run.predict_agreement(0, 0)
    metrics = run.metrics()
    assert set(metrics["method"]) == {"plain", "adversarial", "agreement-2", "agreement-15", "constant"}
    assert np.isfinite(heads["predicted_score"]).all() and agreement["predicted_score"].between(0, 1).all()
    outputs = run.heads(0, 0)["plain", "dice"].score[4].out_features
    assert outputs == (2 if name == "published_code" else 1)  # with the background, and without
    assert "predicted_gland" in heads and "predicted_background" not in heads
    adversarial = run.history().query("method == 'adversarial' and quality == 'dice'")
    assert adversarial["alpha"].dropna().iloc[0] == 0.8


def test_feature_forks_change_z_and_nothing_else(slice_set, tmp_path):
    runs = {
        key: run_with(tmp_path / key, slice_set, replace(SMOKE.settings, **{field: value}))
        for key, field, value in (
            ("a", "feature_layer", "decoder"),
            ("b", "feature_layer", "encoder"),
            ("c", "feature_norm", "after"),
        )
    }
    taps = {key: new_segmenter(None, run.profile, 2, 0).freeze() for key, run in runs.items()}
    x = torch.randn(2, 1, 48, 48, generator=torch.Generator().manual_seed(0))
    out = {key: tap(x) for key, tap in taps.items()}
    assert torch.equal(out["a"][0], out["b"][0]) and torch.equal(out["a"][0], out["c"][0])
    assert not torch.equal(out["a"][1], out["b"][1]) and not torch.equal(out["a"][1], out["c"][1])


def test_tolerance_is_in_millimetres_or_pixels_and_never_below_a_pixel(slice_set, tmp_path):
    def tolerance(**changes):
        run = run_with(tmp_path / str(sorted(changes.items())), slice_set, replace(SMOKE.settings, **changes))
        g = run.quality("surface_dice")
        return g.tolerance, g.spacing

    assert tolerance() == (3.0, 3.0)  # the set says 3 mm, and so wide is its pixel
    assert tolerance(tolerance=10.0) == (10.0, 3.0)
    coarse = run_with(tmp_path / "coarse", slice_set, SMOKE.settings, max_size=32).quality("surface_dice")
    assert (coarse.tolerance, coarse.spacing) == (4.5, 4.5)  # now a pixel is wider than 3 mm
    assert tolerance(tolerance=3.0, tolerance_unit="pixels") == (3.0, 1.0)


def test_slice_split_leaks_subjects_and_subject_split_does_not(slice_set):
    slices = read_slice_set(slice_set)
    by_slice = resplit_by_slice(slices).table

    def shared(table):
        subjects = table.groupby("split")["subject"].agg(set)
        return subjects["train"] & subjects["val"]

    assert not shared(slices.table) and shared(by_slice)
    assert by_slice["split"].value_counts().to_dict() == {"train": 11, "val": 1, "test": 4}


def test_average_over_present_classes_is_the_published_rule(slice_set, tmp_path):
    present = run_with(tmp_path / "p", slice_set, replace(SMOKE.settings, average_over="present"))
    every = run_with(tmp_path / "e", slice_set, SMOKE.settings)
    true = torch.tensor([[0.5, torch.nan], [torch.nan, torch.nan]])
    predicted = torch.tensor([[0.6, 0.2], [0.3, 0.3]])
    known = ~true.isnan()
    assert image_scores(every, predicted).tolist() == pytest.approx([0.4, 0.3])
    assert image_scores(every, absent_as_right(true)).tolist() == [0.75, 1.0]
    assert image_scores(every, true).isnan().all()  # of a predicted score, NaN is no answer
    lost = torch.tensor([[0.6, torch.nan], [torch.nan, 0.3]])
    assert image_scores(present, lost, torch.tensor([[True, False], [True, True]])).isnan().tolist() == [False, True]
    assert image_scores(present, predicted, known).tolist() == pytest.approx([0.6, 0.0])


def predictions(offset: float, method: str, n_subjects: int = 6) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = []
    for domain in ("source", "one", "two"):
        for subject in range(n_subjects):
            for number in range(4):
                true = rng.uniform(0.4, 1)
                slice_key = "set", domain, f"{domain}{subject}", "ED", number
                rows.append((*slice_key, "dice", method, 0, 0, method != "agreement-2", true, true + offset))
    return pd.DataFrame(rows, columns=PREDICTION_COLUMNS)


def test_paired_difference_of_known_errors():
    table = pd.concat([predictions(0.2, "a"), predictions(0.05, "b")])
    rows = paired_difference(table, "a", "b", "source").set_index("metric")
    assert rows.loc["mae", ["difference", "low", "high"]].tolist() == pytest.approx([-0.15] * 3)  # no spread is left
    assert rows.loc["pearson", "difference"] == pytest.approx(0, abs=1e-9)
    assert (rows["n_domains"] == 2).all()  # the source is no target


def test_paired_difference_is_the_mean_of_domain_differences_and_its_interval_widens_with_noise():
    noisy = predictions(0.0, "b")
    noisy["predicted_score"] += np.random.default_rng(1).normal(0, 0.1, len(noisy))
    table = pd.concat([predictions(0.05, "a"), noisy])
    row = paired_difference(table, "a", "b", "source").set_index("metric").loc["mae"]
    by_hand = np.mean(
        [
            mae(part["predicted_score"].to_numpy(), part["true_score"].to_numpy()) - 0.05
            for name, part in noisy.groupby("domain")
            if name != "source"
        ]
    )
    assert row["difference"] == pytest.approx(by_hand)
    assert row["low"] < row["difference"] < row["high"]


def test_paired_difference_needs_the_same_slices():
    with pytest.raises(BadInput, match="did not score the same slices of one"):
        paired_difference(pd.concat([predictions(0, "a"), predictions(0, "b").drop(index=30)]), "a", "b", "source")
    relative = pd.concat([predictions(0, "a"), predictions(0, "agreement-2")])
    assert "mae" not in set(paired_difference(relative, "a", "agreement-2", "source")["metric"])


def test_metrics_writes_the_constant_once_and_again_only_when_it_changes(slice_set, tmp_path, monkeypatch):
    run = Run(tmp_path / "r", str(slice_set), "smoke", "dice", ["plain"], progress=False)
    constant = {0: 0.7, 1: 0.1 + 0.2}  # the latter needs all its digits
    monkeypatch.setattr(run, "constant_predictions", lambda seed=0: {"dice": {"predicted_score": constant[seed]}})
    path, other = tmp_path / "r" / "predictions.csv", tmp_path / "other.csv"
    table = pd.concat([predictions(0.2, "plain").assign(segmenter_seed=seed) for seed in (0, 1)])
    table["true_heart"] = table["true_score"]
    merge_predictions(path, table)
    shutil.copy(path, other)
    for seed in (0, 1):  # one merge after the other
        rows = read_predictions(other)
        merge_predictions(other, constant_predictions(rows[rows["segmenter_seed"] == seed], {"dice": constant[seed]}))
    first = run.metrics()
    assert path.read_bytes() == other.read_bytes()
    assert first[first["method"] == "constant"]["n_slices"].tolist() == [24] * 6
    before = path.stat().st_mtime_ns, path.stat().st_ino
    pd.testing.assert_frame_equal(run.metrics(), first)
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == before
    constant[1] = 0.8
    run.metrics()
    rows = read_predictions(path).query("method == 'constant'").groupby("segmenter_seed")
    assert [values.tolist() for values in rows["predicted_score"].unique()] == [[0.7], [0.8]]
    merge_predictions(path, predictions(0.1, "adversarial"))
    run.metrics()
    assert read_predictions(path)["method"].iloc[-1] == "constant"  # last, as after a single call


def test_methods_are_in_the_order_in_which_they_were_asked_for_whichever_were_made_first(slice_set, tmp_path):
    run = Run(tmp_path, str(slice_set), "smoke", ["dice"], ["plain", "agreement-2", "replay"], progress=False)
    run.predict_agreement(0, 0)
    run.predict_heads(0, 0)
    wanted = ["plain", "agreement-2", "replay"]
    assert list(dict.fromkeys(run.predictions()["method"])) == wanted
    assert list(dict.fromkeys(run.metrics()["method"])) == [*wanted, "constant"]
    again = Run(tmp_path, str(slice_set), "smoke", ["dice"], ["replay"], progress=False)
    assert list(dict.fromkeys(again.predictions()["method"])) == [*wanted, "constant"]
