"""Networks of every kind: what they return and take, what works in place, who else uses them; right, or one sentence."""

import concurrent.futures
import copy
from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch
from torch import nn

from advconf_lite import BadInput, ConfidenceHead, Quality, Schedule, Segmenter, Settings, train_head
from advconf_lite.adversarial import segment
from advconf_lite.head_training import Learner, Turn
from advconf_lite.methods.finetuned import FinetunedHead
from advconf_lite.methods.registry import find_method
from advconf_lite.segmenter import as_logits, build_unet


class Body(nn.Module):
    """A convolution that is tapped, and something in place behind it."""

    def __init__(self, after, classes=2, channels=1):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(channels, 6, 3, padding=1), nn.InstanceNorm2d(6)
        self.after, self.last = after, nn.Conv2d(6, classes, 1)

    def forward(self, x):
        return self.last(self.after(self.norm(self.conv(x))))


class AddsToItsInput(Body):
    def forward(self, x):
        y = self.conv(x)
        y += self.norm(y)  # what the tap "input" of the norm has read
        return self.last(y)


class WorksOnAView(Body):
    def forward(self, x):
        y = self.norm(self.conv(x))
        y.view(len(x), -1).mul_(0).add_(1)
        return self.last(y)


class NormalisesItsImage(Body):
    def forward(self, x):
        x -= 0.5
        return super().forward(x)


IN_PLACE = {
    "ReLU": lambda: Body(nn.ReLU(inplace=True)),
    "leaky ReLU": lambda: Body(nn.LeakyReLU(0.3, inplace=True)),
    "dropout, ELU": lambda: Body(nn.Sequential(nn.Dropout2d(0.5, inplace=True), nn.ELU(inplace=True))),
    "hard swish": lambda: Body(nn.Hardswish(inplace=True)),
    "+=": lambda: AddsToItsInput(nn.Identity()),
    "a view": lambda: WorksOnAView(nn.Identity()),
    "its own image": lambda: NormalisesItsImage(nn.ReLU(inplace=True)),
}


@pytest.mark.parametrize(("layer", "side"), [("norm", "input"), ("norm", "output"), ("conv", "output"), ("after", "input")])
@pytest.mark.parametrize("name", IN_PLACE)
def test_z_is_what_the_layer_had_whatever_works_in_place(name, layer, side):
    if name in ("+=", "a view") and layer == "after":
        pytest.skip("that layer does not run there")
    if (name, layer, side) == ("+=", "norm", "output"):
        pytest.skip("autograd needs what this one overwrites: it could not be trained either")
    torch.manual_seed(0)
    net = IN_PLACE[name]().double().eval()
    segmenter = Segmenter(net, layer, side).freeze()
    x = torch.randn(2, 1, 12, 10, dtype=torch.double)
    given, seen = x.clone(), {}
    module = net.get_submodule(layer)
    hooks = [
        module.register_forward_pre_hook(lambda _, inputs: seen.update(input=inputs[0].clone())),
        module.register_forward_hook(lambda _, inputs, output: seen.update(output=output.clone())),
    ]
    z = segmenter(x)[1]
    for hook in hooks:
        hook.remove()
    assert torch.equal(z, seen[side]) and torch.equal(x, given)
    weights = torch.randn_like(z)
    x.requires_grad_()
    gradient = torch.autograd.grad((segmenter(x)[1] * weights).sum(), x)[0]
    step = torch.randn_like(given) * 1e-6
    with torch.no_grad():
        up, down = ((segmenter(given + sign * step)[1] * weights).sum() for sign in (1, -1))
    assert (gradient * step).sum().item() == pytest.approx(((up - down) / 2).item(), rel=1e-4)


