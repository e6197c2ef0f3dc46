"""What an exercise is, and how an answer is judged: not yet, right, or a hint that names the mistake.

A hint looks at what comes out and not at how it is written. A known mistake is therefore a function: what somebody who
makes it would get. Right values are computed like that too, by the core where it can, so no answer is stored here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from advconf_lite.course.calling import TheirError, call
from advconf_lite.course.comparing import Band, difference, shown
from advconf_lite.course.saying import unanswered
from advconf_lite.support.errors import BadInput

NOT_YET, RIGHT, HINT = "not yet", "right", "hint"


class Outcome(NamedTuple):
    """Of one answer: `status` is NOT_YET, RIGHT or HINT."""

    status: str
    text: str


def _joined(first: str, hint: str) -> str:
    """Two sentences; the second may be empty."""
    return f"{first}{'' if first[-1] in '.?!' else '.'} {hint}".rstrip()


@dataclass(frozen=True)
class Mistake:
    """A known way to be wrong: the arguments of `Exercise.right` -> what one then gets; and the hint that names it."""

    does: Callable[..., Any]
    hint: str


@dataclass(frozen=True)
class Exercise:
    """One exercise; a file of `course/exercises` holds those of a lesson.

    Attributes:
        name: as `check` knows it.
        asked: what is asked, in one or two sentences; the stub repeats it.
        right: what is right. With `cases` the student writes this function; else it gives the value that is asked for.
        cases: makes label -> the arguments of one call; asked anew for each call, since a student's code, or an optimiser's
            step, may change them in place.
        given: the arguments of `right` where a value is asked for, if the lesson does not hand them to `check`.
        observe: (function, *arguments) -> what is compared; default: what the function returns.
        tolerance: of every number.
        praise: one sentence, after a right answer; what it is good for.
        hint: for an answer that is wrong in no known way.
    """

    name: str
    asked: str
    right: Callable[..., Any]
    cases: Callable[[], dict[str, tuple]] | None = None
    given: Callable[[], dict[str, Any]] = dict
    observe: Callable[..., Any] = lambda function, *arguments: function(*arguments)
    mistakes: tuple[Mistake, ...] = ()
    tolerance: float = 1e-4
    praise: str = ""
    hint: str = ""

    def value(self, given: dict[str, Any]) -> Any:
        """What is right: the function, or the value for what is `given`."""
        if self.cases:
            return self.right
        value = self.right(**(self.given() | given))
        return value.middle if isinstance(value, Band) else value

    def judge(self, answer: Any, given: dict[str, Any]) -> Outcome:
        if self.cases and given:
            raise BadInput(f"{self.name} asks for a function, and has its cases; leave out {', '.join(given)}")
        if unanswered(answer):
            return Outcome(NOT_YET, self.asked)
        return self._judge_function(answer) if self.cases else self._judge_value(answer, self.given() | given)

    def _judge_value(self, answer: Any, given: dict[str, Any]) -> Outcome:
        wrong = difference(answer, self.right(**given), self.tolerance)
        if wrong is None:
            return Outcome(RIGHT, self.praise)
        for mistake in self.mistakes:
            if difference(answer, mistake.does(**given), self.tolerance) is None:
                return Outcome(HINT, mistake.hint)
        return Outcome(HINT, _joined(f"your answer {wrong}", self.hint))

    def _judge_function(self, answer: Any) -> Outcome:
        if not callable(answer):
            return Outcome(HINT, f"a function was asked for, and this is {shown(answer)}: give its name, without brackets.")
        got: dict[str, Any] = {}
        failed: dict[str, str] = {}
        for label in self.cases():
            try:
                got[label] = call(self.observe, answer, *self.cases()[label], theirs=answer)
            except TheirError as error:
                if error.untouched:
                    return Outcome(NOT_YET, self.asked)
                failed[label] = str(error)
                if "never end" in str(error):
                    break
        if not failed and all(unanswered(value) for value in got.values()):
            return Outcome(NOT_YET, self.asked)
        right = self._all(self.right)
        if failed and not got:
            return Outcome(HINT, _joined(next(iter(failed.values())), self.hint))
        wrong = {label: difference(got[label], right[label], self.tolerance) for label in got}
        if not failed and not any(wrong.values()):
            return Outcome(RIGHT, self.praise)
        if any(wrong.values()) and (mistake := self._known(got)):
            return Outcome(HINT, mistake.hint)
        if failed:
            label, sentence = next(iter(failed.items()))
            return Outcome(HINT, _joined(f"for {label}, {sentence}", self.hint))
        label = next(label for label in wrong if wrong[label])
        if mistake := self._partly_known(got, [label for label in wrong if wrong[label]]):
            return Outcome(HINT, f"for {label}, {mistake.hint}")
        if unanswered(got[label]):
            return Outcome(HINT, f"for {label}, it returns nothing: does every way through it end in a return?")
        return Outcome(HINT, _joined(f"for {label}, what it gives {wrong[label]}", self.hint))

    def _known(self, got: dict[str, Any]) -> Mistake | None:
        """The mistake whose results these are; cases in which the student's code failed do not count."""
        for mistake in self.mistakes:
            made = self._all(mistake.does)
            if all(difference(got[label], made[label], self.tolerance) is None for label in got):
                return mistake
        return None

    def _partly_known(self, got: dict[str, Any], wrong: list[str]) -> Mistake | None:
        """The mistake that explains the first wrong result and at least half of them: there may be two at once."""
        for mistake in self.mistakes:
            made = self._all(mistake.does)
            explained = [label for label in wrong if difference(got[label], made[label], self.tolerance) is None]
            if wrong[:1] == explained[:1] and 2 * len(explained) >= len(wrong):
                return mistake
        return None

    def _all(self, function: Callable[..., Any]) -> dict[str, Any]:
        return {label: self.observe(function, *self.cases()[label]) for label in self.cases()}


class Option(NamedTuple):
    """One answer of a multiple choice, and what is said to those who choose it."""

    text: str
    feedback: str
    right: bool = False


@dataclass(frozen=True)
class Choice:
    """A multiple choice: exactly one option is right, and each has its feedback. Keys are a, b, c ..."""

    name: str
    asked: str
    options: dict[str, Option] = field(default_factory=dict)

    @property
    def value(self) -> str:
        return next(key for key, option in self.options.items() if option.right)

    def listed(self) -> str:
        return "\n".join([self.asked, *(f"{key}) {option.text}" for key, option in self.options.items())])

    def judge(self, answer: Any) -> Outcome:
        if unanswered(answer):
            return Outcome(NOT_YET, self.listed())
        key = str(answer).strip().lower().rstrip(").")
        key = next((name for name, option in self.options.items() if key in (name, option.text.lower().rstrip("."))), key)
        if key not in self.options:
            return Outcome(HINT, f"choose one of {', '.join(self.options)}; this is {answer!r}.\n{self.listed()}")
        option = self.options[key]
        return Outcome(RIGHT if option.right else HINT, f"{key}) {option.feedback}")
