"""python -m advconf_lite {run,tune,predict,pool,check}: the commands. Bad input ends in one sentence and exit code 2."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from advconf_lite.support.errors import BadInput


def run(chosen: argparse.Namespace) -> int:
    """Lessons 01-05 in order, then the table."""
    from advconf_lite.course.notebooks import PIPELINE, execute, lesson
    from advconf_lite.course.report import write_index
    from advconf_lite.evaluation.text import comparison, summary_table
    from advconf_lite.experiment.parts import first_look
    from advconf_lite.experiment.run import Run
    from advconf_lite.experiment.tune import tuned_profile
    from advconf_lite.methods.registry import DEFAULT_METHODS
    from advconf_lite.support.progress import repeated

    began = time.time()
    methods = chosen.methods or DEFAULT_METHODS
    profile = tuned_profile(chosen.profile, chosen.tuned, methods) if chosen.tuned else chosen.profile
    work = Run(chosen.out, chosen.data, profile, chosen.quality, methods)  # refuses bad input at once
    describe(work)
    print(*first_look(work.data, work.profile), sep="\n", flush=True)
    parameters = {
        "data": chosen.data,
        "profile": chosen.profile,
        "out": str(chosen.out),
        "quality": " ".join(work.qualities),
        "methods": " ".join(work.methods),
        "segmenter_seeds": chosen.segmenter_seed,
        "head_seeds": chosen.head_seed,
    }
    with repeated():
        for name in PIPELINE:
            print(f"[{time.time() - began:5.0f} s] lesson {name}", flush=True)
            execute(lesson(name), Path(chosen.out) / "notebooks" / f"{name}.ipynb", parameters)
    metrics = work.metrics()
    remarks = work.remarks()
    source = work.experiment.slices.source_domain
    table = summary_table(metrics, source) + "\n" + comparison(work.predictions(), source)
    index = write_index(Path(chosen.out), table, remarks)
    print("", table, *remarks, f"finished in {time.time() - began:.0f} s; all of it: {index}", sep="\n")
    return 0


def describe(work) -> None:
    """The run's profile and settings, at the top of its output."""
    profile = work.profile.as_dict()
    settings = profile.pop("settings")
    print(f"data {work.data}, into {work.folder}, device {work.device}")
    print("profile:  " + ", ".join(f"{name}={value}" for name, value in profile.items()))
    print("settings: " + ", ".join(f"{name}={value}" for name, value in settings.items()), flush=True)


def tune(chosen: argparse.Namespace) -> int:
    from advconf_lite.experiment.tune import tune as choose
    from advconf_lite.methods.registry import DEFAULT_METHODS

    log = choose(
        chosen.out,
        chosen.data,
        chosen.profile,
        chosen.methods or DEFAULT_METHODS,
        chosen.quality,
        chosen.set or (),
        chosen.segmenter_seed,
        chosen.head_seed,
    )
    print(log.to_string(index=False, float_format="{:.4f}".format))
    print(
        f"means over the validation scanners; of each method the trial with the smallest MAE: {chosen.out / 'chosen.json'}"
    )
    return 0


def predict(chosen: argparse.Namespace) -> int:
    from advconf_lite.experiment.predict import predict as predict_run

    table = predict_run(chosen.run, chosen.data, chosen.out, chosen.method, chosen.segmenter_seed, chosen.head_seed)
    print(table.head(10).to_string(index=False, float_format="{:.3f}".format))
    print(f"{len(table)} slices, worst first: {chosen.out}")
    return 0


def pool(chosen: argparse.Namespace) -> int:
    from advconf_lite.evaluation.text import comparison, summary_table
    from advconf_lite.experiment.parts import remarks_on
    from advconf_lite.experiment.pool import pool as pool_runs

    pooled = pool_runs(chosen.runs, chosen.out)
    print(summary_table(pooled.metrics, pooled.source_domain))
    print(comparison(pooled.predictions, pooled.source_domain))
    print(
        f"{len(chosen.runs)} runs, each with its own segmenter; correlations are over all subjects together.",
        *remarks_on(pooled.data, pooled.source_domain, pooled.reacquired),
        f"all of it: {chosen.out}",
        sep="\n",
    )
    return 0


