"""Synthetic archives in the exact layouts of M&Ms-2, SAML, PROMISE12 and ACDC, of any size.

Every builder takes the number of subjects per domain (all of them by default) and the in-plane size, writes the files
and returns the plan: one `Volume` per image and mask. Anatomy is placed in the patient's space and not in the array:
the RV lies to the right and in front of the LV, and a bright spot without a label lies below and behind it, so a test
can tell which way up a prepared heart is. Slice totals are those of the paper's Table 2 and of the real files.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel
import numpy as np
import torch
import torch.nn.functional as F

WORLD = {"R": (1, 0, 0), "L": (-1, 0, 0), "A": (0, 1, 0), "P": (0, -1, 0), "S": (0, 0, 1), "I": (0, 0, -1)}
# From the base to the apex of a heart whose slice axis is nearest to one of the body's axes, which varies by patient.
APEX = {"S": (-0.45, 0.40, -0.80), "R": (-0.80, 0.45, -0.40), "A": (-0.45, 0.80, -0.40)}
PELVIS = (0.05, -0.15, 1.0)

# domain: SCANNER, VENDOR, subjects, all slices, non-empty slices, in-plane spacing from and to
MNMS2 = {
    "Symphony": ("SymphonyTim", "SIEMENS", 172, 4024, 2998, 1.000, 1.641),
    "Trio": ("TrioTim", "SIEMENS", 5, 128, 94, 1.000, 1.328),
    "Avanto": ("Avanto Fit", "SIEMENS", 42, 904, 695, 0.977, 1.417),
    "HDxt": ("Signa HDxt", "GE MEDICAL SYSTEMS", 25, 618, 426, 0.605, 1.563),
    "EXCITE": ("SIGNA EXCITE", "GE MEDICAL SYSTEMS", 27, 632, 459, 1.000, 1.484),
    "Explorer": ("Signa Explorer", "GE MEDICAL SYSTEMS", 1, 26, 18, 0.781, 0.781),
    "Achieva": ("Achieva", "Philips Medical Systems", 88, 1796, 1422, 0.684, 1.484),
}
CODES = {
    "SIEMENS": ("LPS", "LPS", "PIL"),
    "GE MEDICAL SYSTEMS": ("PIR",),
    "Philips Medical Systems": ("IRA", "PIR"),
}
# site: cases, non-empty slices, in-plane spacing from and to, slice distance, cases whose gland reaches the last of 40
# slices: at 0.521 mm, the published code then loses one
SAML = {
    "RUNMC": (30, 419, 0.500, 0.521, 3.6, 0),
    "BMC": (30, 384, 0.417, 0.443, 3.0, 0),
    "I2CVB": (19, 468, 0.534, 0.617, 1.25, 0),
    "UCL": (13, 175, 0.469, 0.521, 3.3, 0),
    "BIDMC": (12, 261, 0.365, 0.417, 2.2, 0),
    "HK": (12, 158, 0.521, 0.521, 3.6, 1),
}
SAML_PUBLISHED = {"RUNMC": 419, "BMC": 324, "I2CVB": 505, "UCL": 171, "BIDMC": 197, "HK": 157}
BIDMC_DEPTHS = (47, 54, 42, 46, 42, 39, 34, 40, 47, 39, 45, 46)


@dataclass(frozen=True)
class Volume:
    """One image and its mask: `slices` of them, the `filled` from number `first` on with a foreground."""

    domain: str
    subject: str
    phase: str
    image: Path
    mask: Path
    spacing_mm: float
    slice_mm: float
    slices: int
    first: int
    filled: int
    codes: str = "LPS"
    sheared: bool = False
    negatives: int = 0

    @property
    def published(self) -> int:
        """Non-empty slices after the published code's resampling of the slice axis, to 0.5 mm."""
        profile = torch.zeros(1, 1, 8, self.slices)  # two axes, as there: PyTorch rounds otherwise with one
        profile[..., self.first : self.first + self.filled] = 1
        scale = float(np.float32(self.spacing_mm)) / 0.5
        return int(F.interpolate(profile, scale_factor=(scale, scale), mode="nearest")[0, 0, 0].sum())


