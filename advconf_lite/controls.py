"""What could replace the adversarial direction: controls that the paper lacks (random, phases, the segmenter's own loss).

Each gives perturbations with the norms of those that it is compared with, image by image, so that only the direction
differs.
"""

from __future__ import annotations

import torch
from monai.losses import DiceCELoss
from torch import Tensor, nn


def with_norms(direction: Tensor, delta: Tensor) -> Tensor:
    """`direction` (B, 1, H, W), scaled per image to the norm of `delta`; an image without a direction stays 0."""
    norm = delta.flatten(1).norm(dim=1) / direction.flatten(1).norm(dim=1).clamp_min(1e-12)
    return direction * norm[:, None, None, None]


def random_delta(delta: Tensor, seed: int = 0) -> Tensor:
    """Gaussian directions with the norms of `delta` (B, 1, H, W)."""
    return with_norms(_noise(delta, seed), delta)


def random_phase_delta(delta: Tensor, seed: int = 0) -> Tensor:
    """`delta` (B, 1, H, W) with random Fourier phases: its amplitude spectrum and its norm, but not where things are.

    The phases are those of real Gaussian noise, so that the result is real. Surrogate data by phase randomisation:
    Theiler et al., Physica D 58, 1992.
    """
    phases = torch.fft.rfft2(_noise(delta, seed)).angle()
    shuffled = torch.polar(torch.fft.rfft2(delta).abs(), phases)
    return torch.fft.irfft2(shuffled, s=delta.shape[-2:])


def segmenter_direction(net: nn.Module, x: Tensor, y: Tensor, include_background: bool = True) -> Tensor:
    """The direction (B, 1, H, W) in which the segmenter's own training loss (Dice + cross-entropy) rises fastest.

    It uses the ground truth y (B, H, W), which training has. The usual attack on a network; here it needs no head.
    """
    loss = DiceCELoss(to_onehot_y=True, softmax=True, include_background=include_background)
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        return torch.autograd.grad(loss(net(x), y[:, None]), x)[0]


def _noise(like: Tensor, seed: int) -> Tensor:
    # drawn on the CPU, so that a GPU run sees the same directions
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(seed)).to(like)
