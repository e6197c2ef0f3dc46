"""A virtual MR scanner: its protocol and the signal equations. What differs between two domains is one dataclass.

Ideal physics: no flow, no magnetisation transfer, no motion beyond ghosting.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from functools import lru_cache

import numpy as np

from advconf_lite.phantom.tissue import IS_FAT, NAMES, relaxation

FAT_SHIFT_PPM = 3.5  # fat's main peak resonates this far below water; 42.577 MHz/T

# Echo trains undo the J-coupling that shortens fat's T2, so fat is brighter in TSE than its spin-echo T2 says
# (choice).
FAT_TSE_T2_FACTOR = 1.7


@dataclass(frozen=True)
class Receiver:
    """The part of a scanner that works on any image: coil, k-space, noise.

    Attributes:
        coil: "body array" (8 elements around the body), "surface array" (4 in front, 4 behind) or
            "endorectal".
        coil_correction: 0 = raw brightness of the coil, 1 = fully corrected by the scanner's normalisation
            filter.
        resolution_mm, phase_resolution: acquired voxel along readout; the phase axis acquires this fraction
            of its lines.
        snr: the reference's signal over the noise of one acquired voxel.
        ghost, ghost_period: amplitude of a periodic error over the phase lines, and its period in lines; the
            ghost lies field-of-view / period away from its source.
        kspace_filter: 0 = sharp truncation with ringing, 1 = Hann window.
    """

    name: str
    _: KW_ONLY
    coil: str = "body array"
    coil_correction: float = 0.7
    resolution_mm: float = 1.4
    phase_resolution: float = 1.0
    snr: float = 30.0
    ghost: float = 0.0
    ghost_period: float = 2.0
    kspace_filter: float = 0.5


@dataclass(frozen=True)
class Scanner(Receiver):
    """One protocol on one scanner. Named for its physics, never after a real machine.

    Attributes:
        sequence: "bSSFP" (heart) or "TSE" (prostate, T2-weighted).
        field_T, TR_ms, TE_ms, flip_deg: as on the protocol sheet.
        slice_mm: slice thickness.
        snr: that of the reference tissue (myocardium; prostate).
        off_resonance_hz: field error at the border of the field of view (banding in bSSFP).
        b1_shading: relative error of the flip angle between centre and border (dielectric effect, 3 T).
        fat_suppression: share of the fat signal that a saturation pulse removes.
    """

    sequence: str
    field_T: float
    TR_ms: float
    TE_ms: float
    flip_deg: float = 90.0
    slice_mm: float = 8.0
    off_resonance_hz: float = 0.0
    b1_shading: float = 0.0
    fat_suppression: float = 0.0

    @property
    def reference_tissue(self) -> str:
        """The tissue whose signal defines `snr`."""
        return "myocardium" if self.sequence == "bSSFP" else "prostate"


def bssfp_signal(t1, t2, pd, TR_ms, TE_ms, flip_deg, off_resonance_hz=0.0):
    """Steady-state free precession, magnitude (Freeman and Hill). Arrays broadcast; times in ms.

    On resonance (phase-alternated pulses) this is PD sin a (1-E1) / (1 - (E1-E2) cos a - E1 E2) exp(-TE/T2);
    off resonance the signal falls to bands of darkness that repeat every 1/TR.
    """
    e1, e2, a = np.exp(-TR_ms / t1), np.exp(-TR_ms / t2), np.deg2rad(flip_deg)
    echo = pd * np.sin(a) * (1 - e1) * np.exp(-TE_ms / t2)
    if np.isscalar(off_resonance_hz) and off_resonance_hz == 0.0:
        return echo / (1 - (e1 - e2) * np.cos(a) - e1 * e2)
    theta = np.pi + 2 * np.pi * off_resonance_hz * TR_ms / 1000
    bottom = (1 - e1 * np.cos(a)) * (1 - e2 * np.cos(theta)) - e2 * (e1 - np.cos(a)) * (e2 - np.cos(theta))
    return echo * np.sqrt(np.maximum(1 - 2 * e2 * np.cos(theta) + e2**2, 0)) / bottom


def tse_signal(t1, t2, pd, TR_ms, TE_ms):
    """Turbo spin echo without stimulated echoes: PD (1 - exp(-TR/T1)) exp(-TE/T2). Times in ms."""
    return pd * (1 - np.exp(-TR_ms / t1)) * np.exp(-TE_ms / t2)


def signal(scanner: Scanner, t1, t2, pd, off_resonance_hz=0.0, flip_factor=1.0):
    """Magnitude of the transverse magnetisation under `scanner`'s protocol.

    Raises:
        ValueError: unknown sequence.
    """
    if scanner.sequence == "bSSFP":
        flip = scanner.flip_deg * flip_factor
        return bssfp_signal(t1, t2, pd, scanner.TR_ms, scanner.TE_ms, flip, off_resonance_hz)
    if scanner.sequence == "TSE":
        # refocusing by 180 deg pulses: flip errors enter at both pulses, to first order sin^3 of the nominal
        # 90 deg
        return tse_signal(t1, t2, pd, scanner.TR_ms, scanner.TE_ms) * np.abs(np.sin(np.pi / 2 * flip_factor)) ** 3
    raise ValueError(f"unknown sequence {scanner.sequence!r}; choose 'bSSFP' or 'TSE'")


def _table(scanner: Scanner) -> np.ndarray:
    table = relaxation(scanner.field_T)
    if scanner.sequence == "TSE":
        table[IS_FAT, 1] *= FAT_TSE_T2_FACTOR
    return table


@lru_cache(maxsize=64)
def tissue_signals(scanner: Scanner) -> dict[str, float]:
    """Signal of every tissue of the table under `scanner`, before coil and noise."""
    values = signal(scanner, *_table(scanner).T) * np.where(IS_FAT, 1 - scanner.fat_suppression, 1.0)
    return {name: float(value) for name, value in zip(NAMES, values)}


def fat_sign(scanner: Scanner) -> float:
    """Phase of fat against water: bSSFP flips it in every second pass band (dark rims at fat)."""
    if scanner.sequence != "bSSFP":
        return 1.0
    cycles = FAT_SHIFT_PPM * 42.577 * scanner.field_T * scanner.TR_ms / 1000
    return -1.0 if int(np.floor(cycles + 0.5)) % 2 else 1.0
