"""Targets for a set with one domain: its held-out subjects, re-acquired by virtual scanners."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from advconf_lite.data.slice_checks import BLOCK
from advconf_lite.data.slice_writer import SliceSetWriter
from advconf_lite.data.slices import SliceSet, read_slice_set
from advconf_lite.phantom.offered import offered_scanners
from advconf_lite.phantom.reacquire import reacquire
from advconf_lite.phantom.scanner import Receiver
from advconf_lite.support.errors import BadInput
from advconf_lite.support.progress import bar as tqdm
from advconf_lite.support.randomness import derived_seed


def reacquire_held_out(slices: SliceSet, folder: Path, spacing_mm: float, progress: bool) -> SliceSet:
    """Targets for a set with one domain: its test subjects seen by the virtual target scanners (validation subjects by
    the validation scanners). The scanner takes the image alone and no mask; the masks are copied.

    Args:
        folder: the run's; what was made is kept in it.
        spacing_mm: of the grid that the run works on.

    Raises:
        BadInput: the set's own domain has the name of one of the scanners.
    """
    made = folder / "data" / "reacquired"
    if made.exists():
        return read_slice_set(made)
    source, scanners = slices.source_domain, offered_scanners(slices.organ, spacing_mm)
    if source in [scanner.name for each in scanners.values() for scanner in each]:
        raise BadInput(
            f"{slices.folder} has one domain, {source}, and so has one of the virtual scanners that re-acquire it; "
            "give the domain another name"
        )
    # The held-out slices as they are come first: a slice set has a source domain.
    jobs = [(split, scanner) for split in scanners for scanner in (None, *scanners[split])]
    info = {
        **slices.info,
        "validation_domains": [scanner.name for scanner in scanners["val"]],
        "target_domains": [scanner.name for scanner in scanners["test"]],
        "how_made": f"held-out subjects of {slices.info['name']}, re-acquired by virtual scanners",
    }
    with SliceSetWriter(made, info) as writer:
        for split, scanner in tqdm(jobs, desc="re-acquiring held-out subjects", disable=not progress):
            chosen = slices.select(domain=source, split=split)
            table = chosen.table.assign(domain=source if scanner is None else scanner.name)
            for rows in (range(start, min(start + BLOCK, len(chosen))) for start in range(0, len(chosen), BLOCK)):
                images = [chosen.images[row] if scanner is None else reacquired_image(chosen, row, scanner) for row in rows]
                writer.add(np.stack(images), chosen.masks[np.asarray(rows)], table.iloc[rows])
    return read_slice_set(made)


def reacquired_image(chosen: SliceSet, row: int, scanner: Receiver) -> np.ndarray:
    """One slice through one scanner, (H, W); the noise is a function of the scanner's name and the slice."""
    where = chosen.table.iloc[row]
    key = (scanner.name, str(where["subject"]), str(where["phase"]), int(where["slice"]))
    rng = np.random.default_rng(derived_seed("reacquire", *key))
    return reacquire(np.asarray(chosen.images[row]), scanner, float(where["spacing_mm"]), rng).astype(np.float32)
