"""Resampling: subjects and seeds are drawn anew, never slices."""

from __future__ import annotations

import zlib

import numpy as np
import pandas as pd

FEWEST_SUBJECTS = 3  # below that, resampling subjects says nothing about the next one


def percentiles(values: np.ndarray) -> tuple[float, float]:
    defined = values[~np.isnan(values)]
    return tuple(np.percentile(defined, [2.5, 97.5])) if len(defined) else (np.nan, np.nan)


def subject_weights(table: pd.DataFrame, resamples: int) -> np.ndarray:
    """(1 + resamples, n): how often each row's subject is drawn; once each in the first row, which is the data."""
    subjects, member = np.unique(table["subject"].astype(str), return_inverse=True)
    # A function of the subjects alone, so that every seed and every domain that has them sees the same draw.
    rng = np.random.default_rng([0, zlib.crc32("|".join(subjects).encode())])
    counts = rng.multinomial(len(subjects), np.full(len(subjects), 1 / len(subjects)), size=resamples)
    return np.vstack([np.ones(len(table)), counts[:, member]])


def seed_weights(pairs: list[tuple[int, int]], resamples: int) -> np.ndarray:
    """(1 + resamples, pairs): how often each pair of seeds is drawn; the first row is the data.

    Segmenters are drawn first; each time that one is drawn, as many of its head seeds are as it has.
    """
    rng = np.random.default_rng(1)
    segmenters = sorted({segmenter for segmenter, _ in pairs})
    drawn = rng.multinomial(len(segmenters), np.full(len(segmenters), 1 / len(segmenters)), size=resamples)
    weights = np.ones((1 + resamples, len(pairs)))
    for number, segmenter in enumerate(segmenters):
        own = [place for place, pair in enumerate(pairs) if pair[0] == segmenter]
        weights[1:, own] = rng.multinomial(drawn[:, number] * len(own), np.full(len(own), 1 / len(own)))
    return weights
