"""Every row of a run's metrics.csv from its predictions.csv, by numpy alone: python benchmarks/recompute_metrics.py runs/X

Nothing of advconf_lite is imported. Exit code 1 if a row is missing or a number differs by more than 1e-6. The bootstrap's
ends (columns _low and _high) are left to the tests; a metric without a formula of its own here is named.
"""

import csv
import sys
from collections import defaultdict

import numpy as np

KEY = ["dataset", "domain", "quality", "method", "segmenter_seed", "head_seed"]


def recompute(p, s, estimates):
    """Metrics of predicted scores p and true scores s; equal predictions count with their expectation, no answers last."""
    lost = ~np.isfinite(p)
    n, (_, i, c), (_, j, d) = len(p), np.unique(np.where(lost, np.inf, -p), 0, 1, 1), np.unique(-s, 0, 1, 1)
    p = np.where(lost, np.nan, p)
    risk = (np.bincount(i, 1 - s) / c)[np.sort(i)]  # best first; a tied slice has its group's mean
    area = [np.mean(np.cumsum(r) / np.arange(1, n + 1)) for r in (risk, np.sort(1 - s))]
    rank = [(np.cumsum(count) - (count - 1) / 2)[group] for group, count in ((i, c), (j, d))]
    r = [np.corrcoef(a - a[0], b - b[0])[0, 1] if n > 2 else np.nan for a, b in ((p, s), rank)]
    mae = np.mean(np.abs(p - s)) if estimates else np.nan  # what only ranks has no error
    augrc = np.sum(np.cumsum(risk) - risk / 2) / n**2
    found = dict(n_slices=n, pearson=r[0], spearman=r[1], aurc=area[0], eaurc=area[0] - area[1], augrc=augrc, mae=mae)
    return found | {"n_unanswered": lost.sum()}


def rules(rows):
    """The rules for absent classes that metrics.csv must have: of predictions that say what each slice lacks."""
    if not all(row.get("absent") for row in rows):
        return ["counted"]
    names = classes(rows[0])
    lacking = ["present"] if any(row["absent"] != "-" for row in rows) else []
    return ["counted", *lacking, *(names if len(names) > 1 else [])]


def classes(row):
    return [column[5:] for column in row if column.startswith("true_") and column != "true_score"]


def scores(row, rule):
    """True and predicted score of a slice: as stored, or the mean over classes that the truth has, or one class; or None."""
    if rule == "counted":
        return float(row["true_score"]), float(row["predicted_score"] or "nan")
    names = [c for c in classes(row) if c not in row["absent"].split(";") and row[f"true_{c}"] and rule in ("present", c)]
    of = [[float(row[f"{kind}_{name}"] or "nan") for name in names] for kind in ("true", "predicted")]
    return tuple(np.mean(of, 1)) if names else None


def read(path):
    with open(path, encoding="utf-8") as file:
        return list(csv.DictReader(file))


def main(folder):
    groups, wrong = defaultdict(list), []
    predicted, rows = (read(f"{folder}/{name}.csv") for name in ("predictions", "metrics"))
    wanted = rules(predicted) if "rule" in rows[0] else ["counted"]  # an older version knew no other
    rows = {(*(row[k] for k in KEY), row.setdefault("rule", "counted")): row for row in rows}
    for row in predicted:
        for rule in wanted:
            if found := scores(row, rule):
                groups[(*(row[k] for k in KEY), rule)].append(row | {"true_score": found[0], "predicted_score": found[1]})
    for key, group in groups.items():
        p, s = (np.array([row[c] for row in group]) for c in ("predicted_score", "true_score"))
        with np.errstate(all="ignore"):
            mine = recompute(p, s, group[0]["estimates"] == "True") | {"n_subjects": len({row["subject"] for row in group})}
        theirs = {name: float(rows[key][name] or "nan") if key in rows else np.nan for name in mine}
        wrong += [(*key, name, mine[name], theirs[name]) for name in mine if not same(mine[name], theirs[name], key in rows)]
    wrong += [(*key, "is not in predictions.csv") for key in rows.keys() - groups.keys()]
    columns = dict.fromkeys(name for row in rows.values() for name in row if not name.endswith(("_low", "_high")))
    if unknown := [name for name in columns if name not in (*KEY, "rule") and name not in mine]:
        print(f"not recomputed, for want of a formula: {', '.join(unknown)}")
    print(*wrong, f"{folder}: {len(rows)} rows of metrics.csv, {len(wrong)} differences above 1e-6", sep="\n")
    return int(bool(wrong))


def same(mine, theirs, there):
    return there and (abs(mine - theirs) <= 1e-6 or (np.isnan(mine) and np.isnan(theirs)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
