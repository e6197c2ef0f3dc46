"""The command `calibrate`: from labelled slices to calibration.json, or what labels are worth on the run's own domains."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from advconf_lite.course.exercises.lesson_00 import FAILURE
from advconf_lite.course.known import known_predictions
from advconf_lite.data.slice_info import UNNAMED
from advconf_lite.evaluation.labels_needed import KS, labels_needed, smallest_k
from advconf_lite.evaluation.predictions import CONSTANT
from advconf_lite.evaluation.reliability import held_out_scores, reliability
from advconf_lite.support.command_line import line_width
from advconf_lite.support.errors import BadInput
from advconf_lite.support.files import write_atomically, write_text
from advconf_lite.support.numbers import within
from advconf_lite.support.progress import bar

DRAWN = ("plain", "adversarial", "soft-dice", "agreement-15")  # what the figures show of a run that has many methods
CAPTIONS = {
    "mae": "Mean absolute error on people who are held out, against the number of labelled slices of their scanner; 0: the "
    "score as it is. `constant` predicts the source's mean. Whiskers: 95 % over people, draws and seeds.",
    "coverage": "Share of a new person's slices that lie above their lower bound, where people are enough for the level.",
    "bias": "Predicted minus true score per scanner, without labels (hollow) and with {k} (filled).",
    "reliability": "Mean true against mean predicted score in bins of as many slices each, of people who are held out: on "
    "the diagonal, what is predicted is true on average.",
}
OF_THE_CURVE, NOT_OF_THE_CURVE = ("k", "source", "repeats"), ("domain", "line", "unit", "segmenter_seed", "head_seed")
FILES = ("labels-needed.csv", "smallest-k.csv", "reliability.csv")


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run", dest="run_folder", required=True, type=Path, metavar="runs/NAME", help="a finished run")
    parser.add_argument(
        "--data", type=Path, metavar="FOLDER", help="a slice set of the new scanner, with masks; may lack with --risk"
    )
    parser.add_argument("--out", type=Path, metavar="calibration.json", help="with --curve a folder (runs/NAME/calibration)")
    parser.add_argument("--domain", metavar="NAME", help="of the slice set, if it has several scanners")
    parser.add_argument("--method", metavar="NAME", help="of the run (adversarial; with --curve all)")
    parser.add_argument("--quality", metavar="NAME", help="of the run, default its first (with --curve all)")
    parser.add_argument("--map", dest="kind", default="affine", help="affine or isotonic, which needs more labels")
    parser.add_argument("--line", action="store_true", help="begin from the source's straight line, whatever the method")
    parser.add_argument("--level", type=float, default=0.9, help="of the lower bound (0.9)")
    parser.add_argument("--per", dest="unit", default="slice", help="what the bound holds for: slice, or all of a patient")
    parser.add_argument(
        "--accept", type=float, default=FAILURE, metavar="SCORE", help=f"lower bound that needs no human ({FAILURE})"
    )
    parser.add_argument("--risk", type=float, metavar="R", help="decide by a threshold for this mean risk instead")
    parser.add_argument("--segmenter-seed", type=int, default=0, metavar="N")
    parser.add_argument("--head-seed", type=int, default=0, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of all that is drawn here")
    parser.add_argument("--curve", action="store_true", help="error, bias and coverage against the number of labels")
    parser.add_argument("--k", type=int, nargs="+", default=list(KS), metavar="K", help="with --curve: numbers of labels")
    parser.add_argument(
        "--source", metavar="DOMAIN", help="with --curve: of predictions.csv, in place of validation, which takes networks"
    )
    parser.add_argument("--repeats", type=int, default=50, metavar="N", help="with --curve: draws of people and slices")


def run(chosen: argparse.Namespace) -> int:
    _refuse_passed_over(chosen)
    if chosen.curve:
        if chosen.data is not None:
            raise BadInput(
                f"the curve is of the run's own domains, and {chosen.data} would be passed over; leave one of them out",
                argument="data",
            )
        return _curve(chosen)
    if chosen.data is None and chosen.risk is None:
        raise BadInput("calibrate needs a slice set with masks, or a risk, or to be asked for the curve", argument="data")
    if chosen.out is None:
        raise BadInput("calibrate needs a file to write, or to be asked for the curve", argument="out")
    from advconf_lite.experiment.calibrate import calibrate

    found = calibrate(
        chosen.run_folder, chosen.data, chosen.out, chosen.accept, chosen.method or "adversarial", chosen.quality,
        chosen.domain, chosen.kind, chosen.level, chosen.unit, chosen.risk, chosen.segmenter_seed, chosen.head_seed,
        chosen.seed, line=chosen.line,
    )  # fmt: skip
    labels = found["labels"]
    several = f", as one scanner: {', '.join(labels['domains'])}" if len(labels["domains"]) > 1 else ""
    people = len(labels["subjects"])
    if chosen.data is not None:
        plural = ["" if n == 1 else "s" for n in (labels["k"], people)]
        print(f"{labels['k']} labelled slice{plural[0]} of {people} patient{plural[1]}{several}")
    if labels["without_label"]:
        print(f"{labels['without_label']} slices without a label are left out: the calibration is for slices with the organ")
    if labels["known_to_the_run"]:
        print(
            f"{labels['known_to_the_run']} labelled slices are left out: the run was trained on them, or chosen by them, as "
            "their names say"
        )
    if labels["never_shown"]:
        print(
            f"no labelled slice shows {', '.join(labels['never_shown'])}, which therefore counts as wrong wherever it is "
            "drawn; if it was not outlined, outline it"
        )
    if labels["domains"] == [UNNAMED]:
        print(
            f"the labels' domain is {UNNAMED}, no name of a scanner, so predict cannot tell whether other images are of it; "
            "prepare them with --domain NAME"
        )
    if labels["without_prediction"]:
        print(f"{labels['without_prediction']} labelled slices have no finite prediction and are left out")
    print(found["why"])
    print(found["bound"]["what"])
    if chosen.risk is not None and found["decision"]["accept_from"] is None:
        print(
            f"there is no threshold for a mean risk of {chosen.risk:g} on the source's validation, so a human must see all; "
            f"{_way_out(found)}"
        )
    print(f"{chosen.out}: for python -m advconf_lite predict --calibration")
    return 0


def _way_out(found: dict) -> str:
    if found["start"]["level"]:
        return "choose another method"
    return "label more slices, or leave out the labels" if found["map"]["level"] else "allow a higher risk"


def _refuse_passed_over(chosen: argparse.Namespace) -> None:
    """BadInput for an option that would change nothing."""
    parser = argparse.ArgumentParser()
    add_options(parser)
    for name in NOT_OF_THE_CURVE if chosen.curve else OF_THE_CURVE:
        if getattr(chosen, name) != parser.get_default(name):
            raise BadInput(f"{'with' if chosen.curve else 'without'} the curve this changes nothing; leave it out",
                           argument=name)  # fmt: skip


def _curve(chosen: argparse.Namespace) -> int:
    out = chosen.out or chosen.run_folder / "calibration"
    within(chosen.accept, "accept", 0, 1)
    predictions, validation, source = known_predictions(chosen.run_folder, chosen.method, chosen.quality, chosen.source)

    def watch(jobs: list) -> Sequence:
        return bar(jobs, desc="methods and domains")

    risk = 0.1 if chosen.risk is None else chosen.risk
    table = labels_needed(
        predictions, validation, source, chosen.accept, chosen.k, chosen.level, chosen.kind, risk, chosen.repeats,
        seed=chosen.seed, watch=watch,
    )  # fmt: skip
    there = sorted({int(k) for k in table["k"]} - {0})
    if not there:
        raise BadInput(
            f"no domain has {min(chosen.k)} labelled slices beside those that are held out; ask for fewer", argument="k"
        )
    if many := sorted(set(chosen.k) - set(there)):
        print(f"k = {', '.join(map(str, many))}: no domain has so many labelled slices beside those that are held out")
    k = max(k for k in there if k <= 20 or k == there[0])
    scores = [held_out_scores(predictions, validation, source, each, chosen.kind, chosen.seed) for each in (0, k)]
    bins = [reliability(each, source) for each in scores]
    enough = smallest_k(table)
    for name, each in zip(FILES, (table, enough, pd.concat([each.assign(k=n) for each, n in zip(bins, (0, k))]))):
        write_atomically(out / name, lambda path, each=each: each.to_csv(path, index=False))
    _draw(table, bins, k, source, chosen.level, out)
    shown = table[["quality", "method", "domain", "k", "used", "mae", "gain", "gain_low", "gain_high", "bias", "coverage"]]
    print(shown.to_string(index=False, float_format="{:.3f}".format, line_width=line_width()))
    print("\nthe fewest labels with an error below half of that without:")
    print(enough.to_string(index=False, float_format="{:.3g}".format, line_width=line_width(), na_rep="none"))
    few = sorted(set(table["domain"]) - set(table.loc[table["coverage"].notna(), "domain"]))
    if few:
        print(f"no lower bound at level {chosen.level:g} on {', '.join(few)}: too few people there to learn it from")
    print(f"{out}: {', '.join(FILES)}, and figures.md with the figures")
    return 0


def _draw(table: pd.DataFrame, bins: list[pd.DataFrame], k: int, source: str, level: float, out: Path) -> None:
    from advconf_lite.figures.calibrating import bias_by_domain, by_labels, reliability_diagram
    from advconf_lite.figures.style import png

    there, page = list(dict.fromkeys(table["method"])), []
    few = [name for name in (*DRAWN, CONSTANT) if name in there] if len(there) > 5 else there
    table, bins = table[table["method"].isin(few)], [each[each["method"].isin(few)] for each in bins]
    for quality in dict.fromkeys(table["quality"]):
        drawn = {
            "mae": by_labels(table, "mae", source, level, quality),
            "bias": bias_by_domain(table, k, source, quality),
            "reliability": reliability_diagram(*bins, k, quality),
        }
        if table.loc[table["quality"] == quality, "coverage"].notna().any():
            drawn["coverage"] = by_labels(table, "coverage", source, level, quality)
        for name, fig in drawn.items():
            picture = png(fig)
            write_atomically(out / f"{name}-{quality}.png", lambda path, picture=picture: path.write_bytes(picture))
            page.append(f"![{name}, {quality}]({name}-{quality}.png)\n\n{CAPTIONS[name].format(k=k)}\n")
    write_text(out / "figures.md", "\n".join(page))
