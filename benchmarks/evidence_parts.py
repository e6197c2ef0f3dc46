"""On what does a verdict of the evidence hang: differences over fewer pairs of seeds, and over some of the scanners.

    python benchmarks/evidence_parts.py --results results

Asked when the whole tables had been seen, so what is found here is an observation. Of each phantom whose pairs of seeds are
kept with both profiles (RESULTS/pairs/PROTOCOL-quick and -medium), with Dice:

* `shared`: the larger set of pairs cut down to those that both profiles have. A verdict that changes with the profile may do
  so for want of pairs.
* `coil` and `other`: of the targets, those with a coil in the rectum, and those without.

A row is a method minus another, as in evidence-*-differences.csv, which has the whole.
"""

from __future__ import annotations

import argparse
import json
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
from derived import MAPPED, completed
from evidence import PROTOCOLS, Protocol
from evidence_tables import ENDS, difference_text, made_here, publish
from pairs import NOTE, KeptPairs, Pair
from sealed import CLONE, drawn, frozen_commit

from advconf_lite.evaluation.answer import RIVALS
from advconf_lite.evaluation.levels import levels_and_differences
from advconf_lite.evaluation.predictions import SEEDS, read_predictions
from advconf_lite.phantom.scanner_tables import target_scanners
from advconf_lite.support.command_line import well_behaved
from advconf_lite.support.errors import BadInput

PROFILES = ("quick", "medium")
SAMPLES = "agreement-15" + MAPPED
AGAINST = (*RIVALS, SAMPLES)
METHODS = (*AGAINST, "adversarial+strong", "ensemble-3" + MAPPED, "soft-dice" + MAPPED)  # each minus those before it
COLUMNS = [name + end for name in ("eaurc", "mae") for end in ENDS]


class Kept:
    """What was kept of a phantom's protocol with one profile."""

    def __init__(self, protocol: Protocol, profile: str, pairs_folder: Path) -> None:
        base = PROTOCOLS[protocol.base] if protocol.base else protocol
        self.name, study = f"{protocol.name}-{profile}", base.data[0].replace(":", "-")
        self.predictions_of, self.base = (
            _kept(pairs_folder / f"{name}-{profile}", study) for name in (protocol.name, base.name)
        )

    @property
    def pairs(self) -> list[Pair]:
        return self.predictions_of.there()

    def predictions(self, pairs: list[Pair], methods: Sequence[str] = METHODS) -> tuple[pd.DataFrame, str]:
        """Of Dice by these methods, and the name of the source, which is among the domains."""
        validation = pd.concat([self.base.read(pair, "validation", read_predictions) for pair in pairs])
        tables = [self.predictions_of.read(pair, "predictions", read_predictions) for pair in pairs]
        (source,) = validation["domain"].unique()
        if self.predictions_of.folder != self.base.folder:  # sealed scanners have no source of their own
            whole = (self.base.read(pair, "predictions", read_predictions) for pair in pairs)
            tables += [table[table["domain"] == source] for table in whole]
        table = completed(pd.concat(tables, ignore_index=True), validation.reset_index(drop=True))
        return table[(table["quality"] == "dice") & table["method"].isin(methods)], source


def _kept(folder: Path, study: str) -> KeptPairs:
    first = next(iter(sorted(folder.glob(f"{study}-s*.zip"))), None)
    if first is None:
        raise BadInput(f"{folder} has no pair of seeds; run benchmarks/evidence.py first", argument="results")
    with zipfile.ZipFile(first) as archive:
        return KeptPairs(folder, study, json.loads(archive.read(NOTE)))


def with_coil(protocol: Protocol, results: Path) -> set[str]:
    """The targets that have a coil in the rectum."""
    organ = PROTOCOLS[protocol.base or protocol.name].data[0].partition(":")[2]
    sealed = protocol.base is not None
    found = drawn(organ, frozen_commit(None, results / "freeze.txt")) if sealed else target_scanners(organ)
    return {scanner.name for scanner in found if scanner.coil == "endorectal"}


def parts_of(kept: Kept, shared: list[Pair], coil: set[str], resamples: int) -> Iterator[pd.DataFrame]:
    """Differences over each part that is not the whole."""
    whole, source = kept.predictions(kept.pairs)
    every, by_both = set(whole["domain"]), whole[whole.set_index(SEEDS).index.isin(shared)]
    parts = [("all", "coil", whole, {source, *coil}), ("all", "other", whole, every - coil)] if coil else []
    parts += [("shared", "all", by_both, every)] if shared != kept.pairs else []
    for pairs, targets, table, domains in parts:
        rows = table[table["domain"].isin(domains)]
        found = levels_and_differences(rows, source, AGAINST, resamples)[1]
        found = found[found["method"].map(METHODS.index) > found["against"].map(METHODS.index)]
        yield found.assign(protocol=kept.name, pairs=pairs, targets=targets, scanners=len(domains - {source}))


def parts_table(results: Path, resamples: int) -> pd.DataFrame:
    """All parts of all protocols that are kept with both profiles, as text.

    Raises:
        BadInput: none is.
    """
    pairs, tables = results / "pairs", []
    for protocol in PROTOCOLS.values():
        if not all((pairs / f"{protocol.name}-{profile}").is_dir() for profile in PROFILES):
            continue
        kept = [Kept(protocol, profile, pairs) for profile in PROFILES]
        shared, coil = sorted(set(kept[0].pairs) & set(kept[1].pairs)), with_coil(protocol, results)
        for one in kept:
            tables += parts_of(one, shared, coil, resamples)
    if not tables:
        raise BadInput(f"{pairs} has no protocol with the profiles {' and '.join(PROFILES)}", argument="results")
    table = difference_text(pd.concat(tables, ignore_index=True))
    return table[["protocol", "pairs", "targets", "scanners", "method", "against", *COLUMNS, "pairs_of_seeds"]]


def of_kept_pairs(what: str, arguments: list[str] | None) -> argparse.Namespace:
    """The options of a command that makes a table from kept pairs alone."""
    parser = argparse.ArgumentParser(description=what, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--results", type=Path, default=CLONE / "results", metavar="FOLDER", help="with pairs/; the table goes there"
    )
    parser.add_argument("--resamples", type=int, default=10_000, metavar="N", help="of the bootstrap")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    chosen = of_kept_pairs(__doc__, arguments)
    table, command = parts_table(chosen.results, chosen.resamples), "python benchmarks/evidence_parts.py --results results"
    made = made_here(command, " and ".join(PROFILES), "of the pairs in results/pairs")
    print(*publish(chosen.results, "evidence-parts", {"": table}, made), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(well_behaved(main, options={"path": "--results"}))
