"""Does anything beat Algorithm 1 and strong augmentation? In words, from the intervals of results/evidence-*.csv."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd

from advconf_lite.evaluation.predictions import CONSTANT
from advconf_lite.evaluation.verdict import BETTER, ENOUGH_SEGMENTERS, UNKNOWN, Finding, counted, listed, word_of

# Named before the first run: what must be beaten, and in what.
RIVALS = ("adversarial", "strong-augmentation")
ENDPOINTS = ("eaurc", "mae")
# Profile -> what was asked when all of its protocols had been seen, the sealed ones too, so that none is left to test it.
ASKED_LAST = {"quick": ("soft-dice mapped",)}
NAMES = {"eaurc": "eAURC", "mae": "MAE"}
BOTH = " and ".join(NAMES.values())


@dataclass
class Compared:
    """What one protocol has found, as its files in results/ have it.

    Attributes:
        stem: the files' name, such as evidence-phantom-prostate-quick.
        shift: how far the targets lie from the source, in a word.
        sealed: run once, after all settings were frozen.
        differences: method, against, of each metric its value, _low and _high, segmenters, pairs_of_seeds; one quality, one
            rule.
        costs: method -> (segmenter passes in training, passes an image in use).
    """

    stem: str
    shift: str
    sealed: bool
    differences: pd.DataFrame
    costs: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.stem.removeprefix("evidence-")

    @property
    def methods(self) -> list[str]:
        return [name for name in dict.fromkeys(self.differences["method"]) if name != CONSTANT]

    @property
    def tried(self) -> list[str]:
        return [name for name in self.methods if name not in RIVALS]

    @cached_property
    def _rows(self) -> dict[tuple[str, str], dict[str, float]]:
        """(method, against) -> what stands in that row of `differences`."""
        return {(row["method"], row["against"]): row for row in self.differences.to_dict("records")}

    def findings(self, method: str, metric: str, others: Sequence[str] = RIVALS) -> list[Finding]:
        """`method` against each of the others; none where one of the two only ranks."""
        found = []
        for other in others:
            row = self._rows.get((method, other), {})
            value, low, high = (row.get(metric + end, float("nan")) for end in ("", "_low", "_high"))
            if value == value:
                word = word_of(metric, low, high)
                found.append(Finding(self.name, "dice", method, other, metric, value, low, high, word))
        return found

    def beats(self, method: str, *metrics: str) -> bool:
        """Whether every interval against every rival lies on the good side of 0, in each of the metrics."""
        found = [self.findings(method, metric) for metric in metrics]
        return all(len(each) == len(RIVALS) and all(f.word == BETTER for f in each) for each in found)

    def winners(self, *metrics: str) -> list[str]:
        return [name for name in self.tried if self.beats(name, *metrics)]

    @property
    def asked_last(self) -> tuple[str, ...]:
        return ASKED_LAST.get(self.name.rpartition("-")[2], ())

    @property
    def won(self) -> list[str]:
        """What beats both in both, of all that was asked in time."""
        return [name for name in self.winners(*ENDPOINTS) if name not in self.asked_last]


def answer(protocols: Sequence[Compared], shift: str = "massive") -> list[str]:
    """Sentences: yes or no over all protocols of a kind of shift, then each of them."""
    chosen = [each for each in protocols if each.shift == shift]
    if not chosen:
        return [f"No protocol with {shift} shift has been run with this profile yet, so here the question is open."]
    winners = {each.name: each.won for each in chosen}
    everywhere = [name for name in chosen[0].tried if all(name in each for each in winners.values())]
    somewhere = [name for name in dict.fromkeys(sum(winners.values(), [])) if name not in everywhere]
    asked = f"both Algorithm 1 and strong augmentation in eAURC and in MAE under {shift} shift"
    places = listed(list(winners))
    if everywhere:
        first = f"Yes: {listed(everywhere)} beat{'s' if len(everywhere) == 1 else ''} {asked} ({places})."
    elif somewhere:
        where = [f"{name} on {listed([p for p, won in winners.items() if name in won])}" for name in somewhere]
        first = f"Not everywhere: {listed(where)}, of {places}; no method beats {asked} in all of them."
    else:
        first = f"No: nothing beats {asked} ({places})."
    return [first, *map(of_protocol, chosen), *_sealed(chosen), *_observed(chosen)]


def of_protocol(found: Compared) -> str:
    """Who beats both rivals, and in what, for any kind of shift; the numbers are in `beating`."""
    tried = found.tried
    if not tried:
        return f"{found.name}: nothing to compare."
    seeds = found.differences.iloc[0]
    networks = counted(int(seeds.segmenters), "segmenter")
    many = f"{networks}, {counted(int(seeds.pairs_of_seeds), 'pair')} of seeds"
    won = {name: _where(found, name) for name in tried}
    by = {where: [name for name in tried if won[name] == where] for where in (BOTH, *NAMES.values())}
    parts = [f"in {where}{'' if where == BOTH else ' alone'} {listed(names)}" for where, names in by.items() if names]
    text = (
        f"{found.name} ({found.shift} shift, {many}): of {len(tried)} methods beside the two, these beat both with 95 % "
        f"certainty: {'; '.join(parts) or 'none'}."
    )
    if floor := above_the_floor(found):
        many = sum(bool(found.findings(name, "mae", (CONSTANT,))) for name in found.methods)
        text += f" Certainly nearer to the truth than a constant, of {many} that estimate: {floor}."
    if seeds.segmenters < ENOUGH_SEGMENTERS:
        text += f" Resampling only {networks} gives intervals that are too narrow."
    return text


def beating(found: Compared) -> tuple[list[str], list[list[str]]]:
    """Column names, and a row for each method that beats both rivals in something: its differences and its cost."""
    header = ["method", "beats both in", *(f"{NAMES[m]} minus {other}" for m in ENDPOINTS for other in RIVALS)]
    header += ["passes in training, of Algorithm 1's", "passes an image in use"]
    won = {name: where for name in found.tried if (where := _where(found, name))}
    rows = []
    for name in sorted(won, key=lambda name: -len(won[name])):
        findings = [found.findings(name, metric, (other,)) for metric in ENDPOINTS for other in RIVALS]
        rows.append([name, won[name], *(f[0].numbers() if f else "-" for f in findings), *_cost(found, name)])
    return header, rows


def words_by_rule(found: dict[str, Compared]) -> list[dict[str, str]]:
    """The words on the endpoints that depend on the rule for absent classes.

    Args:
        found: rule -> what was found under it.

    Returns:
        A row for each: method, against (each of `RIVALS`, and the constant), endpoint, and its word under each rule.
    """
    rows = [
        {"method": method, "against": against, "endpoint": NAMES[metric], **said}
        for (method, against, metric), said in _words(found).items()
    ]
    return [row for row in rows if len({row.get(rule, UNKNOWN) for rule in found} - {UNKNOWN}) > 1]


def by_rule(found: dict[str, Compared]) -> str:
    """How many of these words do, and what is nearer to the truth than a constant under the other rules; nothing where there
    is one rule."""
    words = _words(found)
    if len(found) < 2 or not words:
        return ""
    many = f"{len(words_by_rule(found))} of {len(words)}"
    text = f"Under {len(found)} rules for absent classes {many} verdicts (better, worse, not told apart) are not the same."
    floors = [f"{rule}: {floor}" for rule, each in list(found.items())[1:] if (floor := above_the_floor(each))]
    below = "Certainly nearer to the truth than a constant under the others, of those that estimate"
    return f"{text} {below}: {'; '.join(floors)}." if floors else text


def above_the_floor(found: Compared) -> str:
    """Which methods' MAE is certainly below a constant's: "all", "none", "all but ..." or a list; "" if none estimates."""
    floor = {name: found.findings(name, "mae", (CONSTANT,)) for name in found.methods}
    estimates = [name for name in floor if floor[name]]
    above = [name for name in estimates if floor[name][0].word != BETTER]
    if not above or len(above) == len(estimates):
        return ("none" if above else "all") if estimates else ""
    below = [name for name in estimates if name not in above]
    return f"all but {listed(above)}" if len(above) <= len(below) else listed(below)


def _words(found: dict[str, Compared]) -> dict[tuple[str, str, str], dict[str, str]]:
    words: dict[tuple[str, str, str], dict[str, str]] = {}
    for rule, each in found.items():
        for method in each.methods:
            others = (CONSTANT,) if method == RIVALS[0] else (*RIVALS, CONSTANT)  # the other rival's row has these two
            for metric in ENDPOINTS:
                for f in each.findings(method, metric, others):
                    words.setdefault((method, f.against, metric), {})[rule] = f.word
    return words


def _sealed(chosen: Sequence[Compared]) -> list[str]:
    """Whether what was found on scanners that were known held on those that were not."""
    known = list(dict.fromkeys(sum((each.won for each in chosen if not each.sealed), [])))
    sentences = []
    for each in (each for each in chosen if each.sealed):
        if known:
            words = [f"{name} {'holds' if each.beats(name, *ENDPOINTS) else 'does not hold'}" for name in known]
            sentences.append(f"On the sealed scanners, run once ({each.name}): {listed(words)}.")
        else:
            sentences.append(f"There was nothing to confirm on the sealed scanners ({each.name}).")
    return sentences


def _observed(chosen: Sequence[Compared]) -> list[str]:
    """What was asked too late to be confirmed by any of them."""
    sentences = []
    for name in dict.fromkeys(sum((each.asked_last for each in chosen), ())):
        tried = [each.name for each in chosen if name in each.tried and name in each.asked_last]
        places = [each.name for each in chosen if name in each.winners(*ENDPOINTS) and each.name in tried]
        if tried:
            where = f"beats both in both on {listed(places)}" if places else "beats both in both nowhere"
            sentences.append(f"Asked when all of these had been seen, an observation and no test: {name} {where}.")
    return sentences


def _where(found: Compared, method: str) -> str:
    """ "eAURC and MAE", one of them, or "": in what a method beats both."""
    return " and ".join(NAMES[metric] for metric in ENDPOINTS if found.beats(method, metric))


def _cost(found: Compared, method: str) -> list[str]:
    ours, theirs = found.costs.get(method), found.costs.get(RIVALS[0])
    if not ours or not theirs or not theirs[0]:
        return ["not measured"] * 2
    return [f"{ours[0] / theirs[0]:.1f}" if ours[0] else "none", f"{ours[1]:g}"]
