"""M&Ms-2: short-axis cine MR of 360 subjects from seven scanners of three makers, end-diastole and end-systole.

Stored as MnM2/dataset_information.csv and MnM2/dataset/NNN/NNN_SA_{ED,ES}[_gt].nii.gz. Labels are 1 LV, 2 myocardium,
3 RV, as ours. The table of the distributed archive ends in a million blank rows, and some masks hold negative values.
The organisers send an address to those who register, so none is here.
"""

from __future__ import annotations

import re
from pathlib import Path

from advconf_lite.support.errors import BadInput, mended
from data_download.dataset import DataSet, Expected
from data_download.fetching.source import Source
from data_download.preparing.files import ending, listed, refuse_link_to_nothing, search, stem, the_one
from data_download.preparing.inventory import Inventory, Scan

TABLE = "dataset_information.csv"
# Domain, which is a part of the table's SCANNER strings: subjects and slices with a foreground, of the paper's Table 2, and
# all slices, of the notes in the published code.
DOMAINS = {
    "Symphony": (172, 2998, 4024),
    "Trio": (5, 94, 128),
    "Avanto": (42, 695, 904),
    "HDxt": (25, 426, 618),
    "EXCITE": (27, 459, 632),
    "Explorer": (1, 18, 26),
    "Achieva": (88, 1422, 1796),
}


def find(folder: Path, inventory: Inventory) -> None:
    """ED and ES of every subject of the table.

    Raises:
        BadInput: no table or subjects, or an unknown scanner; the sentence names it.
    """
    found, others = search(folder, lambda path: is_table(path) or is_subject(path), depth=3)
    table = find_table(folder, [path for path in found if is_table(path)])
    dataset = find_dataset(folder, table, [path for path in found if is_subject(path)])
    subjects = read_table(table, inventory)
    for path in others:
        inventory.ignore(path, "in no folder of a subject")
    for path in filter(is_subject, found):
        if path.parent != dataset:
            inventory.ignore(path, f"another folder of subjects than {dataset.name}")
        elif path.name not in subjects:
            inventory.ignore(path, f"not in {table.name}")
    for subject, scanner in subjects.items():
        with inventory.subject(scanner, subject):
            domain = domain_of(scanner, subject, table)
            inventory.scans += find_scans(dataset / subject, domain, inventory)


def is_table(path: Path) -> bool:
    """Is this the table of all subjects?"""
    return path.name.lower() == TABLE


def is_subject(path: Path) -> bool:
    """Is this a folder such as 001?"""
    return bool(re.fullmatch(r"\d{3}", path.name)) and path.is_dir()


def find_table(folder: Path, tables: list[Path]) -> Path:
    """dataset_information.csv, which was looked for at most three levels down.

    Raises:
        BadInput: there is none, or there are two.
    """
    if not tables:
        raise BadInput(f"{folder} holds no {TABLE}; give the folder MnM2, or the one that holds it, with --source")
    if len(tables) > 1:
        raise BadInput(f"{TABLE} is both at {tables[0]} and at {tables[1]}; remove one copy, or give one with --source")
    return tables[0]


def find_dataset(folder: Path, table: Path, subjects: list[Path]) -> Path:
    """The folder that holds 001/001_SA_ED.nii.gz and so on: beside the table, in `dataset`, or anywhere below `folder`.

    Raises:
        BadInput: there is none.
    """
    nearby = (table.parent / "dataset", table.parent, folder / "dataset", folder)
    places = dict.fromkeys((*nearby, *(path.parent for path in subjects)))
    for place in places:
        if any(has_scans(path) for path in subjects if path.parent == place):
            return place
    raise BadInput(f"{folder} holds no folders like 001 with 001_SA_ED.nii.gz; complete the download or correct --source")


def has_scans(folder: Path) -> bool:
    """Does the folder of a subject hold its end-diastole? One that may not be listed is reported later."""
    try:
        return any(ending(path) and stem(path).lower().endswith("_sa_ed") for path in listed(folder))
    except BadInput:
        return False


