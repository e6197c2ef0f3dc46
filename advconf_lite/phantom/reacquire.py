"""A real or simulated image as another scanner would have shown it, from the image alone: no mask, no tissues."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from advconf_lite.phantom.any_image import ImageScanner
from advconf_lite.phantom.kspace import coil_profile, through_kspace
from advconf_lite.phantom.scanner import Receiver, Scanner, tissue_signals
from advconf_lite.phantom.scanner_tables import source_scanner
from advconf_lite.support.errors import BadInput

BODY_MM = 240.0  # the body that coils lie around; an image whose size in life means nothing counts as this wide


@lru_cache(maxsize=64)
def contrast_exponent(scanner: Scanner, reference: Scanner) -> float:
    """Exponent of the power law that turns the tissue signals under `reference` into those under `scanner`.

    Least squares over the soft tissues of the table, in logarithms: the best monotone one-parameter curve,
    because an image alone does not say which tissue a grey value is. Limited to 0.5-2.
    """
    names = ["blood", "myocardium", "fat", "muscle", "liver"]
    if scanner.sequence == "TSE":
        names = ["prostate", "peripheral zone", "muscle", "fat", "fluid"]
    old = np.log([tissue_signals(reference)[name] for name in names])
    new = np.log([max(tissue_signals(scanner)[name], 1e-3) for name in names])
    slope = np.sum((old - old.mean()) * (new - new.mean())) / np.sum((old - old.mean()) ** 2)
    return float(np.clip(slope, 0.5, 2.0))


def reacquire(image: np.ndarray, scanner: Receiver, spacing_mm: float, rng: np.random.Generator) -> np.ndarray:
    """A real magnitude image (H, W) float32 as `scanner` would have shown it, from the image alone.

    Contrast curve (monotone; a `Scanner`'s by `contrast_exponent` against its organ's source scanner, an
    `ImageScanner`'s its own), coil profile, k-space resolution, ghosting and noise. No mask is used and no tissue contrast
    invented; resolution that the image never had cannot return, and its own noise stays under the added one. Noise is
    relative to the image's mean, because nothing says where the reference tissue lies. A `Scanner` takes negative values
    for 0. An `ImageScanner` counts from the image's darkest pixel, which may be negative, as in CT, and lays its coils
    around the image, whatever its millimetres.

    Raises:
        BadInput: the image is not two-dimensional or not finite.
    """
    image = np.asarray(image, dtype=np.float64)
    if image.ndim != 2 or not np.isfinite(image).all():
        raise BadInput(f"reacquire needs one finite 2D image, got shape {image.shape}; remove NaN and infinity first")
    side = max(image.shape)
    if isinstance(scanner, ImageScanner):
        floor, exponent, coil_mm = float(image.min()), scanner.contrast, BODY_MM / side
    else:
        reference = source_scanner("cardiac" if scanner.sequence == "bSSFP" else "prostate")
        floor, exponent, coil_mm = 0.0, contrast_exponent(scanner, reference), spacing_mm
    image = np.maximum(image - floor, 0)
    top = max(float(np.percentile(image, 99.5)), 1e-12)
    curved = top * (image / top) ** exponent
    square = np.zeros((side, side))
    square[: image.shape[0], : image.shape[1]] = curved
    rows, columns = (np.arange(side) - (n - 1) / 2 for n in image.shape)
    x, y = np.meshgrid(columns * coil_mm, rows * coil_mm)
    received = square * coil_profile(scanner, x, y)
    result = through_kspace(received, scanner, spacing_mm, float(curved.mean()) / scanner.snr, rng)
    return (floor + result[: image.shape[0], : image.shape[1]]).astype(np.float32)
