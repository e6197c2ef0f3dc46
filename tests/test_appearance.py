"""The space of appearance: what its numbers do to an image, their gradient, and where they end."""

import math

import pytest
import torch
from test_aimed import B, Identity, loop_of

from advconf_lite.adversarial import segment
from advconf_lite.methods.appearance import KNOTS, SIZES, Appearance, bias_field, bumpy, monotone
from advconf_lite.methods.severity import SevereAppearance


def images(dtype=torch.float32, channels=1):
    x = torch.randn(3, channels, 24, 32, generator=torch.Generator().manual_seed(0)).cumsum(-1)
    return ((x - x.mean((2, 3), True)) / x.std((2, 3), keepdim=True)).to(dtype)


def any_p(x, norm, seed=0):
    p = torch.randn(len(x), sum(SIZES), 1, 1, generator=torch.Generator().manual_seed(seed))
    return (norm * p / p.flatten(1).norm(dim=1)[:, None, None, None]).to(torch.promote_types(x.dtype, torch.float32))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_without_a_perturbation_the_image_is_as_it_was_and_with_one_only_its_looks_change(dtype, channels):
    x = images(dtype, channels)
    space = Appearance(x, 0)
    same_x = space(space.start)
    assert same_x.dtype == dtype and torch.allclose(same_x.float(), x.float(), atol=1e-5 if x.dtype.itemsize > 2 else 2e-2)
    changed = space(any_p(x, 1.0)).float()
    assert changed.shape == x.shape and changed.isfinite().all()
    assert ((changed - x.float()).flatten(1).norm(dim=1) > 0.05 * x.float().flatten(1).norm(dim=1)).all()
    assert torch.allclose(changed.mean((2, 3)), x.float().mean((2, 3)), atol=2e-2)
    assert torch.allclose(changed.std((2, 3)), x.float().std((2, 3)), rtol=2e-2)
    assert torch.equal(Appearance(x, 0)(any_p(x, 1.0)), space(any_p(x, 1.0)))


def test_its_gradient_is_that_of_finite_differences():
    x = images(torch.float64)
    space, weights = Appearance(x, 0), torch.randn(3, 1, 24, 32, dtype=torch.float64)
    p = any_p(x, 0.5).requires_grad_()
    ours = torch.autograd.grad((space(p) * weights).sum(), p)[0]
    for k in range(sum(SIZES)):
        step = torch.zeros_like(p)
        step[:, k] = 1e-5
        rise = ((space(p + step) - space(p - step)) * weights).sum((1, 2, 3)) / 2e-5
        assert torch.allclose(ours[:, k, 0, 0], rise.detach(), rtol=1e-4, atol=1e-4), k


def test_the_monotone_curve_stays_monotone_and_the_other_need_not_be():
    t = torch.linspace(0, 1.6, 400).view(1, 1, 1, -1)
    assert torch.allclose(monotone(t, torch.zeros(1, KNOTS, 1, 1)), t, atol=1e-6)
    for seed in range(20):
        slopes = 3 * torch.randn(1, KNOTS, 1, 1, generator=torch.Generator().manual_seed(seed))
        curve = monotone(t, slopes)
        assert (curve.diff(dim=-1) >= 0).all() and curve[..., 0] == 0
        assert monotone(torch.ones(1, 1, 1, 1), slopes).item() == pytest.approx(1.0, abs=1e-6)
    bump = torch.zeros(1, KNOTS, 1, 1)
    bump[:, 2] = 0.35
    assert ((t + bumpy(t, bump)).diff(dim=-1) < 0).any()
    waves = torch.zeros(1, SIZES[0], 1, 1)
    waves[0, 0] = 0.5
    field = bias_field(waves, (9, 7))
    assert field.shape == (1, 1, 9, 7) and field.max() == pytest.approx(0.5) and field.min() == pytest.approx(-0.5)


def test_constant_images_stay_and_have_no_gradient_and_p_is_never_longer_than_1():
    loop, x, y = loop_of(SevereAppearance)
    x = x.clone()
    x[0], x[1] = 0.0, 3.0
    row = loop.step(Identity(), segment(Identity(), x, y, gradient=True))
    row = loop.step(Identity(), segment(Identity(), x, y, gradient=True))
    assert torch.allclose(loop.x_adv[:2], x[:2], atol=1e-5) and loop.x_adv.isfinite().all() and math.isfinite(row["alpha"])
    assert loop.delta[2:].abs().max() > 0
    space = Appearance(x, 0)
    long = space.within(any_p(x, 5.0))
    assert torch.allclose(long.flatten(1).norm(dim=1), torch.ones(len(long)))
    assert torch.equal(space.within(any_p(x, 0.5)[: len(x)]), any_p(x, 0.5))


def test_on_a_toy_the_drop_that_is_asked_for_is_reached_in_the_space_of_appearance():
    loop, x, y = loop_of(SevereAppearance, severity_steps=5, alpha=0.1, objective="mean")
    loop.drops = lambda s_hat: torch.full((B,), 0.05)
    loop.step(Identity(), segment(Identity(), x, y, gradient=True))
    fallen = (loop.head(x) - loop.head(loop.x_adv)).mean(1)
    assert torch.allclose(fallen, torch.full((B,), 0.05), atol=0.01)
