"""The images of an experiment: source train / val / test, validation scanners, target scanners, as tensors."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from advconf_lite.data.cropping import labels_lost
from advconf_lite.data.grid import Grid, assumed
from advconf_lite.data.on_disk import OnDisk
from advconf_lite.data.resampling import Size
from advconf_lite.data.slice_checks import BLOCK, load
from advconf_lite.data.slices import SliceSet, read_slice_set
from advconf_lite.data.splits import split_by_slice
from advconf_lite.experiment.profiles import Profile
from advconf_lite.experiment.reacquired import reacquire_held_out
from advconf_lite.phantom.offered import has_own_scanners
from advconf_lite.phantom.organs import ORGANS, find_organ
from advconf_lite.phantom.phantom import make_phantom
from advconf_lite.support.errors import BadInput
from advconf_lite.support.memory import memory_bytes

SHARE = 0.25  # of the memory, for the images and masks of an experiment
PIECE = 512  # slices that are scored at a time, with all their features; a multiple of the 64 of a pass
OTHER_WORDS = {"heart": "cardiac", "lv": "cardiac", "myocardium": "cardiac", "prostate gland": "prostate"}


@dataclass
class Part:
    """Slices of one domain and split: images (N, 1, H, W), masks (N, H, W), and their rows of slices.csv."""

    images: Tensor | OnDisk
    masks: Tensor | OnDisk
    table: pd.DataFrame

    def pair(self) -> tuple[Tensor, Tensor]:
        return self.images, self.masks

    def starts(self) -> range:
        """Where its pieces begin."""
        return range(0, len(self), PIECE)

    def piece(self, start: int) -> Part:
        """At most PIECE of its slices, as tensors."""
        rows = slice(start, start + PIECE)
        return Part(self.images[rows], self.masks[rows], self.table.iloc[rows].reset_index(drop=True))

    def __len__(self) -> int:
        return len(self.table)


@dataclass
class Experiment:
    """What a run works on. `targets` and `validation` map a scanner's name to its slices."""

    slices: SliceSet  # the source's slice set
    grid: Grid  # that every part is on: the set's own, or a coarser one if the profile asks for it
    train: Part
    val: Part
    test: Part
    validation: dict[str, Part]
    targets: dict[str, Part]
    reacquired: bool  # targets are held-out source subjects, re-acquired by virtual scanners
    notes: list[str] = field(default_factory=list)  # on what of the set is not used

    @property
    def size(self) -> Size:
        """Pixels a side of a square; (rows, columns) of other images."""
        return self.grid.size

    @property
    def spacing_mm(self) -> float:
        return self.grid.spacing_mm

    @property
    def class_names(self) -> list[str]:
        return self.slices.class_names

    @property
    def num_classes(self) -> int:
        return self.slices.num_classes

    @property
    def tolerance_mm(self) -> float:
        return self.slices.tolerance_mm

    def evaluated(self) -> dict[str, Part]:
        """Domains to report, the source's held-out subjects first."""
        return {self.slices.source_domain: self.test, **self.targets}


def check_spec(spec: str) -> None:
    """Refuse a SPEC that is neither a phantom nor a slice-set folder, before anything is made."""
    if spec.startswith("phantom:"):
        if spec.split(":", 1)[1] not in ORGANS:
            known = " or ".join(f"phantom:{organ}" for organ in ORGANS)
            raise BadInput(f"{spec} is not a phantom that exists; give {known}, or a slice-set folder", argument="data")
    elif not Path(spec).is_dir():
        raise BadInput(
            f"{spec} is not a folder that exists; make a slice set with python -m data_download prepare, or correct the "
            "path (a built-in phantom is called phantom:NAME)",
            argument="data",
        )


def remarks_on(spec: str, source: str, reacquired: bool) -> list[str]:
    """Sentences that belong beside the numbers of a run on these data."""
    remarks = []
    if spec.startswith("phantom:"):
        remarks.append("Simulated images: these numbers say nothing about clinical scanners.")
    if reacquired:
        remarks.append(
            f"The targets are held-out subjects of {source}, re-acquired by virtual "
            "scanners, which take the image alone and no mask; they are not images of other real scanners."
        )
    return remarks


