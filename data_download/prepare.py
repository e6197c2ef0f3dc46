"""From scans (image and mask files) to a slice set: what preparing every data set has in common."""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shlex
import shutil
import sys
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

import advconf_lite
from advconf_lite.data.slice_writer import SliceSetWriter, refuse_to_overwrite
from advconf_lite.data.slices import SliceSet, read_slice_set
from advconf_lite.data.splits import split_by_fold, split_by_slice, split_by_subject
from advconf_lite.support.errors import BadInput
from data_download.fetching.archive import extract
from data_download.preparing.montage import montages
from data_download.preparing.scans import Done, Job, Scan, kept_in, of_good_subjects, work_through

__all__ = ["Archive", "Scan", "add_common_options", "prepare_scans", "unpacked"]


@dataclass
class Archive:
    """What looking at an archive's files gives.

    Attributes:
        scans: the volumes, in the order in which they will be written.
        notes: remarks; equal ones are counted, printed and kept in dataset.json.
        left_out: "domain subject: reason" of every subject that `--skip-bad` left out.
        skip_bad: go on after a bad subject.
    """

    skip_bad: bool = False
    scans: list[Scan] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @contextmanager
    def subject(self, domain: str, subject: str) -> Iterator[None]:
        """Whatever is bad inside concerns one subject: with `skip_bad` it is left out, and listed."""
        before = len(self.scans)
        try:
            yield
        except BadInput as error:
            if not self.skip_bad:
                raise BadInput(f"{error} (--skip-bad goes on without such subjects)") from error
            del self.scans[before:]
            self.left_out.append(f"{domain} {subject}: {error}")


def add_common_options(parser: argparse.ArgumentParser, spacing_mm: float, size: int) -> None:
    """Options that mean the same for every data set."""
    parser.add_argument("--source", required=True, metavar="DIR", help="the data set: its unpacked folder, or the archive")
    parser.add_argument("--out", required=True, metavar="DIR", help="the slice set to write")
    parser.add_argument("--spacing", type=_positive(float), default=spacing_mm, help="pixel size in mm")
    parser.add_argument(
        "--size", type=_positive(int), default=size, help="height and width in pixels, by centre crop or pad"
    )
    parser.add_argument(
        "--orientation",
        choices=("aligned", "as-stored"),
        default="aligned",
        help="turn and flip the planes so that all lie the same way up, or leave them, as the published code does",
    )
    parser.add_argument(
        "--split",
        choices=("subject", "slice"),
        default="subject",
        help="keep subjects apart, or draw slices at random as the published code does, which leaks",
    )
    parser.add_argument("--seed", type=int, default=0, help="which subjects (or slices) go where")
    parser.add_argument(
        "--fold",
        type=_fold,
        metavar="K/N",
        help="cut the source's subjects into N folds and test on the K-th, so that N sets test each subject once; "
        "without it a quarter of them is for testing",
    )
    parser.add_argument("--keep-empty", action="store_true", help="keep slices without a foreground pixel")
    parser.add_argument("--skip-bad", action="store_true", help="leave out subjects with bad files and list them at the end")
    parser.add_argument("--workers", type=_positive(int), default=None, help="processes; default one per core")
    parser.add_argument(
        "--montage", metavar="DIR", help="also draw a picture of each domain, with its masks, into this folder"
    )
    parser.add_argument(
        "--note",
        metavar="TEXT",
        help="a remark to keep in dataset.json, such as "
        "'the headers of this copy are placeholders, millimetres are nominal'",
    )


@contextmanager
def unpacked(options: argparse.Namespace) -> Iterator[Path]:
    """The folder of `--source`; an archive is unpacked beside `--out` for as long as it is needed.

    Raises:
        BadInput: there is neither a folder nor an archive that can be unpacked.
    """
    source, out = Path(options.source), Path(options.out)
    if source.is_dir():
        yield source
        return
    if not source.is_file():
        raise BadInput(f"there is no folder {source}; give the unpacked data set, or its archive, with --source")
    state = source.stat()
    key = hashlib.sha256(f"{source.absolute()} {state.st_size} {state.st_mtime_ns}".encode()).hexdigest()[:12]
    folder = out.parent / f".{out.name}-unpacked-{key}"
    for other in out.parent.glob(f".{out.name}-unpacked-*"):
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)
    if not folder.is_dir():  # one that is there is whole: a killed run left it
        extract(source, folder)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)  # only after success: the next run need not unpack again


