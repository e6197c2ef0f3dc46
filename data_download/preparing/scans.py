"""One scan after the other, in all cores: read, resample, turn, crop; kept on disk until the slice set is whole."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import sys
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

import advconf_lite
from advconf_lite.data.resampling import centre_crop_or_pad, resample_in_plane, resampled_shape
from advconf_lite.data.usual import LARGEST_SIDE
from advconf_lite.support.errors import BadInput, cannot_write
from advconf_lite.support.files import write_atomically
from advconf_lite.support.processes import in_processes
from data_download.preparing.header import said_in_words
from data_download.preparing.inventory import Scan
from data_download.preparing.masks import read_mask
from data_download.preparing.orientation import is_placeholder, turned, turns
from data_download.preparing.volumes import Volume, read_volume

# Bytes of image files below which starting processes takes longer than the work. Measured on two cores: 49 MB take 1.8 s in
# one process and 2.5 s in two, 66 MB 2.7 and 3.0 s, 232 MB 10.8 and 7.1 s.
WORTH_A_POOL = 80_000_000


class BadScan(BadInput):
    """A scan has to be mended, or left out; those that are done are of use then."""


@dataclass(frozen=True)
class Job:
    """What is done to every scan.

    Attributes:
        labels: stored label -> ours.
        spacing_mm, size: of the result's pixels, and how many a side.
        organ: whose view the planes are turned to (`orientation.VIEWS`); None leaves them as stored.
        geometry: "in-plane"; or "published-code", which reproduces a slip of the published loader: it resamples the
            rows and the slice axis, by the ratio of the first pixel size, and leaves the columns as they are.
        keep_empty: keep slices without a foreground pixel.
        wrong_label: what to do about a label that `labels` lacks.
        slice_axis: of the stored arrays; None finds each volume's from its spacing.
    """

    labels: dict[int, int]
    spacing_mm: float
    size: int
    organ: str | None
    geometry: str
    keep_empty: bool
    wrong_label: str
    slice_axis: int | None = None


@dataclass(frozen=True)
class Done:
    """What came of one scan: a file with its slices, or an error.

    Attributes:
        slices: of the result.
        empty: slices without a foreground pixel as stored.
        faded, cropped: slices that lost all their foreground, to the resampling and to the crop.
        labelled, lost: pixels with a label before the crop, and how many of them it cut off.
        needed: pixels a side that hold all of them.
    """

    scan: Scan
    path: Path
    notes: tuple[str, ...] = ()
    slices: int = 0
    empty: int = 0
    faded: int = 0
    cropped: int = 0
    labelled: int = 0
    lost: int = 0
    needed: int = 0
    error: str = ""

    def load(self) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
        """Images (n, size, size), masks or None, and the slices' numbers in the volume."""
        with open(self.path, "rb") as file:
            _, _, numbers, images = (np.load(file) for _ in range(4))
            return images, np.load(file) if file.peek(1) else None, numbers


@dataclass(frozen=True)
class Prepared:
    """One scan before the crop.

    Attributes:
        images: (Z, H, W) float32.
        masks: (Z, H, W) uint8; None without a mask file.
        dark: the darkest voxel as stored.
        filled: stored slices with a foreground pixel.
        notes: remarks.
    """

    images: np.ndarray
    masks: np.ndarray | None
    dark: float
    filled: int
    notes: list[str]


def prepare_scan(scan: Scan, job: Job) -> Prepared:
    """A scan read, resampled and turned.

    Raises:
        BadInput: see `read_volume` and `read_mask`; or the plane would be absurdly large.
    """
    volume, notes = read_volume(scan.image, axis=job.slice_axis), []
    mask = None if scan.mask is None else read_mask(scan.mask, volume, job.labels, notes, job.wrong_label)
    notes += volume.notes
    filled = 0 if mask is None else int(mask.any(axis=(1, 2)).sum())
    if mask is not None and not filled:
        notes.append(f"{scan.domain} {scan.subject} {scan.phase}: the mask is empty".replace("  ", " "))
    spacing = volume.spacing_mm
    sides = resampled_shape(volume.slices.shape[1:], spacing, job.spacing_mm)
    if max(sides) > LARGEST_SIDE:
        raise BadInput(
            f"image {scan.image} would have {sides[0]} x {sides[1]} pixels of {job.spacing_mm} mm, and {LARGEST_SIDE} a "
            f"side are the most; correct its header's voxel sizes ({said_in_words(spacing)}), or give a larger --spacing"
        )
    images = _single(volume, scan.image)
    if job.geometry == "published-code":
        scale = spacing[1] / job.spacing_mm
        images = _slipped(images, scale, "bilinear")
        mask = None if mask is None else _slipped(mask, scale, "nearest")
    else:
        images = resample_in_plane(images, spacing, job.spacing_mm, "bilinear")
        mask = None if mask is None else resample_in_plane(mask, spacing, job.spacing_mm, "nearest")
    if job.organ is not None:
        if not volume.header.oriented:
            notes.append("a header does not say which way is up, so its slices stay as stored")
        elif is_placeholder(volume.header.affine, job.organ):
            notes.append("an affine does not say how the heart's plane lies, so its slices stay as stored")
        else:
            turn = turns(volume.header.affine, job.organ)
            images, mask = turned(images, turn), None if mask is None else turned(mask, turn)
    return Prepared(images, mask, float(volume.slices.min()), filled, notes)


