"""Which virtual scanners re-acquire the images of a set: its organ's own where there are any, else those for any image."""

from __future__ import annotations

import numpy as np

from advconf_lite.phantom import any_image, scanner_tables
from advconf_lite.phantom.scanner import Receiver


def has_own_scanners(organ: str | None) -> bool:
    return organ in scanner_tables.SOURCE


def offered_scanners(organ: str | None, pixel_mm: float) -> dict[str, tuple[Receiver, ...]]:
    """Scanners by split: "val" for choosing settings, "test" for testing.

    Args:
        organ: of the set; None, or one without a table, gets the scanners for any image.
        pixel_mm: the pixel that the network works with; organs' own scanners have voxels in millimetres.
    """
    if has_own_scanners(organ):
        return {"val": scanner_tables.validation_scanners(organ), "test": scanner_tables.target_scanners(organ)}
    return {"val": any_image.validation_scanners(pixel_mm), "test": any_image.target_scanners(pixel_mm)}


def draw_offered(organ: str | None, pixel_mm: float, rng: np.random.Generator) -> Receiver:
    """A random scanner from the ranges in which `offered_scanners` lie."""
    if has_own_scanners(organ):
        return scanner_tables.draw_scanner(organ, rng)
    return any_image.draw_scanner(pixel_mm, rng)
