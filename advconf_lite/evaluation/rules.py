"""Three rules for a class that the truth of a slice lacks: which classes make the score of an image. Each is a name.

counted  all of them, as the heads are trained: such a class scores 1 if it is not drawn, and 0 if it is
present  those that the truth has, in the true and in the predicted score alike
CLASS    the class of that name alone, on the slices whose truth has it

Under `counted`, one bit (was a class drawn that is not there?) can make most of the spread of true scores. The others leave
it out, as MONAI's metrics do by default. They take from the truth which classes there are, as no deployed score can: they
are for telling what a finding rests on. A method with one number for all classes keeps it under each rule.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from advconf_lite.evaluation.per_domain import METRIC_COLUMNS, metrics_table
from advconf_lite.evaluation.predictions import ABSENT, KEYS, NONE_ABSENT, SEPARATOR, class_names
from advconf_lite.support.numbers import one_of

COUNTED, PRESENT = "counted", "present"
RULE = "rule"  # the column of a metrics table


def rules(predictions: pd.DataFrame) -> list[str]:
    """The rules under which these predictions can be seen, `counted` first; none twice under another name.

    `present` only if some slice lacks a class; those of classes only if there are several. An older version did not note
    what a slice lacks: its predictions, and others joined with them, have `counted` alone.
    """
    names = class_names(predictions)
    if not names or ABSENT not in predictions or predictions[ABSENT].isna().any():
        return [COUNTED]
    found = [COUNTED] if (predictions[ABSENT] == NONE_ABSENT).all() else [COUNTED, PRESENT]
    return [*found, *(name for name in names if len(names) > 1 and name not in (COUNTED, PRESENT))]


def under(predictions: pd.DataFrame, rule: str) -> pd.DataFrame:
    """Predictions whose `true_score` and `predicted_score` are those of a rule, for all that reads predictions.

    Left out are slices that have no score under it, and rows whose scores by class were not kept.

    Raises:
        BadInput: these predictions cannot be seen under that rule.
    """
    if one_of(rule, RULE, rules(predictions)) == COUNTED:
        return predictions
    names = class_names(predictions) if rule == PRESENT else [rule]
    true, predicted = (predictions[[f"{kind}_{name}" for name in names]].to_numpy(float) for kind in ("true", "predicted"))
    there = np.stack([~lacks(predictions[ABSENT], name) for name in names], 1) & ~np.isnan(true)
    kept = there.any(1)
    number = there[kept].sum(1)
    of_rule = {
        f"{kind}_score": np.where(there, scores, 0.0)[kept].sum(1) / number
        for kind, scores in (("true", true), ("predicted", predicted))
    }
    return predictions[kept].assign(**of_rule).reset_index(drop=True)


def over_all_classes(predictions: pd.DataFrame) -> pd.DataFrame:
    """Predictions of a run whose settings average over the present classes (`average_over`), averaged over all: as they can
    be where nobody knows the truth."""
    names = class_names(predictions)
    means = {
        f"{kind}_score": predictions[[f"{kind}_{n}" for n in names]].mean(axis=1, skipna=False)
        for kind in ("true", "predicted")
    }
    return predictions.assign(**means)


def lacks(absent: pd.Series, name: str) -> np.ndarray:
    """(n,), whether each of n cells of the column names this class. There are few different cells."""
    numbers, cells = pd.factorize(absent)
    return np.array([name in cell.split(SEPARATOR) for cell in cells], bool)[numbers]


def metrics_by_rule(predictions: pd.DataFrame, resamples: int = 1000, of_others: int = 0) -> pd.DataFrame:
    """What metrics.csv holds: `metrics_table` under each rule, `counted` first, with a column that names it.

    `of_others` is the number of resamples under the other rules: by default they have no intervals, for a table of all
    methods would take several times as long.
    """
    tables = [
        metrics_table(under(predictions, rule), resamples if rule == COUNTED else of_others).assign(**{RULE: rule})
        for rule in rules(predictions)
    ]
    return pd.concat(tables, ignore_index=True)[[*KEYS, RULE, *METRIC_COLUMNS[len(KEYS) :]]]


def counted(metrics: pd.DataFrame) -> pd.DataFrame:
    """The rows of a stored metrics table under `counted`, without the column; all of one that an older version wrote."""
    return metrics[metrics[RULE] == COUNTED].drop(columns=RULE).reset_index(drop=True) if RULE in metrics else metrics
