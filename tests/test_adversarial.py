"""Algorithm 1, where its result can be computed by hand."""

import pytest
import torch
from torch import nn

from advconf_lite.adversarial import Algorithm1, relative_norm, score_loss, segment
from advconf_lite.head import ConfidenceHead
from advconf_lite.methods.controls import random_delta
from advconf_lite.methods.forks import GradientAfterUpdate
from advconf_lite.quality import dice
from advconf_lite.segmenter import Segmenter, build_unet


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
    _, head, optimizer = linear_world()
    x, _ = batch()
    gradient = head.weight.detach().reshape(1, 1, 8, 8).expand_as(x)
    for alpha in (0.8, 0.05):
        drop = head(x) - head(Algorithm1(head, optimizer, g, alpha, eps=1e-12).next_images(x, gradient))
        assert torch.allclose(drop, torch.full_like(drop, alpha), atol=1e-5)


def test_alpha_converges_to_delta_s_with_a_linear_head():
    segmenter, head, optimizer = linear_world()
    algorithm = Algorithm1(head, optimizer, g, alpha=0.8, eta=0.1, delta_s=0.1)
    drops = []
    for step in range(200):
        row = algorithm.step(segmenter, segment(segmenter, *batch(seed=step), gradient=True))
        drops.append((row.get("predicted_drop"), row["alpha"]))
    assert drops[0] == (None, 0.8)  # no perturbed image yet, so nothing to adapt to
    assert drops[1][0] == pytest.approx(0.8, abs=1e-4)  # what alpha asked for one step before
    assert drops[1][1] == pytest.approx(0.73, abs=1e-4)  # 0.8 - 0.1 (0.8 - 0.1)
    assert algorithm.alpha == pytest.approx(0.1, abs=1e-3)


def test_with_c_outputs_the_mean_drop_is_alpha_over_c_for_the_sum_and_alpha_for_the_mean():
    for objective, expected in (("sum", 0.2), ("mean", 0.8)):
        segmenter, head, optimizer = linear_world(scores=4)
        with torch.no_grad():
            head.weight[:] = head.weight[:1]  # equal classes, so that each has an equal share
        algorithm = Algorithm1(head, optimizer, g, 0.8, objective=objective)
        for step in range(2):
            row = algorithm.step(segmenter, segment(segmenter, *batch(seed=step), gradient=True))
        assert row["predicted_drop"] == pytest.approx(expected, abs=1e-4)


def test_buffer_pairs_stay_aligned():
    segmenter, head, optimizer = linear_world()
    algorithm = Algorithm1(head, optimizer, g, 0.3)
    for step in range(3):
        x, y = batch(seed=step)
        row = algorithm.step(segmenter, segment(segmenter, x, y, True))
        assert torch.equal(algorithm.y_adv, y)
        assert torch.equal(algorithm.s_before, g(segmenter.masks(x), y))
        # x' differs from its own x by a multiple of the gradient, which is the head's weight
        delta = (algorithm.x_adv - x).flatten(1)
        direction = head.weight.detach() / head.weight.detach().norm()
        assert torch.allclose(delta, (delta @ direction.T) * direction, atol=1e-5)
        assert torch.allclose(algorithm.delta, algorithm.x_adv - x, atol=1e-6)
        assert torch.allclose(algorithm.norm_before, relative_norm(algorithm.x_adv - x, x), atol=1e-5)
        assert not algorithm.x_adv.requires_grad
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
    algorithm = Algorithm1(head, optimizer, g3)
    for step in range(3):
        algorithm.step(segmenter, segment(segmenter, *three_classes(step), gradient=True))
    assert all(torch.equal(v, before[k]) for k, v in segmenter.state_dict().items())
    assert all(p.grad is None for p in segmenter.parameters()) and not segmenter.training


def test_each_image_passes_the_segmenter_once_a_step():
    segmenter, head, optimizer = real_world()
    passed = []
    segmenter.net.register_forward_pre_hook(lambda module, inputs: passed.append(len(inputs[0])))
    algorithm = Algorithm1(head, optimizer, g3)
    for step in range(3):
        algorithm.step(segmenter, segment(segmenter, *three_classes(step), gradient=True))
    assert passed == [4, 4] * 3


def test_the_head_sees_both_halves_jointly():
    segmenter, head, optimizer = real_world()
    seen = []
    head.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    Algorithm1(head, optimizer, g3).step(segmenter, segment(segmenter, *three_classes(0), True))
    assert seen == [8]


