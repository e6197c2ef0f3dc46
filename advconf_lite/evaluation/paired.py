"""Differences between methods on the same slices: a paired bootstrap over subjects and seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from advconf_lite.evaluation.bootstrap import (
    FEWEST_SUBJECTS,
    drawn_together,
    percentiles,
    seed_weights,
    subject_weights,
)
from advconf_lite.evaluation.predictions import SEEDS, SLICE, check_predictions
from advconf_lite.metrics import METRICS, REPORTED, Resamples
from advconf_lite.support.errors import BadInput
from advconf_lite.support.numbers import one_of, whole
from advconf_lite.support.weighted import TieGroups

BLOCK = 100  # draws at a time


def paired_difference(
    predictions: pd.DataFrame, first: str, second: str, source_domain: str | None = None, resamples: int = 1000
) -> pd.DataFrame:
    """`second` minus `first` in the reported metrics, averaged over the target domains and the pairs of seeds.

    The rows of `compare`, without the name of the method.
    """
    return compare(predictions, second, [first], source_domain, resamples).drop(columns="method")


def compare(
    predictions: pd.DataFrame,
    reference: str,
    methods: Sequence[str],
    source_domain: str | None = None,
    resamples: int = 1000,
) -> pd.DataFrame:
    """`reference` minus each of `methods` in the `REPORTED` metrics, averaged over target domains and pairs of seeds.

    Intervals are a paired bootstrap over subjects and seeds; both methods are evaluated on the same draw. Subjects are
    drawn anew within each domain, and domains that have subjects in common (re-acquired ones) share the draw. Of several
    segmenter seeds, and of the head seeds of each, as many are drawn anew; one alone cannot be, and the interval then
    says nothing about another one. Domains in which a metric is undefined for a draw are left out of that draw's mean.
    The interval is NaN (not estimable) if no domain has at least 3 subjects; a domain with fewer, beside larger ones,
    counts as if it had no spread of its own. Where one of the two methods has a prediction that is NaN or infinite, a
    difference of metrics that this leaves undefined is NaN: over the other domains alone the method would look better.

    Returns:
        One row per quality, method and metric: quality, method, metric, difference, low, high (2.5 % and 97.5 %),
        n_domains, n_segmenters, n_pairs (of seeds). No row for a metric that needs an estimate where one only ranks.

    Raises:
        BadInput: not a predictions table, a method that it does not have, or two that did not score the same slices; or a
            number of resamples that is none.
    """
    whole(resamples, "resamples")
    wanted = [reference, *methods]
    predictions = check_predictions(predictions)
    for name in wanted:
        one_of(name, "method", dict.fromkeys(predictions["method"]))
    rank_only = set(predictions.loc[~predictions["estimates"].astype(bool), "method"])
    rows = []
    targets = predictions[(predictions["domain"] != source_domain) & predictions["method"].isin(wanted)]
    for quality, of_quality in targets.groupby("quality", sort=False):
        found = resampled(of_quality, wanted, resamples)
        for number, method in enumerate(methods, start=1):
            ranks_only = bool(rank_only & {reference, method})
            for name, (value, low, high) in difference(found, 0, number, ranks_only).items():
                rows.append({
                    "quality": quality, "method": method, "metric": name, "difference": value, "low": low, "high": high,
                    "n_domains": len(found.domains), "n_segmenters": len({pair[0] for pair in found.pairs}),
                    "n_pairs": len(found.pairs),
                })  # fmt: skip
    return pd.DataFrame(rows)


class Resampled(NamedTuple):
    """The `REPORTED` metrics of several methods under the same draws of subjects.

    values: (methods, metrics, domains, pairs of seeds, 1 + resamples), the data first. unanswered: (methods, pairs), whether
    a prediction is no number. estimable: whether some domain has subjects enough for an interval.
    """

    values: np.ndarray
    unanswered: np.ndarray
    domains: list[str]
    pairs: list[tuple[int, int]]
    estimable: bool


def difference(found: Resampled, one: int, other: int, ranks_only: bool = False) -> dict[str, tuple[float, float, float]]:
    """Metric -> `one` minus `other` (places of methods) with the ends of its interval, mean over domains and pairs of seeds;
    without the metrics that need an estimate, if one of the two only ranks."""
    means = mean_over_seeds(found.values[one] - found.values[other], found.pairs)
    return intervals(means, found.unanswered[[one, other]].any(), ranks_only, found.estimable)


def intervals(
    means: np.ndarray, unanswered: bool, ranks_only: bool, estimable: bool
) -> dict[str, tuple[float, float, float]]:
    """Metric -> (value, low, high) of means (metrics, 1 + resamples), the data first; NaN where nothing can be said."""
    found = {}
    for name, mean in zip(REPORTED, means):
        if METRICS[name].needs_estimate and ranks_only:
            continue
        if not METRICS[name].of_order and unanswered:
            mean = np.full_like(mean, np.nan)
        found[name] = (mean[0], *(percentiles(mean[1:]) if estimable else (np.nan, np.nan)))
    return found


def resampled(of_quality: pd.DataFrame, wanted: Sequence[str], resamples: int) -> Resampled:
    """Of one quality's predictions on the targets.

    Raises:
        BadInput: two of the methods did not score the same slices.
    """
    domains, pairs = list(dict.fromkeys(of_quality["domain"])), sorted(set(zip(*(of_quality[c] for c in SEEDS))))
    values = np.full((len(wanted), len(REPORTED), len(domains), len(pairs), 1 + resamples), np.nan)
    unanswered, people = np.zeros((len(wanted), len(pairs)), bool), drawn_together(of_quality)
    for key, group in of_quality.groupby(["domain", *SEEDS], sort=False):
        found = [group[group["method"] == method].sort_values(SLICE) for method in wanted]
        for method, table in zip(wanted, found):
            if len(table) == 0 or len(table) != len(found[0]):
                raise BadInput(f"{wanted[0]} and {method} did not score the same slices of {key[0]}; run both again")
        weights = subject_weights(found[0], resamples, people[key[0]])
        scores = [tuple(table[c].to_numpy(float) for c in ("predicted_score", "true_score")) for table in found]
        values[:, :, domains.index(key[0]), pairs.index(key[1:])] = reported(scores, weights)
        for number, table in enumerate(found):
            unanswered[number, pairs.index(key[1:])] |= not np.isfinite(table["predicted_score"].astype(float)).all()
    estimable = of_quality.groupby("domain")["subject"].nunique().max() >= FEWEST_SUBJECTS
    return Resampled(values, unanswered, domains, pairs, bool(estimable))


def reported(scores: Sequence[tuple[np.ndarray, np.ndarray]], weights: np.ndarray) -> np.ndarray:
    """(methods, metrics, R): what `weighted_metrics` gives for predicted and true scores (n,) under weights (R, n), in a
    fraction of the time: in blocks that stay in the processor's cache, and the order by a truth that several methods share
    is judged once.
    """
    found = np.empty((len(scores), len(REPORTED), len(weights)))
    for start in range(0, len(weights), BLOCK):
        rows = slice(start, start + BLOCK)
        by_truth = _Judged(scores[0][1], weights[rows])
        for number, (predicted, true) in enumerate(scores):
            one = Resamples(predicted, true, weights[rows])
            if np.array_equal(true, scores[0][1]):
                one.__dict__["by_truth"] = by_truth
            with np.errstate(invalid="ignore", divide="ignore"):
                found[number, :, rows] = [METRICS[name].of(one) for name in REPORTED]
    return found


class _Judged(TieGroups):
    """Slices in the order of their true scores, whose areas are found once."""

    def __init__(self, true: np.ndarray, weights: np.ndarray) -> None:
        super().__init__(true, weights)
        with np.errstate(invalid="ignore", divide="ignore"):
            self.areas = super().risk_areas(1 - true)

    def risk_areas(self, risk: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.areas


def mean_over_seeds(difference: np.ndarray, pairs: list[tuple[int, int]]) -> np.ndarray:
    """(metrics, domains, pairs, 1 + resamples) -> (metrics, 1 + resamples): over pairs that are drawn anew, and domains."""
    of_seeds = seed_weights(pairs, difference.shape[-1] - 1).T  # (pairs, 1 + resamples)
    weights = np.where(np.isnan(difference), 0, of_seeds)
    with np.errstate(invalid="ignore"):
        per_domain = (np.nan_to_num(difference) * weights).sum(2) / weights.sum(2)
        return np.nansum(per_domain, 1) / (~np.isnan(per_domain)).sum(1)
