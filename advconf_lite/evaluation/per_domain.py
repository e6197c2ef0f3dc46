"""Metrics per domain, with bootstrap intervals. What each metric means, and how ties count, is said in `metrics`."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd

from advconf_lite.evaluation.bootstrap import FEWEST_SUBJECTS, draw_subjects, percentiles
from advconf_lite.evaluation.predictions import KEYS, check_predictions, constant_predictions
from advconf_lite.metrics import METRICS, weighted_metrics
from advconf_lite.support.numbers import whole
from advconf_lite.support.scores import percentages

ENDS = ("", "_low", "_high")
METRIC_COLUMNS = [*KEYS, "n_slices", "n_subjects", "n_unanswered", *(name + end for name in METRICS for end in ENDS)]


def metrics_table(
    predictions: pd.DataFrame, resamples: int = 1000, seed: int = 0, constant: dict[str, float] | None = None
) -> pd.DataFrame:
    """One row per domain, quality, method and pair of seeds, with `METRIC_COLUMNS`.

    `_low` and `_high` are the 2.5 % and 97.5 % percentiles over `resamples` bootstrap samples of *subjects*:
    slices of one subject resemble each other, so resampling slices would give intervals that are too narrow.
    They are NaN (not estimable) for fewer than 3 subjects. Resamples in which a metric is undefined are left
    out. All methods of a domain see the same resamples, so their intervals are comparable, and they do not
    depend on the other domains. `n_unanswered` counts predictions that are NaN or infinite; what they do to each metric is
    said in `metrics`. A metric that needs an estimate is NaN for a method that only ranks, as agreement and
    entropy do (paper, section 4.3).

    `constant` gives one number per quality, such as the mean true score of the source's training slices, and
    adds the method "constant", which predicts it everywhere: what an MAE is worth is its distance from that
    floor.

    Raises:
        BadInput: not a predictions table, or a number of resamples that is none.
    """
    whole(resamples, "resamples")
    whole(seed, "seed")
    predictions = check_predictions(predictions)
    if constant:
        predictions = pd.concat([predictions, constant_predictions(predictions, constant)], ignore_index=True)
    rows = []
    for key, group in predictions.groupby(KEYS, sort=False):
        predicted, true = (
            group["predicted_score"].to_numpy(np.float64),
            group["true_score"].to_numpy(np.float64),
        )
        n_subjects = group["subject"].astype(str).nunique()
        row = dict(zip(KEYS, key)) | {"n_slices": len(group), "n_subjects": n_subjects}
        row["n_unanswered"] = int((~np.isfinite(predicted)).sum())
        if group["estimates"].iloc[0] and percentages(predicted):
            warnings.warn(
                f"{key[3]} predicts {key[2]} scores with a median of {np.nanmedian(predicted):.3g} on {key[1]}: divide "
                "percentages by 100; a head that gives such numbers has diverged",
                stacklevel=2,
            )
        point = weighted_metrics(predicted, true, np.ones((1, len(group))))
        row |= {name: value[0] for name, value in point.items()}
        if n_subjects >= FEWEST_SUBJECTS and resamples > 0:
            drawn = draw_subjects(group["subject"], resamples, key=str(key[1]), seed=seed)  # by the domain's name
            for name, values in weighted_metrics(predicted, true, drawn).items():
                row[name + "_low"], row[name + "_high"] = percentiles(values)
        if not group["estimates"].iloc[0]:
            row |= {metric.name + end: np.nan for metric in METRICS.values() if metric.needs_estimate for end in ENDS}
        rows.append(row)
    return pd.DataFrame(rows, columns=METRIC_COLUMNS)


def defined(rows: pd.DataFrame, name: str) -> pd.Series:
    """The values of a metric that a mean over rows of a metrics table may use: those that are not NaN.

    None at all if one is NaN for want of a prediction: a mean without the domain, or the seed, in which a head diverged
    would flatter its method.
    """
    if not METRICS[name].of_order and unanswered_in(rows):
        return rows[name].iloc[:0]
    return rows[name].dropna()


def unanswered_in(rows: pd.DataFrame) -> int:
    """Predictions that are not finite, in all rows of a metrics table; one of an older version does not count them."""
    return int(rows["n_unanswered"].sum()) if "n_unanswered" in rows else 0


def mean_of(rows: pd.DataFrame, name: str) -> float:
    """The mean of `defined`; NaN if there is nothing."""
    return float(defined(rows, name).mean())
