"""A run's folder and what it was made from: other data, code, weights or settings are refused, damage is named."""

import json
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch

from advconf_lite.__main__ import main
from advconf_lite.course.lessons import seen_scores, start
from advconf_lite.experiment import folder as folder_module
from advconf_lite.experiment.networks import Network
from advconf_lite.experiment.pool import read_fold
from advconf_lite.experiment.predict import predict
from advconf_lite.experiment.run import Run, open_run
from advconf_lite.support.errors import BadInput

MODULE = """
from torch import nn

def tiny(num_classes):
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, num_classes, 1))
"""


def new_run(folder, data, methods=("plain",), **options):
    return Run(folder, str(data), "smoke", "dice", methods, progress=False, **options)


def begun(folder, data):
    """A run that has made something."""
    run = new_run(folder, data)
    (folder / "history.csv").write_text("stage\n")
    return run


def edited(path, change):
    """Write an array again, changed, as somebody does who mends a mask."""
    array = np.load(path)
    change(array)
    np.save(path, array)


def one_pixel(data):
    edited(data / "images.npy", lambda images: images.__setitem__((3, 5, 5), 7.5))


def one_label(data):
    edited(data / "masks.npy", lambda masks: masks.__setitem__((3, 5, 5), 1))


def another_split(data):
    table = pd.read_csv(data / "slices.csv")
    table.loc[table["subject"] == "p0", "split"] = "val"
    table.to_csv(data / "slices.csv", index=False)


def another_tolerance(data):
    info = json.loads((data / "dataset.json").read_text())
    (data / "dataset.json").write_text(json.dumps({**info, "tolerance_mm": 5.0}))


def no_masks(data):
    (data / "masks.npy").unlink()


CHANGES = {"images.npy": one_pixel, "masks.npy": one_label, "slices.csv": another_split,
           "dataset.json": another_tolerance, "masks.npy in": no_masks}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_data_that_changed_under_the_same_path_are_named_by_every_verb(name, slice_set, tmp_path, capsys):
    begun(tmp_path / "r", slice_set)
    before = (tmp_path / "r" / "config.json").read_bytes()
    CHANGES[name](slice_set)
    words = f"{name}.* changed after .* was made with it; choose another folder for the new data"
    for attempt in (
        lambda: new_run(tmp_path / "r", slice_set),
        lambda: start(str(slice_set), "smoke", str(tmp_path / "r"), "dice", "plain"),
        lambda: open_run(tmp_path / "r"),
        lambda: predict(tmp_path / "r", slice_set, tmp_path / "scores.csv", "plain"),
        lambda: read_fold(tmp_path / "r"),
    ):
        with pytest.raises(BadInput, match=words):
            attempt()
    command = ["run", "--data", str(slice_set), "--profile", "smoke", "--out", str(tmp_path / "r"), "--quality", "dice"]
    assert main(command) == 2
    assert "(--out)" in capsys.readouterr().err
    assert (tmp_path / "r" / "config.json").read_bytes() == before


def test_the_same_data_are_the_same_wherever_they_lie_and_whenever_they_were_copied(slice_set, tmp_path, monkeypatch):
    begun(tmp_path / "r", slice_set)
    os.utime(slice_set / "images.npy", (1, 1))
    new_run(tmp_path / "r", slice_set)  # touched, not changed
    shutil.copytree(slice_set, tmp_path / "copy")
    assert json.loads((new_run(tmp_path / "r", tmp_path / "copy").folder / "config.json").read_text())["data"].endswith(
        "copy"
    )
    one_label(tmp_path / "copy")
    with pytest.raises(BadInput, match="masks.npy in .*copy changed"):
        new_run(tmp_path / "r", tmp_path / "copy")
    with pytest.raises(BadInput, match="made with data .*copy; choose another folder"):
        new_run(tmp_path / "r", "phantom:cardiac")
    read = []
    monkeypatch.setattr("advconf_lite.experiment.origins.sha256", lambda path: read.append(path) or "0")
    new_run(tmp_path / "fresh", slice_set)
    assert len(read) == 4
    new_run(tmp_path / "fresh", slice_set)
    assert len(read) == 4  # sizes and times were enough


