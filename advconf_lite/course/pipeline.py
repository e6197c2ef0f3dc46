"""The command `run`: lessons 01-05 in order on one data set, then the table."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from advconf_lite.experiment.options import add_data_options
from advconf_lite.support.command_line import line_width
from advconf_lite.support.errors import BadInput
from advconf_lite.support.numbers import one_of


def add_options(parser: argparse.ArgumentParser) -> None:
    add_data_options(
        parser,
        out="the run's folder",
        methods="methods to compare; a name that does not exist is answered with all that do",
    )
    parser.add_argument("--settings", default="paper", help="what the profile stands on: paper or published-code")
    parser.add_argument("--network", metavar="MODULE:FUNCTION", help="a network of one's own in place of the U-Net")
    parser.add_argument("--weights", metavar="FILE", help="that network's trained weights; without them it is trained")
    parser.add_argument("--layer", metavar="NAME", help="that network's layer whose output the heads read")
    parser.add_argument("--segmenter-seed", type=int, nargs="+", default=[0], metavar="N")
    parser.add_argument("--head-seed", type=int, nargs="+", default=[0], metavar="N", help="several: mean and spread")
    parser.add_argument("--tuned", type=Path, metavar="chosen.json", help="settings of each method that tune has chosen")
    parser.add_argument("--only", metavar="PART", help="one part, as the workflow runs them beside each other")


def run(chosen: argparse.Namespace) -> int:
    began = time.time()
    # Not at the top: `run --help` need not wait for PyTorch.
    from advconf_lite.experiment.jobs import PARTS, recorded
    from advconf_lite.experiment.run import Run
    from advconf_lite.support.alone import alone_in

    if not chosen.network and (chosen.weights or chosen.layer):
        raise BadInput("weights and layer belong to a network of one's own; name what builds it", argument="network")
    if chosen.only:
        one_of(chosen.only, "only", ["plan", *PARTS, "lessons"])
        if chosen.only != "lessons":
            return _part(chosen, began)
    executed = chosen.out / "notebooks"  # where only this command writes; the lessons wait for each other by themselves
    waits = chosen.only is not None  # for a job that lives on, of a workflow's engine that was killed
    with ExitStack() as held:
        if executed.is_dir():
            held.enter_context(alone_in(executed, wait=waits))
        profile, methods, network = _asked(chosen)
        # refuses bad input at once
        work = Run(chosen.out, chosen.data, profile, chosen.quality, methods, network=network)
        if not executed.is_dir():
            held.enter_context(alone_in(executed, wait=waits))
        if chosen.only:
            held.enter_context(recorded(work, chosen.only, chosen.segmenter_seed, chosen.head_seed, began))
        return _run(work, chosen)


def _part(chosen: argparse.Namespace, began: float) -> int:
    """One part of the run; or, asked for the plan, what would be done."""
    from advconf_lite.course.first_screen import first_screen
    from advconf_lite.experiment.jobs import PARTS, recorded
    from advconf_lite.experiment.run import Run

    profile, methods, network = _asked(chosen)
    work = Run(chosen.out, chosen.data, profile, chosen.quality, methods, network=network)
    seeds = chosen.segmenter_seed, chosen.head_seed
    if chosen.only == "plan":
        print(first_screen(work, *seeds))
        return 0
    with recorded(work, chosen.only, *seeds, began) as path:
        PARTS[chosen.only](work, *seeds)
    print(f"finished: {path}")
    return 0


def _asked(chosen: argparse.Namespace) -> tuple[Any, Sequence[str], Any]:
    """Profile, methods and network of a run."""
    from advconf_lite.experiment.networks import Network, has_dropout
    from advconf_lite.experiment.profiles import find_profile
    from advconf_lite.experiment.tune import tuned_profile
    from advconf_lite.methods.registry import DEFAULT_METHODS, sampled_methods

    methods = chosen.methods or DEFAULT_METHODS
    profile = tuned_profile(chosen.profile, chosen.tuned, methods) if chosen.tuned else find_profile(chosen.profile)
    network = Network(chosen.network, chosen.weights, chosen.layer) if chosen.network else None
    # Without its weights, which fit the data's own number of classes: any number shows the layers.
    if network and not has_dropout(replace(network, weights=None).build(num_classes=2)):
        sampled = [method.name for method in sampled_methods(methods)]
        if chosen.methods and sampled:
            raise BadInput(
                f"the network has no dropout, from whose samples {', '.join(sampled)} are made", argument="methods"
            )
        methods = [name for name in methods if name not in sampled]
        print("the network has no dropout: score agreement, and the lesson on it, are left out", flush=True)
    return profile.on(chosen.settings), methods, network


def _run(work: Any, chosen: argparse.Namespace) -> int:
    from advconf_lite.course.first_screen import first_screen
    from advconf_lite.course.notebooks import lessons
    from advconf_lite.course.report import write_index
    from advconf_lite.course.side_by_side import execute_lessons
    from advconf_lite.evaluation.text import comparison, summary_table
    from advconf_lite.experiment.jobs import parts_of
    from advconf_lite.experiment.networks import has_dropout
    from advconf_lite.support.processes import beside, once_there

    began = time.time()
    print(first_screen(work, chosen.segmenter_seed, chosen.head_seed), flush=True)
    parameters = {
        "data": chosen.data,
        "profile": chosen.profile,
        "out": str(chosen.out),
        "quality": " ".join(work.qualities),
        "methods": " ".join(work.methods),
        "segmenter_seeds": chosen.segmenter_seed,
        "head_seeds": chosen.head_seed,
    }
    names = lessons("pipeline")
    if work.network and not has_dropout(replace(work.network, weights=None).build(num_classes=2)):
        names = sorted(set(names) - set(lessons("dropout")))
    asked = chosen.segmenter_seed, chosen.head_seed, work.folder, work.data, work.profile, work.qualities, work.methods

    def ahead(parts: Sequence[str], bars: bool, files: Sequence[Path]) -> AbstractContextManager[Any]:
        return beside(once_there, files, parts_of, parts, bars, *asked, work.network)

    execute_lessons(work, names, parameters, ahead)
    metrics, predictions, remarks = work.metrics(), work.predictions(), work.remarks()
    source, width = work.experiment.slices.source_domain, line_width()
    index = write_index(chosen.out, summary_table(metrics, source) + "\n" + comparison(predictions, source), remarks)
    print("", summary_table(metrics, source, width), comparison(predictions, source, width), *remarks, sep="\n")
    print(f"finished in {time.time() - began:.0f} s; all of it: {index}")
    return 0
