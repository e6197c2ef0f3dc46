"""What a protocol does to contrast: an organ's bright tissue against its dark neighbour, by the knob that matters most."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from advconf_lite.phantom.scanner import bssfp_signal, tse_signal
from advconf_lite.phantom.scanner_tables import source_scanner
from advconf_lite.phantom.tissue import INDEX, relaxation


@dataclass(frozen=True)
class Contrast:
    """`knob`: field of `Scanner` that is turned, from the source's value `start` to a target's `changed`, over `values`."""

    organ: str
    knob: str
    words: str
    start: float
    changed: float
    values: tuple[float, float]
    bright: str
    dark: str

    def signal(self, tissue: str, value: float | np.ndarray, field_T: float | None = None) -> float | np.ndarray:
        """Of the source's protocol with its knob at `value`; in parts of the full magnetisation."""
        source = source_scanner(self.organ)
        scanner = replace(source, field_T=field_T or source.field_T, **{self.knob: value})
        of = relaxation(scanner.field_T)[INDEX[tissue]]
        if scanner.sequence == "bSSFP":
            return bssfp_signal(*of, scanner.TR_ms, scanner.TE_ms, scanner.flip_deg)
        return tse_signal(*of, scanner.TR_ms, scanner.TE_ms)

    def ratio(self, value: float) -> float:
        """Bright by dark."""
        return float(self.signal(self.bright, value) / self.signal(self.dark, value))


CONTRASTS = {
    "cardiac": Contrast("cardiac", "flip_deg", "flip angle (degrees)", 60, 30, (5, 90), "blood", "myocardium"),
    "prostate": Contrast("prostate", "TE_ms", "echo time TE (ms)", 100, 60, (10, 160), "prostate", "muscle"),
}
