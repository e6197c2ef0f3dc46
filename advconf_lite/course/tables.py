"""Tables of the lessons: what each method is, the paper's Table 3, what training saw, whether the loop aligned."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from advconf_lite.evaluation.predictions import CONSTANT, SEEDS
from advconf_lite.evaluation.text import domain_table
from advconf_lite.experiment.run import Run
from advconf_lite.experiment.scoring import rows, segmented
from advconf_lite.experiment.seen import seen_scores
from advconf_lite.methods.finetuned import Finetuned
from advconf_lite.methods.heads import Adversarial, AdversarialWith
from advconf_lite.methods.registry import find_method, head_methods, in_words
from advconf_lite.metrics import METRICS, REPORTED
from advconf_lite.segmenter import Segmenter
from advconf_lite.support.errors import BadInput


def methods_text(names: Sequence[str]) -> str:
    """A Markdown table of methods: the name, and what `methods` says of it in one sentence."""
    lines = ["| method | what it is |", "|---|---|"]
    for name in names:
        lines.append(f"| `{name}` | {in_words(find_method(name)).replace('|', chr(92) + '|')} |")
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


def of_run(run: Run) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predictions and metrics of the run's own methods and qualities, of all pairs of seeds that its folder has; the metrics
    with the constant's. What lesson 04 compares too, so that a difference is one number in all lessons."""
    metrics, predictions = run.metrics(), run.predictions()
    predictions, metrics = (table[table["quality"].isin(run.qualities)] for table in (predictions, metrics))
    of_methods = metrics["method"].isin([*run.methods, CONSTANT])
    return predictions[predictions["method"].isin(run.methods)], metrics[of_methods].reset_index(drop=True)


def pairs_text(predictions: pd.DataFrame) -> str:
    """How many pairs of seeds each method has: those that have as many in one line."""
    pairs = predictions.groupby("method", sort=False)[SEEDS].apply(lambda rows: len(rows.drop_duplicates()))
    return "\n".join(
        f"{number} pair{'s' if number > 1 else ''} of seeds: {', '.join(pairs.index[pairs == number])}"
        for number in sorted(set(pairs), reverse=True)
    )


