"""From slices to volumes: the score of a stack of slices, without a look at the truth.

The Dice of a volume is sum(2 TP) / sum(A + B) over its slices, A and B the sizes of prediction and truth. With the Dice d
of each slice, 2 TP = d (A + B), so it is the mean of the slices' Dice with weights A + B: a mean without weights would let
the tip of an organ count as much as its middle. B is not known; where d is not small it is near A, so the weights are A.
What is lost with it is a slice on which nothing was drawn (A = 0): it has no weight, though all of its B is missed. Such
slices are counted.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

VOLUME = ["dataset", "domain", "subject", "phase"]


def volume_score(scores: np.ndarray, sizes: np.ndarray) -> float:
    """Of one class: scores and predicted sizes (n,) of the slices of a volume.

    NaN if one has no score: without an answer of the network its size is unknown, too. Where nothing is drawn on any slice,
    the plain mean: what is then predicted is whether the class is absent.
    """
    weights = np.asarray(sizes, float) if np.sum(sizes) > 0 else np.ones(len(scores))
    return float((np.asarray(scores, float) * weights).sum() / weights.sum())


def volume_table(table: pd.DataFrame, classes: Sequence[str], quality: str) -> pd.DataFrame:
    """A row per volume, worst first, those without a finite score before all others.

    Args:
        table: rows by slice with `VOLUME`, `predicted_<quality>_<class>` and `pixels_<class>`, and possibly
            `calibrated_score`, `lower_bound` and `decision`.

    Returns:
        `VOLUME`, n_slices, n_empty (slices on which no class is drawn), predicted_<quality> (mean over classes),
        predicted_<quality>_<class>, pixels_<class>; and where the slices have them calibrated_score (weighted by all that
        is drawn) and n_review, the slices that a human must look at.
    """
    sizes = table[[f"pixels_{name}" for name in classes]].to_numpy(float)
    scores = {name: table[f"predicted_{quality}_{name}"].to_numpy(float) for name in classes}
    decided = "calibrated_score" in table
    if decided:
        calibrated, review = table["calibrated_score"].to_numpy(float), (table["decision"] == "review").to_numpy()
    # Arrays, not a table per volume, which of many small ones take a twentieth of the network's own time.
    volume = table.groupby(VOLUME, sort=False, dropna=False).ngroup().to_numpy()
    rows, order = [], np.argsort(volume, kind="stable")
    for these in np.split(order, np.flatnonzero(np.diff(volume[order])) + 1):
        size = sizes[these]
        each = {
            f"predicted_{quality}_{name}": volume_score(scores[name][these], size[:, n]) for n, name in enumerate(classes)
        }
        row = {"n_slices": len(these), "n_empty": int((size.sum(1) == 0).sum())}
        row |= {f"predicted_{quality}": float(np.mean(list(each.values()))), **each}
        row |= {f"pixels_{name}": int(total) for name, total in zip(classes, size.sum(0))}
        if decided:
            row["calibrated_score"] = volume_score(calibrated[these], size.sum(1))
            row["n_review"] = int(review[these].sum())
        rows.append(row)
    firsts = np.unique(volume, return_index=True)[1]
    found = pd.concat([table[VOLUME].iloc[firsts].reset_index(drop=True), pd.DataFrame(rows)], axis=1)
    first = "calibrated_score" if decided else f"predicted_{quality}"
    return found.sort_values(first, kind="stable", na_position="first").reset_index(drop=True)
