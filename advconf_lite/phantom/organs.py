"""The organs that the phantom can draw, one record each. All that the phantom knows of an organ, but for its scanners."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from advconf_lite.phantom import heart, prostate
from advconf_lite.phantom.texture import Plane
from advconf_lite.support.errors import BadInput

# A phantom of fewer pixels than the full grid shows this many millimetres, whatever the organ.
SMALL_FIELD_OF_VIEW_MM = 192.0

Shape = dict  # what one subject's anatomy depends on, as `draw` gives it


@dataclass(frozen=True)
class Organ:
    """How to draw an organ.

    Attributes:
        class_names: foreground classes, label 1 first.
        phases: of the cycle, each a set of slices of its own; ("",) where nothing moves.
        draw: one subject's shape from a generator.
        depths: the slices' depths in millimetres, of a shape.
        planes: (shape, plane, offsets in mm, phase, whether a coil lies in the rectum) -> tissue numbers and labels,
            (P, H, W) uint8 each.
        coil_at: where an endorectal coil lies, (x, y) in mm, of a shape.
        tolerance_mm: of the surface Dice, as published.
        full_size, full_spacing_mm: the paper's grid.
        subjects: how many virtual patients a phantom with few, some or many of them has.
    """

    class_names: tuple[str, ...]
    phases: tuple[str, ...]
    draw: Callable[[np.random.Generator], Shape]
    depths: Callable[[Shape], np.ndarray]
    planes: Callable[[Shape, Plane, tuple, str, bool], tuple[np.ndarray, np.ndarray]]
    coil_at: Callable[[Shape], tuple[float, float]]
    tolerance_mm: float
    full_size: int
    full_spacing_mm: float
    subjects: dict[str, dict[str, int]]

    def grid(self, max_size: int | None) -> tuple[int, float]:
        """Pixels a side and their width in mm of a phantom of at most `max_size` pixels; None: the full grid."""
        if max_size is None or max_size >= self.full_size:
            return self.full_size, self.full_spacing_mm
        return max_size, SMALL_FIELD_OF_VIEW_MM / max_size


def _subjects(source: int, validation: int, target: int) -> dict[str, int]:
    """Numbers in the source, per validation scanner and per target scanner."""
    return {"source": source, "validation": validation, "target": target}


FEW, MANY = _subjects(5, 1, 1), _subjects(170, 20, 40)


def find_organ(name: str) -> Organ:
    """The record of an organ.

    Raises:
        BadInput: the phantom has no such organ.
    """
    if name not in ORGANS:
        raise BadInput(f"there is no phantom of {name!r}; choose from {', '.join(ORGANS)}")
    return ORGANS[name]


ORGANS = {
    "cardiac": Organ(
        class_names=heart.CLASS_NAMES,
        phases=heart.PHASES,
        draw=heart.draw_heart,
        depths=heart.slice_depths,
        planes=lambda shape, plane, offsets_mm, phase, endorectal: heart.heart_planes(shape, plane, offsets_mm, phase),
        coil_at=lambda shape: (0.0, 28.0),  # none is used; where a scanner of the pelvis would have it
        tolerance_mm=3.0,
        full_size=256,
        full_spacing_mm=1.0,
        # some: 18 hearts to train on, as many as the real ones that they are set beside (ACDC)
        subjects={"few": FEW, "some": _subjects(30, 6, 12), "many": MANY},
    ),
    "prostate": Organ(
        class_names=prostate.CLASS_NAMES,
        phases=prostate.PHASES,
        draw=prostate.draw_prostate,
        depths=prostate.slice_depths,
        planes=lambda shape, plane, offsets_mm, phase, endorectal: prostate.prostate_planes(
            shape, plane, offsets_mm, endorectal
        ),
        coil_at=prostate.coil_place,
        tolerance_mm=1.5,
        full_size=384,
        full_spacing_mm=0.5,
        subjects={"few": FEW, "some": _subjects(40, 6, 12), "many": MANY},
    ),
}