def on_shared_pairs(metrics: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """The rows of some methods on the pairs of seeds that all of them have."""
    rows = metrics[metrics["method"].isin(names)]
    shared = rows.groupby(SEEDS)["method"].transform("nunique") == rows["method"].nunique()
    return rows[shared]


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
    """The paper's Table 3 (appendix C): delta_s and fine-tuning by target domain, in blocks of the reported metrics.

    Index (quality, metric, row); cells as in `domain_table`. Columns are the target domains, or all of them without a
    `source_domain`.
    """
    names = [name for name in dict.fromkeys(metrics["method"]) if name != CONSTANT]
    domains = [domain for domain in dict.fromkeys(metrics["domain"]) if domain != source_domain]
    rows = ablation_rows(names, delta_s)
    blocks = {METRICS[name].title: domain_table(metrics, name, rows, domains) for name in REPORTED}
    table = pd.concat(blocks, names=["metric"]).swaplevel(0, 1)
    return table.loc[list(dict.fromkeys(table.index.get_level_values("quality")))]


def seen_by(run: Run, names: Sequence[str], quality: str, pairs: Sequence[tuple[int, int]]) -> dict[str, list[float]]:
    """True scores in training: the clean images, then the perturbed ones of each of `names` that the run has.

    Heads of one seed share their clean batches, so those of the first of `names` stand for all. What ships holds this for
    some heads alone: the others are left out, and so are pairs of seeds that not all of the rest have; a line says so.

    Raises:
        BadInput: it is there for none of them.
    """
    names = [name for name in names if name in head_methods(run.methods)]
    there = {name: [pair for pair in pairs if run.seen_path(name, quality, *pair).exists()] for name in names}
    known = [name for name in names if there[name]]
    shared = [pair for pair in pairs if known and all(pair in there[name] for name in known)]
    if not shared:
        raise BadInput(f"{run.folder} does not hold what heads of {', '.join(names)} saw in training; train them first")
    if len(known) < len(names) or len(shared) < len(pairs):
        seeds = ", ".join(f"{s} and {h}" for s, h in shared)
        print(f"{run.folder} holds what was seen in training for {', '.join(known)} alone, with seeds {seeds}")
    seen = {name: seen_scores(run, name, quality, shared) for name in known}
    return {"clean": seen[known[0]]["clean"]} | {name: halves["perturbed"] for name, halves in seen.items()}


def perturbation_table(history: pd.DataFrame) -> pd.DataFrame:
    """What perturbations did at the end of training: ||delta|| / ||x||, true and predicted drop, per quality and method.

    Medians over the last tenth of a head's steps with a drop, then means over the pairs of seeds.
    """
    columns = {"delta_norm": "||δ|| / ||x||", "true_drop": "true drop", "predicted_drop": "predicted drop"}
    rows = []
    for _, steps in history[history["true_drop"].notna()].groupby(["quality", "method", *SEEDS], sort=False):
        last = steps.tail(max(1, len(steps) // 10))
        rows.append(last[["quality", "method"]].iloc[0].to_dict() | last[list(columns)].median().to_dict())
    return pd.DataFrame(rows).groupby(["quality", "method"], sort=False).mean().rename(columns=columns)


def split_counts(run: Run) -> pd.DataFrame:
    """Slices and subjects per domain and split."""
    parts = {"train": run.experiment.train, "val": run.experiment.val}
    rows = [(run.experiment.slices.source_domain, split, part) for split, part in parts.items()]
    rows += [(domain, "test", part) for domain, part in run.experiment.evaluated().items()]
    rows += [(domain, "validation scanner", part) for domain, part in run.experiment.validation.items()]
    return pd.DataFrame(
        [{"domain": d, "split": s, "subjects": p.table["subject"].nunique(), "slices": len(p)} for d, s, p in rows]
    )


def quality_table(run: Run, segmenters: dict[int, Segmenter], qualities: Sequence[str] = ()) -> pd.DataFrame:
    """True scores of every evaluated slice: the columns of the predictions table that need no head.

    `qualities`: the run's by default; a true score needs no head, so others can be asked for.
    """
    tables = []
    for seed, segmenter in segmenters.items():
        for found in segmented(run, segmenter, "true scores"):
            for name in qualities or run.qualities:
                if name not in found.true:
                    found.true[name] = run.quality(name)(found.y_hat, found.part.masks.to(run.device))
                tables.append(rows(run, found, name, "none", found.true[name], seed, 0))
    return pd.concat(tables, ignore_index=True)


def alignment_table(history: pd.DataFrame, delta_s: float) -> pd.DataFrame:
    """Per adversarial head: medians over the first and the last tenth of its adversarial steps, and how many of these it
    took until the true drop reached half of delta_s (a running median over a twentieth of them), NaN if it never did."""
    rows = []
    adversarial = history[(history["method"] == "adversarial") & history["true_drop"].notna()]
    for (quality, s, h), steps in adversarial.groupby(["quality", "segmenter_seed", "head_seed"], sort=False):
        tenth = max(1, len(steps) // 10)
        row = {"quality": quality, "segmenter_seed": s, "head_seed": h}
        for name in ("true_drop", "predicted_drop", "delta_norm"):
            row |= {f"{name}, first": steps[name].head(tenth).median(), f"{name}, last": steps[name].tail(tenth).median()}
        smooth = steps["true_drop"].rolling(max(1, len(steps) // 20), center=True, min_periods=1).median()
        reached = steps["step"][smooth >= delta_s / 2]
        row["steps to half of delta_s"] = reached.min() - steps["step"].min() if len(reached) else float("nan")
        rows.append({**row, "last true drop / delta_s": row["true_drop, last"] / delta_s})
    return pd.DataFrame(rows)
