"""The command `class`: what the seats of a class have handed in, joined: the seed fan, and what it says."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from advconf_lite.evaluation.fan import Fan
from advconf_lite.evaluation.predictions import SLICE, read_predictions
from advconf_lite.evaluation.verdict import BETTER, WORSE, word_of
from advconf_lite.support.errors import BadInput
from advconf_lite.support.files import write_atomically
from advconf_lite.support.numbers import one_of

METHODS = "plain", "adversarial"  # what each seat trains, and the fan compares
# Two machines round otherwise, and a pixel on the edge of an outline may change sides; another U-Net differs in whole parts.
SAME_NETWORK = 0.01  # mean difference of two seats' true Dice


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("seats", nargs="+", type=Path, metavar="seat-N.csv", help="or a folder that holds them")
    parser.add_argument("--out", type=Path, default=Path("class.png"), metavar="class.png", help="the seed fan")
    parser.add_argument("--metric", default="pearson", metavar="NAME", help="of the fan: pearson, eaurc or mae")


def run(chosen: argparse.Namespace) -> int:
    from advconf_lite.figures.fan import seed_fan
    from advconf_lite.figures.style import png

    fan = join_seats(files_in(chosen.seats))
    one_of(chosen.metric, "metric", fan.metrics)
    table = fan.opened(chosen.metric)
    picture = png(seed_fan(table, metric=chosen.metric))
    write_atomically(chosen.out, lambda temporary: temporary.write_bytes(picture))
    shown = table[["head_seed", "alone", "difference", "low", "high"]].rename(columns={"head_seed": "seat"})
    print(shown.to_string(index=False, float_format=lambda value: f"{value:+.3f}"))
    print(what_it_says(table, chosen.metric))
    print(f"{chosen.out}: the fan of {len(fan.pairs)} seats")
    return 0


def files_in(places: Sequence[Path]) -> list[Path]:
    """The files that are named, and those of the folders that are named.

    Raises:
        BadInput: a folder holds no csv file.
    """
    files: list[Path] = []
    for place in places:
        found = sorted(place.glob("*.csv")) if place.is_dir() else [place]
        if not found:
            raise BadInput(f"{place} holds no csv file; copy what the seats have handed in there", argument="seats")
        files += found
    return list(dict.fromkeys(files))


def join_seats(files: Sequence[Path]) -> Fan:
    """The seats' predictions as one fan of adversarial minus plain.

    Raises:
        BadInput: a file is no table of predictions or lacks a method, two have the same seed, or one judged another U-Net or
            other images than the first.
    """
    tables: list[pd.DataFrame] = []
    seeds: dict[int, Path] = {}
    for file in files:
        table = read_predictions(file)
        if missing := set(METHODS) - set(table["method"]):
            raise BadInput(f"{file} has no predictions by {sorted(missing)[0]}; hand in what the command seat has written")
        for seed in sorted(set(table["head_seed"])):
            if seed in seeds:
                raise BadInput(f"{file} and {seeds[seed]} have the same seed {seed}; one of the two takes another seat")
            seeds[seed] = file
        if tables and (reason := _differs(tables[0], table)):
            raise BadInput(f"{file} {reason} than {files[0]}; let all seats use the same edition of the course")
        tables.append(table)
    return Fan(pd.concat(tables, ignore_index=True), "adversarial", "plain", quality=tables[0]["quality"].iloc[0])


def _differs(first: pd.DataFrame, other: pd.DataFrame) -> str:
    """What of `other` is not that of `first`: its images, or the network that they judge."""
    true = [t.groupby([*SLICE, "quality"])["true_score"].first() for t in (first, other)]
    if not true[0].index.equals(true[1].index):
        return "scores other images"
    apart = np.abs(true[0].to_numpy() - true[1].to_numpy())
    return "judges another U-Net" if np.nanmean(apart) > SAME_NETWORK else ""


def what_it_says(table: pd.DataFrame, metric: str) -> str:
    """The fan's last interval in a sentence."""
    last = table.iloc[-1]
    told = word_of(metric, last["low"], last["high"]) in (BETTER, WORSE)
    signs = int((np.sign(table["alone"]) == np.sign(last["difference"])).sum())
    return (
        f"Adversarial minus plain, {metric}, {len(table)} seats: {last['difference']:+.3f} ({last['low']:+.3f} to "
        f"{last['high']:+.3f}); {'told apart from 0' if told else 'not told apart from 0'}; {signs} of {len(table)} seats "
        "alone have this sign. All judge one U-Net: this says nothing about another one."
    )
