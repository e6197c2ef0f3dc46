"""Do the artefacts hold? Their numbers, computed again from weights and images; and beside a second making of all of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from advconf_lite.course.edition import PAIR
from advconf_lite.evaluation.predictions import SEEDS, SLICE
from advconf_lite.experiment.run import Run
from advconf_lite.experiment.scoring import head_tables
from advconf_lite.support.errors import BadInput

# Of a score: four decimals are stored, and another machine's sums may turn a pixel at the outline.
SAME = 0.02
# Between two trainings on other machines or numbers of threads: a mean over all slices. On the same, all is equal.
ALIKE = {"true_score": 0.05, "predicted_score": 0.1}


def check_scores(run: Run) -> str:
    """Predict every slice of a `ShippedRun` again; a sentence on how near the stored scores are.

    Raises:
        BadInput: one is too far, or is not stored.
    """
    heads = run.heads(*PAIR)
    now = pd.concat(head_tables(run, run.segmenter(PAIR[0]), heads, *PAIR))
    both = now.merge(run.predictions(), on=[*SLICE, "quality", "method", *SEEDS], suffixes=("", "_was"))
    scores = [column for column in now if column.startswith(("true_", "predicted_"))]
    worst = max(float(np.abs(both[name] - both[f"{name}_was"]).max()) for name in scores)
    if len(both) != len(now) or not worst <= SAME:
        what = f"differ by up to {worst:.4f}" if len(both) == len(now) else f"lack {len(now) - len(both)} slices"
        raise BadInput(f"{run.data}: the stored scores {what} from what its weights and images give; make it anew")
    slices, names = len(now[SLICE].drop_duplicates()), ", ".join(method for method, _ in heads)
    return f"{run.data}: {names} score {slices} slices as it is stored (largest difference {worst:.4f})"


def check_alike(there: Path, again: Path) -> str:
    """Hold the predictions of one organ's folder against those of a second making; a sentence on how near they are.

    Raises:
        BadInput: a method's mean score is too far from the stored one.
    """
    was, now = (_means(folder) for folder in (there, again))
    if list(was.index) != list(now.index):
        raise BadInput(f"{there}: its methods are others than those that are made now; make it anew")
    largest = 0.0
    for name, most in ALIKE.items():
        difference = (was[name] - now[name]).abs()
        key = difference.idxmax()
        largest = max(largest, float(difference[key]))
        if not difference[key] <= most:
            raise BadInput(
                f"{there}: the mean {name} of {' '.join(key)} is {was[name][key]:.3f}, and made again {now[name][key]:.3f}; "
                "find out what changed, or make it anew"
            )
    return f"{there.name}: made again, no mean score of a method differs by more than {largest:.4f}"


def _means(folder: Path) -> pd.DataFrame:
    """Mean scores of each method over all slices and seeds."""
    columns = ["true_score", "predicted_score"]
    return pd.read_csv(folder / "predictions.csv.xz").groupby(["method", "quality"])[columns].mean()
