"""Is an unusual image a badly segmented one? `mahalanobis`, which asks no more than that, beside what the evidence has kept.

    python benchmarks/evidence_mahalanobis.py --out runs/evidence --results results

It is not among the methods of evidence.py. Asked when all of these had been seen, so what is found here is an observation:
on the phantoms, with the quick profile, is it a better judge of Dice than Algorithm 1, strong augmentation, a constant and
`agreement-15 mapped`, by itself and as `mahalanobis mapped`, by the same straight line of the source's validation?

Nothing is trained. The finished segmenters are those that evidence.py has left in OUT; with each, all slices of the source's
test, the targets and the source's validation are scored, and the scores go to OUT/mahalanobis, not into the runs. No seed
changes a score, so it stands for each head seed of its segmenter, as that of `soft-dice` does in the evidence. The others'
scores are those of the kept pairs of seeds (RESULTS/pairs), and the tables are made as evidence-*.csv are.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd
import torch
from derived import MAPPED, completed
from evidence import AGAINST, PROTOCOLS, Protocol
from evidence_tables import COLUMNS, difference_text, level_text, made_here, publish
from pairs import KeptPairs
from sealed import CLONE
from studies import DECIMALS, of_two_networks

from advconf_lite.evaluation.answer import RIVALS
from advconf_lite.evaluation.levels import MEAN, levels_and_differences
from advconf_lite.evaluation.predictions import read_predictions
from advconf_lite.evaluation.rules import COUNTED
from advconf_lite.experiment.run import Elsewhere, Run, open_run
from advconf_lite.support.command_line import well_behaved
from advconf_lite.support.errors import BadInput

PHANTOMS, PROFILE, QUALITY = ("phantom-heart", "phantom-prostate"), "quick", "dice"
METHOD, SAMPLES = "mahalanobis", "agreement-15"
Scores = dict[str, pd.DataFrame]  # "predictions" and "validation" -> as the tables of a run


def finished_run(folder: Path) -> Run:
    """A run of evidence.py, asked for Dice alone.

    Raises:
        BadInput: there is none.
    """
    if not (folder / "config.json").is_file():
        raise BadInput(f"{folder} has no run; train its segmenters by benchmarks/evidence.py first", argument="out")
    run = open_run(folder, progress=sys.stdout.isatty())
    run.qualities = [QUALITY]
    return run


def scores(run: Run, segmenters: list[int], folder: Path) -> Scores:
    """By each segmenter, made in `folder` if they are not there.

    Raises:
        BadInput: a segmenter is missing.
    """
    source, found = {run.experiment.slices.source_domain: run.experiment.val}, {}
    for name, parts in (("predictions", run.experiment.evaluated()), ("validation", source)):
        path = folder / f"{name}.csv"
        view = Elsewhere(run, parts, path, [METHOD])  # which trains nothing
        for seed in segmenters:
            view.predicted(seed)
        found[name] = read_predictions(path)
    return found


def beside(kept: KeptPairs, scored: Scores) -> pd.DataFrame:
    """`completed` predictions of the kept pairs by what is compared, those of `scored` once for each head seed.

    Raises:
        BadInput: the segmenters are not those of the kept pairs.
    """
    tables, pairs = [], kept.there()
    for name, own in scored.items():
        there = pd.concat([kept.read(pair, name, read_predictions) for pair in pairs])
        there = there[(there["quality"] == QUALITY) & there["method"].isin([*RIVALS, SAMPLES])]
        each = [own[own["segmenter_seed"] == seed].assign(head_seed=head_seed) for seed, head_seed in pairs]
        tables.append(pd.concat([there, *each], ignore_index=True).round(DECIMALS))
        if others := of_two_networks(tables[-1]):
            raise BadInput(
                f"segmenter {others[0]} is not that of the pairs in {kept.folder}; give the folder that those were made in",
                argument="out",
            )
    table = completed(*tables)
    return table[table["method"] != SAMPLES]  # which has no estimate; mapped it has


def of_protocol(
    protocol: Protocol, out: Path, results: Path, resamples: int
) -> tuple[pd.DataFrame, pd.DataFrame, KeptPairs]:
    """Differences and levels of one phantom, as numbers, and the pairs behind them."""
    name, study = f"{protocol.name}-{PROFILE}", protocol.data[0].replace(":", "-")
    run = finished_run(out / name / study)
    kept = KeptPairs(results / "pairs" / name, study, {"data": run.data, "profile": run.profile.as_dict()})
    if not kept.there():
        raise BadInput(f"{kept.folder} has no pair of seeds; run benchmarks/evidence.py first", argument="results")
    table = beside(kept, scores(run, sorted({seed for seed, _ in kept.there()}), out / METHOD / name))
    source = run.experiment.slices.source_domain
    levels, differences = levels_and_differences(table, source, AGAINST, resamples)
    ours, asked = {"protocol": name, "rule": COUNTED}, [METHOD, METHOD + MAPPED]
    levels = levels[(levels["domain"] == MEAN) & levels["method"].isin(asked)]
    return differences[differences["method"].isin(asked)].assign(**ours), levels.assign(**ours), kept


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--out", required=True, type=Path, metavar="runs/evidence", help="of evidence.py, with the segmenters"
    )
    parser.add_argument(
        "--results", type=Path, default=CLONE / "results", metavar="FOLDER", help="with pairs/; the tables go there"
    )
    parser.add_argument("--resamples", type=int, default=10_000, metavar="N", help="of the bootstrap")
    chosen = parser.parse_args(arguments)
    found = [of_protocol(PROTOCOLS[name], chosen.out, chosen.results, chosen.resamples) for name in PHANTOMS]
    differences, levels = (pd.concat([each[place] for each in found], ignore_index=True) for place in (0, 1))
    keys = ["protocol", "rule", "quality", "method"]
    tables = {
        f"evidence-{METHOD}": difference_text(differences)[[*keys, "against", *COLUMNS, "segmenters", "pairs_of_seeds"]],
        f"evidence-{METHOD}-levels": level_text(levels)[[*keys, "domain", "subjects", "slices", "true_score", *COLUMNS]],
    }
    seeds = [" ".join(map(str, sorted({pair[i] for *_, kept in found for pair in kept.there()}))) for i in (0, 1)]
    command = "python benchmarks/evidence_mahalanobis.py --out runs/evidence --results results"
    made = made_here(command, PROFILE, "the segmenters of benchmarks/evidence.py, beside the pairs in results/pairs")
    made |= {"segmenter_seeds": seeds[0], "head_seeds": seeds[1], "threads": torch.get_num_threads()}
    for stem, table in tables.items():  # each with its line of provenance.csv
        print(publish(chosen.results, stem, {"": table}, made)[0])
    return 0


if __name__ == "__main__":
    sys.exit(well_behaved(main, options={"path": "--results"}))
