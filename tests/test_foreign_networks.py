"""Any torch segmenter: a head is attached by five lines, and the network does not notice."""

import sys

import pytest
import torch
from kill_resume import same
from monai.networks.nets import DynUNet, FlexibleUNet, SegResNet
from test_training import Killed
from torch import nn

from advconf_lite import BadInput, ConfidenceHead, Quality, Schedule, Segmenter, Settings, predict_scores, train_head

from advconf_lite import layer_shapes, train_segmenter  # isort: skip
from advconf_lite.segmenter import as_logits, label_map
from advconf_lite.support.layers import input_channels

FEW = Schedule(segmenter_steps=4, segmenter_batch=2, head_steps=5, steps_per_epoch=2,
               settings=Settings(batch_size=3, warmup_batches=2, head_lr=1e-3))  # fmt: skip


class TwoChannelSigmoid(nn.Module):
    """By hand: two input channels, one sigmoid channel, in-place activations, no downsampling."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(2, 6, 3, padding=1), nn.ReLU(inplace=True))
        self.decoder = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1, stride=4), nn.ReLU(inplace=True))
        self.last = nn.Conv2d(6, 1, 1)

    def forward(self, x):
        z = self.decoder(self.encoder(x))
        return self.last(nn.functional.interpolate(z, size=x.shape[2:]))


class Dictionary(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.heads = nn.Conv2d(1, 5, 3, padding=1), nn.ModuleDict({"seg": nn.Conv2d(5, 3, 1)})

    def forward(self, x):
        z = self.body(x).relu_()  # in place, right behind the tap
        return {"aux": z.mean(), "seg": self.heads["seg"](z)}


class DeepSupervision(Dictionary):
    def forward(self, x):
        logits = super().forward(x)["seg"]
        return logits, logits[..., ::2, ::2]


def flexible():
    return FlexibleUNet(1, 4, "efficientnet-b0", spatial_dims=2, pretrained=False)


def dynamic():
    return DynUNet(2, 1, 4, [3] * 4, [1, 2, 2, 2], [2] * 3, filters=[4, 8, 8, 8], deep_supervision=True, deep_supr_num=1)


# name -> network, layer, output key, classes with background, images (channels, H, W)
CASES = {
    "SegResNet": (lambda: SegResNet(spatial_dims=2, out_channels=4, init_filters=8), "up_layers.0", None, 4, (1, 64, 48)),
    "FlexibleUNet": (flexible, "decoder.blocks.1", None, 4, (1, 64, 64)),
    "DynUNet, deep supervision": (dynamic, "upsamples.1", None, 4, (1, 48, 64)),
    "two channels, one sigmoid": (TwoChannelSigmoid, "decoder.1", None, 2, (2, 100, 140)),
    "dict": (Dictionary, "body", "seg", 3, (1, 30, 21)),
    "tuple": (DeepSupervision, "body", None, 3, (1, 30, 22)),
}


def data(case, n, seed):
    _, _, _, num_classes, size = CASES[case]
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(n, *size, generator=draw), torch.randint(0, num_classes, (n, *size[1:]), generator=draw)


@pytest.mark.parametrize("case", CASES)
def test_five_lines_attach_train_and_predict(case):
    make, layer, output, num_classes, size = CASES[case]
    torch.manual_seed(0)
    net = make().eval()
    x, y = data(case, 6, 0)
    with torch.no_grad():
        alone, keys = as_logits(net(x), output).clone(), list(net.state_dict())
        raw = net(x)
    before = {name: weight.clone() for name, weight in net.state_dict().items()}

    segmenter = Segmenter(net, layer, output=output).freeze()
    head = ConfidenceHead(segmenter.feature_shape(size[1:]), num_scores=num_classes - 1)
    history = train_head(segmenter, head, Quality("dice", num_classes), (x, y), data(case, 4, 1), FEW, progress=False)
    scores = predict_scores(segmenter, head, x, batch=4)

    assert scores.shape == (6, num_classes - 1) and scores.isfinite().all()
    assert [("alpha" in row) for row in history] == [False, False, True, True, True] and history[-1]["delta_norm"] > 0
    with torch.no_grad():
        logits, z = segmenter(x)
        assert torch.equal(logits, alone) and same(list(raw), list(net(x)))  # bit-identical with and without
    assert same(before, dict(net.state_dict())) and list(net.state_dict()) == keys
    assert set(label_map(logits).unique().tolist()) <= set(range(num_classes))
    x.requires_grad_()
    _, z = segmenter(x)
    assert torch.autograd.grad(z.square().sum(), x)[0].abs().sum() > 0  # also through what works in place


@pytest.mark.parametrize("case", CASES)
def test_it_can_be_trained_as_a_segmenter(case, tmp_path):
    make, layer, output, *_ = CASES[case]
    torch.manual_seed(0)
    net = make()
    first = {name: weight.clone() for name, weight in net.named_parameters()}
    history = train_segmenter(Segmenter(net, layer, output=output), data(case, 4, 0), data(case, 2, 1), FEW, progress=False)
    assert len(history) == 2 and history[-1]["val_loss"] < 10
    assert sum(not torch.equal(first[name], weight) for name, weight in net.named_parameters()) > 2


def test_one_sigmoid_channel_is_a_softmax_of_two():
    logit = torch.randn(2, 1, 5, 6)
    logits = as_logits(logit)
    assert torch.allclose(logits.softmax(1)[:, 1], logit.sigmoid()[:, 0], atol=1e-6)
    assert torch.equal(label_map(logits), (logit[:, 0] > 0).long())


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ({"a": 1, "b": 2}, "a dict with 'a', 'b'; name the logits as output=..."),
        (torch.zeros(2, 4), "shape (2, 4); its logits must be a tensor (B, K, H, W)"),
        ("mask", "a str; its logits"),
        ([], "a list; its logits"),
    ],
)
def test_other_outputs_are_named(output, words):
    with pytest.raises(BadInput) as error:
        as_logits(output)
    assert words in str(error.value)


def test_a_wrong_layer_is_answered_with_those_that_there_are_and_their_shapes():
    with pytest.raises(BadInput) as error:
        Segmenter(CASES["SegResNet"][0](), "up_layer.0")
    text = str(error.value)
    assert text.startswith(
        "the network has no layer 'up_layer.0'. Choose from its layers (channels x height x width for 256"
    )
    assert "up_layers.0 32x64x64" in text and "\n" not in text and "more (`layer_shapes` lists all)" in text
    with pytest.raises(BadInput, match="name the layer to read z at. Choose .*body 5x256x256, heads.seg 3x256x256$"):
        Segmenter(Dictionary())
    assert layer_shapes(TwoChannelSigmoid(), torch.zeros(1, 2, 100, 140))["decoder.1"] == (6, 25, 35)


def test_layers_are_listed_without_shapes_where_no_example_image_goes_through():
    class Picky(Dictionary):
        def forward(self, x):
            if x.shape[2] != 30:
                raise ValueError("30 rows")
            return super().forward(x)

    with pytest.raises(BadInput, match="Choose from its layers: body, heads, heads.seg$"):
        Segmenter(Picky(), "nowhere")


def test_a_layer_that_gives_no_feature_maps_or_runs_twice_is_named():
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 64), nn.Unflatten(1, (1, 8, 8)))
    with pytest.raises(BadInput, match=r"the output of layer 1 is of shape \(1, 144\); features must be \(B, C, h, w\)"):
        Segmenter(net, "1").freeze().feature_shape(8)

    class Twice(Dictionary):
        def forward(self, x):
            return super().forward(x + self.body(x).mean())

    with pytest.raises(BadInput, match="layer body runs more than once"):
        Segmenter(Twice(), "body", output="seg").freeze().feature_shape(8)


def test_channels_are_those_of_the_first_convolution():
    assert input_channels(TwoChannelSigmoid()) == 2 and input_channels(nn.Identity()) == 1
    assert Segmenter(TwoChannelSigmoid(), "decoder").freeze().feature_shape((100, 140)) == (6, 25, 35)


def test_the_public_names_load_when_used(tmp_path):
    import subprocess

    code = "import sys; from advconf_lite import eaurc; print('torch' in sys.modules, 'monai' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["False", "False"], done.stderr
    import advconf_lite

    assert all(getattr(advconf_lite, name) is not None for name in advconf_lite.__all__)
    assert set(advconf_lite.__all__) < set(dir(advconf_lite))
    with pytest.raises(AttributeError, match="has no attribute 'dise'; it has "):
        advconf_lite.dise  # noqa: B018


def test_training_a_head_goes_on_from_its_checkpoint(tmp_path, monkeypatch):
    import advconf_lite.head_training as module

    make, layer, output, num_classes, size = CASES["tuple"]
    torch.manual_seed(0)
    segmenter = Segmenter(make(), layer, output=output).freeze()

    def trained(checkpoint):
        torch.manual_seed(1)
        head = ConfidenceHead(segmenter.feature_shape(size[1:]), num_classes - 1)
        schedule = Schedule(head_steps=6, steps_per_epoch=2, checkpoint_steps=1, settings=FEW.settings)
        train_head(segmenter, head, Quality("dice", num_classes), data("tuple", 6, 0), data("tuple", 4, 1), schedule,
                   checkpoint=checkpoint, progress=False)  # fmt: skip
        return head.state_dict()

    whole, real, calls = trained(None), module.draw_batch, []

    def dying(*arguments):
        calls.append(arguments)
        if len(calls) == 5:
            raise Killed
        return real(*arguments)

    monkeypatch.setattr(module, "draw_batch", dying)
    with pytest.raises(Killed):
        trained(tmp_path / "c.pt")
    assert same(trained(tmp_path / "c.pt"), whole)
