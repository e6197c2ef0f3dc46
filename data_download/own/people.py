"""Whose scan it is: sessions, frames, runs and contrasts of one patient are one subject, or it would leak between splits.

A name is cut into the patient and the rest, such as "patient001" and "frame01". Some endings say by themselves that they
are not the patient (ses-1, frame01, ED); others, such as T2, scan_2 or 2, only if what is before them holds a number or
several names share it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

from data_download.own.words import is_bids

_NUMBER = r"[_\-. ]?\d+"
_DATE = r"(?:19|20)\d\d(?P<between>[_\-. ]?)(?:0[1-9]|1[0-2])(?P=between)(?:0[1-9]|[12]\d|3[01])(?:[T_\- ]?\d{4,6})?"
# A session, visit or frame whatever is before it.
SURE = (
    rf"(?:ses|sess|session|visit|vis|tp|timepoint|frame|fr|run|rep|repeat|followup|follow[_\-]up|baseline|fu|month|week|year"
    rf"|day|hour|phase|ph|echo|acq|time|rescan|retest){_NUMBER}[a-z]?|(?:ses|run|acq|rec|dir|echo|task)-[a-z0-9]+"
    r"|baseline|follow[_\-]?up|pre[_\-]?op|post[_\-]?op|retest|rescan|(?:[SL]AX?[_\-. ])?E[DS]|\(\d+\)|copy(?:[_\- ]?\d+)?"
)
CONTRASTS = (
    r"T[12]w?|T1(?:ce|c|gd|post)|FLAIR|ADC|DWI|DCE|SWI|PDw?|bold|CT|MRI?|PET|TSE|SAX?|LAX?|[234]CH|cine|LGE|DE|C0|bssfp|anat"
)
# Of one patient only where the rest is a patient: heart_scan_1 and heart_scan_2 may be two.
LIKELY = (
    rf"(?:scan|study|exam|series|ser|stack|part|slab|channel|ch|modality|mod|t|v){_NUMBER}|{_DATE}|pre|post|bl|fu"
    rf"|{CONTRASTS}|rest|stress|native|contrast|left|right|L|R|4d|orig(?:inal)?|raw"
)
_SURE = re.compile(rf"^(?P<before>.*?)(?:[_\-. ]+|(?<=\d)(?=[A-Za-z(])|^)(?P<rest>{SURE})$", re.IGNORECASE)
_LIKELY = re.compile(rf"^(?P<before>.*?)(?:[_\-. ]+|^)(?P<rest>{LIKELY})$", re.IGNORECASE)
CONTRAST = re.compile(CONTRASTS, re.IGNORECASE)
_SMALL = re.compile(r"^(?P<before>.*\d)(?:[_\-. ](?P<rest>\d{1,2}|[a-d])|(?P<letter>[a-dA-D]))$")


def people(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Name -> (patient, the rest of the name, "" if there is none), for all names of one set, judged together.

    A name that is nothing but a session or a frame has the patient "".
    """
    names = list(dict.fromkeys(names))
    cut = {name: _cut(name, _SURE) for name in names}
    # Several endings may follow each other, as ses-1_run-2_T2w: each round takes one more from those that still have one.
    for _ in range(6):
        likely = {name: _likely(before) for name, (before, _) in cut.items()}
        users: dict[str, set[str]] = defaultdict(set)
        for before, rest in filter(None, likely.values()):
            users[_kind(rest)].add(before)
        changed = False
        for name, found in likely.items():
            if found and (re.search(r"\d", found[0]) or not found[0] or len(users[_kind(found[1])]) > 1):
                before, more = _cut(found[0], _SURE)
                cut[name] = before, "_".join(filter(None, (more, found[1], cut[name][1])))
                changed = True
        if not changed:
            break
    return _channels(_small_numbers(cut))


def is_session(name: str) -> bool:
    """Is a whole name one that no patient would have: ses-1, frame01, ED, T2w? Not so a date, scan_3 or V1."""
    return bool(name) and (not _cut(name, _SURE)[0] or bool(CONTRAST.fullmatch(name)))


def alike(subjects: Iterable[str]) -> list[list[str]]:
    """Subjects whose names say that they may be one patient: P1_ses-1 and P1_ses-2, or P1 and P1_followup."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name, (patient, rest) in people(subjects).items():
        groups[patient if patient and rest else name].append(name)
    return [names for names in groups.values() if len(names) > 1]


def _cut(name: str, ending: re.Pattern) -> tuple[str, str]:
    """A name without all endings of one kind, and these."""
    rest: list[str] = []
    if is_bids(name):
        subject, _, more = name.partition("_")
        return subject, more
    while match := ending.match(name):
        name, rest = match["before"], [match["rest"], *rest]
    return name, "_".join(rest)


def _likely(name: str) -> tuple[str, str] | None:
    match = _LIKELY.match(name)
    return (match["before"], match["rest"]) if match else None


def _kind(rest: str) -> str:
    return re.sub(r"\d+", "#", rest.lower())


def _channels(cut: dict[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """case1_0000 and case1_0001 are two channels of nnU-Net's, if other cases have the same few numbers from 0000 on."""
    matches = {name: re.fullmatch(r"(.*\d.*)_(000[0-3])", before) for name, (before, _) in cut.items()}
    groups: dict[str, set[str]] = defaultdict(set)
    for match in filter(None, matches.values()):
        groups[match[1]].add(match[2])
    if len(groups) < 2 or not all(matches.values()) or not all("0000" in found for found in groups.values()):
        return cut
    return {name: (match[1], "_".join(filter(None, (match[2], cut[name][1])))) for name, match in matches.items()}


def _small_numbers(cut: dict[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """P1_1 and P1_2, or P1a and P1b, are two scans of P1 if more patients have the same few numbers."""
    groups: dict[str, set[str]] = defaultdict(set)
    matches = {name: _SMALL.match(before) for name, (before, _) in cut.items()}
    for match in filter(None, matches.values()):
        groups[match["before"]].add((match["rest"] or match["letter"]).lower())
    endings = set().union(*groups.values()) if groups else set()
    several = sum(len(found) > 1 for found in groups.values())
    if not 2 <= several or len(groups) <= len(endings) or len(endings) > 9 or "1" not in endings and "a" not in endings:
        return cut
    result = {}
    for name, (before, rest) in cut.items():
        match = matches[name]
        if match:
            before, rest = match["before"], "_".join(filter(None, (match["rest"] or match["letter"], rest)))
        result[name] = before, rest
    return result
