"""Do segmenters that were trained apart draw the same? A deep ensemble, and the agreement in it."""

from __future__ import annotations

import torch
from torch import Tensor

from advconf_lite.agreement import score_agreement
from advconf_lite.methods.passes import Lent, Passed, PassMethod
from advconf_lite.methods.registry import register
from advconf_lite.quality import Quality
from advconf_lite.segmenter import Segmenter, decided, label_map
from advconf_lite.support.errors import BadInput


@register("ensemble-K (K >= 2)", r"ensemble-([2-9]|[1-9]\d+)")
class Ensemble(PassMethod):
    """Mean quality of the mask that is judged against those of K - 1 segmenters trained with other seeds (deep ensembles:
    Lakshminarayanan et al. 2017; the best simple score of Zenk et al. 2025). Not in the paper.

    Zenk et al. average all pairs, for they judge the ensemble's mean. Here every method judges the mask of one segmenter, so
    only pairs with that one tell of its errors; those of two others tell how hard the image is for somebody else.

    K trainings and K passes. The others are those of the first seeds, and are trained where the run lacks them.
    """

    def __init__(self, name: str, k: str) -> None:
        super().__init__(name)
        self.segmenters = int(k)
        self.what = (
            f"Mean quality of the segmenter's mask against those of {self.segmenters - 1} others, trained with other seeds "
            "(Lakshminarayanan et al. 2017; Zenk et al. 2025). Not in the paper."
        )

    def score(self, passed: Passed, g: Quality, empty: str) -> Tensor:
        scores = []
        others = passed.lent.once(self.name, lambda: trained_apart(passed.lent, self.segmenters))
        for number, other in enumerate(others):
            logits, _ = passed.once(f"other {number}", lambda other=other: other(passed.x))
            pair = torch.stack([passed.y_hat, label_map(logits)])
            scores.append(score_agreement(pair, g, empty).masked_fill(~decided(logits)[:, None], torch.nan))
        return torch.stack(scores).mean(0)


def trained_apart(lent: Lent, k: int) -> list[Segmenter]:
    """The first k - 1 others; BadInput if one is the judged segmenter itself, as of a network that comes trained."""
    mine, others = lent.segmenter.state_dict(), lent.others[: k - 1]
    if any(all(torch.equal(weight, mine[name]) for name, weight in other.state_dict().items()) for other in others):
        raise BadInput(
            f"ensemble-{k} needs segmenters that were trained apart, and this network is the same with every seed; "
            "leave it out of the methods",
            argument="methods",
        )
    return others