def prepare_scans(
    name: str,
    archive: Archive,
    labels: dict[int, int],
    info: dict,
    options: argparse.Namespace,
    organ: str,
    geometry: str = "in-plane",
    flags: Sequence[str] = (),
) -> SliceSet:
    """Resample in-plane, turn, crop or pad, map labels, split, write.

    The slice axis is never touched, and pixel sizes are what the headers' affines say. Every scan is prepared on its own,
    in as many processes as there are cores, and kept beside `--out` until the set is whole: the memory needed is that of
    one scan per process, and a run that was killed or met a bad file goes on where it was. A subject is written while
    others are worked on. Without any mask an image-only set is made.

    Subjects of the source domain are split; those of every other domain are for testing. An existing slice set at
    `options.out` is replaced if this command made it, and only once the new one is whole; anything else is refused.

    Args:
        name: the data set's name on the command line.
        labels: stored label -> our label, for every foreground label.
        info: what dataset.json says about the data set.
        organ: "heart" or "prostate", for the view.
        geometry: "in-plane", or "published-code" for the axis slip of the published loader (see `scans`).
        flags: options that this data set alone has, as given, for `how_made`.

    Raises:
        BadInput: a file is missing, damaged or inconsistent; the sentence names it.
    """
    out = Path(options.out)
    refuse_to_overwrite(out)  # now, and not after an hour of work
    command = f"python -m data_download prepare {name}"
    _refuse_other_sets(out, command, options.fold)
    masked = _has_masks(archive)
    info = {
        **_domains(info, archive, masked),
        "organ": "cardiac" if organ == "heart" else "prostate",
        "spacing_mm": options.spacing,
        "size": options.size,
        "split": options.split if masked else "subject",
        "version": advconf_lite.__version__,
        "how_made": " ".join([command, _flags(options, geometry), shlex.join(flags)]).rstrip(),
    }
    if options.note:
        info["note"] = options.note
    if options.fold:
        info["fold"] = _written(options.fold)
        _refuse_fold(archive, info["source_domain"], options)
    job = Job(labels, options.spacing, options.size, options.orientation, organ, geometry, options.keep_empty or not masked)
    # In this order: the scans that were kept are removed only when the set is in its place.
    with (
        work_through(archive.scans, job, out, options.workers, options.skip_bad, f"prepare {name}") as results,
        SliceSetWriter(out, info, kept_in(out, job)) as writer,
    ):
        _write(writer, results, archive, options, masked)
    data = _reread(out)
    _report(data, archive)
    if options.montage:
        print(f"pictures: {', '.join(map(str, montages(data, options.montage)))}", file=sys.stderr)
    return data


def _write(
    writer: SliceSetWriter, results: Iterable[Done], archive: Archive, options: argparse.Namespace, masked: bool
) -> None:
    source = writer.info["source_domain"]
    good, people = [], []  # the scans that are written, and whose each row is
    bad: dict[tuple[str, str], str] = {}
    for done in of_good_subjects(results, archive.scans, bad):
        images, masks, numbers = done.load()
        scan = done.scan
        rows = {
            "slice": numbers,
            "dataset": scan.dataset,
            "domain": scan.domain,
            "subject": scan.subject,
            "phase": scan.phase,
            "spacing_mm": options.spacing,
            "split": "",  # known when all subjects are
        }
        writer.add(images, masks, pd.DataFrame(rows))
        good.append(done)
        people += [scan.person] * len(numbers)
    archive.left_out += [f"{domain} {subject}: {error}" for (domain, subject), error in bad.items()]
    if not good:
        raise BadInput(f"{options.source} holds no subject that can be used; the last problem: {archive.left_out[-1]}")
    notes = archive.notes + [note for done in good for note in done.notes]
    splits = _split_subjects(good, source, options, masked, notes)
    every = [splits[person] for person in people]
    if masked and options.split == "slice":
        drawn = iter(split_by_slice(sum(domain == source for domain, _ in people), seed=options.seed))
        every = [next(drawn) if domain == source else "test" for domain, _ in people]
        notes.append("slices of one subject are in several splits, as asked: scores on test are too good")
    writer.set_column("split", every)
    if empty := sum(done.empty for done in good):
        notes.append(f"{empty} slices without a foreground pixel were {'kept' if options.keep_empty else 'dropped'}")
    writer.info["notes"] = [f"{text} ({number} times)" if number > 1 else text for text, number in Counter(notes).items()]
    if archive.left_out:
        writer.info["left_out"] = archive.left_out
    for text in writer.info["notes"]:
        print(f"note: {text}", file=sys.stderr)