@pytest.mark.parametrize("kind", [Algorithm1, GradientAfterUpdate])
def test_the_perturbation_uses_phi_before_or_after_its_update(kind):
    segmenter, head, optimizer = real_world("group")  # no running statistics that a second pass would move
    twin = ConfidenceHead((8, 8, 8), 2, norm="group")
    twin.load_state_dict(head.state_dict())
    x, y = three_classes(0)
    algorithm = kind(head, optimizer, g3)
    algorithm.step(segmenter, segment(segmenter, x, y, True))
    images = []
    for judge in (twin, head):
        leaf = x.clone().requires_grad_()
        gradient = torch.autograd.grad(judge(segmenter(leaf)[1]).sum(), leaf)[0]
        images.append(Algorithm1(judge, optimizer, g3).next_images(x, gradient))
    before, after = images if kind is Algorithm1 else images[::-1]
    assert torch.allclose(algorithm.x_adv, before, atol=1e-5) and not torch.allclose(algorithm.x_adv, after, atol=1e-3)


def test_history_holds_drops_of_the_same_images():
    segmenter, head, optimizer = real_world("group")
    algorithm = Algorithm1(head, optimizer, g3)
    first, second = three_classes(0), three_classes(1)
    algorithm.step(segmenter, segment(segmenter, *first, True))
    x_adv, c_z = algorithm.x_adv.clone(), algorithm.s_hat_before.clone()
    with torch.no_grad():
        expected = (c_z - head(segmenter(x_adv)[1])).mean().item()
    true = (g3(segmenter.masks(first[0]), first[1]) - g3(segmenter.masks(x_adv), first[1])).mean().item()
    row = algorithm.step(segmenter, segment(segmenter, *second, True))
    assert row["predicted_drop"] == pytest.approx(expected, abs=1e-5)
    assert row["true_drop"] == pytest.approx(true, abs=1e-6)


def test_norm_is_taken_per_image():
    _, head, optimizer = linear_world()
    gradient = torch.stack([torch.full((1, 2, 2), 1.0), torch.full((1, 2, 2), 0.1)])
    delta = Algorithm1(head, optimizer, g, alpha=1.0, eps=0.0).next_images(torch.zeros(2, 1, 2, 2), gradient)
    assert torch.allclose(delta[:, 0, 0, 0], torch.tensor([-0.25, -2.5]))  # 1 / 4 and 0.1 / 0.04
    assert torch.allclose(relative_norm(delta, torch.ones(2, 1, 2, 2)), torch.tensor([0.25, 2.5]))


def test_a_flat_head_gives_a_finite_perturbation():
    _, head, optimizer = linear_world()
    x = torch.ones(1, 1, 2, 2)
    assert torch.equal(Algorithm1(head, optimizer, g).next_images(x, torch.zeros_like(x)), x)


def test_absent_classes_count_as_one_or_are_masked():
    _, head, optimizer = linear_world()
    half = segment(Segmenter(Identity(), layer="tap").freeze(), *batch())
    predicted = torch.tensor([[0.5, 0.0]], requires_grad=True)

    def scored(pred, target):
        return torch.tensor([[0.5, torch.nan]])

    one, masked = (Algorithm1(head, optimizer, scored, absent=rule).true_scores(half) for rule in ("one", "masked"))
    assert one.tolist() == [[0.5, 1.0]]
    assert score_loss(predicted, one).item() == pytest.approx(0.5)  # (0 + 1) / 2
    loss = score_loss(predicted, masked)
    assert loss.item() == 0.0
    loss.backward()
    assert torch.equal(predicted.grad, torch.zeros_like(predicted))


def test_plain_step_learns_and_leaves_no_graph_in_the_segmenter():
    segmenter, head, optimizer = real_world()
    algorithm = Algorithm1(head, optimizer, g3)
    losses = []
    for _ in range(30):
        clean = segment(segmenter, *three_classes(0))
        losses.append(algorithm.plain_step(clean)["loss"])
    assert losses[-1] < 0.5 * losses[0]
    assert not clean.z.requires_grad and algorithm.x_adv is None


def test_the_loss_is_a_mean_and_clipping_limits_the_step():
    assert score_loss(torch.zeros(2, 2), torch.full((2, 2), 3.0)).item() == 9
    segmenter, head, _ = real_world()
    sgd = torch.optim.SGD(head.parameters(), lr=1.0)
    before = [p.detach().clone() for p in head.parameters()]
    Algorithm1(head, sgd, g3, clip=0.05).plain_step(segment(segmenter, *three_classes(0)))
    moved = torch.stack([(p - b).norm() for p, b in zip(head.parameters(), before)]).norm().item()
    assert moved == pytest.approx(0.05, abs=1e-4)


def test_a_random_direction_has_the_norm_of_its_model_image_by_image():
    delta = torch.randn(3, 1, 8, 8) * torch.tensor([0.1, 1.0, 5.0])[:, None, None, None]
    noise = random_delta(delta)
    assert torch.allclose(noise.flatten(1).norm(dim=1), delta.flatten(1).norm(dim=1), rtol=1e-5)
    assert torch.equal(noise, random_delta(delta)) and not torch.equal(noise, random_delta(delta, seed=1))