def first_look(spec: str, profile: Profile) -> tuple[Grid, list[str]]:
    """For the top of a run, before anything is made: the grid that it works on, and sentences on what of it was assumed and
    what a crop cuts off.

    Raises:
        BadInput: the files of the set are not those of a slice set, or its grid cuts off more than 0.5 % of the labelled
            area.
    """
    if spec.startswith("phantom:"):
        size, spacing_mm = find_organ(spec.split(":", 1)[1]).grid(profile.max_size)
        return Grid(size, size, spacing_mm), []
    slices = SliceSet(Path(spec), *load(Path(spec)))
    return slices.grid.within(profile.max_size), [*remarks_on_grid(slices), *outlined(slices)[2]]


def usual_word(organ: str | None) -> str:
    """The word under which an organ's own scanners are known, where there is one; else its own, in small letters."""
    return OTHER_WORDS.get(str(organ).lower(), str(organ).lower())


def remarks_on_grid(slices: SliceSet) -> list[str]:
    """What of a set's grid a rule decided, and what a crop to it cuts off; BadInput if that is too much."""
    lost = labels_lost(slices, slices.grid)
    sentences = [*assumed(slices.info, slices.grid, slices.table), *([lost] if lost else [])]
    meant = usual_word(slices.organ)
    if meant != slices.organ and has_own_scanners(meant):
        sentences.append(
            f"dataset.json says organ {slices.organ}: write {meant} to re-acquire images by that organ's scanners"
        )
    return sentences


def labelled(slices: SliceSet) -> np.ndarray:
    """(N,) whether anything is labelled on each slice as it is stored."""
    found = np.zeros(len(slices), bool)
    for start in range(0, len(slices), BLOCK):
        found[start : start + BLOCK] = (np.asarray(slices.masks[start : start + BLOCK]) > 0).any((1, 2))
    return found


def outlined(slices: SliceSet) -> tuple[list[str], list[str], list[str]]:
    """Validation and target domains that have a label, and a sentence for each other one, which a run leaves out.

    Without any target, held-out subjects of the source are re-acquired, as of a set that has one domain alone.
    """
    rows = slices.table[labelled(slices)] if slices.masks is not None else slices.table
    kept, sentences = [], []
    for split, names in (("val", slices.validation_domains), ("test", slices.target_domains)):
        there = set(rows.loc[rows["split"] == split, "domain"])
        kept.append([name for name in names if name in there])
        empty = [name for name in names if name not in there]
        sentences += [f"domain {name} is left out: no slice of it with split {split} has a label" for name in empty]
    if slices.target_domains and not kept[1]:
        sentences.append("no target domain is left; held-out subjects of the source, re-acquired, stand in")
    return *kept, sentences


def load_experiment(spec: str, folder: Path, profile: Profile, progress: bool = True, share: float = SHARE) -> Experiment:
    """The data behind a SPEC.

    Args:
        spec: "phantom:NAME" or a slice-set folder with masks.
        folder: the run's folder; what has to be made (a phantom, re-acquired targets) is kept in it.
        share: as in `assemble`.

    Raises:
        BadInput: no such phantom or folder; or a slice set without masks, without source subjects for a split, or whose
            grid cuts off more than 0.5 % of its labelled area.
    """
    check_spec(spec)
    if spec.startswith("phantom:"):
        organ = spec.split(":", 1)[1]
        made = folder / "data" / f"phantom-{organ}"
        if not made.exists():
            size, spacing_mm = find_organ(organ).grid(profile.max_size)
            subjects = find_organ(organ).subjects[profile.phantom_subjects]
            make_phantom(organ, made, size, spacing_mm, subjects, seed=0, progress=progress)
        slices = read_slice_set(made)
    else:
        slices = read_slice_set(spec)
    if slices.masks is None:
        raise BadInput(
            f"{spec} has no masks.npy, so nothing can be trained on it; to score its images use "
            "python -m advconf_lite predict"
        )
    return assemble(slices, folder, profile, progress, share)


