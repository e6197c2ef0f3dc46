"""Slice sets that others bring to a finished run: do they fit it, and what of them is labelled?"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from advconf_lite.data.slices import SliceSet, read_slice_set
from advconf_lite.evaluation.predictions import SLICE
from advconf_lite.experiment.folder import RunFolder
from advconf_lite.experiment.parts import Part
from advconf_lite.support.errors import BadInput


class Labelled(NamedTuple):
    """parts: labelled slices by domain, on the run's grid. without_label, known: how many are left out because they have no
    label, and because the run's networks were trained on them or chosen by them, which flatters their scores."""

    parts: dict[str, Part]
    without_label: int
    known: int


def labelled_parts(run: RunFolder, data: str | Path, domain: str | None = None) -> Labelled:
    """What of a labelled slice set can judge a run.

    Raises:
        BadInput: no such slice set or domain, it has no masks, other classes, or no slice that can.
    """
    slices = fitting(run, read_slice_set(data), data)
    if slices.masks is None:
        raise BadInput(f"{data} has no masks.npy; a calibration needs slices that somebody has outlined", argument="data")
    names = list(dict.fromkeys(slices.table["domain"].astype(str)))
    if domain is not None and domain not in names:
        raise BadInput(f"{data} has no domain {domain}; it has {', '.join(names)}", argument="domain")
    parts, empty, known, of_the_run = {}, 0, 0, _slices_of(run.experiment.train.table, run.experiment.val.table)
    for name in names if domain is None else [domain]:
        chosen = slices.select(domain=name)
        images, masks = chosen.tensors(run.experiment.size, run.experiment.spacing_mm, run.settings.normalise)
        kept = masks.flatten(1).any(1).numpy()
        new = ~_slices_of(chosen.table).isin(of_the_run)
        empty, known, kept = empty + int((~kept).sum()), known + int((kept & ~new).sum()), kept & new
        if kept.any():
            parts[name] = Part(images[kept], masks[kept], chosen.table[kept].reset_index(drop=True))
    if not parts:
        lacks = "with a label that the run was not trained on or chosen by" if known else "with a label"
        raise BadInput(f"{data} has no slice {lacks}; outline some slices of the new scanner", argument="data")
    return Labelled(parts, empty, known)


def _slices_of(*tables: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(pd.concat([table[SLICE].astype(str) for table in tables], ignore_index=True))


def fitting(run: RunFolder, slices: SliceSet, data: str | Path) -> SliceSet:
    """The same slice set, or BadInput if it has masks of other classes than the run was trained on."""
    classes = run.experiment.class_names
    if slices.masks is not None and slices.class_names != classes:
        raise BadInput(
            f"{data} has the classes {', '.join(slices.class_names)} but the run was trained on "
            f"{', '.join(classes)}; give images of the same anatomy"
        )
    return slices
