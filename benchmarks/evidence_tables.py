"""From finished parts to results/evidence-*.csv: five small tables of a protocol, and its line in provenance.csv."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from costs import of_method
from derived import ALSO_MAPPED, MAPPED
from making import newer, this_machine
from studies import Study, curve

from advconf_lite.evaluation.levels import MEAN, levels_and_differences
from advconf_lite.evaluation.predictions import CONSTANT
from advconf_lite.evaluation.rules import COUNTED, rules, under
from advconf_lite.experiment.run import Run
from advconf_lite.methods.registry import find_method
from advconf_lite.metrics import METRICS, REPORTED
from advconf_lite.support.alone import alone_in
from advconf_lite.support.errors import BadInput
from advconf_lite.support.files import write_atomically, write_text

Pairs = list[tuple[int, int]]
ENDS = ("", "_low", "_high")
COLUMNS = [name + end for name in REPORTED for end in ENDS]
OF_ORDER = [f"pearson{end}" for end in ENDS]  # of a constant, which has one value for each segmenter, it says nothing
OF_LABELS = {"mae": "{:.3f}", "gain": "{:+.4f}", "bias": "{:+.3f}", "coverage": "{:.3f}"}  # name -> form


def joined(studies: Sequence[Study], pairs: Pairs) -> pd.DataFrame:
    """Predictions of all folds: each subject is tested in one of them, by that fold's networks."""
    return pd.concat([study.predictions(pairs) for study in studies], ignore_index=True)


def shared_pairs(studies: Sequence[Study]) -> Pairs:
    """Pairs of seeds that every fold has finished."""
    return [pair for pair in studies[0].pairs if all(pair in study.finished for study in studies)]


