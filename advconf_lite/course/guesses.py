"""A guess before the result: written down, compared, and kept for the scorecard.

One file, runs/guesses.json: it belongs to whoever works in this folder. The first guess counts, as it does with a coin
that is in the air; `again=True` replaces it, but only before the truth was shown. A run by papermill guesses nothing and
writes nothing.
"""

from __future__ import annotations

import json
import math
import numbers
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from advconf_lite.course.comparing import plain, shown
from advconf_lite.course.place import home
from advconf_lite.course.saying import never_raises, say, unanswered
from advconf_lite.support.errors import BadInput
from advconf_lite.support.files import write_text

Entry = dict[str, Any]  # guess, truth (once it was shown), sure, unit
_unsaved: dict[str, Entry] = {}  # what a folder without write access could not take


def guesses_path() -> Path:
    return home() / "runs" / "guesses.json"


def recorded() -> dict[str, Entry]:
    """Name -> guess, in the order in which they were made."""
    path, found = guesses_path(), {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not (isinstance(found, dict) and all(isinstance(e, dict) and "guess" in e for e in found.values())):
            raise ValueError("not a file of guesses")
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:  # JSON that is no JSON is a ValueError, too
        found = {}
        if path.is_file():
            kept = path.with_suffix(".unreadable.json")
            path.replace(kept)
            say(f"{path} could not be read ({error}); it is kept as {kept.name}, and a new one begins.")
    return found | _unsaved


def _record(name: str, entry: Entry) -> None:
    everything = recorded() | {name: entry}
    try:
        write_text(guesses_path(), json.dumps(everything, indent=1, ensure_ascii=False) + "\n")
        _unsaved.clear()
    except BadInput as error:
        _unsaved[name] = entry
        say(f"kept only until this notebook is closed: {error}")


@never_raises
def guess(
    name: str,
    value: float | str | None = None,
    sure: float | None = None,
    unit: str = "",
    choices: Sequence[str] | None = None,
    within: tuple[float, float] | None = None,
    again: bool = False,
) -> None:
    """Write down a guess before the result is seen; `reveal` compares.

    Args:
        name: of the question.
        value: a number or a choice; None as long as there is no guess.
        sure: how sure, from 0 to 1, if one wants to know how well one knows oneself.
        unit: of a number; "" is a score. Only scores count in the scorecard's MAE.
        choices: what may be chosen, if it is a choice.
        within: lowest and highest number that makes sense.
        again: replace the guess of before; without it the first one counts.
    """
    if unanswered(value):
        offered = f"one of {', '.join(map(str, choices))}" if choices else f"a number{f' in {unit}' if unit else ''}"
        say(f"{name}: no guess yet. Put {offered} in place of None, and run this cell again.")
        return
    value, problem = _understood(value, choices, within)
    if problem is None and sure is not None and not (isinstance(sure, numbers.Real) and 0 <= sure <= 1):
        problem = f"sure={shown(sure)} is no number from 0 (a toss of a coin) to 1 (certain)"
    if problem:
        say(f"{name}: not recorded, {problem}.")
        return
    before = recorded().get(name)
    if before is not None and "truth" in before:
        say(f"{name}: your guess {_with(before['guess'], unit)} was made before you saw the truth, and stays. "
            f"To begin anew, delete {_short(guesses_path())}.")  # fmt: skip
        return
    if before is not None and not again:
        same = before["guess"] == value
        other = "" if same else f"; {_with(value, unit)} does not replace it, unless you add again=True"
        say(f"{name}: your guess {_with(before['guess'], unit)} is recorded{other}.")
        return
    _record(name, {"guess": value, "unit": unit, "sure": None if sure is None else float(sure)})
    say(f"{name}: your guess {_with(value, unit)} is recorded.")


def _understood(value: Any, choices: Sequence[str] | None, within: tuple[float, float] | None) -> tuple[Any, str | None]:
    """The value as a number or one of the choices, and what is wrong with it."""
    value = plain(value)
    if choices:
        found = {str(choice).lower(): choice for choice in choices}.get(str(value).strip().lower())
        return found, None if found is not None else f"{value!r} is none of {', '.join(map(str, choices))}"
    if isinstance(value, str):
        try:
            value = float(value.strip().replace(",", "."))
        except ValueError:
            return value.strip(), None if value.strip() else "it is empty"
    if not isinstance(value, numbers.Real):
        return None, f"{shown(value)} is neither a number nor a choice"
    value = value if isinstance(value, bool | int) else float(value)
    if not math.isfinite(value):
        return None, f"{value} is no number that could be compared"
    if within and not within[0] <= value <= within[1]:
        advice = f"; is {value / 100:g} meant?" if within[0] <= value / 100 <= within[1] else ""
        return None, f"{value:g} is not from {within[0]:g} to {within[1]:g}{advice}"
    return value, None


@never_raises
def reveal(name: str, truth: Any, unit: str = "") -> None:
    """Show the truth beside the guess of this name; without a guess, the truth alone.

    Args:
        truth: a number or a choice, as computed.
        unit: of a number, if the guess has not said it.
    """
    truth = plain(truth)
    entry = recorded().get(name)
    unit = unit or (entry or {}).get("unit", "")
    if truth is None or (isinstance(truth, numbers.Real) and not math.isfinite(truth)):
        say(f"{name}: this run has no value for it.")
        return
    if entry is None:
        say(f"{name}: it is {_with(truth, unit)}; you made no guess.")
        return
    mine, number = entry["guess"], isinstance(truth, numbers.Real)
    if number != isinstance(mine, numbers.Real):
        say(f"{name}: it is {_with(truth, unit)}; your guess was {mine!r}, which cannot be compared with it.")
        return
    if "truth" not in entry:  # a second run has another truth, which the guess was not made for
        _record(name, entry | {"truth": truth if isinstance(truth, bool | int | str) else float(truth), "unit": unit})
    if not number:
        right = "right" if str(truth).lower() == str(mine).lower() else f"you had said {mine}"
        say(f"{name}: it is {truth}; {right}.")
        return
    error = mine - truth
    verdict = "exactly right" if error == 0 else f"{_with(abs(error), unit)} too {'high' if error > 0 else 'low'}"
    say(f"{name}: you guessed {_with(mine, unit)}, it is {_with(truth, unit)}: {verdict}.")


def _with(value: Any, unit: str) -> str:
    text = str(value)
    if isinstance(value, numbers.Real) and not isinstance(value, int):
        text = f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{text} {unit}".rstrip()


def _short(path: Path) -> str:
    return str(Path(*path.parts[-2:]))
