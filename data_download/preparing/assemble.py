"""From scans (image and mask files) to a slice set: what preparing every data set has in common."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import warnings
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pandas as pd

import advconf_lite
from advconf_lite.data.grid import TOLERANCE_PIXELS
from advconf_lite.data.slice_info import complete
from advconf_lite.data.slice_writer import SliceSetWriter, refuse_to_overwrite
from advconf_lite.data.slices import SliceSet, read_slice_set
from advconf_lite.data.splits import split_by_fold, split_by_slice, split_by_subject
from advconf_lite.support.errors import BadInput, readable
from data_download.dataset import DataSet
from data_download.fetching.unpacked import as_in_archive
from data_download.preparing.grid import grid_of, refuse_no_slice, refuse_what_the_crop_loses, slices_without_foreground
from data_download.preparing.inventory import Inventory, Scan
from data_download.preparing.montage import montages
from data_download.preparing.remarks import counted
from data_download.preparing.scans import Done, Job, kept_in, of_good_subjects, work_through


def assemble(data: DataSet, inventory: Inventory, chosen: argparse.Namespace) -> SliceSet:
    """Resample in-plane, turn, crop or pad, map labels, split, write.

    The slice axis is never touched, and pixel sizes are what `header` says. Every scan is prepared on its own,
    in as many processes as there are cores, and kept beside `--out` until the set is whole: the memory needed is that of
    one scan per process, and a run that was killed or met a bad file goes on where it was. A subject is written while
    others are worked on. Without any mask an image-only set is made.

    Subjects of the source domain are split; those of every other domain are for testing. An existing slice set at
    `--out` is replaced if this command made it, and only once the new one is whole; anything else is refused.

    Args:
        data: what the files are, with its options applied.
        inventory: the scans that `data.find` found.
        chosen: the options of `add_common_options`.

    Raises:
        BadInput: a file is missing, damaged or inconsistent, or the crop loses too much; the sentence names it.
    """
    out = Path(chosen.out)
    refuse_to_overwrite(out)  # now, and not after an hour of work
    command = f"python -m data_download prepare {data.name}"
    _refuse_other_sets(out, command, chosen.fold)
    data = replace(data, info=_readable(data.info), flags=tuple(_readable(list(data.flags))))
    inventory.scans = [_with_readable_names(scan) for scan in inventory.scans]
    masked = not inventory.without_masks()
    axis = None if chosen.slice_axis == "auto" else int(chosen.slice_axis)
    spacing_mm, size = grid_of(inventory, chosen.spacing, chosen.size, axis)
    as_stored = chosen.orientation == "as-stored" or data.geometry == "published-code"
    flags = [f"--spacing {spacing_mm} --size {size} --split {chosen.split} --seed {chosen.seed}"]
    flags += ["--keep-empty"] * chosen.keep_empty + ["--orientation as-stored"] * as_stored
    flags += [f"--slice-axis {axis}"] * (axis is not None)
    flags += ["--skip-bad"] * chosen.skip_bad + ([f"--fold {_written(chosen.fold)}"] if chosen.fold else [])
    flags += [shlex.join(data.flags)] * bool(data.flags)
    info = {
        **_domains(data.info, inventory, masked),
        "tolerance_mm": data.info.get("tolerance_mm", round(TOLERANCE_PIXELS * spacing_mm, 6)),
        "licence": data.source.licence if data.source else "not stated",
        "citation": data.source.citation if data.source else "not stated",
        **({"organ": data.organ} if data.organ else {}),
        "spacing_mm": spacing_mm,
        "size": size,
        "split": chosen.split if masked else "subject",
        "version": advconf_lite.__version__,
        "how_made": " ".join([command, *flags]),
    }
    if chosen.note:
        info["note"] = readable(chosen.note)
    if chosen.fold:
        info["fold"] = _written(chosen.fold)
        _refuse_fold(inventory, info["source_domain"], chosen)
    complete(info, pd.DataFrame({"domain": []}), out / "dataset.json")  # what it refuses, now and not after the work
    organ = None if as_stored else data.organ
    keep_empty = chosen.keep_empty or not masked
    job = Job(data.labels, spacing_mm, size, organ, data.geometry, keep_empty, data.wrong_label, axis)
    # In this order: the scans that were kept are removed only when the set is in its place.
    with (
        work_through(inventory.scans, job, out, chosen.workers, chosen.skip_bad, f"prepare {data.name}") as results,
        SliceSetWriter(out, info, kept_in(out, job)) as writer,
    ):
        _write(writer, results, inventory, chosen, masked)
    slices = _reread(out)
    _report(slices, inventory)
    if chosen.montage:
        try:
            print(f"pictures: {', '.join(map(str, montages(slices, chosen.montage)))}", file=sys.stderr)
        except BadInput as error:
            raise BadInput(f"{error} (the slice set in {out} is whole)") from error
    return slices


def _write(
    writer: SliceSetWriter, results: Iterable[Done], inventory: Inventory, chosen: argparse.Namespace, masked: bool
) -> None:
    source = writer.info["source_domain"]
    good, people = [], []  # the scans that are written, and whose each row is
    bad: dict[tuple[str, str], str] = {}
    for done in of_good_subjects(results, inventory.scans, bad):
        images, masks, numbers = done.load()
        scan = done.scan
        rows = {
            "slice": numbers,
            "dataset": scan.dataset,
            "domain": scan.domain,
            "subject": scan.subject,
            "phase": scan.phase,
            "spacing_mm": writer.info["spacing_mm"],
            "split": "",  # known when all subjects are
        }
        writer.add(images, masks, pd.DataFrame(rows))
        good.append(done)
        people += [scan.person] * len(numbers)
    inventory.left_out += [f"{domain} {subject}: {error}" for (domain, subject), error in bad.items()]
    if not good:
        raise BadInput(f"{chosen.source} holds no subject that can be used; the last problem: {inventory.left_out[-1]}")
    refuse_what_the_crop_loses(good, writer.info["size"], inventory.notes)
    size, spacing_mm = writer.info["size"], writer.info["spacing_mm"]
    lost = list(slices_without_foreground(good, size, spacing_mm, chosen.keep_empty))
    refuse_no_slice(good, lost)
    notes = inventory.notes + [note for done in good for note in done.notes]
    splits = _split_subjects([done for done in good if done.slices], source, chosen, masked, notes)
    every = [splits[person] for person in people]
    if masked and chosen.split == "slice":
        drawn = iter(split_by_slice(sum(domain == source for domain, _ in people), seed=chosen.seed))
        every = [next(drawn) if domain == source else "test" for domain, _ in people]
        notes.append("slices of one subject are in several splits, as asked: scores on test are too good")
    writer.set_column("split", every)
    writer.info["notes"] = counted([*notes, *lost])
    if inventory.left_out:
        writer.info["left_out"] = inventory.left_out
    for key in {"notes", "left_out"} & writer.info.keys():
        writer.info[key] = [readable(as_in_archive(text, Path(chosen.source), writer.folder)) for text in writer.info[key]]
    inventory.left_out = writer.info.get("left_out", [])  # as it is reported
    for text in writer.info["notes"]:
        print(f"note: {text}", file=sys.stderr)


def _report(data: SliceSet, inventory: Inventory) -> None:
    for (domain, split), rows in data.table.groupby(["domain", "split"], sort=False):
        print(f"{domain:10s} {split:6s}{len(rows):6d} slices of {rows['subject'].nunique()} subjects", file=sys.stderr)
    if inventory.left_out:
        print(f"left out, {len(inventory.left_out)} subjects:", *inventory.left_out, sep="\n  ", file=sys.stderr)


def _reread(out: Path) -> SliceSet:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a note said it
        return read_slice_set(out)


def _readable(value: object) -> object:
    """`readable` for every text in lists and dictionaries."""
    if isinstance(value, dict):
        return {_readable(key): _readable(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_readable(each) for each in value]
    return readable(value) if isinstance(value, str) else value


def _with_readable_names(scan: Scan) -> Scan:
    return replace(scan, domain=readable(scan.domain), subject=readable(scan.subject), phase=readable(scan.phase))


def _written(fold: tuple[int, int]) -> str:
    return "{}/{}".format(*fold)


def _refuse_fold(inventory: Inventory, source: str | None, chosen: argparse.Namespace) -> None:
    """BadInput if there is no such fold; before the scans are worked on, which may take hours."""
    if chosen.split == "slice":
        raise BadInput("--fold keeps subjects apart and --split slice does not; leave one of them out")
    if source is None:
        raise BadInput("--fold is for sets with masks, which are trained on; without masks there is nothing to split")
    split_by_fold((scan.subject for scan in inventory.scans if scan.domain == source), *chosen.fold, chosen.seed)


def _domains(info: dict, inventory: Inventory, masked: bool) -> dict:
    """`info` with the domains that are there, those that are not being noted."""
    present = list(dict.fromkeys(scan.domain for scan in inventory.scans))
    known = [name for name in (info["source_domain"], *info.get("target_domains", ())) if name is not None]
    if missing := [name for name in known if name not in present]:
        inventory.notes.append(f"there is nothing of {', '.join(missing)}")
    info = {**info, "validation_domains": [], "source_domain": info["source_domain"] if masked else None}
    if masked and info["source_domain"] not in present:
        inventory.notes.append(f"the source domain is missing, so {present[0]} stands in for it")
        info["source_domain"] = present[0]
    targets = [name for name in (*known, *present) if name in present and name != info["source_domain"]]
    return {**info, "target_domains": list(dict.fromkeys(targets))}


def _split_subjects(
    good: Iterable[Done], source: str | None, chosen: argparse.Namespace, masked: bool, notes: list[str]
) -> dict[tuple[str, str], str]:
    people = dict.fromkeys(done.scan.person for done in good)
    splits, drawn = dict.fromkeys(people, "test"), {}
    subjects = [subject for domain, subject in people if domain == source]
    if chosen.fold:
        drawn = split_by_fold(subjects, *chosen.fold, chosen.seed)
    elif masked and len(subjects) < 3:
        notes.append(f"{len(subjects)} subjects of {source} are too few to be split; all are for testing")
    elif masked:
        drawn = split_by_subject(subjects, seed=chosen.seed)
    return splits | {(source, name): split for name, split in drawn.items()}


def _refuse_other_sets(out: Path, command: str, fold: tuple[int, int] | None) -> None:
    if (out / "dataset.json").is_file():
        try:
            info = json.loads((out / "dataset.json").read_text(encoding="utf-8"))
            made, other = str(info.get("how_made")), info.get("fold")
        except (ValueError, AttributeError, OSError):
            made, other = "unknown", None
        if not made.startswith(command + " "):
            raise BadInput(f"{out} holds a slice set that {command!r} did not make; choose another folder", "folder")
        if other != (fold and _written(fold)):
            what = f"fold {other}" if other else "a set without folds"
            raise BadInput(f"{out} holds {what}; choose another folder, or remove this one first", "folder")
