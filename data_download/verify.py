"""`python -m data_download verify DIR`: is this slice set what it should be? Expected and found, side by side."""

from __future__ import annotations

import argparse
import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from advconf_lite.data.cropping import labels_lost
from advconf_lite.data.slice_checks import BLOCK, SPLITS, load
from advconf_lite.data.slices import SliceSet
from advconf_lite.data.usual import USUAL_MM
from advconf_lite.support.errors import BadInput
from advconf_lite.support.files import sha256
from advconf_lite.support.progress import bar as progress_bar
from data_download.dataset import Expected, Range
from data_download.own.people import alike
from data_download.preparing.header import trusted_the_sform
from data_download.sets import DATASETS

# Wide enough for every organ, field of view and crop; a mask that is inverted, or that lost its organ, lies outside.
SHARE = (0.001, 0.6)
LARGEST = 1e9  # scanners store 12 to 16 bits, rescaled; a damaged scale factor gives far more


@dataclass(frozen=True)
class Finding:
    """One line of the report. `ok` is None where nothing is expected."""

    check: str
    domain: str
    expected: str
    found: str
    ok: bool | None


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `verify`."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="a slice set, prepared by this command or your own")


def run(chosen: argparse.Namespace) -> int:
    """Print the report; 0 if all is as expected, 1 if something differs.

    Raises:
        BadInput: the folder is not a slice set, or its files cannot be read or do not belong together.
    """
    heading, findings = verify(chosen.folder)
    wrong = [finding for finding in findings if finding.ok is False]
    print(heading, "", as_table(findings), "", sep="\n")
    if wrong:
        where = dict.fromkeys(f"{finding.domain} ({finding.check})" for finding in wrong)
        print(f"{len(wrong)} of {len(findings)} lines differ: {', '.join(where)}")
        return 1
    print(f"nothing differs in {len(findings)} lines")
    return 0


def verify(folder: str | Path) -> tuple[str, list[Finding]]:
    """What the set is, and every check's finding. Reads all pixels once, a block at a time.

    Raises:
        BadInput: see `run`.
    """
    folder = Path(folder)
    images, masks, table, info = load(folder)
    expected = expected_counts(info)
    slices = _look(images, masks, table)
    findings = [*_counts(slices, info, masks is not None, expected)]
    if masks is not None:
        findings += _masks(slices, info, expected)
    findings += _images(slices)
    findings += _grid(SliceSet(folder, images, masks, table, info))
    findings += _splits(slices, info, masks is not None)
    if trusted_the_sform(info.get("notes", [])):
        findings.append(Finding("size of pixels", "every domain", "pixdim's", "the sform's: prepare it again", False))
    findings += _checksums(folder, info)
    return "\n".join(_heading(folder, slices, info, masks is not None, expected)), findings


def expected_counts(info: dict) -> Expected | None:
    """What to expect of the set that dataset.json describes; None if nobody published it."""
    match = re.match(r"python -m data_download prepare (\S+)(.*)", str(info.get("how_made")))
    data = DATASETS.get(match[1]) if match else None
    return data.expected(match[2]) if data and data.expected else None


def _heading(folder: Path, slices: pd.DataFrame, info: dict, has_masks: bool, expected: Expected | None) -> Iterator[str]:
    people = slices.groupby(["domain", "subject"]).ngroups
    yield f"{folder}: {expected.title if expected else info['name']}, {len(slices)} slices of {people} subjects"
    if expected:
        yield f"made by {info['how_made']}"
        yield f"expected counts: {expected.source}"
    else:
        yield "own data or a phantom: there are no published counts to compare with, so these are general checks"
    if not has_masks:
        yield "no masks.npy: an image-only set, so labels are not checked"
    yield from (f"note of its making: {text}" for text in info.get("notes", []))
    yield from (f"left out: {text}" for text in info.get("left_out", []))


def _look(images: np.ndarray, masks: np.ndarray | None, table: pd.DataFrame) -> pd.DataFrame:
    """The table with what its pixels hold: finite, low, high, mean, constant, content; share and labels of masks."""
    rows = []
    bar = progress_bar(total=len(images), desc="verify", unit="slice", leave=False, delay=1)
    for start in range(0, len(images), BLOCK):
        for number, image in enumerate(images[start : start + BLOCK], start):
            good = image[np.isfinite(image)]
            low, high = (float(good.min()), float(good.max())) if good.size else (np.nan, np.nan)
            row = {
                "finite": good.size == image.size,
                "low": low,
                "high": high,
                "mean": float(good.mean(dtype=np.float64)) if good.size else np.nan,
                "constant": low == high,
                "content": hashlib.blake2b(np.ascontiguousarray(image), digest_size=16).hexdigest(),
            }
            if masks is not None:
                counts = np.bincount(masks[number].ravel(), minlength=256)
                row |= {"labels": np.flatnonzero(counts), "share": 1 - counts[0] / counts.sum()}
            rows.append(row)
        bar.update(len(rows) - start)
    bar.close()
    return pd.concat([table, pd.DataFrame(rows)], axis=1)


