"""Domain, subject and phase of every pair: from its names, or as options, a pattern or a table say."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from advconf_lite.support.errors import BadInput
from data_download.own.pairing import Pair
from data_download.own.people import CONTRAST, is_session, people
from data_download.own.words import is_bids, is_part

A_PERSON = re.compile(
    r"(?:sub|subj|subject|pat|patient|pt|p|case|id|person|volunteer|participant)[_\-. ]?\w*\d\w*", re.IGNORECASE
)
A_PLACE = re.compile(
    r"(?i:site|cent(?:er|re)|hospital|clinic|scanner|vendor|domain|cohort|group|dataset\d*|batch|siemens|philips|ge|canon|"
    r"toshiba|[0-9.]+ ?T)(?![a-z]{2}).*"
)
FEW = 3  # images: a folder of so many may be one patient's


@dataclass(frozen=True)
class Who:
    """Where a pair belongs."""

    domain: str
    subject: str
    phase: str


def who_is_who(pairs: list[Pair], domain: str, domains_from: str | None, subject: str | None, root: str) -> list[Who]:
    """One for each pair, in their order; (domain, subject, phase) is of one pair only.

    Args:
        domain: of pairs whose domain nothing else says.
        domains_from: "folder", or a pattern that finds the domain in a path; None: only `domain`.
        subject: a pattern that finds the subject in a path; None: it is found from the names.
        root: the name of the folder that holds all, for images that are called nothing but "image".

    Raises:
        BadInput: a pattern does not fit a path, or no folder can be a domain.
    """
    folders = [list(pair.first.folders) for pair in pairs]
    domains = _domains(pairs, folders, domain, domains_from)
    found = _subjects(pairs, folders, root)
    if subject:
        found = [(_searched(subject, pair, "--subject"), *rest) for pair, (_, *rest) in zip(pairs, found)]
    subjects = [pair.given.get("subject") or name for pair, (name, _, _) in zip(pairs, found)]
    phases = [pair.given.get("phase", phase) for pair, (_, phase, _) in zip(pairs, found)]
    short = ["_".join(word for word in phase.split("_") if not CONTRAST.fullmatch(word)) for phase in phases]
    longer = [phases, [_joined(phase, *aside) for phase, (_, _, aside) in zip(phases, found)]]
    longer.append([pair.first.volume.bare.replace("/", "_") for pair in pairs])
    chosen = short
    for others in longer:  # as short as they can be, and each its own
        counts = Counter(zip(domains, subjects, chosen))
        chosen = [p if counts[d, s, p] == 1 else o for d, s, p, o in zip(domains, subjects, chosen, others)]
    return [Who(d, s, p.upper() if p.upper() in ("ED", "ES") else p) for d, s, p in zip(domains, subjects, chosen)]


def _domains(pairs: list[Pair], folders: list[list[str]], domain: str, domains_from: str | None) -> list[str]:
    """The domain of each; those of a folder are taken out of `folders`."""
    if domains_from == "folder":
        level = _level(pairs, folders)
        names = [place.pop(level) for place in folders]
    elif domains_from:
        names = [_searched(domains_from, pair, "--domains-from") for pair in pairs]
    else:
        names = [domain] * len(pairs)
    return [pair.given.get("domain") or name for pair, name in zip(pairs, names)]


def _level(pairs: list[Pair], folders: list[list[str]]) -> int:
    """Which folder of each path names its domain: the first that differs, unless it is the patient's."""
    common = 0
    while all(len(place) > common for place in folders) and len({place[common] for place in folders}) == 1:
        common += 1
    names = {place[common] for place in folders if len(place) > common}
    known = people(name for place in folders for name in place)

    def of_a_patient(pair: Pair, place: list[str]) -> bool:
        deeper = [name for name in place[common + 1 :] if known[name][0] and not is_part(name)]
        nameless = not pair.first.name and not deeper
        return bool(A_PERSON.fullmatch(place[common])) or nameless or _begins(pair.first.name, place[common])

    patients = bool(names) and all(len(p) > common and of_a_patient(pair, p) for pair, p in zip(pairs, folders))
    if (patients or not names) and common:
        return common - 1
    if patients:
        few = ", ".join(sorted(names)[:3])
        raise BadInput(
            f"--domains-from folder would make a domain of every patient ({few}); put the patients of each domain into a "
            "folder of its own, or find the domain in the path by a pattern: --domains-from REGEX"
        )
    for pair, place in zip(pairs, folders):
        if len(place) <= common:
            raise BadInput(
                f"{pair.first.volume.path} lies in no folder that could name its domain (--domains-from folder); move it "
                "into one, or find the domain in the path by a pattern: --domains-from REGEX"
            )
    return common


