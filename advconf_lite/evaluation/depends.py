"""Which findings depend on the rule for absent classes: every difference between two methods, under each rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import pandas as pd

from advconf_lite.evaluation.predictions import class_names
from advconf_lite.evaluation.rules import RULE, rules, under
from advconf_lite.evaluation.verdict import UNKNOWN, Finding, findings
from advconf_lite.metrics import METRICS

WHICH = ["dataset", "quality", "method", "against", "metric"]


def findings_by_rule(
    predictions: pd.DataFrame,
    source_domain: str | None = None,
    method: str = "adversarial",
    against: Sequence[str] = ("plain",),
    resamples: int = 1000,
) -> pd.DataFrame:
    """`verdict.findings` under each rule, on the same pairs of seeds: those whose scores by class were kept.

    Returns:
        A row per data set, quality, pair of methods, metric and rule: `WHICH`, rule, difference, low, high, word, and
        `depends`: whether the word, where there is one, is not the same under all rules.

    Raises:
        BadInput: a method was not run, or two did not score the same slices.
    """
    seen = rules(predictions)
    if len(seen) > 1:
        predictions = predictions[predictions[[f"true_{name}" for name in class_names(predictions)]].notna().all(axis=1)]
    rows = [
        asdict(finding) | {RULE: rule}
        for rule in seen
        for finding in findings(under(predictions, rule), source_domain, method, against, resamples)
    ]
    table = pd.DataFrame(rows, columns=[*WHICH, RULE, "difference", "low", "high", "word"])
    words = table["word"].where(table["word"] != UNKNOWN)  # what cannot be said contradicts nothing
    return table.assign(depends=words.groupby([table[name] for name in WHICH]).transform("nunique") > 1)


def in_columns(table: pd.DataFrame) -> pd.DataFrame:
    """A row per difference and a column per rule, "+0.012 better"; in the last one, whether the word depends on the rule."""
    cells = [f"{_of(row).numbers().split(',')[0]} {row.word}" for row in table.itertuples()]
    wide = table.assign(cell=cells).pivot(index=WHICH, columns=RULE, values="cell")
    order = table.drop_duplicates(WHICH)
    wide = wide.reindex(pd.MultiIndex.from_frame(order[WHICH]))[list(dict.fromkeys(table[RULE]))].fillna("-")
    wide = wide.assign(depends=["yes" if depends else "" for depends in order["depends"]]).reset_index()
    wide["metric"] = [METRICS[name].title for name in wide["metric"]]
    return wide.rename_axis(columns=None).drop(columns="dataset" if wide["dataset"].nunique() < 2 else [])


def sentences_by_rule(table: pd.DataFrame) -> list[str]:
    """How many words depend on the rule, and each of them with its intervals."""
    groups = [group for _, group in table.groupby(WHICH, sort=False)]
    number = sum(group["depends"].any() for group in groups)
    lines = [f"{number} of {len(groups)} words depend on the rule for absent classes."]
    for group in groups:
        if group["depends"].any():
            first = _of(next(group.itertuples()))
            of_rules = "; ".join(f"{getattr(row, RULE)}: {row.word} ({_of(row).numbers()})" for row in group.itertuples())
            lines.append(
                f"{first.dataset}, {first.quality}, {first.method} against {first.against}, "
                f"{METRICS[first.metric].title}: {of_rules}."
            )
    return lines


def _of(row) -> Finding:
    return Finding(*(getattr(row, name) for name in [*WHICH, "difference", "low", "high", "word"]))
