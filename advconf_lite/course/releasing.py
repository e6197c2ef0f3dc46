"""The command `triage`: a threshold for a target risk, chosen on the source's validation, and what it lets through there and
under shift."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from advconf_lite.course.exercises.lesson_00 import FAILURE
from advconf_lite.course.known import known_predictions
from advconf_lite.evaluation.release import release_table, thresholds_of
from advconf_lite.experiment.outputs import refuse_to_replace
from advconf_lite.support.command_line import line_width
from advconf_lite.support.files import write_atomically
from advconf_lite.support.numbers import within

HEADS = {"coverage": "released", "released_risk": "risk of it", "missed": "failures released"}


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run", dest="run_folder", required=True, type=Path, metavar="runs/NAME", help="a finished run")
    parser.add_argument("--risk", type=float, default=0.1, metavar="R", help="mean of 1 - true score of what is released")
    parser.add_argument("--failed-below", type=float, default=FAILURE, metavar="SCORE", help="what a failure is")
    parser.add_argument("--method", metavar="NAME", help="one of the run's, default all")
    parser.add_argument("--quality", metavar="NAME", help="one of the run's, default all")
    parser.add_argument("--source", metavar="DOMAIN", help="of predictions.csv, in place of validation")
    parser.add_argument("--out", type=Path, metavar="triage.csv", help="default: triage.csv in the run's folder")


def run(chosen: argparse.Namespace) -> int:
    within(chosen.failed_below, "failed_below", 0, 1)
    refuse_to_replace(chosen.out)
    found = known_predictions(chosen.run_folder, chosen.method, chosen.quality, chosen.source)
    predictions, validation, source = found
    thresholds = thresholds_of(validation, source, chosen.risk)
    table = release_table(predictions, thresholds, chosen.failed_below)
    out = chosen.out or chosen.run_folder / "triage.csv"
    write_atomically(out, lambda temporary: table.to_csv(temporary, index=False))
    shown = table[["quality", "method", "domain", "threshold"]].assign(
        **{title: [_cell(row, name) for _, row in table.iterrows()] for name, title in HEADS.items()}
    )
    shown["domain"] = shown["domain"].where(shown["domain"] != source, shown["domain"] + " (source)")
    print(shown.to_string(index=False, float_format="{:.3f}".format, line_width=line_width()))
    for quality, part in thresholds.groupby("quality", sort=False):
        if none := sorted(set(part.loc[~np.isfinite(part["threshold"]), "method"])):
            print(
                f"no threshold on {source} gives {', '.join(none)} a mean risk of {chosen.risk:g} ({quality}) with every "
                "pair of seeds, and nothing is released then; allow a higher risk"
            )
    where = "validation" if chosen.source is None else "own rows of predictions.csv, of which it says nothing new"
    print(
        f"thresholds for a mean risk of {chosen.risk:g} on {source}'s {where}, several pairs of seeds averaged; "
        f"[2.5 %, 97.5 %] over subjects and seeds; a failure: below {chosen.failed_below:g}\n{out}"
    )
    return 0


def _cell(row, name: str) -> str:
    if not np.isfinite(row[name]):
        return "-"
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return f"{row[name]:.2f} [{low:.2f}, {high:.2f}]" if np.isfinite(low) else f"{row[name]:.2f}"