def _single(volume: Volume, path: Path) -> np.ndarray:
    """The slices (Z, Y, X) as 32-bit floats.

    Raises:
        BadInput: a value is too large for that.
    """
    with np.errstate(over="ignore"):
        images = volume.slices.astype(np.float32)
    if volume.slices.dtype.kind == "f" and volume.slices.dtype.itemsize > 4 and not np.isfinite(images).all():
        largest = volume.slices[~np.isfinite(images)][0]
        raise BadInput(f"image {path} holds {largest:.4g}, too much for 32 bits; repair it or leave this subject out")
    return images


def _slipped(slices: np.ndarray, scale: float, mode: str) -> np.ndarray:
    """(Z, Y, X) resampled along Y and Z, for `Job.geometry`."""
    x = torch.from_numpy(np.ascontiguousarray(slices.transpose(2, 1, 0), dtype=np.float32))[:, None]  # (X, 1, Y, Z)
    align = {"align_corners": True} if mode == "bilinear" else {}
    x = F.interpolate(x, scale_factor=(scale, scale), mode=mode, **align)
    return x[:, 0].numpy().transpose(2, 1, 0).astype(slices.dtype)


def _work(scan: Scan, job: Job, path: Path) -> Done:
    """Prepare one scan into `path`; a bad file becomes an error and not an exception, so that others go on."""
    try:
        prepared = prepare_scan(scan, job)
    except BadInput as error:
        return Done(scan, path, error=str(error))
    # Air is -1000 in CT and below 0 in scored images, so around an image it is as dark as in it. The published code has 0.
    images = centre_crop_or_pad(prepared.images, job.size, prepared.dark if job.geometry == "in-plane" else 0)
    whole = prepared.masks
    filled = np.ones(len(images), bool)
    empty = faded = cropped = labelled = lost = needed = 0
    if whole is not None:
        masks = centre_crop_or_pad(whole, job.size)
        filled, lost = masks.any(axis=(1, 2)), cut_off(whole, job.size)
        labelled, needed = int(np.count_nonzero(masks)) + lost, size_for(whole) if lost else 0
        left = int(filled.sum())
        before = int(whole.any(axis=(1, 2)).sum()) if lost else left
        stored = prepared.filled if job.geometry == "in-plane" else before  # the other one has another number of slices
        empty, faded, cropped = len(whole) - stored, stored - before, before - left
    keep = np.ones(len(images), bool) if job.keep_empty else filled
    counts = int(keep.sum()), empty, faded, cropped, labelled, lost, needed
    arrays = [counts, np.array(prepared.notes, dtype=str), np.flatnonzero(keep), images[keep]]
    if whole is not None:
        arrays.append(masks[keep])

    def write(temporary: Path) -> None:
        content = io.BytesIO()  # into a file itself, numpy does not say that the disk is full
        for array in arrays:  # one after the other: numpy's zip of them takes longer
            np.save(content, array)
        temporary.write_bytes(content.getbuffer())

    write_atomically(path, write)
    return Done(scan, path, tuple(prepared.notes), *counts)


