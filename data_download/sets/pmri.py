"""PMRI, also called SAML: T2-weighted prostate MR of six sites, 116 cases.

Stored as Processed_data_nii/SITE/CaseNN.nii.gz with masks CaseNN_segmentation.nii.gz, in BMC CaseNN_Segmentation.nii.gz.
Two sites have labels 1 and 2 for two zones, which become one gland.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from advconf_lite.data.slices import SliceSet
from advconf_lite.support.errors import BadInput
from data_download.fetching.sources import SOURCES
from data_download.prepare import Archive, Scan, add_common_options, prepare_scans, unpacked

NAME = "pmri"
WHAT = SOURCES[NAME].what
DOMAINS = ("RUNMC", "BMC", "I2CVB", "UCL", "BIDMC", "HK")
LABELS = {1: 1, 2: 1}


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `prepare pmri`."""
    add_common_options(parser, spacing_mm=0.5, size=384)
    parser.add_argument(
        "--geometry",
        choices=("in-plane", "published-code"),
        default="in-plane",
        help="resample the plane; or rows and slice axis, the slip of the published loader, which implies "
        "--orientation as-stored",
    )


def prepare(options: argparse.Namespace) -> SliceSet:
    """PMRI to a slice set with six domains, RUNMC being the source.

    Raises:
        BadInput: no sites, or a bad file; the sentence names it.
    """
    if options.geometry == "published-code":
        options.orientation = "as-stored"
    with unpacked(options) as folder:
        archive = Archive(options.skip_bad)
        for domain, site in find_sites(folder).items():
            find_cases(site, domain, archive)
        return prepare_scans(NAME, archive, LABELS, describe("PMRI", DOMAINS, NAME), options, "prostate", options.geometry)


def describe(name: str, domains: tuple[str, ...], source: str) -> dict:
    """dataset.json of a prostate set whose first domain is the source."""
    return {
        "name": name,
        "class_names": ["prostate"],
        "source_domain": domains[0],
        "target_domains": list(domains[1:]),
        "tolerance_mm": 1.5,
        "licence": SOURCES[source].licence,
        "citation": SOURCES[source].citation,
    }


def find_sites(folder: Path) -> dict[str, Path]:
    """Site -> its folder, at most two levels down, in the order of `DOMAINS`.

    Raises:
        BadInput: there is none, or one occurs twice.
    """
    sites: dict[str, Path] = {}
    for domain in DOMAINS:
        found = [path for depth in ("", "*/", "*/*/") for path in sorted(folder.glob(depth + domain)) if path.is_dir()]
        if len(found) > 1:
            raise BadInput(f"{domain} is both at {found[0]} and at {found[1]}; remove one copy, or give one with --source")
        sites.update({domain: found[0]} if found else {})
    if not sites:
        raise BadInput(f"{folder} holds none of the folders {', '.join(DOMAINS)}; give Processed_data_nii with --source")
    return sites


def find_cases(site: Path, domain: str, archive: Archive) -> None:
    """Add a site's cases to `archive`.

    Raises:
        BadInput: a file is neither an image nor a mask of an image, or there are two masks.
    """
    images: dict[str, Path] = {}
    masks: dict[str, list[Path]] = {}
    for path in sorted(site.iterdir()):
        if match := re.fullmatch(r"(case\d+)(_segmentation)?\.nii(\.gz)?", path.name, flags=re.IGNORECASE):
            name = match[1].capitalize()
            if match[2]:
                masks.setdefault(name, []).append(path)
            elif name in images:
                raise BadInput(f"{images[name]} and {path} are one case; remove one of them")
            else:
                images[name] = path
        elif not path.name.startswith("."):
            archive.notes.append(f"{domain}: files that belong to no case were left out")
    for name in sorted({*images, *masks}):
        with archive.subject(domain, name):
            mine = masks.get(name, [])
            if name not in images:
                raise BadInput(f"{mine[0]} is a mask without an image; complete the download or remove it")
            if len(mine) > 1:
                raise BadInput(f"{mine[0]} and {mine[1]} are both masks of {name}; remove one of them")
            mask = mine[0] if mine else images[name].with_name(f"{name}_segmentation.nii.gz")
            archive.scans.append(Scan(NAME, domain, name, "", images[name], mask))
