"""Blocks of the evidence pages: a protocol's findings, all its tables, and the answer, from results/evidence-*.csv."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from advconf_lite.evaluation.answer import Compared, answer, beating, by_rule, of_protocol, words_by_rule
from advconf_lite.evaluation.labels_worth import as_table, fewest_labels, labels_said
from advconf_lite.evaluation.levels import MEAN
from advconf_lite.experiment.profiles import find_profile
from advconf_lite.support.markdown import grid

NOT_YET = "Not run yet."
HERE = "docs/results"

Rows = list[dict[str, str]]


def protocol(results, stem: str, up: str) -> str:
    """What a protocol has found: who beats both rivals, what labels are worth, and where its tables are.

    Args:
        results: `render.Results`.
        stem: such as phantom-prostate-quick.
    """
    name = f"evidence-{stem}"
    if f"{name}.csv" not in results.files:
        return NOT_YET
    found = by_rules(results.files, name)
    first = next(iter(found.values()))
    header, rows = beating(first)
    seen = "Differences of each method to Algorithm 1 and to strong augmentation, with intervals"
    parts = [of_protocol(first), f"![{seen}]({up}{HERE}/{name}.png)", grid(header, rows) if rows else "", by_rule(found)]
    parts += [labels_said(worth_of(results.files, name))]
    parts += [f"[All its tables, and how it was made]({up}{HERE}/tables/{stem}.md)."]
    return "\n\n".join(filter(None, parts))


def tables(results, stem: str, up: str) -> str:
    """How a protocol was made, and all that lies behind what it has found."""
    name = f"evidence-{stem}"
    if f"{name}.csv" not in results.files:
        return NOT_YET
    differences, found = f"{name}-differences.csv", by_rules(results.files, name)
    parts = [results.made(f"{name}.csv", up), "## Each method minus another"]
    for rule in found:
        parts += [f"Rule for absent classes: {rule}."] if len(found) > 1 else []
        parts += [results.table(f"{differences} rule={rule} hide=shift,sealed")]
    if depending := words_by_rule(found):
        columns = ["method", "against", "endpoint", *found]
        parts += ["## What depends on the rule for absent classes"]
        parts += [grid(columns, [[row.get(column, "-") for column in columns] for row in depending])]
    parts += ["## Each domain", results.table(f"{name}.csv{' hide=rule' if len(found) == 1 else ''}")]
    warm = find_profile(stem.rpartition("-")[2]).settings.warmup_batches
    once = (
        "Seconds and passes of a step were measured once, before the first part, of a step behind the warm-up, and training "
        f"passes count every step as one of those. A loop's step in the warm-up, the first {warm}, takes fewer, so "
        "`severity`, with as many of them among fewer steps, is as dear as Algorithm 1. Drops and norm are medians of the "
        "last tenth of the steps: predicted and true drop of the score, and norm of the perturbation."
    )
    parts += ["## Costs and history", once, results.table(f"{name}-history.csv")]
    if f"{name}-labels.csv" in results.files:
        parts += ["## What labels are worth", *_worth(results, name, up)]
    parts += ["## Seconds of the parts", results.table(f"{name}-seconds.csv")]
    if f"{name}-scanners.csv" in results.files:
        parts += ["## The scanners that were drawn", results.table(f"{name}-scanners.csv")]
    return "\n\n".join(parts)


def _worth(results, name: str, up: str) -> list[str]:
    worth = worth_of(results.files, name)
    header, rows = fewest_labels(worth)
    few = "Fewest labels with which the MAE of Dice is below half of that without:"
    seen = "MAE of Dice against the number of labels, a panel for each target, with intervals"
    means = "`used`: share of the draws in which the correction was not refused; `worse`: share in which the error grew; "
    means += "`gain`: MAE without labels minus with them."
    return [
        f"![{seen}]({up}{HERE}/{name}-labels.png)", *([few, grid(header, rows)] if rows else []),
        f"All of it, on people held out, for k labels; k = 0 is the score as it is, or the source's line of it. {means}",
        results.table(f"{name}-labels.csv"),
    ]  # fmt: skip


def by_rules(files: dict[str, Rows], name: str) -> dict[str, Compared]:
    """Rule for absent classes -> what was found under it; the first is the one that was asked for."""
    rules = dict.fromkeys(row["rule"] for row in files[f"{name}-differences.csv"])
    return {rule: compared(files, name, rule) for rule in rules}


def worth_of(files: dict[str, Rows], name: str) -> pd.DataFrame:
    """What `evaluation/labels_worth.py` reads of a protocol: its targets one by one."""
    return as_table([row for row in files.get(f"{name}-labels.csv", []) if row["domain"] != MEAN])


def compared(files: dict[str, Rows], name: str, rule: str = "counted", quality: str = "dice") -> Compared:
    """What `evaluation/answer.py` reads of a protocol."""
    rows = [row for row in files[f"{name}-differences.csv"] if (row["quality"], row["rule"]) == (quality, rule)]
    table = pd.DataFrame(rows)
    words = ("rule", "quality", "method", "against", "shift", "sealed")
    for column in table.columns.difference(words):
        table[column] = pd.to_numeric(table[column], errors="coerce")
    costs = {
        row["method"]: (float(row["training_passes"] or 0), float(row["passes_in_use"]))
        for row in files[f"{name}-history.csv"]
        if row["quality"] == quality
    }
    return Compared(name, rows[0]["shift"], rows[0]["sealed"] == "yes", table, costs)


def answered(results, request: str) -> str:
    """The answer over all protocols of a kind of shift with one profile: 'massive quick'."""
    shift, profile = request.split()
    names = [file.removesuffix("-differences.csv") for file in results.files if file.startswith("evidence-")
             and file.endswith(f"-{profile}-differences.csv")]  # fmt: skip
    return "\n\n".join(answer([compared(results.files, name) for name in names], shift))


BLOCKS: dict[str, Callable] = {
    "evidence": protocol, "tables": tables, "answer": lambda results, request, up: answered(results, request),
}  # fmt: skip
