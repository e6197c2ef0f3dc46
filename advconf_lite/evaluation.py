"""From predictions (one row per slice, method and pair of seeds) to metrics per domain, with intervals.

What each metric means, and how ties count, is said in `metrics`.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from advconf_lite.methods import sampled_methods
from advconf_lite.metrics import METRICS, augrc, aurc, eaurc, mae, pearson, spearman, weighted_metrics
from advconf_lite.support.errors import BadInput
from advconf_lite.support.files import write_atomically

__all__ = [
    "KEYS", "METRICS", "METRIC_COLUMNS", "PREDICTION_COLUMNS", "SLICE", "augrc", "aurc", "check_predictions",
    "compare", "constant_predictions", "eaurc", "is_relative",
    "mae", "merge_predictions", "metrics_table", "paired_difference", "pearson",
    "read_predictions",
    "spearman", "summary_table",
]  # fmt: skip

SLICE = ["dataset", "domain", "subject", "phase", "slice"]
SEEDS = ["segmenter_seed", "head_seed"]
TEXT = [*SLICE[:4], "quality", "method"]
WHOLE = ["slice", *SEEDS]
KEYS = ["dataset", "domain", "quality", "method", *SEEDS]
PREDICTION_COLUMNS = [*SLICE, "quality", "method", *SEEDS, "true_score", "predicted_score"]
ENDS = ("", "_low", "_high")
METRIC_COLUMNS = [*KEYS, "n_slices", "n_subjects", *(name + end for name in METRICS for end in ENDS)]
CONSTANT = "constant"
FEWEST_SUBJECTS = 3  # below that, resampling subjects says nothing about the next one


@cache
def is_relative(method: str) -> bool:
    """Agreement and entropy rank slices but do not estimate the score (paper, section 4.3), so they have no MAE."""
    return bool(sampled_methods([method]))


def read_predictions(path: str | Path) -> pd.DataFrame:
    """A checked predictions table from a CSV file; text columns are strings even if they look like numbers.

    Raises:
        BadInput: no such file, not a table, a column is missing, or a score is not a finite number.
    """
    try:
        # A subject or domain called "NA" is a name; only empty cells and NaN are missing values.
        table = pd.read_csv(path, dtype=str, keep_default_na=False, na_values=["", "nan", "NaN"])
    except FileNotFoundError:
        raise BadInput(f"{path} does not exist; run the evaluation first, or name the run's folder") from None
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise BadInput(f"{path} cannot be read as a table ({error}); delete it and run the evaluation again") from error
    for column in table.columns.difference(TEXT):
        try:
            # Python's float() is exact, which the default parser of pandas 2 is not: a merge must not move
            # other rows.
            numbers = table[column].to_numpy(object).astype(np.int64 if column in WHOLE else np.float64)
        except ValueError as error:
            raise BadInput(f"{path}: column {column} holds no number ({error}); delete it and evaluate again") from error
        table[column] = numbers
    return as_text(check_predictions(table, path))


def as_text(table: pd.DataFrame) -> pd.DataFrame:
    # A data set without phases leaves that column empty.
    text = {column: table[column].astype(object).where(table[column].notna(), "").astype(str) for column in TEXT}
    return table.assign(**text)


def check_predictions(table: pd.DataFrame, name: str | Path = "the predictions table") -> pd.DataFrame:
    """The same table, or BadInput: a column is missing, a score is not finite, or a slice is there twice."""
    missing = [column for column in PREDICTION_COLUMNS if column not in table.columns]
    if missing:
        raise BadInput(f"{name} lacks the column(s) {', '.join(missing)}; it needs {', '.join(PREDICTION_COLUMNS)}")
    for column in ("true_score", "predicted_score"):
        values = pd.to_numeric(table[column], errors="coerce").to_numpy(np.float64)
        if not np.isfinite(values).all():
            row = int(np.flatnonzero(~np.isfinite(values))[0])
            raise BadInput(
                f"{name}: {column} in data row {row + 1} is {table[column].iloc[row]}, not a finite number; "
                f"remove the rows of method {table['method'].iloc[row]!r} and run it again"
            )
    twice = table.duplicated([*SLICE, "quality", "method", *SEEDS])
    if twice.any():
        row = int(np.flatnonzero(twice)[0])
        raise BadInput(f"{name}: data row {row + 1} repeats a slice of the same method and seeds; remove one of the two")
    return table


def merge_predictions(path: str | Path, new_rows: pd.DataFrame) -> pd.DataFrame:
    """Put `new_rows` into the table at `path`, replacing the groups (`KEYS`) they contain; returns the table.

    A stage that is repeated, or was interrupted, so neither duplicates rows nor loses those of other stages.
    The file is replaced as a whole.

    Raises:
        BadInput: either table is not a predictions table, or the file cannot be written.
    """
    path = Path(path)
    table = as_text(check_predictions(new_rows, "the new predictions"))
    if path.exists():
        old = read_predictions(path)
        replaced = pd.MultiIndex.from_frame(old[KEYS]).isin(pd.MultiIndex.from_frame(table[KEYS]).unique())
        if not replaced.all():
            table = pd.concat([old[~replaced], table], ignore_index=True)
    classes = [column for column in table.columns if column not in PREDICTION_COLUMNS]
    table = table[[*PREDICTION_COLUMNS, *classes]]
    write_atomically(path, lambda temporary: table.to_csv(temporary, index=False))
    return table


def metrics_table(
    predictions: pd.DataFrame, resamples: int = 1000, seed: int = 0, constant: dict[str, float] | None = None
) -> pd.DataFrame:
    """One row per domain, quality, method and pair of seeds, with `METRIC_COLUMNS`.

    `_low` and `_high` are the 2.5 % and 97.5 % percentiles over `resamples` bootstrap samples of *subjects*:
    slices of one subject resemble each other, so resampling slices would give intervals that are too narrow.
    They are NaN (not estimable) for fewer than 3 subjects. Resamples in which a metric is undefined are left
    out. All methods of a domain see the same resamples, so their intervals are comparable, and they do not
    depend on the other domains.

    `constant` gives one number per quality, such as the mean true score of the source's training slices, and
    adds the method "constant", which predicts it everywhere: what an MAE is worth is its distance from that
    floor.
    """
    predictions = check_predictions(predictions)
    if constant:
        predictions = pd.concat([predictions, constant_predictions(predictions, constant)], ignore_index=True)
    rows = []
    for key, group in predictions.groupby(KEYS, sort=False):
        predicted, true = (
            group["predicted_score"].to_numpy(np.float64),
            group["true_score"].to_numpy(np.float64),
        )
        subjects, member = np.unique(group["subject"].astype(str).to_numpy(str), return_inverse=True)
        row = dict(zip(KEYS, key)) | {"n_slices": len(group), "n_subjects": len(subjects)}
        point = weighted_metrics(predicted, true, np.ones((1, len(group))))
        row |= {name: value[0] for name, value in point.items()}
        if len(subjects) >= FEWEST_SUBJECTS and resamples > 0:
            rng = np.random.default_rng([seed, zlib.crc32(str(key[1]).encode())])
            drawn = rng.multinomial(len(subjects), np.full(len(subjects), 1 / len(subjects)), size=resamples)
            resampled = weighted_metrics(predicted, true, drawn[:, member].astype(np.float64))
            for name, values in resampled.items():
                row[name + "_low"], row[name + "_high"] = percentiles(values)
        if is_relative(row["method"]):
            row |= {"mae": np.nan, "mae_low": np.nan, "mae_high": np.nan}
        rows.append(row)
    return pd.DataFrame(rows, columns=METRIC_COLUMNS)


def percentiles(values: np.ndarray) -> tuple[float, float]:
    defined = values[~np.isnan(values)]
    return tuple(np.percentile(defined, [2.5, 97.5])) if len(defined) else (np.nan, np.nan)


def constant_predictions(predictions: pd.DataFrame, constant: dict[str, float]) -> pd.DataFrame:
    """The rows of method "constant": one number per quality as the prediction of every slice, head seed 0."""
    rows = predictions[predictions["quality"].isin(list(constant))]
    # The true score belongs to the segmenter, so one row per slice and segmenter seed is all there is.
    rows = rows.drop_duplicates([*SLICE, "quality", "segmenter_seed"])[PREDICTION_COLUMNS]
    return rows.assign(method=CONSTANT, head_seed=0, predicted_score=rows["quality"].map(constant).astype(float))


def summary_table(metrics: pd.DataFrame, source_domain: str | None = None) -> str:
    """Domain x method x {Pearson, eAURC, MAE} as text: the source's held-out subjects, the targets, the targets' mean.

    One pair of seeds: the value with its bootstrap interval. Several: mean +- standard deviation over them.
    Without `source_domain` the mean is over all domains. The method "constant" (see `metrics_table`) is what
    an MAE must stay below to say anything.
    """
    shown = {
        "pearson": "Pearson (higher better)",
        "eaurc": "eAURC (lower better)",
        "mae": "MAE (lower better)",
    }
    domains = list(dict.fromkeys(metrics["domain"]))
    domains.sort(key=lambda domain: domain != source_domain)  # stable: the targets keep their order
    targets = [domain for domain in domains if domain != source_domain]
    titles = {domain: f"{domain} (source)" if domain == source_domain else str(domain) for domain in domains}
    wide = max(map(len, [*titles.values(), "mean of the targets"]))
    named = max([12, *map(len, metrics["method"].unique())])
    lines = []
    for quality, part in metrics.groupby("quality", sort=False):
        method_names = sorted(dict.fromkeys(part["method"]), key=lambda method: method == CONSTANT)
        lines += [
            f"quality: {quality}",
            f"{'domain':{wide}}  subjects slices  {'method':{named}}  "
            + "  ".join(f"{title:23}" for title in shown.values()).rstrip(),
        ]
        lines.append("-" * len(lines[-1]))
        for domain in domains:
            rows = part[part["domain"] == domain]
            for number, method in enumerate(m for m in method_names if (rows["method"] == m).any()):
                cell = rows[rows["method"] == method]
                first = f"{titles[domain]:{wide}}  {cell['n_subjects'].max():8} {cell['n_slices'].max():6}"
                first = first if number == 0 else " " * len(first)
                texts = "  ".join(f"{_cell(cell, name):23}" for name in shown)
                lines.append(f"{first}  {method:{named}}  {texts}".rstrip())
        if len(targets) > 1:
            name = "mean of the targets" if len(targets) < len(domains) else "mean"
            for number, method in enumerate(method_names):
                rows = part[(part["method"] == method) & part["domain"].isin(targets)]
                # Mean over domains for each pair of seeds first, so that the spread is that of the mean.
                mean = rows.groupby(SEEDS)[list(shown)].mean()
                texts = "  ".join(f"{_cell(mean, name):23}" for name in shown)
                lines.append(f"{name if number == 0 else '':{wide}}  {'':15}  {method:{named}}  {texts}".rstrip())
        lines.append("")
    pairs = metrics[SEEDS].drop_duplicates()
    if len(pairs) > 1:
        lines.append("mean +- standard deviation over the pairs of segmenter and head seed")
    else:
        lines.append(
            f"[2.5 %, 97.5 %] of a bootstrap over subjects; [n.e.]: not estimable with fewer than {FEWEST_SUBJECTS} subjects"
        )
    return "\n".join(lines)


def _cell(rows: pd.DataFrame, name: str) -> str:
    values = rows[name].dropna()
    if len(values) == 0:
        return "-"
    if len(values) > 1:
        return f"{values.mean():6.3f} +- {values.std():.3f}"
    text = f"{values.iloc[0]:6.3f}"
    if name + "_low" not in rows or len(rows) > 1:
        return text
    low, high = rows[name + "_low"].iloc[0], rows[name + "_high"].iloc[0]
    return text + (" [n.e.]" if np.isnan(low) else f" [{low:.3f}, {high:.3f}]")


def paired_difference(
    predictions: pd.DataFrame, first: str, second: str, source_domain: str | None = None, resamples: int = 1000
) -> pd.DataFrame:
    """`second` minus `first` in Pearson, eAURC and MAE, averaged over the target domains and the pairs of seeds.

    The rows of `compare`, without the name of the method.
    """
    return compare(predictions, second, [first], source_domain, resamples).drop(columns="method")


def compare(
    predictions: pd.DataFrame,
    reference: str,
    methods: Sequence[str],
    source_domain: str | None = None,
    resamples: int = 1000,
) -> pd.DataFrame:
    """`reference` minus each of `methods` in Pearson, eAURC and MAE, averaged over target domains and pairs of seeds.

    Intervals are a paired bootstrap over subjects and seeds; both methods are evaluated on the same draw. Subjects are
    drawn anew within each domain, and domains with the same subjects (re-acquired ones) share the draw. Of several
    segmenter seeds, and of the head seeds of each, as many are drawn anew; one alone cannot be, and the interval then
    says nothing about another one. Domains in which a metric is undefined for a draw are left out of that draw's mean.
    The interval is NaN (not estimable) if no domain has at least 3 subjects; a domain with fewer, beside larger ones,
    counts as if it had no spread of its own.

    Returns:
        One row per quality, method and metric: quality, method, metric, difference, low, high (2.5 % and 97.5 %),
        n_domains, n_segmenters, n_pairs (of seeds). No row for the MAE of a method that does not estimate.
    """
    names = ["pearson", "eaurc", "mae"]
    wanted = [reference, *methods]
    rows = []
    targets = predictions[(predictions["domain"] != source_domain) & predictions["method"].isin(wanted)]
    for quality, of_quality in targets.groupby("quality", sort=False):
        domains, pairs = list(dict.fromkeys(of_quality["domain"])), sorted(set(zip(*(of_quality[c] for c in SEEDS))))
        values = np.full((len(wanted), len(names), len(domains), len(pairs), 1 + resamples), np.nan)  # the data first
        for key, group in of_quality.groupby(["domain", *SEEDS], sort=False):
            found = [group[group["method"] == method].sort_values(SLICE) for method in wanted]
            for method, table in zip(wanted, found):
                if len(table) == 0 or len(table) != len(found[0]):
                    raise BadInput(f"{reference} and {method} did not score the same slices of {key[0]}; run both again")
            weights = subject_weights(found[0], resamples)
            for number, table in enumerate(found):
                scores = (table[column].to_numpy(float) for column in ("predicted_score", "true_score"))
                result = weighted_metrics(*scores, weights)
                values[number, :, domains.index(key[0]), pairs.index(key[1:])] = [result[name] for name in names]
        of_seeds = seed_weights(pairs, resamples).T  # (pairs, 1 + resamples)
        estimable = of_quality.groupby("domain")["subject"].nunique().max() >= FEWEST_SUBJECTS
        for number, method in enumerate(methods, start=1):
            difference = values[0] - values[number]  # (metrics, domains, pairs, 1 + resamples)
            weights = np.where(np.isnan(difference), 0, of_seeds)
            with np.errstate(invalid="ignore"):
                per_domain = (np.nan_to_num(difference) * weights).sum(2) / weights.sum(2)
            for name, of_domain in zip(names, per_domain):
                if name == "mae" and (is_relative(reference) or is_relative(method)):
                    continue
                with np.errstate(invalid="ignore"):
                    mean = np.nansum(of_domain, 0) / (~np.isnan(of_domain)).sum(0)
                low, high = percentiles(mean[1:]) if estimable else (np.nan, np.nan)
                rows.append({
                    "quality": quality, "method": method, "metric": name, "difference": mean[0], "low": low, "high": high,
                    "n_domains": len(domains), "n_segmenters": len({pair[0] for pair in pairs}), "n_pairs": len(pairs),
                })  # fmt: skip
    return pd.DataFrame(rows)


def subject_weights(table: pd.DataFrame, resamples: int) -> np.ndarray:
    """(1 + resamples, n): how often each row's subject is drawn; once each in the first row, which is the data."""
    subjects, member = np.unique(table["subject"].astype(str), return_inverse=True)
    # A function of the subjects alone, so that every seed and every domain that has them sees the same draw.
    rng = np.random.default_rng([0, zlib.crc32("|".join(subjects).encode())])
    counts = rng.multinomial(len(subjects), np.full(len(subjects), 1 / len(subjects)), size=resamples)
    return np.vstack([np.ones(len(table)), counts[:, member]])


def seed_weights(pairs: list[tuple[int, int]], resamples: int) -> np.ndarray:
    """(1 + resamples, pairs): how often each pair of seeds is drawn; the first row is the data.

    Segmenters are drawn first; each time that one is drawn, as many of its head seeds are as it has.
    """
    rng = np.random.default_rng(1)
    segmenters = sorted({segmenter for segmenter, _ in pairs})
    drawn = rng.multinomial(len(segmenters), np.full(len(segmenters), 1 / len(segmenters)), size=resamples)
    weights = np.ones((1 + resamples, len(pairs)))
    for number, segmenter in enumerate(segmenters):
        own = [place for place, pair in enumerate(pairs) if pair[0] == segmenter]
        weights[1:, own] = rng.multinomial(drawn[:, number] * len(own), np.full(len(own), 1 / len(own)))
    return weights
