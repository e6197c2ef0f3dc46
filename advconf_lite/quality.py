"""The quality measure g of the paper: Dice and surface Dice of label maps, a whole batch at once.

Surface Dice usually means a distance transform per image and class. It needs none: a boundary pixel lies
within tolerance t of the other boundary exactly when it lies in that boundary *dilated by a disk of radius
t*. So everything here is shifts and bitwise operations of one strip of bytes. Every pixel is a byte, every
class is a bit of it, and all images lie in the strip one after another with gaps of zeros between rows and
between images, wide enough that no shift reaches the next one.

Classes absent from both maps: Dice 1, surface Dice NaN. Absent from one: 0. `aggregate` counts NaN as 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from advconf_lite.strips import Strip, check_labels, disk_half_widths
from advconf_lite.support.errors import BadInput


def dice(pred: Tensor, target: Tensor, num_classes: int, include_background: bool = False) -> Tensor:
    """Dice 2|A n B| / (|A| + |B|) of every image and class (Lennartz & Schultz 2025, section 3.1).

    Args:
        pred, target: integer label maps (B, H, W) with values 0 ... num_classes - 1.
        include_background: also score class 0.

    Returns:
        (B, classes) float32 in [0, 1] on the tensors' device; 1 where both lack the class, 0 where one does.

    Raises:
        BadInput: shapes or devices disagree, not integers, or a label out of range.
    """
    check_labels(pred, num_classes, "pred")
    check_labels(target, num_classes, "target")
    _check_pair(pred, target)
    batch, joint = len(pred), num_classes**2
    # One histogram of (image, predicted label, true label) holds everything that Dice needs.
    cell = pred.long() * num_classes  # (B, H, W)
    cell += target
    cell += torch.arange(batch, device=pred.device).view(-1, 1, 1) * joint
    confusion = torch.bincount(cell.flatten(), minlength=batch * joint).view(batch, num_classes, num_classes)
    both = 2 * confusion.diagonal(dim1=1, dim2=2)
    either = confusion.sum(1) + confusion.sum(2)
    scores = torch.where(either == 0, 1.0, both / either)  # (B, num_classes)
    return scores if include_background else scores[:, 1:]


def surface_dice(
    pred: Tensor,
    target: Tensor,
    num_classes: int,
    tolerance: float,
    spacing: float | Sequence[float] = 1.0,
    include_background: bool = False,
) -> Tensor:
    """Share of both boundaries that lies within `tolerance` of the other one, of every image and class.

    Equals `monai.metrics.compute_surface_dice(..., use_subvoxels=False)` with `spacing` given. A boundary
    pixel belongs to the class and has one of its four neighbours outside; beyond the image is outside.

    Args:
        pred, target: integer label maps (B, H, W) with values 0 ... num_classes - 1.
        tolerance: largest distance that counts as correct, in the unit of `spacing` (millimetres); may be 0.
        spacing: pixel size, one number or (row distance, column distance).
        include_background: also score class 0.

    Returns:
        (B, classes) float32 on the tensors' device; NaN where both lack the class, 0 where one does.

    Raises:
        BadInput: shapes or devices disagree, not integers, a label out of range, a bad tolerance or spacing.
    """
    check_labels(pred, num_classes, "pred")
    check_labels(target, num_classes, "target")
    _check_pair(pred, target)
    disk = disk_half_widths(tolerance, spacing, pred.shape[1:])
    strip = Strip(2 * len(pred), pred.shape[1:], num_classes, include_background, disk)
    edge = strip.boundary(strip.pack(pred, target))
    near = strip.dilate(edge)
    edge = strip.without_margin(edge)
    # Flip: each boundary meets the other map's dilated one.
    hit = near.view(2, -1).flip(0).flatten().bitwise_and_(edge)
    words, hit_words = edge.view(torch.int64), hit.view(torch.int64)
    where = words.nonzero().squeeze(1)  # eight pixels at a time; boundaries are sparse
    pixels, hits = (strip.count(w[where], where).view(2, len(pred), -1).sum(0) for w in (words, hit_words))
    return hits / pixels  # 0 / 0 is the NaN of a class that is absent from both


def aggregate(scores: Tensor) -> Tensor:
    """One score per image: the mean over classes, where NaN counts as 1: (B, classes) -> (B,).

    NaN is the surface Dice of a class that both maps lack, and agreeing on absence is right. The rule is
    the same for true and predicted scores, and asks for no ground truth (the published code averages
    predicted scores over the classes that the *ground truth* has).
    """
    return torch.where(scores.isnan(), 1.0, scores).mean(1)


@dataclass(frozen=True)
class Quality:
    """g with all that it needs to be a number: label maps (B, H, W) twice -> (B, classes)."""

    name: str
    num_classes: int
    tolerance: float | None = None
    spacing: float = 1.0
    include_background: bool = False

    def __call__(self, pred: Tensor, target: Tensor) -> Tensor:
        if self.name == "dice":
            return dice(pred, target, self.num_classes, self.include_background)
        return surface_dice(pred, target, self.num_classes, self.tolerance, self.spacing, self.include_background)


def _check_pair(pred: Tensor, target: Tensor) -> None:
    if pred.ndim != 3 or pred.shape != target.shape:
        shapes = f"pred has shape {tuple(pred.shape)} and target {tuple(target.shape)}"
        raise BadInput(f"{shapes}; give two label maps of one shape (B, H, W)")
    if pred.device != target.device:
        raise BadInput(f"pred is on {pred.device} and target on {target.device}; move both to one device")
