"""Slices on another grid: resampled in the plane, cropped or padded, z-scored."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from advconf_lite.support.errors import BadInput

Size = int | tuple[int, int]  # pixels a side of a square, or (rows, columns)


def as_pair(size: Size) -> tuple[int, int]:
    """(rows, columns) of a size."""
    return (size, size) if isinstance(size, int) else tuple(size)


def fit(array: np.ndarray, from_mm: float, to_mm: float | None, size: Size, mode: str) -> torch.Tensor:
    """Slices (n, H, W) as the central (n, rows, columns) of their resampled selves; where they are smaller, an image's own
    darkest pixel is around it, which is -1000 in CT, and 0 is around a mask."""
    fill = array.min(axis=(1, 2)) if mode == "bilinear" and len(array) else 0
    if to_mm is not None:
        array = resample_in_plane(array, from_mm, to_mm, mode)
    return torch.from_numpy(np.ascontiguousarray(centre_crop_or_pad(array, size, fill)))


def z_score(x: torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    # Rounding leaves a constant image of level c with a standard deviation of about 1e-16 c, not 0.
    flat = std <= 1e-9 * mean.abs()
    scored = (x.double() - mean[:, None, None]) / torch.where(flat, 1.0, std)[:, None, None]
    return torch.where(flat[:, None, None], 0.0, scored).float()


def resampled_shape(shape: tuple[int, int], from_mm: float | tuple[float, float], to_mm: float) -> tuple[int, int]:
    """Rows and columns of slices of `shape` after `resample_in_plane`."""
    rows_mm, columns_mm = from_mm if isinstance(from_mm, tuple) else (from_mm, from_mm)
    return max(1, round(shape[0] * rows_mm / to_mm)), max(1, round(shape[1] * columns_mm / to_mm))


def resample_in_plane(
    array: np.ndarray, from_mm: float | tuple[float, float], to_mm: float, mode: str = "bilinear"
) -> np.ndarray:
    """Slices (N, H, W) at another pixel size, over the same field of view; the dtype is kept.

    The new height is H * from_mm / to_mm, rounded to whole pixels. "bilinear" smooths before it shrinks
    (antialias), or noise would be folded in; "nearest" takes the pixel under the new pixel's centre, so masks
    stay on their images. `from_mm` may be (row, column) spacing.
    """
    n, *shape = array.shape
    size = resampled_shape(tuple(shape), from_mm, to_mm)
    if size == tuple(shape):
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


def centre_crop_or_pad(array: np.ndarray, size: Size, fill: float | np.ndarray = 0) -> np.ndarray:
    """The central (N, rows, columns) of slices (N, H, W), with `fill`, one number or N, where they are smaller.

    An odd pixel is cut from, or added to, the end.
    """
    for axis, target in zip((1, 2), as_pair(size)):
        have = array.shape[axis]
        if have > target:
            start = (have - target) // 2
            array = array[(slice(None),) * axis + (slice(start, start + target),)]
        elif have < target:
            before, inside = (target - have) // 2, array
            shape = (*array.shape[:axis], target, *array.shape[axis + 1 :])
            array = np.empty(shape, inside.dtype)
            array[:] = np.reshape(fill, (-1, 1, 1))
            array[(slice(None),) * axis + (slice(before, before + have),)] = inside
    return array