@pytest.mark.parametrize("name", ["ReLU", "leaky ReLU", "+="])
def test_a_copy_that_is_trained_along_reads_the_same_z(name):
    torch.manual_seed(0)
    segmenter = Segmenter(IN_PLACE[name](), "norm", "input").freeze()
    head = FinetunedHead(ConfidenceHead(segmenter.feature_shape(16), 1), segmenter)
    x = torch.randn(2, 1, 16, 16)
    truth = segmenter.net.conv(x)
    assert torch.allclose(head.features(x), truth, atol=1e-6)
    head.requires_grad_(True)  # as `new_algorithm` leaves it
    assert torch.allclose(head.copy(x)[1], truth, atol=1e-6)
    learner = Learner(find_method("finetuned"), head, Quality("dice", 2), Settings(batch_size=2, warmup_batches=0))
    y = torch.zeros(2, 16, 16, dtype=torch.long)
    for number in range(2):
        row = learner.method.step(Turn(segmenter, lambda word: (x, y), number, 0, gradient=False), learner)
    assert row["delta_norm"] > 0


class Pair(NamedTuple):
    logits: torch.Tensor
    latent: torch.Tensor


@dataclass
class Output:
    loss: float
    logits: torch.Tensor


# what a network makes of its maps (B, K, H, W) -> the key that is needed
RETURNED = {
    "dict of one": (lambda maps: {"out": maps}, None),
    "dict of several": (lambda maps: {"out": maps, "aux": maps[:, :1]}, "out"),
    "dict with a number": (lambda maps: {"loss": maps.mean(), "masks": maps}, None),
    "tuple, full size last": (lambda maps: (maps[..., ::2, ::2], maps), None),
    "list with features": (lambda maps: [maps, maps.mean((2, 3))], None),
    "deep supervision": (lambda maps: torch.stack([maps, maps * 0], 1), None),
    "named tuple": (lambda maps: Pair(maps, maps * 0), None),
    "named tuple, by name": (lambda maps: Pair(maps * 0, maps), "latent"),
    "dataclass": (lambda maps: Output(1.0, maps), None),
    "dict of a list": (lambda maps: {"seg": [maps, maps[..., ::2, ::2]], "z": 1}, "seg"),
}


@pytest.mark.parametrize("name", RETURNED)
@pytest.mark.parametrize("classes", [1, 3])
def test_what_networks_return(name, classes):
    wrap, key = RETURNED[name]
    maps = torch.randn(2, classes, 8, 6)
    expected = as_logits(maps)
    assert expected.shape[1] == max(2, classes)
    assert torch.equal(as_logits(wrap(maps), key), expected)


class Threshold(nn.Module):
    """Without a single weight."""

    def __init__(self):
        super().__init__()
        self.smooth = nn.AvgPool2d(3, 1, 1)

    def forward(self, x):
        return self.smooth(x) - 0.2


class ByKeyword(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.last = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 3, 1)

    def forward(self, x):
        return self.last(input=self.conv(x))


SMALL = lambda classes=3, channels=1: build_unet((4, 8, 8, 8), classes, 1, in_channels=channels)  # noqa: E731
# network, layer, side, classes, images (channels, H, W)
TAKEN = {
    "RGB": (lambda: SMALL(3, 3), None, None, 3, (3, 32, 24)),
    "two channels": (lambda: SMALL(2, 2), None, None, 2, (2, 24, 32)),
    "double": (lambda: SMALL().double(), None, None, 3, (1, 32, 32)),
    "bfloat16": (lambda: SMALL().bfloat16(), None, None, 3, (1, 32, 32)),
    "odd size": (lambda: Body(nn.ReLU(True)), "norm", "output", 2, (1, 25, 31)),
    "no weights, one channel": (Threshold, "smooth", "output", 2, (1, 16, 16)),
    "keywords": (ByKeyword, "last", "input", 3, (1, 16, 16)),
    "one sigmoid channel": (lambda: SMALL(1), None, None, 2, (1, 32, 32)),
    "DataParallel": (lambda: nn.DataParallel(SMALL()), None, None, 3, (1, 32, 32)),
}


@pytest.mark.parametrize("name", TAKEN)
def test_a_head_is_trained_on_what_networks_take(name):
    make, layer, side, classes, size = TAKEN[name]
    torch.manual_seed(0)
    segmenter = Segmenter(make(), layer, side).freeze()
    x, y = torch.randn(4, *size), torch.randint(0, classes, (4, *size[1:]))
    head = ConfidenceHead(segmenter.feature_shape(size[1:]), classes - 1)
    few = Schedule(segmenter_batch=2, head_steps=3, steps_per_epoch=2, settings=Settings(batch_size=2, warmup_batches=1))
    history = train_head(segmenter, head, Quality("dice", classes), (x, y), (x, y), few, progress=False)
    logits, z = segmenter(x)
    assert history[-1]["delta_norm"] > 0 and logits.dtype == z.dtype == torch.float32
    assert segmenter.masks(x).max() < classes and len(segmenter.masks(x).unique()) > 1


