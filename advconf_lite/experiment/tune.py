"""Choosing settings, by rule: every method gets the same trials, and only validation scanners judge them.

    OUT/data/                      images, made once
    OUT/segmenter-S.safetensors    the U-Net, trained once
    OUT/trial-K/                   a run's folder: heads with trial K's settings, scored on validation scanners
    OUT/trials.csv                 the log: a row per method, quality and trial, with its settings and mean metrics
    OUT/chosen.json                of each method the settings of its best trial, for `run --tuned`

No test scanner is loaded, so none can have had a say.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Sequence
from dataclasses import fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from advconf_lite.evaluation.per_domain import mean_of, metrics_table
from advconf_lite.experiment.options import add_data_options
from advconf_lite.experiment.parts import Experiment, load_experiment
from advconf_lite.experiment.profiles import Profile, find_profile
from advconf_lite.experiment.run import Run
from advconf_lite.methods.registry import DEFAULT_METHODS, head_methods
from advconf_lite.metrics import REPORTED
from advconf_lite.settings import Settings
from advconf_lite.support.alone import alone_in
from advconf_lite.support.command_line import line_width
from advconf_lite.support.errors import BadInput
from advconf_lite.support.files import write_atomically, write_text

# What may differ between trials: how a head learns. Settings of the segmenter, the data and the quality change what is
# predicted; the batch size and the number of steps must be the same for all methods that are compared.
TUNABLE = (
    "head_lr", "head_clip", "head_plateau", "head_patience", "head_channels", "head_hidden", "head_norm", "head_bias",
    "head_output", "warmup_batches", "alpha", "eta", "eps", "objective",
    "finetune_lr", "finetune_steps", "finetune_alpha", "strong_probability", "severity_steps", "severity_top",
)  # fmt: skip


class Trial(Run):
    """A run that is judged on the source's validation subjects and the validation scanners, and holds no others."""

    @cached_property
    def experiment(self) -> Experiment:
        whole = load_experiment(self.data, self.folder.parent, self.profile, self.progress)
        return replace(whole, test=whole.val, targets=whole.validation)

    def segmenter_path(self, seed: int) -> Path:
        return self.folder.parent / f"segmenter-{seed}.safetensors"  # trained once, for all trials


def parse_grid(texts: Sequence[str], settings: Settings) -> list[dict[str, Any]]:
    """["head_lr=2e-4,5e-4", "eta=0.01,0.1"] -> every combination, as settings to replace.

    Raises:
        BadInput: not NAME=VALUE[,VALUE ...], a setting that trials may not change, or a value that is none.
    """
    grid = {}
    for text in texts:
        name, _, values = text.partition("=")
        if name not in TUNABLE:
            raise BadInput(
                f"{text}: {name} is not a setting that trials may change; choose from {', '.join(TUNABLE)}", argument="grid"
            )
        grid[name] = [_value(text, part) for part in values.split(",")]
    trials = [dict(zip(grid, values)) for values in itertools.product(*grid.values())]
    for trial in trials:
        _check_types(trial, settings)
    return trials


def _value(text: str, part: str) -> Any:
    try:
        return json.loads(part)
    except json.JSONDecodeError:
        if part.isidentifier():
            return part  # a word, such as group
        raise BadInput(
            f"{text}: {part!r} is no value; write NAME=VALUE[,VALUE ...], as in head_lr=2e-4,5e-4", argument="grid"
        ) from None


def _check_types(trial: dict[str, Any], settings: Settings) -> None:
    types = {f.name: str(f.type) for f in fields(Settings)}
    for name, value in trial.items():
        kind = types[name].replace(" | None", "")
        fits = {"float": isinstance(value, (int, float)), "int": isinstance(value, int), "str": isinstance(value, str),
                "bool": isinstance(value, bool)}[kind]  # fmt: skip
        if not fits and not (value is None and "None" in types[name]) or isinstance(value, bool) != (kind == "bool"):
            raise BadInput(f"{name}: {value!r} is not {types[name]}", argument="grid")
    replace(settings, **trial)  # refuses a word that a setting does not know


def default_grid(settings: Settings) -> list[dict[str, Any]]:
    """The head's learning rate, at 0.4, 1 and 2.5 times the profile's: the choice that no two methods need to share."""
    return [{"head_lr": float(f"{factor * settings.head_lr:.3g}")} for factor in (0.4, 1.0, 2.5)]


