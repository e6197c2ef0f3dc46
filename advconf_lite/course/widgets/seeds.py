"""Seed fan: how the interval of a difference moves as pairs of seeds are added, in one order and in another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from advconf_lite.course.explore import Slider
from advconf_lite.course.widgets.widget import Widget
from advconf_lite.evaluation.fan import Fan
from advconf_lite.figures.fan import FanFigure
from advconf_lite.metrics import METRICS
from advconf_lite.support.errors import BadInput

ORDERS = 20  # of the pairs; 0 is that of the fan


class Seeds(Widget):
    """The widget.

    Attributes:
        fans: method -> Fan; now: the rows that were drawn last.
    """

    now: pd.DataFrame

    def __init__(self, fans: dict[str, Fan], reference: str) -> None:
        self.fans, self.reference = fans, reference
        self.most = max(len(fan.pairs) for fan in fans.values())
        self.metrics = [name for name in METRICS if any(name in fan.metrics for fan in fans.values())]
        self.figure = FanFigure(reference, self.most)
        self._opened: dict[tuple[str, str, int], pd.DataFrame] = {}

    def opened(self, against: str, metric: str, order: int) -> pd.DataFrame:
        """`Fan.opened` in an order, which is 0 or the number of a shuffle."""
        key = against, metric, order
        if key not in self._opened:
            fan = self.fans[against]
            pairs = [fan.pairs[place] for place in np.random.default_rng(order).permutation(len(fan.pairs))]
            self._opened[key] = fan.opened(metric, pairs if order else None)
        return self._opened[key]

    def draw(self, pairs: int, against: str, metric: str, order: int) -> tuple[Figure | np.ndarray, str] | str:
        if metric not in self.fans[against].metrics:
            title = METRICS[metric].title
            return f"{self.reference} and {against} have no {title} in common: one of them only ranks; choose another metric"
        table = self.opened(against, metric, order)
        self.now = table[:pairs]
        values = table[["alone", "difference", "low", "high"]].to_numpy(float)
        ends = np.array([min(0.0, np.nanmin(values, initial=0)), max(0.0, np.nanmax(values, initial=0))])
        room = 0.06 * max(np.ptp(ends), 1e-3)
        return self.figure.draw(self.now, against, metric, (ends[0] - room, ends[1] + room)), self._line(against, metric)

    def _line(self, against: str, metric: str) -> str:
        last, record = self.now.iloc[-1], METRICS[metric]
        counted = f"{len(self.now)} pair{'s' * (len(self.now) > 1)} of seeds"
        words = (
            f"{counted}: {record.title} of {self.reference} minus that of {against} {last['difference']:+.{record.digits}f}"
        )
        if not np.isfinite(last["low"]):
            return f"{words}; no interval"
        words += f" ({last['low']:+.{record.digits}f} to {last['high']:+.{record.digits}f})"
        if last["low"] <= 0 <= last["high"]:
            return f"{words}: not told apart"
        better = (last["low"] > 0) == record.higher_is_better
        return f"{words}: {self.reference} is {'better' if better else 'worse'}" + (
            ", as far as one pair can tell" if len(self.now) == 1 else ""
        )


def seed_fan(
    predictions: pd.DataFrame,
    source_domain: str | None = None,
    against: Sequence[str] = ("plain", "agreement-15"),
    reference: str = "adversarial",
    quality: str = "dice",
    resamples: int = 1000,
) -> Seeds:
    """The widget on a table of predictions with several pairs of seeds, such as `run.predictions()`.

    Args:
        against: methods, of which those that the table lacks are left out.

    Raises:
        BadInput: none of them shares a pair of seeds with the reference; or as `evaluation.paired.compare`.
    """
    there = set(predictions["method"])
    fans = {m: Fan(predictions, reference, m, source_domain, quality, resamples) for m in against if m in there}
    if not fans:
        raise BadInput(f"the predictions have none of {', '.join(against)}; name a method that was run")
    seeds = Seeds(fans, reference)
    first = "pearson" if "pearson" in seeds.metrics else seeds.metrics[0]
    return seeds.below(
        f"{reference.capitalize()} minus another method: the mean over the targets with 1, 2, ... pairs of seeds, and its "
        "95 % interval. `order` shuffles the pairs.",
        "Differences with intervals, one for each number of pairs of seeds, around a line at zero.",
        pairs=Slider(1, 1, seeds.most, 1),
        against=list(fans),
        metric=sorted(seeds.metrics, key=lambda name: name != first),
        order=Slider(0, 0, ORDERS, 1),
    )
