"""Slice sets: the one data format. A folder with

    images.npy    float32 (N, H, W), memory-mapped
    masks.npy     uint8 (N, H, W), 0 = background; absent in image-only sets
    slices.csv    one row per slice: dataset, domain, subject, phase, slice, spacing_mm, split
    dataset.json  name, class_names (foreground), source_domain, validation_domains, target_domains,
                  version, licence, citation, how_made; organ, where one is known that has scanners of its own;
                  "split": "slice" where subjects were not kept apart; sha256 of the other files as they were written;
                  the grid to work on: size (pixels a side, or [rows, columns]), spacing_mm, and tolerance_mm of the
                  surface Dice. Without them `grid.find_grid` has a rule, and the tolerance is 3 pixels.

Rows count from 0, in error messages too. Two sites may both have a subject "Case00", so a person
is known by domain and subject together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from advconf_lite.data.cropping import labels_lost
from advconf_lite.data.grid import TOLERANCE_PIXELS, Grid, check_scale, find_grid
from advconf_lite.data.on_disk import OnDisk, forget
from advconf_lite.data.resampling import Size, as_pair, fit, z_score
from advconf_lite.data.slice_checks import BLOCK, SPLITS, blocks, load_and_check
from advconf_lite.data.slice_info import complete
from advconf_lite.data.slice_input import as_pixels, as_rows
from advconf_lite.data.slice_writer import SliceSetWriter
from advconf_lite.data.usual import LARGEST_SIDE
from advconf_lite.support.errors import BadInput
from advconf_lite.support.numbers import whole, within


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
        self._spacings = table["spacing_mm"].to_numpy()
        self._statistics: dict[tuple, tuple[float, float]] = {}  # of whole domains, which views share
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
    def grid(self) -> Grid:
        """The grid that the whole set is worked on, whatever is selected."""
        return find_grid(self.info, self._whole_table, self._images.shape, str(self.folder))

    @property
    def spacing_mm(self) -> float:
        """Width of the grid's pixels; those of a stored image are in the table."""
        return self.grid.spacing_mm

    @property
    def tolerance_mm(self) -> float:
        """Tolerance of the surface Dice; 3 pixels of the grid where dataset.json says none."""
        return float(self.info.get("tolerance_mm", TOLERANCE_PIXELS * self.spacing_mm))

    @property
    def organ(self) -> str | None:
        """What dataset.json says. Nothing else tells an organ."""
        return self.info.get("organ")

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
        if rows.size and not (-len(self) <= rows.min() and rows.max() < len(self)):
            raise BadInput(f"row {rows.max() if rows.max() >= len(self) else rows.min()} of {len(self)} slices is none")
        view = SliceSet(self.folder, self._images, self._masks, self._whole_table, self.info, self._rows[rows])
        view._statistics = self._statistics
        return view

    def tensors(
        self, size: Size, spacing_mm: float | None = None, normalise: str = "image"
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """What a network is fed with: resampled in-plane, centre-cropped or padded, z-scored.

        Args:
            size: pixels a side after cropping or padding, or (rows, columns).
            spacing_mm: resample to this pixel size; None keeps each slice's own.
            normalise: "image", by the slice's own mean and standard deviation, or "domain", by those of all
                the slices that the set holds of its domain, whatever is selected. "domain" is the published
                choice; it is transductive, for it needs the test domain's images.

        Returns:
            images (N, 1, rows, columns) float32 and masks (N, rows, columns) int64, or None for an image-only set.
            A constant image becomes zeros.

        Raises:
            BadInput: a size, spacing or normalisation that is none, or a spacing at which next to nothing of the images is
                left.
        """
        self._check(size, spacing_mm, normalise)
        masks = None if self._masks is None else self._read_masks(self._rows, size, spacing_mm)
        return self._read_images(self._rows, size, spacing_mm, normalise), masks

    def on_disk(self, size: Size, spacing_mm: float | None = None, normalise: str = "image") -> tuple[OnDisk, OnDisk | None]:
        """`tensors` that are made when rows of them are asked for: for sets that do not fit into memory."""
        self._check(size, spacing_mm, normalise)

        def images(rows: np.ndarray) -> torch.Tensor:
            return self._read_images(rows, size, spacing_mm, normalise)

        def masks(rows: np.ndarray) -> torch.Tensor:
            return self._read_masks(rows, size, spacing_mm)

        reads = [images] if self._masks is None else [images, masks]
        found = [OnDisk(read, self._rows, read(self._rows[:1])) for read in reads]
        return found[0], found[1] if len(found) > 1 else None

    def _check(self, size: Size, spacing_mm: float | None, normalise: str) -> None:
        if normalise not in ("image", "domain"):
            raise BadInput(f"there is no normalisation {normalise!r}; choose from: image, domain")
        _check_size(size)
        if spacing_mm is not None:
            within(spacing_mm, "spacing_mm", 0, above=True)
            check_scale(self.images.shape[1:], self.table["spacing_mm"].unique(), spacing_mm, str(self.folder))

    def _read_images(self, stored: np.ndarray, size: Size, spacing_mm: float | None, normalise: str) -> torch.Tensor:
        """(n, 1, rows, columns) of stored rows (n,), each as it is whatever is read with it."""
        images = torch.zeros(len(stored), 1, *as_pair(size))
        for rows, from_mm in blocks(self._spacings[stored], spacing_mm):
            source = stored[rows]
            x = fit(self._images[source], from_mm, spacing_mm, size, "bilinear")  # (n, rows, columns)
            if normalise == "image":
                # Never one image alone, whose sum several threads would share, and round otherwise.
                std, mean = torch.std_mean(x.double().expand(max(2, len(x)), -1, -1), dim=(1, 2), correction=0)
                std, mean = std[: len(x)], mean[: len(x)]
            else:
                each = [self._domain_statistics(name, size, spacing_mm) for name in self._whole_table["domain"].iloc[source]]
                mean, std = torch.tensor(each, dtype=torch.float64).T
            images[rows, 0] = z_score(x, mean, std)
        forget(self._images)
        return images

    def _read_masks(self, stored: np.ndarray, size: Size, spacing_mm: float | None) -> torch.Tensor:
        masks = torch.zeros(len(stored), *as_pair(size), dtype=torch.int64)
        for rows, from_mm in blocks(self._spacings[stored], spacing_mm):
            masks[rows] = fit(self._masks[stored[rows]], from_mm, spacing_mm, size, "nearest").long()
        forget(self._masks)
        return masks

    def _domain_statistics(self, domain: str, size: Size, spacing_mm: float | None) -> tuple[float, float]:
        key = domain, as_pair(size), spacing_mm
        if key not in self._statistics:
            stored = np.flatnonzero((self._whole_table["domain"] == domain).to_numpy())
            count, total, squares = 0, 0.0, 0.0
            for rows, from_mm in blocks(self._spacings[stored], spacing_mm):
                x = fit(self._images[stored[rows]], from_mm, spacing_mm, size, "bilinear").double()
                count, total, squares = count + x.numel(), total + float(x.sum()), squares + float((x * x).sum())
            mean = total / count
            self._statistics[key] = mean, float(np.sqrt(max(squares / count - mean**2, 0.0)))
        return self._statistics[key]


def _check_size(size: Size) -> None:
    sides = size if isinstance(size, list | tuple) else (size, size)
    if len(sides) != 2:
        raise BadInput(f"size is {size!r}; give pixels a side, or (rows, columns)")
    for side in sides:
        whole(side, "size", 1, LARGEST_SIDE)


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


def read_slice_set(folder: str | Path) -> SliceSet:
    """Open a slice set and check all of it; the pixels stay on disk.

    Raises:
        BadInput: a file is missing or unreadable, shapes disagree, a mask holds an unknown label, an image
            holds NaN or infinity, rows are duplicated, or a subject is in two splits; the sentence names
            file, row and value. A set that says "split": "slice" only warns about shared subjects.
    """
    slices = SliceSet(Path(folder), *load_and_check(Path(folder)))
    slices.grid  # noqa: B018 - which refuses lengths that contradict each other
    return slices


def write_slice_set(
    folder: str | Path, images: np.ndarray, masks: np.ndarray | None, table: pd.DataFrame, info: dict
) -> SliceSet:
    """Write a slice set, whole or not at all; one that is there is replaced when the new one is whole.

    Args:
        images, masks: (N, H, W); masks None makes an image-only set.
        table: N rows with the columns of slices.csv; for image-only sets `split` is "test".
        info: at least name, class_names and source_domain (None for image-only sets). validation_domains (none) and
            target_domains (the remaining) are filled in from the table. size, spacing_mm and tolerance_mm are the grid
            to work on, which need not be that of the stored pixels; best said, for a rule decides what is not.

    Raises:
        BadInput: what `read_slice_set` would refuse, a full disk, or a folder that holds something else.
    """
    folder = Path(folder)
    images, table = as_pixels(images, "images", folder), as_rows(table, folder)
    masks = None if masks is None else as_pixels(masks, "masks", folder)
    if len(images) != len(table) or (masks is not None and masks.shape != images.shape):
        raise BadInput(
            f"cannot write {folder}: images {images.shape}, masks {None if masks is None else masks.shape} and {len(table)} "
            "table rows do not belong together; give one mask and one row per image"
        )
    _refuse_its_grid(SliceSet(folder, images, masks, table, complete(info, table, folder / "dataset.json")))
    with SliceSetWriter(folder, info) as writer:
        for start in range(0, len(table), BLOCK):
            part = slice(start, start + BLOCK)
            writer.add(images[part], None if masks is None else masks[part], table.iloc[part])
    return read_slice_set(folder)


def _refuse_its_grid(slices: SliceSet) -> None:
    """BadInput where the set's own grid would lose its labels: now, and not by the first run on it."""
    millimetres = pd.to_numeric(slices.table["spacing_mm"], errors="coerce")
    if len(slices) and (millimetres > 0).all() and np.isfinite(millimetres).all():  # others are refused by the reader
        slices.table["spacing_mm"] = millimetres.astype(float)
        labels_lost(slices, slices.grid)
