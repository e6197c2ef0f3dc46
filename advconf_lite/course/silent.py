"""A segmenter that fails, and does not say so: one slice on every scanner, and how sure the network was of what it drew."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from advconf_lite.course.exercises.lesson_00 import FAILURE
from advconf_lite.course.exercises.lesson_02 import SURE
from advconf_lite.course.pictures import judged, on_all_scanners, one_per_domain
from advconf_lite.course.saying import COLUMNS
from advconf_lite.experiment.run import Run
from advconf_lite.experiment.scoring import true_scores
from advconf_lite.figures.outlines import Outlined
from advconf_lite.segmenter import Segmenter, decided, label_map

HARDLY = 0.05  # a fall of the median Dice that is none to speak of
LINES = tuple(round(SURE + step, 2) for step in (-0.02, -0.01, 0, 0.01, 0.02))  # where one might as well call a network sure


def on_every_scanner(run: Run, segmenter: Segmenter) -> tuple[list[Outlined], str]:
    """A slice on each scanner, the source first, segmented and judged by Dice; and whose slice it is, for the caption.

    A phantom's patient can be put into every scanner; of other data it is another subject on each.
    """
    if run.data.startswith("phantom:"):
        return on_all_scanners(run, segmenter, quality="dice"), "The same slice of the same virtual patient in every scanner"
    images, masks, titles = one_per_domain(run)
    x, y = torch.stack(images)[:, None], torch.stack(masks)
    titles = [f"{titles[0]}\n(source)", *titles[1:]]
    return judged(run, segmenter, x, y, titles, quality="dice"), "A slice of another subject on each scanner"


def clearest_failure(cases: Sequence[Outlined], failed_below: float = FAILURE) -> Outlined:
    """Of the failures the best one, where there is still an overlap to be counted; without a failure, the worst slice."""
    failures = [case for case in cases if case.true < failed_below]
    return max(failures, key=lambda case: case.true) if failures else min(cases, key=lambda case: case.true)


@torch.no_grad()
def certainty_table(run: Run, segmenter: Segmenter) -> pd.DataFrame:
    """Every evaluated slice: domain, subject, slice; its true Dice; and how sure the network was.

    certainty: mean probability of the labels that were drawn, over the pixels of every class but the background, which is
    most of an image and always sure. NaN where nothing was drawn, or the logits are not finite.
    """
    tables = []
    for domain, part in run.experiment.evaluated().items():
        logits = torch.cat([segmenter(x.to(run.device))[0] for x in part.images.split(64)])
        probability, drawn = logits.float().softmax(1).max(1).values, label_map(logits)
        inside = drawn > 0
        sure = (probability * inside).flatten(1).sum(1) / inside.flatten(1).sum(1)
        true = true_scores(run, drawn, part.masks.to(run.device), "dice")
        table = part.table[["subject", "slice"]].assign(
            domain=domain,
            dice=true.cpu().numpy().astype(float),
            certainty=sure.masked_fill(~decided(logits), torch.nan).cpu().numpy().astype(float),
        )
        tables.append(table)
    return pd.concat(tables, ignore_index=True)[["domain", "subject", "slice", "dice", "certainty"]]


def silent(table: pd.DataFrame) -> pd.Series:
    """Whether a slice has failed while the network was sure of it."""
    return (table["dice"] < FAILURE) & (table["certainty"] > SURE)


def by_scanner(table: pd.DataFrame) -> pd.DataFrame:
    """Per scanner: slices, failures, silent ones among them, median Dice and median certainty; r: their correlation over
    the scanner's slices, NaN where one of them does not vary."""
    marked = table.assign(failures=table["dice"] < FAILURE, silent=silent(table))
    grouped = marked.groupby("domain", sort=False)
    made = grouped.agg(slices=("dice", "size"), failures=("failures", "sum"), silent=("silent", "sum"))
    medians = {name: grouped[name].median().round(2) for name in ("dice", "certainty")}
    return made.assign(**medians, r=_correlations(table).round(2))


def _correlations(table: pd.DataFrame) -> pd.Series:
    """Scanner -> Pearson's r of certainty and Dice, over the slices on which something was drawn."""
    found = {}
    for domain, rows in table.groupby("domain", sort=False):
        both = rows[["dice", "certainty"]].dropna()
        found[domain] = both["dice"].corr(both["certainty"]) if (both.nunique() > 1).all() else float("nan")
    return pd.Series(found, dtype=float)


def by_line(table: pd.DataFrame) -> pd.DataFrame:
    """The share of failures that are silent, by the certainty above which a network is called sure."""
    failed = table.loc[table["dice"] < FAILURE, "certainty"]
    shares = [(failed > line).mean() if len(failed) else float("nan") for line in LINES]
    return pd.DataFrame(
        [shares], index=["share of failures that are silent"], columns=[f"> {line:g}" for line in LINES]
    ).round(2)


def as_baseline(table: pd.DataFrame, source: str) -> str:
    """What certainty is worth as an order of slices, and what it is as an estimate of their Dice: means over the targets."""
    targets = table[table["domain"] != source]
    if not len(targets) or targets["certainty"].isna().all():
        return "There is no target scanner in this run of which something could be said."
    errors = (targets["certainty"] - targets["dice"]).abs().groupby(targets["domain"]).mean()
    r = _correlations(targets).mean()
    words = (
        f"As an order of slices: the correlation r of certainty and Dice is {r:.2f}, as a mean over the target scanners. "
    )
    if not np.isfinite(r):
        words = "As an order of slices it cannot be judged: on each target Dice or certainty is the same everywhere. "
    words += f"Read as a Dice it is off by {errors.mean():.2f} on average. A head has to beat it in both."
    return textwrap.fill(words, COLUMNS)


def worst_target(table: pd.DataFrame, source: str) -> tuple[str, float]:
    """The target with the lowest median Dice, and that median; the source where there is no target."""
    medians = table.groupby("domain", sort=False)["dice"].median()
    targets = medians.drop(source) if len(medians) > 1 else medians
    return str(targets.idxmin()), float(targets.min())


def reading(table: pd.DataFrame, source: str) -> str:
    """What the table says of the worst target, whatever the run is, in lines of a page's width."""
    return textwrap.fill(_reading(table, source), COLUMNS)


def _reading(table: pd.DataFrame, source: str) -> str:
    name, _ = worst_target(table, source)
    rows, home = table[table["domain"] == name], table[table["domain"] == source]
    if name == source:
        return "There is no target scanner in this run."
    before, after = (tuple(of[["dice", "certainty"]].median()) for of in (home, rows))
    fall, lost = before[0] - after[0], before[1] - after[1]
    words = f"From {source} to {name} the median Dice goes from {before[0]:.2f} to {after[0]:.2f}"
    if not np.isfinite(lost):
        return f"{words}; nothing was drawn on one of them, so there is no certainty to compare."
    words += f", and the median certainty from {before[1]:.2f} to {after[1]:.2f}"
    if fall < HARDLY:
        return f"{words}: the quality hardly falls, so this run does not ask the question."
    return f"{words}: the certainty {'says little of the fall' if lost < fall / 2 else 'falls, too'}."
