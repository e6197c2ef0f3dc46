"""`check` and `choose`: what a student has done is looked at, and a cell never fails for it."""

from __future__ import annotations

from typing import Any

from advconf_lite.course.exercise import HINT, NOT_YET, RIGHT, Choice, Outcome
from advconf_lite.course.exercises import find
from advconf_lite.course.saying import never_raises, say
from advconf_lite.support.errors import BadInput

MARKS = {NOT_YET: "[ ] not yet", RIGHT: "[x] right", HINT: "[!] hint"}


def outcome_of(name: str, answer: Any = None, **given: Any) -> Outcome:
    """Not yet, right, or a hint.

    Args:
        given: what the right answer depends on, such as a column of this run; see the exercise.

    Raises:
        BadInput: there is no such exercise.
    """
    record = find(name)
    return record.judge(answer) if isinstance(record, Choice) else record.judge(answer, given)


@never_raises
def check(name: str, answer: Any = None, **given: Any) -> None:
    """Look at an answer, and print one of three things: not yet, right, or a hint that names the mistake.

    Args:
        name: of the exercise.
        answer: a value, or the function that was to be written; None and `...` are the stub's.
        given: see `outcome_of`.
    """
    try:
        status, text = outcome_of(name, answer, **given)
    except BadInput as error:
        say(str(error))
    else:
        say(f"{MARKS[status]} · {name}{': ' + text if text else ''}")


@never_raises
def choose(name: str, answer: str | None = None) -> None:
    """Answer a multiple choice by its letter; without an answer the question and its options are printed."""
    check(name, answer)


def mine_or_ours(name: str, answer: Any = None, **given: Any) -> Any:
    """The student's answer if it is right, else ours: so that the lesson goes on, and says with which of the two.

    Raises:
        BadInput: there is no such exercise.
    """
    try:
        status = outcome_of(name, answer, **given).status
    except BadInput:
        raise
    except Exception:  # whatever the answer is, it is none to go on with
        status = HINT
    record = find(name)
    say(f"going on with {'your' if status == RIGHT else 'our'} {name}")
    if status == RIGHT:
        return answer
    return record.value if isinstance(record, Choice) else record.value(given)
