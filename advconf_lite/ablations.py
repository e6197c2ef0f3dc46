"""Tables of lesson 06: what each method is, the paper's Table 3, controls, the constant's floor, what training saw."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from advconf_lite.evaluation import CONSTANT, SEEDS, is_relative
from advconf_lite.figures.style import QUALITIES
from advconf_lite.lessons import seen_scores
from advconf_lite.methods import Adversarial, AdversarialWith, Finetuned, find_method, head_methods
from advconf_lite.pipeline import Run

METRIC_NAMES = {"pearson": "Pearson", "eaurc": "eAURC", "mae": "MAE"}
NOTHING = "–"


def methods_text(names: Sequence[str]) -> str:
    """A Markdown table of methods: the name, and the first sentence of its class's docstring in `methods`."""
    lines = ["| method | what it is |", "|---|---|"]
    for name in names:
        text = " ".join(inspect.getdoc(type(find_method(name))).split())
        first = re.split(r"(?<=\.) (?=[A-Z`])", text)[0]
        lines.append(f"| `{name}` | {first.replace('|', chr(92) + '|')} |")
    return "\n".join(lines)


def all_predictions(run: Run, pairs: Sequence[tuple[int, int]]) -> pd.DataFrame:
    """Predictions of the run's methods, heads and samples, for each pair of seeds; those that are missing are made."""
    tables = [make(*pair) for pair in pairs for make in (run.predict_heads, run.predict_agreement)]
    return pd.concat([table for table in tables if len(table)], ignore_index=True)


