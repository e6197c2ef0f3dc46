"""Own images of any organ, in any usual layout: `python -m data_download prepare nifti --source FOLDER`.

How files are understood is in `data_download/own/`, and for users in docs/data.md.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

from advconf_lite.data.slice_info import UNNAMED
from advconf_lite.support.errors import BadInput
from data_download.dataset import DataSet
from data_download.own.find import Asked, find_own
from data_download.own.labels import ADVICE, classes_and_labels
from data_download.own.lookalike import refuse_masks_among_images
from data_download.own.nnunet import names_of_labels
from data_download.preparing.inventory import Inventory
from data_download.preparing.options import positive
from data_download.preparing.orientation import VIEWS

LAYOUTS = """\
How files are understood, at any depth and with other files between them:
  P1.nii.gz + P1_seg.nii.gz        also _gt _mask _label _dseg -label, seg_P1 ...
  images/P1.nii.gz + masks/P1.nii.gz             also imgs, scans; labels, seg ...
  imagesTr/P1_0000.nii.gz + labelsTr/P1.nii.gz   nnU-Net, with its dataset.json
  P1/image.nii.gz + P1/seg.nii.gz                a folder per patient
  sub-1/anat/sub-1_T2w.nii.gz + derivatives/.../sub-1_T2w_dseg.nii.gz       BIDS
as .nii .nii.gz .mha .mhd or .nrrd. Any other way: --images and --masks, or --table.
Sessions, frames and runs of a patient (_ses-1 _frame01 _ED ...) are one subject.
--dry-run shows how your files are understood, and writes nothing.
"""


def find_images(folder: Path, inventory: Inventory, asked: Asked | None = None) -> None:
    """Add the images of a folder and their masks to `inventory`.

    Raises:
        BadInput: see `find_own`.
    """
    find_own(folder, inventory, "nifti", asked or Asked())


def add_options(parser: argparse.ArgumentParser) -> None:
    """What only the owner of the images knows."""
    parser.description, parser.formatter_class = LAYOUTS, _Formatter
    parser.add_argument("--organ", choices=tuple(VIEWS), help="turn its planes the usual way up; else they stay as stored")
    parser.add_argument(
        "--classes",
        nargs="+",
        metavar="NAME",
        help="what labels 1, 2, ... of the masks are; else of nnU-Net's dataset.json, or one: foreground",
    )
    parser.add_argument(
        "--labels",
        nargs="+",
        metavar="STORED=OURS",
        help="what labels in the masks mean: a class's number or name, or 0 for background: 255=1, 205=LV 420=MYO, 7=0",
    )
    parser.add_argument("--domain", help="a name for the scanner or site of all images (default: own)")
    parser.add_argument(
        "--domains-from",
        metavar="folder|REGEX",
        help="several domains: 'folder', one for each of the first folders that differ; or a regular expression that finds "
        "the domain's name in an image's path (its group, if it has one)",
    )
    parser.add_argument(
        "--source-domain", metavar="NAME", help="what is trained on, and split; default: the domain of most subjects"
    )
    parser.add_argument(
        "--subject",
        metavar="REGEX",
        help="finds the subject's name in an image's path (its group, if it has one), where names do not say which images "
        "are of one patient",
    )
    parser.add_argument(
        "--images",
        nargs="+",
        metavar="GLOB",
        help="which files are images, below --source and in quotes: 'scans/*_t2.nii.gz'; ** is any folders, {subject}, "
        "{session}, {phase} and {domain} are what they say",
    )
    parser.add_argument(
        "--masks",
        nargs="+",
        metavar="GLOB",
        help="which files are masks; an image's has the same text at the wildcards, or in the {parts} that both name",
    )
    parser.add_argument(
        "--table",
        type=Path,
        metavar="FILE",
        help="instead: a CSV file with the columns image and mask, and perhaps subject, phase and domain; paths from its "
        "folder or from --source",
    )
    parser.add_argument("--channel", type=int, metavar="N", help="of nnU-Net's images NAME_000N; default: 0")
    parser.add_argument("--images-anyway", action="store_true", help="take images that look like masks for images")
    parser.add_argument("--tolerance", type=positive(float), help="of the surface Dice, in mm; without it three pixels")


class _Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """The layouts keep their lines; an option without a default does not say None."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default in (None, False) else super()._get_help_string(action)