def metric_tables(
    studies: Sequence[Study], pairs: Pairs, against: Sequence[str], resamples: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Levels and differences, under each rule for absent classes, as text; single domains under the first rule alone, and a
    tenth of the resamples under the others."""
    predictions, levels, differences = joined(studies, pairs), [], []
    for rule in rules(predictions):
        draws = resamples if rule == COUNTED else resamples // 10
        level, difference = levels_and_differences(under(predictions, rule), studies[0].source, against, draws)
        levels.append((level if rule == COUNTED else level[level["domain"] == MEAN]).assign(rule=rule))
        differences.append(difference.assign(rule=rule))
    level, difference = (pd.concat(tables, ignore_index=True) for tables in (levels, differences))
    level, difference = level_text(level), difference_text(difference)
    return (
        level[["rule", "quality", "domain", "method", "subjects", "slices", "true_score", *COLUMNS]],
        difference[["rule", "quality", "method", "against", *COLUMNS, "segmenters", "pairs_of_seeds"]],
    )


def level_text(level: pd.DataFrame) -> pd.DataFrame:
    """Levels with three digits."""
    level = as_text(level, dict.fromkeys(("true_score", *COLUMNS), "{:.3f}"))
    level.loc[level["method"] == CONSTANT, OF_ORDER] = ""
    return level


def difference_text(difference: pd.DataFrame) -> pd.DataFrame:
    """Differences with their signs, each metric with as many digits as it has."""
    forms = {name + end: f"{{:+.{METRICS[name].digits}f}}" for name in REPORTED for end in ENDS}
    difference = as_text(difference, forms)
    difference.loc[(difference["method"] == CONSTANT) | (difference["against"] == CONSTANT), OF_ORDER] = ""
    return difference


def as_text(table: pd.DataFrame, forms: dict[str, str]) -> pd.DataFrame:
    """With the columns that `forms` names as text, empty where there is no finite number."""
    texts = {name: [_text(value, form) for value in table[name].astype(float)] for name, form in forms.items()}
    return table.assign(**texts)


def _text(value: float, form: str) -> str:
    return form.format(value) if np.isfinite(value) else ""


def history_table(studies: Sequence[Study], pairs: Pairs) -> pd.DataFrame:
    """Of each method its cost, and of those with perturbed images the medians of the last tenth of their steps."""
    rows, history = [], pd.concat([study.history(pairs) for study in studies], ignore_index=True)
    for quality, names in studies[0].questions.items():
        run: Run = getattr(studies[0], "base", studies[0]).runs[quality]
        of_quality = history[history["quality"] == quality]
        for name in names:
            cost = of_method(studies[0].costs, run, name, quality)
            medians = of_quality.loc[of_quality["method"] == name, ["predicted_drop", "true_drop", "norm"]].median()
            rows.append({"quality": quality, "method": name, **cost, **medians.to_dict()})
            if name in ALSO_MAPPED or not find_method(name).estimates:
                rows.append({"quality": quality, "method": name + MAPPED, **cost})
    forms = {"steps": "{:.0f}", "passes_a_step": "{:.2f}", "training_passes": "{:.0f}", "seconds_a_step": "{:.3f}",
             "predicted_drop": "{:.3f}", "true_drop": "{:.3f}", "norm": "{:.4f}"}  # fmt: skip
    return as_text(pd.DataFrame(rows).reindex(columns=["quality", "method", "passes_in_use", *forms]), forms)


def kept_curve(study: Study, pairs: Pairs, repeats: int, resamples: int) -> pd.DataFrame:
    """`curve`, which takes minutes, from labels-needed.csv while that has these pairs and is newer than the predictions."""
    path, kept = study.folder / "labels-needed.csv", [study.kept.path(pair) for pair in pairs if study.kept]
    asked = {"repeats": repeats, "resamples": resamples, "pairs": " ".join("{}-{}".format(*pair) for pair in pairs)}
    if all(newer(path, of) for of in (study.run.predictions_path, *kept) if of.exists()):
        there = pd.read_csv(path, dtype={"domain": str})
        if asked.items() <= there.iloc[0].to_dict().items():
            return there
    whole = curve(study, pairs, repeats, resamples).assign(**asked)
    write_atomically(path, lambda temporary: whole.to_csv(temporary, index=False))
    return whole


def labels_table(studies: Sequence[Study], pairs: Pairs, repeats: int, resamples: int) -> pd.DataFrame:
    """What labels of a target are worth, per fold: a row for each number of labels, k = 0 being the score as it is."""
    tables = []
    for number, study in enumerate(studies, start=1):
        try:
            whole = kept_curve(study, pairs, repeats, resamples)
        except BadInput as error:  # too few people to hold somebody out
            print(f"{study.folder}: {error}")
            continue
        tables.append(whole[whole["domain"] != study.source].assign(fold=str(number) if len(studies) > 1 else ""))
    if not tables:
        return pd.DataFrame()
    table = with_means(pd.concat(tables, ignore_index=True))
    forms = {"used": "{:.3f}", "worse": "{:.3f}", **{name + end: form for name, form in OF_LABELS.items() for end in ENDS}}
    table.loc[table["k"] == 0, ["used", "worse", *(f"gain{end}" for end in ENDS)]] = np.nan  # nothing was asked for yet
    return as_text(table, forms)[["fold", "quality", "method", "domain", "k", *forms]]


def with_means(labels: pd.DataFrame) -> pd.DataFrame:
    """With the mean error over the targets of each quality, method and k that all of them have."""
    by = ["fold", "quality", "method"]
    targets = labels.groupby(by, sort=False)["domain"].nunique()
    means = labels.groupby([*by, "k"], sort=False)["mae"].agg(["mean", "count"]).reset_index()
    whole = means["count"].to_numpy() == targets.loc[list(zip(*(means[name] for name in by)))].to_numpy()
    means = means[whole].rename(columns={"mean": "mae"}).drop(columns="count").assign(domain=MEAN)
    return pd.concat([labels, means], ignore_index=True)


def parts_made(studies: Sequence[Study]) -> pd.DataFrame:
    """The logs of all studies, those of pairs that were kept among them, in the order in which the parts were finished."""
    whole = pd.concat([study.log() for study in studies], ignore_index=True)
    return whole.drop_duplicates(ignore_index=True).sort_values("finished", kind="stable", ignore_index=True)


def seconds_table(log: pd.DataFrame) -> pd.DataFrame:
    """Seconds of each kind of part."""
    rows = [
        {"part": kind, "made": len(part), "seconds": f"{part['seconds'].sum():.0f}",
         "of_which_resumed": int(part["resumed"].astype(bool).sum())}
        for kind, part in log.groupby("kind", sort=False)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def trials_table(log: pd.DataFrame) -> pd.DataFrame:
    """`tune`'s log: of each method and trial the means over the validation scanners, and whether it was chosen."""
    table = as_text(log, {name: "{:.4f}" for name in REPORTED})
    table["chosen"] = table["chosen"].map({True: "yes", False: ""})
    return table[["quality", "method", "settings", *REPORTED, "chosen"]].sort_values("method", kind="stable")


def publish(results: Path, stem: str, tables: dict[str, pd.DataFrame], provenance: dict[str, str]) -> list[Path]:
    """Write each table as STEM[-NAME].csv and the protocol's line of provenance.csv, which others may be writing, too."""
    results.mkdir(parents=True, exist_ok=True)
    written = []
    with alone_in(results, wait=True):
        for name, table in ((name, table) for name, table in tables.items() if len(table)):
            path = results / f"{stem}{'-' + name if name else ''}.csv"
            written.append(write_atomically(path, lambda path, table=table: table.to_csv(path, index=False)))
        path = results / "provenance.csv"
        lines = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline=""))) if path.exists() else []
        row = {"file": f"{stem}.csv", **provenance}
        columns = list(lines[0]) if lines else list(row)
        place = next((number for number, line in enumerate(lines) if line["file"] == row["file"]), len(lines))
        lines[place : place + 1] = [row]
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, columns, restval="", extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
        write_text(path, text.getvalue())
    return [*written, path]


def made_here(command: str, profile: str, settings: str) -> dict[str, str]:
    """A line of provenance of what is made from finished runs or kept pairs, in one go."""
    return {"command": command, "profile": profile, "settings": settings, **this_machine()}


def commits(log: pd.DataFrame) -> str:
    """Of all parts, in the order in which they were made."""
    return " ".join(dict.fromkeys(name[:7] + name[40:] for name in log["commit"].dropna().astype(str)))


def each(values: pd.Series) -> str:
    return "; ".join(dict.fromkeys(values.dropna().astype(str)))