def chosen_metrics(run: Run, pairs: Sequence[tuple[int, int]]) -> pd.DataFrame:
    """Rows of `run.metrics()` for the run's own methods and qualities and these pairs of seeds, and the constant's."""
    table = run.metrics()
    of_pairs = pd.MultiIndex.from_frame(table[SEEDS]).isin(list(pairs)) & table["method"].isin(run.methods)
    constant = (table["method"] == CONSTANT) & table["segmenter_seed"].isin([s for s, _ in pairs])
    return table[(of_pairs | constant) & table["quality"].isin(run.qualities)].reset_index(drop=True)


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
        Index (quality, row); NaN, as for the MAE of a relative method, is a dash.
    """
    found, index = [], []
    for quality in dict.fromkeys(metrics["quality"]):
        for title, name in rows.items():
            part = metrics[(metrics["quality"] == quality) & (metrics["method"] == name)]
            if part.empty:
                continue
            of_pairs = part.pivot(index=SEEDS, columns="domain", values=metric).reindex(columns=list(domains))
            cells = {domain: spread(of_pairs[domain]) for domain in domains}
            found.append(cells | ({"mean": spread(of_pairs.mean(axis=1))} if mean else {}))
            index.append((QUALITIES.get(quality, quality), title))
    columns = [*domains, *(["mean"] if mean else [])]
    return pd.DataFrame(found, pd.MultiIndex.from_tuples(index, names=["quality", "method"]), columns)


def spread(values: pd.Series) -> str:
    """Mean ± sample standard deviation, the value alone, or a dash."""
    values = values.dropna()
    if len(values) == 0:
        return NOTHING
    return f"{values.mean():.3f}" + (f" ± {values.std():.3f}" if len(values) > 1 else "")


def ablation_rows(names: Sequence[str], delta_s: float = 0.1) -> dict[str, str]:
    """Title -> method of the paper's Table 3, in its order: by delta_s, the fine-tuned head after the one it starts from.

    `delta_s` is that of the method `adversarial`.
    """
    rows = []
    for name in names:
        this = find_method(name)
        if isinstance(this, Adversarial):
            value = this.delta_s if isinstance(this, AdversarialWith) else delta_s
            rows.append((value, 0, f"Δs = {value:g}", name))
        elif isinstance(this, Finetuned):
            rows.append((delta_s, 1, "fine-tuned", name))
    return {title: name for _, _, title, name in sorted(rows)}


def table3(metrics: pd.DataFrame, source_domain: str | None, delta_s: float = 0.1) -> pd.DataFrame:
    """The paper's Table 3 (appendix C): delta_s and fine-tuning by target domain, in blocks of Pearson, eAURC and MAE.

    Index (quality, metric, row); cells as in `domain_table`. Columns are the target domains, or all of them without a
    `source_domain`.
    """
    names = [name for name in dict.fromkeys(metrics["method"]) if name != CONSTANT]
    domains = [domain for domain in dict.fromkeys(metrics["domain"]) if domain != source_domain]
    rows = ablation_rows(names, delta_s)
    blocks = {title: domain_table(metrics, name, rows, domains) for name, title in METRIC_NAMES.items()}
    table = pd.concat(blocks, names=["metric"]).swaplevel(0, 1)
    return table.loc[list(dict.fromkeys(table.index.get_level_values("quality")))]


def comparison_table(comparison: pd.DataFrame) -> pd.DataFrame:
    """`evaluation.compare` as text: "difference [low, high]", or [n.e.] for an interval that is not estimable.

    A row per quality and method, a column per metric.
    """
    if comparison.empty:
        return pd.DataFrame(columns=list(METRIC_NAMES.values()))
    text = []
    for row in comparison.itertuples():
        digits = 3 if row.metric == "pearson" else 4  # the others are smaller numbers
        interval = f"[{row.low:+.{digits}f}, {row.high:+.{digits}f}]" if np.isfinite(row.low) else "[n.e.]"
        text.append(f"{row.difference:+.{digits}f} {interval}")
    table = comparison.assign(text=text, quality=comparison["quality"].map(lambda q: QUALITIES.get(q, q)),
                              metric=comparison["metric"].map(METRIC_NAMES))  # fmt: skip
    order = list(dict.fromkeys(zip(table["quality"], table["method"])))
    table = table.pivot(index=["quality", "method"], columns="metric", values="text").reindex(order)
    return table.reindex(columns=list(METRIC_NAMES.values())).fillna(NOTHING).rename_axis(columns=None)


def mae_floor(metrics: pd.DataFrame, source_domain: str | None = None) -> pd.DataFrame:
    """MAE per target domain and its mean, of every method that estimates; the constant prediction comes first."""
    names = sorted(dict.fromkeys(metrics["method"]), key=lambda name: name != CONSTANT)
    domains = [domain for domain in dict.fromkeys(metrics["domain"]) if domain != source_domain]
    return domain_table(metrics, "mae", {name: name for name in names if not is_relative(name)}, domains, mean=True)


def seen_by(run: Run, names: Sequence[str], quality: str, pairs: Sequence[tuple[int, int]]) -> dict[str, list[float]]:
    """True scores in training: the clean images, then the perturbed ones of each of `names` that the run has.

    Heads of one seed share their clean batches, so those of the first of `names` stand for all.
    """
    names = [name for name in names if name in head_methods(run.methods)]
    seen = {name: seen_scores(run, name, quality, pairs) for name in names}
    return {"clean": seen[names[0]]["clean"]} | {name: halves["perturbed"] for name, halves in seen.items()}


def perturbation_table(history: pd.DataFrame) -> pd.DataFrame:
    """What perturbations did at the end of training: ||delta|| / ||x||, true and predicted drop, per quality and method.

    Medians over the last tenth of a head's steps with a drop, then means over the pairs of seeds.
    """
    columns = {"delta_norm": "||δ|| / ||x||", "true_drop": "true drop", "predicted_drop": "predicted drop"}
    rows = []
    for _, steps in history[history["true_drop"].notna()].groupby(["quality", "method", *SEEDS], sort=False):
        last = steps.tail(max(1, len(steps) // 10))
        rows.append(last[["quality", "method"]].iloc[0].to_dict() | last[list(columns)].median().to_dict())
    table = pd.DataFrame(rows).groupby(["quality", "method"], sort=False).mean()
    return table.rename(columns=columns, index=lambda name: QUALITIES.get(name, name))
