"""Tables as text: for the terminal, for Markdown and for the lessons. A quality has the name that users type."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd

from advconf_lite.evaluation.bootstrap import FEWEST_SUBJECTS
from advconf_lite.evaluation.paired import compare
from advconf_lite.evaluation.per_domain import defined, mean_of, unanswered_in
from advconf_lite.evaluation.predictions import CONSTANT, SEEDS
from advconf_lite.metrics import FEWEST_SLICES, METRICS, REPORTED


def summary_table(metrics: pd.DataFrame, source_domain: str | None = None, width: int | None = None) -> str:
    """Domain x method x reported metric as text: the source's held-out subjects, the targets, the targets' mean.

    One pair of seeds: the value with its bootstrap interval. Several: mean +- standard deviation over them.
    Without `source_domain` the mean is over all domains. The method "constant" (see `metrics_table`) is what
    an MAE must stay below to say anything.

    Where the lines are longer than `width` characters, a domain is a line of its own, above those of its methods.
    """
    shown = {name: f"{METRICS[name].title} ({METRICS[name].better} better)" for name in REPORTED}
    domains = list(dict.fromkeys(metrics["domain"]))
    domains.sort(key=lambda domain: domain != source_domain)  # stable: the targets keep their order
    targets = [domain for domain in domains if domain != source_domain]
    titles = {domain: f"{domain} (source)" if domain == source_domain else str(domain) for domain in domains}
    mean = "mean of the targets" if len(targets) < len(domains) else "mean"
    lines = []
    for quality, part in metrics.groupby("quality", sort=False):
        method_names = sorted(dict.fromkeys(part["method"]), key=lambda method: method == CONSTANT)
        rows = []  # domain, subjects, slices, method, a cell per metric
        for domain in domains:
            of_domain = part[part["domain"] == domain]
            for method in (m for m in method_names if (of_domain["method"] == m).any()):
                cell = of_domain[of_domain["method"] == method]
                counts = str(cell["n_subjects"].max()), str(cell["n_slices"].max())
                rows.append((titles[domain], *counts, method, *(_cell(cell, name) for name in shown)))
        if len(targets) > 1:
            for method in method_names:
                of_targets = part[(part["method"] == method) & part["domain"].isin(targets)]
                # Mean over domains for each pair of seeds first, so that the spread is that of the mean.
                means = pd.DataFrame([
                    {name: mean_of(pair, name) for name in shown} | {"n_unanswered": unanswered_in(pair)}
                    for _, pair in of_targets.groupby(SEEDS)
                ])  # fmt: skip
                rows.append((mean, "", "", method, *(_cell(means, name) for name in shown)))
        table = _wide(rows, list(shown.values()))
        if width is not None and max(map(len, table)) > width:
            table = _narrow(rows, list(shown.values()))
        lines += [f"quality: {quality}", *table, ""]
    note = "mean +- standard deviation over the pairs of segmenter and head seed"
    if len(metrics[SEEDS].drop_duplicates()) == 1:
        note = "[2.5 %, 97.5 %] of a bootstrap over subjects; "
        note += f"[n.e.]: not estimable with fewer than {FEWEST_SUBJECTS} subjects"
    notes = [note, *_why_dashes(metrics)]
    return "\n".join([*lines, *(text if width is None else textwrap.fill(text, width) for text in notes)])


def _why_dashes(metrics: pd.DataFrame) -> list[str]:
    """What a dash in the table means, for each reason that there is."""
    pearson = METRICS["pearson"].title
    metrics = metrics[metrics["method"] != CONSTANT].reset_index(drop=True)
    few = metrics["n_slices"] < FEWEST_SLICES
    lost = metrics[metrics["n_unanswered"] > 0] if "n_unanswered" in metrics else metrics.iloc[:0]
    constant = metrics["pearson"].isna() & ~few & ~metrics.index.isin(lost.index)
    sentences = []
    for key, rows in lost.groupby(["quality", "method", "domain"], sort=False):
        counts = " and ".join(f"{row.n_unanswered} of {row.n_slices}" for row in rows.itertuples())
        sentences.append(
            f"-: {key[1]} has no finite prediction of {key[0]} for {counts} slices of {key[2]}, so no {pearson} and no "
            f"{METRICS['mae'].title}; in {METRICS['eaurc'].title} they rank last"
        )
    for chosen, why in (
        (few, f"has fewer than {FEWEST_SLICES} slices"),
        (constant, "has predictions, or true scores, that are all equal"),
    ):
        for domain, rows in metrics[chosen].groupby("domain", sort=False):
            methods = ", ".join(dict.fromkeys(rows["method"]))
            sentences.append(f"-: {domain} {why}, so no {pearson} ({methods})")
    return sentences


def _wide(rows: list[tuple[str, ...]], titles: list[str]) -> list[str]:
    """A line per domain and method; the domain and its numbers stand in the first of its lines."""
    wide, named = max(len(row[0]) for row in rows), max(12, *(len(row[3]) for row in rows))
    head = (
        f"{'domain':{wide}}  subjects slices  {'method':{named}}  " + "  ".join(f"{title:23}" for title in titles).rstrip()
    )
    lines, above = [head, "-" * len(head)], ""
    for domain, subjects, slices, method, *cells in rows:
        first = f"{domain:{wide}}  {subjects:>8} {slices:>6}" if domain != above else " " * (wide + 17)
        lines.append(f"{first}  {method:{named}}  {'  '.join(f'{cell:23}' for cell in cells)}".rstrip())
        above = domain
    return lines


def _narrow(rows: list[tuple[str, ...]], titles: list[str]) -> list[str]:
    """A line per method, below one of the domain; the direction of a metric stands below its name."""
    rows = [(*row[:4], *(cell.strip().replace(", ", " ") for cell in row[4:])) for row in rows]
    heads = [title.replace(" better)", "").split(" (") for title in titles]
    table = [
        ("", "", "", "method", *(name for name, _ in heads)),
        ("", "", "", "(better)", *(better for _, better in heads)),
    ]
    widths = [max(len(row[column]) for row in [*table, *rows]) for column in range(3, len(rows[0]))]

    def line(cells: tuple[str, ...]) -> str:
        return " ".join(f"{cell:{width}}" for cell, width in zip(cells, widths)).rstrip()

    lines, above = [line(row[3:]) for row in table], ""
    for row in rows:
        if row[0] != above:
            counts = f": {row[1]} subjects, {row[2]} slices" if row[1] else ""
            lines += ["", f"-- {row[0]}{counts}"]
        lines.append(line(row[3:]))
        above = row[0]
    return lines


def _cell(rows: pd.DataFrame, name: str) -> str:
    values = defined(rows, name)
    if len(values) == 0:
        return "-"
    if len(values) > 1:
        return f"{values.mean():6.3f} +- {values.std():.3f}"
    text = f"{values.iloc[0]:6.3f}"
    if name + "_low" not in rows or len(rows) > 1:
        return text
    low, high = rows[name + "_low"].iloc[0], rows[name + "_high"].iloc[0]
    return text + (" [n.e.]" if np.isnan(low) else f" [{low:.3f}, {high:.3f}]")


NOTHING = "–"


def domain_table(
    metrics: pd.DataFrame, metric: str, rows: dict[str, str], domains: Sequence[str], mean: bool = False
) -> pd.DataFrame:
    """One metric as text, "mean ± sample standard deviation" over pairs of seeds; the value alone if there is one pair.

    Args:
        metrics: a table by `evaluation.metrics_table`.
        rows: title -> method; methods without a row in `metrics` are left out.
        domains: the columns.
        mean: also a column of the mean over `domains`: of each pair of seeds first, so that the spread is the mean's.

    Returns:
        Index (quality, row); NaN, as for the MAE of a method that only ranks, is a dash.
    """
    found, index = [], []
    for quality in dict.fromkeys(metrics["quality"]):
        for title, name in rows.items():
            part = metrics[(metrics["quality"] == quality) & (metrics["method"] == name)]
            if part.empty:
                continue
            cells = {domain: spread(defined(part[part["domain"] == domain], metric)) for domain in domains}
            if mean:
                of_pairs = [pair for _, pair in part[part["domain"].isin(domains)].groupby(SEEDS)]
                means = pd.Series([mean_of(pair, metric) for pair in of_pairs], dtype=float)
                cells["mean"] = NOTHING if any(map(unanswered_in, of_pairs)) and means.isna().any() else spread(means)
            found.append(cells)
            index.append((quality, title))
    columns = [*domains, *(["mean"] if mean else [])]
    return pd.DataFrame(found, pd.MultiIndex.from_tuples(index, names=["quality", "method"]), columns)


def spread(values: pd.Series) -> str:
    """Mean ± sample standard deviation, the value alone, or a dash."""
    values = values.dropna()
    if len(values) == 0:
        return NOTHING
    return f"{values.mean():.3f}" + (f" ± {values.std():.3f}" if len(values) > 1 else "")


def comparison_table(comparison: pd.DataFrame) -> pd.DataFrame:
    """`evaluation.compare` as text: "difference [low, high]", or [n.e.] for an interval that is not estimable.

    A row per quality and method, a column per metric.
    """
    titles = {name: METRICS[name].title for name in REPORTED}
    if comparison.empty:
        return pd.DataFrame(columns=list(titles.values()))
    text = []
    for row in comparison.itertuples():
        if np.isnan(row.difference):
            text.append(NOTHING)
            continue
        digits = METRICS[row.metric].digits
        interval = f"[{row.low:+.{digits}f}, {row.high:+.{digits}f}]" if np.isfinite(row.low) else "[n.e.]"
        text.append(f"{row.difference:+.{digits}f} {interval}")
    table = comparison.assign(text=text, metric=comparison["metric"].map(titles))
    order = list(dict.fromkeys(zip(table["quality"], table["method"])))
    table = table.pivot(index=["quality", "method"], columns="metric", values="text").reindex(order)
    return table.reindex(columns=list(titles.values()), fill_value=NOTHING).fillna(NOTHING).rename_axis(columns=None)


def mae_floor(metrics: pd.DataFrame, source_domain: str | None = None) -> pd.DataFrame:
    """MAE per target domain and its mean, of every method that estimates; the constant prediction comes first."""
    names = sorted(dict.fromkeys(metrics["method"]), key=lambda name: name != CONSTANT)
    domains = [domain for domain in dict.fromkeys(metrics["domain"]) if domain != source_domain]
    estimates = metrics.groupby("method")["mae"].count() > 0  # it is NaN for a method that only ranks
    estimates |= metrics.groupby("method").apply(unanswered_in) > 0
    return domain_table(metrics, "mae", {name: name for name in names if estimates[name]}, domains, mean=True)


def comparison(predictions: pd.DataFrame, source_domain: str | None, width: int | None = None) -> str:
    """`adversarial` minus every other method, with paired intervals, as text; empty if there is nothing to compare.

    Where the lines are longer than `width` characters, columns that do not fit stand below the others.
    """
    others = [name for name in dict.fromkeys(predictions["method"]) if name not in ("adversarial", CONSTANT)]
    if "adversarial" not in set(predictions["method"]) or not others:
        return ""
    keys = ["quality", *SEEDS]
    ours, found = predictions[predictions["method"] == "adversarial"], []
    for other in others:
        theirs = predictions[predictions["method"] == other]
        shared = ours[keys].drop_duplicates().merge(theirs[keys].drop_duplicates())  # what both have been asked for
        found.append(compare(pd.concat([ours.merge(shared), theirs.merge(shared)]), "adversarial", [other], source_domain))
    rows = pd.concat(found, ignore_index=True)
    rows = pd.concat([part for _, part in rows.groupby("quality", sort=False)])
    table, seeds = comparison_table(rows).reset_index(), rows.drop_duplicates(["quality", "method"])
    table = table.assign(segmenters=seeds["n_segmenters"].to_numpy(), **{"pairs of seeds": seeds["n_pairs"].to_numpy()})
    title = "adversarial minus each other method, mean over the targets and pairs of seeds"
    text = table.to_string(index=False, line_width=width)
    return f"{title}\n[2.5 %, 97.5 %] of a paired bootstrap over subjects and seeds\n{text}\n"
