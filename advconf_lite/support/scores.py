"""Scores in whatever people keep them, as arrays; and what can be no score."""

from __future__ import annotations

from typing import Any

import numpy as np

from advconf_lite.support.errors import BadInput
from advconf_lite.support.numbers import real

PERCENT = 5  # predictions whose median lies above it are no estimates of scores in [0, 1]


def outside(true: np.ndarray) -> np.ndarray:
    """Which of the true scores do not lie in [0, 1]; NaN is none of them. float32 rounds."""
    return (true < -1e-6) | (true > 1 + 1e-6)


def percentages(predicted: np.ndarray) -> bool:
    """Whether predictions look like percentages: all from 0 to 100, and half of them far above 1."""
    answered = predicted[np.isfinite(predicted)]
    return bool(answered.size and answered.min() >= 0 and answered.max() <= 100 and np.median(answered) > PERCENT)


def score_array(values: Any, name: str) -> np.ndarray:
    """Scores in whatever holds numbers, as float64; NaN for what is missing."""
    try:
        if hasattr(values, "detach"):  # a tensor: bfloat16, with a graph, on a GPU
            values = values.detach().cpu().double().numpy()
        elif hasattr(values, "isna"):  # a series, whose own type of numbers may have gaps
            values = values.astype(object).where(~values.isna(), None).to_numpy()
        elif isinstance(values, np.ma.MaskedArray):
            values = values.astype(np.float64).filled(np.nan)
        array = np.asarray(values)
        if array.dtype == object and array.ndim == 1:
            numbers = [np.nan if value is None else real(value) for value in array]
            array = array if None in numbers else np.array(numbers, dtype=np.float64)
    except (ValueError, TypeError, RuntimeError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise BadInput(f"{name} is no array of numbers ({reason}); give one value per slice, as (n,)") from error
    if array.dtype.kind not in "biuf":
        raise BadInput(f"{name} holds {array.dtype.name} values; give one number per slice, as (n,)")
    return array.astype(np.float64)
