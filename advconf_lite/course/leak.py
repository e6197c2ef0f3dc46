"""What a split by slice lets through, run and not asserted: a "segmenter" without any knowledge, under two splits.

It looks up the most similar training image and hands out a copy of its mask. Where a neighbouring slice of the same subject
is among the training images, that scores well, and says nothing of the next subject.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from advconf_lite.course.pictures import evenly, normalised
from advconf_lite.data.splits import split_by_slice, split_by_subject
from advconf_lite.experiment.parts import Part
from advconf_lite.experiment.run import Run
from advconf_lite.experiment.scoring import true_scores
from advconf_lite.figures.outlines import Outlined

TENTH = {"train": 0.9, "val": 0.1}  # as the published code splits
BY_SLICE, BY_SUBJECT = "by slice", "by subject"
MOST = 3000  # slices that are taken of a part, evenly over all of them
SIDE = 32  # pixels to which images are averaged before they are compared: what differs below is noise


def source_slices(run: Run) -> Part:
    """The source's training and validation slices together, to be split anew. No test slice is among them."""
    parts = [_rows(part, evenly(len(part), MOST)) for part in (run.experiment.train, run.experiment.val)]
    table = pd.concat([part.table for part in parts], ignore_index=True)
    return Part(torch.cat([part.images for part in parts]), torch.cat([part.masks for part in parts]), table)


def most_similar(x: Tensor, among: Tensor) -> Tensor:
    """(N, 1, H, W) and (M, 1, H, W) -> the row of `among` that is nearest to each image of `x`, (N,)."""
    small = [adaptive_avg_pool2d(images, SIDE).flatten(1) for images in (x, among)]
    return torch.cdist(*small).argmin(1)


def copied_masks(x: Tensor, among: Part) -> Tensor:
    """The whole segmenter: no weights, no training, the mask of the most similar image."""
    return among.masks[most_similar(x, among.images)]


def copied_scores(run: Run, splits: int = 20) -> pd.DataFrame:
    """Mean validation Dice of the copied masks under `splits` splits of each kind, 9 : 1.

    Columns: split (by slice, by subject), seed, shared (the share of validation subjects that are in training), dice. With a
    single subject there is no split by subject, and its rows are missing.
    """
    pool = source_slices(run)
    subjects = pool.table["subject"].astype(str).to_numpy()
    rows = []
    for seed in range(splits):
        for kind, of_split in _splits(subjects, seed).items():
            train, val = (np.flatnonzero(of_split == name) for name in ("train", "val"))
            shared = len({*subjects[val]} & {*subjects[train]}) / len({*subjects[val]})
            drawn = copied_masks(pool.images[val], _rows(pool, train))
            dice = true_scores(run, drawn, pool.masks[val], "dice").mean()
            rows.append({"split": kind, "seed": seed, "shared": shared, "dice": float(dice)})
    return pd.DataFrame(rows, columns=["split", "seed", "shared", "dice"])


def copied_cases(run: Run, n: int = 3) -> list[Outlined]:
    """n slices twice, for `figures.outlines.one_subject_all_scanners`: with the mask of the most similar other slice, and
    with that of the most similar slice of another subject. Evenly over all slices: nobody has chosen."""
    pool = source_slices(run)
    subjects = pool.table["subject"].astype(str).to_numpy()
    chosen = np.linspace(0, len(pool) - 1, n + 2).round().astype(int)[1:-1]
    cases = []
    for title, allowed in (
        ("any other slice", lambda row: np.arange(len(pool)) != row),
        ("another subject", lambda row: subjects != subjects[row]),
    ):
        for row in chosen:
            among = np.flatnonzero(allowed(row))
            if len(among):
                cases.append(_case(run, pool, int(row), among, title))
    return cases


def _case(run: Run, pool: Part, row: int, among: np.ndarray, title: str) -> Outlined:
    x, y = pool.images[row : row + 1], pool.masks[row : row + 1]
    drawn = copied_masks(x, _rows(pool, among))
    dice = float(true_scores(run, drawn, y, "dice"))
    arrays = (values.squeeze().cpu().numpy() for values in (x, drawn, y))
    return Outlined(f"copied from\n{title}", *arrays, dice)


def _splits(subjects: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    made = {}
    if len(subjects) > 1:
        made[BY_SLICE] = np.array(split_by_slice(len(subjects), TENTH, seed))
    if len({*subjects}) > 1:
        of = split_by_subject(subjects, TENTH, seed)
        made[BY_SUBJECT] = np.array([of[subject] for subject in subjects])
    return made


def _rows(part: Part, rows: np.ndarray) -> Part:
    return Part(part.images[rows], part.masks[rows], part.table.iloc[rows])


def intensities(run: Run) -> pd.DataFrame:
    """Grey values per scanner as they are stored, and after each image was normalised by itself: mean and deviation, as
    means over the first slices of each domain."""
    slices, rows = run.experiment.slices, []
    for domain, table in slices.table.groupby("domain", sort=False):
        images = [np.array(slices.images[row], np.float32) for row in table.index[:20]]
        after = [normalised(image) for image in images]
        rows.append({
            "domain": domain, "mean": np.mean([image.mean(dtype=np.float64) for image in images]),
            "deviation": np.mean([image.std(dtype=np.float64) for image in images]),
            "mean after": abs(np.mean([float(image.mean()) for image in after])),
            "deviation after": np.mean([float(image.std(correction=0)) for image in after]),
        })  # fmt: skip
    return pd.DataFrame(rows).set_index("domain").round(2)
