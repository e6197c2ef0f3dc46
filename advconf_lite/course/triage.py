"""Sending back a budget of slices: what is caught, and what is released."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import hypergeom

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
    """Send back the `budget` slices of the lowest confidence (n,), those without an answer first. Of slices of equal
    confidence each is as likely.

    Raises:
        BadInput: the budget is not 0 ... n.
    """
    confidence, true = np.asarray(confidence, float), np.asarray(true_score, float)
    confidence = np.where(np.isfinite(confidence), confidence, -np.inf)
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


def list_by_scanner(rows: pd.DataFrame, share: float = 0.1, failed_below: float = FAILURE) -> pd.DataFrame:
    """What a list of the lowest predicted scores catches on each scanner, beside lots.

    Args:
        rows: of a predictions table, of one method, quality and pair of seeds.
        share: of a scanner's slices that is sent back, one slice at least.

    Returns:
        Index domain; slices, failures, sent back, caught, by lot (the mean), and the chance that lots catch as many.
    """
    found = {}
    for domain, part in rows.groupby("domain", sort=False):
        budget = max(1, int(share * len(part)))
        now = triage(part["predicted_score"].to_numpy(), part["true_score"].to_numpy(), budget, failed_below)
        as_many = hypergeom.sf(np.ceil(now.caught - 1e-9) - 1, len(part), now.failures, budget)
        by_lot = budget * now.failures / len(part)
        found[domain] = (len(part), now.failures, budget, now.caught, by_lot, float(as_many))
    columns = ["slices", "failures", "sent back", "caught", "by lot", "chance of as many by lot"]
    return pd.DataFrame.from_dict(found, orient="index", columns=columns).rename_axis("domain")