@pytest.mark.parametrize("name", CHANGES)
def test_data_that_are_mended_before_anything_was_made_are_taken(name, slice_set, tmp_path):
    new_run(tmp_path / "r", slice_set)
    CHANGES[name](slice_set)
    files = json.loads((new_run(tmp_path / "r", slice_set).folder / "config.json").read_text())["files"]
    assert files == json.loads((new_run(tmp_path / "new", slice_set).folder / "config.json").read_text())["files"]


@pytest.fixture
def network(tmp_path, monkeypatch):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "changing_net.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path / "code")
    yield tmp_path / "code" / "changing_net.py"
    sys.modules.pop("changing_net", None)


@pytest.mark.parametrize("what", ["code", "weights", "layer", "settings", "version", "profile"])
def test_what_else_a_run_was_made_with_is_named_when_it_changes(what, network, slice_set, tmp_path, monkeypatch):
    weights = tmp_path / "w.pt"
    torch.save({"0.weight": torch.ones(1)}, weights)
    own = Network("changing_net:tiny", str(weights), "1")
    Run(tmp_path / "r", str(slice_set), "smoke", "dice", ["plain"], progress=False, network=own)
    profile, said = "smoke", ""
    if what == "code":
        network.write_text(MODULE.replace("ReLU", "ELU"))
        said = "made with network changing_net:tiny with other values of the code;"
    elif what == "weights":
        torch.save({"0.weight": torch.zeros(1)}, weights)
        said = "with other values of the weights' file;"
    elif what == "layer":
        own, said = Network("changing_net:tiny", str(weights), "0"), "with other values of layer;"
    elif what == "settings":
        from dataclasses import replace

        from advconf_lite.experiment.profiles import PROFILES

        profile = replace(PROFILES["smoke"], settings=replace(PROFILES["smoke"].settings, head_lr=1.0))
        said = "made with profile smoke with other values of head_lr;"
    elif what == "profile":
        profile, said = "quick", "made with profile smoke;"
    else:
        monkeypatch.setattr(folder_module, "__version__", "99.0")
        said = "made with version .* of this package, and this is 99.0;"
    with pytest.raises(BadInput, match=said + " choose another folder, or delete this one"):
        Run(tmp_path / "r", str(slice_set), profile, "dice", ["plain"], progress=False, network=own)
    if what == "version":  # what it has made can still be used
        assert open_run(tmp_path / "r").network == own


def finished(folder, data):
    run = new_run(folder, data)
    run.predict_heads(0, 0)
    run.metrics()
    return run


def test_a_finished_run_is_used_from_a_folder_that_cannot_be_written(slice_set, tmp_path, monkeypatch):
    run = finished(tmp_path / "r", slice_set)
    before = {path: path.stat().st_mtime_ns for path in run.folder.rglob("*")}
    monkeypatch.setattr(folder_module, "write_text", lambda *_: pytest.fail("written"))
    assert len(predict(run.folder, slice_set, tmp_path / "scores.csv", "plain", progress=False)) == 16
    new_run(tmp_path / "r", slice_set).predict_heads(0, 0)
    assert {path: path.stat().st_mtime_ns for path in run.folder.rglob("*")} == before


@pytest.mark.parametrize(
    ("name", "text", "use", "words"),
    [
        ("config.json", "[]", lambda run: new_run(run.folder, run.data), "is not the config.json of a run; delete"),
        ("config.json", '{"data": "x"', lambda run: open_run(run.folder), "is not readable as JSON"),
        ("config.json", "{}", lambda run: open_run(run.folder), "another version (data is missing)"),
        ("history.csv", "", lambda run: run.history(), "history.csv cannot be read as a table"),
        ("predictions.csv", "dataset,domain", lambda run: run.predict_heads(0, 0), "predictions.csv lacks the column"),
        ("segmenter-0.safetensors", "x", lambda run: run.segmenter(0), "delete the file and run again"),
        ("head-plain-dice-s0-h0.safetensors", "", lambda run: run.heads(0, 0), "delete the file and run again"),
        ("seen-plain-dice-s0-h0.npz", "x", lambda run: seen_scores(run, "plain", "dice", [(0, 0)]), "delete it and run"),
    ],
)
def test_damaged_files_of_a_run_are_named(name, text, use, words, slice_set, tmp_path):
    run = finished(tmp_path / "r", slice_set)
    (run.folder / name).write_text(text)
    with pytest.raises(BadInput) as error:
        use(run)
    assert words in str(error.value) and name in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("gone", ["segmenter-0.safetensors", "head-*", "seen-*", "predictions.csv", "history.csv", "data"])
