"""The separate script that recomputes metrics.csv: it agrees with the package, and it would notice."""

import shutil

import numpy as np
import pandas as pd
import pytest
import recompute_metrics

from advconf_lite.evaluation.per_domain import metrics_table
from advconf_lite.evaluation.predictions import constant_predictions
from advconf_lite.experiment.run import Run

pytestmark = pytest.mark.filterwarnings("ignore:Degrees of freedom")  # numpy, on the correlation of one slice


def write(folder, predictions, resamples=5):
    folder.mkdir(exist_ok=True)
    predictions.to_csv(folder / "predictions.csv", index=False)
    metrics_table(predictions, resamples).to_csv(folder / "metrics.csv", index=False)


@pytest.fixture
def predictions():
    rng = np.random.default_rng(0)
    parts = []
    for number, (domain, method) in enumerate(
        [("a", "plain"), ("b", "agreement-2"), ("b", "entropy-3-foreground"), ("a", "tied")]
    ):
        n = 20 if number else 1  # one slice alone: correlations are not defined
        true = rng.integers(0, 8, n) / 7  # with ties
        predicted = rng.integers(0, 3, n) / 2 if method == "tied" else rng.random(n)
        parts.append(pd.DataFrame({
            "dataset": "toy", "domain": domain, "subject": [f"s{i // 4}" for i in range(n)], "phase": "", "slice": range(n),
            "quality": "dice", "method": method, "segmenter_seed": 0, "head_seed": number,
            "estimates": not method.startswith(("agreement", "entropy")), "true_score": true,
            "predicted_score": predicted}))  # fmt: skip
    table = pd.concat(parts, ignore_index=True)
    return pd.concat([table, constant_predictions(table[table["domain"] == "b"], {"dice": 0.7})], ignore_index=True)


def test_agrees_with_ties_and_undefined_values(predictions, tmp_path, capsys):
    write(tmp_path, predictions)
    assert recompute_metrics.main(tmp_path) == 0
    assert "5 rows of metrics.csv, 0 differences" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["n_subjects", "pearson", "spearman", "aurc", "eaurc", "augrc", "mae"])
def test_notices_a_wrong_number(name, predictions, tmp_path, capsys):
    write(tmp_path, predictions)
    metrics = pd.read_csv(tmp_path / "metrics.csv")
    metrics[name] = metrics[name].astype(float)
    metrics.loc[metrics["method"] == "tied", name] += 2e-6
    metrics.to_csv(tmp_path / "metrics.csv", index=False)
    assert recompute_metrics.main(tmp_path) == 1
    assert f"'tied', '0', '3', 'counted', '{name}'" in capsys.readouterr().out


def test_notices_missing_and_superfluous_rows_and_an_mae_that_means_nothing(predictions, tmp_path):
    write(tmp_path, predictions)
    metrics = pd.read_csv(tmp_path / "metrics.csv")
    for changed in (
        metrics.iloc[1:],
        pd.concat([metrics, metrics.tail(1).assign(domain="c")]),
        metrics.fillna({"mae": 0.1}),
    ):
        changed.to_csv(tmp_path / "metrics.csv", index=False)
        assert recompute_metrics.main(tmp_path) == 1


@pytest.mark.slow
def test_agrees_on_a_run(slice_set, tmp_path):
    methods = ["plain", "agreement-2", "agreement-3-zero", "entropy-3", "entropy-2-foreground"]
    run = Run(tmp_path / "r", str(slice_set), "smoke", methods=methods, progress=False)
    for seed in (0, 1):
        run.predict_heads(seed, 0)
        run.predict_agreement(seed, 0)
    metrics = run.metrics()
    assert recompute_metrics.main(tmp_path / "r") == 0
    assert set(metrics["method"]) == {*methods, "constant"}
    relative = metrics["method"].str.startswith(("agreement", "entropy"))
    assert metrics.loc[relative, "mae"].isna().all() and metrics.loc[~relative, "mae"].notna().all()
    # Every segmenter has its own constant, which is in the table of predictions; asked again, nothing changes.
    table = run.predictions()
    floor = table[table["method"] == "constant"].groupby(["quality", "segmenter_seed"])["predicted_score"]
    assert (floor.nunique() == 1).all() and len(floor) == 4
    assert floor.first()["dice", 1] == pytest.approx(run.constant_prediction(1)["dice"])
    shutil.copy(tmp_path / "r" / "predictions.csv", tmp_path / "before.csv")
    pd.testing.assert_frame_equal(run.metrics(), metrics)
    before, after = ((tmp_path / name).read_text().splitlines() for name in ("before.csv", "r/predictions.csv"))
    assert sorted(before) == sorted(after)
