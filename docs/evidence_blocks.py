"""Blocks of the evidence pages: all tables of a protocol, and the answer that they give, from results/evidence-*.csv."""

from __future__ import annotations

from collections.abc import Callable

from advconf_lite.evaluation.answer import Compared, answer, beating, by_rule, labels_said, of_protocol, words_by_rule
from advconf_lite.evaluation.levels import MEAN
from advconf_lite.support.markdown import grid

TABLES = {
    "": "Each domain",
    "history": "Costs and history",
    "labels": "What labels are worth",
    "seconds": "Seconds of the parts",
    "scanners": "The scanners that were drawn",
}
NOT_YET = "Not run yet."

Rows = list[dict[str, str]]


def protocol(results, stem: str, up: str) -> str:
    """A protocol's answer, how it was made, its differences, and what lies behind them folded away.

    Args:
        results: `render.Results`.
        stem: such as phantom-prostate-quick.
    """
    name = f"evidence-{stem}"
    if f"{name}.csv" not in results.files:
        return NOT_YET
    differences = f"{name}-differences.csv"
    rules = list(dict.fromkeys(row["rule"] for row in results.files[differences]))
    found = {rule: compared(results.files, name, rule) for rule in rules}
    first, (header, rows) = found[rules[0]], beating(found[rules[0]])
    said = [grid(header, rows) if rows else "", by_rule(found)]
    seen = "Differences of each method to Algorithm 1 and to strong augmentation, with intervals"
    picture = f"![{seen}]({up}docs/results/{name}.png)"
    parts = [of_protocol(first), picture, *filter(None, said), results.made(f"{name}.csv", up)]
    parts += [f"Each method minus another ([results/{differences}]({up}results/{differences})):"]
    parts += [results.table(f"{differences} rule={rules[0]} hide=shift,sealed")]
    if rules[1:]:
        others = [f"{rule}:\n\n{results.table(f'{differences} rule={rule} hide=shift,sealed')}" for rule in rules[1:]]
        if depending := words_by_rule(found):
            columns = ["method", "against", "endpoint", *rules]
            table = grid(columns, [[row.get(column, "-") for column in columns] for row in depending])
            parts += ["Words that depend on the rule for absent classes:", table]
        parts += ["<details><summary>Under other rules for absent classes</summary>", *others, "</details>"]
    for end, title in TABLES.items():
        file = f"{name}{'-' + end if end else ''}.csv"
        if file in results.files:
            worth = [labels_said(of_domains(results.files[file]))] if end == "labels" else []
            table = results.table(f"{file}{' hide=rule' if not end and len(rules) == 1 else ''}")
            parts += [f"<details><summary>{title}</summary>", *worth, table, "</details>"]
    return "\n\n".join(parts)


def of_domains(rows: Rows) -> Rows:
    return [row for row in rows if row["domain"] != MEAN]


def compared(files: dict[str, Rows], name: str, rule: str = "counted", quality: str = "dice") -> Compared:
    """What `evaluation/answer.py` reads of a protocol."""
    import pandas as pd

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


BLOCKS: dict[str, Callable] = {"evidence": protocol, "answer": lambda results, request, up: answered(results, request)}
