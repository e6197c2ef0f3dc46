"""How many subjects and slices a prepared data set should have.

Sources: Table 2 of the paper; for M&Ms-2 with its empty slices, the notes in the published code; for the prostate sites
in correct geometry, what other projects count in the same files, which is a range where they disagree. The published
code resamples the prostate's slice axis too, so that Table 2's prostate counts hold for `--geometry published-code` only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

Range = tuple[int, int]

MNMS2 = {
    "Symphony": (172, 2998, 4024),
    "Trio": (5, 94, 128),
    "Avanto": (42, 695, 904),
    "HDxt": (25, 426, 618),
    "EXCITE": (27, 459, 632),
    "Explorer": (1, 18, 26),
    "Achieva": (88, 1422, 1796),
}  # subjects, slices with a foreground, all slices
PMRI = {
    "RUNMC": (30, (411, 421), 419),
    "BMC": (30, (384, 384), 324),
    "I2CVB": (19, (468, 468), 505),
    "UCL": (13, (175, 175), 171),
    "BIDMC": (12, (261, 261), 197),
    "HK": (12, (158, 158), 157),
}  # subjects, slices with a foreground, the same by the published code
OTHERS = "counts that other projects report for these files"


@dataclass(frozen=True)
class Expected:
    """What is known of a data set. Slice counts by domain, lowest and highest; None where nobody states them."""

    title: str
    source: str
    subjects: dict[str, int]
    filled: dict[str, Range] | None = None
    slices: dict[str, Range] | None = None
    phases: frozenset[str] = frozenset()


def expected_counts(info: dict) -> Expected | None:
    """What to expect of the set that dataset.json describes; None if no command of ours prepared it."""
    match = re.match(r"python -m data_download prepare (\S+)(.*)", str(info.get("how_made")))
    if match is None or match[1] not in EXPECTED:
        return None
    return EXPECTED[match[1]](match[2])


def _mnms2(flags: str) -> Expected:
    return Expected(
        "M&Ms-2",
        "Table 2 of the paper",
        {name: row[0] for name, row in MNMS2.items()},
        {name: (row[1], row[1]) for name, row in MNMS2.items()},
        {name: (row[2], row[2]) for name, row in MNMS2.items()},
        frozenset({"ED", "ES"}),
    )


def _pmri(flags: str) -> Expected:
    subjects = {name: row[0] for name, row in PMRI.items()}
    if re.search(r"--geometry[ =]published-code", flags):
        filled = {name: (row[2], row[2]) for name, row in PMRI.items()}
        return Expected("PMRI in the published code's geometry", "Table 2 of the paper", subjects, filled)
    source = f"Table 2 of the paper for subjects, {OTHERS} for slices"
    return Expected("PMRI", source, subjects, {name: row[1] for name, row in PMRI.items()})


def _promise12(flags: str) -> Expected:
    # BIDMC has one case more than in PMRI, and RUNMC's are other patients: no count is known for either.
    subjects = {"RUNMC": 12, "UCL": 13, "BIDMC": 13, "HK": 12}
    filled = {name: PMRI[name][1] for name in ("UCL", "HK")}
    return Expected("PROMISE12", f"the sites by case index, {OTHERS} for slices", subjects, filled)


def _acdc(flags: str) -> Expected:
    return Expected("ACDC", "the data set's own description", {"ACDC": 150}, phases=frozenset({"ED", "ES"}))


EXPECTED = {"mnms2": _mnms2, "pmri": _pmri, "promise12": _promise12, "acdc": _acdc}