def _searched(pattern: str, pair: Pair, option: str) -> str:
    try:
        match = re.search(pattern, pair.first.volume.bare)
    except re.error as error:
        raise BadInput(f"{option} {pattern!r} is no regular expression ({error}); correct it") from error
    found = (match[1] if match.re.groups else match[0]) if match else None
    if not found:
        raise BadInput(
            f"{option} {pattern!r} finds nothing in {pair.first.volume.bare!r}; it must fit the path of every image, below "
            "--source and without the ending"
        )
    return found


def _subjects(pairs: list[Pair], folders: list[list[str]], root: str) -> list[tuple[str, str, list[str]]]:
    """(subject, phase, what else could tell two scans of one phase apart) of each."""
    by_name = people(pair.first.name for pair in pairs if pair.first.name)
    by_folder = people(name for place in folders for name in place)
    named, places, sessions = [], [], []
    for pair, place in zip(pairs, folders):
        named.append(by_name.get(pair.first.name, ("", "")))
        places.append([name for name in place if by_folder[name][0] and not is_part(name)])
        sessions.append([name for name in place if not by_folder[name][0]])
        if not places[-1] and not named[-1][0]:  # then V1/, 20200101/ or V1.nii.gz are all that may say whose it is
            if doubtful := [name for name in sessions[-1] if not is_session(name)]:
                places[-1], sessions[-1] = doubtful[:1], [name for name in sessions[-1] if name != doubtful[0]]
            elif not is_session(pair.first.name):
                named[-1] = pair.first.name, ""
    both = [(place[-1], name) for place, (name, _) in zip(places, named) if place and name]
    few = Counter(folder for folder, _ in both)
    of_folders = len(few) >= len({name for _, name in both}) or len(both) <= FEW * len(few) and len(few) >= FEW
    result = []
    for pair, place, session, (name, phase) in zip(pairs, places, sessions, named):
        parts = [part for part in pair.first.folders if is_part(part)]
        folder, visit = by_folder[place[-1]] if place else ("", "")
        folder = folder or (place[-1] if place else "")
        visit = visit if visit != folder else ""
        if not name and not folder:
            result.append((root or pair.first.volume.stem, _joined(*session, phase), parts))
        elif not folder:
            result.append((name, _joined(*session, phase), parts))
        elif not name or _begins(name, folder) or _is_patients(folder, name, of_folders):
            rest = name[len(folder) :].strip("_-. ") if _begins(name, folder) else name
            result.append((folder, _joined(visit, *session, rest, phase), [*parts, *place[:-1]]))
        else:
            result.append((name, _joined(*session, phase), [*parts, *place]))
    return result


def _is_patients(folder: str, name: str, of_folders: bool) -> bool:
    """Is a folder one patient's, and what its images are called does not say whose they are?"""
    if is_bids(name):
        return False
    return bool(A_PERSON.fullmatch(folder)) or of_folders and not A_PLACE.fullmatch(folder) and not A_PERSON.fullmatch(name)


def _begins(name: str, folder: str) -> bool:
    return name == folder or name.startswith(folder) and not name[len(folder)].isalnum()


def _joined(*parts: str) -> str:
    return "_".join(dict.fromkeys(part for part in parts if part))
