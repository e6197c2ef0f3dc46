"""Numbers and names that a user gives, checked: a refusal names the argument, what it was and what is allowed."""

from __future__ import annotations

import dataclasses
import math
import operator
from collections.abc import Iterable
from typing import Any

from advconf_lite.support.errors import BadInput


def whole(value: Any, name: str, least: int | None = 0, most: int | None = None, note: str = "") -> int:
    """`value` as an int, whatever library's whole number it is; neither True nor 3.0 nor "3" is one.

    Raises:
        BadInput: it is none, or lies outside `least` to `most`.
    """
    try:
        found = None if _is_bool(value) else operator.index(value)
    except (TypeError, ValueError, RuntimeError):  # of a torch tensor with several values, or on a device without any
        found = None
    if found is None or (least is not None and found < least) or (most is not None and found > most):
        allowed = f" of at least {least}" if most is None else f" from {least} to {most}"
        raise BadInput(f"{name} is {value!r}; give a whole number{'' if least is None else allowed}{note}")
    return found


def real(value: Any) -> float | None:
    """`value` as a float if it is one number, also one of a 0-d array or tensor; None for text, None, True and arrays."""
    if value is None or isinstance(value, str | bytes) or _is_bool(value) or getattr(value, "ndim", 0):
        return None
    try:
        return float(value.detach() if hasattr(value, "detach") else value)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        return None


def within(value: Any, name: str, least: float, most: float = math.inf, above: bool = False) -> float:
    """`value` as a float from `least` to `most`; above `least` if it must not be reached.

    Raises:
        BadInput: it is no number, not finite, or lies outside.
    """
    found = real(value)
    if found is None or not math.isfinite(found) or not least <= found <= most or (above and found == least):
        allowed = f"above {least:g}" if above else f"of at least {least:g}"
        raise BadInput(f"{name} is {value!r}; give a number {allowed}{'' if most == math.inf else f', at most {most:g}'}")
    return found


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool) or str(getattr(value, "dtype", "")).endswith("bool")


def one_of(value: Any, name: str, allowed: Iterable[str]) -> str:
    """`value`, or BadInput unless it is one of the allowed words."""
    known = list(allowed)
    if not isinstance(value, str) or value not in known:
        raise BadInput(f"{name} is {value!r}; choose from {', '.join(known)}")
    return value


def check_numbers(values: Any, counts: Iterable[str] = (), shares: Iterable[str] = ()) -> None:
    """Check each number of a dataclass by its type: 0 or more, `counts` at least 1, `shares` at most 1.

    Raises:
        BadInput: one is of another kind, or outside.
    """
    for field in dataclasses.fields(values):
        kind, value, name = str(field.type), getattr(values, field.name), f"setting {field.name}"
        if value is None and "None" in kind:
            continue
        if kind == "bool" and not isinstance(value, bool):
            raise BadInput(f"{name} is {value!r}; give True or False")
        if kind.startswith("int"):
            whole(value, name, 1 if field.name in counts else 0)
        if kind.startswith("float"):
            within(value, name, 0, 1 if field.name in shares else math.inf)