def _report(data: SliceSet, archive: Archive) -> None:
    for (domain, split), rows in data.table.groupby(["domain", "split"], sort=False):
        print(f"{domain:10s} {split:6s}{len(rows):6d} slices of {rows['subject'].nunique()} subjects", file=sys.stderr)
    if archive.left_out:
        print(f"left out, {len(archive.left_out)} subjects:", *archive.left_out, sep="\n  ", file=sys.stderr)


def _reread(out: Path) -> SliceSet:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a note said it
        return read_slice_set(out)


def _flags(options: argparse.Namespace, geometry: str) -> str:
    flags = f"--spacing {options.spacing} --size {options.size} --split {options.split} --seed {options.seed}"
    for flag, given in (
        ("--keep-empty", options.keep_empty),
        ("--orientation as-stored", options.orientation == "as-stored"),
        ("--geometry published-code", geometry == "published-code"),
        ("--skip-bad", options.skip_bad),
    ):
        flags += f" {flag}" * given
    return flags + (f" --fold {_written(options.fold)}" if options.fold else "")


def _written(fold: tuple[int, int]) -> str:
    return "{}/{}".format(*fold)


def _refuse_fold(archive: Archive, source: str | None, options: argparse.Namespace) -> None:
    """BadInput if there is no such fold; before the scans are worked on, which may take hours."""
    if options.split == "slice":
        raise BadInput("--fold keeps subjects apart and --split slice does not; leave one of them out")
    if source is None:
        raise BadInput("--fold is for sets with masks, which are trained on; without masks there is nothing to split")
    split_by_fold((scan.subject for scan in archive.scans if scan.domain == source), *options.fold, options.seed)


def _has_masks(archive: Archive) -> bool:
    """Are there masks? If some are missing, that is a fault of the scan, which its reader reports."""
    if any(scan.mask is not None and scan.mask.is_file() for scan in archive.scans):
        return True
    archive.scans = [Scan(s.dataset, s.domain, s.subject, s.phase, s.image, None) for s in archive.scans]
    archive.notes.append("no masks: an image-only set, to be scored by `python -m advconf_lite predict`")
    return False


def _domains(info: dict, archive: Archive, masked: bool) -> dict:
    """`info` with the domains that are there, those that are not being noted."""
    present = list(dict.fromkeys(scan.domain for scan in archive.scans))
    known = [name for name in (info["source_domain"], *info.get("target_domains", ())) if name is not None]
    if missing := [name for name in known if name not in present]:
        archive.notes.append(f"there is nothing of {', '.join(missing)}")
    info = {**info, "validation_domains": [], "source_domain": info["source_domain"] if masked else None}
    if masked and info["source_domain"] not in present:
        archive.notes.append(f"the source domain is missing, so {present[0]} stands in for it")
        info["source_domain"] = present[0]
    targets = [name for name in (*known, *present) if name in present and name != info["source_domain"]]
    return {**info, "target_domains": list(dict.fromkeys(targets))}


def _split_subjects(
    good: Iterable[Done], source: str | None, options: argparse.Namespace, masked: bool, notes: list[str]
) -> dict[tuple[str, str], str]:
    people = dict.fromkeys(done.scan.person for done in good)
    splits, drawn = dict.fromkeys(people, "test"), {}
    subjects = [subject for domain, subject in people if domain == source]
    if options.fold:
        drawn = split_by_fold(subjects, *options.fold, options.seed)
    elif masked and len(subjects) < 3:
        notes.append(f"{len(subjects)} subjects of {source} are too few to be split; all are for testing")
    elif masked:
        drawn = split_by_subject(subjects, seed=options.seed)
    return splits | {(source, name): split for name, split in drawn.items()}


def _refuse_other_sets(out: Path, command: str, fold: tuple[int, int] | None) -> None:
    if (out / "dataset.json").is_file():
        try:
            info = json.loads((out / "dataset.json").read_text(encoding="utf-8"))
            made, other = str(info.get("how_made")), info.get("fold")
        except (ValueError, AttributeError, OSError):
            made, other = "unknown", None
        if not made.startswith(command + " "):
            raise BadInput(f"{out} holds a slice set that {command!r} did not make; choose another folder with --out")
        if other != (fold and _written(fold)):
            what = f"fold {other}" if other else "a set without folds"
            raise BadInput(f"{out} holds {what}; choose another folder with --out, or remove this one first")


def _fold(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise argparse.ArgumentTypeError(f"{text!r} is no fold K/N with K from 1 to N, such as 1/5")
    return int(match[1]), int(match[2])


def _positive(kind: type):
    def convert(text: str):
        value = kind(text)
        if not 0 < value < float("inf"):
            raise argparse.ArgumentTypeError(f"{text} is not a positive number")
        return value

    convert.__name__ = kind.__name__  # argparse names it when the text is no number
    return convert
