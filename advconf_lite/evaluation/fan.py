"""The interval of a difference as pairs of seeds are added, one after the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from advconf_lite.evaluation.bootstrap import percentiles
from advconf_lite.evaluation.paired import mean_over_seeds, resampled
from advconf_lite.evaluation.predictions import SEEDS, check_predictions
from advconf_lite.metrics import METRICS, REPORTED
from advconf_lite.support.errors import BadInput

Pair = tuple[int, int]  # segmenter seed, head seed


class Fan:
    """`compare` of two methods with any of their pairs of seeds, at once: subjects are drawn when it is made.

    Attributes:
        pairs: those that both methods have: a head of each segmenter first, then the second heads; what another segmenter
            changes shows early.
        metrics: those that both have.

    Raises:
        BadInput: the two methods have no pair of seeds in common; or as `compare`.
    """

    def __init__(
        self,
        predictions: pd.DataFrame,
        reference: str,
        method: str,
        source_domain: str | None = None,
        quality: str = "dice",
        resamples: int = 1000,
    ) -> None:
        rows = check_predictions(predictions)
        rows = rows[(rows["quality"] == quality) & rows["method"].isin([reference, method])]
        rows = rows[rows["domain"] != source_domain]
        of_pair = rows[SEEDS].apply(tuple, axis=1) if len(rows) else pd.Series(dtype=object)
        both = set(of_pair[rows["method"] == reference]) & set(of_pair[rows["method"] == method])
        if not both:
            raise BadInput(
                f"{reference} and {method} have no predictions of {quality} for the same seeds; run both with them"
            )
        self.names = f"{reference} and {method}"
        self.quality = quality
        self.pairs: list[Pair] = sorted(both, key=lambda pair: pair[::-1])
        ranks = not rows["estimates"].astype(bool).all()
        self.metrics = [name for name in REPORTED if not (ranks and METRICS[name].needs_estimate)]
        self._found = resampled(rows[of_pair.isin(both)], [reference, method], resamples)

    def of(self, metric: str, pairs: Sequence[Pair], interval: bool = True) -> tuple[float, float, float]:
        """Difference, low and high of a metric, of these pairs together; without an interval, quickly, both are NaN.

        Raises:
            BadInput: a pair or a metric that the two do not have in common.
        """
        if metric not in self.metrics:
            raise BadInput(f"{self.names} have no {metric} in common; choose one of {', '.join(self.metrics)}")
        if missing := [pair for pair in pairs if tuple(pair) not in self.pairs]:
            raise BadInput(
                f"{self.names} have no predictions of {self.quality} for the seeds {missing[0]}; run both with them"
            )
        chosen = sorted(tuple(pair) for pair in pairs)
        places, number = [self._found.pairs.index(pair) for pair in chosen], REPORTED.index(metric)
        if not METRICS[metric].of_order and self._found.unanswered[:, places].any():
            return (np.nan,) * 3
        values = self._found.values[:, number : number + 1, :, places, : None if interval else 1]
        mean = mean_over_seeds(values[0] - values[1], chosen)[0]
        return float(mean[0]), *(percentiles(mean[1:]) if interval and self._found.estimable else (np.nan, np.nan))

    def opened(self, metric: str, pairs: Sequence[Pair] | None = None) -> pd.DataFrame:
        """With the first of these pairs (default: all), with the first two, and so on.

        Returns:
            A row per number of pairs: n_pairs, segmenter_seed and head_seed of the pair that is new, alone (its own
            difference), difference, low, high (of all so far).
        """
        pairs = self.pairs if pairs is None else [tuple(pair) for pair in pairs]
        rows = [
            [number, *pair, self.of(metric, [pair], interval=False)[0], *self.of(metric, pairs[:number])]
            for number, pair in enumerate(pairs, start=1)
        ]
        return pd.DataFrame(rows, columns=["n_pairs", *SEEDS, "alone", "difference", "low", "high"])


def intervals_by_seeds(
    predictions: pd.DataFrame,
    reference: str,
    method: str,
    source_domain: str | None = None,
    quality: str = "dice",
    metric: str = "pearson",
    pairs: Sequence[Pair] | None = None,
    resamples: int = 1000,
) -> pd.DataFrame:
    """`Fan.opened` for one metric; `pairs` in the order in which they are added."""
    return Fan(predictions, reference, method, source_domain, quality, resamples).opened(metric, pairs)