def assemble(slices: SliceSet, folder: Path, profile: Profile, progress: bool = True, share: float = SHARE) -> Experiment:
    """Tensors of every part; single-domain sets get their targets by re-acquisition.

    Args:
        share: of the memory that all parts together may take. A part that does not fit stays on the disk, and is read batch
            by batch (`data.on_disk`): the same numbers, more slowly.
    """
    settings = profile.settings
    labels_lost(slices, slices.grid)  # refuses a grid that cuts off too much
    grid = slices.grid.within(profile.max_size)
    source, notes = slices.source_domain, []
    if settings.split == "slice":  # the published protocol, to show what leaks
        slices = resplit_by_slice(slices)

    room = share * memory_bytes()

    def part(of: SliceSet, domain: str, split: str) -> Part:
        nonlocal room
        chosen = of.select(domain=domain, split=split)
        if len(chosen) == 0:
            raise BadInput(
                f"{of.folder / 'slices.csv'} has no slices with domain {domain} and split {split}; "
                "give every split at least one subject"
            )
        needed = len(chosen) * grid.rows * grid.columns * (4 + 8)  # float32 images and int64 masks
        fits, form = needed <= room, (grid.size, grid.spacing_mm, settings.normalise)
        room -= needed if fits else 0
        _, masks = chosen.on_disk(*form)
        # The paper reports non-empty slices. Not a list, which would keep things between the blocks of masks, whose memory
        # nobody then has back.
        keep = torch.zeros(len(chosen), dtype=torch.bool)
        for start in range(0, len(chosen), BLOCK):
            keep[start : start + BLOCK] = masks[start : start + BLOCK].flatten(1).any(1)
        if gone := int((labelled(chosen) & ~keep.numpy()).sum()):
            notes.append(
                f"{gone} labelled slices of domain {domain} and split {split} have no labelled pixel left as {grid}"
            )
        if settings.segmenter_empty_slices and split == "train":
            keep[:] = True
        if not keep.any():
            raise BadInput(
                f"{of.folder} has no label on any slice with domain {domain} and split {split}, as {grid}; label some, "
                "or choose a larger profile if the labelled parts are smaller than a pixel"
            )
        kept = chosen.take(np.flatnonzero(keep))
        return Part(*(kept.tensors(*form) if fits else kept.on_disk(*form)), kept.table)

    train, val, test = (part(slices, source, split) for split in ("train", "val", "test"))
    shown = {label for some in train.masks.split(BLOCK) for label in some.unique().tolist()}
    unknown = set(range(1, slices.num_classes)) - shown
    if unknown:
        names = ", ".join(slices.class_names[label - 1] for label in sorted(unknown))
        raise BadInput(
            f"{slices.folder} has no slice of domain {source} and split train, as {grid}, that shows {names}: nothing could "
            "learn it; put a subject that has it into train, or leave the class out"
        )
    validation, targets, left_out = outlined(slices)
    reacquired, others = not targets, slices
    if reacquired:
        others = reacquire_held_out(slices, folder, grid.spacing_mm, progress)
        validation, targets, _ = outlined(others)
    return Experiment(
        slices,
        grid,
        train,
        val,
        test,
        {name: part(others, name, "val") for name in validation},
        {name: part(others, name, "test") for name in targets},
        reacquired,
        notes + left_out,
    )


def resplit_by_slice(slices: SliceSet) -> SliceSet:
    """Source train and val drawn anew by slice, 90 / 10 %, so that a subject straddles both; test subjects stay."""
    table = slices.table.copy()
    rows = np.flatnonzero((table["domain"] == slices.source_domain) & table["split"].isin(["train", "val"]))
    table.loc[rows, "split"] = split_by_slice(len(rows), {"train": 0.9, "val": 0.1}, seed=0)
    return SliceSet(slices.folder, slices.images, slices.masks, table, {**slices.info, "split": "slice"})


def to_device(part: Part, device: torch.device) -> tuple[Tensor, Tensor]:
    """(images, masks) of a part on the device."""
    return part.images.to(device), part.masks.to(device)
