"""What a specialist expects beside a head: soft Dice, a deep ensemble, a network on image and mask, distances of z."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from test_training import SMOKE, TRAIN, VAL, new_net

from advconf_lite.__main__ import main
from advconf_lite.evaluation.per_domain import metrics_table
from advconf_lite.experiment.networks import Network
from advconf_lite.experiment.predict import predict
from advconf_lite.experiment.run import Run
from advconf_lite.head import ConfidenceHead
from advconf_lite.head_training import Learner, train_heads
from advconf_lite.methods.mahalanobis import Gaussian, shrunk_covariance
from advconf_lite.methods.passes import Lent, pass_scores
from advconf_lite.methods.quality_regression import Regression, image_and_mask
from advconf_lite.methods.registry import check_methods, find_method, head_methods, pass_methods, scored, seeds_needed
from advconf_lite.methods.soft_dice import soft_dice
from advconf_lite.quality import Quality
from advconf_lite.segmenter import Segmenter, build_unet
from advconf_lite.support.errors import BadInput

NAN = float("nan")
PASSES = ["soft-dice", "ensemble-3", "mahalanobis"]
DICE, SURFACE = Quality("dice", 3), Quality("surface_dice", 3, 1.0)


def segmenters(n):
    made = []
    for seed in range(n):
        torch.manual_seed(seed)
        made.append(Segmenter(build_unet(SMOKE.channels, 3, SMOKE.num_res_units)).freeze())
    return made


@pytest.fixture(scope="module")
def lent():
    judged, *others = segmenters(3)
    return Lent(judged, others, lambda: TRAIN[0])


# ---- soft Dice


def probabilities(seed, batch=3, size=(5, 6)):
    return torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(seed)).mul(2).softmax(1)


def test_soft_dice_is_its_formula_pixel_by_pixel():
    p, ours = probabilities(0), soft_dice(probabilities(0), probabilities(0).argmax(1))
    for image in range(3):
        mask = p[image].argmax(0)
        for label in (1, 2):
            pairs = [(p[image, label, i, j].item(), float(mask[i, j] == label)) for i in range(5) for j in range(6)]
            expected = 2 * sum(a * m for a, m in pairs) / (sum(a for a, _ in pairs) + sum(m for _, m in pairs))
            assert ours[image, label - 1].item() == pytest.approx(expected, abs=1e-6)
    assert soft_dice(p, p.argmax(1), include_background=True).shape == (3, 3)


def test_soft_dice_of_certain_pixels_is_1_and_half_certain_ones_2_thirds():
    masks = torch.tensor([[[0, 1], [1, 2]]])
    certain = torch.nn.functional.one_hot(masks, 3).movedim(-1, 1).float()
    assert soft_dice(certain, masks).tolist() == [[1.0, 1.0]]
    assert soft_dice(certain, torch.zeros_like(masks))[0, 0].item() == 0.0  # two pixels are surely of a class not drawn
    assert soft_dice(certain[:, [0, 1]] / 2, masks.clamp(max=1))[0, 0].item() == pytest.approx(2 * 1 / (1 + 3), abs=1e-6)


@pytest.mark.parametrize("drawn", [True, False])
def test_soft_dice_is_the_dice_to_be_expected_if_pixels_are_independent(drawn):
    """A truth drawn from the probabilities, 4,000 times: its mean Dice with the mask, where an absent class counts as 1."""
    p = torch.full((1, 2, 20, 20), 0.002)
    if drawn:
        p[0, 1, 5:12, 5:12] = 0.8
    p[:, 0] = 1 - p[:, 1]
    mask = p.argmax(1)
    assert bool(mask.any()) == drawn
    truths = (torch.rand(4000, 20, 20, generator=torch.Generator().manual_seed(0)) < p[0, 1]).long()
    g = Quality("dice", 2)
    expected = g(mask.expand(4000, -1, -1), truths).mean().item()
    assert soft_dice(p, mask).item() == pytest.approx(expected, abs=0.02)
    assert drawn or 0.3 < expected < 0.6  # the formula would say 0


def test_soft_dice_has_rows_for_dice_alone_and_is_refused_where_dice_is_not_asked_for(slice_set, tmp_path):
    assert scored(["soft-dice", "plain"], ["dice", "surface_dice"]) == [
        ("soft-dice", "dice"),
        ("plain", "dice"),
        ("plain", "surface_dice"),
    ]
    with pytest.raises(BadInput, match="soft-dice scores dice alone, which is not asked for"):
        Run(tmp_path / "r", str(slice_set), "smoke", "surface_dice", ["plain", "soft-dice"], progress=False)
    assert not (tmp_path / "r").exists()


def test_an_image_without_finite_logits_has_no_score(lent):
    x = VAL[0].clone()
    x[2] = NAN
    scores = pass_scores(lent, x, [find_method(name) for name in PASSES], [DICE, SURFACE], batch=4)
    assert set(scores) == {("soft-dice", "dice")} | {(n, q) for n in PASSES[1:] for q in ("dice", "surface_dice")}
    for key, values in scores.items():
        assert values.shape == (6, 2), key
        assert values[2].isnan().all() and values[[0, 1, 3, 4, 5]].isfinite().all(), key


def test_scores_do_not_depend_on_the_batch(lent):
    methods = [find_method(name) for name in PASSES]
    one, three = (pass_scores(lent, VAL[0], methods, [DICE, SURFACE], batch=batch) for batch in (1, 6))
    for key in one:
        torch.testing.assert_close(one[key], three[key], rtol=1e-5, atol=1e-5)


# ---- ensemble


def test_seeds_of_an_ensemble_are_shared_by_the_runs_segmenters():
    assert seeds_needed(0, ["plain", "ensemble-3"]) == [0, 1, 2]
    assert seeds_needed(2, ["ensemble-3", "ensemble-2"]) == [2, 0, 1]
    assert seeds_needed(7, ["ensemble-3"]) == [7, 0, 1]
    assert seeds_needed(4, ["plain", "soft-dice", "agreement-15"]) == [4]
    for bad in ("ensemble-1", "ensemble-0", "ensemble-", "ensemble"):
        with pytest.raises(BadInput):
            find_method(bad)


@pytest.mark.parametrize("g", [DICE, SURFACE], ids=["dice", "surface"])
def test_an_ensemble_compares_the_judged_mask_with_each_other_one(lent, g):
    masks = [segmenter.masks(VAL[0]) for segmenter in (lent.segmenter, *lent.others)]
    found = {k: pass_scores(lent, VAL[0], [find_method(f"ensemble-{k}")], [g])[f"ensemble-{k}", g.name] for k in (2, 3)}
    pairs = [g(masks[0], other).nan_to_num(nan=1.0) for other in masks[1:]]
    torch.testing.assert_close(found[2], pairs[0])
    torch.testing.assert_close(found[3], (pairs[0] + pairs[1]) / 2)
    assert not torch.equal(pairs[0], pairs[1])
    zero = pass_scores(lent, torch.zeros(1, 1, 32, 32), [find_method("ensemble-3")], [g], "zero")
    assert zero["ensemble-3", g.name].isfinite().all()


def test_an_ensemble_of_one_network_is_refused(slice_set, tmp_path):
    one = segmenters(1)[0]
    with pytest.raises(BadInput, match="ensemble-2 needs segmenters that were trained apart"):
        pass_scores(Lent(one, segmenters(1), lambda: TRAIN[0]), VAL[0], [find_method("ensemble-2")], [DICE])
    network = Network("somewhere:something", str(tmp_path / "weights.pt"), "layer")
    (tmp_path / "weights.pt").write_bytes(b"")
    with pytest.raises(BadInput, match="ensemble-3 needs 3 networks that were trained apart, and the weights are those of"):
        Run(tmp_path / "r", str(slice_set), "smoke", "dice", ["ensemble-3"], progress=False, network=network)
    check_methods(["soft-dice", "mahalanobis"], ["dice"], one_network=True)


# ---- Mahalanobis


def slow_shrunk_covariance(points):
    """Ledoit & Wolf 2004, lemmas 3.2 to 3.4, point by point."""
    n, c = points.shape
    centred = points - points.mean(0)
    sample = sum(np.outer(x, x) for x in centred) / n
    mean = np.trace(sample) / c
    d2 = ((sample - mean * np.eye(c)) ** 2).sum() / c
    b2 = min(d2, sum(((np.outer(x, x) - sample) ** 2).sum() / c for x in centred) / n**2)
    return b2 / d2 * mean * np.eye(c) + (d2 - b2) / d2 * sample


@pytest.mark.parametrize(("n", "c"), [(200, 4), (12, 8), (5, 16), (3, 2)])
def test_distances_are_those_of_the_shrunk_covariance(n, c):
    rng = np.random.default_rng(n)
    points = rng.normal(size=(n, c)) @ rng.normal(size=(c, c)) + 5
    covariance = slow_shrunk_covariance(points)
    ours = shrunk_covariance(torch.from_numpy(points - points.mean(0))).numpy()
    np.testing.assert_allclose(ours, covariance, rtol=2e-6, atol=2e-6 * np.trace(covariance) / c)
    new = rng.normal(size=(6, c)) * 3
    expected = [math.sqrt(d @ np.linalg.inv(covariance) @ d) for d in new - points.mean(0)]
    fitted = Gaussian.of(torch.from_numpy(points))
    np.testing.assert_allclose(fitted.distance(torch.from_numpy(new)).numpy(), expected, rtol=1e-4)


@pytest.mark.parametrize(
    "points",
    [
        torch.ones(5, 4),  # all the same
        torch.ones(2, 4) * torch.tensor([[1.0], [2.0]]),  # on a line
        torch.cat([torch.randn(50, 3), torch.zeros(50, 1)], 1),  # a channel that is always zero
        torch.randn(50, 4) * torch.tensor([1e12, 1.0, 1e-12, 1.0]),  # scales
        torch.cat([torch.randn(9, 4), torch.full((1, 4), NAN), torch.full((1, 4), math.inf)]),
    ],
)
def test_distances_are_finite_whatever_the_training_images_gave(points):
    fitted = Gaussian.of(points)
    distance = fitted.distance(torch.tensor([[0.0, 1, 2, 3], [1e30, 0, 0, 0]]))
    assert distance.isfinite().all() and (distance >= 0).all() and distance[1] > distance[0]
    assert fitted.distance(fitted.mean[None]).item() == 0


def test_without_two_training_images_nothing_is_known():
    for points in (torch.randn(1, 3), torch.full((8, 3), NAN)):
        assert Gaussian.of(points).distance(torch.zeros(2, 3)).isnan().all()


def test_training_images_are_nearer_than_noise_and_one_number_stands_for_all_classes(lent):
    images = torch.cat([TRAIN[0][:6], 10 * torch.randn(6, 1, 32, 32, generator=torch.Generator().manual_seed(0))])
    scores = pass_scores(lent, images, [find_method("mahalanobis")], [DICE, SURFACE])
    values = scores["mahalanobis", "dice"]
    assert torch.equal(values, scores["mahalanobis", "surface_dice"]) and torch.equal(values[:, 0], values[:, 1])
    assert values[:6].mean() > values[6:].mean() + 1 and (values <= 0).all()


# ---- quality regression


def test_the_regression_reads_image_and_mask_of_any_size():
    net = Regression(1, 3, 2).eval()
    for size in ((32, 32), (24, 41)):
        x, y_hat = torch.randn(2, 1, *size), torch.randint(0, 3, (2, *size))
        seen = image_and_mask(x, y_hat)
        assert net(seen).shape == (2, 2)
        assert not torch.allclose(net(seen), net(image_and_mask(x, (y_hat + 1) % 3)))
        assert not torch.allclose(net(seen), net(image_and_mask(x + torch.randn_like(x), y_hat)))
    # labels are names, not numbers: with the first layer's weights of two classes exchanged, their labels can be
    first = [net.blocks[0].main[0], net.blocks[0].beside[0]]
    before = net(image_and_mask(x, y_hat))
    for layer in first:
        layer.weight.data = layer.weight.data[:, [0, 1, 3, 2]]
    exchanged = torch.tensor([0, 2, 1])[y_hat]
    torch.testing.assert_close(net(image_and_mask(x, exchanged)), before, rtol=1e-4, atol=1e-5)


def test_a_regression_learns_what_masks_show():
    """A segmenter whose masks are of random quality: its mistakes are in the mask, and nowhere in z."""

    class Careless(Segmenter):
        def forward(self, x):
            logits, z = super().forward(x)
            masks = torch.nn.functional.one_hot((x[:, 0] > 0.8).long(), 3).movedim(-1, 1).float()
            shifts = [int(image.abs().sum() * 1e4) % 9 for image in x]  # as good as random, and of each image alone
            return torch.stack([mask.roll(shift, 2) for mask, shift in zip(masks, shifts)]), torch.zeros_like(z)

    torch.manual_seed(0)
    careless = Careless(new_net()).freeze()
    profile = replace(SMOKE, head_steps=60, steps_per_epoch=30, settings=replace(SMOKE.settings, head_lr=3e-3))
    learners = {}
    for name in ("plain-2b", "quality-regression"):
        torch.manual_seed(1)
        head = find_method(name).build(ConfidenceHead(careless.feature_shape(32), 2), careless, DICE)
        learners[name] = Learner(find_method(name), head, DICE, profile.settings)
    train_heads(careless, list(learners.values()), TRAIN, VAL, profile, 0, progress=False)
    plain, regression = (learners[name] for name in learners)
    assert plain.seen["clean"] == regression.seen["clean"]  # the same images, masks and true scores
    last = [np.mean([row["loss"] for row in each.history[-20:]]) for each in (plain, regression)]
    assert last[1] < 0.7 * last[0]


# ---- in a run


def test_names():
    assert head_methods(["soft-dice", "quality-regression", "ensemble-3"]) == ["quality-regression"]
    assert [method.name for method in pass_methods(["plain", *PASSES, "agreement-2"])] == PASSES
    estimates = {name: find_method(name).estimates for name in [*PASSES, "quality-regression"]}
    assert estimates == {"soft-dice": True, "ensemble-3": False, "mahalanobis": False, "quality-regression": True}


@pytest.mark.slow
def test_a_run_scores_by_all_of_them_and_trains_nothing_twice(slice_set, tmp_path, capsys):
    def run(*methods, head_seed=0):
        made = Run(tmp_path / "r", str(slice_set), "smoke", None, methods, progress=False)
        return made, made.predict_heads(0, head_seed), made.predict_agreement(0, head_seed)

    first = run("soft-dice", "quality-regression")[0]
    before = {path: path.read_bytes() for path in first.folder.glob("*.safetensors")}
    assert len(before) == 3  # a segmenter, and a network for each quality
    alone = first.predictions()
    capsys.readouterr()
    made, heads, passes = run("quality-regression", *PASSES)
    said = capsys.readouterr().out
    assert said.count("is not there yet: training the U-Net") == 2 and "seed 1" in said and "seed 2" in said
    assert all(path.read_bytes() == data for path, data in before.items())
    assert {path.name for path in made.folder.glob("segmenter-*")} == {f"segmenter-{n}.safetensors" for n in range(3)}
    assert set(made.history().query("stage == 'segmenter'")["segmenter_seed"]) == {0, 1, 2}
    both = made.predictions()
    old = both[both["method"].isin(["soft-dice", "quality-regression"])].reset_index(drop=True)
    columns = list(old)[:9]
    pd.testing.assert_frame_equal(*(each.sort_values(columns, ignore_index=True) for each in (old, alone)))
    assert set(both.loc[both["method"] == "soft-dice", "quality"]) == {"dice"}
    assert both.loc[both["method"].isin(["soft-dice", "ensemble-3"]), "predicted_score"].between(0, 1).all()

    # another head seed: the same scores from passes; nothing is trained for them
    run(*PASSES, head_seed=1)
    assert "training" not in capsys.readouterr().out
    table = made.predictions()
    columns = ["domain", "subject", "slice", "quality", "method", "predicted_score"]
    zero, one = (table[table["method"].isin(PASSES) & (table["head_seed"] == h)][columns] for h in (0, 1))
    pd.testing.assert_frame_equal(zero.reset_index(drop=True), one.reset_index(drop=True))

    metrics = metrics_table(table, resamples=0)
    ranks = metrics["method"].isin(["ensemble-3", "mahalanobis"])
    assert metrics.loc[ranks, "mae"].isna().all() and metrics.loc[~ranks, "mae"].notna().all() and ranks.any()

    # predict: the numbers of predictions.csv for the same images, and one sentence where a segmenter is missing
    for method, kept in both[both["domain"] == "here"].groupby("method"):
        scores = predict(made.folder, slice_set, tmp_path / "scores.csv", method, progress=False)
        there = kept.merge(scores, on=["domain", "subject", "phase", "slice"])
        assert len(there) == len(kept)
        for quality, rows in there.groupby("quality"):
            np.testing.assert_allclose(rows["predicted_score"], rows[f"predicted_{quality}"], atol=1e-5)
        assert ("predicted_surface_dice" in scores) == (method != "soft-dice")
    (made.folder / "segmenter-2.safetensors").unlink()
    arguments = ["predict", "--run", made.folder, "--data", slice_set, "--out", tmp_path / "s.csv", "--method", "ensemble-3"]
    assert main([str(word) for word in arguments]) == 2
    assert "segmenter-2.safetensors does not exist; finish the run first" in capsys.readouterr().err
