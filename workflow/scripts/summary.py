"""The tables and figures of a grid, over all its data sets: python workflow/scripts/summary.py runs/grid/NAME ... --out OUT

OUT/tables/means.csv          per data set, quality and method: each metric, mean over the targets, over pairs of seeds
OUT/tables/differences.csv    `adversarial` minus each other method, with paired intervals over subjects and seeds
OUT/tables/*.html             the same two, to be read
OUT/figures/differences.png   the same, drawn
OUT/figures/NAME-quality.png  true scores per scanner (the paper's Figure 2)
OUT/figures/NAME-methods.png  each method's metrics per scanner (the paper's Figure 3)
"""

from __future__ import annotations

import argparse
import html
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from advconf_lite.evaluation.paired import compare
from advconf_lite.evaluation.per_domain import mean_of
from advconf_lite.evaluation.predictions import CONSTANT, SEEDS
from advconf_lite.experiment.pool import read_fold
from advconf_lite.figures.controls import forest
from advconf_lite.figures.scores import figure2, figure3
from advconf_lite.figures.style import png
from advconf_lite.metrics import METRICS, REPORTED
from advconf_lite.support.command_line import well_behaved, words
from advconf_lite.support.files import write_atomically, write_text

OURS = "adversarial"
COLUMNS = ["data", "quality", "method", "metric", "mean", "sd", "n_pairs", "n_targets"]


def means(metrics: pd.DataFrame, source: str) -> pd.DataFrame:
    """Mean and sample standard deviation over pairs of seeds of each metric's mean over the targets."""
    targets, rows = metrics[metrics["domain"] != source], []
    for (quality, method), group in targets.groupby(["quality", "method"], sort=False):
        for metric in REPORTED:
            pairs = pd.Series([mean_of(pair, metric) for _, pair in group.groupby(SEEDS)]).dropna()
            if len(pairs):
                found = pairs.mean(), pairs.std(), len(pairs), group["domain"].nunique()
                rows.append(dict(zip(COLUMNS[1:], (quality, method, metric, *found))))
    return pd.DataFrame(rows, columns=COLUMNS[1:])


def differences(predictions: pd.DataFrame, source: str) -> pd.DataFrame:
    """`compare` with every other method; empty if there is nothing to compare."""
    others = [name for name in dict.fromkeys(predictions["method"]) if name not in (OURS, CONSTANT)]
    if not others or OURS not in set(predictions["method"]):
        return pd.DataFrame()
    # One by one: a method that scores one quality alone is compared on that one.
    found = []
    for name in others:
        both = predictions[predictions["method"].isin([OURS, name])]
        found.append(compare(both[both["quality"].isin(both.loc[both["method"] == name, "quality"])], OURS, [name], source))
    return pd.concat(found, ignore_index=True)


STYLE = """body { font: 13px sans-serif; margin: 1em; color: #222; background: #fff }
table { border-collapse: collapse } th, td { padding: 0.2em 0.6em; text-align: left; white-space: nowrap }
th { border-bottom: 1px solid } td { border-bottom: 1px solid #ddd }"""


def page(title: str, table: pd.DataFrame, cell: Callable[[dict], str]) -> str:
    """A table as HTML: a row per data set, quality and method, a column per metric, whose text is `cell(row)`."""
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    for row in table.to_dict("records"):
        rows.setdefault(tuple(row[name] for name in COLUMNS[:3]), {})[row["metric"]] = cell(row)
    heads = [*COLUMNS[:3], *(f"{METRICS[name].title} ({METRICS[name].better} better)" for name in REPORTED)]
    together = list(dict.fromkeys(key[:2] for key in rows))  # a quality's methods below each other
    keys = sorted(rows, key=lambda key: together.index(key[:2]))
    lines = [[*key, *(rows[key].get(name, "-") for name in REPORTED)] for key in keys]
    parts = ["".join(f"<td>{html.escape(text)}</td>" for text in line) for line in lines]
    top = "".join(f"<th>{html.escape(head)}</th>" for head in heads)
    body = f"<table><tr>{top}</tr>" + "".join(f"<tr>{part}</tr>\n" for part in parts) + "</table>"
    start = f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{html.escape(title)}</title>"
    return f"{start}<style>{STYLE}</style></head><body><h1>{html.escape(title)}</h1>{body}</body></html>\n"


def mean_cell(row: dict) -> str:
    return f"{row['mean']:.3f}" + ("" if pd.isna(row["sd"]) else f" ± {row['sd']:.3f}")


def difference_cell(row: dict) -> str:
    interval = "no interval" if pd.isna(row["low"]) else f"{row['low']:+.3f}, {row['high']:+.3f}"
    return f"{row['difference']:+.3f} [{interval}]"


def write_table(path: Path, table: pd.DataFrame) -> None:
    write_atomically(path, lambda temporary: table.to_csv(temporary, index=False, float_format="%.6g"))


def write_figure(path: Path, figure: Figure) -> None:
    picture = png(figure)
    write_atomically(path, lambda temporary: temporary.write_bytes(picture))


def summarise(folders: Sequence[Path], out: Path) -> int:
    of_means, of_differences = {}, {}
    for folder in folders:
        fold = read_fold(folder)
        source, metrics = (
            fold.info["source_domain"],
            pd.read_csv(folder / "metrics.csv", keep_default_na=False, na_values=[""]),
        )
        of_means[folder.name], of_differences[folder.name] = means(metrics, source), differences(fold.table, source)
        write_figure(out / "figures" / f"{folder.name}-quality.png", figure2(fold.table, source))
        write_figure(out / "figures" / f"{folder.name}-methods.png", figure3(metrics, source))
    write_table(out / "tables" / "means.csv", _joined(of_means))
    write_text(out / "tables" / "means.html", page("Means over the targets", _joined(of_means), mean_cell))
    found = _joined(of_differences)
    write_table(out / "tables" / "differences.csv", found)
    shown = found if "difference" in found else found.assign(metric="")[:0]
    write_text(out / "tables" / "differences.html", page(f"{OURS} minus each other method", shown, difference_cell))
    drawn = forest(found.rename(columns={"data": "organ"})) if "difference" in found else _nothing_to_compare()
    write_figure(out / "figures" / "differences.png", drawn)
    return 0


def _joined(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    found = pd.concat([table.assign(data=name) for name, table in tables.items()], ignore_index=True)
    return found[["data", *(column for column in found if column != "data")]]


def _nothing_to_compare() -> Figure:
    figure = Figure(figsize=(6, 1))
    figure.text(0.5, 0.5, f"{OURS} and another method are needed for a difference", ha="center", va="center")
    return figure


def main() -> int:
    given = words()

    def command() -> int:
        parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
        parser.add_argument("runs", nargs="+", type=Path)
        parser.add_argument("--out", required=True, type=Path)
        chosen = parser.parse_args(given)
        return summarise(chosen.runs, chosen.out)

    return well_behaved(command)


if __name__ == "__main__":
    sys.exit(main())
