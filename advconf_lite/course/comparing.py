"""Is what a student has the same as what is right? If not, in which way: kind, shape, size, entry."""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from typing import Any

import numpy as np

HUGE = 1e300  # whole numbers above it cannot be subtracted from a float


@dataclass(frozen=True)
class Band:
    """Any number from `low` to `high` is right: for what another machine, or another seed, makes a little different."""

    low: float
    high: float

    @property
    def middle(self) -> float:
        return (self.low + self.high) / 2


def plain(value: Any) -> Any:
    """Tensors, pandas' columns and numpy's scalars as numpy arrays, numbers and containers of them."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    if hasattr(value, "to_numpy"):
        value = value.to_numpy()
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | range):
        entries = [plain(entry) for entry in value]
        try:
            array = np.asarray(entries)
        except ValueError:  # rows of different lengths
            return entries
        return entries if array.dtype == object else array
    if isinstance(value, np.ndarray | np.generic) and value.ndim == 0:
        return value.item()
    return value


def difference(got: Any, right: Any, tolerance: float = 1e-4) -> str | None:
    """None if `got` is right within `tolerance`, NaN being equal to NaN; else what is different, as "is ..."."""
    got, right = plain(got), plain(right)
    if isinstance(right, Band):
        inside = isinstance(got, numbers.Real) and right.low <= got <= right.high
        return None if inside else _of_numbers(got, right.middle, 0.0)
    if isinstance(right, dict):
        return _of_dicts(got, right, tolerance)
    if isinstance(right, set | frozenset):
        return None if isinstance(got, set | frozenset) and got == right else "is not the set that was asked for"
    if isinstance(right, np.ndarray):
        return _of_arrays(got, right, tolerance)
    if isinstance(right, list):
        if not isinstance(got, list | np.ndarray) or len(got) != len(right):
            return f"should be {len(right)} things in a row"
        return next((found for one, other in zip(got, right) if (found := difference(one, other, tolerance))), None)
    if isinstance(right, bool | str):
        return None if type(got) is type(right) and got == right else f"is {shown(got)}, not {right!r}"
    return _of_numbers(got, right, tolerance)


def _of_numbers(got: Any, right: float, tolerance: float) -> str | None:
    if isinstance(got, np.ndarray) and got.size == 1:
        got = got.item()
    if not isinstance(got, numbers.Real):
        return f"is {shown(got)}, and a number was asked for"
    if right != right or got != got:  # NaN
        return None if right != right and got != got else f"is {shown(got)}, not {shown(right)}"
    if got == right or (abs(got) < HUGE and abs(got - right) <= tolerance * (1 + 1e-9)):
        return None
    return "is too high" if got > right else "is too low"


def _of_arrays(got: Any, right: np.ndarray, tolerance: float) -> str | None:
    if not isinstance(got, np.ndarray):
        return f"is {shown(got)}, and {_kind(right)} was asked for"
    if got.shape != right.shape:
        return f"has shape {got.shape}, and {right.shape} was asked for"
    if right.dtype.kind in "biufc" and got.dtype.kind in "biufc":
        same = np.isclose(got.astype(float), right.astype(float), rtol=0, atol=tolerance, equal_nan=True)
    else:
        same = got == right
    if np.all(same):
        return None
    place = tuple(int(number) for number in np.argwhere(~same)[0])
    entry = place[0] if len(place) == 1 else place
    return f"differs in {int((~same).sum())} of {same.size} places, first at [{entry}]"


def _of_dicts(got: Any, right: dict, tolerance: float) -> str | None:
    if not isinstance(got, dict):
        return f"is {shown(got)}, and a dict was asked for"
    if missing := [str(key) for key in right if key not in got]:
        return f"lacks {', '.join(missing)}"
    wrong = [str(key) for key, value in right.items() if difference(got[key], value, tolerance)]
    return f"is right in {len(right) - len(wrong)} of {len(right)}; look again at: {', '.join(wrong)}" if wrong else None


def _kind(array: np.ndarray) -> str:
    return f"an array of shape {array.shape}"


def shown(value: Any) -> str:
    """A value in a few characters: four digits of a number, an array's shape."""
    value = plain(value)
    if isinstance(value, np.ndarray):
        values = np.array2string(value, precision=4, threshold=6) if value.size <= 6 else ""
        return values.replace("\n", "") or _kind(value)
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        return f"{value:.4g}"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