def test_what_is_missing_is_made_again(gone, slice_set, tmp_path):
    run = finished(tmp_path / "r", slice_set)
    first = run.predictions()
    for path in run.folder.glob(gone):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    again = finished(tmp_path / "r", slice_set)
    pd.testing.assert_frame_equal(again.predictions(), first, atol=1e-6)
    again.heads(0, 0)
    assert seen_scores(again, "plain", "dice", [(0, 0)])["clean"].size and len(again.history().columns) > 5


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (["plain", "adversarial"], ["adversarial"]),
        (["plain"], ["random-direction", "plain"]),
        (["random-direction"], ["adversarial", "replay"]),
        (["adversarial"], ["finetuned"]),
    ],
)
def test_a_run_killed_in_the_heads_goes_on_with_other_methods(first, then, slice_set, tmp_path, monkeypatch):
    import advconf_lite.head_training as module

    whole = new_run(tmp_path / "whole", slice_set, then).heads(0, 0)
    real, calls = module.draw_batch, []

    def dying(*arguments):
        calls.append(1)
        if len(calls) == 9:  # checkpoints are after 4, 8, ...
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(module, "draw_batch", dying)
    with pytest.raises(KeyboardInterrupt):
        new_run(tmp_path / "r", slice_set, first).heads(0, 0)
    assert list((tmp_path / "r" / "checkpoints").glob("heads-*"))
    monkeypatch.setattr(module, "draw_batch", real)
    for quality in ("dice", "surface_dice"):  # also with another quality
        heads = Run(tmp_path / "r", str(slice_set), "smoke", quality, then, progress=False).heads(0, 0)
        for key, head in heads.items():
            for name, weight in head.state_dict().items() if quality == "dice" else ():
                torch.testing.assert_close(weight, whole[key].state_dict()[name], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("stage", ["segmenter-0", "heads-s0-h0"])
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04half", b"text"])
def test_an_unreadable_checkpoint_is_said_and_made_anew(stage, content, slice_set, tmp_path, capsys):
    run = new_run(tmp_path / "r", slice_set)
    path = run.checkpoint_path(stage)
    path.parent.mkdir()
    path.write_bytes(content)
    run.heads(0, 0)
    assert f"{stage}.pt cannot be read" in capsys.readouterr().out and run.has_head("plain", "dice", 0, 0)


HOLDER = """
import sys, time
from pathlib import Path
from advconf_lite.support.alone import alone_in
with alone_in(Path(sys.argv[1]), work=sys.argv[3]):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def holder(folder, seconds, work=""):
    command = [sys.executable, "-c", HOLDER, str(folder), str(seconds), work]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_command_on_a_folder_is_refused_and_a_killed_one_blocks_nobody(slice_set, tmp_path, capsys):
    (tmp_path / "r").mkdir()
    first, second = holder(tmp_path / "r" / "notebooks", 60), holder(tmp_path / "t", 60)
    command = ["--data", str(slice_set), "--profile", "smoke", "--quality", "dice", "--methods", "plain", "--out"]
    for verb, folder in (("run", tmp_path / "r"), ("tune", tmp_path / "t")):
        assert main([verb, *command, str(folder)]) == 2
        text = capsys.readouterr().err
        assert "another process is at work in" in text and text.endswith("or choose another folder (--out)\n")
    assert [path.name for path in tmp_path.glob("[rt]/[!.]*")] == ["notebooks"]  # nothing was written
    for process in (first, second):
        process.kill()
        process.wait()
    assert main(["tune", *command, str(tmp_path / "t"), "--set", "head_lr=1e-3"]) == 0
    assert not list((tmp_path / "t").glob(".*"))


def test_a_lesson_waits_for_what_another_process_makes(slice_set, tmp_path, capsys):
    run = new_run(tmp_path / "r", slice_set)
    process, began = holder(tmp_path / "r", 2, "segmenter-0"), time.time()
    run.segmenter(0)
    assert time.time() - began > 1 and "is at work in" in capsys.readouterr().out
    process.wait()
    process = holder(tmp_path / "r", 60, "segmenter-0")
    run.segmenter(0)  # it is there: nobody waits
    assert "is at work" not in capsys.readouterr().out
    process.kill()
    process.wait()
