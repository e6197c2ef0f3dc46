"""How the adversarial loops went: what was asked for, what the head expected and what happened, from beginning to end.

    python benchmarks/loops.py --out runs/evidence --results results

Reads the history of every run of `benchmarks/evidence.py` that is finished below OUT, and writes RESULTS/evidence-loops.csv:
of each protocol, quality and method with perturbed images, medians over all pairs of seeds, a row for each fifth of the
steps behind the warm-up. `asked drop` is what the loop steers the predicted drop to: delta_s, but of the methods that draw
it for each image, from a range that grows with `aligned`, the share of the asked drop by which the true scores have fallen.
`at least half`: of the heads, those whose true drop is at least half of the predicted one, where alignment is said to begin.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from evidence import PROTOCOLS
from evidence_tables import as_text, made_here, publish
from sealed import CLONE

from advconf_lite.evaluation.predictions import SEEDS
from advconf_lite.support.command_line import well_behaved
from advconf_lite.support.errors import BadInput

PARTS = 5
LEAST = 0.01  # of a predicted drop, for half of it to mean something
FORMS = {
    "asked_drop": "{:.3f}", "predicted_drop": "{:.3f}", "true_drop": "{:.3f}", "delta_norm": "{:.4f}", "aligned": "{:.3f}",
}  # fmt: skip
HEAD = ["quality", "method", *SEEDS]


def fifths(history: pd.DataFrame) -> pd.DataFrame:
    """Of each method's steps with perturbed images the medians over all its heads: a row for each fifth of every head's."""
    rows = history[history["delta_norm"] > 0]
    by_head = rows.groupby(HEAD, sort=False)
    part = 1 + by_head.cumcount() * PARTS // by_head["delta_norm"].transform("size")
    rows, by = rows.assign(fifth=part), ["quality", "method", "fifth"]
    found = rows.groupby(by, sort=False)[[*FORMS]].median()
    each = rows.groupby([*HEAD, "fifth"], sort=False)[["predicted_drop", "true_drop"]].median()
    half = (each["true_drop"] >= each["predicted_drop"] / 2).groupby(by)
    found["at_least_half"] = half.sum().where(found["predicted_drop"] > LEAST)
    found["heads"] = half.size()
    return found.reset_index()


def loops(out: Path) -> Iterator[pd.DataFrame]:
    """`fifths` of each protocol and profile below `out` that has trained heads; the folds of one together."""
    for protocol in PROTOCOLS.values():
        for folder in sorted(out.glob(f"{protocol.name}-*")) if protocol.data else ():
            studies = [folder / spec.replace(":", "-") / "history.csv" for spec in protocol.data]
            tables = [pd.read_csv(path).assign(study=number) for number, path in enumerate(studies) if path.exists()]
            if tables:
                history = pd.concat(tables, ignore_index=True)
                history["segmenter_seed"] += len(history) * history["study"]  # each fold has its own segmenters
                yield fifths(history.reindex(columns=[*HEAD, *FORMS])).assign(protocol=folder.name)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="runs/evidence", help="of benchmarks/evidence.py")
    parser.add_argument("--results", type=Path, default=CLONE / "results", metavar="FOLDER", help="where the table goes")
    chosen = parser.parse_args(arguments)
    if not (tables := list(loops(chosen.out))):
        raise BadInput(f"{chosen.out} has no history.csv of a protocol; run benchmarks/evidence.py first", argument="out")
    table = as_text(pd.concat(tables, ignore_index=True), FORMS)
    table["at_least_half"] = table["at_least_half"].astype("Int64")
    table = table[["protocol", "quality", "method", "fifth", *FORMS, "at_least_half", "heads"]]
    made = made_here("python benchmarks/loops.py --out runs/evidence --results results", "as the rows say", "of the runs")
    print(*publish(chosen.results, "evidence-loops", {"": table}, made), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(well_behaved(main, options={"out": "--out"}))
