"""The commands: one clear sentence and exit code 2 for bad input; what was there before stays."""

import errno
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from advconf_lite.__main__ import main
from advconf_lite.data.slices import read_slice_set, write_slice_set
from advconf_lite.evaluation.text import summary_table
from advconf_lite.experiment.run import Run, open_run
from advconf_lite.methods.registry import parse_methods
from advconf_lite.support.errors import BadInput


def refused(capsys, *arguments) -> str:
    """Run a command that must end in exit code 2 and one sentence; return the sentence."""
    assert main([str(a) for a in arguments]) == 2
    text = capsys.readouterr().err.strip()
    assert text.startswith("error: ") and len(text.splitlines()) == 1
    return text


def run_refused(capsys, out, *more, data="phantom:cardiac") -> str:
    return refused(capsys, "run", "--data", data, "--profile", "smoke", "--out", out, *more)


def test_wrong_spec(capsys, tmp_path):
    text = run_refused(capsys, tmp_path / "r", data="phantom:liver")
    assert "error: phantom:liver is not a phantom" in text and text.endswith("(--data)")
    assert not (tmp_path / "r").exists()


def test_missing_folder(capsys, tmp_path):
    text = run_refused(capsys, tmp_path / "r", data=str(tmp_path / "nowhere"))
    assert "nowhere" in text and "data_download prepare" in text


def test_unknown_quality_profile_and_method(capsys, tmp_path):
    text = run_refused(capsys, tmp_path / "r", "--quality", "nonsense")
    assert "quality is 'nonsense'; choose from dice, surface_dice" in text and text.endswith("(--quality)")
    text = run_refused(capsys, tmp_path / "r", "--methods", "agreement-1")
    assert "method 'agreement-1' is unknown; choose from plain" in text and text.endswith("(--methods)")
    text = refused(capsys, "run", "--data", "phantom:cardiac", "--profile", "huge", "--out", tmp_path / "r")
    assert "profile 'huge' is unknown; choose from smoke, quick, medium, full" in text and text.endswith("(--profile)")


def test_method_names():
    assert parse_methods(["plain", "agreement-7", "plain"]) == ["plain", "agreement-7"]
    for bad in ("agreement-0", "agreement-", "Plain", "agreement-2b"):
        with pytest.raises(BadInput):
            parse_methods([bad])


def test_unknown_label_and_nan_name_file_and_row(capsys, slice_set, tmp_path):
    masks = np.load(slice_set / "masks.npy")
    kept = masks.copy()
    masks[3, 5, 5] = 7
    np.save(slice_set / "masks.npy", masks)
    text = run_refused(capsys, tmp_path / "r", data=str(slice_set))
    assert "masks.npy" in text and "7" in text and "3" in text
    np.save(slice_set / "masks.npy", kept)
    images = np.load(slice_set / "images.npy")
    images[2, 0, 0] = np.nan
    np.save(slice_set / "images.npy", images)
    text = run_refused(capsys, tmp_path / "r", data=str(slice_set))
    assert "images.npy" in text and "2" in text


def test_single_domain_targets_are_reacquired_held_out_subjects(slice_set, tmp_path):
    run = Run(tmp_path / "r", str(slice_set), "smoke", progress=False)
    experiment = run.experiment
    assert experiment.reacquired and len(experiment.targets) == 6
    held_out = set(experiment.test.table["subject"])
    for part in experiment.targets.values():
        assert set(part.table["subject"]) == held_out
        assert np.array_equal(part.masks, experiment.test.masks)
        assert not np.array_equal(part.images, experiment.test.images)
    assert "image alone and no mask" in run.remarks()[-1]
    again = Run(tmp_path / "other", str(slice_set), "smoke", progress=False).experiment
    assert all(np.array_equal(experiment.targets[k].images, again.targets[k].images) for k in experiment.targets)


def test_a_folder_of_another_run_is_refused(capsys, slice_set, tmp_path):
    Run(tmp_path / "r", str(slice_set), "smoke", progress=False)
    before = (tmp_path / "r" / "config.json").read_bytes()
    assert json.loads(before)["threads"] == torch.get_num_threads()
    text = run_refused(capsys, tmp_path / "r")
    assert "was made with data" in text and "choose another folder" in text and text.endswith("(--out)")
    assert (tmp_path / "r" / "config.json").read_bytes() == before


def test_a_folder_of_another_version_is_refused_in_one_sentence(slice_set, tmp_path):
    Run(tmp_path / "r", str(slice_set), "smoke", progress=False)
    path = tmp_path / "r" / "config.json"
    config = json.loads(path.read_text())
    del config["profile"]["settings"]["strong_probability"]
    config["profile"]["settings"]["of_old"] = 1
    path.write_text(json.dumps(config))
    with pytest.raises(BadInput, match="made with profile smoke with other values of .*of_old.*; choose another"):
        Run(tmp_path / "r", str(slice_set), "smoke", progress=False)
    with pytest.raises(
        BadInput, match="config.json was written by another version .*of_old.*; delete the folder and run again"
    ):
        open_run(tmp_path / "r", progress=False)
    del config["network"]
    path.write_text(json.dumps(config))
    with pytest.raises(BadInput, match="config.json was written by another version"):
        Run(tmp_path / "r", str(slice_set), "smoke", progress=False)


