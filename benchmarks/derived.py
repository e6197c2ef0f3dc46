"""Rows of predictions that follow from the source's validation alone, and need no network."""

from __future__ import annotations

import numpy as np
import pandas as pd

from advconf_lite.evaluation.calibration import start_from
from advconf_lite.evaluation.predictions import ABSENT, SEEDS, SLICE, class_names, constant_predictions
from advconf_lite.evaluation.rules import lacks

MAPPED = " mapped"  # after the name of a method that only ranks
ALSO_MAPPED = ("soft-dice",)  # an estimate that no truth has taught, and that costs nothing more when it is mapped


def completed(predictions: pd.DataFrame, validation: pd.DataFrame) -> pd.DataFrame:
    """With what follows from the source's validation alone: `with_mapped` and `with_constants`."""
    return with_constants(with_mapped(predictions, validation), validation)


def with_mapped(predictions: pd.DataFrame, validation: pd.DataFrame) -> pd.DataFrame:
    """With each method that only ranks once more, as an estimate, and those of `ALSO_MAPPED`: by the straight line that fits
    the source's validation best, one for each pair of seeds, the score and, on slices that have it, each class."""
    pair, tables = ["quality", "method", *SEEDS], [predictions]
    known = dict(list(validation.groupby(pair)))
    chosen = ~predictions["estimates"].astype(bool) | predictions["method"].isin(ALSO_MAPPED)
    for key, rows in predictions[chosen].groupby(pair, sort=False):
        mapped = {}
        for name in ("score", *class_names(predictions)):
            has = ~lacks(known[key][ABSENT], name)  # of the score: all
            x, y = (known[key].loc[has, f"{kind}_{name}"].to_numpy(float) for kind in ("predicted", "true"))
            fits = np.isfinite(x).sum() > 1
            raw = rows[f"predicted_{name}"].to_numpy(float)
            mapped[f"predicted_{name}"] = start_from(x, y, estimates=False).map(raw) if fits else np.nan
        tables.append(rows.assign(method=key[1] + MAPPED, estimates=True, **mapped))
    return pd.concat(tables, ignore_index=True)


def with_constants(predictions: pd.DataFrame, validation: pd.DataFrame) -> pd.DataFrame:
    """With the rows of a constant for each segmenter and quality: the mean true score of the source's validation slices, and
    for a class of those that have it."""
    tables = [predictions]
    for seed, part in predictions.groupby("segmenter_seed"):
        known = validation[validation["segmenter_seed"] == seed].drop_duplicates([*SLICE, "quality"])
        tables.append(constant_predictions(part, {q: _means(rows) for q, rows in known.groupby("quality")}))
    return pd.concat(tables, ignore_index=True)


def _means(rows: pd.DataFrame) -> dict[str, float]:
    there = {name: ~lacks(rows[ABSENT], name) for name in class_names(rows)}
    of_classes = {f"predicted_{name}": float(rows.loc[has, f"true_{name}"].mean()) for name, has in there.items()}
    return {"predicted_score": float(rows["true_score"].mean()), **of_classes}
