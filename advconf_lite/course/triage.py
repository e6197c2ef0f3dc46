"""Sending back a budget of slices: what is caught, and what is released."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from advconf_lite.course.exercises.lesson_00 import FAILURE
from advconf_lite.support.errors import BadInput


class Triage(NamedTuple):
    """What comes of sending back a budget of slices.

    sent_back: (n,) share of each slice: 0 or 1, between where the budget cuts slices of equal confidence.
    caught, failures: how many failures were sent back, and how many there are; caught is an expectation where ties are cut.
    released: mean true score of the rest, NaN if there is none.
    """

    sent_back: np.ndarray
    caught: float
    failures: int
    released: float

    @property
    def coverage(self) -> float:
        return float(1 - self.sent_back.mean())

    @property
    def risk(self) -> float:
        return 1 - self.released


def triage(confidence: np.ndarray, true_score: np.ndarray, budget: int, failed_below: float = FAILURE) -> Triage:
    """Send back the `budget` slices of the lowest confidence (n,). Of slices of equal confidence each is as likely.

    Raises:
        BadInput: the budget is not 0 ... n.
    """
    confidence, true = np.asarray(confidence, float), np.asarray(true_score, float)
    if not 0 <= budget <= len(true):
        raise BadInput(f"the budget is {budget}; give 0 to {len(true)}, the number of slices")
    sent_back = np.zeros(len(true))
    left = float(budget)
    for value in np.unique(confidence):  # the lowest first
        tied = confidence == value
        sent_back[tied] = min(1.0, left / tied.sum())
        left = max(0.0, left - tied.sum())
    failed, kept = true < failed_below, 1 - sent_back
    released = float((kept * true).sum() / kept.sum()) if budget < len(true) else float("nan")
    return Triage(sent_back, float(sent_back[failed].sum()), int(failed.sum()), released)