def test_full_disk_ends_in_one_sentence_and_keeps_what_was_there(capsys, slice_set, tmp_path, monkeypatch):
    run = Run(tmp_path / "r", str(slice_set), "smoke", progress=False)
    assert run.experiment.targets
    before = {p: p.read_bytes() for p in (tmp_path / "r").rglob("*") if p.is_file()}

    def full(self, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(BadInput, match="cannot write .*No space left on device; free some space"):
        run.segmenter(0)
    assert {p: p.read_bytes() for p in (tmp_path / "r").rglob("*") if p.is_file()} == before  # no debris either


@pytest.mark.slow
def test_predict_scores_images_without_masks_worst_first(capsys, slice_set, tmp_path):
    run = Run(tmp_path / "r", str(slice_set), "smoke", progress=False)
    unfinished = ["predict", "--run", tmp_path / "r", "--data", slice_set, "--out", tmp_path / "s.csv"]
    assert "finish the run first" in refused(capsys, *unfinished)
    run.heads(0, 0)
    whole = read_slice_set(slice_set)
    table = whole.table.assign(split="test")
    info = {"name": "new", "class_names": ["gland"], "source_domain": None, "tolerance_mm": 3.0}
    write_slice_set(tmp_path / "new", np.asarray(whole.images), None, table, info)
    assert (
        main(["predict", "--run", str(tmp_path / "r"), "--data", str(tmp_path / "new"), "--out", str(tmp_path / "s.csv")])
        == 0
    )
    scores = pd.read_csv(tmp_path / "s.csv")
    assert len(scores) == 16 and scores["predicted_dice"].is_monotonic_increasing
    assert {"predicted_dice_gland", "predicted_surface_dice", "subject"} <= set(scores.columns)
    # The ground truth plays no part: the same scores come out with masks that are all wrong.
    shutil.copytree(slice_set, tmp_path / "wrong")
    np.save(tmp_path / "wrong" / "masks.npy", np.ones_like(np.load(slice_set / "masks.npy")))
    assert (
        main(["predict", "--run", str(tmp_path / "r"), "--data", str(tmp_path / "wrong"), "--out", str(tmp_path / "w.csv")])
        == 0
    )
    assert np.allclose(pd.read_csv(tmp_path / "w.csv")["predicted_dice"], scores["predicted_dice"])
    bad = ["predict", "--run", tmp_path / "r", "--data", slice_set, "--out", tmp_path / "s.csv", "--method", "magic"]
    assert "has no head 'magic'; it has plain, adversarial" in refused(capsys, *bad)
    assert "config.json does not exist" in refused(capsys, "predict", "--run", tmp_path / "x", *bad[3:7])


@pytest.mark.slow
def test_stages_are_read_back_and_extended(slice_set, tmp_path):
    """A second call makes nothing anew; asking for more adds to what is there."""
    run = Run(tmp_path / "r", str(slice_set), "smoke", "dice", ["plain"], progress=False)
    first = run.predict_heads(0, 0)
    weights = {p.name: p.read_bytes() for p in (tmp_path / "r").glob("*.safetensors")}
    more = Run(tmp_path / "r", str(slice_set), "smoke", "dice", ["plain", "adversarial", "agreement-2"], progress=False)
    more.predict_heads(0, 0)
    more.predict_agreement(0, 0)
    assert all((tmp_path / "r" / name).read_bytes() == data for name, data in weights.items())
    table = more.predictions()
    assert set(table["method"]) == {"plain", "adversarial", "agreement-2"}
    kept = table[table["method"] == "plain"]
    assert np.allclose(kept["predicted_score"].to_numpy(), first["predicted_score"].to_numpy(), atol=1e-6)
    config = json.loads((tmp_path / "r" / "config.json").read_text())
    assert config["methods"] == ["plain", "adversarial", "agreement-2"]
    metrics = more.metrics()
    assert metrics[metrics["method"] == "agreement-2"]["mae"].isna().all()
    assert open_run(tmp_path / "r", progress=False).profile == more.profile


def test_damaged_weights_are_named(slice_set, tmp_path):
    run = Run(tmp_path / "r", str(slice_set), "smoke", progress=False)
    (tmp_path / "r" / "segmenter-0.safetensors").write_bytes(b"not weights")
    with pytest.raises(BadInput, match="segmenter-0.safetensors cannot be read .* delete the file and run again"):
        run.segmenter(0)


def test_damaged_config_is_named(capsys, tmp_path):
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "config.json").write_text("{")
    assert "config.json is not readable" in run_refused(capsys, tmp_path / "r")


def a_table(seeds=(0,)):
    """Metrics as long names and intervals make them widest."""
    rows = [(domain, quality, method, 0, seed, 0.123, -0.456, -0.001, 0.012, 0.01, 0.014, 0.1, 0.09, 0.11, 12, 240)
            for domain in ("1.5T-reference", "3T-low-flip", "low-resolution") for quality in ("dice", "surface_dice")
            for method in ("plain", "agreement-3-zero", "constant") for seed in seeds]  # fmt: skip
    values = [f"{name}{end}" for name in ("pearson", "eaurc", "mae") for end in ("", "_low", "_high")]
    keys = ["domain", "quality", "method", "segmenter_seed", "head_seed"]
    return pd.DataFrame(rows, columns=[*keys, *values, "n_subjects", "n_slices"])


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_the_table_fits_80_columns_and_says_the_same(seeds):
    wide, narrow = (summary_table(a_table(seeds), "1.5T-reference", width) for width in (None, 80))
    assert max(map(len, wide.splitlines())) > 100 and max(map(len, narrow.splitlines())) <= 80
    numbers = [re.findall(r"-?0\.\d{3}", text) for text in (wide, narrow)]
    assert numbers[0] == numbers[1] and len(numbers[0]) > 50
    assert summary_table(a_table(seeds), "1.5T-reference", 300) == wide
