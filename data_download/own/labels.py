"""Classes and labels of own masks: --classes, --labels STORED=OURS, and the names in nnU-Net's dataset.json."""

from __future__ import annotations

import re

from advconf_lite.support.errors import BadInput

ADVICE = (
    "name a class for every label with --classes, say what it is with --labels (7=1 or 7=NAME; 7=0 makes it background), or "
    "correct the mask"
)


def classes_and_labels(
    classes: list[str] | None, given: list[str] | None, stored: dict[int, str]
) -> tuple[list[str], dict[int, int]]:
    """The names of labels 1, 2, ... and stored label -> ours (0: background).

    Args:
        classes: of --classes; None: those of --labels, of `stored`, or "foreground".
        given: STORED=OURS of --labels, where OURS is a number or a class. A label of ours that one of them names is what
            these say; the others are stored under their own number.
        stored: label -> name by a dataset.json; {} without one.

    Raises:
        BadInput: `given` does not make sense.
    """
    pairs = [_pair(text) for text in given or ()]
    seen: set[int] = set()
    for label, text in zip((label for label, _ in pairs), given or ()):
        if label in seen:
            raise BadInput(f"--labels says twice what {label} is ({text}); leave one of them out")
        seen.add(label)
    named = list(dict.fromkeys(ours for _, ours in pairs if not ours.isdigit()))
    if classes is None:
        if named and any(ours.isdigit() and ours != "0" for _, ours in pairs):
            raise BadInput("--labels has numbers and names; use one of them, or name the classes in order with --classes")
        most = max((int(ours) for _, ours in pairs if ours.isdigit()), default=0)
        by_number = ["foreground"] if most <= 1 else [f"class{number}" for number in range(1, most + 1)]
        classes = named or (list(dict.fromkeys(stored.values())) if stored and most <= len(stored) else by_number)
    for _, ours in pairs:
        if not ours.isdigit() and ours not in classes:
            raise BadInput(f"--labels names the class {ours!r}, which --classes lacks ({', '.join(classes)}); add it there")
        if ours.isdigit() and int(ours) > len(classes):
            raise BadInput(f"--labels names class {ours} of {len(classes)} ({', '.join(classes)}); add names with --classes")
    asked = {label: int(ours) if ours.isdigit() else classes.index(ours) + 1 for label, ours in pairs}
    if stored and set(stored.values()) <= set(classes):
        usual = {label: classes.index(name) + 1 for label, name in stored.items()}
    else:
        usual = {number: number for number in range(1, len(classes) + 1)}
    labels = {label: ours for label, ours in usual.items() if ours not in asked.values()} | asked
    return classes, dict(sorted(labels.items()))


def _pair(text: str) -> tuple[int, str]:
    match = re.fullmatch(r"\s*(-?\d+)(?:\.0*)?\s*[=:]\s*(\S.*?)\s*", text)
    if match is None:
        raise BadInput(f"--labels {text!r} is not STORED=OURS, such as 255=1, 205=LV, 7=0 for background", argument="labels")
    if int(match[1]) == 0 and match[2] != "0":
        raise BadInput(f"--labels {text!r} gives the background a class; 0 is background in masks and stays it")
    return int(match[1]), match[2]
