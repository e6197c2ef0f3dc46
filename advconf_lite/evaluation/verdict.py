"""What a run's intervals say, in words: better, worse, or not told apart; and never more than the interval says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from advconf_lite.evaluation.paired import compare
from advconf_lite.evaluation.predictions import SEEDS
from advconf_lite.metrics import METRICS
from advconf_lite.support.errors import BadInput

BETTER, WORSE, OPEN, UNKNOWN = "better", "worse", "not told apart", "cannot be said"

ENOUGH_SEGMENTERS = 5  # of fewer, a percentile bootstrap often draws one alone and covers less than it says

# What it means to be better or worse in a metric, of the heads' predictions.
WORDS = {
    "pearson": {BETTER: "follow the true scores more closely", WORSE: "follow the true scores less closely"},
    "eaurc": {BETTER: "rank slices better", WORSE: "rank slices worse"},
    "mae": {BETTER: "are nearer to the true scores", WORSE: "are further from the true scores"},
}


@dataclass(frozen=True)
class Finding:
    """One difference between two methods, and the word for it.

    Attributes:
        word: BETTER, WORSE, OPEN, or UNKNOWN where the difference or its interval does not exist.
        difference, low, high: `method` minus `against`, mean over target domains and pairs of seeds, 95 % interval.
    """

    dataset: str
    quality: str
    method: str
    against: str
    metric: str
    difference: float
    low: float
    high: float
    word: str

    def numbers(self) -> str:
        """ "Pearson -0.022, -0.038 to -0.006", with as many digits as show on which side of 0 each end lies."""
        values = [value for value in (self.difference, self.low, self.high) if np.isfinite(value)]
        digits = METRICS[self.metric].digits
        while digits < 8 and any(value and not float(f"{value:.{digits}f}") for value in values):
            digits += 1
        first, *ends = (f"{value:+.{digits}f}" if value else "0" for value in values)
        return first + (f", {' to '.join(ends)}" if ends else "")


def word_of(metric: str, low: float, high: float) -> str:
    """Better or worse if the whole interval is on that side of 0; an interval that touches 0 tells nothing apart."""
    if not (np.isfinite(low) and np.isfinite(high)):
        return UNKNOWN
    if low <= 0 <= high:
        return OPEN
    return BETTER if (low > 0) == METRICS[metric].higher_is_better else WORSE


def findings(
    predictions: pd.DataFrame,
    source_domain: str | None = None,
    method: str = "adversarial",
    against: Sequence[str] = ("plain",),
    resamples: int = 1000,
) -> list[Finding]:
    """`method` against each of `against`, per data set, quality and metric, on the pairs of seeds that both have.

    Raises:
        BadInput: a method was not run, or two did not score the same slices.
    """
    there = set(predictions["method"])
    if missing := [name for name in (method, *against) if name not in there]:
        raise BadInput(f"this run has no {' and no '.join(missing)}; it has {', '.join(sorted(there))}")
    found = []
    for dataset, part in predictions.groupby("dataset", sort=False):
        for other in against:
            rows = compare(shared(part, method, other), method, [other], source_domain, resamples)
            for row in rows.itertuples():
                low, high = (float(row.low), float(row.high)) if np.isfinite(row.difference) else (np.nan, np.nan)
                word = word_of(row.metric, low, high)
                numbers = float(row.difference), low, high
                found.append(Finding(str(dataset), row.quality, method, other, row.metric, *numbers, word))
    return found


def shared(predictions: pd.DataFrame, one: str, other: str) -> pd.DataFrame:
    """The rows of two methods, of the qualities and pairs of seeds that both have; of a table, those of no other method."""
    keys = ["quality", *SEEDS]
    parts = [predictions[predictions["method"] == name] for name in (one, other)]
    shared = parts[0][keys].drop_duplicates().merge(parts[1][keys].drop_duplicates())
    return pd.concat([part.merge(shared) for part in parts], ignore_index=True)


def sentences(found: Sequence[Finding]) -> list[str]:
    """For each data set, quality and pair of methods: what is told apart, what is not, and of what nothing can be said."""
    groups: dict[tuple[str, ...], list[Finding]] = {}
    for finding in found:
        groups.setdefault((finding.dataset, finding.quality, finding.method, finding.against), []).append(finding)
    text = []
    for (dataset, quality, method, against), group in groups.items():
        parts = []
        if told := [f for f in group if f.word in (BETTER, WORSE)]:
            parts.append("its predictions " + listed(f"{WORDS[f.metric][f.word]} ({_title(f)} {f.numbers()})" for f in told))
        if still := [f for f in group if f.word == OPEN]:
            parts.append("the two are not told apart by " + listed(f"{_title(f)} ({f.numbers()})" for f in still))
        if unknown := [f for f in group if f.word == UNKNOWN]:
            parts.append(f"nothing can be said of {listed(map(_title, unknown))}, for which there is no interval")
        text.append(f"On this run ({dataset}, {quality}), {method} compared with {against}: {'; '.join(parts)}.")
    return text


def _title(finding: Finding) -> str:
    return METRICS[finding.metric].title


def scope(predictions: pd.DataFrame, source_domain: str | None, methods: Sequence[str]) -> str:
    """From how much it was computed, and about what it therefore says nothing."""
    rows = predictions[(predictions["domain"] != source_domain) & predictions["method"].isin(methods)]
    shared = rows.groupby(SEEDS)["method"].nunique()
    pairs = list(shared[shared == len(set(methods))].index)
    segmenters, people = len({pair[0] for pair in pairs}), len(rows[["dataset", "domain", "subject"]].drop_duplicates())
    counts = [
        counted(segmenters, "segmenter seed"),
        counted(len(pairs), "pair of seeds", "pairs of seeds"),
        counted(rows["domain"].nunique(), "target domain"),
        counted(people, "subject in a domain", "subjects, counted in each domain"),
    ]
    text = f"Means over the targets and 95 % intervals over subjects and seeds, from {listed(counts)}."
    if segmenters <= 1:
        text += " One segmenter seed is no evidence about another segmenter."
    elif segmenters < ENOUGH_SEGMENTERS:
        text += f" Resampling only {segmenters} segmenters gives intervals that are too narrow."
    if len(pairs) <= segmenters:
        text += " One head seed is no evidence about another head."
    return text


def counted(number: int, one: str, several: str | None = None) -> str:
    return f"{number} {one if number == 1 else several or one + 's'}"


def listed(names: Iterable[str]) -> str:
    """ "a, b and c"."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
