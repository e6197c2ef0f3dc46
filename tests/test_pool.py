"""Folds pooled: joined rows, metrics over all subjects, and a sentence for whatever does not belong together."""

import itertools
import json
import shutil

import numpy as np
import pandas as pd
import pytest

from advconf_lite.__main__ import main
from advconf_lite.data.slices import read_slice_set, write_slice_set
from advconf_lite.evaluation.paired import compare
from advconf_lite.evaluation.predictions import PREDICTION_COLUMNS, read_predictions
from advconf_lite.evaluation.rules import counted
from advconf_lite.experiment.pool import pool
from advconf_lite.experiment.profiles import PROFILES
from advconf_lite.experiment.run import Run
from advconf_lite.metrics import mae, pearson
from advconf_lite.support.errors import BadInput

METHODS = {"plain": 0.2, "adversarial": 0.05, "agreement-2": 0.1, "constant": None}


def a_run(folder, data, subjects, methods=METHODS, profile="smoke", classes=("gland",), segmenters=(0,), offset=0.0):
    """A run's folder with predictions made by hand: two slices per subject, in the source and in one target domain."""
    rng = np.random.default_rng(len(subjects))
    rows = []
    for (method, noise), s, domain, subject, number in itertools.product(
        methods.items(), segmenters, ("here", "far"), subjects, (0, 1)
    ):
        true = 0.5 + 0.04 * int(subject[1:]) + 0.01 * number + offset
        predicted = 0.6 + offset if noise is None else true + noise * rng.normal()
        rows.append(("mine", domain, subject, "ED", number, "dice", method, s, 0, method != "agreement-2", true, predicted))
    table = pd.DataFrame(rows, columns=PREDICTION_COLUMNS)
    for name in classes:
        table[f"true_{name}"], table[f"predicted_{name}"] = table["true_score"], table["predicted_score"]
    folder.mkdir(parents=True)
    config = {"data": str(data), "profile": PROFILES[profile].as_dict(), "qualities": ["dice"], "methods": list(methods)}
    config["network"] = None
    (folder / "config.json").write_text(json.dumps(config))
    table.to_csv(folder / "predictions.csv", index=False)
    return folder


@pytest.fixture
def folds(slice_set, tmp_path):
    return [a_run(tmp_path / "fold-1", slice_set, ["p0", "p1", "p2"]),
            a_run(tmp_path / "fold-2", slice_set, ["p3", "p4"], offset=0.1)]  # fmt: skip


def refused(capsys, *folders, out):
    assert main(["pool", *map(str, folders), "--out", str(out)]) == 2
    text = capsys.readouterr().err.strip()
    assert text.startswith("error: ") and len(text.splitlines()) == 1
    return text


def test_metrics_are_over_the_subjects_of_all_folds(folds, tmp_path):
    pooled = pool(folds, tmp_path / "pooled", resamples=50)
    single = [read_predictions(folder / "predictions.csv") for folder in folds]
    written = read_predictions(tmp_path / "pooled" / "predictions.csv")
    pd.testing.assert_frame_equal(written, pd.concat(single, ignore_index=True))
    rows = pooled.metrics.set_index(["domain", "method"])
    assert len(rows) == 2 * 4 and (rows["n_subjects"] == 5).all() and (rows["n_slices"] == 10).all()
    far = written[(written["domain"] == "far") & (written["method"] == "plain")]
    scores = far["predicted_score"].to_numpy(), far["true_score"].to_numpy()
    assert rows.loc[("far", "plain"), "pearson"] == pytest.approx(pearson(*scores))
    assert rows.loc[("far", "plain"), "mae"] == pytest.approx(mae(*scores))
    assert counted(pd.read_csv(tmp_path / "pooled" / "metrics.csv")).shape == pooled.metrics.shape
    made = json.loads((tmp_path / "pooled" / "pool.json").read_text())
    assert made["runs"] == [str(folder) for folder in folds] and made["profile"]["name"] == "smoke"


def test_the_constant_is_that_of_each_fold(folds, tmp_path):
    table = pool(folds, tmp_path / "pooled", resamples=0).predictions.query("method == 'constant'")
    of_subject = table.groupby("subject")["predicted_score"].unique()
    assert [values.tolist() for values in of_subject] == [[0.6]] * 3 + [[0.7]] * 2


def test_comparison_is_over_the_subjects_of_all_folds(folds, tmp_path, capsys):
    assert main(["pool", *map(str, folds), "--out", str(tmp_path / "pooled")]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.split()[:2] == ["dice", "plain"]]
    pooled = read_predictions(tmp_path / "pooled" / "predictions.csv")
    row = compare(pooled, "adversarial", ["plain"], "here").set_index("metric").loc["mae"]
    assert f"{row['difference']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}]" in lines[0]
    by_hand = pd.read_csv(tmp_path / "pooled" / "metrics.csv").set_index(["domain", "method"])["mae"]
    assert row["difference"] == pytest.approx(by_hand["far", "adversarial"] - by_hand["far", "plain"])


