"""Any folder of NIfTI files: your own images, or a public set that this package does not know.

An image is NAME.nii.gz and its mask, if there is one, NAME_gt.nii.gz (or _seg, _segmentation, _mask). A NAME that ends in
_ED or _ES (or _sa_ED, _sa_ES) is a phase of the subject before it.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from advconf_lite.data.slices import SliceSet
from advconf_lite.support.errors import BadInput
from data_download.prepare import Archive, Scan, add_common_options, prepare_scans, unpacked

NAME = "nifti"
WHAT = "Any folder of NIfTI images, with or without masks: one domain"
MASK = r"(?P<image>.+)_(?:gt|seg|segmentation|mask)"


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `prepare nifti`."""
    add_common_options(parser, spacing_mm=1.0, size=256)
    parser.add_argument("--organ", choices=("heart", "prostate"), default="heart", help="decides which way is up")
    parser.add_argument(
        "--classes", nargs="+", default=["LV", "MYO", "RV"], metavar="NAME", help="what labels 1, 2, ... of the masks are"
    )
    parser.add_argument("--domain", default="own", help="a name for the scanner or site")
    parser.add_argument("--tolerance", type=float, default=3.0, help="of the surface Dice, in mm")


def prepare(options: argparse.Namespace) -> SliceSet:
    """A folder of NIfTI files to a slice set with one domain; without masks to an image-only one.

    Raises:
        BadInput: no images, a mask without an image, or a bad file; the sentence names it.
    """
    with unpacked(options) as folder:
        archive = Archive(options.skip_bad)
        find_images(folder, options.domain, archive)
        info = {
            "name": options.domain,
            "class_names": options.classes,
            "source_domain": options.domain,
            "tolerance_mm": options.tolerance,
            "licence": "not stated",
            "citation": "not stated",
        }
        labels = {label: label for label in range(1, len(options.classes) + 1)}
        flags = ["--organ", options.organ, "--classes", *options.classes, "--domain", options.domain]
        flags += ["--tolerance", str(options.tolerance)]
        return prepare_scans(NAME, archive, labels, info, options, options.organ, flags=flags)


def find_images(folder: Path, domain: str, archive: Archive) -> None:
    """Add the images of a folder to `archive`, sorted by name.

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
        with archive.subject(domain, subject):
            if stem not in images:
                raise BadInput(f"{masks[stem]} is a mask without an image; add the image or remove the mask")
            path = images[stem]
            if (subject, phase) in seen:
                raise BadInput(f"{seen[subject, phase]} and {path} are the same subject and phase; rename one of them")
            seen[subject, phase] = path
            mask = masks.get(stem, path.with_name(f"{stem}_gt.nii.gz"))
            archive.scans.append(Scan(NAME, domain, subject, phase, path, mask))
