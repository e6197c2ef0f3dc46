"""Score agreement against pairwise quality and MONAI; Monte Carlo sampling leaves no trace."""

import itertools
import warnings
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from advconf_lite.agreement import monte_carlo_masks, score_agreement
from advconf_lite.quality import QUALITIES, Measure, Quality, dice, surface_dice
from advconf_lite.support.errors import BadInput


def samples(n, batch, size, num_classes, seed=0, noise=0.4):
    """(n, batch, *size): similar smooth random label maps."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(1 + n, batch, num_classes, 5, 5, generator=generator)
    coarse = coarse[0] + noise * coarse[1:]
    return F.interpolate(coarse.flatten(0, 1), size=size, mode="bicubic").argmax(1).view(n, batch, *size)


def pairwise(masks, score):
    """The definition: mean over pairs, NaN counts as 1."""
    pairs = [score(a, b) for a, b in itertools.combinations(masks, 2)]
    return torch.stack(pairs).nan_to_num(nan=1.0).mean(0)


def close(ours, reference):
    torch.testing.assert_close(ours, reference, rtol=0, atol=1e-6)


class TinySegmenter(nn.Module):
    """Dropout beside both kinds of norm; keeps count of the batches that it sees."""

    def __init__(self, p=0.3):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.Dropout(p),
            nn.PReLU(),
            nn.InstanceNorm2d(8),
            nn.Conv2d(8, 3, 1),
        )
        self.batches = []

    def forward(self, x):
        self.batches.append(len(x))
        return self.net(x), None


@pytest.fixture
def segmenter():
    torch.manual_seed(0)
    return TinySegmenter()


@pytest.fixture
def images():
    return torch.randn(3, 1, 12, 10, generator=torch.Generator().manual_seed(1))


def test_agreement_by_hand():
    masks = torch.zeros(3, 1, 1, 4, dtype=torch.int64)
    masks[0, 0, 0, :2] = 1
    masks[1, 0, 0, 1:3] = 1
    masks[2, 0, 0, 2:4] = 1
    # Dice of the pairs: 1/2, 0, 1/2. A row has no inner pixels; at a tolerance of one pixel: 1, 1/2, 1.
    close(score_agreement(masks, Quality("dice", 2)), torch.tensor([[1 / 3]]))
    close(score_agreement(masks, Quality("surface_dice", 2, tolerance=1)), torch.tensor([[2.5 / 3]]))


@pytest.mark.parametrize("num_classes", [2, 4, 9])
@pytest.mark.parametrize("background", [False, True])
def test_equals_mean_over_pairs(num_classes, background):
    masks = samples(5, 3, (33, 26), num_classes, seed=num_classes)
    masks[:, 0] *= masks[:, 0] != 1  # absent from all samples
    masks[:3, 1] *= masks[:3, 1] != 1  # from some
    options = {"include_background": background}
    ours = score_agreement(masks, Quality("dice", num_classes, **options))
    close(ours, pairwise(masks, lambda a, b: dice(a, b, num_classes, **options)))
    assert ours[1, int(background)] < 0.5
    ours = score_agreement(masks, Quality("surface_dice", num_classes, 2.0, (1.0, 0.7), **options))
    close(ours, pairwise(masks, lambda a, b: surface_dice(a, b, num_classes, 2.0, (1.0, 0.7), **options)))


def test_equals_pairwise_monai():
    from monai.metrics import compute_surface_dice

    masks = samples(4, 2, (40, 48), 4, seed=7)
    hot = F.one_hot(masks, 4).movedim(-1, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = pairwise(hot, lambda a, b: compute_surface_dice(a, b, [3.0] * 3, spacing=1.5))
    close(score_agreement(masks, Quality("surface_dice", 4, tolerance=3.0, spacing=1.5)), reference)


def test_two_samples_are_the_quality_of_the_pair():
    masks = samples(2, 4, (30, 30), 3)
    assert torch.equal(score_agreement(masks, Quality("dice", 3)), dice(*masks, 3))
    assert torch.equal(score_agreement(masks, Quality("surface_dice", 3, 1.5)), surface_dice(*masks, 3, 1.5))


@pytest.mark.parametrize("quality", ["dice", "surface_dice"])
def test_order_of_samples_and_company_in_the_batch_do_not_matter(quality):
    masks = samples(6, 4, (24, 31), 4, seed=3)
    g = Quality(quality, 4, tolerance=2)
    scores = score_agreement(masks, g)
    close(scores, score_agreement(masks[[3, 0, 5, 2, 1, 4]], g))
    close(scores, torch.cat([score_agreement(masks[:, i : i + 1], g) for i in range(4)]))
    assert torch.equal(scores, score_agreement(masks.to(torch.uint8), g))


@pytest.mark.parametrize("quality", ["dice", "surface_dice"])
def test_identical_samples_agree_fully(quality):
    masks = samples(1, 3, (20, 20), 4).expand(7, -1, -1, -1)
    assert (score_agreement(masks, Quality(quality, 4, tolerance=1)) == 1).all()


@pytest.mark.parametrize("quality", ["dice", "surface_dice"])
def test_rule_for_pairs_without_the_class(quality):
    masks = torch.zeros(4, 1, 9, 9, dtype=torch.int64)
    masks[3, 0, 4, 4] = 1
    # Of six pairs, three lack class 1 in both samples and three in one of them; all lack class 2.
    assert score_agreement(masks, Quality(quality, 3, tolerance=1)).tolist() == [[0.5, 1.0]]
    assert score_agreement(masks, Quality(quality, 3, tolerance=1), empty="zero").tolist() == [[0.0, 0.0]]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_same_on_the_gpu():
    masks = samples(5, 3, (33, 26), 11)
    for quality in ("dice", "surface_dice"):
        scores = score_agreement(masks.cuda(), Quality(quality, 11, tolerance=2))
        assert scores.is_cuda
        close(scores.cpu(), score_agreement(masks, Quality(quality, 11, tolerance=2)))


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("empty", ["one", "zero", "published"])
@pytest.mark.parametrize("background", [False, True])
def test_one_pair_after_another_gives_the_same(quality, empty, background, monkeypatch):
    masks = samples(4, 3, (22, 31), 10, seed=5)
    masks[:, 0] *= masks[:, 0] != 1
    masks[:3, 1] *= masks[:3, 1] != 1
    g = Quality(quality, 10, 2.0, (0.8, 1.3), background)
    fast = score_agreement(masks, g, empty)
    monkeypatch.setitem(QUALITIES, quality, replace(QUALITIES[quality], bits=None))
    close(score_agreement(masks, g, empty), fast)


def test_a_quality_that_is_new_needs_no_matrix_product_and_no_rule_for_absent_classes(monkeypatch):
    def sensitivity(pred, target, g):  # not symmetric, and NaN where the target lacks the class
        hits = [((pred == k) & (target == k)).sum((1, 2)) / (target == k).sum((1, 2)) for k in range(1, g.num_classes)]
        return torch.stack(hits, 1).nan_to_num(0.0)

    monkeypatch.setitem(QUALITIES, "sensitivity", Measure("sensitivity", "sensitivity", sensitivity))
    masks = torch.zeros(3, 1, 2, 4, dtype=torch.int64)
    masks[0, 0, 0, :4] = masks[1, 0, 0, :2] = 1
    # Class 1, of the later sample in the earlier one: 1; then 0 twice, where the last sample has none. Class 2: nowhere.
    assert score_agreement(masks, Quality("sensitivity", 3)).tolist() == [[pytest.approx(1 / 3), 1.0]]
    assert score_agreement(masks, Quality("sensitivity", 3), "zero").tolist() == [[pytest.approx(1 / 3), 0.0]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "nonsense"}, "quality is 'nonsense'; choose from dice, surface_dice"),
        ({"empty": "nan"}, "empty is 'nan'"),
        ({"masks": torch.zeros(1, 2, 4, 4).long()}, "at least two samples"),
        ({"masks": torch.zeros(2, 4, 4).long()}, "at least two samples"),
        ({"masks": torch.full((2, 1, 4, 4), 2)}, "masks holds the label 2"),
        ({"tolerance": None}, "tolerance is None; surface_dice needs"),
        ({"tolerance": -1.0}, "tolerance is -1"),
        ({"spacing": -1}, "spacing is -1"),
    ],
)
def test_bad_input(change, message):
    masks = torch.zeros(2, 1, 4, 4, dtype=torch.int64)
    good = {"masks": masks, "name": "surface_dice", "tolerance": 1.0, "spacing": 1.0, "empty": "one"} | change
    with pytest.raises(BadInput, match=message):
        score_agreement(good["masks"], Quality(good["name"], 2, good["tolerance"], good["spacing"]), good["empty"])


def test_shape_and_variety(segmenter, images):
    masks = monte_carlo_masks(segmenter, images, n=5, seed=0)
    assert masks.shape == (5, 3, 12, 10) and masks.dtype == torch.uint8
    assert all((a != b).any() for a, b in itertools.combinations(masks, 2))
    masks += 1  # not an inference tensor, which would refuse this


def test_same_seed_same_masks(segmenter, images):
    masks = monte_carlo_masks(segmenter, images, n=4, seed=3)
    torch.rand(7)
    assert torch.equal(masks, monte_carlo_masks(segmenter, images, n=4, seed=3))
    assert not torch.equal(masks, monte_carlo_masks(segmenter, images, n=4, seed=4))


def test_callers_random_state_is_untouched(segmenter, images):
    before = torch.get_rng_state()
    monte_carlo_masks(segmenter, images, n=2, seed=3)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("training", [False, True])
def test_modes_and_state_are_as_before(segmenter, images, training):
    segmenter.train(training)
    segmenter.net[1].train(not training)
    modes = [m.training for m in segmenter.modules()]
    state = {name: value.clone() for name, value in segmenter.state_dict().items()}
    monte_carlo_masks(segmenter, images, n=3, seed=0)
    assert modes == [m.training for m in segmenter.modules()]
    assert state.keys() == segmenter.state_dict().keys()
    assert all(torch.equal(value, state[name]) for name, value in segmenter.state_dict().items())


def test_modes_and_random_state_are_as_before_after_an_error(segmenter, images):
    segmenter.eval()
    segmenter.net[0].train()
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError):
        monte_carlo_masks(segmenter, images[..., 0].repeat(1, 2, 1)[:, :, None], n=3, seed=0)
    assert [m.training for m in segmenter.net] == [True] + [False] * 5
    assert torch.equal(before, torch.get_rng_state())


def test_only_dropout_is_in_training_mode(segmenter, images):
    seen = []
    segmenter.train()
    segmenter.register_forward_pre_hook(lambda m, _: seen.append([type(c) for c in m.modules() if c.training]))
    monte_carlo_masks(segmenter, images, n=1, seed=0)
    assert seen == [[nn.Dropout]]


def test_copies_go_through_in_whole_batches(segmenter, images):
    monte_carlo_masks(segmenter, images, n=5, seed=0, images_per_pass=7)
    monte_carlo_masks(segmenter, images, n=2, seed=0, images_per_pass=1)
    assert segmenter.batches == [6, 6, 3, 3, 3]


def test_samples_follow_their_image(images):
    segmenter = TinySegmenter(p=1e-9)  # a dropout that never strikes: every sample is the deterministic mask
    masks = monte_carlo_masks(segmenter, images, n=3, seed=0)
    with torch.no_grad():
        expected = segmenter.eval()(images)[0].argmax(1)
    assert torch.equal(masks.long(), expected.expand(3, -1, -1, -1))
    assert (expected[0] != expected[1]).any()


def test_without_dropout_or_samples(images):
    for net in (TinySegmenter(p=0.0), nn.Conv2d(1, 2, 1)):
        with pytest.raises(BadInput, match="no dropout"):
            monte_carlo_masks(net, images, n=2, seed=0)
    with pytest.raises(BadInput, match="n is 0"):
        monte_carlo_masks(TinySegmenter(), images, n=0, seed=0)
