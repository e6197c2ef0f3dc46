"""Resampling: subjects and seeds are drawn anew, never slices."""

from __future__ import annotations

import zlib

import numpy as np
import pandas as pd

from advconf_lite.support.numbers import whole

FEWEST_SUBJECTS = 3  # below that, resampling subjects says nothing about the next one


def percentiles(values: np.ndarray) -> tuple[float, float]:
    defined = values[~np.isnan(values)]
    return tuple(np.percentile(defined, [2.5, 97.5])) if len(defined) else (np.nan, np.nan)


def draw_subjects(subjects: pd.Series, resamples: int, key: str | None = None, seed: int = 0) -> np.ndarray:
    """(resamples, n): how often the subject of each of n rows is drawn, as many of them as there are.

    `key` and `seed` name the draw. Without a key it is a function of the subjects alone, so that all tables that have
    them see the same one.

    Raises:
        BadInput: `resamples` or `seed` is no whole number of at least 0.
    """
    whole(resamples, "resamples")
    whole(seed, "seed")
    unique, member = np.unique(subjects.astype(str).to_numpy(str), return_inverse=True)
    rng = np.random.default_rng([seed, zlib.crc32(("|".join(unique) if key is None else key).encode())])
    counts = rng.multinomial(len(unique), np.full(len(unique), 1 / len(unique)), size=resamples)
    return counts[:, member].astype(np.float64)


def subject_weights(table: pd.DataFrame, resamples: int) -> np.ndarray:
    """(1 + resamples, n): how often each row's subject is drawn; once each in the first row, which is the data."""
    return np.vstack([np.ones(len(table)), draw_subjects(table["subject"], resamples)])


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
