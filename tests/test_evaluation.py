"""Tables of predictions and metrics: what is read, refused, merged, resampled and printed."""

import itertools
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from advconf_lite import metrics
from advconf_lite.evaluation.per_domain import METRIC_COLUMNS, metrics_table
from advconf_lite.evaluation.predictions import SLICE, check_predictions, merge_predictions, read_predictions
from advconf_lite.evaluation.text import summary_table
from advconf_lite.support.errors import BadInput

METRICS = metrics.METRICS


def table(domains=("source", "target"), subjects=5, slices=6, methods=("plain", "agreement-2"), seeds=(0,), rng=0):
    rng = np.random.default_rng(rng)
    rows = []
    for domain, subject, number in itertools.product(domains, range(subjects), range(slices)):
        true = rng.beta(8, 2)
        for method, seed in itertools.product(methods, seeds):
            rows.append(
                dict(
                    dataset="toy",
                    domain=domain,
                    subject=f"{subject:03d}",
                    phase="ED",
                    slice=number,
                    quality="dice",
                    method=method,
                    segmenter_seed=0,
                    head_seed=seed,
                    estimates=method != "agreement-2",
                    true_score=true,
                    predicted_score=true + 0.1 * rng.standard_normal(),
                    true_LV=true,
                    predicted_LV=true,
                )
            )
    return pd.DataFrame(rows)


def test_bootstrap_draws_subjects_and_equals_a_loop():
    rows = table(domains=("only",), subjects=6, slices=4, methods=("plain",))
    result = metrics_table(rows, resamples=400, seed=3).iloc[0]
    rng = np.random.default_rng(0)
    error = (rows["predicted_score"] - rows["true_score"]).abs().to_numpy()
    of_subject = [error[rows["subject"] == subject] for subject in rows["subject"].unique()]
    means = [np.concatenate([of_subject[i] for i in rng.integers(0, 6, 6)]).mean() for _ in range(4000)]
    low, high = np.percentile(means, [2.5, 97.5])
    assert result["mae_low"] == pytest.approx(low, abs=0.15 * (high - low))
    assert result["mae_high"] == pytest.approx(high, abs=0.15 * (high - low))


def test_subject_intervals_are_wider_than_slice_intervals_would_be():
    rng = np.random.default_rng(8)
    rows = table(domains=("d",), subjects=12, slices=15, methods=("plain",))
    # All the error sits between subjects, so the slices of one are copies of one observation.
    offset = rng.normal(0, 0.2, 12)
    rows["predicted_score"] = rows["true_score"] + offset[rows["subject"].astype(int)]
    by_subject = metrics_table(rows).iloc[0]
    by_slice = metrics_table(rows.assign(subject=[str(i) for i in range(len(rows))])).iloc[0]
    assert by_subject["mae_high"] - by_subject["mae_low"] > 2 * (by_slice["mae_high"] - by_slice["mae_low"])


def test_metrics_table_columns_and_rules():
    rows = table(subjects=4)
    result = metrics_table(rows, resamples=50)
    assert list(result.columns) == METRIC_COLUMNS and len(result) == 4
    assert list(result["domain"].unique()) == ["source", "target"]  # the order of the predictions
    assert (result["n_slices"] == 24).all() and (result["n_subjects"] == 4).all()
    relative = result["method"] == "agreement-2"
    assert result.loc[relative, ["mae", "mae_low", "mae_high"]].isna().to_numpy().all()
    rest = result.loc[~relative]
    for name in METRICS:
        assert (rest[name + "_low"] <= rest[name]).all() and (rest[name] <= rest[name + "_high"]).all(), name


def test_few_subjects_have_no_interval():
    result = metrics_table(table(subjects=2), resamples=50)
    assert result[["pearson_low", "mae_high"]].isna().to_numpy().all() and result["pearson"].notna().all()
    result = metrics_table(table(subjects=3), resamples=50)
    assert result["pearson_low"].notna().all()


def test_intervals_depend_on_the_seed_and_on_nothing_else():
    rows = table()
    first = metrics_table(rows, resamples=100, seed=1)
    shuffled = metrics_table(rows.sample(frac=1, random_state=0), resamples=100, seed=1)
    alone = metrics_table(rows[rows["domain"] == "target"], resamples=100, seed=1)
    order = ["domain", "method"]
    pd.testing.assert_frame_equal(
        first.sort_values(order, ignore_index=True), shuffled.sort_values(order, ignore_index=True)
    )
    pd.testing.assert_frame_equal(first[first["domain"] == "target"].reset_index(drop=True), alone)
    assert not first["pearson_low"].equals(metrics_table(rows, resamples=100, seed=2)["pearson_low"])


