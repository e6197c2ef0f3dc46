"""A phantom's scanners as a table for people who have never run one."""

from __future__ import annotations

import pandas as pd

from advconf_lite.phantom.scanner_tables import source_scanner, target_scanners

# Field of `Scanner` -> heading. What each is stands in lesson 01.
KNOBS = {
    "field_T": "field (T)",
    "flip_deg": "flip (deg)",
    "TE_ms": "TE (ms)",
    "coil": "coil",
    "fat_suppression": "fat removed",
    "resolution_mm": "voxel (mm)",
    "snr": "SNR",
    "ghost": "ghost",
}


def scanner_table(data: str) -> pd.DataFrame:
    """The source and the targets of `data`, phantom:ORGAN, by those knobs in which any two of them differ; empty for other
    data, of whose scanners nothing is known but the names."""
    kind, _, organ = data.partition(":")
    if kind != "phantom":
        return pd.DataFrame()
    every = [source_scanner(organ), *target_scanners(organ)]
    table = pd.DataFrame({words: [getattr(each, knob) for each in every] for knob, words in KNOBS.items()})
    table.index = pd.Index([each.name for each in every], name="scanner")
    return table.loc[:, table.nunique() > 1]
