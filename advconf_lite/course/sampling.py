"""What lesson 05 looks at: agreement of some slices with few and with many samples, and agreement taken for an estimate."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from advconf_lite.agreement import monte_carlo_masks, score_agreement
from advconf_lite.course.pictures import evenly
from advconf_lite.evaluation.predictions import CONSTANT
from advconf_lite.experiment.run import Run
from advconf_lite.experiment.scoring import true_scores
from advconf_lite.figures.agreement import AgreementFigure
from advconf_lite.segmenter import Segmenter

DRAWS = 200  # of N of the samples, for the spread


@dataclass(frozen=True)
class FewSlices:
    """Some slices of the targets with their samples' pairs.

    Attributes:
        pairs: (slices, n, n) quality of each sample against each other one; NaN on the diagonal.
        true: (slices,) the true quality.
    """

    pairs: np.ndarray
    true: np.ndarray

    def agreement(self, n: int) -> np.ndarray:
        """(slices,) of the first n samples."""
        return np.nanmean(self.pairs[:, :n, :n], axis=(1, 2))

    def spread(self, n: int) -> np.ndarray:
        """(slices,) standard deviation over which n of the samples were drawn; 0 where all are taken."""
        rng, most = np.random.default_rng(0), self.pairs.shape[1]
        drawn = [rng.permutation(most)[:n] for _ in range(DRAWS)]
        return np.std([np.nanmean(self.pairs[:, d][:, :, d], axis=(1, 2)) for d in drawn], axis=0)


def few_slices(run: Run, segmenter: Segmenter, n_slices: int = 24, samples: int = 15, seed: int = 0) -> FewSlices:
    """Slices evenly over the targets, or over the source where there is no target, segmented `samples` times each."""
    source, *targets = run.experiment.evaluated().values()
    rows = [(part, row) for part in targets or [source] for row in range(len(part))]
    chosen = [rows[place] for place in evenly(len(rows), n_slices)]
    x = torch.stack([part.images[row] for part, row in chosen]).to(run.device)
    y = torch.stack([part.masks[row] for part, row in chosen]).to(run.device)
    masks, g = monte_carlo_masks(segmenter, x, samples, seed), run.quality(run.qualities[0])
    pairs = np.full((len(chosen), samples, samples), np.nan)
    for i, j in itertools.combinations(range(samples), 2):
        pairs[:, i, j] = pairs[:, j, i] = score_agreement(masks[[i, j]], g).mean(1).cpu().numpy()
    true = true_scores(run, segmenter.masks(x), y, run.qualities[0])
    return FewSlices(pairs, true.cpu().numpy())


def sample_slider(few: FewSlices, quality: str) -> Callable[..., tuple[Figure | np.ndarray, str]]:
    """The drawing for `explore` with a slider `samples`."""
    figure = AgreementFigure(few.true, quality)

    def draw(samples: int) -> tuple[Figure | np.ndarray, str]:
        values, spread = few.agreement(samples), few.spread(samples)
        return figure.draw(values, spread, samples), (
            f"N = {samples}, {samples * (samples - 1) // 2} pairs: mean agreement {values.mean():.3f}, "
            f"mean spread of a slice {spread.mean():.3f}; mean true {quality} {few.true.mean():.3f}"
        )

    return draw


def as_estimate(predictions: pd.DataFrame, source: str | None, quality: str) -> pd.DataFrame:
    """Every method as if it estimated, over the targets: mean true and mean given score, the difference of the means, and
    the mean distance of a slice; `estimates` says whether the method claims to."""
    rows = predictions[(predictions["quality"] == quality) & (predictions["method"] != CONSTANT)]
    targets = rows[rows["domain"] != source]
    rows = (targets if len(targets) else rows).assign(distance=lambda t: (t["predicted_score"] - t["true_score"]).abs())
    columns = {"estimates": "first", "true_score": "mean", "predicted_score": "mean", "distance": "mean"}
    table = rows.groupby("method", sort=False).agg(columns)
    table.insert(3, "difference of the means", table["predicted_score"] - table["true_score"])
    words = {"true_score": "mean true", "predicted_score": "mean given", "distance": "distance of a slice"}
    return table.rename(columns=words)
