"""Algorithm 1, where its result can be computed by hand."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from advconf_lite.adversarial import (
    State,
    adapt_alpha,
    adversarial_step,
    objective,
    perturb,
    plain_step,
    relative_norm,
    score_loss,
    segment,
    targets,
)
from advconf_lite.head import ConfidenceHead
from advconf_lite.methods.controls import random_delta
from advconf_lite.quality import dice
from advconf_lite.segmenter import Segmenter, build_unet
from advconf_lite.settings import Settings


class Identity(nn.Module):
    """A segmenter whose features are its image: z = x."""

    def __init__(self):
        super().__init__()
        self.tap = nn.Identity()

    def forward(self, x):
        x = self.tap(x)
        return torch.cat([-x, x], 1)


class LinearHead(nn.Module):
    def __init__(self, pixels: int, scores: int = 1):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(scores, pixels))

    def forward(self, z):
        return z.flatten(1) @ self.weight.T


def g(pred, target):
    return dice(pred, target, 2)


def linear_world(scores: int = 1):
    torch.manual_seed(0)
    segmenter = Segmenter(Identity(), layer="tap").freeze()
    head = LinearHead(64, scores)
    return segmenter, head, torch.optim.SGD(head.parameters(), lr=0.0)  # phi stands still


def batch(n=4, seed=1):
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(n, 1, 8, 8, generator=draw), torch.randint(0, 2, (n, 8, 8), generator=draw)


def test_a_linear_head_drops_by_exactly_alpha():
    _, head, _ = linear_world()
    x, _ = batch()
    gradient = head.weight.detach().reshape(1, 1, 8, 8).expand_as(x)
    for alpha in (0.8, 0.05):
        drop = head(x) - head(x + perturb(x, gradient, alpha, eps=1e-12))
        assert torch.allclose(drop, torch.full_like(drop, alpha), atol=1e-5)


def test_alpha_converges_to_delta_s_with_a_linear_head():
    segmenter, head, optimizer = linear_world()
    settings = Settings(delta_s=0.1, eta=0.1)
    state = State(settings.alpha)
    drops = []
    for step in range(200):
        clean = segment(segmenter, *batch(seed=step), gradient=True)
        row = adversarial_step(segmenter, head, optimizer, clean, state, g, settings)
        drops.append((row.get("predicted_drop"), row["alpha"]))
    assert drops[0] == (None, 0.8)  # no perturbed image yet, so nothing to adapt to
    assert drops[1][0] == pytest.approx(0.8, abs=1e-4)  # what alpha asked for one step before
    assert drops[1][1] == pytest.approx(adapt_alpha(0.8, 0.8, 0.1, 0.1), abs=1e-4) == pytest.approx(0.73, abs=1e-4)
    assert state.alpha == pytest.approx(0.1, abs=1e-3)


def test_with_c_outputs_the_mean_drop_is_alpha_over_c_for_the_sum():
    segmenter, head, optimizer = linear_world(scores=4)
    with torch.no_grad():
        head.weight[:] = head.weight[:1]  # equal classes, so that each has an equal share
    state, settings = State(0.8), Settings()
    for step in range(2):
        clean = segment(segmenter, *batch(seed=step), gradient=True)
        row = adversarial_step(segmenter, head, optimizer, clean, state, g, settings)
    assert row["predicted_drop"] == pytest.approx(0.2, abs=1e-4)


def test_buffer_pairs_stay_aligned():
    segmenter, head, optimizer = linear_world()
    state = State(0.3)
    for step in range(3):
        x, y = batch(seed=step)
        row = adversarial_step(segmenter, head, optimizer, segment(segmenter, x, y, True), state, g, Settings())
        assert torch.equal(state.buffer.y, y)
        assert torch.equal(state.buffer.true_score, g(segmenter.masks(x), y))
        # x' differs from its own x by a multiple of the gradient, which is the head's weight
        delta = (state.buffer.x - x).flatten(1)
        direction = head.weight.detach() / head.weight.detach().norm()
        assert torch.allclose(delta, (delta @ direction.T) * direction, atol=1e-5)
        assert torch.allclose(state.buffer.relative_norm, relative_norm(state.buffer.x - x, x), atol=1e-5)
        assert not state.buffer.x.requires_grad
    assert row["delta_norm"] > 0


def real_world(norm="batch"):
    torch.manual_seed(0)
    segmenter = Segmenter(build_unet((4, 8, 8, 8), 3, num_res_units=1)).freeze()
    head = ConfidenceHead((8, 8, 8), 2, norm=norm)
    return segmenter, head, torch.optim.Adam(head.parameters(), lr=1e-3)


def three_classes(seed):
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(4, 1, 32, 32, generator=draw), torch.randint(0, 3, (4, 32, 32), generator=draw)


def g3(pred, target):
    return dice(pred, target, 3)


def test_the_segmenter_stays_as_it_was():
    segmenter, head, optimizer = real_world()
    before = {k: v.clone() for k, v in segmenter.state_dict().items()}
    state = State(0.8)
    for step in range(3):
        clean = segment(segmenter, *three_classes(step), gradient=True)
        adversarial_step(segmenter, head, optimizer, clean, state, g3, Settings())
    assert all(torch.equal(v, before[k]) for k, v in segmenter.state_dict().items())
    assert all(p.grad is None for p in segmenter.parameters()) and not segmenter.training


def test_each_image_passes_the_segmenter_once_a_step():
    segmenter, head, optimizer = real_world()
    passed = []
    segmenter.net.register_forward_pre_hook(lambda module, inputs: passed.append(len(inputs[0])))
    state = State(0.8)
    for step in range(3):
        clean = segment(segmenter, *three_classes(step), gradient=True)
        adversarial_step(segmenter, head, optimizer, clean, state, g3, Settings())
    assert passed == [4, 4] * 3


def test_the_head_sees_both_halves_jointly():
    segmenter, head, optimizer = real_world()
    seen = []
    head.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    adversarial_step(segmenter, head, optimizer, segment(segmenter, *three_classes(0), True), State(0.8), g3, Settings())
    assert seen == [8]


@pytest.mark.parametrize("order", ["before_update", "after_update"])
def test_the_perturbation_uses_phi_before_or_after_its_update(order):
    segmenter, head, optimizer = real_world("group")  # no running statistics that a second pass would move
    twin = ConfidenceHead((8, 8, 8), 2, norm="group")
    twin.load_state_dict(head.state_dict())
    x, y = three_classes(0)
    state, settings = State(0.8), Settings(perturb_with=order)
    adversarial_step(segmenter, head, optimizer, segment(segmenter, x, y, True), state, g3, settings)
    judge = twin if order == "before_update" else head
    leaf = x.clone().requires_grad_()
    gradient = torch.autograd.grad(judge(segmenter(leaf)[1]).sum(), leaf)[0]
    assert torch.allclose(state.buffer.x, x + perturb(x, gradient, 0.8, 1e-8), atol=1e-5)


def test_fresh_and_stale_clean_scores_differ_only_by_the_heads_update():
    drops = {}
    for kind in ("stale", "fresh"):
        segmenter, head, optimizer = real_world("group")
        for group in optimizer.param_groups:
            group["lr"] = 0.0  # a head that stands still has no staleness
        state, settings = State(0.8), Settings(clean_score=kind)
        for step in range(2):
            clean = segment(segmenter, *three_classes(step), gradient=True)
            row = adversarial_step(segmenter, head, optimizer, clean, state, g3, settings)
        drops[kind] = row["predicted_drop"]
    assert drops["stale"] == pytest.approx(drops["fresh"], abs=1e-5)


def test_history_holds_drops_of_the_same_images():
    segmenter, head, optimizer = real_world("group")
    state = State(0.8)
    first, second = three_classes(0), three_classes(1)
    adversarial_step(segmenter, head, optimizer, segment(segmenter, *first, True), state, g3, Settings())
    x_adv, c_z = state.buffer.x.clone(), state.buffer.predicted_score.clone()
    with torch.no_grad():
        expected = (c_z - head(segmenter(x_adv)[1])).mean().item()
    true = (g3(segmenter.masks(first[0]), first[1]) - g3(segmenter.masks(x_adv), first[1])).mean().item()
    row = adversarial_step(segmenter, head, optimizer, segment(segmenter, *second, True), state, g3, Settings())
    assert row["predicted_drop"] == pytest.approx(expected, abs=1e-5)
    assert row["true_drop"] == pytest.approx(true, abs=1e-6)


def test_norm_is_taken_per_image_and_can_be_capped():
    x = torch.ones(2, 1, 2, 2)
    gradient = torch.stack([torch.full((1, 2, 2), 1.0), torch.full((1, 2, 2), 0.1)])
    delta = perturb(x, gradient, alpha=1.0, eps=0.0)
    assert torch.allclose(delta[:, 0, 0, 0], torch.tensor([-0.25, -2.5]))  # 1 / 4 and 0.1 / 0.04
    capped = perturb(x, gradient, 1.0, 0.0, max_relative_norm=0.5)
    assert torch.allclose(relative_norm(capped, x), torch.tensor([0.25, 0.5]))


def test_a_flat_head_gives_a_finite_perturbation():
    x = torch.ones(1, 1, 2, 2)
    assert torch.equal(perturb(x, torch.zeros_like(x), 0.8, 1e-8), torch.zeros_like(x))


def test_absent_classes_count_as_one_or_are_masked():
    true = torch.tensor([[0.5, torch.nan]])
    predicted = torch.tensor([[0.5, 0.0]], requires_grad=True)
    assert score_loss(predicted, targets(true, "one")).item() == pytest.approx(0.5)
    masked = score_loss(predicted, targets(true, "masked"))
    assert masked.item() == 0.0
    masked.backward()
    assert torch.equal(predicted.grad, torch.zeros_like(predicted))


def test_objective_is_the_sum_or_the_mean_of_class_scores():
    scores = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 3.0]])
    assert objective(scores, "sum").item() == 9 and objective(scores, "mean").item() == 3


def test_plain_step_learns_and_leaves_no_graph_in_the_segmenter():
    segmenter, head, optimizer = real_world()
    losses = []
    for _ in range(30):
        clean = segment(segmenter, *three_classes(0))
        losses.append(plain_step(head, optimizer, clean, g3, Settings())["loss"])
    assert losses[-1] < 0.5 * losses[0]
    assert not clean.z.requires_grad


def test_loss_is_a_sum_or_a_mean_and_clipping_limits_the_step():
    predicted, true = torch.zeros(2, 2), torch.ones(2, 2)
    assert score_loss(predicted, true, "sum").item() == 4 and score_loss(predicted, true).item() == 1
    segmenter, head, _ = real_world()
    sgd = torch.optim.SGD(head.parameters(), lr=1.0)
    before = [p.detach().clone() for p in head.parameters()]
    settings = replace(Settings(), loss="sum", head_clip=0.5)
    plain_step(head, sgd, segment(segmenter, *three_classes(0)), g3, settings)
    moved = torch.stack([(p - b).norm() for p, b in zip(head.parameters(), before)]).norm().item()
    assert moved == pytest.approx(0.5, abs=1e-4)


def test_a_random_direction_has_the_norm_of_its_model_image_by_image():
    delta = torch.randn(3, 1, 8, 8) * torch.tensor([0.1, 1.0, 5.0])[:, None, None, None]
    noise = random_delta(delta)
    assert torch.allclose(noise.flatten(1).norm(dim=1), delta.flatten(1).norm(dim=1), rtol=1e-5)
    assert torch.equal(noise, random_delta(delta)) and not torch.equal(noise, random_delta(delta, seed=1))