def test_constant_method_is_the_mae_floor():
    rows = table(seeds=(0, 1))
    result = metrics_table(rows, resamples=20, constant={"dice": 0.8, "surface_dice": 0.1})
    floor = result[result["method"] == "constant"]
    assert len(floor) == 2  # one per domain: head seeds share the true scores
    true = rows[(rows["domain"] == "source")].drop_duplicates(["subject", "slice"])["true_score"]
    assert floor["mae"].iloc[0] == pytest.approx(np.mean(np.abs(true - 0.8)))
    assert floor["pearson"].isna().all() and floor["aurc"].iloc[0] == pytest.approx(np.mean(1 - true))


def test_read_predictions_round_trip(tmp_path):
    rows = table(domains=("NA", "007"))
    rows["subject"] = rows["subject"].replace(dict(zip(rows["subject"].unique(), ("nan", "NaN"))))
    rows.loc[0, "true_LV"] = np.nan  # a class that is absent has no surface Dice
    rows.loc[:, "phase"] = ""
    rows.to_csv(tmp_path / "predictions.csv", index=False)
    pd.testing.assert_frame_equal(read_predictions(tmp_path / "predictions.csv"), rows)


def test_bad_predictions_are_named(tmp_path):
    path = tmp_path / "predictions.csv"
    with pytest.raises(BadInput, match="does not exist"):
        read_predictions(path)
    path.write_text("")
    with pytest.raises(BadInput, match="cannot be read as a table"):
        read_predictions(path)
    table().drop(columns=["true_score", "subject"]).to_csv(path, index=False)
    with pytest.raises(BadInput, match="predictions.csv lacks the column.s. subject, true_score"):
        read_predictions(path)
    table().astype({"slice": object}).replace({"slice": {3: "three"}}).to_csv(path, index=False)
    with pytest.raises(BadInput, match="column slice holds no number.*three"):
        read_predictions(path)
    bad = table()
    bad.loc[7, "true_score"] = np.nan
    bad.to_csv(path, index=False)
    with pytest.raises(BadInput, match="true_score in data row 8 is nan"):
        read_predictions(path)
    with pytest.raises(BadInput, match="repeats a slice"):
        check_predictions(pd.concat([table(), table().iloc[[3]]]))


def test_merge_replaces_groups_and_keeps_the_rest(tmp_path):
    path = tmp_path / "predictions.csv"
    rows = table(seeds=(0, 1))
    merge_predictions(path, rows)
    assert len(read_predictions(path)) == len(rows)
    merge_predictions(path, rows)  # repeated: nothing doubles
    assert len(read_predictions(path)) == len(rows)
    one = (rows["domain"] == "target") & (rows["method"] == "plain") & (rows["head_seed"] == 1)
    new = rows[one].iloc[:10].assign(true_score=0.25)
    merge_predictions(path, new)
    merged = read_predictions(path)
    assert len(merged) == len(rows) - one.sum() + 10
    assert (merged["true_score"] == 0.25).sum() == 10
    keys = [*SLICE, "method", "head_seed"]
    before = rows[~one].sort_values(keys, ignore_index=True)
    after = merged[merged["true_score"] != 0.25].sort_values(keys, ignore_index=True)
    pd.testing.assert_frame_equal(before, after)  # to the last bit


def test_merge_takes_other_classes_and_number_like_names(tmp_path):
    path = tmp_path / "predictions.csv"
    first = table(domains=(1, 2)).assign(subject=lambda t: t["subject"].astype(int))
    merge_predictions(path, first)
    merge_predictions(path, first[first["domain"] == 1].rename(columns={"true_LV": "true_RV"}))
    merged = read_predictions(path)
    assert len(merged) == len(first) and set(merged["domain"]) == {"1", "2"}
    assert merged.loc[merged["domain"] == "1", "true_RV"].notna().all()


def test_rows_are_the_same_whichever_group_was_there_first(tmp_path):
    """Processes that share a folder finish in any order, and their scores come in single precision."""
    rows = table(seeds=(0, 1)).astype({"true_score": np.float32, "predicted_score": np.float32})
    groups, lines = [part for _, part in rows.groupby("head_seed")], []
    for number, order in enumerate((groups, groups[::-1])):
        path = tmp_path / f"{number}.csv"
        for part in order:
            merge_predictions(path, part)
        lines.append(sorted(path.read_text().splitlines()))
        assert sorted(read_predictions(path)["true_score"]) == sorted(rows["true_score"].astype(float))
    assert lines[0] == lines[1]


def test_failed_merge_leaves_the_file(tmp_path, monkeypatch):
    path = tmp_path / "predictions.csv"
    merge_predictions(path, table())
    before = path.read_bytes()

    def full(self, file, **_):
        with open(file, "w") as half:
            half.write("dataset,dom")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    with pytest.raises(BadInput, match="No space left"):
        merge_predictions(path, table(rng=1))
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1
    with pytest.raises(BadInput, match="lacks the column"):
        merge_predictions(path, pd.DataFrame({"domain": ["a"]}))
    assert path.read_bytes() == before


