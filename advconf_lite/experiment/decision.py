"""calibration.json as `predict` reads it: is it of these weights, and what does it decide about a slice?"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from advconf_lite.evaluation.bound import Bound
from advconf_lite.evaluation.calibration import Map, map_from
from advconf_lite.experiment.folder import RunFolder
from advconf_lite.methods.registry import head_methods, seeds_needed
from advconf_lite.support.errors import BadInput, mended, reason
from advconf_lite.support.files import sha256

ACCEPT, REVIEW = "accept", "review"


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
            bound = self.values["bound"]
            margin = None if bound["margin"] is None else float(bound["margin"])
            self.bound = Bound(float(bound["level"]), margin, int(bound["people"]), bound["unit"], bound["what"])
            self.rule = dict(self.values["decision"])
            self.accept_from = None if self.rule["accept_from"] is None else float(self.rule["accept_from"])
            self.domains = list(self.values["labels"]["domains"])
            self.weights = dict(self.values["run"]["weights"])
        except OSError as error:
            remedy = mended(error, "make it with python -m advconf_lite calibrate")
            raise BadInput(f"{path} cannot be read ({reason(error)}); {remedy}", argument="calibration") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadInput(
                f"{path} is no calibration ({' '.join(str(error).split()) or type(error).__name__}); make it with python -m "
                "advconf_lite calibrate",
                argument="calibration",
            ) from error

    def check(self, run: RunFolder) -> None:
        """BadInput unless the run has the weights, the method and the quality that the calibration was made with."""
        missing = [what for what, has in ((self.method, run.methods), (self.quality, run.qualities)) if what not in has]
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
        calibrated = self.map(scores)
        bound = np.minimum(self.bound.below(self.start(scores)), calibrated)
        drawn = table.filter(regex="^pixels_").to_numpy(float).sum(1) > 0
        judged = [self._judge(*row) for row in zip(scores, calibrated, bound, drawn, table["domain"].astype(str))]
        decisions, reasons = zip(*judged) if judged else ((), ())
        new = {"predicted_score": scores, "calibrated_score": calibrated, "lower_bound": bound}
        table = table.assign(**new, decision=list(decisions), reason=list(reasons))
        order = ["calibrated_score", "predicted_score"]
        return table.sort_values(order, kind="stable", na_position="first").reset_index(drop=True)

    def _judge(self, score: float, calibrated: float, bound: float, drawn: bool, domain: str) -> tuple[str, str]:
        elsewhere = ""
        if not self.domains:
            elsewhere = f"; no label of {domain} has been seen"
        elif domain not in self.domains:
            elsewhere = f"; the labels are of {', '.join(self.domains)}, not of {domain}"
        if not np.isfinite(score):
            return REVIEW, "the networks have no finite answer"
        if not drawn:
            return REVIEW, "nothing is outlined"
        if self.rule["by"] == "bound":
            if self.bound.margin is None:
                return REVIEW, self.bound.sentence
            value, name = bound, f"lower bound {bound:.2f}"
        else:
            value, name = calibrated, f"calibrated score {calibrated:.2f}"
            if self.accept_from is None:
                return REVIEW, f"no threshold gives a mean risk of {self.rule['risk']:g} on the source"
        if value >= self.accept_from:
            return ACCEPT, f"{name} is at least {self.accept_from:.2f}{elsewhere}"
        return REVIEW, f"{name} is below {self.accept_from:.2f}{elsewhere}"
