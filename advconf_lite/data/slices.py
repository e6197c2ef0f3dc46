"""Slice sets: the one data format. A folder with

    images.npy    float32 (N, H, W), memory-mapped
    masks.npy     uint8 (N, H, W), 0 = background; absent in image-only sets
    slices.csv    one row per slice: dataset, domain, subject, phase, slice, spacing_mm, split
    dataset.json  name, class_names (foreground), source_domain, validation_domains, target_domains,
                  spacing_mm, size, tolerance_mm, version, licence, citation, how_made; "split": "slice"
                  where subjects were not kept apart; sha256 of the other files as they were written

Rows count from 0, in error messages too. Two sites may both have a subject "Case00", so a person
is known by domain and subject together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F

from advconf_lite.data.slice_checks import BLOCK, SPLITS, load_and_check
from advconf_lite.data.slice_writer import SliceSetWriter
from advconf_lite.support.errors import BadInput

FRACTIONS = {"train": 0.60, "val": 0.15, "test": 0.25}


class SliceSet:
    """A slice set on disk, or a selection of its rows; `read_slice_set` makes one. Pixels are read when used.

    Attributes:
        images: (N, H, W) float32; masks: (N, H, W) uint8, or None. Indexed as arrays.
        table: N rows with the columns of slices.csv; info: what dataset.json says.
    """

    def __init__(self, folder: Path, images, masks, table: pd.DataFrame, info: dict, rows: np.ndarray | None = None):
        self.folder, self.info = Path(folder), info
        self._images, self._masks, self._whole_table = images, masks, table
        self._rows = np.arange(len(table)) if rows is None else rows
        self.table = table if rows is None else table.iloc[rows].reset_index(drop=True)
        self.images = images if rows is None else _Rows(images, rows)
        self.masks = masks if rows is None or masks is None else _Rows(masks, rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"SliceSet({self.info['name']}: {len(self)} slices, domains {', '.join(self.domains)})"

    @property
    def class_names(self) -> list[str]:
        """Foreground classes: label k in the masks is class_names[k - 1]."""
        return self.info["class_names"]

    @property
    def num_classes(self) -> int:
        """Number of labels, background included."""
        return len(self.class_names) + 1

    @property
    def spacing_mm(self) -> float:
        return self.info["spacing_mm"]

    @property
    def source_domain(self) -> str | None:
        return self.info["source_domain"]

    @property
    def validation_domains(self) -> list[str]:
        return self.info["validation_domains"]

    @property
    def target_domains(self) -> list[str]:
        return self.info["target_domains"]

    @property
    def domains(self) -> list[str]:
        """Domains of these rows, in their order of appearance."""
        return list(dict.fromkeys(self.table["domain"]))

    def select(self, domain: str | Sequence[str] | None = None, split: str | None = None) -> SliceSet:
        """The rows of a domain (or of several) and of a split, as a view that copies no pixels.

        Raises:
            BadInput: the set has no such domain, or there is no such split. A split without slices gives an
            empty view.
        """
        keep = np.ones(len(self), dtype=bool)
        if domain is not None:
            wanted = [domain] if isinstance(domain, str) else list(domain)
            for name in wanted:
                if name not in self._whole_table["domain"].values:
                    known = ", ".join(dict.fromkeys(self._whole_table["domain"]))
                    raise BadInput(f"{self.folder} has no domain {name!r}; choose from: {known}")
            keep &= self.table["domain"].isin(wanted).to_numpy()
        if split is not None:
            if split not in SPLITS:
                raise BadInput(f"there is no split {split!r}; choose from: {', '.join(SPLITS)}")
            keep &= (self.table["split"] == split).to_numpy()
        return self.take(np.flatnonzero(keep))

    def take(self, rows: Iterable[int]) -> SliceSet:
        """The given rows of this set, in the given order, as a view."""
        rows = np.asarray(list(rows), dtype=np.int64)
        return SliceSet(self.folder, self._images, self._masks, self._whole_table, self.info, self._rows[rows])

    def tensors(
        self, size: int, spacing_mm: float | None = None, normalise: str = "image"
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """What a network is fed with: resampled in-plane, centre-cropped or zero-padded, z-scored.

        Args:
            size: height and width in pixels after cropping or padding.
            spacing_mm: resample to this pixel size; None keeps each slice's own.
            normalise: "image", by the slice's own mean and standard deviation, or "domain", by those of all
                the slices that the set holds of its domain, whatever is selected. "domain" is the published
                choice; it is transductive, for it needs the test domain's images.

        Returns:
            images (N, 1, size, size) float32 and masks (N, size, size) int64, or None for an image-only set.
            A constant image becomes zeros.
        """
        if normalise not in ("image", "domain"):
            raise BadInput(f"there is no normalisation {normalise!r}; choose from: image, domain")
        images = torch.zeros(len(self), 1, size, size)
        masks = None if self._masks is None else torch.zeros(len(self), size, size, dtype=torch.int64)
        statistics = {}
        if normalise == "domain":
            statistics = {name: self._domain_statistics(name, size, spacing_mm) for name in self.domains}
        for rows, from_mm in _blocks(self.table, spacing_mm):
            source = self._rows[rows]
            x = fit(self._images[source], from_mm, spacing_mm, size, "bilinear")  # (n, size, size)
            if normalise == "image":
                std, mean = torch.std_mean(x.double(), dim=(1, 2), correction=0)
            else:
                each = [statistics[name] for name in self.table["domain"].iloc[rows]]
                mean, std = torch.tensor(each, dtype=torch.float64).T
            images[rows, 0] = z_score(x, mean, std)
            if masks is not None:
                y = fit(self._masks[source], from_mm, spacing_mm, size, "nearest")
                masks[rows] = y.long()
        return images, masks

    def _domain_statistics(self, domain: str, size: int, spacing_mm: float | None) -> tuple[float, float]:
        whole = SliceSet(self.folder, self._images, self._masks, self._whole_table, self.info).select(domain)
        count, total, squares = 0, 0.0, 0.0
        for rows, from_mm in _blocks(whole.table, spacing_mm):
            x = fit(self._images[whole._rows[rows]], from_mm, spacing_mm, size, "bilinear").double()
            count, total, squares = count + x.numel(), total + float(x.sum()), squares + float((x * x).sum())
        mean = total / count
        return mean, float(np.sqrt(max(squares / count - mean**2, 0.0)))


class _Rows:
    """Chosen rows of a memory map, read when indexed."""

    def __init__(self, array: np.ndarray, rows: np.ndarray):
        self._array, self._rows = array, rows
        self.shape, self.dtype, self.ndim = (len(rows), *array.shape[1:]), array.dtype, array.ndim

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index):
        first, *rest = index if isinstance(index, tuple) else (index,)
        return self._array[(self._rows[first], *rest)]

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self._array[self._rows], dtype=dtype)


def _blocks(table: pd.DataFrame, to_mm: float | None):
    """(positions, their spacing) of at most BLOCK rows, all of one spacing when there is resampling to do."""
    spacings = table["spacing_mm"].to_numpy() if to_mm is not None else np.ones(len(table))
    for from_mm in np.unique(spacings):
        rows = np.flatnonzero(spacings == from_mm)
        for start in range(0, len(rows), BLOCK):
            yield rows[start : start + BLOCK], float(from_mm)


def fit(array: np.ndarray, from_mm: float, to_mm: float | None, size: int, mode: str) -> torch.Tensor:
    if to_mm is not None:
        array = resample_in_plane(array, from_mm, to_mm, mode)
    return torch.from_numpy(np.ascontiguousarray(centre_crop_or_pad(array, size)))


def z_score(x: torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    # Rounding leaves a constant image of level c with a standard deviation of about 1e-16 c, not 0.
    flat = std <= 1e-9 * mean.abs()
    scored = (x.double() - mean[:, None, None]) / torch.where(flat, 1.0, std)[:, None, None]
    return torch.where(flat[:, None, None], 0.0, scored).float()


def resample_in_plane(
    array: np.ndarray, from_mm: float | tuple[float, float], to_mm: float, mode: str = "bilinear"
) -> np.ndarray:
    """Slices (N, H, W) at another pixel size, over the same field of view; the dtype is kept.

    The new height is H * from_mm / to_mm, rounded to whole pixels. "bilinear" smooths before it shrinks
    (antialias), or noise would be folded in; "nearest" takes the pixel under the new pixel's centre, so masks
    stay on their images. `from_mm` may be (row, column) spacing.
    """
    rows_mm, columns_mm = from_mm if isinstance(from_mm, tuple) else (from_mm, from_mm)
    n, height, width = array.shape
    size = max(1, round(height * rows_mm / to_mm)), max(1, round(width * columns_mm / to_mm))
    if size == (height, width):
        return array
    x = torch.from_numpy(np.array(array, dtype=np.float32))[:, None]  # (N, 1, H, W)
    if n == 0:
        return np.zeros((0, *size), dtype=array.dtype)
    if mode == "bilinear":
        x = F.interpolate(x, size=size, mode="bilinear", antialias=True, align_corners=False)
    elif mode == "nearest":
        x = F.interpolate(x, size=size, mode="nearest-exact")
    else:
        raise BadInput(f"there is no resampling mode {mode!r}; choose from: bilinear, nearest")
    return x[:, 0].numpy().astype(array.dtype)


def centre_crop_or_pad(array: np.ndarray, size: int | tuple[int, int], fill: float = 0) -> np.ndarray:
    """The central (N, size, size) of slices (N, H, W), with `fill` where they are smaller.

    An odd pixel is cut from, or added to, the end.
    """
    wanted = (size, size) if isinstance(size, int) else tuple(size)
    for axis, target in zip((1, 2), wanted):
        have = array.shape[axis]
        if have > target:
            start = (have - target) // 2
            array = array[(slice(None),) * axis + (slice(start, start + target),)]
        elif have < target:
            before = (target - have) // 2
            pad = [(0, 0)] * 3
            pad[axis] = (before, target - have - before)
            array = np.pad(array, pad, constant_values=fill)
    return array


def split_by_subject(subjects: Iterable[str], fractions: dict[str, float] | None = None, seed: int = 0) -> dict[str, str]:
    """Subject -> split, no subject in two; the same whatever the order of `subjects`.

    Each split gets its share rounded by largest remainder, and at least one subject.

    Raises:
        BadInput: fewer subjects than splits.
    """
    unique = sorted({str(subject) for subject in subjects})
    return dict(zip(_shuffled(unique, seed), _shares(len(unique), fractions or FRACTIONS, "subjects")))


def split_by_fold(subjects: Iterable[str], fold: int, folds: int, seed: int = 0) -> dict[str, str]:
    """Subject -> split, the test subjects being those of one of `folds` disjoint folds, whose sizes differ by at most one.

    Over all folds (1, 2, ... `folds`) each subject is tested once. Of the rest about a fifth is for validation, those
    who are tested next. The same whatever the order of `subjects`.

    Raises:
        BadInput: there is no such fold, or too few subjects for one in each split.
    """
    order = _shuffled(sorted({str(subject) for subject in subjects}), seed)
    if not 1 <= fold <= folds:
        raise BadInput(f"there is no fold {fold} of {folds}; folds count from 1")
    start, end = (len(order) * number // folds for number in (fold - 1, fold))
    rest = order[end:] + order[:start]
    if folds > len(order) or len(rest) < 2:
        raise BadInput(f"{len(order)} subjects cannot be cut into {folds} folds with subjects left to train and validate on")
    val = max(1, round(len(rest) / 5))
    names = ["test"] * (end - start) + ["val"] * val + ["train"] * (len(rest) - val)
    return dict(zip(order[start:end] + rest, names))


def split_by_slice(number: int, fractions: dict[str, float] | None = None, seed: int = 0) -> list[str]:
    """A split for each of `number` slices, without regard to subjects, as in the published code.

    Neighbouring slices of one patient land in train and test. It exists to show what leaks.
    """
    order = dict(zip(_shuffled(range(number), seed), _shares(number, fractions or FRACTIONS, "slices")))
    return [order[row] for row in range(number)]


def _shuffled(keys: Iterable, seed: int) -> list:
    # By hash and not by a generator: the same split with every version of numpy.
    return sorted(keys, key=lambda key: hashlib.sha256(f"{seed}/{key}".encode()).digest())


def _shares(number: int, fractions: dict[str, float], what: str) -> list[str]:
    if number < len(fractions):
        raise BadInput(f"{number} {what} cannot be split into {', '.join(fractions)}; give at least {len(fractions)}")
    exact = {name: number * part / sum(fractions.values()) for name, part in fractions.items()}
    counts = {name: max(1, int(share)) for name, share in exact.items()}
    while sum(counts.values()) != number:
        gap = {name: exact[name] - counts[name] for name in counts}
        if sum(counts.values()) < number:
            counts[max(gap, key=gap.get)] += 1
        else:
            counts[min((name for name in gap if counts[name] > 1), key=gap.get)] -= 1
    return [name for name, count in counts.items() for _ in range(count)]


def read_slice_set(folder: str | Path) -> SliceSet:
    """Open a slice set and check all of it; the pixels stay on disk.

    Raises:
        BadInput: a file is missing or unreadable, shapes disagree, a mask holds an unknown label, an image
            holds NaN or infinity, rows are duplicated, or a subject is in two splits; the sentence names
            file, row and value. A set that says "split": "slice" only warns about shared subjects.
    """
    return SliceSet(Path(folder), *load_and_check(Path(folder)))


def write_slice_set(
    folder: str | Path, images: np.ndarray, masks: np.ndarray | None, table: pd.DataFrame, info: dict
) -> SliceSet:
    """Write a slice set, whole or not at all; one that is there is replaced when the new one is whole.

    Args:
        images, masks: (N, H, W); masks None makes an image-only set.
        table: N rows with the columns of slices.csv; for image-only sets `split` is "test".
        info: at least name, class_names and source_domain (None for image-only sets). size, spacing_mm,
            validation_domains (none) and target_domains (the remaining) are filled in from the table.

    Raises:
        BadInput: what `read_slice_set` would refuse, a full disk, or a folder that holds something else.
    """
    if len(images) != len(table) or (masks is not None and np.shape(masks) != np.shape(images)):
        raise BadInput(
            f"cannot write {folder}: images {np.shape(images)}, masks "
            f"{None if masks is None else np.shape(masks)} and {len(table)} table rows do not belong "
            "together; give one mask and one row per image"
        )
    with SliceSetWriter(folder, info) as writer:
        for start in range(0, len(table), BLOCK):
            part = slice(start, start + BLOCK)
            writer.add(images[part], None if masks is None else masks[part], table.iloc[part])
    return read_slice_set(folder)
