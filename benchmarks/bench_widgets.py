"""How long each control of each widget takes from its movement to its picture: what a student waits for.

    python benchmarks/bench_widgets.py runs/prostate

On one thread; the folder is a run's, such as `python -m advconf_lite run --data phantom:prostate --out runs/prostate` makes.
Milliseconds include the PNG, and neither the way to the browser nor its drawing. Wall time means something on an idle core
alone, so the processor's time stands beside it.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

LIMIT_MS = 150


def values_of(control: Any, turns: int) -> list[Any]:
    """What a hand would try: all over the range of a slider, or every choice, in turn."""
    from advconf_lite.course.explore import Slider

    if not isinstance(control, Slider):
        choices = control if isinstance(control, list) else [True, False]
        return [choices[(turn + 1) % len(choices)] for turn in range(turns)]
    places = [control.low + (control.high - control.low) * (turn % 7 + 1) / 7 for turn in range(turns)]
    return [round(place) for place in places] if control.whole else places


def times(widget: Any, turns: int) -> dict[str, tuple[list[float], list[float]]]:
    """Control -> wall and processor milliseconds of each movement that changed something."""
    found = {}
    for name, control in widget.explorer.controls.items():
        wall, processor = [], []
        for value in values_of(control, turns):
            if value == widget.explorer.values[name]:
                continue
            began = time.perf_counter(), time.process_time()
            widget.move(**{name: value})
            assert widget.explorer.error is None, widget.explorer.error
            wall.append(1000 * (time.perf_counter() - began[0]))
            processor.append(1000 * (time.process_time() - began[1]))
        found[name] = wall, processor
    return found


def nine_pairs(predictions: Any) -> Any:
    """The table of a run with one pair of seeds as if it had nine: with some noise, which costs the same."""
    import numpy as np
    import pandas as pd

    rng, some = np.random.default_rng(0), predictions[predictions["method"].isin(["plain", "adversarial"])]
    some = some[(some["segmenter_seed"] == 0) & (some["head_seed"] == 0)]
    score = some["predicted_score"]
    pairs = [(s, h) for s in range(3) for h in range(3)]
    tables = [
        some.assign(segmenter_seed=s, head_seed=h, predicted_score=score + rng.normal(0, 0.05, len(some))) for s, h in pairs
    ]
    return pd.concat(tables, ignore_index=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--turns", type=int, default=8, help="of each control")
    chosen = parser.parse_args()
    import numpy as np
    import torch

    from advconf_lite.course.widgets.console import scanner_console
    from advconf_lite.course.widgets.desk import triage_desk
    from advconf_lite.course.widgets.fooling import fool_the_segmenter
    from advconf_lite.course.widgets.seeds import seed_fan
    from advconf_lite.experiment.run import open_run

    torch.set_num_threads(1)
    run = open_run(chosen.run, progress=False)
    segmenter = run.segmenter()
    slow = False
    print(f"{'':30}  wall: median, longest    processor: median   (ms, {chosen.turns} turns)")
    for make in (
        lambda: scanner_console(run, segmenter),
        lambda: fool_the_segmenter(run, segmenter),
        lambda: triage_desk(run, segmenter),
        lambda: seed_fan(nine_pairs(run.predictions()), run.experiment.slices.source_domain),
    ):
        with contextlib.redirect_stdout(io.StringIO()):
            widget = make()
        widget.figure.kept.prepare()  # as with a front end
        if "size" in widget.explorer.values:
            widget.move(size=0.05)
        for control, (wall, processor) in times(widget, chosen.turns).items():
            if wall:
                name = f"{type(widget).__name__}, {control}"
                slow |= np.median(wall) > LIMIT_MS
                print(f"{name:30}  {np.median(wall):12.0f} {max(wall):8.0f}  {np.median(processor):17.0f}")
    print(f"{'some are' if slow else 'none is'} above {LIMIT_MS} ms in the median")
    return int(slow)


if __name__ == "__main__":
    sys.exit(main())
