"""One virtual patient in one virtual scanner: anatomy -> tissues -> signal, coil, k-space -> magnitude images."""

from __future__ import annotations

import zlib

import numpy as np
from threadpoolctl import threadpool_limits

from advconf_lite.phantom.kspace import FIELD_OF_VIEW_FACTOR, SUPERSAMPLING, TissueMaps, acquire
from advconf_lite.phantom.organs import find_organ
from advconf_lite.phantom.scanner import Scanner
from advconf_lite.phantom.texture import EXTENT_MM, Plane, subject_fields
from advconf_lite.phantom.tissue import subject_factors
from advconf_lite.support.errors import BadInput


def _generator(seed: int, organ: str, domain: str, subject: int, purpose: int) -> np.random.Generator:
    names = [zlib.crc32(name.encode()) for name in (organ, domain)]
    return np.random.default_rng(np.random.SeedSequence([seed, *names, subject, purpose]))


@threadpool_limits.wrap(limits=1)  # its matrix products are so small that BLAS threads only wait for each other
def make_subject(
    organ: str,
    scanner: Scanner,
    subject: int,
    size: int,
    spacing_mm: float,
    seed: int = 0,
    domain: str | None = None,
) -> tuple[np.ndarray, np.ndarray, list[tuple[str, int]]]:
    """All non-empty slices of one virtual patient.

    `domain` (default: the scanner's name) and `subject` choose the patient; pass another scanner with the
    same `domain` to see the same patient elsewhere.

    Returns:
        images (n, size, size) float32 magnitudes; masks (n, size, size) uint8; n pairs (phase, slice number).

    Raises:
        BadInput: unknown organ, or an image wider than the simulated body.
    """
    anatomy = find_organ(organ)
    pixels = SUPERSAMPLING * 2 * int(round(size * FIELD_OF_VIEW_FACTOR / 2))
    axis = (np.arange(pixels) - (pixels - 1) / 2) * spacing_mm / SUPERSAMPLING
    if size * spacing_mm > 2 * EXTENT_MM / FIELD_OF_VIEW_FACTOR * 1.02:
        limit = 2 * EXTENT_MM / FIELD_OF_VIEW_FACTOR
        raise BadInput(f"{size} pixels of {spacing_mm} mm exceed the phantom's {limit:.0f} mm; choose a smaller size")
    streams = [_generator(seed, organ, domain or scanner.name, subject, purpose) for purpose in range(4)]
    shape, fields, factors = anatomy.draw(streams[0]), subject_fields(streams[1]), subject_factors(streams[2])
    endorectal = scanner.coil == "endorectal"
    images, masks, keys = [], [], []
    for phase in anatomy.phases:
        for number, depth in enumerate(anatomy.depths(shape)):
            noise = np.random.default_rng(streams[3].integers(2**63, size=2))
            plane = Plane(fields, axis, axis, depth)
            # two planes, a quarter of the thickness to each side, stand for the slice: partial volume across
            # it
            offsets = (-scanner.slice_mm / 4, scanner.slice_mm / 4)
            labels, drawn = anatomy.planes(shape, plane, offsets, phase, endorectal)
            mask = _majority(drawn, size)
            if not mask.any():
                continue
            maps = TissueMaps(labels, *_texture(plane), factors, anatomy.coil_at(shape))
            images.append(acquire(maps, scanner, size, spacing_mm, noise))
            masks.append(mask)
            keys.append((phase, number))
    if not images:
        empty = np.zeros((0, size, size))
        return empty.astype(np.float32), empty.astype(np.uint8), []
    return np.stack(images), np.stack(masks), keys


def _texture(plane: Plane) -> tuple[np.ndarray, np.ndarray]:
    """Structure inside tissues, at 1.6 to 30 mm, of density and of relaxation: (H, W), variance near 1."""
    fine, small, medium, large = (plane.field(name) for name in ("fine", "small", "medium", "large"))
    return 0.6 * fine + 0.5 * small + 0.4 * medium, 0.4 * fine - 0.7 * small + 0.8 * large


def _majority(labels: np.ndarray, size: int) -> np.ndarray:
    """(P, H, W) labels of tissue pixels -> (size, size): the most frequent one, background winning ties."""
    width = size * SUPERSAMPLING
    start = (labels.shape[-1] - width) // 2
    inner = labels[:, start : start + width, start : start + width]
    blocks = inner.reshape(len(labels), size, SUPERSAMPLING, size, SUPERSAMPLING)
    votes = np.stack([(blocks == label).sum(axis=(0, 2, 4)) for label in range(int(labels.max()) + 1)])
    return votes.argmax(axis=0).astype(np.uint8)
