"""The grid of a set, in the plane: pixel size, pixels a side, and what a crop to it costs."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from advconf_lite.data.grid import LARGEST_LOSS, MULTIPLE, up_to_multiple
from advconf_lite.support.errors import BadInput
from data_download.preparing.inventory import Inventory
from data_download.preparing.scans import LARGEST_SIDE, Done
from data_download.preparing.volumes import read_grid


def grid_of(
    inventory: Inventory, spacing_mm: float | None, size: int | None, slice_axis: int | None = None
) -> tuple[float, int]:
    """Pixel size in mm and pixels a side; what is None follows from the images' headers, and a line says so.

    The spacing is then the median of the images', and the size the smallest multiple of 16 that holds the largest image.

    Raises:
        BadInput: a header cannot be read; with `inventory.skip_bad`, none can.
    """
    if size is not None and size > LARGEST_SIDE:
        raise BadInput(f"--size {size} is too much; {LARGEST_SIDE} pixels a side are the most")
    if spacing_mm is not None and size is not None:
        return spacing_mm, size
    grids, problem = [], None
    for scan in inventory.scans:
        try:
            grids.append(read_grid(scan.image, slice_axis))
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
        size = min(up_to_multiple(max(sides)), LARGEST_SIDE)  # larger ones are refused, or left out, by their name
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
    whose = list(_by_subject(good, lambda done: done.lost))
    said = f"the crop to {size} x {size} pixels loses {lost} of {labelled} labelled pixels ({lost / labelled:.2%})"
    if lost > LARGEST_LOSS * labelled:
        wanted = up_to_multiple(max(done.needed for done in good))
        few = ", ".join(whose[:3]) + (f" and {len(whose) - 3} others" if len(whose) > 3 else "")
        raise BadInput(f"{said}, of {few}; --size {wanted} holds all of them")
    notes.append(f"{said}, of {', '.join(whose)}")


def slices_without_foreground(good: Sequence[Done], size: int, spacing_mm: float, kept: bool) -> Iterator[str]:
    """Remarks on slices, and on whole subjects, that have no foreground pixel: how many, and what took it.

    Args:
        kept: such slices are in the set all the same.
    """
    fate = "kept" if kept else "dropped"
    if empty := sum(done.empty for done in good):
        yield f"{empty} slices without a foreground pixel were {fate}"
    if faded := sum(done.faded for done in good):
        whose = _listed(good, lambda done: done.faded)
        yield f"{faded} slices whose foreground is too small for pixels of {spacing_mm} mm were {fate}, of {whose}"
    if cropped := sum(done.cropped for done in good):
        whose = _listed(good, lambda done: done.cropped)
        yield f"{cropped} slices whose whole foreground the crop to {size} x {size} pixels cut off were {fate}, of {whose}"
    people: dict[tuple[str, str], list[Done]] = {}
    for done in good:
        people.setdefault(done.scan.person, []).append(done)
    for (domain, subject), scans in people.items():
        if not any(done.slices for done in scans):
            causes = (
                (any(done.cropped for done in scans), f"the crop to {size} x {size} pixels cuts its foreground off"),
                (any(done.faded for done in scans), f"its foreground is too small for pixels of {spacing_mm} mm"),
                (not any(done.cropped or done.faded for done in scans), "its masks are empty"),
            )
            yield f"{domain} {subject} has no slice in the set: {' and '.join(why for here, why in causes if here)}"


def refuse_no_slice(good: Sequence[Done], remarks: Sequence[str]) -> None:
    """BadInput if no slice of any subject is left."""
    if not any(done.slices for done in good):
        raise BadInput(f"no slice would be in the set: {'; '.join(remarks[:3])}; correct the masks, or give --keep-empty")


def _listed(good: Sequence[Done], count: Callable[[Done], int]) -> str:
    return ", ".join(f"{name} ({number})" for name, number in _by_subject(good, count).items())


def _by_subject(good: Sequence[Done], count: Callable[[Done], int]) -> dict[str, int]:
    """The subjects of which something was counted, the most first."""
    found: Counter[str] = Counter()
    for done in good:
        found[f"{done.scan.domain} {done.scan.subject}"] += count(done)
    return {name: number for name, number in found.most_common() if number}