def _per_domain(slices: pd.DataFrame, check: str, expected: str, count: Callable[[pd.DataFrame], int]) -> Iterator[Finding]:
    """A line for each domain where `count` is not 0, or one for all of them."""
    numbers = {domain: count(rows) for domain, rows in slices.groupby("domain", sort=False)}
    for domain, number in numbers.items():
        if number:
            yield Finding(check, domain, expected, str(number), False)
    if not any(numbers.values()):
        yield Finding(check, "every domain", expected, "0", True)


def _counts(slices: pd.DataFrame, info: dict, has_masks: bool, expected: Expected | None) -> Iterator[Finding]:
    whole = not has_masks or "--keep-empty" in str(info.get("how_made"))
    kinds: list[tuple[str, pd.Series, dict[str, Range] | None]] = [
        ("subjects", slices.groupby("domain", sort=False)["subject"].nunique(), None),
        ("slices", slices.groupby("domain", sort=False).size(), None),
    ]
    if expected:
        kinds[0] = (*kinds[0][:2], {name: (number, number) for name, number in expected.subjects.items()})
        kinds[1] = (*kinds[1][:2], expected.slices if whole else None)
    if has_masks:
        filled = (slices["share"] > 0).groupby(slices["domain"], sort=False).sum()
        kinds.append(("slices with a label", filled, expected.filled if expected else None))
        if (filled == kinds[1][1]).all() and not whole:
            kinds.pop(1)  # the same numbers twice
    domains = dict.fromkeys([*(expected.subjects if expected else ()), *slices["domain"]])
    for check, found, wanted in kinds:
        for domain in domains:
            number = int(found.get(domain, 0))
            if expected and domain not in expected.subjects:
                yield Finding(check, domain, "no such domain", str(number), False)
            elif wanted is None or domain not in wanted:
                yield Finding(check, domain, "-", str(number), None)
            else:
                low, high = wanted[domain]
                yield Finding(
                    check, domain, str(low) if low == high else f"{low}-{high}", str(number), low <= number <= high
                )
    if expected and expected.phases:
        phases = slices.groupby(["domain", "subject"], sort=False)["phase"].agg(set)
        for domain, sets in phases.groupby(level="domain", sort=False):
            both = sum(found == expected.phases for found in sets)
            yield Finding(f"subjects with {' and '.join(sorted(expected.phases))}", domain, str(len(sets)), str(both),
                          both == len(sets))  # fmt: skip


def _masks(slices: pd.DataFrame, info: dict, expected: Expected | None) -> Iterator[Finding]:
    names = ["background", *info["class_names"]]
    wanted = ", ".join(names[1:])
    for domain, rows in slices.groupby("domain", sort=False):
        labels = [int(label) for label in np.unique(np.concatenate(list(rows["labels"]))) if label]
        found = ", ".join(names[label] if label < len(names) else f"unknown {label}" for label in labels)
        yield Finding("labels", domain, wanted, found or "none", found == wanted)
    for domain, rows in slices.groupby("domain", sort=False):
        share = rows.loc[rows["share"] > 0, "share"].mean()
        text = f"{share:.1%}" if share == share else "none"
        if expected:
            low, high = SHARE
            yield Finding("mean share of labels", domain, f"{low:.1%}-{high:.0%}", text, bool(low <= share <= high))
        else:
            yield Finding("mean share of labels", domain, "-", text, None)


def _images(slices: pd.DataFrame) -> Iterator[Finding]:
    for domain, rows in slices.groupby("domain", sort=False):
        low, high, mean = rows["low"].min(), rows["high"].max(), rows["mean"].mean()
        ok = bool(max(abs(low), abs(high)) < LARGEST)
        yield Finding("intensities", domain, f"within +-{LARGEST:.0e}", f"{low:.4g} to {high:.4g}, mean {mean:.4g}", ok)
    yield from _per_domain(slices, "slices with NaN or infinity", "0", lambda rows: int((~rows["finite"]).sum()))
    yield from _per_domain(slices, "slices of one grey value", "0", lambda rows: int(rows["constant"].sum()))
    # A patient under two names leaks as a subject in two splits does. One grey value is nobody's likeness.
    people = slices["domain"] + "/" + slices["subject"]
    shared = people.groupby(slices["content"]).transform("nunique").gt(1) & ~slices["constant"]
    seen = slices.assign(shared=shared)
    yield from _per_domain(seen, "slices that another subject has too", "0", lambda rows: int(rows["shared"].sum()))


