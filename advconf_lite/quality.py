"""The quality measure g of the paper: Dice and surface Dice of label maps, a whole batch at once.

Surface Dice usually means a distance transform per image and class. It needs none: a boundary pixel lies
within tolerance t of the other boundary exactly when it lies in that boundary *dilated by a disk of radius
t*. So everything here is shifts and bitwise operations of one strip of bytes. Every pixel is a byte, every
class is a bit of it, and all images lie in the strip one after another with gaps of zeros between rows and
between images, wide enough that no shift reaches the next one.

Classes absent from both maps: Dice 1, surface Dice NaN. Absent from one: 0. `aggregate` counts NaN as 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from advconf_lite.support.errors import BadInput

MAX_CLASSES = 256  # label maps are stored as uint8
BYTES = 0x0101010101010101  # a 1 in each of the eight bytes of an int64


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


def disk_half_widths(tolerance: float, spacing: float | Sequence[float], size: Sequence[int]) -> list[int]:
    """The disk of radius `tolerance`: half-widths in pixels of rows 0, 1, 2, ...; negative rows mirror them.

    Distances are rounded to float32 before they are compared with the tolerance, as in MONAI, so that three
    pixels of 1.1 mm are within 3.3 mm although 3 * 1.1 > 3.3 in float64.

    Raises:
        BadInput: `tolerance` is negative or not finite, or `spacing` is not one or two positive numbers.
    """
    pair = [float(s) for s in (spacing if hasattr(spacing, "__len__") else (spacing, spacing))]
    if len(pair) != 2 or not all(math.isfinite(s) and s > 0 for s in pair):
        raise BadInput(f"spacing is {spacing}; give one positive number, or two (rows, columns)")
    if tolerance is None or not (math.isfinite(tolerance) and tolerance >= 0):
        raise BadInput(f"tolerance is {tolerance}; give a distance of at least 0 in the unit of the spacing")
    # No two pixels are farther apart than the image is large; one more than the quotient covers its rounding.
    reach = [min(length - 1, int(tolerance / s) + 1) for length, s in zip(size, pair, strict=True)]
    y, x = (torch.arange(n + 1, dtype=torch.float64) * s for n, s in zip(reach, pair, strict=True))
    distance = torch.sqrt(y[:, None] ** 2 + x**2).float()
    widths = (distance <= torch.tensor(tolerance, dtype=torch.float32)).sum(1) - 1
    return [w for w in widths.tolist() if w >= 0]


def check_labels(labels: Tensor, num_classes: int, name: str) -> None:
    """Raise BadInput unless `labels` is a batch of maps (..., H, W) of integers 0 ... num_classes - 1."""
    if not 2 <= num_classes <= MAX_CLASSES:
        raise BadInput(f"num_classes is {num_classes}; give 2 to {MAX_CLASSES}, the background included")
    if labels.is_floating_point() or labels.is_complex():
        raise BadInput(f"{name} has dtype {labels.dtype}; give integer labels, for example logits.argmax(1)")
    if labels.ndim < 3 or labels.numel() == 0:
        raise BadInput(f"{name} has shape {tuple(labels.shape)}; give at least one label map, as (B, H, W)")
    low, high = (int(v) for v in labels.aminmax())
    if low < 0 or high >= num_classes:
        wrong = low if low < 0 else high
        allowed = f"with num_classes={num_classes} give 0 to {num_classes - 1}"
        raise BadInput(f"{name} holds the label {wrong}; {allowed}")


def _check_pair(pred: Tensor, target: Tensor) -> None:
    if pred.ndim != 3 or pred.shape != target.shape:
        shapes = f"pred has shape {tuple(pred.shape)} and target {tuple(target.shape)}"
        raise BadInput(f"{shapes}; give two label maps of one shape (B, H, W)")
    if pred.device != target.device:
        raise BadInput(f"pred is on {pred.device} and target on {target.device}; move both to one device")


class Strip:
    """How M label maps lie in one flat strip of bytes, and the bitwise operations on such strips.

    A map takes `height` rows of `pitch` bytes, the gaps of zeros included. Class c is bit c of a byte; with
    more than eight classes a map lies in the strip several times, once per `group` of eight. `pack` puts a
    margin of zeros at both ends; `boundary` uses up one row of it and `dilate` the rest, so a result is
    never longer than its input, and two strips are aligned when their middles are.
    """

    def __init__(
        self,
        maps: int,
        size: Sequence[int],
        num_classes: int,
        include_background: bool = False,
        half_widths: Sequence[int] = (0,),
    ):
        self.maps, (self.rows, self.columns) = maps, size
        self.num_classes, self.first = num_classes, 0 if include_background else 1
        self.groups = -(-num_classes // 8)
        self.half_widths = half_widths
        down, across = len(half_widths) - 1, half_widths[0]
        self.height = self.rows + max(1, down)
        self.pitch = -(-(self.columns + max(1, across)) // 8) * 8  # whole int64 words
        self.margin = (down + 2) * self.pitch
        self.length = maps * self.groups * self.height * self.pitch

    def pack(self, *labels: Tensor) -> Tensor:
        """Label maps (..., H, W), M in all -> strip with margins; a pixel is the bit of its class."""
        strip = torch.zeros(self.length + 2 * self.margin, dtype=torch.uint8, device=labels[0].device)
        tiles = self.without_margin(strip).view(self.maps, self.groups, self.height, self.pitch)
        pixels = tiles[:, :, : self.rows, : self.columns]  # (M, groups, H, W)
        maps = [m.flatten(0, -3)[:, None] for m in labels]
        for part, labelled in zip(pixels.split([len(m) for m in maps]), maps, strict=True):
            part.copy_(labelled)
        if self.groups == 1:
            torch.bitwise_left_shift(pixels.new_ones(()), pixels, out=pixels)
        else:
            group = torch.arange(self.groups, device=pixels.device).view(-1, 1, 1)
            pixels.copy_(torch.where(pixels >> 3 == group, 1 << (pixels & 7), 0))
        if self.first == 1:
            pixels[:, 0] &= 0b11111110
        return strip

    def without_margin(self, strip: Tensor) -> Tensor:
        return _middle(strip, self.length)

    def boundary(self, strip: Tensor) -> Tensor:
        """Pixels of a class with one of their four neighbours outside it; beyond the image is outside."""
        p = self.pitch
        surrounded = strip[: -2 * p] & strip[2 * p :]
        surrounded &= strip[p - 1 : -p - 1]
        surrounded &= strip[p + 1 : 1 - p]
        return surrounded.bitwise_not_().bitwise_and_(_middle(strip, surrounded.numel()))

    def dilate(self, strip: Tensor) -> Tensor:
        """Every class grown by the disk, from its outermost row inwards: the strip without margins.

        What is there grows by one row up and down, then the next row's wider run is added: the run of row k
        is carried k rows up and down by the k steps that follow.
        """
        run, near, reached = strip, None, 0
        for half_width in reversed(self.half_widths):
            run, reached = _spread(run, 1, reached, half_width), half_width
            if near is None:
                near = run
            else:
                near = _spread(near, self.pitch, 0, 1)
                near |= _middle(run, near.numel())
        return self.without_margin(near)

    def count(self, words: Tensor, where: Tensor) -> Tensor:
        """Pixels per map and class (M, classes) in int64 words that lie at indices `where` of the strip."""
        bits = torch.arange(min(8, self.num_classes), device=words.device)[:, None]
        # One class of eight pixels at a time, a 0 or 1 per byte; the product has the sum in its highest byte.
        pixels = (words >> bits).bitwise_and_(BYTES).mul_(BYTES).bitwise_right_shift_(56)  # (bits, words)
        tile = where // (self.height * self.pitch // 8)
        counts = pixels.new_zeros(len(bits), self.maps * self.groups).index_add_(1, tile, pixels)
        return counts.T.reshape(self.maps, -1)[:, self.first : self.num_classes]


def _spread(strip: Tensor, step: int, have: int, want: int) -> Tensor:
    """OR of everything up to `want` steps away on both sides; `strip` already is that for `have` steps."""
    while have < want:
        more = min(2 * have + 1, want - have)  # three windows of radius `have`, side by side at most
        wider = strip[: -2 * more * step] | strip[2 * more * step :]
        wider |= _middle(strip, wider.numel())
        strip, have = wider, have + more
    return strip


def _middle(strip: Tensor, length: int) -> Tensor:
    start = (strip.numel() - length) // 2
    return strip[start : start + length]
