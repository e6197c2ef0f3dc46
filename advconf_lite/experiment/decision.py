"""calibration.json as `predict` reads it: is it of these weights, and what does it decide about a slice?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from advconf_lite.data.slice_info import UNNAMED
from advconf_lite.evaluation.bound import UNITS, Bound, check_level
from advconf_lite.evaluation.calibration import Map, Steps, map_from
from advconf_lite.experiment.folder import RunFolder
from advconf_lite.methods.registry import head_methods, scored, seeds_needed
from advconf_lite.support.errors import BadInput, mended, reason
from advconf_lite.support.files import sha256
from advconf_lite.support.numbers import one_of, within

ACCEPT, REVIEW = "accept", "review"
FARTHEST = 1e6  # from [0, 1], of a threshold for unclipped scores


def weights_of(run: RunFolder, method: str, quality: str, segmenter_seed: int, head_seed: int) -> dict[str, str]:
    """SHA-256 of the files that a method's scores come from.

    Raises:
        BadInput: one is not there.
    """
    paths = [run.segmenter_path(seed) for seed in seeds_needed(segmenter_seed, [method])]
    if method in head_methods([method]):
        paths.append(run.head_path(method, quality, segmenter_seed, head_seed))
    for path in paths:
        if not path.exists():
            raise BadInput(f"{path} does not exist; finish the run first with the same command that began it")
    return {path.name: sha256(path) for path in paths}


def _bound(values: dict) -> Bound:
    margin = None if values["margin"] is None else within(values["margin"], "margin", -1, 1)
    unit = one_of(values["unit"], "unit", UNITS)
    return Bound(check_level(values["level"]), margin, int(values["people"]), unit, str(values["what"]))


def _list(values: Any) -> list:
    if not isinstance(values, list):
        raise BadInput(f"the labels' domains are {values!r}, and no list")
    return values


class Calibration:
    """A calibration.json, checked.

    Raises:
        BadInput: it cannot be read, or is none.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self.values = json.loads(self.path.read_text(encoding="utf-8"))
            self.method, self.quality = str(self.values["method"]), str(self.values["quality"])
            self.seeds = int(self.values["run"]["segmenter_seed"]), int(self.values["run"]["head_seed"])
            self.map: Map = map_from(self.values["map"])
            self.start: Map = map_from(self.values["start"])
            self.bound, rule = _bound(self.values["bound"]), dict(self.values["decision"])
            by_risk = one_of(rule["by"], "decision by", ("bound", "risk")) == "risk"
            self.risk = within(rule["risk"], "risk", 0, 1) if by_risk else None
            none = by_risk and rule["accept_from"] is None  # a threshold is one of unclipped scores
            ends = (-FARTHEST, FARTHEST) if by_risk else (0, 1)
            self.accept_from = None if none else within(rule["accept_from"], "accept_from", *ends)
            self.domains = [str(name) for name in _list(self.values["labels"]["domains"])]
            self.weights = dict(self.values["run"]["weights"])
        except OSError as error:
            remedy = mended(error, "make it with python -m advconf_lite calibrate")
            raise BadInput(f"{path} cannot be read ({reason(error)}); {remedy}", argument="calibration") from error
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise BadInput(
                f"{path} is no calibration ({'it lacks ' * isinstance(error, KeyError)}"
                f"{' '.join(str(error).split()) or type(error).__name__}); make it with python -m advconf_lite calibrate",
                argument="calibration",
            ) from error

    def check(self, run: RunFolder) -> None:
        """BadInput unless the run has the weights, the method and the quality that the calibration was made with."""
        missing = [what for what, has in ((self.method, run.methods), (self.quality, run.qualities)) if what not in has]
        if not missing and not scored([self.method], [self.quality]):
            missing = [f"{self.quality} by {self.method}"]
        if missing:
            raise BadInput(
                f"{self.path} is for {missing[0]}, and {run.folder} has none; calibrate with this run",
                argument="calibration",
            )
        if self.weights != weights_of(run, self.method, self.quality, *self.seeds):
            raise BadInput(
                f"{self.path} was made with other weights than those in {run.folder}; calibrate again with this run",
                argument="calibration",
            )

    def decided(self, table: pd.DataFrame) -> pd.DataFrame:
        """The table of `predict` with predicted_score, calibrated_score, lower_bound, decision and reason, the lowest
        calibrated score first and those without a prediction before all."""
        scores = table[f"predicted_{self.quality}"].to_numpy(float)
        calibrated, unclipped = self.map(scores), self.map.unclipped(scores)
        bound = np.minimum(self.bound.below(self.start(scores)), calibrated)
        drawn = table.filter(regex="^pixels_").to_numpy(float).sum(1) > 0
        judged = [self._judge(*row) for row in zip(scores, unclipped, bound, drawn, table["domain"].astype(str))]
        decisions, reasons = zip(*judged) if judged else ((), ())
        new = {"predicted_score": scores, "calibrated_score": calibrated, "lower_bound": bound}
        table = table.assign(**new, decision=list(decisions), reason=list(reasons))
        order = ["calibrated_score", "predicted_score"]
        return table.sort_values(order, kind="stable", na_position="first").reset_index(drop=True)

    def elsewhere(self, table: pd.DataFrame) -> str:
        """Which slices of the table by `decided` no bound is promised for; nothing if it is for all, or none was learned."""
        if self.bound.margin is None or not self.domains:
            return ""
        names = table["domain"].astype(str)
        others = [name for name in dict.fromkeys(names) if name not in self.domains]
        if not others:
            return ""
        return (
            f"the labels are of {', '.join(self.domains)}: on the {names.isin(others).sum()} slices of {', '.join(others)} "
            "the lower bound promises nothing; calibrate with labels of that scanner"
        )

    def _judge(self, score: float, calibrated: float, bound: float, drawn: bool, domain: str) -> tuple[str, str]:
        elsewhere = ""
        if not self.domains:
            elsewhere = f"; no label of {domain} has been seen"
        elif domain == UNNAMED:
            elsewhere = f"; {domain} is no name of a scanner, so it is unknown whether the labels are of this one"
        elif domain not in self.domains:
            elsewhere = f"; the labels are of {', '.join(self.domains)}, not of {domain}"
        if not np.isfinite(score):
            return REVIEW, f"the networks have no finite answer{elsewhere}"
        if not drawn:
            return REVIEW, f"nothing is outlined{elsewhere}"
        if self.risk is None:
            if self.bound.margin is None:
                return REVIEW, f"{self.bound.sentence}{elsewhere}"
            value, name = bound, "lower bound"
        else:
            value, name = calibrated, "calibrated score"
            if self.accept_from is None:
                return REVIEW, f"there is no threshold for a mean risk of {self.risk:g} on the source{elsewhere}"
            if isinstance(self.map, Steps) and score < self.map.x[0]:  # level there, and nobody has looked
                return REVIEW, f"predicted {score:.2f}, lower than any labelled slice{elsewhere}"
        shown, limit = _told_apart(value, self.accept_from)
        if value >= self.accept_from:
            return ACCEPT, f"{name} {shown} is at least {limit}{elsewhere}"
        return REVIEW, f"{name} {shown} is below {limit}{elsewhere}"


def _told_apart(value: float, limit: float) -> tuple[str, str]:
    """Both with two decimals, or as many as show which is larger."""
    for decimals in range(2, 9):
        texts = f"{value:.{decimals}f}", f"{limit:.{decimals}f}"
        if texts[0] != texts[1]:
            return texts
    return f"{value:.2f}", f"{limit:.2f}"
