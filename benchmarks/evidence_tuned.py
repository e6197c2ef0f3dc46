"""What choosing settings changes: each head with what `tune` chose for it beside itself with the profile's settings.

    python benchmarks/evidence_tuned.py --results results

Of each phantom whose pairs of seeds are kept with both (RESULTS/pairs/PROTOCOL-PROFILE and -PROFILE-tuned, of
benchmarks/evidence.py), with Dice, over the pairs of seeds that both have. Rows of three kinds of `settings`:

* `profile` and `chosen`: a method minus a rival, both with these settings;
* `change`: a method with what was chosen minus itself with the profile's, on the same segmenters.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from derived import MAPPED
from evidence import METHODS, PROTOCOLS
from evidence_parts import COLUMNS, Kept, of_kept_pairs
from evidence_tables import difference_text, made_here, publish
from studies import of_two_networks

from advconf_lite.evaluation.answer import RIVALS
from advconf_lite.evaluation.levels import levels_and_differences
from advconf_lite.evaluation.predictions import CONSTANT
from advconf_lite.methods.registry import head_methods
from advconf_lite.support.command_line import well_behaved
from advconf_lite.support.errors import BadInput

PROFILE = "quick"
TUNED = " tuned"  # after a method's name
HEADS = tuple(head_methods(METHODS))
OTHERS = tuple(name + MAPPED for name in ("agreement-15", "ensemble-3", "soft-dice"))  # nothing of theirs was tuned


def differences(profiles: Kept, chosen: Kept, resamples: int) -> Iterator[pd.DataFrame]:
    """The rows of one protocol.

    Raises:
        BadInput: no pair of seeds is in both, or a segmenter is another network there.
    """
    shared = sorted(set(profiles.pairs) & set(chosen.pairs))
    if not shared:
        raise BadInput(f"{profiles.name} and {chosen.name} have no pair of seeds in common", argument="results")
    tables = {}
    for settings, kept in (("profile", profiles), ("chosen", chosen)):
        tables[settings], source = kept.predictions(shared, (*HEADS, *OTHERS, CONSTANT))
        found = levels_and_differences(tables[settings], source, RIVALS, resamples)[1]
        yield found.assign(protocol=profiles.name, settings=settings)
    heads, again = (table[table["method"].isin(HEADS)] for table in tables.values())
    if apart := of_two_networks(pd.concat([heads, again], ignore_index=True)):
        raise BadInput(f"segmenter {apart[0]} of {profiles.name} is another network in {chosen.name}", argument="results")
    # The same network to the last pixel but for threads: what both are compared on is one truth.
    for name in HEADS:
        both = pd.concat([heads[heads["method"] == name], again[again["method"] == name].assign(method=name + TUNED)])
        found = levels_and_differences(both, source, [name], resamples)[1]
        yield found.assign(method=name, protocol=profiles.name, settings="change")


def tuned_table(results: Path, resamples: int) -> pd.DataFrame:
    """All protocols that are kept with both settings, as text.

    Raises:
        BadInput: none is.
    """
    tables: list[pd.DataFrame] = []
    for protocol in PROTOCOLS.values():
        names = [f"{PROFILE}{end}" for end in ("", "-tuned")]
        if protocol.base is None and all((results / "pairs" / f"{protocol.name}-{name}").is_dir() for name in names):
            tables += differences(*(Kept(protocol, name, results / "pairs") for name in names), resamples)
    if not tables:
        raise BadInput(f"{results / 'pairs'} has no protocol with {PROFILE} and {PROFILE}-tuned", argument="results")
    table = difference_text(pd.concat(tables, ignore_index=True))
    return table[["protocol", "settings", "method", "against", *COLUMNS, "pairs_of_seeds"]]


def main(arguments: list[str] | None = None) -> int:
    chosen = of_kept_pairs(__doc__, arguments)
    table, command = tuned_table(chosen.results, chosen.resamples), "python benchmarks/evidence_tuned.py --results results"
    made = made_here(
        command, PROFILE, "the profile's, and what tune chose, as the rows say, of the pairs of seeds that both have"
    )
    print(*publish(chosen.results, "evidence-tuned", {"": table}, made), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(well_behaved(main, options={"path": "--results"}))
