"""A run with a network of one's own: what builds it, its weights, its layer; and what is said when they do not fit."""

import json
import os
import sys

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch

from advconf_lite.__main__ import main
from advconf_lite.course.lessons import start
from advconf_lite.data.slices import write_slice_set
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

def fails(num_classes):
    raise OSError("no pretrained weights here")

def wants_more(num_classes, depth):
    return Plain(num_classes)

class Broken(Plain):
    def forward(self, x):
        return self.last(self.bodies(x))

def broken(num_classes):
    return Broken(num_classes)

class Probabilities(Plain):
    def forward(self, x):
        return super().forward(x).softmax(1)

class Sigmoid(Plain):
    def forward(self, x):
        return (9 * x - 9).sigmoid() + 0 * super().forward(x)

def probabilities(num_classes):
    return Probabilities(num_classes)

def one_sigmoid():
    return Sigmoid(1)

def frozen(num_classes):
    return Plain(num_classes, dropout=0.0).requires_grad_(False)

def one_channel():
    return Plain(1)
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
        (
            Network("my_networks:fails", layer="body"),
            "made with in_channels, num_classes at most: OSError: no pretrained",
        ),
        (
            Network("my_networks:wants_more", layer="body"),
            "required positional argument: 'depth'; give a function",
        ),
        (
            Network("my_networks:broken", layer="body"),
            "of 1 x 48 x 48 (channels x height x width): AttributeError",
        ),
        (Network("my_networks:probabilities", layer="body"), "the network returns probabilities; leave out its last"),
        (Network("my_networks:one_sigmoid", layer="body"), "the network returns probabilities; leave out its last"),
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


def test_one_sigmoid_channel_goes_through_the_whole_run(mine, slice_set, tmp_path):
    run = new_run(tmp_path, slice_set, Network.of(mine.one_channel, layer="body"), ("plain", "adversarial", "agreement-2"))
    assert np.isfinite(run.predict_heads(0, 0)["predicted_score"]).all() and len(run.predict_agreement(0, 0))
    part = run.experiment.test
    mask = (run.segmenter(0).net.eval()(part.images)[:, 0] > 0).long()
    assert torch.equal(run.segmenter(0).masks(part.images), mask)
    assert run.history().query("method == 'adversarial'")["delta_norm"].max() > 0


def test_a_network_that_comes_frozen_is_taken_as_it_is(mine, slice_set, tmp_path, capsys):
    run = new_run(tmp_path, slice_set, Network.of(mine.frozen, layer="body"))
    assert len(run.predict_heads(0, 0)) and "training the network" not in capsys.readouterr().out
    assert run.history()["stage"].unique().tolist() == ["head"]


# name -> what becomes of a state dict on its way into a file, and the file's name
FILES = {
    "as it is": (lambda weights: weights, "w.pth"),
    "DataParallel": (lambda weights: {f"module.{name}": w for name, w in weights.items()}, "w.pt"),
    "torch.compile": (lambda weights: {f"_orig_mod.{name}": w for name, w in weights.items()}, "w.safetensors"),
    "DDP of compiled": (lambda weights: {"model": {f"module._orig_mod.{n}": w for n, w in weights.items()}}, "w.pt"),
    "Lightning": (
        lambda weights: {"state_dict": {f"net.{n}": w for n, w in weights.items()} | {"loss.weight": torch.ones(2)},
                         "epoch": 3, "callbacks": {}, "hyper_parameters": {"lr": np.float64(0.1)}},
        "w.ckpt",
    ),
    "nnU-Net": (lambda weights: {"network_weights": weights, "logging": {"ema": [np.float32(0.5)]}}, "checkpoint_best.pth"),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_weights_as_trainers_store_them(mine, slice_set, tmp_path, name):
    wrap, file = FILES[name]
    weights = mine.Plain(2).state_dict()
    if file.endswith("safetensors"):
        safetensors.torch.save_file(wrap(weights), tmp_path / file)
    else:
        torch.save(wrap(weights), tmp_path / file)
    run = new_run(tmp_path, slice_set, Network.of(mine.plain, weights=str(tmp_path / file), layer="body.1"))
    assert all(torch.equal(weights[key], value) for key, value in run.segmenter(0).net.state_dict().items())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path, mine: torch.save(mine.Plain(2), path), "it holds more than weights; store them alone, by torch.save"),
        (lambda path, mine: torch.save(torch.ones(3), path), "it holds a Tensor, and no state dict"),
        (lambda path, mine: torch.save({"epoch": 3, "optimizer": {}}, path), "it holds epoch, optimizer, and no weights"),
        (lambda path, mine: torch.save(mine.Plain(3).state_dict(), path), "size mismatch for last.weight"),
        (
            lambda path, mine: torch.save({"encoder.weight": torch.ones(1)}, path),
            "missing keys: body.0.weight, body.0.bias, last.weight and 1 more; unknown ones: encoder.weight",
        ),
        (lambda path, mine: path.write_bytes(b""), "cannot be read as the weights of this network"),
        (lambda path, mine: path.write_text("<html>sign in</html>"), "cannot be read as the weights of this network"),
        (lambda path, mine: np.savez(path.with_suffix(""), a=1) or path.with_suffix(".npz").rename(path), "as the weights"),
        (lambda path, mine: torch.save({"state_dict": "weights.pt"}, path), "it holds state_dict, and no weights"),
    ],
)
def test_what_are_no_weights_of_this_network_is_said_in_one_sentence(mine, slice_set, tmp_path, make, words):
    path = tmp_path / "w.pt"
    make(path, mine)
    with pytest.raises(BadInput) as error:
        new_run(tmp_path, slice_set, Network.of(mine.plain, weights=str(path), layer="body.1")).segmenter(0)
    assert str(path) in str(error.value) and words in str(error.value) and "\n" not in str(error.value)


@pytest.mark.slow
def test_the_command_takes_weights_for_more_than_two_classes(mine, tmp_path, capsys, monkeypatch):
    masks = np.zeros((8, 48, 48), np.uint8)
    for label in (1, 2, 3):
        masks[:, 8 * label : 8 * label + 10, 12:30] = label
    images = (masks * 2.0 + np.random.default_rng(0).normal(size=masks.shape)).astype(np.float32)
    split = ["train"] * 3 + ["val"] * 2 + ["test"] * 3
    table = pd.DataFrame({"dataset": "mine", "domain": ["here"] * 6 + ["there"] * 2, "subject": list("abcdefgh"),
                          "phase": "", "slice": 0, "spacing_mm": 3.0, "split": split})  # fmt: skip
    info = {"name": "mine", "class_names": ["lv", "myo", "rv"], "source_domain": "here", "size": 48, "tolerance_mm": 3.0}
    write_slice_set(tmp_path / "three", images, masks, table, info)
    torch.save(mine.Plain(4).state_dict(), tmp_path / "w.pt")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "code"), prepend=os.pathsep)
    assert main(["run", "--data", str(tmp_path / "three"), "--profile", "smoke", "--out", str(tmp_path / "r"), "--quality",
                 "dice", "--methods", "plain", "agreement-2", "--network", "my_networks:plain", "--layer", "body.1",
                 "--weights", str(tmp_path / "w.pt")]) == 0  # fmt: skip
    assert "finished in" in capsys.readouterr().out
    assert "came with its weights" in (tmp_path / "r" / "notebooks" / "02_pretraining.ipynb").read_text()
    assert len(list((tmp_path / "r" / "notebooks").glob("*.ipynb"))) == 5


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
