"""How far are an image's features from those of the training images? It knows no mask and no class."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from advconf_lite.methods.passes import Lent, Passed, PassMethod
from advconf_lite.methods.registry import register
from advconf_lite.quality import Quality
from advconf_lite.support.layers import device_of

LEAST = 1e-6  # of the mean variance: what any direction has, so that rounding is no distance


@register("mahalanobis")
class Mahalanobis(PassMethod):
    """Minus the Mahalanobis distance of z, averaged over the image, from the source's training images (Lee et al. 2018;
    Gonzalez et al. 2022). Not in the paper. It asks whether the image is unusual, not whether the mask is good; one number
    per image stands for every class and quality."""

    def score(self, passed: Passed, g: Quality, empty: str) -> Tensor:
        fitted = passed.lent.once(self.name, lambda: Gaussian.of(training_features(passed.lent)))
        away = passed.once(self.name, lambda: fitted.distance(pooled(passed.z)))
        return -away[:, None].expand(-1, g.num_classes - (0 if g.include_background else 1))


def pooled(z: Tensor) -> Tensor:
    """Features (B, C, h, w) -> their means over the image, (B, C) in float64."""
    return z.double().mean((2, 3))


def training_features(lent: Lent, batch: int = 64) -> Tensor:
    """Pooled z of the source's training images as they are, without augmentation: (N, C)."""
    device = device_of(lent.segmenter)
    return torch.cat([pooled(lent.segmenter(some.to(device))[1]) for some in lent.train().split(batch)])


@dataclass
class Gaussian:
    """A mean (C,), and the lower triangle (C, C) of the covariance's Cholesky factor."""

    mean: Tensor
    factor: Tensor

    @classmethod
    def of(cls, points: Tensor) -> Gaussian:
        """Fit to points (N, C), those that are finite; of fewer than two, every distance is NaN."""
        points = points.double()
        points = points[points.isfinite().all(1)]
        if len(points) < 2:
            return cls(points.new_full(points.shape[1:], torch.nan), torch.eye(points.shape[1]).to(points))
        mean = points.mean(0)
        return cls(mean, torch.linalg.cholesky(shrunk_covariance(points - mean)))

    def distance(self, points: Tensor) -> Tensor:
        """Points (B, C) -> (B,), in standard deviations."""
        away = (points.double() - self.mean).T
        return torch.linalg.solve_triangular(self.factor, away, upper=False).square().sum(0).sqrt()


def shrunk_covariance(centred: Tensor) -> Tensor:
    """Ledoit & Wolf's covariance (2004) of centred points (N, C): drawn towards a multiple of the identity by as much as few
    points ask for, so that it can be inverted for any N and C."""
    n, c = centred.shape
    sample = centred.T @ centred / n
    variance = sample.diagonal().mean()
    identity = torch.eye(c).to(centred)
    spread = (sample - variance * identity).square().sum()
    noise = (centred.square().sum(1).square().sum() / n - sample.square().sum()) / n  # of the sample covariance
    share = (noise.clamp_min(0) / spread).clamp(max=1) if spread > 0 else 1.0
    floor = LEAST * variance if variance > 0 else 1.0  # points that are all the same: plain distances
    return (1 - share) * sample + (share * variance + floor) * identity