def tune(
    folder: Path,
    data: str,
    profile: str,
    methods: Sequence[str],
    quality: str | None = None,
    grid: Sequence[str] = (),
    segmenter_seed: int = 0,
    head_seed: int = 0,
    progress: bool = True,
) -> pd.DataFrame:
    """Train every trial's heads, score them on the validation scanners, and choose.

    The rule was fixed before any trial: the smallest MAE, averaged over validation scanners and over the qualities; of
    equal ones the first trial. One with a head that gave NaN or infinity on any slice comes after all others.

    Returns:
        The log: quality, method, trial, settings, the `REPORTED` metrics (means over the validation scanners), chosen.

    Raises:
        BadInput: an unknown profile, method or setting; or nothing to train.
    """
    base = find_profile(profile)
    trials = parse_grid(grid, base.settings) if grid else default_grid(base.settings)
    trained = head_methods(methods)
    if not trained:
        raise BadInput(
            f"{' '.join(methods)} trains no head, so there is nothing to choose; name one that does", argument="methods"
        )
    tables = []
    for number, values in enumerate(trials):
        print(f"trial {number + 1} of {len(trials)}: {_text(values)}", flush=True)
        changed = replace(base, settings=replace(base.settings, **values))
        trial = Trial(folder / f"trial-{number}", data, changed, quality, trained, progress=progress)
        predictions = trial.predict_heads(segmenter_seed, head_seed)
        scanners = predictions[predictions["domain"] != trial.experiment.slices.source_domain]
        by_method = metrics_table(scanners, resamples=0).groupby(["quality", "method"], sort=False)
        means = pd.DataFrame({name: by_method.apply(mean_of, name) for name in REPORTED})
        tables.append(means.reset_index().assign(trial=number, settings=_text(values)))
    log = pd.concat(tables, ignore_index=True)
    best = log.groupby(["method", "trial"], sort=False)["mae"].agg(lambda errors: errors.mean(skipna=False))
    best = best.fillna(np.inf).unstack().idxmin(axis=1)  # a trial without an error has diverged somewhere
    log["chosen"] = log["trial"] == log["method"].map(best)
    log = log[["quality", "method", "trial", "settings", *REPORTED, "chosen"]]
    write_atomically(folder / "trials.csv", lambda path: log.to_csv(path, index=False))
    chosen = {
        "data": data, "profile": profile, "segmenter_seed": segmenter_seed, "head_seed": head_seed, "trials": len(trials),
        "methods": {name: trials[number] for name, number in best.items()},
    }  # fmt: skip
    write_text(folder / "chosen.json", json.dumps(chosen, indent=1) + "\n")
    return log


def tuned_profile(profile: str, path: Path, methods: Sequence[str]) -> Profile:
    """The profile with what `tune` chose.

    Raises:
        BadInput: no such file, not one of `tune`'s, made with another profile, or without one of the methods.
    """
    try:
        chosen = json.loads(Path(path).read_text(encoding="utf-8"))
        settings, made_with, trials = chosen["methods"], chosen["profile"], chosen["trials"]
    except FileNotFoundError:
        raise BadInput(
            f"{path} does not exist; python -m advconf_lite tune writes it as chosen.json", argument="path"
        ) from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise BadInput(f"{path} is not a chosen.json of python -m advconf_lite tune ({error!r})", argument="path") from None
    if made_with != profile:
        raise BadInput(f"{path} was made with profile {made_with}; tune again with {profile}", argument="path")
    if missing := [name for name in head_methods(methods) if name not in settings]:
        raise BadInput(
            f"{path} has no trials of {', '.join(missing)}; every compared method needs the same number", argument="path"
        )
    return replace(find_profile(profile), method_settings=settings, trials=trials)


def _text(values: dict[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in values.items())


def add_options(parser: argparse.ArgumentParser) -> None:
    add_data_options(parser, out="trials.csv and chosen.json go here", methods="those that train a head get trials")
    parser.add_argument(
        "--set",
        nargs="+",
        default=(),
        metavar="NAME=V,V",
        help="settings to try, every combination; default: head_lr at 0.4, 1 and 2.5 times the profile's",
    )
    parser.add_argument("--segmenter-seed", type=int, default=0, metavar="N")
    parser.add_argument("--head-seed", type=int, default=0, metavar="N")


def run(chosen: argparse.Namespace) -> int:
    """The command `tune`."""
    with alone_in(chosen.out):
        log = tune(
            chosen.out,
            chosen.data,
            chosen.profile,
            chosen.methods or DEFAULT_METHODS,
            chosen.quality,
            chosen.set,
            chosen.segmenter_seed,
            chosen.head_seed,
        )
    print(log.to_string(index=False, float_format="{:.4f}".format, line_width=line_width()))
    print("means over the validation scanners; of each method the trial with the smallest MAE:", chosen.out / "chosen.json")
    return 0
