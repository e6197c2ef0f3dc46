"""Slice sets that others bring to a finished run: do they fit it, and what of them is labelled?"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from advconf_lite.data.cropping import labels_lost
from advconf_lite.data.resampling import resampled_shape
from advconf_lite.data.slices import SliceSet, read_slice_set
from advconf_lite.evaluation.predictions import SLICE
from advconf_lite.experiment.folder import RunFolder
from advconf_lite.experiment.parts import Part, usual_word
from advconf_lite.support.errors import BadInput

INSIDE = "the run looks at no more of an image; centre the images on the organ, as those that it was trained on are"


class Labelled(NamedTuple):
    """parts: labelled slices by domain, on the run's grid. without_label, known: how many are left out because they have no
    label, and because the run's networks were trained on slices of these names or chosen by them, which flatters their
    scores. never_shown: classes that none of the slices has."""

    parts: dict[str, Part]
    without_label: int
    known: int
    never_shown: list[str]


def labelled_parts(run: RunFolder, data: str | Path, domain: str | None = None) -> Labelled:
    """What of a labelled slice set can judge a run.

    Raises:
        BadInput: no such slice set or domain, it has no masks, other classes, labels that the run's grid cuts off, or no
            slice that can.
    """
    slices = fitting(run, read_slice_set(data), data)
    if slices.masks is None:
        raise BadInput(f"{data} has no masks.npy; a calibration needs slices that somebody has outlined", argument="data")
    names = list(dict.fromkeys(slices.table["domain"].astype(str)))
    if domain is not None and domain not in names:
        raise BadInput(f"{data} has no domain {domain}; it has {', '.join(names)}", argument="domain")
    if lost := labels_lost(slices if domain is None else slices.select(domain=domain), run.experiment.grid, INSIDE):
        print(lost, flush=True)
    parts, empty, known, of_the_run = {}, 0, 0, _slices_of(run.experiment.train.table, run.experiment.val.table)
    for name in names if domain is None else [domain]:
        chosen = slices.select(domain=name)
        images, masks = chosen.tensors(run.experiment.size, run.experiment.spacing_mm, run.settings.normalise)
        kept = masks.flatten(1).any(1).numpy()
        new = ~_slices_of(chosen.table).isin(of_the_run)
        empty, known, kept = empty + int((~kept).sum()), known + int((kept & ~new).sum()), kept & new
        if kept.any():
            parts[name] = Part(images[kept], masks[kept], chosen.table[kept].reset_index(drop=True))
    if not parts and known:
        raise BadInput(
            f"{data} has no slice with a label that the run was not trained on or chosen by, as their names say (data set, "
            "domain, subject, phase, slice); outline other slices, or, if these are others, prepare them with a domain of "
            "their own",
            argument="data",
        )
    if not parts:
        raise BadInput(f"{data} has no slice with a label; outline some slices of the new scanner", argument="data")
    there = [part.masks for part in parts.values()]
    lacking = [
        name for label, name in enumerate(run.experiment.class_names, start=1)
        if not any(bool((masks == label).any()) for masks in there)
    ]  # fmt: skip
    return Labelled(parts, empty, known, lacking)


def _slices_of(*tables: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(pd.concat([table[SLICE].astype(str) for table in tables], ignore_index=True))


def fitting(run: RunFolder, slices: SliceSet, data: str | Path) -> SliceSet:
    """The same slice set, or BadInput if it has masks of other classes than the run was trained on, or says that it is of
    another organ."""
    classes, organs = run.experiment.class_names, (slices.organ, run.experiment.slices.organ)
    if None not in organs and usual_word(organs[0]) != usual_word(organs[1]):
        raise BadInput(
            f"{data} is of the organ {organs[0]} (dataset.json) but the run was trained on {organs[1]}; give images of the "
            "same anatomy, or, if they are, write the run's word there"
        )
    if slices.masks is not None and slices.class_names != classes:
        raise BadInput(
            f"{data} has the classes {', '.join(slices.class_names)} but the run was trained on "
            f"{', '.join(classes)}; give images of the same anatomy, and the classes the same names and order"
        )
    return slices


def cropped(run: RunFolder, slices: SliceSet) -> str:
    """A sentence if images are larger than what the run looks at; else nothing."""
    grid = run.experiment.grid
    shapes = [resampled_shape(slices.images.shape[1:], mm, grid.spacing_mm) for mm in slices.table["spacing_mm"].unique()]
    rows, columns = (max(shape[axis] for shape in shapes) for axis in (0, 1))
    if rows <= grid.rows and columns <= grid.columns:
        return ""
    return f"the run looks at the middle {grid}; these images have up to {rows} x {columns} of them"
