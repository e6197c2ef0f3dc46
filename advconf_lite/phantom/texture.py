"""Random smooth fields in millimetres: the same structure whatever the pixel size."""

from __future__ import annotations

import numpy as np

EXTENT_MM = 170.0  # half width of the region that the fields cover


def _cubic_weights(positions: np.ndarray, count: int) -> np.ndarray:
    """Weights (positions, count) of a uniform cubic B-spline at fractional lattice `positions`."""
    base = np.clip(np.floor(positions).astype(int), 1, count - 3)
    u = positions - base
    weights = np.zeros((len(positions), count))
    rows = np.arange(len(positions))
    parts = ((1 - u) ** 3, 3 * u**3 - 6 * u**2 + 4, -3 * u**3 + 3 * u**2 + 3 * u + 1, u**3)
    for offset, part in zip((-1, 0, 1, 2), parts):
        weights[rows, base + offset] = part / 6
    return weights


class SmoothField:
    """Zero mean, unit variance, correlated over about `scale_mm` in the plane and `depth_mm` across slices.

    Random numbers sit on a lattice in millimetres and are interpolated by cubic B-splines, which is two small
    matrix products per slice, so that a subject looks the same at 96 and at 384 pixels.
    """

    def __init__(self, rng: np.random.Generator, scale_mm: float, depth_mm: float = 12.0, range_mm: float = 130.0):
        self.scale_mm, self.depth_mm, self._known = scale_mm, depth_mm, {}
        self.count = int(np.ceil(2 * EXTENT_MM / scale_mm)) + 4
        self.planes = rng.standard_normal((int(np.ceil(range_mm / depth_mm)) + 3, self.count, self.count))

    def at(self, x_mm: np.ndarray, y_mm: np.ndarray, depth_mm: float) -> np.ndarray:
        """Values (len(y_mm), len(x_mm)) at pixel centres, in the plane at `depth_mm` (0 = base)."""
        position = np.clip(depth_mm / self.depth_mm + 1, 0, len(self.planes) - 1.001)
        lower, u = int(position), position - int(position)
        # cosine and sine keep the variance constant between lattice planes, linear weights would not
        plane = np.cos(u * np.pi / 2) * self.planes[lower] + np.sin(u * np.pi / 2) * self.planes[lower + 1]
        rows, columns = self._weights(y_mm), self._weights(x_mm)
        return rows @ plane @ columns.T / 0.479  # 0.479: mean variance of cubic B-spline weights, per axis

    def _weights(self, axis_mm: np.ndarray) -> np.ndarray:
        # All slices of a subject share two axes (the image's and the heart's), so weights are made once
        key = (len(axis_mm), float(axis_mm[0]), float(axis_mm[-1]))
        if key not in self._known:
            self._known[key] = _cubic_weights((axis_mm + EXTENT_MM) / self.scale_mm + 1, self.count)
        return self._known[key]


class Plane:
    """Pixel coordinates of one slice (mm, origin in the centre, x right, y down) and the subject's fields."""

    def __init__(self, fields: dict[str, SmoothField], x_mm: np.ndarray, y_mm: np.ndarray, depth_mm: float):
        self.fields, self.x_mm, self.y_mm, self.depth_mm, self._cache = fields, x_mm, y_mm, depth_mm, {}
        self.x, self.y = np.meshgrid(x_mm, y_mm)

    def field(self, name: str) -> np.ndarray:
        """The field `name`, (H, W), computed on first use."""
        if name not in self._cache:
            self._cache[name] = self.fields[name].at(self.x_mm, self.y_mm, self.depth_mm)
        return self._cache[name]

    def window(self, x: float, y: float, half_mm: float, offset_mm: float) -> tuple[tuple[slice, slice], Plane]:
        """What lies within `half_mm` of (x, y), `offset_mm` deeper: its index here, and its own plane."""
        columns, rows = (np.flatnonzero(np.abs(axis - c) <= half_mm) for axis, c in ((self.x_mm, x), (self.y_mm, y)))
        index = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        return index, Plane(self.fields, self.x_mm[index[1]], self.y_mm[index[0]], self.depth_mm + offset_mm)


def subject_fields(rng: np.random.Generator) -> dict[str, SmoothField]:
    """Fields of one subject: structure at 1.6, 4 and 10 mm, and two displacements at 30 mm."""
    return {
        "fine": SmoothField(rng, 1.6, depth_mm=6.0),
        "small": SmoothField(rng, 4.0, depth_mm=8.0),
        "medium": SmoothField(rng, 10.0, depth_mm=14.0),
        "medium2": SmoothField(rng, 10.0, depth_mm=14.0),
        "large": SmoothField(rng, 30.0, depth_mm=40.0),
        "shift_x": SmoothField(rng, 30.0, depth_mm=40.0),
        "shift_y": SmoothField(rng, 30.0, depth_mm=40.0),
    }
