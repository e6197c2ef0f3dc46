"""The game of lesson 00: twelve outlines without truth, some are sent back, and what was caught is counted."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from advconf_lite.agreement import monte_carlo_masks, score_agreement
from advconf_lite.course.answers import MARKS
from advconf_lite.course.exercise import HINT, NOT_YET
from advconf_lite.course.exercises.lesson_00 import FAILURE
from advconf_lite.course.pictures import drawn_slices, judged
from advconf_lite.course.probing import alpha_for_drop, head_delta
from advconf_lite.course.saying import never_raises, say, unanswered
from advconf_lite.course.triage import triage
from advconf_lite.course.widgets.widget import good_cases, on_device
from advconf_lite.experiment.networks import has_dropout
from advconf_lite.experiment.run import Run
from advconf_lite.experiment.scoring import image_scores
from advconf_lite.figures.fooling import hundredths
from advconf_lite.figures.outlines import Outlined
from advconf_lite.methods.finetuned import read_by
from advconf_lite.quality import dice

BUDGET = 4  # outlines that may be sent back
SAMPLES = 15  # dropout samples of score agreement, as in the paper


@dataclass(frozen=True)
class Game:
    """Outlines to judge, and how confident each machine is of them.

    Attributes:
        confidence: method -> (n,), low for what it would send back first.
        quality: title of what was measured, such as "Dice".
    """

    cases: list[Outlined]
    confidence: dict[str, np.ndarray]
    quality: str

    @property
    def true(self) -> np.ndarray:
        """(n,) true quality of each outline."""
        return np.array([case.true for case in self.cases])

    @property
    def failures(self) -> int:
        return int((self.true < FAILURE).sum())

    def worst(self) -> tuple[Outlined, int]:
        """The case of the lowest quality, and the label of its class with the lowest Dice."""
        case = self.cases[int(self.true.argmin())]
        there = [k for k in np.unique([case.truth, case.prediction]) if k > 0]
        masks = [torch.from_numpy(np.asarray(mask, np.int64))[None] for mask in (case.prediction, case.truth)]
        scores = dice(*masks, max(there, default=1) + 1)[0]
        return case, int(min(there, key=lambda label: scores[label - 1], default=1))

    def caught(self, picks: Sequence[int] = ()) -> pd.DataFrame:
        """Who caught how many failures with the same number of outlines sent back: yours, or `BUDGET` without picks.

        Args:
            picks: numbers from 1, as `send_back` gives them.
        """
        budget = len(picks) or min(BUDGET, len(self.cases))
        rows = [("you", sorted(picks), int((self.true[[n - 1 for n in picks]] < FAILURE).sum()))] if len(picks) else []
        for method, confidence in self.confidence.items():
            found = triage(confidence, self.true, budget)
            rows.append((method, [int(n) + 1 for n in np.flatnonzero(found.sent_back == 1)], found.caught))
        rows.append(("who knows the truth", [int(n) + 1 for n in sorted(np.argsort(self.true)[:budget])], None))
        rows.append(("who draws lots, on average", None, budget * self.failures / len(self.cases)))
        best = min(budget, self.failures)
        return pd.DataFrame(
            {
                "who": [who for who, _, _ in rows],
                "sent back": ["any" if sent is None else " ".join(map(str, sent)) for _, sent, _ in rows],
                "failures caught": [f"{best if n is None else n:.1f}".removesuffix(".0") for _, _, n in rows],
            }
        )


def quality_control(run: Run, n: int = 12, scanners: int = 4, seed: int = 0) -> Game:
    """Slices of the source and of those targets whose usual score is nearest to the line between good and failed: where
    nearly all outlines are good, or nearly all absurd, nobody needs a quality control.

    Needs heads and their predictions; the run makes what it lacks.

    Args:
        scanners: how many, with the source; all, if there are fewer.
    """
    segmenter, heads = run.segmenter(0), run.heads(0, 0)
    table = run.predict_heads(0, 0)
    table = table[table["quality"] == run.qualities[0]]
    source, *targets = run.experiment.evaluated()
    usual = table.groupby("domain")["true_score"].median()
    mixed = sorted((name for name in targets if name in usual), key=lambda name: abs(usual[name] - FAILURE))[: scanners - 1]
    cases = drawn_slices(run, segmenter, heads, n, [source, *mixed], seed)
    confidence = {method: np.array([case.predicted[method] for case in cases]) for method, _ in heads}
    if has_dropout(segmenter):
        x = torch.stack([torch.from_numpy(case.image)[None] for case in cases]).to(run.device)
        agreement = score_agreement(monte_carlo_masks(segmenter, x, SAMPLES, seed), run.quality(run.qualities[0]))
        confidence[f"agreement-{SAMPLES}"] = image_scores(run, agreement).cpu().numpy()
    return Game(cases, confidence, run.quality(run.qualities[0]).measure.title)


@never_raises
def send_back(picks: Any, n: int = 12, budget: int = BUDGET) -> list[int]:
    """The numbers among `picks` that are outlines, at most `budget` of them; one line says what was understood.

    Args:
        picks: numbers from 1 to n; None, `...` or an empty list: not yet.
    """
    budget = min(budget, n)
    example = ", ".join(str(number) for number in range(1, budget + 1))
    if unanswered(picks) or (hasattr(picks, "__len__") and len(picks) == 0):
        say(f"{MARKS[NOT_YET]} · my_picks: give the numbers of {budget} outlines, as in [{example}]")
        return []
    if isinstance(picks, numbers.Number | str) or not hasattr(picks, "__iter__"):
        say(f"{MARKS[HINT]} · my_picks: {picks!r} is no list; write [{example}], say")
        return []
    given = [pick.item() if hasattr(pick, "item") else pick for pick in picks]
    wrong = [pick for pick in given if not (type(pick) is int and 1 <= pick <= n)]
    good = list(dict.fromkeys(pick for pick in given if pick not in wrong))
    hints = [f"there is no outline {wrong[0]!r}: they are numbered from 1 to {n}"] if wrong else []
    hints += ["one that is named twice is sent back once"] if len(good) + len(wrong) < len(given) else []
    hints += [f"you may send back {budget}; the first {budget} count"] if len(good) > budget else []
    hints += [f"you may send back {budget}, and these are {len(good)}"] if len(good) < budget else []
    good = good[:budget]
    sent = f"sent back: {', '.join(map(str, good)) or 'none'}"
    say(f"{MARKS[HINT]} · my_picks: {'; '.join(hints)}; {sent}" if hints else f"[x] my_picks · {sent}")
    return good


@dataclass(frozen=True)
class Fooled:
    """Slices pushed in the direction in which one head's grade falls, and the one of them where grade and truth part most.

    Attributes:
        before, after: that one slice, with the grades of all heads.
        maker: the head that was followed.
        believed, lost: how far its grade and the true quality fell, means over all n slices.
    """

    before: Outlined
    after: Outlined
    maker: str
    believed: float
    lost: float
    n: int
    quality: str

    def __str__(self) -> str:
        many = f"{self.n} slices" if self.n > 1 else "1 slice"
        grade, true = (
            before - after
            for before, after in (
                (self.before.predicted[self.maker], self.after.predicted[self.maker]),
                (self.before.true, self.after.true),
            )
        )
        return (
            f"{many} of the source scanner, changed so that the grade of {self.maker} falls: on average it "
            f"{_moved(self.believed)}, and the {self.quality} {_moved(self.lost)}. In the picture, the grade "
            f"{_moved(grade)}, and the {self.quality} {_moved(true)}."
        )


def _moved(fall: float) -> str:
    """ "fell by 0.10"."""
    size = hundredths(abs(fall))
    return "stayed" if size == "0.00" else f"{'fell' if fall > 0 else 'rose'} by {size}"


def fool(run: Run, maker: str = "plain") -> Fooled:
    """Lower the grades that a head gives to some well segmented slices by delta_s, on average.

    Args:
        maker: the method of the head that is followed; if the run has none of it, its first one.
    """
    segmenter, heads, quality = run.segmenter(0), run.heads(0, 0), run.qualities[0]
    of_quality = {method: head for (method, of), head in heads.items() if of == quality}
    maker = maker if maker in of_quality else next(iter(of_quality))
    head, cases = of_quality[maker], on_device(run, good_cases(run, segmenter))
    read, x, y = read_by(head, segmenter), torch.cat([case.x for case in cases]), torch.cat([case.y for case in cases])
    delta = head_delta(read, head, x, alpha_for_drop(read, head, x, run.settings.delta_s, run.settings), run.settings)
    before, after = (judged(run, segmenter, each, y, [case.title for case in cases], heads) for each in (x, x + delta))
    believed = np.array([one.predicted[maker] - other.predicted[maker] for one, other in zip(before, after)])
    lost = np.array([one.true - other.true for one, other in zip(before, after)])
    most = int(np.argmax(believed - lost))
    title = run.quality(quality).measure.title
    return Fooled(before[most], after[most], maker, float(believed.mean()), float(lost.mean()), len(cases), title)
