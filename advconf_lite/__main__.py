"""python -m advconf_lite COMMAND, one of `COMMANDS` below: see the module of each."""

from __future__ import annotations

import sys

from advconf_lite.support.command_line import well_behaved, words

# Imported only when asked for, for `--help` and `check` need not wait for PyTorch and MONAI; and inside `well_behaved`, for
# an interrupt may come then as well as later.
COMMANDS = {
    "run": ("advconf_lite.course.pipeline", "lessons 01-05 on a data set, ending in one table"),
    "tune": (
        "advconf_lite.experiment.tune",
        "choose settings by the same number of trials for every method, on validation scanners alone",
    ),
    "predict": ("advconf_lite.course.predicting", "predicted scores for images without masks, worst first"),
    "calibrate": ("advconf_lite.course.clinic", "corrects scores by a few labelled slices of a new scanner, or refuses to"),
    "triage": ("advconf_lite.course.releasing", "a threshold for a target risk, and what it lets through under shift"),
    "pool": ("advconf_lite.experiment.pool", "runs over the folds of one data set, joined into one table"),
    "rules": ("advconf_lite.experiment.by_rule", "which findings depend on what a class that is not there counts"),
    "artefacts": ("advconf_lite.course.artefacts", "trains what ships with the course, from a commit that it names"),
    "seat": ("advconf_lite.course.seat", "a student's part of the class: both heads, with a seed of one's own"),
    "class": ("advconf_lite.course.classroom", "what the seats have handed in, joined: the interval as seeds are added"),
    "bundle": ("advconf_lite.course.bundle", "a folder for a USB stick: installs with the network off"),
    "slides": ("advconf_lite.course.slides", "slides of each lesson, from its text and its stored figures"),
    "check": ("advconf_lite.course.check", "is this machine ready?"),
}

# What the Python functions call otherwise than the command line does.
OPTIONS = {"folder": "--out", "run_folder": "--run", "grid": "--set", "path": "--tuned", "unit": "--per"}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns its exit code (see `well_behaved`)."""
    given = words(arguments)
    return well_behaved(lambda: _run(given), options=OPTIONS)


def _run(arguments: list[str]) -> int:
    import argparse
    from importlib import import_module

    parser = argparse.ArgumentParser(prog="python -m advconf_lite", description="confidence prediction, as a course")
    commands = parser.add_subparsers(required=True, metavar="{" + ",".join(COMMANDS) + "}")
    for name, (module, purpose) in COMMANDS.items():
        command = commands.add_parser(name, help=purpose, description=purpose)
        if arguments[:1] == [name]:
            verb = import_module(module)
            verb.add_options(command)
            command.set_defaults(run=verb.run)
    chosen = parser.parse_args(arguments)
    return chosen.run(chosen)


if __name__ == "__main__":
    sys.exit(main())
