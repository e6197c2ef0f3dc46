"""Classes that the truth of a slice lacks and the segmenter draws: how often, and what it does to the scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch

from advconf_lite.course.pictures import empty_class_case
from advconf_lite.experiment.run import Run
from advconf_lite.experiment.scoring import true_scores
from advconf_lite.quality import dice, surface_dice
from advconf_lite.segmenter import Segmenter


def absent_table(run: Run, segmenter: Segmenter) -> pd.DataFrame:
    """Every evaluated slice: domain, true Dice, and `lone`: whether a class was drawn that its truth lacks."""
    tables = []
    for domain, part in run.experiment.evaluated().items():
        y, drawn = part.masks.to(run.device), segmenter.masks(part.images.to(run.device))
        true = true_scores(run, drawn, y, "dice")
        has = [
            torch.stack([(of == label).flatten(1).any(1) for label in range(1, run.experiment.num_classes)], 1)
            for of in (y, drawn)
        ]
        lone = (has[1] & ~has[0]).any(1)
        tables.append(pd.DataFrame({"domain": domain, "dice": true.cpu().numpy(), "lone": lone.cpu().numpy()}))
    return pd.concat(tables, ignore_index=True)


def by_scanner(table: pd.DataFrame) -> pd.DataFrame:
    """Per scanner: the share of slices with such a class, and the mean Dice of these and of all others."""
    grouped = table.groupby("domain", sort=False)
    return pd.DataFrame({
        "slices": grouped.size(),
        "share with such a class": grouped["lone"].mean(),
        "their mean Dice": table[table["lone"]].groupby("domain")["dice"].mean(),
        "mean Dice of the others": table[~table["lone"]].groupby("domain")["dice"].mean(),
    }).reindex(list(dict.fromkeys(table["domain"]))).round(2)  # fmt: skip


def drawn_by_hand() -> dict[str, Any]:
    """The arguments of `figures.overlays.empty_class` for a case that no network has made: two regions that agree, and a
    third of 64 pixels that the truth lacks."""
    rows, columns = np.mgrid[:64, :64]
    truth = np.zeros((64, 64), int)
    distance = np.hypot(rows - 32, columns - 26)
    truth[distance < 14], truth[distance < 8] = 2, 1
    prediction = np.roll(truth, 1, axis=0)
    prediction[28:36, 46:54] = 3
    image = np.random.default_rng(0).normal(0.0, 0.15, truth.shape) + np.array([0.0, 1.0, 0.5])[truth]
    pair = [torch.from_numpy(mask)[None] for mask in (prediction, truth)]
    scores = {"Dice": dice(*pair, 4), "surface Dice": surface_dice(*pair, 4, tolerance=2.0)}
    return {
        "image": image,
        "truth": truth,
        "prediction": prediction,
        "class_names": ["inner", "ring", "third"],
        "scores": {name: values[0].tolist() for name, values in scores.items()},
    }


def absent_case(run: Run, segmenter: Segmenter) -> tuple[dict[str, Any], str]:
    """The arguments of `figures.overlays.empty_class`, and a caption: a slice of this run, else what is drawn by hand."""
    if found := empty_class_case(run, segmenter):
        return (
            found,
            "A slice of the source whose truth lacks a class that the network draws, and its scores by class.",
        )
    return drawn_by_hand(), "Drawn by hand, for no source slice of this run has it: a region that is not there counts 0."
