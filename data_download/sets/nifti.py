"""Any folder of NIfTI files: your own images of any organ, or a public set that this package does not know.

An image is NAME.nii.gz and its mask, if there is one, NAME_gt.nii.gz (or _seg, _segmentation, _mask). A NAME that ends in
_ED or _ES (or _sa_ED, _sa_ES) is a phase of the subject before it.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import replace
from functools import partial
from pathlib import Path

from advconf_lite.support.errors import BadInput
from data_download.dataset import DataSet
from data_download.preparing.inventory import Inventory, Scan
from data_download.preparing.options import positive
from data_download.preparing.orientation import VIEWS

MASK = r"(?P<image>.+)_(?:gt|seg|segmentation|mask)"


def find_images(folder: Path, inventory: Inventory, domain: str = "own") -> None:
    """Add the images of a folder to `inventory`, sorted by name.

    Raises:
        BadInput: there is none; a mask has no image, an image two masks, or two files are one subject and phase.
    """
    files = sorted(path for path in folder.iterdir() if re.search(r"\.nii(\.gz)?$", path.name))
    stems = {path: re.sub(r"\.nii(\.gz)?$", "", path.name) for path in files}
    masks: dict[str, Path] = {}
    for path, stem in stems.items():
        if match := re.fullmatch(MASK, stem, flags=re.IGNORECASE):
            if match["image"] in masks:
                raise BadInput(f"{masks[match['image']]} and {path} are masks of one image; remove one of them")
            masks[match["image"]] = path
    images = {stem: path for path, stem in stems.items() if path not in masks.values()}
    if not images:
        raise BadInput(f"{folder} holds no images NAME.nii or NAME.nii.gz; give the folder that does with --source")
    seen: dict[tuple[str, str], Path] = {}
    for stem in sorted({*images, *masks}):
        match = re.fullmatch(r"(.+?)(?:_sa)?_(ED|ES)", stem, flags=re.IGNORECASE)
        subject, phase = (match[1], match[2].upper()) if match else (stem, "")
        with inventory.subject(domain, subject):
            if stem not in images:
                raise BadInput(f"{masks[stem]} is a mask without an image; add the image or remove the mask")
            path = images[stem]
            if (subject, phase) in seen:
                raise BadInput(f"{seen[subject, phase]} and {path} are the same subject and phase; rename one of them")
            seen[subject, phase] = path
            mask = masks.get(stem, path.with_name(f"{stem}_gt.nii.gz"))
            inventory.scans.append(Scan("nifti", domain, subject, phase, path, mask))


def add_options(parser: argparse.ArgumentParser) -> None:
    """What only the owner of the images knows."""
    parser.add_argument("--organ", choices=tuple(VIEWS), help="turn its planes the usual way up; else they stay as stored")
    parser.add_argument(
        "--classes", nargs="+", default=["foreground"], metavar="NAME", help="what labels 1, 2, ... of the masks are"
    )
    parser.add_argument("--domain", default="own", help="a name for the scanner or site")
    parser.add_argument("--tolerance", type=positive(float), help="of the surface Dice, in mm; without it three pixels")


def with_options(data: DataSet, chosen: argparse.Namespace) -> DataSet:
    """With the classes, the domain and the organ that were given."""
    info = {"name": chosen.domain, "class_names": chosen.classes, "source_domain": chosen.domain}
    flags = ["--organ", chosen.organ] if chosen.organ else []
    flags += ["--classes", *chosen.classes, "--domain", chosen.domain]
    if chosen.tolerance:
        info["tolerance_mm"] = chosen.tolerance
        flags += ["--tolerance", str(chosen.tolerance)]
    return replace(
        data,
        labels={label: label for label in range(1, len(chosen.classes) + 1)},
        info=info,
        find=partial(find_images, domain=chosen.domain),
        organ=chosen.organ,
        flags=tuple(flags),
    )


DATA_SET = DataSet(
    name="nifti",
    what="Any folder of NIfTI images, with or without masks: one domain",
    labels={1: 1},
    info={"name": "own", "class_names": ["foreground"], "source_domain": "own"},
    find=find_images,
    wrong_label="name a class for every label with --classes, or correct the mask",
    add_options=add_options,
    with_options=with_options,
)
