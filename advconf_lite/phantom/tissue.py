"""Relaxation times and proton densities of the tissues that the phantom is made of.

T1 and T2 are milliseconds at 0.55, 1.5 and 3 T. Sources: [St] Stanisz 2005 and [Ca] Campbell-Washburn 2019 as
tabulated in Fetal-XCMR and KomaMRI; [Ba] de Bazelaire 2004; [Si] Simpkin 2013; [MX] MRXCAT's proton
densities, Wissmann 2014; [ch] a choice of ours, plausible for MR but taken from no table. Where no 0.55 T
value is published, T1 = A * B0**C through the 1.5 T and 3 T values, and T2 is that of 1.5 T.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Tissue:
    """One tissue. `t1`, `t2`: ms by field strength in tesla. `pd`: proton density, 0 to 1.

    `texture`: relative standard deviation of its fine structure, [ch]. `fat`: resonates 3.5 ppm below water.
    """

    t1: dict[float, float]
    t2: dict[float, float]
    pd: float
    texture: float = 0.05
    fat: bool = False


def _t(at_055, at_15, at_3):
    return {0.55: at_055, 1.5: at_15, 3.0: at_3}


# The order is the number in the phantom's tissue maps.
# fmt: off
TISSUES: dict[str, Tissue] = {
    "air": Tissue(_t(1000, 1000, 1000), _t(1, 1, 1), 0.0, 0.0),
    # T2 stands for the very short T2* of lung, [ch] near MRXCAT2's 1 ms and 10-20 % of PD: signal near 0
    "lung": Tissue(_t(900, 1150, 1300), _t(3, 3, 3), 0.20, 0.30),
    "blood": Tissue(_t(1122, 1441, 1932), _t(263, 290, 275), 0.95, 0.20),  # [St], 0.55 T [Ca], PD [MX]
    "myocardium": Tissue(_t(701, 1030, 1471), _t(58, 40, 47), 0.80, 0.18),  # [St], 0.55 T [Ca], PD [MX]
    "fat": Tissue(_t(183, 343, 382), _t(93, 58, 68), 0.70, 0.16, fat=True),  # [Ba], 0.55 T [Ca], PD [MX]
    # midway between [St] 1008/44, 1412/50 and [Ba] 856/27, 898/29, which disagree; PD [MX]
    "muscle": Tissue(_t(750, 932, 1155), _t(40, 36, 40), 0.80, 0.14),
    "liver": Tissue(_t(None, 576, 812), _t(None, 46, 42), 0.90, 0.16),  # [St], PD [MX]
    "spleen": Tissue(_t(None, 1057, 1328), _t(None, 79, 61), 0.90, 0.10),  # [Ba], PD [ch]
    "marrow": Tissue(_t(None, 549, 586), _t(None, 49, 49), 0.60, 0.16, fat=True),  # [Ba], PD [ch]
    "cortical bone": Tissue(_t(250, 250, 250), _t(1, 1, 1), 0.12, 0.0),  # T1, PD [MX]; T2 below 1 ms
    "skin": Tissue(_t(None, 900, 1100), _t(None, 30, 30), 0.70, 0.05),  # [ch]
    "fluid": Tissue(_t(4000, 4000, 4000), _t(1500, 1500, 1500), 1.00, 0.03),  # urine: near water, [ch]
    "content": Tissue(_t(None, 600, 800), _t(None, 70, 65), 0.70, 0.35),  # food, stool: mixed, [ch]
    "prostate": Tissue(_t(None, 1317, 1597), _t(None, 88, 74), 0.90, 0.16),  # whole gland, [Ba], PD [ch]
    "peripheral zone": Tissue(_t(None, 1317, 1597), _t(None, 149, 149), 0.90, 0.14),  # T2 [Si], T1 [Ba]
    "glandular nodule": Tissue(_t(None, 1317, 1597), _t(None, 125, 125), 0.90, 0.14),  # [Si]: central gland
    "stromal nodule": Tissue(_t(None, 1250, 1500), _t(None, 62, 58), 0.85, 0.10),  # [ch], towards muscle
    "tumour": Tissue(_t(None, 1250, 1500), _t(None, 97, 100), 0.85, 0.10),  # T2 [Si], 3 T mrm.22874
    "seminal vesicle": Tissue(_t(None, 1500, 1800), _t(None, 180, 170), 0.95, 0.14),  # [ch], fluid in tubes
    "rectal wall": Tissue(_t(None, 1000, 1350), _t(None, 58, 60), 0.80, 0.12),  # [ch], muscle and mucosa
    "vein": Tissue(_t(None, 1441, 1932), _t(None, 200, 150), 0.95, 0.15),  # [ch], slow, less oxygen
}

# fmt: on
NAMES = tuple(TISSUES)

INDEX = {name: number for number, name in enumerate(NAMES)}

TEXTURE = np.array([tissue.texture for tissue in TISSUES.values()])

IS_FAT = np.array([tissue.fat for tissue in TISSUES.values()])

# T1, T2 and PD differ between subjects by up to 10 %; published methods disagree by more.
SUBJECT_SPREAD = 0.10


def _at(values: dict[float, float], field_T: float, exponent_free: bool) -> float:
    if values[0.55] is not None:
        fields = sorted(values)
        return float(np.exp(np.interp(np.log(field_T), np.log(fields), np.log([values[f] for f in fields]))))
    if exponent_free:  # T2 hardly depends on the field, so it is held constant outside the measured range
        return float(np.interp(field_T, [1.5, 3.0], [values[1.5], values[3.0]]))
    power = np.log(values[3.0] / values[1.5]) / np.log(2.0)
    return float(values[1.5] * (field_T / 1.5) ** power)


def relaxation(field_T: float) -> np.ndarray:
    """T1 (ms), T2 (ms) and PD of every tissue at `field_T`: (tissues, 3), in the order of `NAMES`."""
    return np.array([[_at(t.t1, field_T, False), _at(t.t2, field_T, True), t.pd] for t in TISSUES.values()])


def subject_factors(rng: np.random.Generator) -> np.ndarray:
    """How one subject's T1, T2 and PD differ from the table: factors (tissues, 3) within +-10 %."""
    return rng.uniform(1 - SUBJECT_SPREAD, 1 + SUBJECT_SPREAD, (len(NAMES), 3))
