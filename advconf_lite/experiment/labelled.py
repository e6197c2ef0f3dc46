"""Slice sets that others bring to a finished run: do they fit it, and what of them is labelled?"""

from __future__ import annotations

from pathlib import Path

from advconf_lite.data.slices import SliceSet, read_slice_set
from advconf_lite.experiment.folder import RunFolder
from advconf_lite.experiment.parts import Part
from advconf_lite.support.errors import BadInput


def labelled_parts(run: RunFolder, data: str | Path, domain: str | None = None) -> tuple[dict[str, Part], int]:
    """Slices of a labelled slice set by domain, on the run's grid, and how many have no label, which are left out.

    Raises:
        BadInput: no such slice set or domain, it has no masks, other classes, or no labelled slice.
    """
    slices = fitting(run, read_slice_set(data), data)
    if slices.masks is None:
        raise BadInput(f"{data} has no masks.npy; a calibration needs slices that somebody has outlined", argument="data")
    names = list(dict.fromkeys(slices.table["domain"].astype(str)))
    if domain is not None and domain not in names:
        raise BadInput(f"{data} has no domain {domain}; it has {', '.join(names)}", argument="domain")
    parts, empty = {}, 0
    for name in names if domain is None else [domain]:
        chosen = slices.select(domain=name)
        images, masks = chosen.tensors(run.experiment.size, run.experiment.spacing_mm, run.settings.normalise)
        kept = masks.flatten(1).any(1)
        empty += int((~kept).sum())
        if kept.any():
            parts[name] = Part(images[kept], masks[kept], chosen.table[kept.numpy()].reset_index(drop=True))
    if not parts:
        raise BadInput(f"{data} has no slice with a label; outline some slices of the new scanner", argument="data")
    return parts, empty


def fitting(run: RunFolder, slices: SliceSet, data: str | Path) -> SliceSet:
    """The same slice set, or BadInput if it has masks of other classes than the run was trained on."""
    classes = run.experiment.class_names
    if slices.masks is not None and slices.class_names != classes:
        raise BadInput(
            f"{data} has the classes {', '.join(slices.class_names)} but the run was trained on "
            f"{', '.join(classes)}; give images of the same anatomy"
        )
    return slices