def find_scans(folder: Path, domain: str, inventory: Inventory) -> list[Scan]:
    """The short-axis ED and ES of one subject.

    Raises:
        BadInput: its folder may not be listed, or a file is there twice or a link to nothing.
    """
    subject, scans = folder.name, []
    found: dict[str, list[Path]] = {}
    for path in listed(folder) if folder.is_dir() else ():
        found.setdefault(stem(path).lower() if ending(path) else path.name, []).append(path)
    for phase in ("ED", "ES"):
        name = f"{subject}_SA_{phase}"
        image = the_one(found.pop(name.lower(), []), f"images {name}") or folder / f"{name}.nii.gz"
        mask = the_one(found.pop(f"{name.lower()}_gt", []), f"masks of {name}")
        mask = mask or image.with_name(f"{stem(image)}_gt{ending(image)}")
        refuse_link_to_nothing(image, mask)
        scans.append(Scan("mnms2", domain, subject, phase, image, mask))
    for path in (path for paths in found.values() for path in paths):
        inventory.ignore(path, "the long axis, the whole cine, or no scan")
    return scans


def read_table(path: Path, inventory: Inventory) -> dict[str, str]:
    """Subject, as three digits -> SCANNER. Blank rows are counted in a note.

    Raises:
        BadInput: it cannot be read, lacks a column, names a subject twice or one by no number.
    """
    import pandas as pd  # takes longer than all of `list`

    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", usecols=lambda name: True)
    except (OSError, ValueError) as error:
        raise BadInput(
            f"{path} cannot be read as a CSV table ({' '.join(str(error).split())}); {mended(error, 'get it again')}"
        ) from error
    table.columns = [name.strip().upper() for name in table.columns]
    for column in ("SUBJECT_CODE", "SCANNER"):
        if column not in table:
            raise BadInput(f"{path} has no column {column}; get the table of M&Ms-2 again")
    blank = (table == "").all(axis=1)
    if blank.any():
        inventory.notes.append(f"{int(blank.sum())} blank rows of {path.name} were left out")
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


def expected(flags: str) -> Expected:
    """Table 2 of the paper."""
    return Expected(
        "M&Ms-2",
        "Table 2 of the paper",
        {name: row[0] for name, row in DOMAINS.items()},
        {name: (row[1], row[1]) for name, row in DOMAINS.items()},
        {name: (row[2], row[2]) for name, row in DOMAINS.items()},
        frozenset({"ED", "ES"}),
    )


DATA_SET = DataSet(
    name="mnms2",
    what="M&Ms-2: cardiac cine MR, short axis, ED and ES; LV, MYO, RV; 360 subjects, 7 scanners, 3 vendors",
    labels={1: 1, 2: 2, 3: 3},
    info={
        "name": "M&Ms-2",
        "class_names": ["LV", "MYO", "RV"],
        "source_domain": "Symphony",
        "target_domains": [name for name in DOMAINS if name != "Symphony"],
        "tolerance_mm": 3.0,
    },
    find=find,
    organ="cardiac",
    spacing_mm=1.0,
    size=256,
    expected=expected,
    source=Source(
        size_bytes=4_330_000_000,
        licence="not stated; whatever the registration form asks you to agree to",
        citation="Campello et al., Multi-Centre, Multi-Vendor and Multi-Disease Cardiac Segmentation: The M&Ms "
        "Challenge, IEEE TMI 40(12), 2021; Martin-Isla et al., Deep Learning Segmentation of the Right Ventricle "
        "in Cardiac MRI: The M&Ms Challenge, IEEE JBHI 27(7), 2023",
        page="https://www.ub.edu/mnms-2/",
        archive="MnM2.zip",
        url=None,
        checksum=None,
        browser="https://www.ub.edu/mnms-2/",
    ),
)
