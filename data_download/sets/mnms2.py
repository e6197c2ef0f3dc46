"""M&Ms-2: short-axis cine MR of 360 subjects from seven scanners of three makers, end-diastole and end-systole.

Stored as MnM2/dataset_information.csv and MnM2/dataset/NNN/NNN_SA_{ED,ES}[_gt].nii.gz. Labels are 1 LV, 2 myocardium,
3 RV, as ours. The table of the distributed archive ends in a million blank rows, and some masks hold negative values.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from advconf_lite.data.slices import SliceSet
from advconf_lite.support.errors import BadInput
from data_download.fetching.sources import SOURCES
from data_download.prepare import Archive, Scan, add_common_options, prepare_scans, unpacked

NAME = "mnms2"
WHAT = SOURCES[NAME].what
DOMAINS = ("Symphony", "Trio", "Avanto", "HDxt", "EXCITE", "Explorer", "Achieva")  # parts of the SCANNER strings
LABELS = {1: 1, 2: 2, 3: 3}
TABLE = "dataset_information.csv"


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `prepare mnms2`."""
    add_common_options(parser, spacing_mm=1.0, size=256)


def prepare(options: argparse.Namespace) -> SliceSet:
    """M&Ms-2 to a slice set with seven domains, Symphony being the source.

    Raises:
        BadInput: no table or subjects, an unknown scanner, or a bad file; the sentence names it.
    """
    with unpacked(options) as folder:
        archive = Archive(options.skip_bad)
        table = find_table(folder)
        dataset = find_dataset(folder, table)
        for subject, scanner in read_table(table, archive).items():
            with archive.subject(scanner, subject):
                domain = domain_of(scanner, subject, table)
                for phase in ("ED", "ES"):
                    start = dataset / subject / f"{subject}_SA_{phase}"
                    paths = Path(f"{start}.nii.gz"), Path(f"{start}_gt.nii.gz")
                    archive.scans.append(Scan(NAME, domain, subject, phase, *paths))
        info = {
            "name": "M&Ms-2",
            "class_names": ["LV", "MYO", "RV"],
            "source_domain": DOMAINS[0],
            "target_domains": list(DOMAINS[1:]),
            "tolerance_mm": 3.0,
            "licence": SOURCES[NAME].licence,
            "citation": SOURCES[NAME].citation,
        }
        return prepare_scans(NAME, archive, LABELS, info, options, organ="heart")


def find_table(folder: Path) -> Path:
    """dataset_information.csv, at most three levels down.

    Raises:
        BadInput: there is none, or there are two.
    """
    found = [path for depth in ("", "*/", "*/*/", "*/*/*/") for path in sorted(folder.glob(depth + TABLE))]
    if not found:
        raise BadInput(f"{folder} holds no {TABLE}; give the folder MnM2, or the one that holds it, with --source")
    if len(found) > 1:
        raise BadInput(f"{TABLE} is both at {found[0]} and at {found[1]}; remove one copy, or give one with --source")
    return found[0]


def find_dataset(folder: Path, table: Path) -> Path:
    """The folder that holds 001/001_SA_ED.nii.gz and so on: beside the table, in `dataset`, or anywhere below `folder`.

    Raises:
        BadInput: there is none.
    """
    nearby = (table.parent / "dataset", table.parent, folder / "dataset", folder)
    for place in nearby:
        if next(place.glob("[0-9][0-9][0-9]/*_SA_ED.nii.gz"), None):
            return place
    for path in folder.glob("*/*/[0-9][0-9][0-9]/*_SA_ED.nii.gz"):
        return path.parents[1]
    raise BadInput(f"{folder} holds no folders like 001 with 001_SA_ED.nii.gz; complete the download or correct --source")


def read_table(path: Path, archive: Archive) -> dict[str, str]:
    """Subject, as three digits -> SCANNER. Blank rows are counted in a note.

    Raises:
        BadInput: it cannot be read, lacks a column, names a subject twice or one by no number.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", usecols=lambda name: True)
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} cannot be read as a CSV table ({' '.join(str(error).split())}); get it again") from error
    table.columns = [name.strip().upper() for name in table.columns]
    for column in ("SUBJECT_CODE", "SCANNER"):
        if column not in table:
            raise BadInput(f"{path} has no column {column}; get the table of M&Ms-2 again")
    blank = (table == "").all(axis=1)
    if blank.any():
        archive.notes.append(f"{int(blank.sum())} blank rows of {path.name} were left out")
    scanners: dict[str, str] = {}
    for code, scanner in table.loc[~blank, ["SUBJECT_CODE", "SCANNER"]].itertuples(index=False):
        number = pd.to_numeric(code.strip(), errors="coerce")  # "7", "007" and "7.0" are one subject
        if not (number > 0 and number == int(number)):
            raise BadInput(f"{path} names a subject {code!r}, which is no number; correct the table")
        subject = f"{int(number):03d}"
        if subject in scanners:
            raise BadInput(f"{path} names subject {subject} twice; remove one of the rows")
        scanners[subject] = scanner
    if not scanners:
        raise BadInput(f"{path} names no subject; get the table of M&Ms-2 again")
    return dict(sorted(scanners.items()))


def domain_of(scanner: str, subject: str, table: Path) -> str:
    """The domain whose name is in a SCANNER string, whatever its case.

    Raises:
        BadInput: none is.
    """
    for domain in DOMAINS:
        if domain.lower() in scanner.lower():
            return domain
    raise BadInput(f"{table} names an unknown scanner {scanner!r} for subject {subject}; known are: {', '.join(DOMAINS)}")
