"""The interval of a difference as pairs of seeds are added, one after the other."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from advconf_lite.evaluation.paired import compare
from advconf_lite.evaluation.predictions import SEEDS
from advconf_lite.support.errors import BadInput


def intervals_by_seeds(
    predictions: pd.DataFrame,
    reference: str,
    method: str,
    source_domain: str | None = None,
    quality: str = "dice",
    metric: str = "pearson",
    pairs: Sequence[tuple[int, int]] | None = None,
    resamples: int = 1000,
) -> pd.DataFrame:
    """`compare` with the first pair of seeds, with the first two, and so on.

    Args:
        pairs: (segmenter seed, head seed) in the order in which they are added. Default: a head of each segmenter first,
            then the second heads: what another segmenter changes shows early.

    Returns:
        A row per number of pairs: n_pairs, segmenter_seed and head_seed of the pair that is new, alone (its own
        difference), difference, low, high (of all so far).

    Raises:
        BadInput: the two methods have no pair of seeds in common, or not that one; or as `compare`.
    """
    rows = predictions[(predictions["quality"] == quality) & predictions["method"].isin([reference, method])]
    of_pair = rows[SEEDS].apply(tuple, axis=1) if len(rows) else pd.Series(dtype=object)
    both = set(of_pair[rows["method"] == reference]) & set(of_pair[rows["method"] == method])
    pairs = sorted(both, key=lambda pair: pair[::-1]) if pairs is None else [tuple(pair) for pair in pairs]
    missing = [pair for pair in pairs if pair not in both]
    if missing or not pairs:
        which = f"for the seeds {missing[0]}" if missing else "for the same seeds"
        raise BadInput(f"{reference} and {method} have no predictions of {quality} {which}; run both with them")
    found = []
    for number, pair in enumerate(pairs, start=1):
        so_far, alone = rows[of_pair.isin(pairs[:number])], rows[of_pair == pair]
        table = compare(so_far, reference, [method], source_domain, resamples)
        one = table if number == 1 else compare(alone, reference, [method], source_domain, resamples=1)
        if metric not in set(table["metric"]):
            raise BadInput(
                f"{reference} and {method} have no {metric} in common; choose one of {', '.join(table['metric'])}"
            )
        row, own = (each.set_index("metric").loc[metric] for each in (table, one))
        found.append([number, *pair, own["difference"], row["difference"], row["low"], row["high"]])
    return pd.DataFrame(found, columns=["n_pairs", *SEEDS, "alone", "difference", "low", "high"])
