"""The scorecard: a student's guesses as if the student were a head, beside the head.

A guess of a score is a predicted score, so its MAE and eAURC are those of `metrics`, and read like a head's. Who also
says how sure a guess is gets one number more: the eAURC of being sure, with 1 - |error| as the score.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from advconf_lite.course.guesses import recorded
from advconf_lite.course.saying import never_raises, say
from advconf_lite.evaluation.per_domain import metrics_table
from advconf_lite.evaluation.predictions import SEEDS
from advconf_lite.figures.scorecard import own_scores
from advconf_lite.figures.style import show
from advconf_lite.metrics import eaurc, mae


def own_table() -> pd.DataFrame:
    """The guesses whose truth was shown: name, guess, truth, sure, unit, and `score`, whether it is a score."""
    rows = [{"name": name, **entry} for name, entry in recorded().items() if "truth" in entry]
    table = pd.DataFrame(rows, columns=["name", "guess", "truth", "sure", "unit"])
    score = [not unit and all(map(_is_score, pair)) for *pair, unit in zip(table["guess"], table["truth"], table["unit"])]
    return table.assign(score=np.array(score, bool))


def _is_score(value: Any) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool) and abs(value) <= 1


def own_numbers(table: pd.DataFrame) -> dict[str, float]:
    """MAE and eAURC of the guesses of scores, and of being sure; NaN where there are too few."""
    scores = table[table["score"]]
    guess, truth = scores["guess"].to_numpy(float), scores["truth"].to_numpy(float)
    sure = scores[scores["sure"].notna()]
    error = (sure["guess"] - sure["truth"]).abs().to_numpy(float).clip(0, 1)
    return {
        "n": len(scores),
        "mae": mae(guess, truth),
        "eaurc": eaurc(guess, truth) if len(scores) > 1 else np.nan,
        "sure": eaurc(sure["sure"].to_numpy(float), 1 - error) if len(sure) > 1 else np.nan,
    }


def head_numbers(predictions: pd.DataFrame, method: str, source: str | None, quality: str) -> dict[str, float]:
    """MAE and eAURC of a head: means over the target domains and pairs of seeds; and how many slices these are."""
    rows = predictions[(predictions["method"] == method) & (predictions["quality"] == quality)]
    rows = rows[rows["domain"] != source]
    table = metrics_table(rows, resamples=0)
    means = table.groupby(SEEDS)[["mae", "eaurc"]].mean().mean()
    pairs = len(table[SEEDS].drop_duplicates())
    return {"n": len(rows) // max(pairs, 1), "mae": means["mae"], "eaurc": means["eaurc"]}


@never_raises
def scorecard(run: Any = None, method: str = "adversarial", quality: str = "dice", source: str | None = None) -> None:
    """Print the student's MAE and eAURC beside a head's, list the guesses, and draw both.

    Args:
        run: the run whose head is compared, or its table of predictions with the name of the `source` domain; None for
            the student alone.
    """
    table = own_table()
    if table.empty:
        say("No guess has been compared with its truth yet: fill in a guess(...), and run the reveal(...) after it.")
        return
    mine, predictions = own_numbers(table), None
    if run is not None:
        predictions, source = _of(run, source)
        if not ((predictions["method"] == method) & (predictions["quality"] == quality)).any():
            say(f"this run has no {method} head for {quality}; here is your half alone.")
            predictions = None
    lines = [f"{'':22}{'guesses of':>12}{'MAE':>8}{'eAURC':>8}"]
    lines.append(_line("you", f"{mine['n']} scores", mine))
    if predictions is not None:
        head = head_numbers(predictions, method, source, quality)
        lines.append(_line(f"{method} head", f"{head['n']} slices", head))
    print("\n".join(lines))
    if not np.isnan(mine["sure"]):
        say(f"How well you know when you are right: eAURC {mine['sure']:.3f} (0: surest where you were nearest).")
    choices = table[[isinstance(value, str) for value in table["truth"]]]
    if len(choices):
        right = sum(str(a).lower() == str(b).lower() for a, b in zip(choices["guess"], choices["truth"]))
        say(f"Of {len(choices)} choices, {right} were right.")
    say("Lower is better in both. You and the head were asked about different things: read it as a mirror, not as a race.")
    scores = table[table["score"]].reset_index(drop=True)
    if len(scores):
        _draw(scores, predictions, method, quality, source)


def _draw(scores: pd.DataFrame, predictions: pd.DataFrame | None, method: str, quality: str, source: str | None) -> None:
    head = None
    if predictions is not None:
        rows = predictions[(predictions["method"] == method) & (predictions["quality"] == quality)]
        rows = rows[rows["domain"] != source]
        first = rows[SEEDS].drop_duplicates().sort_values(SEEDS).iloc[0]
        rows = rows[(rows[SEEDS] == first).all(axis=1)]
        head = rows["predicted_score"].to_numpy(float), rows["true_score"].to_numpy(float)
    figure = own_scores(scores["guess"].to_numpy(float), scores["truth"].to_numpy(float), head, method)
    names = "; ".join(f"{number} {name}" for number, name in enumerate(scores["name"], start=1))
    alt = f"Your {len(scores)} guess{'es' if len(scores) > 1 else ''} of scores against what is true"
    alt += f", over the predictions of the {method} head" if head else ""
    show(figure, f"{alt}; on the dashed line a guess is right. {names}.", alt=alt)


def _of(run: Any, source: str | None) -> tuple[pd.DataFrame, str | None]:
    if isinstance(run, pd.DataFrame):
        return run, source
    return run.predictions(), source or run.experiment.slices.source_domain


def _line(who: str, what: str, numbers: dict[str, float]) -> str:
    cells = ("-" if np.isnan(numbers[name]) else f"{numbers[name]:.3f}" for name in ("mae", "eaurc"))
    return f"{who:22}{what:>12}" + "".join(f"{cell:>8}" for cell in cells)
