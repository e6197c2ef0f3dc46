"""Blocks of the evidence pages: a protocol's findings, all its tables, and the answer, from results/evidence-*.csv."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import pandas as pd

from advconf_lite.course.exercises.lesson_00 import FAILURE
from advconf_lite.evaluation.answer import ENDPOINTS, NAMES, Compared, answer, beating, by_rule, of_protocol, words_by_rule
from advconf_lite.evaluation.labels_worth import as_table, fewest_labels, labels_said
from advconf_lite.evaluation.levels import MEAN
from advconf_lite.evaluation.release import TARGETS
from advconf_lite.evaluation.rules import COUNTED
from advconf_lite.evaluation.verdict import BETTER, OPEN, WORSE
from advconf_lite.experiment.profiles import find_profile
from advconf_lite.support.markdown import grid

NOT_YET = "Not run yet."
HERE = "docs/results"
RELEASED = ("adversarial", "strong-augmentation", "adversarial+strong", "soft-dice", "agreement-15", "ensemble-3")

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
    parts += [labels_said(worth_of(results.files, name)), *_released(results.files, name)]
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
    warm = find_profile(stem.removesuffix("-tuned").rpartition("-")[2]).settings.warmup_batches
    once = (
        "Seconds and passes of a step were measured once, before the first part, of a step behind the warm-up; other "
        "programs were at work, so compare the passes and not the seconds. Training "
        f"passes count every step as one of those. A loop's step in the warm-up, the first {warm}, takes fewer, so "
        "`severity`, with as many of them among fewer steps, is as dear as Algorithm 1. Drops and norm are medians of the "
        "last tenth of the steps: predicted and true drop of the score, and norm of the perturbation."
    )
    parts += ["## Costs and history", once, results.table(f"{name}-history.csv")]
    if f"{name}-labels.csv" in results.files:
        parts += ["## What labels are worth", *_worth(results, name, up)]
    parts += _clinic(results, name, up)
    if f"{name}-trials.csv" in results.files:
        judged = "Means over the validation scanners, of which those of the smallest MAE were chosen."
        parts += ["## Trials", judged, results.table(f"{name}-trials.csv")]
    parts += ["## Seconds of the parts"]
    if f"{name}-scanners.csv" in results.files:
        parts += ["Those of the networks that see these scanners are among them."]
    parts += [results.table(f"{name}-seconds.csv")]
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


def _released(files: dict[str, Rows], name: str) -> list[str]:
    """What the thresholds of a few methods let through on all targets."""
    rows = [r for r in files.get(f"{name}-release.csv", []) if (r["quality"], r["domain"]) == ("dice", TARGETS)]
    risks = list(dict.fromkeys(row["risk"] for row in rows))
    if not rows:
        return []
    columns = {
        "coverage": "released",
        "released_risk": "risk of it",
        "missed": "missed",
        "without_threshold": "pairs without",
    }
    header = ["threshold from", *(f"{words}, wanted {risk}" for risk in risks for words in columns.values())]
    cells = []
    for method in RELEASED:
        own = [row for risk in risks for row in rows if (row["method"], row["risk"]) == (method, risk)]
        if own:
            cells.append([method, *(row[column] or "-" for row in own for column in columns)])
    first = (
        "Thresholds from the source's validation for a mean risk (1 - Dice), and what they let through of all targets' "
        f"slices: the share released, its risk, and the share of the failures (Dice below {FAILURE}) that is among it. "
        "Pairs of seeds without such a threshold release nothing, and the risk is the mean of the others'."
    )
    return [first, grid(header, cells)]


def _clinic(results, name: str, up: str) -> list[str]:
    """What a threshold releases, predicted beside true scores, and slices that lack a class."""
    if f"{name}-release.csv" not in results.files:
        return []
    released = (
        "`coverage`: share that is released by a threshold which gives the wanted risk on the source's validation slices; "
        f"`released risk`: mean of 1 - true score of it; `missed`: share of the failures (below {FAILURE}) in it. "
        "Means over the pairs of seeds; `without threshold`: how many of these have none (of folds, each counts), and "
        "release nothing. Intervals have a thousand draws."
    )
    seen = "Mean true against mean predicted Dice in bins, a panel for each of six methods, of source and targets"
    binned = "Five bins of as many slices each, all pairs of seeds together; intervals over people, of the mean true score."
    parts = ["## What a threshold releases", released, results.table(f"{name}-release.csv")]
    parts += [
        "## Predicted and true score",
        f"![{seen}]({up}{HERE}/{name}-bins.png)",
        binned,
        results.table(f"{name}-bins.csv"),
    ]
    if f"{name}-absent.csv" in results.files:
        lacking = (
            "`lacking`: share of the slices whose truth lacks the class; `drawn`: share of these on which it is drawn, mean "
            "over the segmenters [the lowest, the highest]; `explained`: share of the variance of Dice that this one bit, "
            "drawn though it is not there, explains."
        )
        parts += ["## Slices that lack a class", lacking, results.table(f"{name}-absent.csv")]
    return parts


def bins_of(files: dict[str, Rows], name: str, methods: Sequence[str]) -> pd.DataFrame:
    """What `figures.calibrating.reliability_panels` reads of a protocol."""
    table = pd.DataFrame(files[f"{name}-bins.csv"]).rename(columns={"true_low": "low", "true_high": "high"})
    numbers = ["n_slices", "predicted", "true", "low", "high"]
    table[numbers] = table[numbers].apply(pd.to_numeric, errors="coerce")
    return table[table["method"].isin(methods)]


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


def with_a_profiles_settings(files: dict[str, Rows]) -> list[str]:
    """Protocols, as their files' names begin; those with settings that were chosen are asked only what these change."""
    stems = [name.removesuffix("-differences.csv") for name in files if name.endswith("-differences.csv")]
    return [stem for stem in stems if stem.startswith("evidence-") and not stem.endswith("-tuned")]