def _grid(slices: SliceSet) -> Iterator[Finding]:
    """Whether lengths are plausible as millimetres, and what the set's own grid loses of its labels."""
    low, high = USUAL_MM
    for domain, rows in slices.table.groupby("domain", sort=False):
        least, most = rows["spacing_mm"].min(), rows["spacing_mm"].max()
        found = f"{least:.4g}" if least == most else f"{least:.4g} to {most:.4g}"
        yield Finding("mm of a pixel", domain, f"{low:g}-{high:g}", found, bool(low <= least and most <= high))
    if slices.masks is None:
        return
    try:
        lost = labels_lost(slices, slices.grid)
        yield Finding("labels that its grid loses", "every domain", "none", lost or "none", None if lost else True)
    except BadInput as error:
        yield Finding("labels that its grid loses", "every domain", "none", str(error), False)


def _splits(slices: pd.DataFrame, info: dict, has_masks: bool) -> Iterator[Finding]:
    by_slice = info.get("split") == "slice"
    # By domain and subject, for two sites may both have a "Case00".
    several = slices.groupby(["domain", "subject"])["split"].transform("nunique").gt(1)
    marked = slices.assign(person=np.where(several, slices["subject"], None))
    if by_slice and several.any():
        total = slices[several].groupby(["domain", "subject"]).ngroups
        yield Finding("subjects in several splits", "every domain", "any (split by slice)", str(total), None)
    else:
        yield from _per_domain(
            marked, "subjects in several splits", "0", lambda rows: int(rows["person"].nunique(dropna=True))
        )
        yield from _one_patient(slices, str(info.get("how_made")))
    yield from _per_domain(slices, "rows with an unknown split", "0", lambda rows: int((~rows["split"].isin(SPLITS)).sum()))
    key = ["domain", "subject", "phase", "slice"]
    yield from _per_domain(slices, "slices listed twice", "0", lambda rows: int(rows.duplicated(key).sum()))
    source, present = info["source_domain"], set(slices["domain"])
    listed = [name for name in (source, *info["validation_domains"], *info["target_domains"]) if name is not None]
    for name in listed:
        if name not in present:
            yield Finding("domain of dataset.json", str(name), "in slices.csv", "missing", False)
    if has_masks and source in present:
        found = [split for split in SPLITS if split in set(slices.loc[slices["domain"] == source, "split"])]
        yield Finding("splits of the source", source, ", ".join(SPLITS), ", ".join(found), found == list(SPLITS))


def _one_patient(slices: pd.DataFrame, how_made: str) -> Iterator[Finding]:
    """Subjects that by their names may be one patient's sessions, and are in different splits."""
    check, said = "names like one patient's", " --subject " in how_made or " --table " in how_made
    numbers = {}
    for domain, rows in slices.groupby("domain", sort=False):
        splits = rows.groupby("subject")["split"].first()
        apart = [names for names in alike(splits.index) if splits[names].nunique() > 1]
        numbers[domain] = len(apart)
        if apart:
            found = f"{len(apart)}: {', '.join(apart[0][:2])}"
            # Whoever prepares the set may have said whose they are, and then knows better than the names.
            yield Finding(check, domain, "any, as given" if said else "in one split", found, None if said else False)
    if not any(numbers.values()):
        yield Finding(check, "every domain", "in one split", "0 apart", True)


def _checksums(folder: Path, info: dict) -> Iterator[Finding]:
    recorded = info.get("sha256")
    if not isinstance(recorded, dict) or not recorded:
        yield Finding("sha256", "all files", "-", "not recorded", None)
        return
    written = [name for name in ("images.npy", "masks.npy", "slices.csv") if (folder / name).is_file()]
    for name in dict.fromkeys([*recorded, *written]):
        found = sha256(folder / name) if name in written else "missing"
        expected = str(recorded.get(name, "no such file"))
        yield Finding("sha256", name, expected[:12], found[:12], expected == found)


def as_table(findings: list[Finding]) -> str:
    """Findings as aligned text; numbers stand to the right, so that expected and found are compared at a glance."""
    head = ("check", "domain or file", "expected", "found", "")
    words = {True: "ok", False: "DIFFERS", None: ""}
    rows = [head, *((f.check, f.domain, f.expected, f.found, words[f.ok]) for f in findings)]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]

    def line(row: tuple[str, ...]) -> str:
        left = f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}"
        return f"{left}  {row[2]:>{widths[2]}}  {row[3]:>{widths[3]}}  {row[4]}".rstrip()

    return "\n".join([line(head), "-" * (sum(widths) + 6), *(line(row) for row in rows[1:])])
