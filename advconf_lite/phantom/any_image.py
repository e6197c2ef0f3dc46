"""Virtual scanners for an image of anything: coil, k-space, noise and a contrast curve; no tissues, no organ.

They stand in for other scanners where a set has one domain, and where no organ with scanners of its own is known. Their
constants are choices, made from what is plausible on any scanner: SNR of 3 to 40 (of the image's mean, which air lowers),
voxels of one to three and a half pixels, ghosts of up to 0.3, as organs' own scanners have, a coil in front and behind
that nothing corrects, contrast curves between a square root and a square. One look at the Dice of a pilot segmenter (seed
90, the phantom's source without its organ) made noise, voxels, ghosts and curves of the targets stronger, once, before any
head was trained. All of it is relative: voxels to the pixel that the network works with, coils to the width of the image,
noise to the image's mean. So the same shift is as large on a brain as on a mouse.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from advconf_lite.phantom.scanner import Receiver


@dataclass(frozen=True)
class ImageScanner(Receiver):
    """A scanner that is known by what it does to an image; `snr` is that of the image's mean.

    Attributes:
        contrast: exponent of the curve that grey values above the darkest pass through; below 1 it lifts the dark
            ones, above 1 it darkens them.
    """

    contrast: float = 1.0


def _scanner(name: str, pixel_mm: float, voxel: float = 1.0, **values) -> ImageScanner:
    """`voxel` is in pixels; what is not given does next to nothing to an image."""
    harmless = {"coil_correction": 1.0, "kspace_filter": 0.3, "snr": 40.0} | values
    return ImageScanner(name, resolution_mm=voxel * pixel_mm, **harmless)


def validation_scanners(pixel_mm: float) -> tuple[ImageScanner, ...]:
    """Three scanners for choosing settings; `pixel_mm` is the pixel that the network works with."""
    return (
        _scanner("dim-side", pixel_mm, coil="body array", coil_correction=0.3, contrast=1.2),
        _scanner("ringing", pixel_mm, voxel=1.6, kspace_filter=0.0, snr=25.0),
        _scanner("light-noise", pixel_mm, snr=8.0, ghost=0.05, ghost_period=2.5, contrast=0.85),
    )


def target_scanners(pixel_mm: float) -> tuple[ImageScanner, ...]:
    """Six test scanners, each with one thing that it does; `pixel_mm` is the pixel that the network works with."""
    return (
        _scanner("noisy", pixel_mm, snr=4.0),
        _scanner("low-resolution", pixel_mm, voxel=3.0, phase_resolution=0.75),
        _scanner("ghosting", pixel_mm, ghost=0.3, ghost_period=3.0),
        _scanner("bright-coil", pixel_mm, coil="surface array", coil_correction=0.0),
        _scanner("flat-contrast", pixel_mm, contrast=0.5),
        _scanner("steep-contrast", pixel_mm, contrast=2.0),
    )


COILS = ("body array", "surface array")

# (low, high) of each quantity, from which `draw_scanner` draws; all scanners above lie within.
RANGES = {
    "voxel": (1.0, 3.5), "phase_resolution": (0.7, 1.0), "snr": (3.0, 40.0), "ghost": (0.0, 0.3),
    "ghost_period": (2.0, 3.5), "kspace_filter": (0.0, 1.0), "coil_correction": (0.0, 1.0), "contrast": (0.5, 2.0),
}  # fmt: skip


def draw_scanner(pixel_mm: float, rng: np.random.Generator, name: str = "drawn") -> ImageScanner:
    """A random scanner from `RANGES`, uniform in each range and independent."""
    coil = COILS[int(rng.integers(len(COILS)))]
    return _scanner(name, pixel_mm, coil=coil, **{key: float(rng.uniform(*ends)) for key, ends in RANGES.items()})
