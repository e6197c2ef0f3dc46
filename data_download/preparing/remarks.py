"""Remarks on files, of which a set may have thousands: alike ones are counted, and the first is the example."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

EXAMPLE = "; for example "  # what follows it differs from file to file


def counted(notes: Iterable[str]) -> list[str]:
    """Each remark once, in the order of their first appearance, with its number if it is more than one."""
    numbers: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for note in notes:
        note = note.encode("utf-8", "backslashreplace").decode()  # a file may have any bytes for its name
        text, mark, example = note.partition(EXAMPLE)
        numbers[text] += 1
        examples.setdefault(text, mark + example)
    return [text + f" ({number} times)" * (number > 1) + examples[text] for text, number in numbers.items()]
