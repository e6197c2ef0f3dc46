"""ACDC: short-axis cine MR of 150 patients at one hospital, end-diastole and end-systole.

Stored as DIR/{training,testing}/patientNNN/ with patientNNN_frameMM.nii.gz, its mask ..._gt.nii.gz, and
Info.cfg, which names the frames that are ED and ES. Stored labels are 1 RV, 2 myocardium, 3 LV; ours are 1
LV, 2 MYO, 3 RV, as in M&Ms-2.
"""

from __future__ import annotations

import re
from pathlib import Path

from advconf_lite.support.errors import BadInput, mended, reason
from data_download.dataset import DataSet, Expected
from data_download.fetching.source import Source
from data_download.preparing.files import ending, listed, refuse_link_to_nothing, search, stem, the_one
from data_download.preparing.inventory import Inventory, Scan

PATIENT = re.compile(r"patient\d+", flags=re.IGNORECASE)


def find(folder: Path, inventory: Inventory) -> None:
    """The ED and the ES scan of every patient.

    Raises:
        BadInput: no patients, a patient twice, or frames that are missing; the sentence names the file or folder.
    """
    for name, patient in find_patients(folder, inventory).items():
        with inventory.subject("ACDC", name):
            inventory.scans += find_scans(name, patient, inventory)


def find_patients(source: Path, inventory: Inventory) -> dict[str, Path]:
    """Patient -> folder, for the patientNNN folders in `source`, at most three levels down, sorted by name.

    Raises:
        BadInput: there are none, or a patient occurs twice.
    """
    found, others = search(source, lambda path: bool(PATIENT.fullmatch(path.name)) and path.is_dir(), depth=3)
    patients: dict[str, Path] = {}
    for path in found:
        name = path.name.lower()
        if name in patients:
            raise BadInput(
                f"{name} is both in {patients[name].parent} and in {path.parent}; remove one copy, or give one of these "
                "folders with --source"
            )
        patients[name] = path
    if not patients:
        raise BadInput(f"{source} holds no patientNNN folders; give the folder that holds training/patient001/")
    for path in others:
        inventory.ignore(path, "in no folder patientNNN")
    return dict(sorted(patients.items()))


def find_scans(patient: str, folder: Path, inventory: Inventory) -> list[Scan]:
    """The ED and the ES scan of one patient; without Info.cfg the first and second stored frame, with a note.

    Raises:
        BadInput: Info.cfg names no ED and ES, a frame is missing, there twice or a link to nothing, or there are more
            than two without Info.cfg.
    """
    images: dict[int, list[Path]] = {}
    masks: dict[int, list[Path]] = {}
    config = None
    for path in listed(folder):
        match = re.fullmatch(rf"{patient}_frame(\d+)(_gt)?", stem(path), flags=re.IGNORECASE) if ending(path) else None
        if match:
            (masks if match[2] else images).setdefault(int(match[1]), []).append(path)
        elif path.name.lower() == "info.cfg":
            config = path
        else:
            cine = stem(path).lower().endswith("_4d")
            inventory.ignore(path, "the whole cine, of which ED and ES are used" if cine else "no frame of its patient")
    phases = read_phases(config) if config else {}
    for phase, number in phases.items():
        if number not in images:
            missing = folder / f"{patient}_frame{number:02d}.nii.gz"
            raise BadInput(f"{missing} is missing, which Info.cfg names as {phase}; complete the download")
    if not config:
        if len(images) != 2:
            raise BadInput(
                f"{folder} has {len(images)} frames and no Info.cfg that says which are ED and ES; complete the download"
            )
        inventory.notes.append("no Info.cfg: the first stored frame was taken as ED and the second as ES")
        phases = dict(zip(("ED", "ES"), sorted(images)))
    for number in sorted({*images, *masks} - set(phases.values())):
        for path in (*images.get(number, ()), *masks.get(number, ())):
            inventory.ignore(path, "a frame that is neither ED nor ES")
    scans = []
    for phase, number in phases.items():
        image = the_one(images[number], f"frame {number}")
        mask = the_one(masks.get(number, []), f"masks of frame {number}")
        mask = mask or image.with_name(f"{stem(image)}_gt{ending(image)}")
        refuse_link_to_nothing(image, mask)
        scans.append(Scan("ACDC", "ACDC", patient, phase, image, mask))
    return scans


def read_phases(config: Path) -> dict[str, int]:
    """Which frame is ED and which is ES, of Info.cfg.

    Raises:
        BadInput: it cannot be read, or does not say so.
    """
    try:
        text = config.read_text(errors="replace")
    except OSError as error:
        raise BadInput(f"{config} cannot be read ({reason(error)}); {mended(error, 'download it again')}") from error
    entries = re.findall(r"^\s*(ED|ES)\s*:\s*(\d+)\s*$", text, flags=re.MULTILINE)
    phases = {phase: int(number) for phase, number in entries}
    if set(phases) != {"ED", "ES"}:
        raise BadInput(f"{config} has no lines 'ED: number' and 'ES: number'; download it again or remove it")
    return phases


def expected(flags: str) -> Expected:
    """150 patients, by the data set's own description."""
    return Expected("ACDC", "the data set's own description", {"ACDC": 150}, phases=frozenset({"ED", "ES"}))


DATA_SET = DataSet(
    name="acdc",
    what="ACDC: cardiac cine MR, short axis, ED and ES; LV, MYO, RV; 150 patients of one hospital, 1.5 T and 3 T",
    labels={3: 1, 2: 2, 1: 3},
    info={"name": "ACDC", "class_names": ["LV", "MYO", "RV"], "source_domain": "ACDC", "tolerance_mm": 3.0},
    find=find,
    organ="cardiac",
    spacing_mm=1.0,
    size=256,
    expected=expected,
    source=Source(
        size_bytes=2_000_000_000,
        licence="CC BY-NC-SA 4.0, citation mandatory",
        citation="Bernard et al., Deep Learning Techniques for Automatic MRI Cardiac Multi-Structures Segmentation "
        "and Diagnosis: Is the Problem Solved?, IEEE TMI 37(11), 2018",
        page="https://www.creatis.insa-lyon.fr/Challenge/acdc/",
        archive="ACDC.zip",
        url="https://humanheart-project.creatis.insa-lyon.fr/database/api/v1/collection/637218c173e9f0047faa00fb/download",
        checksum="sha256:2787e08b0d3525cbac710fc3bdf69ee7c5fd7446472e49db8bc78548802f6b5e",
        browser="https://humanheart-project.creatis.insa-lyon.fr/database/#collection/637218c173e9f0047faa00fb",
    ),
)
