"""Surface Dice of outlines that run between pixels and have a length in millimetres: DeepMind's definition.

A pixel of a boundary counts as one, whether the boundary runs along the grid or across it. Here the outline is drawn
through the cells between the centres of four neighbouring pixels, as marching squares draw it: it cuts off a corner, or runs
straight through. A cell counts with the length of outline in it, and two outlines are as far apart as the centres of their
cells (Nikolov et al., arXiv 1809.04430; the package surface-distance). Beyond the image nothing belongs to a class.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor


def outline_lengths(mask: np.ndarray, spacing: tuple[float, float]) -> np.ndarray:
    """Length of outline in each cell between four pixels: a boolean mask (H, W) -> (H + 1, W + 1), in the unit of `spacing`
    (row distance, column distance); 0 where the four are alike."""
    down, across = spacing
    cut = np.hypot(down, across) / 2  # one pixel of the four differs from the others
    both = 2 * cut  # two pixels on a diagonal: both corners are cut off
    # By the four bits upper left, upper right, lower left, lower right.
    lengths = np.array([0, cut, cut, across, cut, down, both, cut, cut, both, down, cut, across, cut, cut, 0])
    padded = np.pad(mask, 1).astype(np.uint8)
    corners = padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    return lengths[sum(corner << bit for corner, bit in zip(corners, (3, 2, 1, 0)))]


def outline_dice(pred: np.ndarray, target: np.ndarray, tolerance: float, spacing: tuple[float, float]) -> float:
    """Share of both outlines within `tolerance` of the other one, of boolean masks (H, W); NaN if neither has an outline."""
    lengths = [outline_lengths(mask, spacing) for mask in (pred, target)]
    if not all(length.any() for length in lengths):
        return 0.0 if any(length.any() for length in lengths) else np.nan
    away = [distance_transform_edt(length == 0, sampling=spacing) for length in lengths]
    near = sum(length[other <= tolerance].sum() for length, other in zip(lengths, reversed(away)))
    return float(near / sum(length.sum() for length in lengths))


def outline_dices(
    pred: Tensor, target: Tensor, labels: Sequence[int], tolerance: float, spacing: tuple[float, float]
) -> Tensor:
    """`outline_dice` of each image and label: label maps (B, H, W) twice -> (B, labels) float32 on their device."""
    pairs = list(zip(pred.cpu().numpy(), target.cpu().numpy()))
    scores = [[outline_dice(a == label, b == label, tolerance, spacing) for label in labels] for a, b in pairs]
    return torch.tensor(scores, dtype=torch.float32, device=pred.device)
