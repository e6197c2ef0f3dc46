"""What a clinic would meet in a protocol: what a threshold releases, whether a score of 0.8 is worth 0.8, and how often a
class is drawn that is not there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from evidence_tables import as_text, joined
from studies import Study

from advconf_lite.course.exercises.lesson_00 import FAILURE
from advconf_lite.evaluation.bootstrap import persons
from advconf_lite.evaluation.predictions import ABSENT, CONSTANT, SEEDS, SLICE, class_names
from advconf_lite.evaluation.release import NAMES, TARGETS, release_table, thresholds_of
from advconf_lite.evaluation.reliability import reliability
from advconf_lite.evaluation.rules import lacks

Pairs = Sequence[tuple[int, int]]
RISKS = (0.1, 0.2)  # mean of 1 - true score of what is released: that of `python -m advconf_lite triage`, and twice that
DIGITS = "{:.3f}"
DRAWN = 0.5  # a class that the truth lacks scores 1 if it is not drawn, and 0 if it is


def release(studies: Sequence[Study], pairs: Pairs, resamples: int) -> pd.DataFrame:
    """What thresholds for each of `RISKS` let through, per domain and of all targets together, as text. Mapped methods are
    left out, for a line changes no decision; and the constant, which decides nothing."""
    known = [(study.predictions(pairs), study.validation(pairs), study.source) for study in studies]
    columns = [name + end for name in NAMES for end in ("", "_low", "_high")]
    table = pd.concat([_released(known, risk, resamples).assign(risk=risk) for risk in RISKS], ignore_index=True)
    order = ["risk", "quality", "method", "domain", "threshold", "without_threshold"]
    return as_text(table, dict.fromkeys(["threshold", *columns], DIGITS))[[*order, *columns]]


def _released(known: Sequence[tuple[pd.DataFrame, pd.DataFrame, str]], risk: float, resamples: int) -> pd.DataFrame:
    """`release_table` over all folds, each of (predictions, validation, source) with thresholds of its own."""
    key, tables, found = ["quality", "method", *SEEDS], [], []
    for predictions, validation, source in known:
        thresholds = thresholds_of(validation, source, risk)
        rows = predictions.merge(thresholds, on=key)
        tables.append(rows.assign(predicted_score=rows["predicted_score"] - rows["threshold"]).drop(columns="threshold"))
        found.append(thresholds)
    table, thresholds = pd.concat(tables, ignore_index=True), pd.concat(found, ignore_index=True)
    targets = table[table["domain"] != source]
    targets = targets.assign(subject=persons(targets), dataset=targets["domain"], domain=TARGETS)
    behind = thresholds.drop_duplicates(key).assign(threshold=0.0)  # they have been taken off
    released = release_table(pd.concat([table, targets], ignore_index=True), behind, FAILURE, resamples)
    each = thresholds.replace(np.inf, np.nan).groupby(["quality", "method"])["threshold"]
    summed = pd.DataFrame({"threshold": each.mean(), "without_threshold": each.size() - each.count()})
    return released.drop(columns="threshold").merge(summed.reset_index(), on=["quality", "method"])


def bins(studies: Sequence[Study], pairs: Pairs, resamples: int) -> pd.DataFrame:
    """Mean predicted and true score in five bins of as many slices each, of the source and of the targets, as text."""
    table = joined(studies, pairs)
    found = reliability(table[table["estimates"] & (table["method"] != CONSTANT)], studies[0].source, resamples=resamples)
    found = found.rename(columns={"low": "true_low", "high": "true_high"})
    return as_text(found, dict.fromkeys(["predicted", "true", "true_low", "true_high"], DIGITS))


def absent(studies: Sequence[Study], pairs: Pairs) -> pd.DataFrame:
    """How many slices lack a class, on how many of these it is drawn (mean over segmenters; the lowest and the highest), and
    what share of the variance of Dice that one bit explains; as text."""
    source, rows = studies[0].source, []
    validation = pd.concat([study.validation(pairs) for study in studies])
    known, tested = (_each_mask_once(table) for table in (validation, joined(studies, pairs)))
    groups = {f"{source}, validation": known, **dict(list(tested.groupby("domain", sort=False)))}
    groups[TARGETS] = tested[tested["domain"] != source]
    for name in class_names(tested):
        for domain, table in groups.items():
            found = [_drawn(of_segmenter, name) for _, of_segmenter in table.groupby("segmenter_seed")]
            if any(lacking for lacking, *_ in found):
                share, drawn, explained = np.array(found).T
                rows.append([name, domain, share.mean(), drawn.mean(), drawn.min(), drawn.max(), explained.mean()])
    numbers = ["lacking", "drawn", "drawn_low", "drawn_high", "explained"]
    return as_text(pd.DataFrame(rows, columns=["class", "domain", *numbers]), dict.fromkeys(numbers, DIGITS))


def _each_mask_once(table: pd.DataFrame) -> pd.DataFrame:
    """One row for each slice and segmenter: of Dice, and whatever method."""
    return table[table["quality"] == "dice"].drop_duplicates([*SLICE, "segmenter_seed"])


def _drawn(rows: pd.DataFrame, name: str) -> tuple[float, float, float]:
    lacking = lacks(rows[ABSENT], name)
    wrong = lacking & (rows[f"true_{name}"].to_numpy(float) < DRAWN)
    apart = 0 < wrong.sum() < len(rows)
    explained = np.corrcoef(wrong, rows["true_score"].to_numpy(float))[0, 1] ** 2 if apart else np.nan
    return lacking.mean(), wrong.sum() / lacking.sum() if lacking.any() else np.nan, explained
