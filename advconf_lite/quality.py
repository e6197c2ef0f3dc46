"""The quality measure g of the paper: Dice and surface Dice of label maps, a whole batch at once.

Surface Dice usually means a distance transform per image and class. It needs none: a boundary pixel lies within
tolerance t of the other boundary exactly when it lies in that boundary *dilated by a disk of radius t*. So everything here
is shifts and bitwise operations of bytes: `strips`.

Classes absent from both maps: Dice 1, surface Dice NaN. Absent from one: 0. As a true score NaN counts as 1:
`absent_as_right`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from advconf_lite.strips import NIBBLES, Strip, disk_half_widths
from advconf_lite.support.contours import outline_dices
from advconf_lite.support.errors import BadInput
from advconf_lite.support.label_maps import MAX_CLASSES, as_spacing, label_pair
from advconf_lite.support.numbers import whole

IN_CACHE = 2**20  # pixels that a CPU takes at a time, few enough that each step finds in the cache what the last one left


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
    pred, target = label_pair(pred, target, num_classes)
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
    pred: Tensor, target: Tensor, num_classes: int, tolerance: float, spacing: float | Sequence[float] = 1.0,
    include_background: bool = False, subvoxel: bool = False,
) -> Tensor:  # fmt: skip
    """Share of both boundaries that lies within `tolerance` of the other one, of every image and class.

    Equals `monai.metrics.compute_surface_dice(..., use_subvoxels=False)` with `spacing` given. A boundary
    pixel belongs to the class and has one of its four neighbours outside; beyond the image is outside.

    Args:
        pred, target: integer label maps (B, H, W) with values 0 ... num_classes - 1.
        tolerance: largest distance that counts as correct, in the unit of `spacing` (millimetres); may be 0.
        spacing: pixel size, one number or (row distance, column distance).
        include_background: also score class 0.
        subvoxel: of outlines between the pixels, by their length, as DeepMind's surface-distance and MONAI with
            `use_subvoxels=True` (`support.contours`); one image after another, on the CPU.

    Returns:
        (B, classes) float32 on the tensors' device; NaN where both lack the class, 0 where one does.

    Raises:
        BadInput: shapes or devices disagree, not integers, a label out of range, a bad tolerance or spacing.
    """
    pred, target = label_pair(pred, target, num_classes)
    if subvoxel:
        disk_half_widths(tolerance, spacing, (1, 1))  # refuses what is no distance
        labels = range(0 if include_background else 1, num_classes)
        return outline_dices(pred, target, labels, float(tolerance), as_spacing(spacing))
    disk = disk_half_widths(tolerance, spacing, pred.shape[1:])
    few = max(1, IN_CACHE // pred[0].numel()) if pred.device.type == "cpu" else len(pred)
    scores = []
    for pair in zip(pred.split(few), target.split(few), strict=True):
        strip, edge, near = _edges(pair, num_classes, include_background, disk)
        edge, near = edge.view(torch.int64), near.clone().view(torch.int64)  # a copy, which starts with a whole word
        where = edge.nonzero().squeeze(1)  # eight pixels at a time; boundaries are sparse
        edge, near = edge.index_select(0, where), near.index_select(0, where)
        hit = ((near >> 4 & NIBBLES) | (near & NIBBLES) << 4) & edge  # each in the other map's, in the byte's other half
        scores.append(strip.count(hit, where) / strip.count(edge, where))  # 0 / 0 is the NaN of a class absent from both
    return torch.cat(scores)


def absent_as_right(true_scores: Tensor) -> Tensor:
    """*True* scores with 1 for NaN, the surface Dice of a class that both maps lack: agreeing on absence is right.

    Never for predicted scores: there NaN is a network that has no answer, and 1 would make the worst image the best.
    """
    return torch.where(true_scores.isnan(), 1.0, true_scores)


def aggregate(scores: Tensor) -> Tensor:
    """One score per image, the mean over classes: (B, classes) -> (B,); NaN where any of them is NaN or infinite.

    Of true scores take `aggregate(absent_as_right(scores))`. The rule is the same for true and predicted scores, and asks
    for no ground truth (the published code averages predicted scores over the classes that the *ground truth* has).

    Raises:
        BadInput: not one row of scores per image.
    """
    try:
        scores = torch.as_tensor(scores)
    except (TypeError, ValueError, RuntimeError) as error:
        raise BadInput(f"scores are no table of numbers ({error}); give one row per image, as (B, classes)") from error
    if scores.ndim != 2 or scores.shape[1] == 0 or scores.is_complex():
        raise BadInput(f"scores have shape {tuple(scores.shape)}; give one row per image, as (B, classes)")
    mean = (scores if scores.is_floating_point() else scores.float()).mean(1)
    return mean.where(mean.isfinite(), torch.nan)


@dataclass(frozen=True)
class Measure:
    """All that there is to know of a quality, but for the numbers of one experiment, which are a `Quality`.

    Attributes:
        name: as users type it and predictions.csv has it.
        title: as figures show it.
        score: (pred, target, g) -> (B, classes), in [0, 1], high for alike; classes without the background unless
            g.include_background. Where both maps lack a class it is NaN, or the value that this should have.
        bits: (masks (n, B, H, W), g) -> the strip and two aligned sequences of its bits, own and other, if the quality
            of two maps i and j is (c_ij + c_ji) / (c_ii + c_jj), c_ij being the bits of own i that are in other j.
            All pairs of samples are then one matrix product. Without it `score_agreement` takes one pair after another.
        needs_tolerance: it has no value without a tolerance.
        published_empty: "one" or "zero", what the published code counts for two samples that lack the class.
    """

    name: str
    title: str
    score: Callable[[Tensor, Tensor, Quality], Tensor]
    bits: Callable[[Tensor, Quality], tuple[Strip, Tensor, Tensor]] | None = None
    needs_tolerance: bool = False
    published_empty: str = "one"


@dataclass(frozen=True)
class Quality:
    """g with all that it needs to be a number: label maps (B, H, W) twice -> (B, classes).

    Args:
        name: one of `QUALITIES`.
        num_classes: the background included.
        tolerance, spacing: as in `surface_dice`; the others do not read them.
        include_background: also score class 0.

    Raises:
        BadInput: an unknown name, or a number that cannot be one of these; no tolerance where the quality needs one.
    """

    name: str
    num_classes: int
    tolerance: float | None = None
    spacing: float | tuple[float, float] = 1.0
    include_background: bool = False

    def __post_init__(self) -> None:
        if find_measure(self.name).needs_tolerance and self.tolerance is None:
            raise BadInput(f"tolerance is None; {self.name} needs a distance of at least 0 in the unit of the spacing")
        disk_half_widths(0 if self.tolerance is None else self.tolerance, self.spacing, (1, 1))  # refuses no distances
        # Plain numbers, whatever library's they were, for a Quality is a key.
        plain = {"num_classes": whole(self.num_classes, "num_classes", 2, MAX_CLASSES, ", the background included")}
        plain |= {} if self.tolerance is None else {"tolerance": float(self.tolerance)}
        plain |= {"spacing": as_spacing(self.spacing)} if hasattr(self.spacing, "__len__") else {}
        for name, value in plain.items():
            object.__setattr__(self, name, value)
        if not isinstance(self.include_background, bool):
            raise BadInput(f"include_background is {self.include_background!r}; give True or False")

    @property
    def measure(self) -> Measure:
        return QUALITIES[self.name]

    def __call__(self, pred: Tensor, target: Tensor) -> Tensor:
        return self.measure.score(pred, target, self)


def find_measure(name: str) -> Measure:
    """The record of a quality; BadInput if there is none of that name."""
    if not isinstance(name, str) or name not in QUALITIES:
        raise BadInput(f"quality is {name!r}; choose from {', '.join(QUALITIES)}", argument="quality")
    return QUALITIES[name]


def _dice_score(pred: Tensor, target: Tensor, g: Quality) -> Tensor:
    return dice(pred, target, g.num_classes, g.include_background)


def _dice_bits(masks: Tensor, g: Quality) -> tuple[Strip, Tensor, Tensor]:
    strip = Strip(len(masks) * masks.shape[1], masks.shape[2:], g.num_classes, g.include_background)
    pixels = strip.without_margin(strip.pack(masks))
    return strip, pixels, pixels


def _surface_score(pred: Tensor, target: Tensor, g: Quality) -> Tensor:
    return surface_dice(pred, target, g.num_classes, g.tolerance, g.spacing, g.include_background)


def _surface_bits(masks: Tensor, g: Quality) -> tuple[Strip, Tensor, Tensor]:
    return _edges((masks,), g.num_classes, g.include_background, disk_half_widths(g.tolerance, g.spacing, masks.shape[2:]))


def _edges(labels: Sequence[Tensor], num_classes: int, background: bool, disk: list[int]) -> tuple[Strip, Tensor, Tensor]:
    """Label maps (..., H, W) -> their strip, the boundaries in it, and the boundaries dilated by the disk."""
    size = labels[0].shape[-2:]
    strip = Strip(labels[0].numel() // size.numel(), size, num_classes, background, disk, len(labels))
    edge = strip.boundary(strip.pack(*labels))
    return strip, strip.without_margin(edge), strip.dilate(edge)


# A quality is one record here: every list of qualities, every title and the agreement of samples come from it.
QUALITIES = {
    measure.name: measure
    for measure in (
        Measure("dice", "Dice", _dice_score, _dice_bits),
        Measure("surface_dice", "surface Dice", _surface_score, _surface_bits, needs_tolerance=True, published_empty="zero"),
    )
}
