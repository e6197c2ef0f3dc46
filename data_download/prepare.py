"""From scans (image and mask files) to a slice set: what preparing every data set has in common."""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

import advconf_lite
from advconf_lite.data.slices import (
    SliceSet,
    SliceSetWriter,
    centre_crop_or_pad,
    read_slice_set,
    resample_in_plane,
    split_by_slice,
    split_by_subject,
)
from advconf_lite.errors import BadInput

from .volumes import read_mask, read_volume


@dataclass(frozen=True)
class Scan:
    """One volume and where it belongs."""

    dataset: str
    domain: str
    subject: str
    phase: str
    image: Path
    mask: Path


def add_common_options(parser: argparse.ArgumentParser, spacing_mm: float, size: int) -> None:
    """Options that mean the same for every data set."""
    parser.add_argument("--source", required=True, metavar="DIR", help="the data set as it was unpacked")
    parser.add_argument("--out", required=True, metavar="DIR", help="the slice set to write")
    parser.add_argument("--spacing", type=_positive(float), default=spacing_mm, help="pixel size in mm")
    parser.add_argument(
        "--size", type=_positive(int), default=size, help="height and width in pixels, by centre crop or pad"
    )
    parser.add_argument(
        "--split",
        choices=("subject", "slice"),
        default="subject",
        help="keep subjects apart, or draw slices at random as the published code does, which leaks",
    )
    parser.add_argument("--seed", type=int, default=0, help="which subjects (or slices) go where")
    parser.add_argument("--keep-empty", action="store_true", help="keep slices without a foreground pixel")
    parser.add_argument(
        "--note",
        metavar="TEXT",
        help="a remark to keep in dataset.json, such as "
        "'the headers of this copy are placeholders, millimetres are nominal'",
    )


def prepare_scans(
    name: str,
    scans: list[Scan],
    labels: dict[int, int],
    info: dict,
    options: argparse.Namespace,
    notes: list[str],
) -> SliceSet:
    """Resample in-plane, crop or pad, map labels, split, write; the memory needed is that of one scan.

    The slice axis is never touched. Pixel sizes are what the headers say: where those are placeholders,
    millimetres are nominal, and `--note` is the place to say so. An existing slice set at `options.out` is
    replaced if this command made it, and only once the new one is whole; anything else there is refused.

    Args:
        name: the data set's name on the command line.
        labels: stored label -> our label, for every foreground label.
        info: what dataset.json says about the data set.
        notes: remarks found while looking at the files; equal ones are counted, printed and kept in
            dataset.json.

    Raises:
        BadInput: a file is missing, damaged or inconsistent; the sentence names it.
    """
    out = Path(options.out)
    command = f"python -m data_download prepare {name}"
    _refuse_other_sets(out, command)
    flags = f"--spacing {options.spacing} --size {options.size} --split {options.split} --seed {options.seed}"
    info = {
        **info,
        "spacing_mm": options.spacing,
        "size": options.size,
        "split": options.split,
        "version": advconf_lite.__version__,
        "how_made": f"{command} {flags}{' --keep-empty' * options.keep_empty}",
    }
    if options.note:
        info["note"] = options.note
    splits = _split_subjects(scans, options.seed) if options.split == "subject" else None
    empty, kept = 0, 0
    with SliceSetWriter(out, info) as writer:
        for scan in tqdm(scans, desc=f"prepare {name}", unit="scan", file=sys.stderr):
            images, masks = _read_scan(scan, labels, options, notes)
            keep = np.ones(len(masks), bool) if options.keep_empty else masks.any(axis=(1, 2))
            empty += int((~masks.any(axis=(1, 2))).sum())
            kept += int(keep.sum())
            rows = pd.DataFrame({"slice": np.flatnonzero(keep)}).assign(
                dataset=scan.dataset,
                domain=scan.domain,
                subject=scan.subject,
                phase=scan.phase,
                spacing_mm=options.spacing,
                split="train" if splits is None else splits[scan.domain, scan.subject],
            )
            writer.add(images[keep], masks[keep], rows)
        if splits is None:
            writer.set_column("split", split_by_slice(kept, seed=options.seed))
            notes.append("slices of one subject are in several splits, as asked: scores on test are too good")
        if empty:
            done = "kept" if options.keep_empty else "dropped"
            notes.append(f"{empty} slices without a foreground pixel were {done}")
        writer.info["notes"] = [
            f"{text} ({number} times)" if number > 1 else text for text, number in Counter(notes).items()
        ]
    for text in writer.info["notes"]:
        print(f"note: {text}", file=sys.stderr)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the note above says it
        data = read_slice_set(out)
    for split, rows in data.table.groupby("split", sort=False):
        print(
            f"{split:6s}{len(rows):6d} slices of {rows.groupby(['domain', 'subject']).ngroups} subjects",
            file=sys.stderr,
        )
    return data


def _read_scan(scan: Scan, labels: dict[int, int], options: argparse.Namespace, notes: list[str]):
    """Images (Z, size, size) float32 and masks (Z, size, size) uint8 at the wanted pixel size."""
    volume = read_volume(scan.image)
    mask = read_mask(scan.mask, volume, labels)
    if volume.zooms_disagree:
        notes.append("the header's zooms disagree with its affine, which was believed")
    images = resample_in_plane(
        volume.slices.astype(np.float32), volume.spacing_mm, options.spacing, "bilinear"
    )
    masks = resample_in_plane(mask, volume.spacing_mm, options.spacing, "nearest")
    return centre_crop_or_pad(images, options.size), centre_crop_or_pad(masks, options.size)


def _split_subjects(scans: list[Scan], seed: int) -> dict[tuple[str, str], str]:
    split = split_by_subject({scan.subject for scan in scans}, seed=seed)
    return {(scan.domain, scan.subject): split[scan.subject] for scan in scans}


def _refuse_other_sets(out: Path, command: str) -> None:
    if (out / "dataset.json").is_file():
        try:
            made = str(json.loads((out / "dataset.json").read_text(encoding="utf-8")).get("how_made"))
        except (ValueError, AttributeError, OSError):
            made = "unknown"
        if not made.startswith(command + " "):
            raise BadInput(
                f"{out} holds a slice set that {command!r} did not make; choose another folder with --out"
            )


def _positive(kind: type):
    def convert(text: str):
        value = kind(text)
        if not 0 < value < float("inf"):
            raise argparse.ArgumentTypeError(f"{text} is not a positive number")
        return value

    convert.__name__ = kind.__name__  # argparse names it when the text is no number
    return convert
