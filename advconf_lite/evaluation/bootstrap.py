"""Resampling: subjects and seeds are drawn anew, never slices."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import pandas as pd

from advconf_lite.support.numbers import whole

FEWEST_SUBJECTS = 3  # below that, resampling subjects says nothing about the next one


def percentiles(values: np.ndarray) -> tuple[float, float]:
    defined = values[~np.isnan(values)]
    return tuple(np.percentile(defined, [2.5, 97.5])) if len(defined) else (np.nan, np.nan)


def draw_subjects(
    subjects: pd.Series, resamples: int, key: str | None = None, seed: int = 0, among: Sequence[str] | None = None
) -> np.ndarray:
    """(resamples, n): how often the subject of each of n rows is drawn, as many of them as there are.

    `key` and `seed` name the draw. Without a key it is a function of the subjects alone, so that all tables that have
    them see the same one. `among` names those that are drawn from, if they are more than the rows have.

    Raises:
        BadInput: `resamples` or `seed` is no whole number of at least 0.
    """
    whole(resamples, "resamples")
    whole(seed, "seed")
    names = subjects.astype(str).to_numpy(str)
    unique = np.unique(names if among is None else np.array(among, str))
    member = np.searchsorted(unique, names)
    rng = np.random.default_rng([seed, zlib.crc32(("|".join(unique) if key is None else key).encode())])
    counts = rng.multinomial(len(unique), np.full(len(unique), 1 / len(unique)), size=resamples)
    return counts[:, member].astype(np.float64)


def subject_weights(table: pd.DataFrame, resamples: int, among: Sequence[str] | None = None) -> np.ndarray:
    """(1 + resamples, n): how often each row's subject is drawn; once each in the first row, which is the data."""
    return np.vstack([np.ones(len(table)), draw_subjects(table["subject"], resamples, among=among)])


def persons(table: pd.DataFrame) -> pd.Series:
    """Of each row who was seen, "dataset/subject": one person in whatever domains."""
    return table["dataset"].astype(str) + "/" + table["subject"].astype(str)


def drawn_together(table: pd.DataFrame) -> dict[str, list[str]]:
    """Domain -> the subjects that are drawn for it: its own, and all of the domains that share one with it, or with one of
    those. A person who was seen twice is one person, though not everybody was."""
    found: list[tuple[set[str], dict[str, str]]] = []  # domains, and person -> subject
    for domain, rows in table.groupby("domain", sort=False):
        domains, people = {domain}, dict(zip(persons(rows), rows["subject"].astype(str)))
        for other in [each for each in found if each[1].keys() & people.keys()]:
            found.remove(other)
            domains, people = domains | other[0], people | other[1]
        found.append((domains, people))
    return {domain: sorted(set(people.values())) for domains, people in found for domain in domains}


def seed_weights(pairs: list[tuple[int, int]], resamples: int) -> np.ndarray:
    """(1 + resamples, pairs): how often each pair of seeds is drawn; the first row is the data.

    Segmenters are drawn first; each time that one is drawn, as many of its head seeds are as it has.
    """
    whole(resamples, "resamples")
    rng = np.random.default_rng(1)
    segmenters = sorted({segmenter for segmenter, _ in pairs})
    drawn = rng.multinomial(len(segmenters), np.full(len(segmenters), 1 / len(segmenters)), size=resamples)
    weights = np.ones((1 + resamples, len(pairs)))
    for number, segmenter in enumerate(segmenters):
        own = [place for place, pair in enumerate(pairs) if pair[0] == segmenter]
        weights[1:, own] = rng.multinomial(drawn[:, number] * len(own), np.full(len(own), 1 / len(own)))
    return weights
