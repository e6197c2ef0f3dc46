"""Label maps as strips of bytes: the shifts and bitwise operations behind surface Dice and score agreement.

Every pixel is a byte, every class is a bit of it, and all images lie in the strip one after another with gaps of zeros
between them and their rows that no shift gets across. Two maps that are compared share their bytes, half of the bits each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from advconf_lite.support.errors import BadInput
from advconf_lite.support.label_maps import as_spacing
from advconf_lite.support.numbers import real

BYTES = 0x0101010101010101  # a 1 in each of the eight bytes of an int64
NIBBLES = 0x0F0F0F0F0F0F0F0F  # the lower half of each


def disk_half_widths(tolerance: float, spacing: float | Sequence[float], size: Sequence[int]) -> list[int]:
    """The disk of radius `tolerance`: half-widths in pixels of rows 0, 1, 2, ...; negative rows mirror them.

    Distances are rounded to float32 before they are compared with the tolerance, as in MONAI, so that three
    pixels of 1.1 mm are within 3.3 mm although 3 * 1.1 > 3.3 in float64.

    Raises:
        BadInput: `tolerance` is negative or not finite, or `spacing` is not one or two positive numbers.
    """
    pair = as_spacing(spacing)
    given, tolerance = tolerance, real(tolerance)
    if tolerance is None or not (math.isfinite(tolerance) and tolerance >= 0):
        raise BadInput(f"tolerance is {given!r}; give a distance of at least 0 in the unit of the spacing")
    # No two pixels are farther apart than the image is large; one more than the quotient covers its rounding.
    reach = [min(length - 1, int(tolerance / s) + 1) for length, s in zip(size, pair, strict=True)]
    y, x = (torch.arange(n + 1, dtype=torch.float64) * s for n, s in zip(reach, pair, strict=True))
    distance = torch.sqrt(y[:, None] ** 2 + x**2).float()
    widths = (distance <= torch.tensor(tolerance, dtype=torch.float32)).sum(1) - 1
    return [w for w in widths.tolist() if w >= 0]


class Strip:
    """How M label maps lie in one flat strip of bytes, and the bitwise operations on such strips.

    A map takes `height` rows of `pitch` bytes, the gaps of zeros included. Class c is bit c of a byte, or of the half of a
    byte that is the map's lane; with more classes than `bits` a map lies in the strip once per `group` of them. `pack` puts
    a margin of zeros at both ends; `boundary` uses up one row of it and `dilate` the rest, so a result is never longer than
    its input, and two strips are aligned when their middles are.
    """

    def __init__(self, maps: int, size: Sequence[int], num_classes: int, include_background: bool = False,
                 half_widths: Sequence[int] = (0,), lanes: int = 1):  # fmt: skip
        self.maps, (self.rows, self.columns) = maps, size
        self.num_classes, self.first = num_classes, 0 if include_background else 1
        self.half_widths, self.bits = half_widths, 8 // lanes
        self.groups = -(-num_classes // self.bits)
        down, across = len(half_widths) - 1, half_widths[0]
        self.height = self.rows + max(1, down)
        self.pitch = -(-(self.columns + max(1, across)) // 8) * 8  # whole int64 words
        self.margin = (down + 2) * self.pitch
        self.length = maps * self.groups * self.height * self.pitch

    def pack(self, *labels: Tensor) -> Tensor:
        """Label maps (..., H, W), M of them for each lane -> strip with margins; a pixel is the bit of its class."""
        strip = torch.zeros(self.length + 2 * self.margin, dtype=torch.uint8, device=labels[0].device)
        tiles = self.without_margin(strip).view(self.maps, self.groups, self.height, self.pitch)
        group = torch.arange(self.groups, dtype=torch.uint8, device=strip.device).view(-1, 1, 1)
        pixels = 0
        for lane, labelled in enumerate(labels):
            labelled = labelled.flatten(0, -3)[:, None].to(torch.uint8)  # (M, 1, H, W)
            bit = (1 << lane * self.bits) << (labelled & self.bits - 1)
            pixels |= bit if self.groups == 1 else torch.where(labelled // self.bits == group, bit, 0)  # (M, groups, H, W)
        if self.first == 1:
            pixels[:, 0] &= 0b11101110 if len(labels) == 2 else 0b11111110
        tiles[:, :, : self.rows, : self.columns] = pixels
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
        """Pixels of both lanes together, per map and class (M, classes), in int64 words from the indices `where`."""
        skipped = self.first if self.groups == 1 else 0
        bits = torch.arange(skipped, min(self.bits, self.num_classes), device=words.device)[:, None]
        # One class of eight pixels at a time, 0 to 2 per byte; the product has the sum in its highest byte.
        pixels = (words >> bits).bitwise_and_(BYTES | BYTES << 4)  # (bits, words)
        pixels = pixels.add_(pixels >> 4).bitwise_and_(NIBBLES).mul_(BYTES).bitwise_right_shift_(56)
        tile = where // (self.height * self.pitch // 8)
        counts = pixels.new_zeros(len(bits), self.maps * self.groups).index_add_(1, tile, pixels)
        return counts.T.reshape(self.maps, -1)[:, self.first - skipped : self.num_classes - skipped]


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
