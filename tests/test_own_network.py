"""A run with a network of one's own: what builds it, its weights, its layer; and what is said when they do not fit."""

import json
import os
import sys

import numpy as np
import pytest
import safetensors.torch
import torch

from advconf_lite.__main__ import main
from advconf_lite.course.lessons import start
from advconf_lite.experiment.networks import Network
from advconf_lite.experiment.predict import predict
from advconf_lite.experiment.run import Run, open_run
from advconf_lite.support.errors import BadInput

MODULE = """
import torch
from torch import nn
from advconf_lite import Segmenter

class Net(nn.Module):
    def __init__(self, classes, dropout=0.2):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1, stride=2), nn.ReLU(), nn.Dropout2d(dropout))
        self.last = nn.Conv2d(6, classes, 1)
    def forward(self, x):
        return {"out": self.last(nn.functional.interpolate(self.body(x), size=x.shape[2:]))}

def tapped(num_classes):
    return Segmenter(Net(num_classes), "body.1", output="out")

class Plain(Net):
    def forward(self, x):
        return super().forward(x)["out"]

def plain(in_channels, num_classes):
    assert in_channels == 1
    return Plain(num_classes)

def without_dropout(num_classes):
    return Plain(num_classes, dropout=0.0)

def one_too_many(num_classes):
    return Plain(num_classes + 1)

def picky(num_classes):
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, num_classes, 1))

def no_network():
    return "a network"
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """The module `my_networks`, importable."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "my_networks.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path / "code")
    yield __import__("my_networks")
    sys.modules.pop("my_networks")


def new_run(tmp_path, slice_set, network, methods=("plain", "adversarial"), folder="run"):
    return Run(tmp_path / folder, str(slice_set), "smoke", "dice", methods, progress=False, network=network)


def test_a_run_trains_it_and_every_stage_works_on_it(mine, slice_set, tmp_path, capsys):
    run = new_run(tmp_path, slice_set, mine.tapped, ("plain", "adversarial", "agreement-2"))
    heads, samples = run.predict_heads(0, 0), run.predict_agreement(0, 0)
    assert "training the network my_networks:tapped (seed 0)" in capsys.readouterr().out
    assert np.isfinite(heads["predicted_score"]).all() and np.isfinite(samples["predicted_score"]).all()
    assert set(run.metrics()["method"]) == {"plain", "adversarial", "agreement-2", "constant"}
    config = json.loads((run.folder / "config.json").read_text())
    assert config["network"] == {"factory": "my_networks:tapped", "weights": None, "layer": None, "sha256": None,
                                 "code": run.network.code()}  # fmt: skip
    assert predict(run.folder, slice_set, tmp_path / "scores.csv", progress=False)["predicted_dice"].notna().all()
    again = start(str(slice_set), "smoke", str(run.folder), "dice", "plain adversarial")  # as a lesson opens it
    assert again.network == run.network and torch.equal(again.segmenter(0).net.last.weight, run.segmenter(0).net.last.weight)
    assert open_run(run.folder).segmenter(0).layer == "body.1"


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_given_weights_are_taken_and_nothing_is_trained(mine, slice_set, tmp_path, capsys, suffix):
    weights = mine.Plain(2).state_dict()
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pt":
        torch.save({"state_dict": weights}, path)
    else:
        safetensors.torch.save_file(weights, path)
    run = new_run(tmp_path, slice_set, Network.of(mine.plain, weights=str(path), layer="body.1"))
    segmenter = run.segmenter(0)
    assert "training" not in capsys.readouterr().out
    assert all(torch.equal(weights[name], weight) for name, weight in segmenter.net.state_dict().items())
    assert run.segmenter_path(0).exists() and not (run.folder / "history.csv").exists()
    with pytest.raises(BadInput, match="are those of one network; leave out segmenter seed 1"):
        run.segmenter(1)
    torch.save({"other": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(BadInput, match=r"other.pt cannot be read as the weights of this network \(.*[Mm]issing key"):
        new_run(
            tmp_path, slice_set, Network.of(mine.plain, weights=str(tmp_path / "other.pt"), layer="body.1"), folder="b"
        ).segmenter()


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (
            Network("my_networks:plain"),
            "needs the layer at which z is read. Choose from its layers (channels x height x width",
        ),
        (Network("my_networks:plain", layer="tail"), "the network has no layer 'tail'. Choose from its layers"),
        (Network("my_networks:tapped", layer="body.0"), "chooses its layer itself; leave out layer body.0"),
        (Network("my_networks:nothing"), "my_networks:nothing cannot be imported"),
        (Network("no_such_module:plain"), "cannot be imported (No module named 'no_such_module'); run from the folder"),
        (Network("my_networks"), "is not package.module:function"),
        (Network("my_networks:no_network"), "returns a str; it must return a torch.nn.Module"),
        (
            Network("my_networks:one_too_many", layer="body"),
            "(1, 3, 48, 48) for one image; this data set needs (1, 2, 48, 48): background, gland",
        ),
        (Network("my_networks:picky", layer="0"), "the network does not take images of 1 x 48 x 48"),
        (Network("my_networks:plain", weights="nowhere.pt", layer="body"), "weights nowhere.pt do not exist"),
    ],
)
def test_what_does_not_fit_is_said_in_one_sentence(mine, slice_set, tmp_path, network, words):
    with pytest.raises(BadInput) as error:
        new_run(tmp_path, slice_set, network).segmenter()
    assert words in str(error.value) and "\n" not in str(error.value)


