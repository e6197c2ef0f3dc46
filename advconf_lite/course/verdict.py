"""`verdict(run)`: what came out, in plain words from the intervals, and beside it what the paper claims."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from advconf_lite.course.saying import never_raises, say
from advconf_lite.evaluation.predictions import unanswered
from advconf_lite.evaluation.verdict import findings, scope, sentences
from advconf_lite.support.errors import BadInput

# Facts of the paper's sections 4.1, 4.3 and 5, in our words.
PAPER = (
    "The paper, beside it: on real images of two data sets (hearts, M&Ms-2, six target domains, one of them a single "
    "subject; prostates, PMRI, five), as mean and standard deviation of five runs, it reports a higher correlation, a "
    "lower eAURC and a lower MAE with adversarial training than without on most target domains, for both Dice and surface "
    "Dice; and it adds that this sets no new benchmark, and that errors on PMRI stay much larger than on M&Ms-2. It "
    "measured those images, and the lines above these."
)
MANY = 6  # from so many intervals on, the reader is told that some err by chance


def verdict_text(
    predictions: pd.DataFrame,
    source: str | None = None,
    against: Sequence[str] = ("plain",),
    method: str = "adversarial",
    resamples: int = 1000,
) -> str:
    """The verdict as lines: a sentence per data set, quality and compared method; its scope; the paper's claim, where
    it is of the two methods that are compared.

    Raises:
        BadInput: a method was not run, or two did not score the same slices.
    """
    against = [against] if isinstance(against, str) else list(against)
    found = findings(predictions, source, method, against, resamples)
    if not found:
        raise BadInput(
            f"{method} and {' and '.join(against)} share no pair of seeds and quality; run both with the same seeds"
        )
    lines = sentences(found) + [scope(predictions, source, [method, other]) for other in against[:1]]
    lines += unanswered(predictions[predictions["method"].isin([method, *against])])
    if len(found) >= MANY:
        lines.append(f"Of {len(found)} such intervals about one in twenty errs by chance; no single one decides.")
    return "\n".join([*lines, PAPER] if method == "adversarial" and "plain" in against else lines)


@never_raises
def verdict(
    run: Any,
    against: Sequence[str] = ("plain",),
    method: str = "adversarial",
    source: str | None = None,
) -> None:
    """Say what a run's intervals say of `method` against others: better, worse, or not told apart.

    Args:
        run: the run, or a table of predictions with the name of its `source` domain.
    """
    table = isinstance(run, pd.DataFrame)
    source = source or (None if table else run.experiment.slices.source_domain)
    try:
        say(verdict_text(run if table else run.predictions(), source, against, method))
    except BadInput as error:
        say(f"No verdict: {error}.")
