"""Are slices that are said to have 0.8 worth 0.8? Predicted against true scores in bins, before and after calibration."""

from __future__ import annotations

import numpy as np
import pandas as pd

from advconf_lite.evaluation.bootstrap import FEWEST_SUBJECTS, percentiles, persons, subject_weights
from advconf_lite.evaluation.calibration import FEWEST_PEOPLE, correct, start_from
from advconf_lite.evaluation.predictions import SEEDS
from advconf_lite.support.numbers import whole

FOLDS = 4


def held_out_scores(
    predictions: pd.DataFrame, validation: pd.DataFrame, source_domain: str, k: int = 20, kind: str = "affine", seed: int = 0
) -> pd.DataFrame:
    """The predictions table with calibrated scores: each person's by k labels of other people of the same domain.

    A domain's people are dealt into four folds; labels are taken in turn from the people of the other three. With k = 0, and
    where the correction is refused, the score is what the source's map makes of it. All rows count as estimates then.
    Methods that the validation table does not have are left out.
    """
    whole(k, "k")
    source = validation[validation["domain"] == source_domain]
    known = dict(list(source.groupby(["quality", "method", *SEEDS])))
    parts = []
    for key, part in predictions.groupby(["quality", "method", *SEEDS, "domain"], sort=False):
        if key[:-1] not in known:
            continue
        of_source = known[key[:-1]]
        scores = (of_source[column].to_numpy(float) for column in ("predicted_score", "true_score"))
        start = start_from(*scores, bool(of_source["estimates"].iloc[0]))
        x, y = (part[column].to_numpy(float) for column in ("predicted_score", "true_score"))
        person = pd.factorize(part["subject"].astype(str), sort=True)[0]
        calibrated, rng = start.map(x), np.random.default_rng(seed)
        deal = rng.permutation(person.max() + 1) % FOLDS
        for fold in range(FOLDS):
            out = deal[person] == fold
            turn = rng.permutation(np.flatnonzero(~out))
            turn = turn[np.argsort(pd.Series(person[turn]).groupby(person[turn]).cumcount(), kind="stable")][:k]
            if len(np.unique(person[turn])) >= FEWEST_PEOPLE:
                calibrated[out] = correct(x[turn], y[turn], person[turn], start, kind).map(x[out])
        parts.append(part.assign(predicted_score=calibrated, estimates=True))
    return pd.concat(parts, ignore_index=True) if parts else predictions.iloc[:0]


def reliability(
    predictions: pd.DataFrame, source_domain: str | None = None, bins: int = 5, resamples: int = 500
) -> pd.DataFrame:
    """Mean predicted and mean true score in bins of as many slices each, of the source and of all targets together.

    Returns:
        quality, method, group ("source" or "targets"), bin, n_slices, predicted, true, low, high (95 % of a bootstrap over
        subjects, of the mean true score; NaN with fewer than 3 in the bin). Who was seen in several domains is one subject.
        Several pairs of seeds are pooled; equal predictions are in one bin, so there may be fewer bins.
    """
    whole(bins, "bins", 1)
    table = predictions[np.isfinite(predictions["predicted_score"].astype(float))]
    group = np.where(table["domain"] == source_domain, "source", "targets")
    rows = []
    for key, part in table.groupby(["quality", "method", group], sort=False):
        edges = np.unique(np.quantile(part["predicted_score"], np.linspace(0, 1, bins + 1)))
        place = np.searchsorted(edges[1:-1], part["predicted_score"], side="left")
        for number in np.unique(place):
            some = part[place == number]
            some = some.assign(subject=persons(some))
            weights, true = subject_weights(some, resamples), some["true_score"].to_numpy(float)
            means = weights @ true / weights.sum(1)
            low, high = percentiles(means[1:]) if some["subject"].nunique() >= FEWEST_SUBJECTS else (np.nan, np.nan)
            rows.append([*key, int(number), len(some), float(some["predicted_score"].mean()), means[0], low, high])
    columns = ["quality", "method", "group", "bin", "n_slices", "predicted", "true", "low", "high"]
    return pd.DataFrame(rows, columns=columns)