def test_without_dropout_there_are_no_samples_and_heads_work(mine, slice_set, tmp_path):
    run = new_run(tmp_path, slice_set, Network.of(mine.without_dropout, layer="body"), ("plain", "agreement-2"))
    assert len(run.predict_heads(0, 0))
    with pytest.raises(BadInput, match="the network has no dropout, from whose samples agreement-2 are made"):
        run.predict_agreement(0, 0)


@pytest.mark.slow
def test_the_command_takes_it_through_the_lessons_and_leaves_out_what_needs_dropout(
    mine, slice_set, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "code"), prepend=os.pathsep)  # of the lessons' kernels
    command = ["run", "--data", str(slice_set), "--profile", "smoke", "--network", "my_networks:without_dropout",
               "--layer", "body", "--quality", "dice"]  # fmt: skip
    assert main([*command, "--out", str(tmp_path / "refused"), "--methods", "plain", "agreement-2"]) == 2
    text = capsys.readouterr().err
    assert "has no dropout, from whose samples agreement-2 are made (--methods)" in text
    assert not (tmp_path / "refused").exists()
    assert main([*command, "--out", str(tmp_path / "run")]) == 0
    text = capsys.readouterr().out
    assert "score agreement, and the lesson on it, are left out" in text and "my_networks:without_dropout 12 steps" in text
    executed = sorted(path.stem[:2] for path in (tmp_path / "run" / "notebooks").glob("*.ipynb"))
    assert executed == ["01", "02", "03", "04"] and "finished in" in text
    assert main(["run", "--data", str(slice_set), "--out", str(tmp_path / "r"), "--weights", "w.pt"]) == 2
    assert "belong to a network of one's own; name what builds it (--network)" in capsys.readouterr().err


def test_a_folder_is_not_reused_for_another_network(mine, slice_set, tmp_path):
    new_run(tmp_path, slice_set, Network.of(mine.plain, layer="body"))
    for network, words in (
        (None, "made with network my_networks:plain;"),
        (mine.tapped, "made with network my_networks:plain;"),
        (Network.of(mine.plain, layer="body.0"), "made with network my_networks:plain with other values of layer"),
    ):
        with pytest.raises(BadInput, match=words):
            new_run(tmp_path, slice_set, network)
    new_run(tmp_path, slice_set, None, folder="ours")
    with pytest.raises(BadInput, match="made with our own U-Net"):
        new_run(tmp_path, slice_set, mine.tapped, folder="ours")
