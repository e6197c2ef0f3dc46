"""Grades and what they were worth: true scores of any slices, and the slices about which a head promised too much."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from advconf_lite.course.evidence import with_images
from advconf_lite.course.pictures import Heads, slices_of
from advconf_lite.experiment.parts import Part
from advconf_lite.experiment.run import Run
from advconf_lite.experiment.scoring import true_scores
from advconf_lite.figures.outlines import Outlined
from advconf_lite.figures.promises import by_excess
from advconf_lite.methods.registry import head_methods
from advconf_lite.segmenter import Segmenter


def judges(run: Run) -> list[str]:
    """The heads that a lesson speaks of: plain and adversarial, as far as the run has them, or else what heads it has."""
    return [name for name in ("plain", "adversarial") if name in run.methods] or head_methods(run.methods)


def scores_of(run: Run, segmenter: Segmenter, part: Part, quality: str) -> np.ndarray:
    """True quality of the segmenter's masks of a part's slices, (N,)."""
    found = []
    for x, y in zip(part.images.to(run.device).split(64), part.masks.to(run.device).split(64)):
        found.append(true_scores(run, segmenter.masks(x), y, quality))
    return torch.cat(found).cpu().numpy()


def rows_of(predictions: pd.DataFrame, method: str, quality: str) -> pd.DataFrame:
    """Rows of one method and quality."""
    return predictions[(predictions["method"] == method) & (predictions["quality"] == quality)]


def over_promised(run: Run, segmenter: Segmenter, heads: Heads, rows: pd.DataFrame, n: int = 3) -> list[Outlined]:
    """The slice of each domain that was promised most above its truth; of these the n worst, with outlines and grades.

    Args:
        rows: of the predictions table, one method and quality. Slices whose image is not there are left out: of what
            ships, scores are more than images.
    """
    worst = by_excess(with_images(run, rows)).drop_duplicates("domain").head(n)
    return slices_of(run, segmenter, worst, heads)