def with_options(data: DataSet, chosen: argparse.Namespace) -> DataSet:
    """With the way to find files that was asked for; what the files make of classes and domains, `with_files` says.

    Raises:
        BadInput: options that do not go together.
    """
    if chosen.domain and chosen.domains_from:
        raise BadInput("--domain names one domain and --domains-from finds several; leave one of them out")
    asked = Asked(
        _one(chosen.images, "--images"),
        _one(chosen.masks, "--masks"),
        chosen.table,
        chosen.channel,
        chosen.domain or UNNAMED,
        chosen.domains_from,
        chosen.subject,
    )
    flags: list[str] = []
    for option in ("images", "masks", "table", "channel", "domains_from", "subject"):
        if (value := getattr(asked, option)) is not None:
            flags += [f"--{option.replace('_', '-')}", str(value)]
    flags += ["--labels", *chosen.labels] if chosen.labels else []
    flags += ["--images-anyway"] if chosen.images_anyway else []
    return replace(
        data, find=partial(find_images, asked=asked), flags=tuple(flags), with_files=partial(with_files, chosen=chosen)
    )


def with_files(data: DataSet, inventory: Inventory, chosen: argparse.Namespace) -> DataSet:
    """With the classes, the domains and the organ that were given, or that the files say.

    Raises:
        BadInput: labels that make no sense, or a source domain that is not there.
    """
    texts = [path for paths in inventory.ignored.values() for path in paths]
    stored = names_of_labels(texts, inventory, bool(chosen.classes))
    classes, labels = classes_and_labels(chosen.classes, chosen.labels, stored)
    if stored and not chosen.classes:
        inventory.remarks.append(f"classes, by dataset.json: {', '.join(classes)}")
    subjects = Counter(domain for domain, _ in {scan.person: None for scan in inventory.scans})
    source = chosen.source_domain or max(sorted(subjects), key=subjects.get)
    if source not in subjects:
        raise BadInput(f"there is no domain {source!r}; there are: {', '.join(sorted(subjects))}", argument="source_domain")
    info = {"name": chosen.domain or UNNAMED, "class_names": classes, "source_domain": source}
    flags = ["--organ", chosen.organ] if chosen.organ else []
    flags += ["--classes", *classes]
    if not chosen.domains_from and len(subjects) == 1 and source == (chosen.domain or UNNAMED):
        flags += ["--domain", source]
    else:
        flags += ["--domain", chosen.domain] * bool(chosen.domain) + ["--source-domain", source]
    if chosen.tolerance:
        info["tolerance_mm"] = chosen.tolerance
        flags += ["--tolerance", str(chosen.tolerance)]
    return replace(data, labels=labels, info=info, organ=chosen.organ, flags=(*data.flags, *flags))


def refuse_lookalikes(inventory: Inventory, chosen: argparse.Namespace) -> None:
    """BadInput if a mask was taken for an image, unless that was asked for."""
    if not chosen.images_anyway:
        refuse_masks_among_images(inventory.scans)


def _one(patterns: list[str] | None, option: str) -> str | None:
    """The pattern; a shell turns one without quotes into the files that it matches."""
    if patterns and len(patterns) > 1:
        raise BadInput(
            f"{option} got {len(patterns)} names, such as {patterns[0]}; put quotes around it: {option} '*.nii.gz'"
        )
    return patterns[0] if patterns else None


DATA_SET = DataSet(
    name="nifti",
    what="Your own images (NIfTI, MetaImage, NRRD), with or without masks, in any usual layout",
    labels={1: 1},
    info={"name": UNNAMED, "class_names": ["foreground"], "source_domain": UNNAMED},
    find=find_images,
    wrong_label=ADVICE,
    add_options=add_options,
    with_options=with_options,
    look=refuse_lookalikes,
)
