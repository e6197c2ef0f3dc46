"""Train, validation and test: by subject, by fold, or (to show what leaks) by slice."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from advconf_lite.support.errors import BadInput
from advconf_lite.support.numbers import whole, within

FRACTIONS = {"train": 0.60, "val": 0.15, "test": 0.25}


def split_by_subject(subjects: Iterable[str], fractions: dict[str, float] | None = None, seed: int = 0) -> dict[str, str]:
    """Subject -> split, no subject in two; the same whatever the order of `subjects`.

    Each split gets its share rounded by largest remainder, and at least one subject.

    Raises:
        BadInput: fewer subjects than splits, a subject without a name, or shares that are none.
    """
    unique = _names(subjects)
    return dict(zip(_shuffled(unique, seed), _shares(len(unique), fractions or FRACTIONS, "subjects")))


def split_by_fold(subjects: Iterable[str], fold: int, folds: int, seed: int = 0) -> dict[str, str]:
    """Subject -> split, the test subjects being those of one of `folds` disjoint folds, whose sizes differ by at most one.

    Over all folds (1, 2, ... `folds`) each subject is tested once. Of the rest about a fifth is for validation, those
    who are tested next. The same whatever the order of `subjects`.

    Raises:
        BadInput: there is no such fold, or too few subjects for one in each split.
    """
    order = _shuffled(_names(subjects), seed)
    fold, folds = whole(fold, "fold", None), whole(folds, "folds", 2)
    if not 1 <= fold <= folds:
        raise BadInput(f"there is no fold {fold} of {folds}; folds count from 1")
    start, end = (len(order) * number // folds for number in (fold - 1, fold))
    rest = order[end:] + order[:start]
    if folds > len(order) or len(rest) < 2:
        raise BadInput(f"{len(order)} subjects cannot be cut into {folds} folds with subjects left to train and validate on")
    val = max(1, round(len(rest) / 5))
    names = ["test"] * (end - start) + ["val"] * val + ["train"] * (len(rest) - val)
    return dict(zip(order[start:end] + rest, names))


def split_by_slice(number: int, fractions: dict[str, float] | None = None, seed: int = 0) -> list[str]:
    """A split for each of `number` slices, without regard to subjects, as in the published code.

    Neighbouring slices of one patient land in train and test. It exists to show what leaks.
    """
    order = dict(zip(_shuffled(range(whole(number, "number")), seed), _shares(number, fractions or FRACTIONS, "slices")))
    return [order[row] for row in range(number)]


def _names(subjects: Iterable[str]) -> list[str]:
    if isinstance(subjects, str | bytes) or not isinstance(subjects, Iterable):
        raise BadInput(f"subjects is {subjects!r}; give a list of names")
    subjects = list(subjects)
    if nameless := [number for number, one in enumerate(subjects) if one is None or one != one or not str(one).strip()]:
        raise BadInput(f"subject {nameless[0]} of the list is {subjects[nameless[0]]!r}; give each one a name")
    return sorted({str(subject) for subject in subjects})


def _shuffled(keys: Iterable, seed: int) -> list:
    # By hash and not by a generator: the same split with every version of numpy.
    return sorted(keys, key=lambda key: hashlib.sha256(f"{seed}/{key}".encode()).digest())


def _shares(number: int, fractions: dict[str, float], what: str) -> list[str]:
    if not isinstance(fractions, dict) or not fractions:
        raise BadInput(f"fractions is {fractions!r}; give a share to each split, as in {FRACTIONS}")
    shares = [within(part, f"the share of {name}", 0) for name, part in fractions.items()]
    if sum(shares) == 0:
        raise BadInput(f"fractions are {fractions}; give at least one split a share above 0")
    if number < len(fractions):
        raise BadInput(f"{number} {what} cannot be split into {', '.join(fractions)}; give at least {len(fractions)}")
    exact = {name: number * part / sum(fractions.values()) for name, part in fractions.items()}
    counts = {name: max(1, int(share)) for name, share in exact.items()}
    while sum(counts.values()) != number:
        gap = {name: exact[name] - counts[name] for name in counts}
        if sum(counts.values()) < number:
            counts[max(gap, key=gap.get)] += 1
        else:
            counts[min((name for name in gap if counts[name] > 1), key=gap.get)] -= 1
    return [name for name, count in counts.items() for _ in range(count)]