def answered(results, request: str) -> str:
    """The answer over all protocols of a kind of shift with one profile: 'massive quick'."""
    shift, profile = request.split()
    stems = [stem for stem in with_a_profiles_settings(results.files) if stem.endswith(f"-{profile}")]
    return "\n\n".join(answer([compared(results.files, stem) for stem in stems], shift))


def heads_against(results, other: str, up: str) -> str:
    """How many of the heads order certainly worse than a method without one, and are certainly further from the truth: a row
    for each protocol and rule for absent classes."""
    rows = []
    for stem in with_a_profiles_settings(results.files):
        said: dict[tuple[str, ...], list[str]] = {}
        for rule, found in by_rules(results.files, stem).items():
            heads = [name for name in found.methods if found.costs[name][0] and found.costs[name][1] == 1]
            said.setdefault(tuple(_beside(found, heads, metric, other) for metric in ENDPOINTS), []).append(rule)
        rows += [[found.name, ", ".join(rules), *cells] for cells, rules in said.items()]
    return grid(["protocol", "rule", *(f"heads in {NAMES[metric]}" for metric in ENDPOINTS)], rows)


def _beside(found: Compared, heads: Sequence[str], metric: str, other: str) -> str:
    """ "10 worse, 1 not told apart (plain-2b)"."""
    words = {name: f.word for name in heads for f in found.findings(name, metric, (other,))}
    parts = []
    for word in (WORSE, OPEN, BETTER):
        if some := [name for name in heads if words.get(name) == word]:
            parts.append(f"{len(some)} {word}" + (f" ({', '.join(some)})" if len(some) < 3 and word != WORSE else ""))
    return ", ".join(parts)


SEEN_FROM = {WORSE: BETTER, BETTER: WORSE}  # of "the control is worse than it" what is said of it


def beside_others(results, request: str, up: str) -> str:
    """'adversarial: plain-2b replay': what the first is beside each other one, a row for each protocol and quality where
    absent classes count, and how often it is what under each rule."""
    method, _, others = request.partition(": ")
    names, rows = others.split(), []
    often: dict[str, dict[str, Counter]] = {}
    for stem in with_a_profiles_settings(results.files):
        asked = ((row["quality"], row["rule"]) for row in results.files[f"{stem}-differences.csv"])
        for quality, rule in dict.fromkeys(asked):
            found = compared(results.files, stem, rule, quality)
            words = {name: _seen_from(found, name, method) for name in names}
            for name, by_metric in words.items():
                often.setdefault(rule, {n: Counter() for n in names})[name].update(by_metric.values())
            if rule == COUNTED:
                cells = [_in_words(by_metric) for by_metric in words.values()]
                rows.append([found.name, quality.replace("_", " ").replace("dice", "Dice"), *cells])
    for rule, of in often.items():
        rows.append([f"all, {rule}", "", *(", ".join(f"{of[n][w]} {w}" for w in (BETTER, WORSE, OPEN)) for n in names)])
    return grid(["protocol", "quality", *(f"beside {name}" for name in names)], rows)


def _seen_from(found: Compared, other: str, method: str) -> dict[str, str]:
    """Metric -> what `method` is beside the other one, of which the tables say what it is beside `method`."""
    each = [finding for metric in ENDPOINTS for finding in found.findings(other, metric, (method,))]
    return {NAMES[finding.metric]: SEEN_FROM.get(finding.word, OPEN) for finding in each}


def _in_words(by_metric: dict[str, str]) -> str:
    """ "better in eAURC, worse in MAE"."""
    said = {word: [name for name, of in by_metric.items() if of == word] for word in by_metric.values() if word != OPEN}
    return ", ".join(f"{word} in {' and '.join(names)}" for word, names in said.items()) or (OPEN if by_metric else "-")


BLOCKS: dict[str, Callable] = {
    "evidence": protocol, "tables": tables, "answer": lambda results, request, up: answered(results, request),
    "heads": heads_against, "beside": beside_others,
}  # fmt: skip