def cut_off(masks: np.ndarray, size: int) -> int:
    """Labelled pixels of (Z, H, W) masks outside their central crop: those of the margins alone are counted."""
    rows, columns = (slice(start := max(0, (have - size) // 2), start + size) for have in masks.shape[1:])
    margins = masks[:, : rows.start], masks[:, rows.stop :], masks[:, rows, : columns.start], masks[:, rows, columns.stop :]
    return sum(int(np.count_nonzero(margin)) for margin in margins)


def size_for(masks: np.ndarray) -> int:
    """Pixels a side that `centre_crop_or_pad` has to leave for all labels of (Z, H, W) masks to stay; 0 without any."""
    needed = 0
    for axis in (1, 2):
        have = masks.shape[axis]
        held = np.flatnonzero(masks.any(axis=(0, 3 - axis)))
        if held.size:
            sides = (s for s in range(1, have + 1) if (have - s) // 2 <= held[0] and held[-1] < (have - s) // 2 + s)
            needed = max(needed, next(sides))
    return needed


def _read(scan: Scan, path: Path) -> Done:
    """What an earlier run had done with a scan."""
    with open(path, "rb") as file:
        counts, notes = np.load(file), np.load(file)
    return Done(scan, path, tuple(map(str, notes)), *map(int, counts))


def kept_in(out: Path, job: Job) -> Path:
    """The folder, hidden beside `out`, of what a run that did not end well has done with these options."""
    return out.parent / f".{out.name}-preparing-{_fingerprint(job)}"


@contextmanager
def work_through(
    scans: list[Scan], job: Job, out: Path, workers: int | None, skip_bad: bool, title: str
) -> Iterator[Iterator[Done]]:
    """Every scan's `Done`, in order and as it comes, for use while the block lasts. What an earlier run that did not end
    well (it was killed, or met a bad scan) had done with the same options and the same files of a scan is taken from
    `kept_in`.

    Raises:
        BadInput: a scan is bad and `skip_bad` is not set; or the disk is full.
    """
    folder = kept_in(out, job)
    for other in out.parent.glob(f".{out.name}-preparing-*") if out.parent.is_dir() else ():
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(out, error) from error
    # Each scan by its own files: a file that was mended since is read anew, and the others are not.
    paths = [folder / f"{_fingerprint(replace(s, image=_state(s.image), mask=_state(s.mask)))}.scan" for s in scans]
    for stale in set(folder.iterdir()) - set(paths):
        if stale.is_dir():  # half a slice set, of a run that was killed
            shutil.rmtree(stale, ignore_errors=True)
        else:
            stale.unlink()
    waiting = [number for number, path in enumerate(paths) if not path.is_file()]
    if workers is None:
        size = sum(scans[number].image.stat().st_size for number in waiting if scans[number].image.is_file())
        workers = (os.cpu_count() or 1) if size > WORTH_A_POOL else 1
    try:
        jobs = [(scans[number], job, paths[number]) for number in waiting]
        begun = len(scans) - len(waiting)
        from advconf_lite.support import progress  # not at the top: workers import this module, and draw no bars

        with progress.bar(total=len(scans), initial=begun, desc=title, unit="scan") as bar:
            # closed, so that no worker writes on after an error
            with closing(in_processes(_work, jobs, workers, helping=True)) as outcomes:
                yield _in_order(scans, paths, set(waiting), outcomes, skip_bad, bar)
    except BadInput as error:
        done = sum(path.is_file() for path in paths)
        # Any other refusal is answered by another command, which has no use for them.
        if done and (isinstance(error, BadScan) or error.argument == "folder"):
            print(f"the {done} scans that are done are kept; the same command goes on from there", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)


def _in_order(
    scans: list[Scan], paths: list[Path], waiting: set[int], outcomes: Iterator[Done], skip_bad: bool, bar: tqdm
) -> Iterator[Done]:
    for number, (scan, path) in enumerate(zip(scans, paths)):
        if number not in waiting:
            yield _read(scan, path)
            continue
        done = next(outcomes)
        bar.update()
        if done.error and not skip_bad:
            raise BadScan(f"{done.error} (--skip-bad goes on without such subjects)")
        yield done
    bar.close()  # before anything else is printed


def of_good_subjects(results: Iterable[Done], scans: list[Scan], bad: dict[tuple[str, str], str]) -> Iterator[Done]:
    """The `results` of `scans`, each as soon as all scans of its subject and of those before it are there; subjects with
    a bad scan are left out whole, and put into `bad` with the error."""
    missing = Counter(scan.person for scan in scans)
    held: deque[Done] = deque()
    for done in results:
        if done.error:
            bad[done.scan.person] = done.error
        missing[done.scan.person] -= 1
        held.append(done)
        while held and not missing[held[0].scan.person]:
            first = held.popleft()
            if first.scan.person not in bad:
                yield first


def _fingerprint(what: Job | Scan) -> str:
    return hashlib.sha256(f"{advconf_lite.__version__} {what}".encode()).hexdigest()[:16]


def _state(path: Path | None) -> tuple | None:
    if path is None or not path.is_file():
        return None
    stat = path.stat()
    return str(path.absolute()), stat.st_size, stat.st_mtime_ns
