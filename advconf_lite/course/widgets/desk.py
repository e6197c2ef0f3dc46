"""Triage desk: some slices of a scanner may be sent back to a human. Which? Rank them, and see what is caught and what is
released."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from advconf_lite.course.evidence import telling_scanner, with_images
from advconf_lite.course.exercises.lesson_00 import FAILURE
from advconf_lite.course.explore import Slider
from advconf_lite.course.pictures import evenly, slices_of
from advconf_lite.course.triage import Triage, triage
from advconf_lite.course.widgets.widget import Widget
from advconf_lite.evaluation.predictions import CONSTANT, SEEDS, SLICE
from advconf_lite.experiment.run import Run
from advconf_lite.figures.desk import DeskFigure
from advconf_lite.figures.outlines import Outlined
from advconf_lite.figures.promises import risk_curve
from advconf_lite.segmenter import Segmenter
from advconf_lite.support.errors import BadInput

MINE, ORACLE = "my own order", "oracle"


def own_order(numbers: Sequence[int], n: int) -> np.ndarray:
    """Confidence (n,) of somebody who sends back the slices with these numbers, from 1, first; all others are tied.

    Raises:
        BadInput: a number that no slice has.
    """
    numbers = list(dict.fromkeys(numbers))
    wrong = [number for number in numbers if number not in range(1, n + 1)]
    if wrong:
        raise BadInput(f"there is no slice {wrong[0]}; give numbers from 1 to {n}")
    confidence = np.full(n, float(n))
    for place, number in enumerate(numbers):
        confidence[number - 1] = place
    return confidence


class Desk(Widget):
    """The widget.

    Attributes:
        cases: the pile; scores: ranking -> confidence (n,); true: (n,).
        now: the triage that was drawn last.
    """

    now: Triage

    def __init__(self, cases: Sequence[Outlined], scores: dict[str, np.ndarray], true: np.ndarray, quality: str) -> None:
        self.cases, self.scores, self.true, self.title = list(cases), scores, true, quality
        curves = {name: risk_curve(score, true) for name, score in (scores | {ORACLE: true}).items()}
        self.figure = DeskFigure(self.cases, curves, float(np.mean(1 - true)), quality, FAILURE)

    def draw(self, budget: int, rank_by: str, reveal: bool) -> tuple[Figure | np.ndarray, str]:
        self.now = triage(self.scores[rank_by], self.true, budget)
        fig = self.figure.draw(rank_by, self.now.sent_back, self.now.coverage, self.now.risk, reveal)
        caught = f"{self.now.caught:.1f}".removesuffix(".0")
        released = "nothing is released" if budget == len(self.true) else (
            f"mean {self.title} of the {len(self.true) - budget} that are released: {self.now.released:.2f}"
        )  # fmt: skip
        return fig, (
            f"{rank_by}: {budget} of {len(self.true)} sent back, {caught} of {self.now.failures} failures caught; "
            f"{released} (of all: {self.true.mean():.2f})"
        )


def triage_desk(
    run: Run,
    segmenter: Segmenter,
    domain: str | None = None,
    mine: Sequence[int] = (),
    predictions: pd.DataFrame | None = None,
    methods: Sequence[str] = ("plain", "adversarial", "agreement-15", CONSTANT),
    n: int = 60,
) -> Desk:
    """The desk with up to n slices of one target scanner, by default the one with the most failures that has good ones too.

    Args:
        segmenter: whose outlines are drawn; the predictions are those about the first segmenter seed.
        mine: numbers of the slices that you would send back, the first one first.
        predictions: a table of predictions; default: the run's.
        methods: which rankings; one that the table lacks is left out.

    Raises:
        BadInput: no such domain, no such slice, or no predictions.
    """
    table = run.predictions() if predictions is None else predictions
    quality = run.qualities[0]
    table = table[(table["quality"] == quality) & np.isfinite(table["predicted_score"])]
    if table.empty:
        raise BadInput(f"there are no predictions of {quality}; run lesson 04 first")
    pair = min(zip(*(table.loc[table["method"] != CONSTANT, column] for column in SEEDS)), default=(0, 0))
    table = table[(table[SEEDS] == list(pair)).all(axis=1) | (table["method"] == CONSTANT)]
    domain = domain or telling_scanner(table, run.experiment.slices.source_domain, FAILURE)
    if domain not in run.experiment.evaluated():
        raise BadInput(f"there is no domain {domain}; choose from {', '.join(run.experiment.evaluated())}")
    rows = with_images(run, table[table["domain"] == domain])
    if rows.empty:
        raise BadInput(f"there are no predictions on {domain}; choose from {', '.join(dict.fromkeys(table['domain']))}")
    of_method = {name: part.drop_duplicates(SLICE).set_index(SLICE) for name, part in rows.groupby("method", sort=False)}
    first = next(part for name, part in of_method.items() if name != CONSTANT)
    chosen = first.iloc[evenly(len(first), n)]
    scores = {
        name: of_method[name].loc[chosen.index, "predicted_score"].to_numpy(float) for name in methods if name in of_method
    }
    if CONSTANT in methods:
        scores[CONSTANT] = np.zeros(len(chosen))
    scores[MINE] = own_order(mine, len(chosen))
    cases = slices_of(run, segmenter, chosen.reset_index())
    desk = Desk(cases, scores, chosen["true_score"].to_numpy(float), run.quality(quality).measure.title)
    return desk.below(
        f"Slices of {domain} as they come from the scanner, with the network's outline. Those that are pale are sent back. "
        f"The star: how much is released, and how bad it is. `reveal` frames the failures, {desk.title} below {FAILURE:g}.",
        "A pile of numbered slices with outlines, some of them pale, and a risk-coverage curve with a star.",
        budget=Slider(0, 0, len(chosen), 1),
        rank_by=list(scores),
        reveal=False,
    )