def totals(volumes: list[Volume], value: str) -> dict[str, int]:
    """Sum of an attribute per domain; "subjects" counts those."""
    domains = dict.fromkeys(volume.domain for volume in volumes)
    if value == "subjects":
        return {name: len({v.subject for v in volumes if v.domain == name}) for name in domains}
    return {name: sum(getattr(v, value) for v in volumes if v.domain == name) for name in domains}


def spread(total: int, parts: int) -> list[int]:
    """`parts` whole numbers, as equal as can be, that sum to `total`."""
    return [total // parts + (part < total % parts) for part in range(parts)]


# ---- pixels


def affine_for(codes: str, spacing: float, slice_mm: float, shape, turn=0.0, shear=0.0, axis=None) -> np.ndarray:
    """An oblique affine with these axis codes, turned by degrees in its plane: across a heart, or across `axis`."""
    towards = np.array(axis or APEX[{"L": "R", "I": "S", "P": "A"}.get(codes[2], codes[2])])
    through = towards / np.linalg.norm(towards)
    through = through if through @ WORLD[codes[2]] > 0 else -through
    first = np.array(WORLD[codes[0]]) - (through @ WORLD[codes[0]]) * through
    first /= np.linalg.norm(first)
    second = np.cross(through, first)
    second = second if second @ WORLD[codes[1]] > 0 else -second
    angle = np.deg2rad(turn)
    first, second = np.cos(angle) * first + np.sin(angle) * second, np.cos(angle) * second - np.sin(angle) * first
    affine = np.eye(4)
    affine[:3, :3] = np.stack([first * spacing, (second + shear * first) * spacing, through * slice_mm], axis=1)
    affine[:3, 3] = np.array([10.0, -20.0, 30.0]) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    assert "".join(nibabel.aff2axcodes(affine)) == codes
    return affine


def in_plane(affine: np.ndarray, shape, field_mm: float):
    """In-plane coordinates (W, H) along a world direction, in mm of a body that fills the image."""
    steps = affine[:3, :2]
    i, j = np.meshgrid(np.arange(shape[0]) - (shape[0] - 1) / 2, np.arange(shape[1]) - (shape[1] - 1) / 2, indexing="ij")
    grow = max(1.0, field_mm / min(shape[:2] * np.linalg.norm(steps, axis=0)))  # small arrays hold a small patient
    normal = np.cross(steps[:, 0], steps[:, 1])

    def along(world):
        direction = np.array(world, float) - (normal @ world) / (normal @ normal) * normal
        direction /= np.linalg.norm(direction)
        return grow * (i * (steps[:, 0] @ direction) + j * (steps[:, 1] @ direction))

    return along


def heart(volume: Volume, affine: np.ndarray, shape, labels=(1, 2, 3)) -> tuple[np.ndarray, np.ndarray]:
    """Image and mask (W, H, Z): bright LV in darker myocardium, RV, spot; `labels` of LV, myocardium and RV."""
    along = in_plane(affine, shape, 260.0)
    normal = np.cross(affine[:3, 0], affine[:3, 1])
    rv, spot = (1, 1, 0), (0, -1, -1)
    right, aside, below, across = (along(w) for w in (rv, np.cross(normal, rv), spot, np.cross(normal, spot)))
    plane, radius = np.full(shape[:2], 120.0), np.hypot(right, aside)
    plane[np.hypot(below - 85, across) < 15] = 1500.0
    image, mask = plane[..., None].repeat(shape[2], axis=2), np.zeros(shape, np.int16)
    for k in range(volume.first, volume.first + volume.filled):
        size = 1.0 - 0.3 * (k - volume.first) / volume.filled  # towards the apex
        for label, level, here in (
            (labels[2], 600, np.hypot(right - 45, aside) < 22 * size),
            (labels[1], 250, radius < 32 * size),
            (labels[0], 800, radius < 20 * size),
        ):
            mask[..., k][here], image[..., k][here] = label, level
    return image, mask


def prostate(volume: Volume, affine: np.ndarray, shape, zones: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Image and mask (W, H, Z): gland, rectum behind it, a bright spot on the right; `zones` labels 1 and 2."""
    along = in_plane(affine, shape, 190.0)
    right, back = along(WORLD["R"]), along(WORLD["P"])
    plane = np.full(shape[:2], 150.0)
    plane[np.hypot(right, back - 45) < 14] = 20.0
    plane[np.hypot(right - 60, back) < 10] = 1500.0
    image, mask = plane[..., None].repeat(shape[2], axis=2), np.zeros(shape, np.int16)
    for k in range(volume.first, volume.first + volume.filled):
        size = 1.0 - 0.3 * (k - volume.first) / volume.filled
        gland = np.hypot(right / 26, back / 22) < size
        mask[..., k][gland], image[..., k][gland] = 1, 500
        if zones:
            mask[..., k][gland & (back < 0)], image[..., k][gland & (back < 0)] = 2, 350
    return image, mask


def noisy(image: np.ndarray, seed: int) -> np.ndarray:
    """int16, with noise that differs between volumes: two patients must not share an image."""
    return (image + np.random.default_rng(seed).normal(0, 15, image.shape)).clip(0).astype(np.int16)


def nifti(array: np.ndarray, affine: np.ndarray) -> bytes:
    """A .nii.gz; sform 2 and qform 0, as real M&Ms files have them."""
    return gzip.compress(nibabel.Nifti1Image(array, affine).to_bytes(), 1, mtime=0)


def write_pair(volume: Volume, size: tuple[int, int], seed: int, turn: float, draw, **options) -> None:
    """Image and mask of one volume."""
    shape = (*size, volume.slices)
    shear = 0.02 if volume.sheared else 0.0
    axis = PELVIS if draw is prostate else None
    affine = affine_for(volume.codes, volume.spacing_mm, volume.slice_mm, shape, turn, shear, axis)
    image, mask = draw(volume, affine, shape, **options)
    mask[0, : volume.negatives, volume.first] = -1
    dtype = np.int16 if volume.negatives else np.uint8
    for path, array in ((volume.image, noisy(image, seed)), (volume.mask, mask.astype(dtype))):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(nifti(array, affine))


# ---- archives


def mnms2_plan(root: Path, subjects: dict[str, int] | None = None, depth=None) -> list[Volume]:
    """ED and ES of subjects 001 to 360, scanners mixed as in the challenge; `depth` (slices, filled) of each volume.

    One HDxt subject has an affine that is not orthonormal, and the masks of two Achieva subjects hold negative values.
    """
    chosen = {name: row[2] for name, row in MNMS2.items()} if subjects is None else subjects
    order = np.random.default_rng(0).permutation([name for name, number in chosen.items() for _ in range(number)])
    rest = {name: _heart_plan(name, number, depth) for name, number in chosen.items()}
    volumes = []
    for code, domain in enumerate(map(str, order), start=1):
        rank, spacing, slices, both = next(rest[domain])
        codes = CODES[MNMS2[domain][1]]
        for phase, filled in zip(("ED", "ES"), both):
            start = root / "MnM2" / "dataset" / f"{code:03d}" / f"{code:03d}_SA_{phase}"
            volumes.append(
                Volume(
                    domain, f"{code:03d}", phase, Path(f"{start}.nii.gz"), Path(f"{start}_gt.nii.gz"), spacing,
                    8.0 + code % 3, slices, (slices - filled) // 2, filled, codes[rank % len(codes)],
                    sheared=domain == "HDxt" and rank == 0, negatives=3 * (domain == "Achieva" and rank < 2),
                )
            )  # fmt: skip
    return volumes


def _heart_plan(domain: str, number: int, depth):
    """Rank, spacing, slices, and the filled slices of ED and ES, for each subject of a domain."""
    _, _, cases, everything, non_empty, low, high = MNMS2[domain]
    slices = spread(round(everything * number / cases / 2), number)
    for rank in range(number // 2):  # neither all alike, nor another sum
        slices[rank] += 1
        slices[-1 - rank] -= 1
    filled = spread(round(non_empty * number / cases), 2 * number)
    for rank, spacing in enumerate(np.linspace(low, high, number)):
        if depth:
            yield rank, float(spacing), depth[0], (depth[1], depth[1])
        else:
            yield rank, float(spacing), slices[rank], (filled[rank], filled[-1 - rank])


def mnms2(root: Path, subjects: dict[str, int] | None = None, size=(30, 26), padding: int = 1000, depth=None):
    """MnM2/dataset_information.csv with `padding` blank rows, and ten files for each subject."""
    volumes = mnms2_plan(root, subjects, depth)
    rows = ["SUBJECT_CODE,DISEASE,VENDOR,SCANNER,FIELD"]
    still, cine = (nifti(np.ones(shape, np.int16), np.eye(4)) for shape in ((6, 5, 1), (6, 5, 2, 3)))
    for seed, volume in enumerate(volumes):
        code, folder = int(volume.subject), volume.image.parent
        write_pair(volume, size, seed, code % 5 * 4.0 - 8.0, heart)
        if volume.phase == "ED":
            scanner, vendor = MNMS2[volume.domain][:2]
            field = 3 if volume.domain == "Trio" else 1.5
            rows.append(f"{code},{('NOR', 'HCM', 'LV', 'ARR')[code % 4]},{vendor},{scanner},{field}")
            for name in ("LA_ED", "LA_ED_gt", "LA_ES", "LA_ES_gt", "SA_CINE", "LA_CINE"):
                (folder / f"{volume.subject}_{name}.nii.gz").write_bytes(cine if "CINE" in name else still)
    (root / "MnM2" / "dataset_information.csv").write_text("\n".join(rows) + "\n" + ",,,,\n" * padding)
    return volumes


def saml_plan(root: Path, sites: dict[str, int] | None = None, depth=None) -> list[Volume]:
    """Cases of Processed_data_nii, whose spacings make the published code end at Table 2's slice counts."""
    volumes = []
    for site, number in (sites or {name: row[0] for name, row in SAML.items()}).items():
        cases, non_empty, low, high, slice_mm, touching = SAML[site]
        folder, ending = root / "Processed_data_nii" / site, "Segmentation" if site == "BMC" else "segmentation"
        here = []
        for case, filled in enumerate(spread(round(non_empty * number / cases), number)):
            slices, filled = depth or (BIDMC_DEPTHS[case] if site == "BIDMC" else filled + 6 + case % 4, filled)
            spacing, first = float(np.linspace(high, low, number)[case]), (slices - filled) // 2
            if case < touching and not depth:
                slices, spacing, first = 40, high, 40 - filled
            name = f"Case{case:02d}"
            paths = folder / f"{name}.nii.gz", folder / f"{name}_{ending}.nii.gz"
            here.append(Volume(site, name, "", *paths, round(spacing, 4), slice_mm, slices, first, filled))
        volumes += here if depth or number != cases else _meet(here, SAML_PUBLISHED[site], low, high)
    return volumes


def _meet(volumes: list[Volume], target: int, low: float, high: float) -> list[Volume]:
    """Change spacings inside [low, high], one thousandth at a time, until the published counts sum to `target`."""
    volumes = list(volumes)
    counts = [volume.published for volume in volumes]
    for turn in range(200 * len(volumes)):
        excess = sum(counts) - target
        if excess == 0:
            return volumes
        case = turn % len(volumes)
        spacing = round(min(high, max(low, volumes[case].spacing_mm - np.sign(excess) * 0.001)), 4)
        volumes[case] = replace(volumes[case], spacing_mm=float(spacing))
        counts[case] = volumes[case].published
    raise AssertionError(f"{volumes[0].domain}: no spacings give {target} slices")


def saml(root: Path, sites: dict[str, int] | None = None, size: int = 24, depth=None) -> list[Volume]:
    """Processed_data_nii/SITE/CaseNN.nii.gz with masks; `_Segmentation` in BMC; labels 0, 1, 2 in RUNMC and BMC."""
    volumes = saml_plan(root, sites, depth)
    for seed, volume in enumerate(volumes):
        write_pair(volume, (size, size), seed, seed % 3 * 3.0 - 3.0, prostate, zones=volume.domain in ("RUNMC", "BMC"))
    return volumes


def promise12(root: Path, cases: list[int] | None = None, size: int = 24) -> list[Volume]:
    """training_data/CaseNN.mhd and .raw; SAML's BIDMC (0, 2-12), HK (13-24) and UCL (25-37), and more."""
    known = {site: iter([v for v in saml_plan(root) if v.domain == site]) for site in ("BIDMC", "HK", "UCL")}
    volumes = []
    for case in range(50) if cases is None else cases:
        site = "BIDMC" if case < 13 else "HK" if case < 25 else "UCL" if case < 38 else "RUNMC"
        plan = None if case == 1 or site == "RUNMC" else next(known[site])
        slices, filled = (plan.slices, plan.filled) if plan else (24, 14)
        name = f"Case{case:02d}"
        paths = (root / "training_data" / f"{name}{end}.mhd" for end in ("", "_segmentation"))
        spacing = {"BIDMC": 0.4, "HK": 0.625, "UCL": 0.5, "RUNMC": 0.6}[site]
        volume = Volume(site, name, "", *paths, spacing, 3.6, slices, (slices - filled) // 2, filled)
        volumes.append(volume)
        shape = (size, size, slices)
        image, mask = prostate(volume, affine_for("LPS", spacing, 3.6, shape, axis=PELVIS), shape)
        for path, array, kind in ((volume.image, noisy(image, case), "SHORT"), (volume.mask, mask.astype(np.int8), "CHAR")):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_suffix(".raw").write_bytes(array.tobytes(order="F"))
            path.write_text(
                "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n"
                "CompressedData = False\nTransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\n"
                f"CenterOfRotation = 0 0 0\nAnatomicalOrientation = RAI\nElementSpacing = {spacing} {spacing} 3.6\n"
                f"DimSize = {size} {size} {slices}\nElementType = MET_{kind}\nElementDataFile = {path.stem}.raw\n"
            )
    return volumes


def acdc(root: Path, patients: list[int] | None = None, size=(30, 26), slices: int = 9) -> list[Volume]:
    """training/patientNNN (1-100) and testing/patientNNN (101-150): two frames, masks, a 4-D file and Info.cfg."""
    volumes = []
    for patient in range(1, 151) if patients is None else patients:
        name = f"patient{patient:03d}"
        folder = root / ("training" if patient <= 100 else "testing") / name
        frames = {"ED": 1, "ES": 8 + patient % 5}
        for number, (phase, frame) in enumerate(frames.items()):
            paths = (folder / f"{name}_frame{frame:02d}{end}.nii.gz" for end in ("", "_gt"))
            volume = Volume("ACDC", name, phase, *paths, 1.4 + patient % 3 * 0.1, 10.0, slices, 1, slices - 2)
            write_pair(volume, size, 2 * patient + number, patient % 5 * 4.0 - 8.0, heart, labels=(3, 2, 1))
            volumes.append(volume)
        (folder / f"{name}_4d.nii.gz").write_bytes(nifti(np.ones((6, 5, 2, 3), np.int16), np.eye(4)))
        (folder / "Info.cfg").write_text(f"ED: {frames['ED']}\nES: {frames['ES']}\nGroup: DCM\nHeight: 170.0\nNbFrame: 30\n")
    return volumes
