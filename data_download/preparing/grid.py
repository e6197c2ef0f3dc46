"""The grid of a set, in the plane: pixel size, pixels a side, and what a crop to it costs."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np

from advconf_lite.data.grid import LARGEST_LOSS, MULTIPLE, up_to_multiple
from advconf_lite.support.errors import BadInput
from data_download.preparing.inventory import Inventory
from data_download.preparing.scans import Done
from data_download.preparing.volumes import read_grid


def grid_of(inventory: Inventory, spacing_mm: float | None, size: int | None) -> tuple[float, int]:
    """Pixel size in mm and pixels a side; what is None follows from the images' headers, and a line says so.

    The spacing is then the median of the images', and the size the smallest multiple of 16 that holds the largest image.

    Raises:
        BadInput: a header cannot be read; with `inventory.skip_bad`, none can.
    """
    if spacing_mm is not None and size is not None:
        return spacing_mm, size
    grids, problem = [], None
    for scan in inventory.scans:
        try:
            grids.append(read_grid(scan.image))
        except BadInput as error:
            problem = error  # its subject is left out when the scan is worked on
            if not inventory.skip_bad:
                raise BadInput(f"{error} (--skip-bad goes on without such subjects)") from error
    if not grids:
        raise problem
    said = []
    if spacing_mm is None:
        # Six digits, for headers hold 0.7 as 0.699999988.
        spacing_mm = float(f"{np.median([mm for _, spacings in grids for mm in spacings]):.6g}")
        said.append(f"{spacing_mm} mm (the median spacing of the images; another: --spacing)")
    if size is None:
        sides = (round(side * mm / spacing_mm) for shape, spacings in grids for side, mm in zip(shape, spacings))
        size = up_to_multiple(max(sides))
        said.append(
            f"{size} x {size} pixels (the smallest multiple of {MULTIPLE} that holds the largest image; another: --size)"
        )
    print(f"grid: {' and '.join(said)}", file=sys.stderr)
    return spacing_mm, size


def refuse_what_the_crop_loses(good: Sequence[Done], size: int, notes: list[str]) -> None:
    """Note how many labelled pixels the crop to `size` cost, and whose.

    Raises:
        BadInput: more than `LARGEST_LOSS` of them; the sentence says which size would hold all.
    """
    lost, labelled = sum(done.lost for done in good), sum(done.labelled for done in good)
    if not lost:
        return
    whose = list(dict.fromkeys(f"{done.scan.domain} {done.scan.subject}" for done in good if done.lost))
    said = f"the crop to {size} x {size} pixels loses {lost} of {labelled} labelled pixels ({lost / labelled:.2%})"
    if lost > LARGEST_LOSS * labelled:
        wanted = up_to_multiple(max(done.needed for done in good))
        few = ", ".join(whose[:3]) + (f" and {len(whose) - 3} others" if len(whose) > 3 else "")
        raise BadInput(f"{said}, of {few}; --size {wanted} holds all of them")
    notes.append(f"{said}, of {', '.join(whose)}")