def check(chosen: argparse.Namespace) -> int:
    from advconf_lite.course.check import print_report, run_checks

    return print_report(run_checks(chosen.folder))


QUALITY_HELP = "quality to predict, such as surface_dice; default: all; a name that does not exist is answered with them"


def parser() -> argparse.ArgumentParser:
    main = argparse.ArgumentParser(prog="python -m advconf_lite", description="confidence prediction, as a course")
    commands = main.add_subparsers(required=True, metavar="{run,tune,predict,pool,check}")

    one = commands.add_parser("run", help="lessons 01-05 on a data set, ending in one table")
    one.add_argument("--data", required=True, metavar="SPEC", help="phantom:cardiac, phantom:prostate or a slice-set folder")
    one.add_argument("--profile", default="quick", help="smoke (seconds), quick (minutes on two cores), full, paper (GPU)")
    one.add_argument("--out", required=True, type=Path, metavar="runs/NAME", help="the run's folder")
    one.add_argument("--quality", metavar="NAME", help=QUALITY_HELP)
    one.add_argument(
        "--methods",
        nargs="+",
        metavar="NAME",
        help="methods to compare; a name that does not exist is answered with all that do",
    )
    one.add_argument("--segmenter-seed", type=int, nargs="+", default=[0], metavar="N")
    one.add_argument("--head-seed", type=int, nargs="+", default=[0], metavar="N", help="several: mean and spread")
    one.add_argument("--tuned", type=Path, metavar="chosen.json", help="settings of each method that tune has chosen")
    one.set_defaults(command=run)

    four = commands.add_parser(
        "tune", help="choose settings by the same number of trials for every method, on validation scanners alone"
    )
    four.add_argument("--data", required=True, metavar="SPEC", help="as for run")
    four.add_argument("--profile", default="quick", help="as for run")
    four.add_argument("--out", required=True, type=Path, metavar="runs/NAME", help="trials.csv and chosen.json go here")
    four.add_argument("--quality", metavar="NAME", help="as for run")
    four.add_argument("--methods", nargs="+", metavar="NAME", help="those that train a head get trials")
    four.add_argument(
        "--set",
        nargs="+",
        metavar="NAME=V,V",
        help="settings to try, every combination; default: head_lr at 0.4, 1 and 2.5 times the profile's",
    )
    four.add_argument("--segmenter-seed", type=int, default=0, metavar="N")
    four.add_argument("--head-seed", type=int, default=0, metavar="N")
    four.set_defaults(command=tune)

    two = commands.add_parser("predict", help="predicted scores for images without masks, worst first")
    two.add_argument("--run", required=True, type=Path, metavar="runs/NAME", help="a finished run")
    two.add_argument("--data", required=True, type=Path, metavar="FOLDER", help="a slice set; masks may be missing")
    two.add_argument("--out", required=True, type=Path, metavar="scores.csv")
    two.add_argument("--method", default="adversarial", help="one of the run's trained heads")
    two.add_argument("--segmenter-seed", type=int, default=0, metavar="N")
    two.add_argument("--head-seed", type=int, default=0, metavar="N")
    two.set_defaults(command=predict)

    pooling = commands.add_parser("pool", help="runs over the folds of one data set, joined into one table")
    pooling.add_argument("runs", nargs="+", type=Path, metavar="runs/FOLD", help="finished runs on disjoint test subjects")
    pooling.add_argument("--out", required=True, type=Path, metavar="runs/POOLED", help="folder of the joined tables")
    pooling.set_defaults(command=pool)

    three = commands.add_parser("check", help="is this machine ready? one line per requirement")
    three.add_argument("--folder", type=Path, default=Path("."), help="where runs will be written")
    three.set_defaults(command=check)
    return main


def main(arguments: list[str] | None = None) -> int:
    chosen = parser().parse_args(arguments)
    try:
        return chosen.command(chosen)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
    except OSError as error:  # a full disk, a folder without permission: papermill's own files, mostly
        print(
            f"error: {error.filename or 'a file'} cannot be read or written: {error.strerror or error}; "
            "free some space or choose another folder, then run the same command again",
            file=sys.stderr,
        )
    return 2


if __name__ == "__main__":
    sys.exit(main())
