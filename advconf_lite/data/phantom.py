"""The built-in data: virtual patients in virtual scanners, written as a slice set. No download, any size,
from a seed.

anatomy (heart.py, prostate.py) -> tissues (tissue.py) -> signal equation, coil, k-space (scanner.py) ->
magnitude image.

Random streams are spawned per organ, domain, subject and purpose, so the same subject has the same anatomy at
every image size, and results do not depend on the number of workers, on threads or on the order of work.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from advconf_lite.data import heart, prostate
from advconf_lite.data.scanner import FIELD_OF_VIEW_FACTOR, SUPERSAMPLING, Scanner, TissueMaps, acquire
from advconf_lite.data.scanner_tables import draw_scanner, scanners, source_scanner, target_scanners, validation_scanners
from advconf_lite.data.texture import EXTENT_MM, Plane, subject_fields
from advconf_lite.data.tissue import subject_factors
from advconf_lite.support.errors import BadInput
from advconf_lite.support.processes import in_processes

if TYPE_CHECKING:
    from advconf_lite.data.slices import SliceSet

__all__ = [
    "draw_scanner", "make_phantom", "make_subject", "scanners", "source_scanner", "target_scanners",
    "validation_scanners",
]  # fmt: skip

TOLERANCE_MM = {"cardiac": 3.0, "prostate": 1.5}  # surface Dice tolerance, as published
ROLES = ("source", "validation", "target")
# A pool of processes costs about a second to start; below this many slices-times-pixels one process is
# quicker.
WORTH_A_POOL = 60 * 96**2


def _generator(seed: int, organ: str, domain: str, subject: int, purpose: int) -> np.random.Generator:
    names = [zlib.crc32(name.encode()) for name in (organ, domain)]
    return np.random.default_rng(np.random.SeedSequence([seed, *names, subject, purpose]))


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
    anatomy, draw, phases, depths = _organ(organ)
    pixels = SUPERSAMPLING * 2 * int(round(size * FIELD_OF_VIEW_FACTOR / 2))
    axis = (np.arange(pixels) - (pixels - 1) / 2) * spacing_mm / SUPERSAMPLING
    if size * spacing_mm > 2 * EXTENT_MM / FIELD_OF_VIEW_FACTOR * 1.02:
        limit = 2 * EXTENT_MM / FIELD_OF_VIEW_FACTOR
        raise BadInput(f"{size} pixels of {spacing_mm} mm exceed the phantom's {limit:.0f} mm; choose a smaller size")
    streams = [_generator(seed, organ, domain or scanner.name, subject, purpose) for purpose in range(4)]
    shape, fields, factors = draw(streams[0]), subject_fields(streams[1]), subject_factors(streams[2])
    endorectal = scanner.coil == "endorectal"
    coil_at = prostate.coil_place(shape) if organ == "prostate" else (0.0, 28.0)
    images, masks, keys = [], [], []
    for phase in phases:
        for number, depth in enumerate(depths(shape)):
            noise = np.random.default_rng(streams[3].integers(2**63, size=2))
            plane = Plane(fields, axis, axis, depth)
            # two planes, a quarter of the thickness to each side, stand for the slice: partial volume across
            # it
            offsets = (-scanner.slice_mm / 4, scanner.slice_mm / 4)
            labels, drawn = anatomy(shape, plane, offsets, phase if organ == "cardiac" else endorectal)
            mask = _majority(drawn, size)
            if not mask.any():
                continue
            maps = TissueMaps(labels, *_texture(plane), factors, coil_at)
            images.append(acquire(maps, scanner, size, spacing_mm, noise))
            masks.append(mask)
            keys.append((phase, number))
    if not images:
        empty = np.zeros((0, size, size))
        return empty.astype(np.float32), empty.astype(np.uint8), []
    return np.stack(images), np.stack(masks), keys


def _organ(organ: str):
    if organ == "cardiac":
        return heart.heart_planes, heart.draw_heart, heart.PHASES, heart.slice_depths
    if organ == "prostate":
        return prostate.prostate_planes, prostate.draw_prostate, prostate.PHASES, prostate.slice_depths
    raise BadInput(f"unknown organ {organ!r}; choose 'cardiac' or 'prostate'")


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


def make_phantom(
    organ: str,
    folder: str | Path,
    size: int,
    spacing_mm: float,
    subjects: dict[str, int],
    seed: int = 0,
    progress: bool = True,
    workers: int | None = None,
) -> SliceSet:
    """Make the phantom and write it as a slice set.

    Args:
        organ: "cardiac" (LV, MYO, RV; ED and ES; moderate shift) or "prostate" (one class; massive shift).
        folder: where the slice set goes.
        size, spacing_mm: pixels per side and their width; quick runs use 96 at 2.0 (heart) and 1.5 mm
            (prostate).
        subjects: how many, as {"source": n, "validation": n per scanner, "target": n per scanner}.
        seed: everything follows from it.
        workers: processes, default one per core; the result does not depend on it.

    Returns:
        The `SliceSet`. Source subjects are split by subject; validation scanners have split "val", target
        scanners "test".

    Raises:
        BadInput: unknown organ or a number of subjects that cannot be split.
    """
    # imported here, because worker processes import this module and need neither torch nor pandas
    import pandas as pd
    from tqdm.auto import tqdm

    from advconf_lite import __version__
    from advconf_lite.data.slices import split_by_subject, write_slice_set

    if organ not in ("cardiac", "prostate"):
        raise BadInput(f"unknown phantom {organ!r}; choose phantom:cardiac or phantom:prostate")
    if set(subjects) - set(ROLES) or subjects.get("source", 0) < 3:
        raise BadInput(f"subjects is {subjects}; give source (3 or more), validation and target numbers")
    table = {
        "source": (source_scanner(organ),),
        "validation": validation_scanners(organ),
        "target": target_scanners(organ),
    }
    jobs, rows = [], []
    for role in ROLES:
        for scanner in table[role]:
            names = [f"{scanner.name}-{number:03d}" for number in range(subjects.get(role, 0))]
            splits = dict.fromkeys(names, {"validation": "val", "target": "test"}.get(role))
            if role == "source":
                splits = split_by_subject(names, seed=seed)
            for number, name in enumerate(names):
                jobs.append((organ, scanner, number, size, spacing_mm, seed))
                rows.append((scanner.name, name, splits[name]))
    workers = workers or min(os.cpu_count() or 1, 8)
    if len(jobs) * 10 * size**2 < WORTH_A_POOL:
        workers = 1
    images, masks, records = [], [], []
    bar = tqdm(
        in_processes(make_subject, jobs, workers),
        total=len(jobs),
        desc=f"phantom:{organ}",
        unit="subject",
        disable=not progress,
    )
    for (image, mask, keys), (domain, subject, split) in zip(bar, rows):
        images.append(image)
        masks.append(mask)
        records += [("phantom-" + organ, domain, subject, phase, number, spacing_mm, split) for phase, number in keys]
    columns = ["dataset", "domain", "subject", "phase", "slice", "spacing_mm", "split"]
    info = {
        "name": f"phantom-{organ}",
        "class_names": heart.CLASS_NAMES if organ == "cardiac" else prostate.CLASS_NAMES,
        "source_domain": source_scanner(organ).name,
        "validation_domains": [s.name for s in table["validation"] if subjects.get("validation")],
        "target_domains": [s.name for s in table["target"] if subjects.get("target")],
        "spacing_mm": spacing_mm,
        "size": size,
        "tolerance_mm": TOLERANCE_MM[organ],
        "version": __version__,
        "licence": "Apache-2.0 (generated by advconf_lite)",
        "citation": "advconf_lite phantom; sources of its constants: advconf_lite/data/tissue.py",
        "how_made": {
            "function": "make_phantom", "organ": organ, "size": size, "spacing_mm": spacing_mm,
            "subjects": dict(subjects), "seed": seed, "package_version": __version__,
        },
    }  # fmt: skip
    return write_slice_set(
        folder, np.concatenate(images), np.concatenate(masks), pd.DataFrame(records, columns=columns), info
    )
