"""The command `rules`: which findings of a run, or of pooled runs, depend on what an absent class counts."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pandas as pd

from advconf_lite.evaluation.depends import findings_by_rule, in_columns, sentences_by_rule
from advconf_lite.evaluation.predictions import ABSENT, CONSTANT, read_predictions
from advconf_lite.evaluation.rules import COUNTED, rules
from advconf_lite.evaluation.verdict import scope
from advconf_lite.experiment.pool import read_fold
from advconf_lite.support.command_line import line_width
from advconf_lite.support.errors import BadInput
from advconf_lite.support.files import write_atomically
from advconf_lite.support.numbers import one_of


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run", dest="run_folder", required=True, type=Path, metavar="runs/NAME", help="or pooled ones")
    parser.add_argument("--method", default="adversarial", metavar="NAME", help="default adversarial")
    parser.add_argument("--against", nargs="+", metavar="NAME", help="default: every other method")
    parser.add_argument("--source", metavar="DOMAIN", help="the domain that is no target, if the data set has gone")
    parser.add_argument("--out", type=Path, metavar="rules.csv", help="default: rules.csv in the run's folder")


def run(chosen: argparse.Namespace) -> int:
    path = chosen.run_folder / "predictions.csv"
    predictions = read_predictions(path)
    refuse_unknown(predictions, path)
    source = source_of(chosen.run_folder) if chosen.source is None else chosen.source
    one_of(source, "source", dict.fromkeys(predictions["domain"]))
    methods = [name for name in dict.fromkeys(predictions["method"]) if name != CONSTANT]
    one_of(chosen.method, "method", methods)
    for name in chosen.against or []:
        one_of(name, "against", methods)
    others = chosen.against or [name for name in methods if name != chosen.method]
    table = findings_by_rule(predictions, source, chosen.method, others)
    out = chosen.out or chosen.run_folder / "rules.csv"
    write_atomically(out, lambda temporary: table.to_csv(temporary, index=False))
    if rules(predictions) == [COUNTED]:
        print("No slice lacks a class, and there is one class only: every rule for absent classes says the same.")
    print(in_columns(table).to_string(index=False, line_width=line_width()), *sentences_by_rule(table), sep="\n")
    print(scope(predictions, source, [chosen.method, *others]), out, sep="\n")
    return 0


def refuse_unknown(predictions: pd.DataFrame, path: Path) -> None:
    """BadInput unless it is known of every slice which classes its truth lacks."""
    if ABSENT not in predictions or predictions[ABSENT].isna().any():
        raise BadInput(
            f"{path} does not say which classes a slice lacks, for an older version wrote it; delete that file and "
            "repeat the command of the run: nothing is trained again, only predictions are made anew"
        )


def source_of(folder: Path) -> str:
    """The source domain of a run, or of pooled runs."""
    made = folder / "pool.json"
    if not made.exists():
        return read_fold(folder).info["source_domain"]
    known = json.loads(made.read_text(encoding="utf-8"))
    if "source_domain" not in known:
        raise BadInput(f"{made} was written by an older version, which did not name the source; give it", argument="source")
    return known["source_domain"]
