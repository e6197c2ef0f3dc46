"""How good each method is and how far from others, with intervals over subjects and seeds: one draw behind all numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from advconf_lite.evaluation.bootstrap import FEWEST_SUBJECTS
from advconf_lite.evaluation.paired import Resampled, difference, intervals, mean_over_seeds, resampled
from advconf_lite.evaluation.predictions import CONSTANT, SEEDS, check_predictions

MEAN = "mean of the targets"


def levels_and_differences(
    predictions: pd.DataFrame, source_domain: str, against: Sequence[str], resamples: int = 1000
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every method by itself, and minus each of those in `against`, under the same draws of subjects and seeds.

    The draws are those of `paired.compare`. All methods of a quality must have scored the same slices with the same pairs of
    seeds; rows of the constant, which has one head seed, count for each.

    Returns:
        Levels: quality, domain (the source first, `MEAN` last), method, subjects, slices, true_score (its mean; for `MEAN`
        that of the targets' means), and of each reported metric its mean over pairs of seeds, _low and _high. Differences:
        quality, method, against, the same metrics averaged over the targets, segmenters, pairs_of_seeds; no row for a metric
        where one of the two only ranks.

    Raises:
        BadInput: not a predictions table, or two methods did not score the same slices.
    """
    predictions = for_each_head(check_predictions(predictions))
    ranking = set(predictions.loc[~predictions["estimates"].astype(bool), "method"])
    levels, rows = [], []
    for quality, of_quality in predictions.groupby("quality", sort=False):
        methods = list(dict.fromkeys(of_quality["method"]))
        at_home = of_quality["domain"] == source_domain
        targets = resampled(of_quality[~at_home], methods, resamples)
        for found in (resampled(of_quality[at_home], methods, resamples), targets):
            for place, domain in enumerate(found.domains):
                one = found._replace(values=found.values[:, :, [place]])
                levels += _levels(one, of_quality[of_quality["domain"] == domain], domain, methods, ranking)
        levels += _levels(targets, of_quality[~at_home], MEAN, methods, ranking)
        for name in methods:
            for other in against:
                if name == other or other not in methods:
                    continue
                pair = methods.index(name), methods.index(other)
                of_pair = difference(targets, *pair, ranks_only=bool(ranking & {name, other}))
                counts = {"segmenters": len({seeds[0] for seeds in targets.pairs}), "pairs_of_seeds": len(targets.pairs)}
                rows.append({"quality": quality, "method": name, "against": other, **_spread(of_pair), **counts})
    return pd.DataFrame(levels), pd.DataFrame(rows)


def for_each_head(predictions: pd.DataFrame) -> pd.DataFrame:
    """The rows of the constant, which belong to a segmenter, once for each head seed that the segmenter has."""
    constant = predictions["method"] == CONSTANT
    pairs = predictions.loc[~constant, ["quality", *SEEDS]].drop_duplicates()
    each = predictions[constant].drop(columns="head_seed").merge(pairs, on=["quality", "segmenter_seed"])
    return pd.concat([predictions[~constant], each[predictions.columns]], ignore_index=True)


def _levels(
    found: Resampled, rows: pd.DataFrame, domain: str, methods: Sequence[str], ranking: set[str]
) -> list[dict[str, Any]]:
    people = rows[["dataset", "domain", "subject"]].drop_duplicates().groupby("domain").size()
    once = rows[rows["method"] == methods[0]]
    counts = {
        "subjects": int(people.sum()),
        "slices": len(once) // len(found.pairs),
        "true_score": once.groupby("domain")["true_score"].mean().mean(),
    }
    levels = []
    for place, name in enumerate(methods):
        means = mean_over_seeds(found.values[place], found.pairs)
        enough = bool(people.max() >= FEWEST_SUBJECTS)
        values = intervals(means, bool(found.unanswered[place].any()), name in ranking, enough)
        levels.append({"quality": rows["quality"].iloc[0], "domain": domain, "method": name, **counts, **_spread(values)})
    return levels


def _spread(values: dict[str, tuple[float, float, float]]) -> dict[str, float]:
    ends = ("", "_low", "_high")
    return {f"{name}{end}": value for name, each in values.items() for end, value in zip(ends, each)}
