"""Runs over the folds of one data set, joined: every subject is tested once, and metrics are over all of them.

Each fold has its own segmenter and heads: "segmenter seed 0" is another network in each, and a pooled number is one of the
procedure, not of a network. A correlation is over the slices of all folds together. It therefore also sees what heads of
different folds disagree on, and is not the mean of the folds' correlations. The method "constant" predicts in each fold
the mean score of that fold's validation subjects, so that over all folds it is no single number, and correlates a little.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from advconf_lite import __version__
from advconf_lite.data.slice_checks import load
from advconf_lite.evaluation.predictions import ABSENT, KEYS, PREDICTION_COLUMNS, read_predictions
from advconf_lite.evaluation.rules import counted, metrics_by_rule
from advconf_lite.evaluation.text import comparison, summary_table
from advconf_lite.experiment.folder import read_config
from advconf_lite.experiment.origins import refuse_changed_data
from advconf_lite.experiment.parts import remarks_on
from advconf_lite.experiment.profiles import Profile, profile_from_config
from advconf_lite.support.command_line import line_width
from advconf_lite.support.errors import BadInput
from advconf_lite.support.files import write_atomically, write_text


@dataclass
class Fold:
    """What pooling reads of one run: its settings, what dataset.json says of its data, and its predictions."""

    folder: Path
    data: str
    profile: Profile
    info: dict
    reacquired: bool
    table: pd.DataFrame

    @property
    def names(self) -> str:
        return ", ".join(dict.fromkeys([self.info["name"], *self.table["dataset"]]))

    @property
    def classes(self) -> list[str]:
        return [column for column in self.table.columns if column not in [*PREDICTION_COLUMNS, ABSENT]]


@dataclass
class Pooled:
    """Joined predictions and their metrics."""

    predictions: pd.DataFrame
    metrics: pd.DataFrame
    source_domain: str
    data: str
    reacquired: bool


def pool(folders: Sequence[str | Path], out: str | Path, resamples: int = 1000) -> Pooled:
    """Join the predictions of runs on other test subjects; writes predictions.csv, metrics.csv and pool.json into `out`.

    Raises:
        BadInput: fewer than two runs; one that is no run, has not been evaluated, has another data set, profile or other
            classes than the first, or lacks something that another one has; a subject is tested in two of them; or `out`
            holds something else than an earlier pool.
    """
    out = Path(out)
    if len(folders) < 2:
        raise BadInput("pool joins the runs of several folds; give at least two folders")
    if (out / "config.json").exists() or ((out / "predictions.csv").exists() and not (out / "pool.json").exists()):
        raise BadInput(f"{out} holds a run or other predictions; choose another folder", argument="folder")
    folds = [read_fold(Path(folder)) for folder in folders]
    for fold in folds[1:]:
        _refuse_another_kind(folds[0], fold)
    _refuse_overlap(folds)
    predictions = pd.concat([fold.table for fold in folds], ignore_index=True)
    metrics = metrics_by_rule(predictions, resamples, resamples)
    made = {
        "runs": [str(fold.folder) for fold in folds],
        "data": folds[0].info["name"],
        "source_domain": folds[0].info["source_domain"],
        "folds": [fold.info.get("fold") for fold in folds],
        "profile": folds[0].profile.as_dict(),
        "version": __version__,
    }
    write_text(out / "pool.json", json.dumps(made, indent=1) + "\n")
    for name, table in (("predictions", predictions), ("metrics", metrics)):
        write_atomically(out / f"{name}.csv", lambda path, table=table: table.to_csv(path, index=False))
    return Pooled(predictions, counted(metrics), folds[0].info["source_domain"], folds[0].data, folds[0].reacquired)


def read_fold(folder: Path) -> Fold:
    """A finished run, without opening its networks or changing anything in it.

    Raises:
        BadInput: it is no run, its data set is gone, or it has no predictions yet.
    """
    config = read_config(folder)
    data, profile = str(config["data"]), profile_from_config(config["profile"])
    # A copy that the run made stays with it, wherever the prepared set has gone since.
    kept = folder / "data" / "reacquired"
    made = folder / "data" / data.replace(":", "-") if data.startswith("phantom:") else Path(data)
    info = load(kept if kept.is_dir() else made)[3]
    if Path(data).is_dir():
        refuse_changed_data(folder, config)
    return Fold(folder, data, profile, info, kept.is_dir(), read_predictions(folder / "predictions.csv"))


def _refuse_another_kind(one: Fold, other: Fold) -> None:
    """BadInput unless both runs ask the same question of the same data set."""
    if one.names != other.names:
        raise BadInput(
            f"{one.folder} is on data set {one.names} and {other.folder} on {other.names}; "
            "only folds of one data set can be pooled"
        )
    if one.profile != other.profile:
        names = f"{one.profile.name} and {other.profile.name}"
        if one.profile.name == other.profile.name:
            mine, theirs = one.profile.as_dict(), other.profile.as_dict()
            names = f"{one.profile.name} with other values of {', '.join(key for key in mine if mine[key] != theirs[key])}"
        raise BadInput(f"{one.folder} and {other.folder} have different profiles ({names}); run them with the same one")
    if one.classes != other.classes or one.info["source_domain"] != other.info["source_domain"]:
        kinds = [
            f"{fold.folder} has source domain {fold.info['source_domain']} and the columns {', '.join(fold.classes)}"
            for fold in (one, other)
        ]
        raise BadInput(f"{' and '.join(kinds)}; they cannot be pooled")
    groups = [dict.fromkeys(fold.table[KEYS[1:]].itertuples(index=False, name=None)) for fold in (one, other)]
    for (has, mine), (lacks, theirs) in (((one, groups[0]), (other, groups[1])), ((other, groups[1]), (one, groups[0]))):
        if missing := [group for group in mine if group not in theirs]:
            domain, quality, method, segmenter, head = missing[0]
            raise BadInput(
                f"{lacks.folder} has no predictions of {method} for {quality} on {domain} with segmenter seed "
                f"{segmenter} and head seed {head}, which {has.folder} has; run both with the same options"
            )


def _refuse_overlap(folds: list[Fold]) -> None:
    seen: dict[tuple[str, str, str], Path] = {}
    for fold in folds:
        people = list(fold.table[["dataset", "domain", "subject"]].drop_duplicates().itertuples(index=False, name=None))
        for person in people:
            if person in seen:
                raise BadInput(
                    f"subject {person[2]} of {person[1]} is tested both in {seen[person]} and in {fold.folder}; "
                    "pool runs whose test subjects are disjoint, such as the folds of prepare --fold"
                )
        seen.update(dict.fromkeys(people, fold.folder))


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", type=Path, metavar="runs/FOLD", help="finished runs on disjoint test subjects")
    parser.add_argument("--out", required=True, type=Path, metavar="runs/POOLED", help="folder of the joined tables")


def run(chosen: argparse.Namespace) -> int:
    """The command `pool`."""
    pooled = pool(chosen.runs, chosen.out)
    print(summary_table(pooled.metrics, pooled.source_domain, line_width()))
    print(comparison(pooled.predictions, pooled.source_domain, line_width()))
    print(
        f"{len(chosen.runs)} runs, each with its own segmenter; correlations are over all subjects together.",
        *remarks_on(pooled.data, pooled.source_domain, pooled.reacquired),
        f"all of it: {chosen.out}",
        sep="\n",
    )
    return 0
