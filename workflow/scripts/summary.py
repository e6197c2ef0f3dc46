"""The tables and figures of a grid, over all its data sets: python workflow/scripts/summary.py runs/grid/NAME ... --out OUT

OUT/tables/means.csv          per data set, quality and method: each metric, mean over the targets, over pairs of seeds
OUT/tables/differences.csv    `adversarial` minus each other method, with paired intervals over subjects and seeds
OUT/figures/differences.png   the same, drawn
OUT/figures/NAME-quality.png  true scores per scanner (the paper's Figure 2)
OUT/figures/NAME-methods.png  each method's metrics per scanner (the paper's Figure 3)
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
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
from advconf_lite.metrics import REPORTED
from advconf_lite.support.command_line import well_behaved, words
from advconf_lite.support.files import write_atomically

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
    found = _joined(of_differences)
    write_table(out / "tables" / "differences.csv", found)
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