def volume(size):
    return Segmenter(nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.Conv3d(4, 2, 1)), "0").freeze()(torch.zeros(size))


@pytest.mark.parametrize(
    ("attempt", "words"),
    [
        (lambda: volume((1, 1, 8, 8, 8)), "images have shape (1, 1, 8, 8, 8); give (B, channels, H, W)"),
        (lambda: Segmenter(SMALL()).freeze().feature_shape(50), "does not take images of 1 x 50 x 50"),
        (lambda: Segmenter(SMALL()).freeze()(torch.zeros(1, 3, 48, 48)), "does not take images of 3 x 48 x 48"),
        (lambda: Segmenter(Body(nn.AvgPool2d(2)), "conv").freeze().feature_shape(8), "logits of 4 x 4 for images of 8 x 8"),
        (lambda: ConfidenceHead((4, 6, 6), 1)(torch.zeros(2, 4, 8, 8)), "reads features (4, 6, 6), and these are (4, 8, 8)"),
        (lambda: ConfidenceHead((8, 4, 4, 4), 1), "features have shape (8, 4, 4, 4)"),
        (lambda: as_logits({"a": torch.zeros(1, 2, 4, 4), "b": torch.zeros(1, 2, 4, 4)}), "a dict with 'a', 'b'; name the"),
        (lambda: as_logits(Pair(torch.zeros(1, 2, 4, 4), None), "out"), "returns a Pair with 'logits', 'latent'; name the"),
        (lambda: Segmenter(nn.DataParallel(Body(nn.ReLU())), "module.conf"), "Choose from its layers (channels x"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(attempt, words):
    with pytest.raises(BadInput) as error:
        attempt()
    assert words in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("layer", ["conv", "module.conv", "_orig_mod.conv", "_orig_mod.module.conv"])
def test_names_of_wrapped_networks_find_their_layer(layer):
    torch.manual_seed(0)
    net = Body(nn.ReLU()).eval()
    x = torch.randn(1, 1, 8, 8)
    expected = Segmenter(net, "conv").freeze()(x)[1]
    wrapped = nn.ModuleDict({"_orig_mod": net})
    wrapped.forward = net.forward  # as torch.compile does, without its minute of compiling
    for each in (net, nn.DataParallel(net), wrapped):
        assert torch.equal(Segmenter(each, layer).freeze()(x)[1], expected)


@pytest.mark.parametrize(("side", "graph"), [("input", False), ("input", True), ("output", True)])
def test_several_threads_share_a_segmenter(side, graph):
    torch.manual_seed(0)
    segmenter = Segmenter(Body(nn.ReLU(inplace=True)), "norm", side).freeze()
    images = torch.randn(8, 1, 1, 64, 64)
    expected = [segmenter(x) for x in images]

    def one(number):
        x = images[number % 8].clone().requires_grad_(graph)
        logits, z = segmenter(x)
        ok = z.requires_grad == graph and not logits.requires_grad and torch.is_grad_enabled()
        return ok and all(torch.allclose(a, b, atol=1e-6) for a, b in zip((logits, z), expected[number % 8]))

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert all(pool.map(one, range(64)))
    assert torch.equal(copy.deepcopy(segmenter)(images[0])[1], expected[0][1])


def test_one_sigmoid_channel_is_judged_by_its_sign_everywhere():
    torch.manual_seed(0)
    segmenter = Segmenter(SMALL(1)).freeze()
    x, y = torch.randn(3, 1, 32, 32), torch.randint(0, 2, (3, 32, 32))
    mask = (segmenter.net(x)[:, 0] > 0).long()
    half = segment(segmenter, x, y)
    assert torch.equal(segmenter.masks(x), mask) and torch.equal(half.y_hat, mask) and len(mask.unique()) == 2