def test_without_adversarial_there_is_no_comparison(slice_set, tmp_path, capsys):
    runs = [a_run(tmp_path / name, slice_set, subjects, {"plain": 0.1}) for name, subjects in (("a", ["p0"]), ("b", ["p1"]))]
    assert main(["pool", *map(str, runs), "--out", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    assert "minus" not in text and "2 runs, each with its own segmenter" in text and "Pearson" in text


def test_the_command_prints_both_tables_and_may_be_repeated(folds, tmp_path, capsys):
    for _ in range(2):
        assert main(["pool", *map(str, folds), "--out", str(tmp_path / "out")]) == 0
        text = capsys.readouterr().out
        assert "adversarial minus each other method" in text and "quality: dice" in text and "over all subjects" in text
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["metrics.csv", "pool.json", "predictions.csv"]


def test_what_cannot_be_pooled(folds, slice_set, tmp_path, capsys):
    one, out = folds[0], tmp_path / "out"
    assert "at least two folders" in refused(capsys, one, out=out)
    assert "config.json does not exist; give the folder of a run" in refused(capsys, one, tmp_path / "nowhere", out=out)
    again = refused(capsys, *folds, one, out=out)
    assert f"subject p0 of here is tested both in {one} and in {one}" in again
    assert "holds a run or other predictions; choose another" in refused(capsys, *folds, out=one)
    info = {"name": "theirs", "class_names": ["gland"], "source_domain": "here", "tolerance_mm": 3.0}
    whole = read_slice_set(slice_set)
    write_slice_set(tmp_path / "theirs", np.asarray(whole.images), np.asarray(whole.masks), whole.table, info)

    def other(data=slice_set, subjects=("p3", "p4"), **changes):
        shutil.rmtree(tmp_path / "other", ignore_errors=True)
        return refused(capsys, one, a_run(tmp_path / "other", data, subjects, **changes), out=out)

    assert f"{one} is on data set mine and {tmp_path / 'other'} on theirs, mine" in other(tmp_path / "theirs")
    assert "different profiles (smoke and quick)" in other(profile="quick")
    assert "predicted_zone" in other(classes=("gland", "zone"))
    assert f"{tmp_path / 'other'} has no predictions of plain for dice on here" in other(methods={"adversarial": 0.1})
    assert f"{one} has no predictions of replay for dice" in other(methods={**METHODS, "replay": 0.1})
    assert f"{one} has no predictions of plain for dice on here with segmenter seed 1" in other(segmenters=(0, 1))
    assert "subject p2 of here is tested both" in other(subjects=("p2", "p5"))
    (tmp_path / "other" / "predictions.csv").unlink()
    assert "predictions.csv does not exist; run the evaluation first" in refused(capsys, one, tmp_path / "other", out=out)
    (tmp_path / "other" / "config.json").write_text('{"data": 3}')
    assert "was written by another version (profile is missing); delete the folder" in refused(
        capsys, one, tmp_path / "other", out=out
    )
    assert not out.exists()


def test_a_changed_setting_is_named(folds, tmp_path):
    path = folds[1] / "config.json"
    config = json.loads(path.read_text())
    config["profile"]["head_steps"] += 1
    path.write_text(json.dumps(config))
    with pytest.raises(BadInput, match=r"smoke with other values of head_steps"):
        pool(folds, tmp_path / "out")


@pytest.mark.slow
def test_two_real_folds(slice_set, tmp_path, capsys):
    whole = read_slice_set(slice_set)
    info = {"name": "mine", "class_names": ["gland"], "source_domain": "here", "tolerance_mm": 3.0}
    for fold, tested in (("1", ("p0", "p1", "p2")), ("2", ("p3", "p4", "p5"))):
        split = ["test" if name in tested else "val" if name == "p7" else "train" for name in whole.table["subject"]]
        write_slice_set(
            tmp_path / f"data-{fold}",
            np.asarray(whole.images),
            np.asarray(whole.masks),
            whole.table.assign(split=split),
            {**info, "fold": f"{fold}/2"},
        )
        run = Run(tmp_path / fold, str(tmp_path / f"data-{fold}"), "smoke", "dice", ["plain", "adversarial"], progress=False)
        run.predict_heads(0, 0)
        run.metrics()
        shutil.rmtree(tmp_path / f"data-{fold}")  # the run keeps what it re-acquired
    before = (tmp_path / "1" / "config.json").read_bytes()
    assert main(["pool", str(tmp_path / "1"), str(tmp_path / "2"), "--out", str(tmp_path / "out")]) == 0
    assert "re-acquired by virtual scanners" in capsys.readouterr().out
    metrics = pd.read_csv(tmp_path / "out" / "metrics.csv")
    assert set(metrics["method"]) == {"plain", "adversarial", "constant"} and (metrics["n_subjects"] == 6).all()
    assert json.loads((tmp_path / "out" / "pool.json").read_text())["folds"] == ["1/2", "2/2"]
    assert (tmp_path / "1" / "config.json").read_bytes() == before
