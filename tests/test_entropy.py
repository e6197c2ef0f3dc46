"""Predictive entropy, the samples that it shares with score agreement, and what the empty rules do."""

import itertools
import math
import re

import pytest
import torch
from torch import nn

from advconf_lite.agreement import certainty, monte_carlo, monte_carlo_masks, predictive_entropy, score_agreement
from advconf_lite.methods.registry import find_method, parse_methods
from advconf_lite.methods.sampled import sampled_scores
from advconf_lite.quality import Quality
from advconf_lite.support.errors import BadInput


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.Dropout(0.3), nn.PReLU(), nn.Conv2d(8, 3, 1))
        self.images = 0

    def forward(self, x):
        self.images += len(x)
        return self.net(x), None


@pytest.fixture
def images():
    return torch.randn(7, 1, 10, 12, generator=torch.Generator().manual_seed(1))


def one_hot(*shape):
    return nn.functional.one_hot(torch.randint(0, 4, shape), 4).movedim(-1, 1).float()


def test_entropy_of_one_hot_and_of_uniform():
    assert (predictive_entropy(one_hot(2, 5, 6)) == 0).all()
    for classes in (2, 4):
        uniform = torch.full((2, classes, 5, 6), 1 / classes)
        torch.testing.assert_close(predictive_entropy(uniform), torch.full((2, 5, 6), math.log(classes)))
        for foreground in (False, True):
            torch.testing.assert_close(certainty(uniform, foreground), torch.zeros(2), rtol=0, atol=1e-6)
            assert (certainty(one_hot(2, 5, 6), foreground) == 1).all()


def test_entropy_is_sampled_from_the_mean_and_not_averaged_over_samples():
    certain_but_disagreeing = torch.tensor([[1.0, 0.0], [0.0, 1.0]])[:, :, None, None].mean(0, keepdim=True)
    assert predictive_entropy(certain_but_disagreeing).item() == pytest.approx(math.log(2))


def test_certainty_by_hand():
    p = torch.tensor([[[0.5, 1.0, 0.0, 0.75]], [[0.5, 0.0, 1.0, 0.25]]])[None]  # (1, 2, 1, 4), background first
    quarter = -(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25))
    assert certainty(p).item() == pytest.approx(1 - (1 + quarter) / 4)
    assert certainty(p, foreground=True).item() == pytest.approx(1 - (0.5 * 1 + 0.25 * quarter) / (0.5 + 1 + 0.25))
    assert certainty(torch.tensor([1.0, 0.0]).view(1, 2, 1, 1), foreground=True).item() == 1  # no foreground at all


def test_mean_softmax_is_that_of_the_first_samples_and_masks_do_not_change(images):
    net = Net()
    samples = monte_carlo(net, images, n=5, seed=3, images_per_pass=14, mean_of=[5, 2, 3])
    assert torch.equal(samples.masks, monte_carlo_masks(net, images, n=5, seed=3, images_per_pass=14))
    assert sorted(samples.probabilities) == [2, 3, 5]
    logits = []
    net.register_forward_hook(lambda module, inputs, output: logits.append(output[0]))
    monte_carlo(net, images, n=5, seed=3, images_per_pass=14)
    softmax = torch.cat([part.softmax(1).view(-1, 7, 3, 10, 12) for part in logits])
    for n, mean in samples.probabilities.items():
        torch.testing.assert_close(mean, softmax[:n].mean(0))
    assert torch.equal(samples.masks.long(), softmax.argmax(2))


def test_methods_share_samples_which_are_drawn_once_and_in_batches(images):
    net, g = Net(), [Quality("dice", 3), Quality("surface_dice", 3, 1.5)]
    names = ["agreement-2", "agreement-5", "agreement-5-zero", "entropy-5", "entropy-3-foreground"]
    scores = sampled_scores(net, images, [find_method(name) for name in names], g, seed=11, batch=4)
    assert net.images == 7 * 5 and set(scores) == set(itertools.product(names, ["dice", "surface_dice"]))
    for start, seed in ((0, 11), (4, 12)):
        some = images[start : start + 4]
        samples = monte_carlo(net, some, 5, seed, mean_of=[3, 5])
        rows = slice(start, start + 4)
        for quality in g:
            for n in (2, 5):
                expected = score_agreement(samples.masks[:n], quality)
                assert torch.equal(scores[f"agreement-{n}", quality.name][rows], expected)
            assert torch.equal(scores["entropy-5", quality.name][rows, 0], certainty(samples.probabilities[5]))
            foreground = certainty(samples.probabilities[3], foreground=True)
            assert torch.equal(scores["entropy-3-foreground", quality.name][rows, 1], foreground)
    assert all(score.shape == (7, 2) for score in scores.values())
    with_background = sampled_scores(
        net, images, [find_method("entropy-1")], [Quality("dice", 3, include_background=True)], 0
    )
    assert with_background["entropy-1", "dice"].shape == (7, 3)


@pytest.mark.parametrize("quality", ["dice", "surface_dice"])
def test_empty_rules(quality):
    masks = torch.zeros(4, 1, 9, 9, dtype=torch.int64)
    masks[3, 0, 4, 4] = 1  # three of the six pairs lack class 1 in both samples
    g = Quality(quality, 2, 1.0)

    def score(name, empty="one"):
        return find_method(name).score(type("S", (), {"masks": masks}), g, empty).item()

    assert (score("agreement-4"), score("agreement-4", "zero")) == (0.5, 0.0)
    assert (score("agreement-4-one", "zero"), score("agreement-4-zero")) == (0.5, 0.0)
    assert score("agreement-4", "published") == (0.5 if quality == "dice" else 0.0)
    assert score("agreement-2-zero") == 0  # the first two samples are empty


def test_names():
    good = ["agreement-2", "agreement-15-zero", "agreement-15-one", "entropy-1", "entropy-15-foreground"]
    assert parse_methods(good) == good and not any(find_method(name).estimates for name in good)
    assert all(find_method(name).estimates for name in ["plain", "adversarial", "random-direction"])
    for bad in ("entropy", "entropy-0", "entropy-15-background", "agreement-1", "agreement-2-two", "agreement-02"):
        with pytest.raises(BadInput, match=re.escape(f"{bad!r} is unknown")):
            find_method(bad)
