"""Which scores are let through without a human: a threshold for a target risk, and what becomes of it elsewhere.

Risk is 1 - true score; that of a set of slices is their mean. A failure is a slice whose true score is below a line.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from advconf_lite.evaluation.bootstrap import FEWEST_SUBJECTS, percentiles, seed_weights, subject_weights
from advconf_lite.evaluation.predictions import SEEDS, SLICE, check_predictions
from advconf_lite.support.errors import BadInput
from advconf_lite.support.numbers import within

NAMES = ("coverage", "released_risk", "missed")
TARGETS = "all targets"  # a domain of them together, in tables of the evidence


def threshold_for(predicted: np.ndarray, true: np.ndarray, risk: float) -> float:
    """The lowest score from which on all slices can be released at a mean risk of at most `risk`; infinity if there is none.

    Never below the lowest prediction that was seen (n,): of lower ones nothing is known. Slices of equal scores are released
    together; one without a finite prediction is not.

    Raises:
        BadInput: the risk does not lie in [0, 1].
    """
    within(risk, "risk", 0, 1)
    predicted = np.asarray(predicted, float)
    known = np.isfinite(predicted)
    values, place = np.unique(predicted[known], return_inverse=True)
    lost = np.bincount(place, 1 - np.asarray(true, float)[known], len(values))[::-1].cumsum()[::-1]
    counts = np.bincount(place, minlength=len(values))[::-1].cumsum()[::-1]
    good = np.flatnonzero(lost / np.maximum(counts, 1) <= risk + 1e-12)
    return float(values[good[0]]) if len(good) else float("inf")


class Released(NamedTuple):
    """coverage: share that is released. released_risk: mean risk of it, NaN if nothing is. missed: share of the failures
    that is released, NaN without a failure. Each (resamples,) for weights (resamples, n)."""

    coverage: np.ndarray
    released_risk: np.ndarray
    missed: np.ndarray


def released(
    predicted: np.ndarray, true: np.ndarray, threshold: float, failed_below: float, weights: np.ndarray | None = None
) -> Released:
    """What a threshold lets through of slices (n,)."""
    weights = np.ones((1, len(true))) if weights is None else weights
    predicted = np.asarray(predicted, float)
    through, failed = np.isfinite(predicted) & (predicted >= threshold), true < failed_below
    columns = np.stack([np.ones(len(true)), through, through * (1 - true), failed, through & failed], 1)
    every, out, lost, failures, missed = (weights @ columns).T
    with np.errstate(invalid="ignore", divide="ignore"):
        return Released(out / every, lost / out, missed / failures)


def thresholds_of(validation: pd.DataFrame, source_domain: str, risk: float) -> pd.DataFrame:
    """A row per quality, method and pair of seeds: threshold, chosen on the source's validation slices alone.

    Raises:
        BadInput: the table has no row of the source.
    """
    rows = validation[validation["domain"] == source_domain]
    if rows.empty:
        raise BadInput(f"the validation table has no slice of the source {source_domain}; delete it, and it is made anew")
    found = [
        [*key, threshold_for(part["predicted_score"].to_numpy(float), part["true_score"].to_numpy(float), risk)]
        for key, part in rows.groupby(["quality", "method", *SEEDS], sort=False)
    ]
    return pd.DataFrame(found, columns=["quality", "method", *SEEDS, "threshold"])


def release_table(
    predictions: pd.DataFrame, thresholds: pd.DataFrame, failed_below: float, resamples: int = 1000
) -> pd.DataFrame:
    """What thresholds let through per domain, quality and method: means over pairs of seeds, intervals over subjects and
    seeds; NaN intervals with fewer than 3 subjects.

    Args:
        thresholds: as `thresholds_of` gives them, one for each pair of seeds.

    Raises:
        BadInput: not a predictions table, or one of no method that has a threshold.
    """
    table = check_predictions(predictions).merge(thresholds, on=["quality", "method", *SEEDS])
    if table.empty:
        raise BadInput("no method of the predictions has a threshold; make the validation table of the same run")
    rows, drawn_for = [], {}
    for key, part in table.groupby(["quality", "method", "domain"], sort=False):
        pairs, values = [], []
        for pair, of_pair in part.sort_values(SLICE).groupby(SEEDS):
            if (people := tuple(of_pair["subject"])) not in drawn_for:  # the same for all methods and pairs
                drawn_for[people] = subject_weights(of_pair, resamples)
            scores = (of_pair[column].to_numpy(float) for column in ("predicted_score", "true_score"))
            pairs.append(pair)
            values.append(released(*scores, of_pair["threshold"].iloc[0], failed_below, drawn_for[people]))
        drawn = np.moveaxis(np.array(values), 0, -1)  # (names, 1 + resamples, pairs)
        weights = np.where(np.isnan(drawn), 0, seed_weights(pairs, resamples))
        with np.errstate(invalid="ignore"):
            means = (np.nan_to_num(drawn) * weights).sum(-1) / weights.sum(-1)
        people, slices = part["subject"].nunique(), part.drop_duplicates(SLICE)
        row = dict(zip(("quality", "method", "domain"), key)) | {"n_slices": len(slices), "n_subjects": people}
        row |= {"n_pairs": len(pairs), "threshold": part.drop_duplicates(SEEDS)["threshold"].mean()}
        for name, mean in zip(NAMES, means):
            low, high = percentiles(mean[1:]) if people >= FEWEST_SUBJECTS and resamples else (np.nan, np.nan)
            row |= {name: mean[0], f"{name}_low": low, f"{name}_high": high}
        rows.append(row)
    return pd.DataFrame(rows)
