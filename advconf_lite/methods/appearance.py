"""A small space of appearance: what a scanner may change in an image, in a few numbers with a gradient."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from advconf_lite.augmentation import blur
from advconf_lite.methods.aimed import no_longer
from advconf_lite.methods.augmented import like_before
from advconf_lite.methods.controls import random_delta
from advconf_lite.training import autocast

WAVES = [(i, j) for i in range(4) for j in range(4) if 0 < i + j < 4]  # of the bias field: cosines of low order
KNOTS = 6  # of each intensity curve, evenly from the darkest pixel to two standard deviations above the mean
SIGMA = 1.5  # pixels, of the blurred copy

# How far each number goes where it alone makes up a p of norm 1: a change that can be seen at once in a slice, and that
# MR images of one organ differ by.
RANGES = torch.tensor(
    [1.0 / (i + j) for i, j in WAVES]  # log of the field; halved, and less, where it turns faster
    + [1.5] * KNOTS  # log slope of the monotone curve between two knots
    + [0.35] * KNOTS  # height of a bump on the other curve, where 1 leads from the darkest to the brightest knot
    + [1.0]  # share of the blurred copy; below 0 it sharpens
    + [0.5]  # noise, in standard deviations of the image
)
SIZES = (len(WAVES), KNOTS, KNOTS, 1, 1)


class Appearance:
    """x' = A(x; p): a monotone intensity curve plus bumps that need not be, a smooth bias field, blur, noise; then the
    mean and the standard deviation that each channel had, for images of a new scanner are normalised like all others.

    p is (B, 23, 1, 1), one for all channels, and no longer than 1: where a coordinate's range ends, one direction may go so
    far, and several share it. At p = 0 the image is as it was.

    Args:
        x: (B, channels, H, W), of any floating type.
        seed: of the noise's pattern.
    """

    def __init__(self, x: Tensor, seed: int) -> None:
        self.x = x
        exact = x.to(torch.promote_types(x.dtype, torch.float32))
        low, mean, std = exact.amin((2, 3), True), exact.mean((2, 3), True), exact.std((2, 3), keepdim=True)
        width = (mean + 2 * std - low).clamp_min(1e-6)
        self.t = (exact - low) / width  # 0 at the darkest pixel, 1 at the last knot
        self.pattern = random_delta(exact, seed) / width
        self.start = exact.new_zeros(len(x), sum(SIZES), 1, 1)

    def __call__(self, p: Tensor) -> Tensor:
        """x' of the shape, type and device of x."""
        with autocast(p.device, enabled=False):
            waves, slopes, bumps, share, noise = (p * RANGES.to(p)[:, None, None]).split(SIZES, 1)
            seen = monotone(self.t, slopes) + bumpy(self.t, bumps)
            seen = seen * bias_field(waves, self.t.shape[2:]).exp()
            sigma = seen.new_full((seen[:, :, 0, 0].numel(), 2), SIGMA)
            seen = seen + share * (blur(seen.flatten(0, 1), sigma).view_as(seen) - seen)
            seen = seen + noise * self.pattern
            one = (-1, 1, *self.t.shape[2:])  # channels are normalised one by one
            return like_before(seen.reshape(one), self.x.to(seen).reshape(one)).view_as(self.x).to(self.x)

    def within(self, p: Tensor) -> Tensor:
        return no_longer(p, 1.0)


def monotone(t: Tensor, slopes: Tensor) -> Tensor:
    """A rising curve of t (B, channels, H, W) that keeps 0 and 1, linear between knots, above the last as steep as before;
    log slopes (B, KNOTS, 1, 1), of which only the differences count."""
    rises = slopes.softmax(1)
    curve = torch.zeros_like(t)
    for k in range(KNOTS):
        ramp = (t * KNOTS - k).clamp(0.0, 1.0 if k < KNOTS - 1 else math.inf)
        curve = curve + rises[:, k : k + 1] * ramp
    return curve


def bumpy(t: Tensor, heights: Tensor) -> Tensor:
    """Gaussian bumps over t (B, channels, H, W), one at the middle between each two knots; heights (B, KNOTS, 1, 1)."""
    curve = torch.zeros_like(t)
    for k in range(KNOTS):
        curve = curve + heights[:, k : k + 1] * (-0.5 * ((t * KNOTS - k - 0.5) / 0.6).square()).exp()
    return curve


def bias_field(waves: Tensor, size: tuple[int, int]) -> Tensor:
    """The log of a smooth field, (B, 1, H, W): cosines with weights (B, len(WAVES), 1, 1)."""
    rows, columns = (torch.linspace(0, math.pi, n, device=waves.device, dtype=waves.dtype) for n in size)
    basis = torch.stack([(i * rows).cos()[:, None] * (j * columns).cos() for i, j in WAVES])
    return (waves * basis).sum(1, keepdim=True)
