"""A run's scores on a new scanner, calibrated with a few labelled slices: calibration.json, and decisions made with it."""

from __future__ import annotations

import json
import platform
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from advconf_lite import __version__
from advconf_lite.evaluation.bootstrap import persons
from advconf_lite.evaluation.bound import UNITS, check_level, lower_bound
from advconf_lite.evaluation.calibration import FITS, LEVEL, correct, is_level, start_from
from advconf_lite.evaluation.predictions import read_predictions
from advconf_lite.evaluation.release import threshold_for
from advconf_lite.evaluation.rules import over_all_classes
from advconf_lite.experiment.decision import weights_of
from advconf_lite.experiment.labelled import Labelled, labelled_parts
from advconf_lite.experiment.outputs import refuse_to_replace
from advconf_lite.experiment.run import Elsewhere, Run, open_run
from advconf_lite.support.errors import BadInput
from advconf_lite.support.files import write_text
from advconf_lite.support.numbers import one_of, within


def calibrate(
    run_folder: str | Path,
    data: str | Path | None,
    out: str | Path,
    accept_from: float,
    method: str = "adversarial",
    quality: str | None = None,
    domain: str | None = None,
    kind: str = "affine",
    level: float = 0.9,
    unit: str = "slice",
    risk: float | None = None,
    segmenter_seed: int = 0,
    head_seed: int = 0,
    seed: int = 0,
    progress: bool = True,
    line: bool = False,
) -> dict[str, Any]:
    """Compare a method's scores with labelled slices of a new scanner, and write down what follows for its other slices.

    Args:
        data: None if nobody has outlined anything yet: then the score is what the source's validation expects, such as the
            Dice for an agreement, there is no bound, and `risk` decides.
        accept_from: a slice whose lower bound reaches it needs no human.
        quality: the run's first by default.
        domain: of the labelled set, the one to use (default: all of it, as one scanner).
        risk: decide by the calibrated score instead, and a threshold for this mean risk that the source's validation gives.
        seed: of the slice by which each patient counts in the bound.
        line: begin from the straight line that fits the source's validation also with a method that estimates by itself.

    Returns:
        What `out` holds: whose scores (weights, method, quality, classes), from which labels, the source's map (`start`),
        the correction (`map`, `used`, `why`), the lower bound, the rule of decision, versions.

    Raises:
        BadInput: no such run, method or labels, something was not trained yet, or a number that cannot be.
    """
    within(accept_from, "accept", 0, 1)  # all that is wrong with the options is said before something is computed
    within(0 if risk is None else risk, "risk", 0, 1)
    check_level(level)
    one_of(kind, "map", FITS)
    one_of(unit, "unit", UNITS)
    refuse_to_replace(out)
    if data is None and risk is None:
        raise BadInput(
            "without labelled slices there is no lower bound to decide by; give them, or a mean risk", argument="risk"
        )
    if data is None and domain is not None:
        raise BadInput(f"domain is {domain!r}, and there is no labelled set that it could be of", argument="domain")
    run = open_run(run_folder, progress)
    one_of(method, "method", run.methods)
    quality = one_of(quality or run.qualities[0], "quality", run.qualities)
    seeds = segmenter_seed, head_seed
    weights = weights_of(run, method, quality, *seeds)
    of_set = Labelled({}, 0, 0, []) if data is None else labelled_parts(run, data, domain)
    known = _rows(run, run.validation([method], [seeds]), method, quality, seeds)
    source = known[known["domain"] == run.experiment.slices.source_domain]
    if source.empty:
        raise BadInput(f"{method} gives no scores of {quality}; choose another quality", argument="quality")
    labels = known[:0]
    if of_set.parts:
        with tempfile.TemporaryDirectory(prefix="advconf-") as folder:
            path = Path(folder) / "predictions.csv"
            Elsewhere(run, of_set.parts, path, [method]).predicted(*seeds)
            labels = _rows(run, read_predictions(path), method, quality, seeds)
    x, y = (source[column].to_numpy(float) for column in ("predicted_score", "true_score"))
    estimates = bool(source["estimates"].iloc[0]) and not line
    start = start_from(x, y, estimates)
    level_start = is_level(start.map, x)
    predicted, true = (labels[column].to_numpy(float) for column in ("predicted_score", "true_score"))
    people = persons(labels)
    person = people.factorize()[0]
    correction = correct(predicted, true, person, start, kind)
    bound = lower_bound(predicted, true, person, start.map, level, unit, seed)
    why = correction.sentence
    if data is None:
        what = "the predicted score" if estimates else "what the source's validation expects at such a score"
        why = f"no labelled slices: calibrated is {what}{f'; {LEVEL}' if level_start else ''}"
    rule = {"by": "bound", "accept_from": float(accept_from)}
    level_map = level_start or (correction.used and is_level(correction.map, predicted))
    if risk is not None:
        # Of a map that gives all slices one score, a threshold would let through all of them, or none.
        threshold = np.inf if level_map else threshold_for(start.map.unclipped(x), y, risk)
        rule = {"by": "risk", "risk": float(risk), "accept_from": threshold if np.isfinite(threshold) else None}
    found = {
        "what": "a calibration by python -m advconf_lite calibrate, for python -m advconf_lite predict --calibration",
        "run": {"data": run.data, "weights": weights, "segmenter_seed": segmenter_seed, "head_seed": head_seed},
        "method": method,
        "quality": quality,
        "classes": run.experiment.class_names,
        "labels": {
            "data": None if data is None else Path(data).name,
            "domains": sorted(set(labels["domain"])),
            "k": int(np.isfinite(predicted).sum()),
            "subjects": sorted(people[np.isfinite(predicted)].unique()),
            "without_label": of_set.without_label,
            "known_to_the_run": of_set.known,
            "never_shown": of_set.never_shown,
            "without_prediction": int((~np.isfinite(predicted)).sum()),
        },
        "start": {**start.map.as_dict(), "noise": start.noise, "level": level_start},
        "map": {**correction.map.as_dict(), "level": level_map},
        "used": correction.used,
        "mae": {"without": _number(correction.without), "with": _number(correction.by_map)},
        "why": why,
        "bound": {
            "level": bound.level,
            "unit": bound.unit,
            "margin": bound.margin,
            "people": bound.people,
            "seed": seed,
            "what": bound.sentence,
        },
        "decision": rule,
        "versions": {"advconf_lite": __version__, "numpy": np.__version__, "python": platform.python_version()},
    }
    write_text(out, json.dumps(found, indent=1) + "\n")
    return found


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _rows(run: Run, table: pd.DataFrame, method: str, quality: str, seeds: tuple[int, int]) -> pd.DataFrame:
    table = over_all_classes(table) if run.settings.average_over == "present" else table
    same = (table["segmenter_seed"] == seeds[0]) & (table["head_seed"] == seeds[1])
    return table[same & (table["method"] == method) & (table["quality"] == quality)]
