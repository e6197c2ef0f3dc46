"""The control of the space of appearance: the same strengths without a gradient."""

from __future__ import annotations

from torch import Tensor

from advconf_lite.head_training import Learner, Turn
from advconf_lite.methods.controls import PairedControl, random_delta
from advconf_lite.methods.registry import register
from advconf_lite.methods.severity import SeverityAppearance
from advconf_lite.settings import Schedule
from advconf_lite.support.randomness import derived_seed


@register("random-appearance")
class RandomAppearance(PairedControl):
    """Each image changed as much as by `severity-appearance` in the space of appearance, in a random direction, and for as
    many steps. Not in the paper."""

    pair = "severity-appearance"

    def adjust(self, schedule: Schedule) -> Schedule:
        return SeverityAppearance(self.pair).adjust(schedule)

    def images(self, turn: Turn, learner: Learner) -> Tensor:
        loop = learner.pair.algorithm
        return loop.made(random_delta(loop.p, derived_seed("random appearance", turn.seed, turn.number)))
