"""ACDC: short-axis cine MR of 150 patients at one hospital, end-diastole and end-systole.

Stored as DIR/{training,testing}/patientNNN/ with patientNNN_frameMM.nii.gz, its mask ..._gt.nii.gz, and
Info.cfg, which names the frames that are ED and ES. Stored labels are 1 RV, 2 myocardium, 3 LV; ours are 1
LV, 2 MYO, 3 RV, as in M&Ms-2.
"""

from __future__ import annotations

import re
from pathlib import Path

from advconf_lite.support.errors import BadInput
from data_download.dataset import DataSet, Expected
from data_download.fetching.source import Source
from data_download.preparing.inventory import Inventory, Scan


def find(folder: Path, inventory: Inventory) -> None:
    """The ED and the ES scan of every patient.

    Raises:
        BadInput: no patients, a patient twice, or frames that are missing; the sentence names the file or folder.
    """
    for patient in find_patients(folder):
        with inventory.subject("ACDC", patient.name):
            inventory.scans += find_scans(patient, inventory.notes)


def find_patients(source: Path) -> list[Path]:
    """The patientNNN folders in `source`, at most three levels down, sorted by name.

    Raises:
        BadInput: there are none, or a patient occurs twice.
    """
    nested = (source, *(folder for depth in ("*", "*/*", "*/*/*") for folder in source.glob(depth) if folder.is_dir()))
    found = [path for folder in nested for path in folder.glob("patient*") if re.fullmatch(r"patient\d+", path.name)]
    patients: dict[str, Path] = {}
    for path in sorted(path for path in found if path.is_dir()):
        if path.name in patients:
            raise BadInput(f"{path.name} is both in {patients[path.name].parent} and in {path.parent}; remove one copy")
        patients[path.name] = path
    if not patients:
        raise BadInput(f"{source} holds no patientNNN folders; give the folder that holds training/patient001/")
    return [patients[name] for name in sorted(patients)]


def find_scans(folder: Path, notes: list[str]) -> list[Scan]:
    """The ED and the ES scan of one patient; without Info.cfg the first and second stored frame, with a note.

    Raises:
        BadInput: Info.cfg names no ED and ES, or a frame is missing or there are more than two without
            Info.cfg.
    """
    frames = {}
    for path in sorted(folder.iterdir()):
        if match := re.fullmatch(rf"{folder.name}_frame(\d+)(\.nii(?:\.gz)?)", path.name):
            frames[int(match[1])] = (path, path.with_name(f"{folder.name}_frame{match[1]}_gt{match[2]}"))
    config = folder / "Info.cfg"
    if config.is_file():
        entries = re.findall(r"^\s*(ED|ES)\s*:\s*(\d+)\s*$", config.read_text(errors="replace"), flags=re.MULTILINE)
        phases = {phase: int(number) for phase, number in entries}
        if set(phases) != {"ED", "ES"}:
            raise BadInput(f"{config} has no lines 'ED: number' and 'ES: number'; download it again or remove it")
        for phase, number in phases.items():
            if number not in frames:
                missing = folder / f"{folder.name}_frame{number:02d}.nii.gz"
                raise BadInput(f"{missing} is missing, which Info.cfg names as {phase}; complete the download")
    else:
        if len(frames) != 2:
            raise BadInput(
                f"{folder} has {len(frames)} frames and no Info.cfg that says which are ED and ES; complete the download"
            )
        notes.append("no Info.cfg: the first stored frame was taken as ED and the second as ES")
        phases = dict(zip(("ED", "ES"), sorted(frames)))
    return [Scan("ACDC", "ACDC", folder.name, phase, *frames[number]) for phase, number in phases.items()]


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