def test_summary_table_order_mean_and_dashes():
    metrics = metrics_table(table(domains=("b", "source", "a")), resamples=50, constant={"dice": 0.8})
    text = summary_table(metrics, source_domain="source")
    lines = text.splitlines()
    first = [line.split()[0] for line in lines if line and not line.startswith((" ", "-", "[", "quality", "domain"))]
    assert first == ["source", "b", "a", "mean"] and "mean of the targets" in text and "source (source)" in text
    assert all(line.endswith("-") for line in lines if "agreement-2" in line)
    targets = metrics[metrics["domain"].isin(["a", "b"]) & (metrics["method"] == "plain")]
    mean_line = next(line for line in lines if line.startswith("mean of the targets"))
    assert f"{targets['mae'].mean():.3f}" in mean_line and f"{targets['pearson'].mean():.3f}" in mean_line
    row = metrics.iloc[0]
    assert f"{row['pearson']:.3f} [{row['pearson_low']:.3f}, {row['pearson_high']:.3f}]" in text
    assert "mean of the targets" not in summary_table(metrics) and "\nmean " in summary_table(metrics)


def test_summary_table_of_seeds_and_of_too_few_subjects():
    several = metrics_table(table(seeds=(0, 1, 2)), resamples=10)
    group = several[(several["domain"] == "target") & (several["method"] == "plain")]
    assert f"{group['mae'].mean():.3f} +- {group['mae'].std():.3f}" in summary_table(several, "source")
    assert "[n.e.]" in summary_table(metrics_table(table(subjects=1), resamples=10))


@pytest.mark.slow
def test_a_whole_run_takes_seconds():
    domains = [f"d{i}" for i in range(7)]
    rows = table(domains, 25, 8, methods=("plain", "adversarial", "agreement-2", "agreement-15"))
    rows = pd.concat([rows, rows.assign(quality="surface_dice")])
    start = time.process_time()
    assert len(metrics_table(rows, resamples=1000)) == 56
    assert time.process_time() - start < 30


def test_tables_and_figures_know_no_network():
    """Imported one after another, so that the first one that brings a network's libraries along is named."""
    package = Path(metrics.__file__).parent
    names = [
        "metrics",
        *(f"{part}.{file.stem}" for part in ("evaluation", "figures") for file in package.glob(f"{part}/*.py")),
    ]
    above = "torch", "monai", "advconf_lite.methods", "advconf_lite.experiment", "advconf_lite.segmenter"
    code = f"""if True:
        import importlib, sys
        for name in {names}:
            importlib.import_module("advconf_lite." + name)
            found = [module for module in {above} if module in sys.modules]
            assert not found, (name, found)
    """
    assert len(names) > 10 and "evaluation.text" in names
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_tables_are_made_without_torch(tmp_path):
    """Not only imported: metrics, intervals, comparisons and their text, from a file."""
    rows = table(methods=("adversarial", "plain", "agreement-2"))
    rows.to_csv(tmp_path / "predictions.csv", index=False)
    code = f"""if True:
        import sys
        sys.modules["torch"] = None  # an import would now fail
        from advconf_lite.evaluation import per_domain, predictions, text
        table = predictions.read_predictions({str(tmp_path / "predictions.csv")!r})
        metrics = per_domain.metrics_table(table, 10, constant={{"dice": 0.8}})
        print(text.summary_table(metrics, "source"), text.comparison(table, "source"), text.mae_floor(metrics).to_string())
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "quality: dice" in done.stdout and "adversarial minus each other method" in done.stdout


def test_whether_a_method_estimates_is_read_from_the_table(tmp_path):
    rows = table(methods=("agreement-2", "mine"))
    turned = rows.assign(estimates=~rows["estimates"])  # the name says nothing
    for given in (rows, turned):
        given.to_csv(tmp_path / "predictions.csv", index=False)
        read = read_predictions(tmp_path / "predictions.csv")
        assert read["estimates"].dtype == bool
        result = metrics_table(read, resamples=5).groupby("method")
        assert (result["mae"].count() > 0).to_dict() == given.groupby("method")["estimates"].first().to_dict()
        assert (result["mae_low"].count() > 0).to_dict() == given.groupby("method")["estimates"].first().to_dict()
        assert (result["eaurc_low"].count() == 2).all()


def test_a_table_that_does_not_say_what_estimates_is_refused(tmp_path):
    path = tmp_path / "predictions.csv"
    table().drop(columns="estimates").to_csv(path, index=False)
    with pytest.raises(BadInput, match="predictions.csv lacks the column.s. estimates of .*; delete it and run") as old:
        read_predictions(path)
    assert str(old.value).count("\n") == 0
    table().assign(estimates="perhaps").to_csv(path, index=False)
    with pytest.raises(BadInput, match="estimates in data row 1 is neither True nor False"):
        read_predictions(path)
    rows = table()
    rows.loc[3, "estimates"] = not rows.loc[3, "estimates"]
    with pytest.raises(BadInput, match="agreement-2 estimates in some rows and only ranks in others"):
        check_predictions(rows)
